//! What is read and written again reads the same: whatever a client sends, nobody else is led to read another stanza.
//!
//! Random documents, odd in namespaces, prefixes, attributes and text, and often not well-formed: those that are taken go
//! through the writer and back.

use rxml::{XMLNS_XML, XMLNS_XMLNS};

use super::fuzz::{read_one, rewrite};
use crate::xmpp::error::StreamError;

const CASES: usize = 8_000;

/// Of names, prefixes and namespaces the last three are usually refused.
const NAMES: [&str; 9] = ["a", "message", "é", "_", "a-b.c", "lang", "xml", "xmlns", "b:c"];
/// Among them those that the writer chooses itself.
const PREFIXES: [&str; 9] = ["p", "q", "é", "stream", "tns0", "tns1", "xml", "xmlns", "1"];
const NAMESPACES: [&str; 10] = [
    "u",
    "v",
    "jabber:client",
    "http://etherx.jabber.org/streams",
    " u",
    "u&amp;&lt;&apos;&quot;&#13;&#9;",
    "é",
    "",
    XMLNS_XML,
    XMLNS_XMLNS,
];
const TEXTS: [&str; 16] = [
    "x",
    " ",
    "\n",
    "\r\n",
    "\t",
    "&#13;",
    "&#10;",
    "&#9;",
    "&lt;a&gt;",
    "&amp;lt;",
    "&quot;",
    "&apos;",
    "]]&gt;",
    "\u{FEFF}\u{2028}\u{85}\u{7f}",
    "\u{1F600}&#x10FFFF;",
    "xmlns:p=&apos;u&apos;",
];

/// xorshift64 by Marsaglia: no crate, and each run the same.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Hardly ever one of the last three.
    fn pick_usual<'a>(&mut self, from: &[&'a str]) -> &'a str {
        let usual = if self.one_in(24) { from } else { &from[..from.len() - 3] };
        self.pick(usual)
    }

    /// A name, with one of these prefixes, at least one, or without; now and then with any.
    fn name(&mut self, prefixes: &[&str]) -> String {
        let name = self.pick_usual(&NAMES);
        match self.below(32) {
            0 => format!("{}:{name}", self.pick(&PREFIXES)),
            1..16 => format!("{}:{name}", self.pick(prefixes)),
            _ => name.to_owned(),
        }
    }

    fn text(&mut self) -> String {
        (0..self.below(4)).map(|_| self.pick(&TEXTS)).collect()
    }

    fn stanza(&mut self) -> String {
        let mut scope = vec!["stream"];
        let head = self.head(&mut scope);
        format!("<message{head}>{}</message>", self.content(3, &scope))
    }

    /// An element, within the scope of these prefixes.
    fn element(&mut self, depth: usize, scope: &[&str]) -> String {
        let mut scope = scope.to_vec();
        let head = self.head(&mut scope);
        let name = self.name(&scope);
        format!("<{name}{head}>{}</{name}>", self.content(depth, &scope))
    }

    /// Declarations and other attributes.
    fn head(&mut self, scope: &mut Vec<&str>) -> String {
        let mut head = String::new();
        for _ in 0..self.below(3) {
            let namespace = self.pick_usual(&NAMESPACES);
            if self.one_in(3) {
                head += &format!(" xmlns='{namespace}'");
            } else {
                let prefix = self.pick_usual(&PREFIXES);
                scope.push(prefix);
                head += &format!(" xmlns:{prefix}='{namespace}'");
            }
        }
        for _ in 0..self.below(4) {
            head += &format!(" {}='{}'", self.name(scope), self.text());
        }
        head
    }

    fn content(&mut self, depth: usize, scope: &[&str]) -> String {
        let mut content = self.text();
        for _ in 0..self.below(3).min(depth) {
            content += &self.element(depth - 1, scope);
            content += if self.one_in(8) { "<![CDATA[<&]]x]]>" } else { "" };
            content += &self.text();
        }
        content
    }
}

/// Reads, writes and reads again.
fn check(stanza: &str) -> Result<(), StreamError> {
    rewrite(&read_one(stanza)?)
}

#[test]
fn a_random_stanza_reads_the_same_once_written() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let taken = (0..CASES).filter(|_| check(&random.stanza()).is_ok()).count();
    // Else it would be no test.
    assert!((CASES / 4..CASES - CASES / 20).contains(&taken), "{taken} of {CASES} were taken");
}

#[test]
fn what_would_be_written_as_a_declaration_is_refused() {
    for stanza in [
        "<a xmlns:p='http://www.w3.org/2000/xmlns/' p:q='u'/>",
        "<a xmlns:p='http://www.w3.org/2000/xmlns/'><p:b/></a>",
        "<a><b xmlns='http://www.w3.org/2000/xmlns/'/></a>",
        "<a xmlns:xmlns='u' xmlns:q='v'/>",
        "<xmlns:a/>",
    ] {
        assert_eq!(check(stanza), Err(StreamError::NotWellFormed), "{stanza}");
    }
}
