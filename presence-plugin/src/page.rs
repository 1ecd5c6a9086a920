//! The plugin's pages: its own at `/plugins/presence/`, and its part of the server's front page.
//!
//! Neither shows more than the service itself would: an address that a visitor names becomes part of the addresses of forms, and nothing else.
//! The plugin's own page works without script; with one, `page.js`, it follows the user that it shows.
//!
//! # Layout
//! [`wishes`] is the form of the plugin's own page, [`forms`] shows what it asks for.

mod forms;
mod wishes;

use std::fmt::{self, Write};

use plugin_api::Response;
use quick_xml::escape::escape;

use self::wishes::Wishes;
use crate::{
    icons::themes::{State, Theme},
    image::File,
    query::Parameters,
    settings::Settings,
    shown::Shown,
    text,
    visibility::Visibility,
};

/// Where the service answers.
const STATUS: &str = "/plugins/presence/status";
/// Where the plugin's own page is.
const HOME: &str = "/plugins/presence/";
/// The longest origin that is believed.
const LONGEST_BASE: usize = 300;
/// No script, nothing inline, nothing from elsewhere.
const POLICY: &str =
    "default-src 'none'; img-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The same with a script of this server, which asks this server.
const POLICY_WITH_SCRIPT: &str = "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; \
                                  base-uri 'none'; frame-ancestors 'none'";

/// What the plugin's own page can do beside what it does without.
pub static SCRIPT: File = File::new(b'f', include_bytes!("page/page.js"));
/// How it looks.
pub static STYLE: File = File::new(b'f', include_bytes!("page/page.css"));

/// The states and what they mean.
const STATES: [(State, &str, &str); 7] = [
    (State::Available, "available", "online and at the keyboard"),
    (State::Chat, "chat", "online and glad to talk"),
    (State::Away, "away", "online, gone for a moment"),
    (State::Xa, "xa", "online, gone for long"),
    (State::Dnd, "dnd", "online and busy: do not disturb"),
    (State::Offline, "offline", "not online"),
    (State::Forbidden, "forbidden", "not yours to see; the icon of /status and the text are those of offline"),
];

/// A user of this server, as a visitor without a name sees them.
pub struct Person {
    jid: String,
    state: &'static str,
    line: String,
}

impl Person {
    /// What is shown of the user with this bare JID.
    pub fn new(jid: &str, shown: &Shown<'_>, settings: &Settings) -> Person {
        let state = match shown {
            Shown::Forbidden => Shown::Offline { status: "", since: None }.state(),
            other => other.state(),
        };
        let mut line = text::render(shown, settings);
        line.truncate(line.trim_end().len());
        Person { jid: jid.to_owned(), state, line }
    }
}

/// Where the server is reached: `http://example.com:9090`. Empty where that is not known; addresses are then of this server only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base<'a>(&'a str);

impl<'a> Base<'a> {
    /// Reads an origin. What is none is taken as unknown.
    pub fn parse(text: &'a str) -> Base<'a> {
        let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or_default();
        let of_a_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        let is_origin = !host.is_empty() && text.len() <= LONGEST_BASE && host.bytes().all(of_a_host);
        Base(if is_origin { text } else { "" })
    }
}

/// The part of the front page: these people, and how to embed the icon of the first of them, or else of `placeholder`.
pub fn example(people: &[Person], placeholder: &str, base: Base<'_>, visibility: Visibility) -> Response {
    let mut page = String::new();
    if !people.is_empty() {
        page.push_str("<table><tbody>");
        people.iter().for_each(|person| page.push_str(&row(person)));
        page.push_str("</tbody></table>");
    }
    let shown = people.iter().find(|person| person.state != "offline").or(people.first());
    let jid = shown.map_or(placeholder, |person| &person.jid);
    page.push_str(&markup(jid, base));
    page.push_str(&commands(jid, base));
    page.push_str(&form(""));
    page.push_str("<p class=\"hint\">");
    page.push_str(match visibility {
        Visibility::Anyone => "On this server anyone may see who is there.",
        Visibility::Verified => {
            "On this server a user shows only to those who are subscribed to them and prove it by a token."
        }
        Visibility::Subscribed => {
            "On this server a user shows only to those who are subscribed to them: without <code>req_jid</code> an icon is that of \
             somebody offline."
        }
    });
    let _ = write!(page, " <a href=\"{HOME}\">More about it</a></p>");
    html(page, POLICY)
}

/// The plugin's own page, with every form of the user that a visitor asked for.
pub fn home(parameters: &Parameters<'_>, placeholder: &str, visibility: Visibility) -> Response {
    let wishes = Wishes::read(parameters);
    let mut page = String::from(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Presence</title>\
         <link rel=\"stylesheet\" href=\"/style.css\"><link rel=\"stylesheet\" href=\"/plugins/presence/page.css\">\
         <script src=\"/plugins/presence/page.js\" defer></script></head><body><main>\
         <header><h1>Presence</h1><p>Shows on any page whether a user of this server is there.</p></header>\
         <section><h2>Try it</h2>",
    );
    page.push_str(&wishes.form(placeholder));
    let is_asked = !wishes.jid.is_empty();
    // A script says here who is there.
    page.push_str(if is_asked { "<p role=\"status\"></p></section>" } else { "</section>" });
    page.push_str(&if is_asked { forms::sections(&wishes) } else { forms::teaser(&wishes, placeholder) });
    page.push_str(&states(wishes.theme));
    page.push_str(&rules(visibility));
    page.push_str("<p><a href=\"/\">What else runs here</a></p></main></body></html>\n");
    html(page, POLICY_WITH_SCRIPT)
}

fn html(page: String, policy: &'static str) -> Response {
    Response::html(page)
        .header("Cache-Control", "no-store")
        .header("Content-Security-Policy", policy)
        .header("Referrer-Policy", "no-referrer")
        .header("X-Content-Type-Options", "nosniff")
}

fn row(person: &Person) -> String {
    let Person { jid, state, line } = person;
    format!(
        "<tr><th>{}<a href=\"{HOME}?jid={}\">{}</a></th><td>{state}</td><td>{}</td></tr>",
        icon(jid),
        Encoded(jid),
        escape(jid),
        escape(line.as_str())
    )
}

/// The state stands beside it in words, or the page has no words for it: the icon alone needs none.
fn icon(jid: &str) -> String {
    format!("<img src=\"{STATUS}?jid={}\" alt=\"\" width=\"16\" height=\"16\">", Encoded(jid))
}

/// Markup to copy.
fn markup(jid: &str, Base(base): Base<'_>) -> String {
    let markup = format!("<img src=\"{base}{STATUS}?jid={}\" alt=\"presence\">", Encoded(jid));
    format!("<h3>Put it on a page</h3><pre><code>{}</code></pre>", breakable(&markup))
}

/// Commands to copy.
fn commands(jid: &str, Base(base): Base<'_>) -> String {
    let address = format!("{base}{STATUS}?jid={}", Encoded(jid));
    let curl = format!("curl '{address}&type=text'\ncurl '{address}&type=xml'\ncurl '{address}&type=json'");
    format!("<h3>Or ask for text, XML or JSON</h3><pre><code>{}</code></pre>", breakable(&curl))
}

/// A text that holds addresses, escaped, whose lines may be broken at the parts of these and not in the middle of a word.
fn breakable(text: &str) -> String {
    let is_part = |at: usize| match text.as_bytes()[at - 2..=at] {
        [before, b'/' | b'?', behind] => before.is_ascii_alphanumeric() && behind.is_ascii_alphanumeric(),
        [_, before, b'&'] => before.is_ascii_alphanumeric(),
        _ => false,
    };
    let mut start = 0;
    let mut parts: Vec<_> = (2..text.len()).filter(|at| is_part(*at)).collect();
    parts.push(text.len());
    let parts = parts.into_iter().map(|end| escape(&text[std::mem::replace(&mut start, end)..end]));
    parts.collect::<Vec<_>>().join("<wbr>")
}

fn form(jid: &str) -> String {
    format!(
        "<form action=\"{HOME}\" method=\"get\"><label>Anybody on this server<input name=\"jid\" value=\"{}\" \
         placeholder=\"user@domain\" autocapitalize=\"none\" autocomplete=\"off\" spellcheck=\"false\"></label><button>Show</button></form>",
        escape(jid)
    )
}

fn states(theme: &str) -> String {
    let theme = Theme::parse(theme).unwrap_or_default();
    let mut section = String::from("<section><h2>The states</h2><table><tbody>");
    for (state, name, meaning) in STATES {
        let _ = write!(
            section,
            "<tr><th scope=\"row\"><span aria-hidden=\"true\">{}</span> <code>{name}</code></th><td>{meaning}</td></tr>",
            theme.drawing(state).trim_end()
        );
    }
    section.push_str(
        "</tbody></table><p>For icons of your own, add <code>images=https://example.com/--IMAGE--.png</code>, with the state's name in \
         place of the token, or a parameter named after one state.</p></section>",
    );
    section
}

fn rules(visibility: Visibility) -> String {
    let mark = |one| if visibility == one { " <span class=\"badge good\">in force</span>" } else { "" };
    format!(
        "<section><h2>Who may see</h2><table><tbody>\
         <tr><th>anyone{}</th><td>Every user of this server is visible to everybody.</td></tr>\
         <tr><th>subscribed{}</th><td>A user is visible to those who are subscribed to their presence. The requester is named by \
         <code>req_jid=alice@example.com</code>, and taken at its word.</td></tr>\
         <tr><th>verified{}</th><td>The same, but the requester is proven: by <code>Authorization: Bearer TOKEN</code>, or \
         <code>token=TOKEN</code> in the address. Every user can make tokens with an XMPP client.</td></tr></tbody></table>\
         <p>The administrator decides: <code>host-demo setting set presence.visibility anyone</code>. What users choose for themselves \
         comes before that. Whoever may not see gets the same \
         answer for every user, whether there is such a user or not.</p></section>",
        mark(Visibility::Anyone),
        mark(Visibility::Subscribed),
        mark(Visibility::Verified)
    )
}

/// A value as a query may hold it (RFC 3986 section 3.4); the `@` of a JID may stand as it is.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
                out.write_char(byte.into())?;
            } else {
                write!(out, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::Show;

    use super::*;
    use crate::{answer::tests::settings, moment::Moment};

    const NASTY: &str = "\"><script>alert('1')</script>&@x";

    fn page(response: &Response) -> &str {
        std::str::from_utf8(response.bytes()).unwrap()
    }

    fn carol(shown: Shown<'_>) -> Person {
        Person::new("carol@localhost", &shown, &settings("anyone"))
    }

    /// Row H7, H19: whatever is in an address or a status, no markup comes of it.
    #[test]
    fn what_others_wrote_is_escaped() {
        let shown = Shown::Online { show: Show::Away, status: NASTY, priority: 0, since: Some(Moment(0)) };
        let people = [Person::new(NASTY, &shown, &settings("anyone"))];
        let fragment = example(&people, NASTY, Base::parse(NASTY), Visibility::Anyone);
        let asked = format!("jid={}&label={0}", Encoded(NASTY));
        for response in [fragment, home(&Parameters::new(&asked, b""), NASTY, Visibility::Subscribed)] {
            let page = page(&response);
            let own = |file, how| format!("<script src=\"/plugins/presence/{file}.js\" {how}></script>");
            let page = page.replace(&own("page", "defer"), "").replace(&own("widget", "async"), "");
            assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
            assert!(page.contains("=%22%3E%3Cscript%3Ealert%28%271%27%29%3C%2Fscript%3E%26@x"), "{page}");
            let policy = response.headers().find(|(name, _)| *name == "Content-Security-Policy").unwrap().1;
            assert!(!policy.contains("unsafe"), "{policy}");
        }
    }

    /// A browser that can't read one expression of a script runs nothing of it: Safari knows no lookbehind before 16.4.
    #[test]
    fn no_script_needs_a_lookbehind() {
        for script in [include_str!("page/page.js"), include_str!("live/widget.js")] {
            assert!(!script.contains("(?<=") && !script.contains("(?<!"));
        }
    }

    #[test]
    fn the_example_shows_people_and_what_to_copy() {
        let people = [
            carol(Shown::Offline { status: "", since: None }),
            Person::new(
                "bob@localhost",
                &Shown::Online { show: Show::Dnd, status: " In a\nmeeting ", priority: 0, since: Some(Moment(0)) },
                &settings("anyone"),
            ),
        ];
        let response = example(&people, "user@localhost", Base::parse("http://127.0.0.1:9090"), Visibility::Anyone);
        let page = page(&response).replace("<wbr>", "");
        assert!(page.contains("<img src=\"/plugins/presence/status?jid=carol@localhost\""), "{page}");
        assert!(page.contains("<td>dnd</td><td>In a meeting</td>"), "{page}");
        let markup = "&lt;img src=&quot;http://127.0.0.1:9090/plugins/presence/status?jid=bob@localhost&quot; alt=&quot;presence&quot;&gt;";
        assert!(page.contains(markup), "whoever is online comes first: {page}");
        assert!(
            page.contains(
                "curl &apos;http://127.0.0.1:9090/plugins/presence/status?jid=bob@localhost&amp;type=xml&apos;"
            ),
            "{page}"
        );
    }

    #[test]
    fn what_is_to_be_copied_breaks_at_the_parts_of_an_address() {
        for (text, parts) in [
            (
                "curl 'http://localhost:9090/plugins/x?jid=a@b&type=t'\n",
                "curl &apos;http://localhost:9090/<wbr>plugins/<wbr>x?<wbr>jid=a@b<wbr>&amp;type=t&apos;\n",
            ),
            ("é/é?é&é<", "é/é?é&amp;é&lt;"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(breakable(text), parts);
        }
    }

    #[test]
    fn nobody_can_be_told_from_somebody_who_may_not_be_seen() {
        assert_eq!(row(&carol(Shown::Forbidden)), row(&carol(Shown::Offline { status: "", since: None })));
    }

    #[test]
    fn without_users_a_placeholder_stands_for_them() {
        let response = example(&[], "user@example.com", Base::parse(""), Visibility::Subscribed);
        let page = page(&response).replace("<wbr>", "");
        assert!(page.contains("src=&quot;/plugins/presence/status?jid=user@example.com&quot;"), "{page}");
        assert!(!page.contains("<table>"), "{page}");
    }

    #[test]
    fn only_an_origin_is_a_base() {
        for origin in ["http://localhost:9090", "https://example.com", "http://[::1]:80"] {
            assert_eq!(Base::parse(origin), Base(origin));
        }
        for other in [
            "",
            "http://",
            "javascript:alert(1)",
            "//evil",
            "http://a/b",
            "http://a?b",
            "http://a@b",
            "http://a'b",
            "http://a b",
        ] {
            assert_eq!(Base::parse(other), Base(""), "{other}");
        }
    }

    #[test]
    fn the_rule_in_force_is_marked() {
        let response = home(&Parameters::new("", b""), "user@x", Visibility::Subscribed);
        assert!(page(&response).contains("subscribed <span class=\"badge good\">in force"));
        assert!(!page(&response).contains("anyone <span"));
    }
}
