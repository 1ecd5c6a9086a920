//! Patterns of paths, in the syntax of actix ([`ResourceDef`]).
//!
//! Most are made of words, and of parts with one name each: `/users/{jid}/icon.{format}`. Those are matched here, from one slash to the next;
//! actix has a regular expression do it, which took microseconds of each request. What has regular expressions in it, an open end, or two
//! names between slashes is actix's to match.

use std::{borrow::Cow, panic::catch_unwind};

use actix_router::{Path, ResourceDef};
use memchr::memchr;
use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

/// What a path has in the place of each name, percent-decoded. More names than most patterns have take memory of their own.
pub type Values<'p> = SmallVec<[Cow<'p, str>; 2]>;

/// No pattern has more: they have 1,024 bytes at most.
const MOST_PARTS: usize = 1_024;

/// A path as it was sent, cut at its slashes once for all patterns that it is held against.
pub struct CutPath<'p> {
    path: &'p str,
    /// What stands behind each slash.
    texts: SmallVec<[&'p str; 8]>,
}

/// A pattern of whole paths.
pub struct Pattern {
    names: Vec<String>,
    form: Form,
}

enum Form {
    Parts(Vec<Part>),
    Other { start: String, actix: ResourceDef },
}

/// What stands between two slashes.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Word(String),
    Named { before: String, after: String },
}

impl<'p> CutPath<'p> {
    /// Cuts a path. One that does not begin with a slash is like none.
    pub fn new(path: &'p str) -> CutPath<'p> {
        let (mut texts, mut rest) = (SmallVec::new(), path.strip_prefix('/'));
        // One that has more than any pattern need not be cut to its end.
        while let Some(text) = rest.filter(|_| texts.len() <= MOST_PARTS) {
            let slash = memchr(b'/', text.as_bytes());
            texts.push(&text[..slash.unwrap_or(text.len())]);
            rest = slash.map(|slash| &text[slash + 1..]);
        }
        CutPath { path, texts }
    }
}

impl Pattern {
    /// Reads a pattern. `None`: it is not of actix's syntax.
    pub fn parse(text: &str) -> Option<Pattern> {
        // actix panics on what it can't read.
        let actix = catch_unwind(|| ResourceDef::new(text)).ok()?;
        let form = match parts(text) {
            Some(parts) => Form::Parts(parts),
            None => Form::Other { start: text.split(['{', '*']).next().unwrap_or_default().into(), actix },
        };
        Some(Pattern { names: names(text), form })
    }

    /// The names in it, in their order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The value of each name in a path. `None`: the path does not match, or a value is not UTF-8.
    pub fn values<'p>(&self, path: &CutPath<'p>) -> Option<Values<'p>> {
        match &self.form {
            Form::Parts(parts) => between_slashes(parts, &path.texts)?.into_iter().map(decode).collect(),
            Form::Other { start, actix } => {
                let mut found = Path::new(path.path);
                let matches = path.path.starts_with(start) && actix.capture_match_info(&mut found);
                matches.then_some(())?;
                let value = |name: &String| Some(Cow::Owned(decode(found.get(name)?)?.into_owned()));
                self.names.iter().map(value).collect()
            }
        }
    }
}

/// The parts of a pattern. `None`: it has others than are matched here.
fn parts(pattern: &str) -> Option<Vec<Part>> {
    if pattern.contains('*') {
        return None;
    }
    pattern.strip_prefix('/')?.split('/').map(Part::read).collect()
}

impl Part {
    fn read(text: &str) -> Option<Part> {
        let Some((before, rest)) = text.split_once('{') else {
            return (!text.contains('}')).then(|| Part::Word(text.into()));
        };
        let (name, after) = rest.split_once('}')?;
        let is_plain = !name.contains([':', '{']) && !before.contains('}') && !after.contains(['{', '}']);
        is_plain.then(|| Part::Named { before: before.into(), after: after.into() })
    }

    /// What `text` has in the place of the name, which is never nothing; a word has no name. `None`: it does not match.
    fn value<'t>(&self, text: &'t str) -> Option<Option<&'t str>> {
        match self {
            Part::Word(word) => (word == text).then_some(None),
            Part::Named { before, after } => {
                let value = text.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
                (!value.is_empty()).then_some(Some(value))
            }
        }
    }
}

/// The names of a pattern: what stands in braces, up to the regular expression, which may have braces itself.
fn names(pattern: &str) -> Vec<String> {
    let (mut names, mut depth) = (Vec::new(), 0);
    for (at, character) in pattern.char_indices() {
        match character {
            '{' => {
                if depth == 0 {
                    names.extend(pattern[at + 1..].split([':', '}']).next().map(str::to_owned));
                }
                depth += 1;
            }
            '}' => depth = (depth - 1).max(0),
            _ => {}
        }
    }
    names
}

fn between_slashes<'p>(parts: &[Part], texts: &[&'p str]) -> Option<SmallVec<[&'p str; 2]>> {
    if parts.len() != texts.len() {
        return None;
    }
    let mut values = SmallVec::new();
    for (part, text) in parts.iter().zip(texts) {
        if let Some(value) = part.value(text)? {
            values.push(value);
        }
    }
    Some(values)
}

fn decode(value: &str) -> Option<Cow<'_, str>> {
    // Most have nothing to decode.
    if memchr(b'%', value.as_bytes()).is_none() {
        return Some(Cow::Borrowed(value));
    }
    percent_decode_str(value).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERNS: [&str; 15] = [
        "/",
        "/a",
        "/a/",
        "/a/{x}",
        "/a/{x}/icon.{y}",
        "/a/{x}/events",
        "/{x}",
        "/a/{x}.json",
        "/a/a{x}a",
        "/a/b:c",
        "/a/{x}-{y}",
        "/a/{t:.*}",
        "/{x:[a-z/]{1,9}}/b",
        "/{x:(?P<inner>[a-z]+)}/{y}",
        "/a/{t}*",
    ];
    const PATHS: [&str; 22] = [
        "",
        "/",
        "//",
        "/a",
        "/a/",
        "/a//",
        "/a/b",
        "/a/b/",
        "/a/b/icon.png",
        "/a/b/icon.",
        "/a/b/icon.a.b",
        "/a//icon.png",
        "/a/b/events",
        "/a/b/c/events",
        "/a/b.json",
        "/a/.json",
        "/a/aa",
        "/a/aaa",
        "/a/b:c",
        "/a/b-c-d",
        "/b",
        "/abc/b",
    ];

    fn by_actix(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
        let mut found = Path::new(path);
        let matches = ResourceDef::new(pattern).capture_match_info(&mut found);
        let pairs = found.iter().filter(|(name, _)| *name != "inner");
        matches.then(|| pairs.map(|(name, value)| (name.into(), value.into())).collect())
    }

    #[test]
    fn what_is_matched_here_is_matched_as_by_actix() {
        for text in PATTERNS {
            let pattern = Pattern::parse(text).unwrap();
            for path in PATHS {
                let pairs = |values: Values<'_>| {
                    let values = values.into_iter().map(Cow::into_owned);
                    std::iter::zip(pattern.names().to_vec(), values).collect()
                };
                assert_eq!(pattern.values(&CutPath::new(path)).map(pairs), by_actix(text, path), "{text} {path}");
            }
        }
        let is_matched_here = |text: &&&str| parts(text).is_some();
        assert_eq!(PATTERNS.iter().filter(is_matched_here).count(), 10, "most");
    }

    #[test]
    fn what_is_no_pattern_is_none() {
        for text in ["/{a", "/{a:[}", "/{a}{b", "/{a:x*}*"] {
            assert!(Pattern::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn values_are_decoded() {
        let pattern = Pattern::parse("/users/{jid}/{tail:.*}").unwrap();
        assert_eq!(pattern.values(&CutPath::new("/users/a%40b/x/y%20z")).unwrap().to_vec(), ["a@b", "x/y z"]);
        assert_eq!(pattern.values(&CutPath::new("/users/%ff/x")), None);
        assert_eq!(pattern.values(&CutPath::new("/user")), None);
        let pattern = Pattern::parse("/{x}").unwrap();
        assert_eq!(pattern.values(&CutPath::new("/%2e%2F")).unwrap().to_vec(), ["./"]);
        assert_eq!(pattern.values(&CutPath::new("a")), None);
    }
}
