//! Every form of a user, shown live, with what to copy.

use quick_xml::escape::escape;

use super::wishes::Wishes;

/// A text to copy, and what it is for.
type Snippet = (&'static str, String);

/// The forms of the user that a visitor asked for, as parts of a page.
pub fn sections(wishes: &Wishes) -> String {
    [icon(wishes), widget(wishes), badge(wishes), words(wishes)].concat()
}

/// What to copy where nobody was asked for yet: as for a user of this address, without pictures.
pub fn teaser(wishes: &Wishes, placeholder: &str) -> String {
    let wishes = Wishes { jid: placeholder.to_owned(), ..wishes.clone() };
    format!("<section><h2>Put it on a page</h2>{}{HINT}</section>", snippets("icon", &icon_snippets(&wishes)))
}

const HINT: &str = "<p class=\"hint\">On another site, put the address of this server in front.</p>";

/// What a page of another origin is not told (CORS), and what the widget makes of it.
const SOMEBODY: &str = "Where the script asks in somebody's name (<code>req_jid</code> or <code>token</code> in its address), only pages of this server's own \
     origin are told of changes; on any other the icons are pictures, looked at again every 20 seconds.";

fn icon(wishes: &Wishes) -> String {
    let Wishes { size, theme, .. } = *wishes;
    let source = wishes.icon("svg", theme, 1);
    let picture =
        format!("<img src=\"{}\" alt=\"presence\" width=\"{size}\" height=\"{size}\" data-live>", escape(&source));
    let pixels = ["png", "gif"].map(|kind| link(&wishes.icon(kind, theme, 1), kind));
    format!(
        "<section><h2>Icon</h2>{}<p>Sharp at any size as SVG; the same as {} and {}.</p>{}{HINT}</section>",
        previews(&picture),
        pixels[0],
        pixels[1],
        snippets("icon", &icon_snippets(wishes))
    )
}

fn icon_snippets(wishes: &Wishes) -> [Snippet; 5] {
    let Wishes { size, theme, .. } = *wishes;
    let source = wishes.icon("svg", theme, 1);
    let [one, two, three] = [1, 2, 3].map(|density| wishes.icon("png", theme, density));
    [
        ("HTML", html_image(&source, &format!(" width=\"{size}\" height=\"{size}\""))),
        (
            "HTML, for light and dark pages",
            format!(
                "<picture>\n  <source srcset=\"{}\" media=\"(prefers-color-scheme: dark)\">\n  {}\n</picture>",
                escape(wishes.icon("svg", "dark", 1).as_str()),
                html_image(&wishes.icon("svg", "default", 1), &format!(" width=\"{size}\" height=\"{size}\""))
            ),
        ),
        (
            "HTML, as PNG for screens of every density",
            html_image(
                &one,
                &format!(
                    " srcset=\"{} 2x, {} 3x\" width=\"{size}\" height=\"{size}\"",
                    escape(two.as_str()),
                    escape(three.as_str())
                ),
            ),
        ),
        ("Markdown", format!("![presence]({one})")),
        ("BBCode", format!("[img]{one}[/img]")),
    ]
}

/// The element of `widget.js`, which shows itself here if the browser runs scripts.
fn widget(wishes: &Wishes) -> String {
    let Wishes { size, theme, .. } = *wishes;
    let element = format!(
        "<presence-icon jid=\"{}\" theme=\"{theme}\" size=\"{size}\"></presence-icon>",
        escape(wishes.jid.as_str())
    );
    let source = wishes.asking("/plugins/presence/widget.js", &[]);
    let script = format!("<script src=\"{}\" async></script>", escape(source.as_str()));
    format!(
        "<section><h2>Icon that follows</h2>{script}{}<p>Changes as the user does, and is a link to them. One script serves any number of \
         icons, and all windows of a site share one stream: of 50 users it hears at once, about others it asks every 20 seconds. What is not known any more is half \
         transparent, and says so. {SOMEBODY}</p>{}{HINT}</section>",
        previews(&element),
        snippets("icon that follows", &[("HTML", format!("{script}\n{element}"))])
    )
}

fn badge(wishes: &Wishes) -> String {
    let source = wishes.badge("svg");
    let picture = format!("<img src=\"{}\" alt=\"presence\" data-live>", escape(&source));
    let texts = [
        ("HTML", html_image(&source, "")),
        ("Markdown", format!("![presence]({source})")),
        ("BBCode, where it takes SVG", format!("[img]{source}[/img]")),
    ];
    format!(
        "<section><h2>Badge</h2>{}<p>Whatever the label is written in; as {} for the endpoint badges of shields.io.</p>{}{HINT}</section>",
        previews(&picture),
        link(&wishes.badge("json"), "JSON"),
        snippets("badge", &texts)
    )
}

/// The forms for programs. A script shows what they say; without one they are links.
fn words(wishes: &Wishes) -> String {
    let row = |(suffix, name): (&str, &str)| {
        let address = wishes.of_user(suffix);
        format!(
            "<h3>{}</h3><pre data-copy=\"command for {name}\" data-answer=\"{}\"><code>curl {}</code></pre>",
            link(&address, name),
            escape(address.as_str()),
            escape(quoted(&address).as_str())
        )
    };
    let rows: String = [(".json", "JSON"), (".txt", "Text"), (".xml", "XML")].map(row).concat();
    let stream = format!("curl -N {}", quoted(&wishes.of_user("/events")));
    format!(
        "<section><h2>For programs</h2>{rows}{}\
         <p>Many users in one answer, and all of this in detail: <a href=\"/plugins/presence/openapi.json\">openapi.json</a>. \
         Pages that ask at the address of old, <a href=\"{}\">/plugins/presence/status</a>, need no change.</p>{HINT}</section>",
        snippets("command", &[("Changes, as they happen", stream)]),
        escape(wishes.asking(super::STATUS, &[("jid", &wishes.jid)]).as_str())
    )
}

/// A picture on a light and on a dark page.
fn previews(picture: &str) -> String {
    format!(
        "<div class=\"previews\"><figure class=\"light\">{picture}<figcaption>on a light page</figcaption></figure>\
         <figure class=\"dark\">{picture}<figcaption>on a dark page</figcaption></figure></div>"
    )
}

/// Texts to copy. A script adds the buttons.
fn snippets(what: &str, snippets: &[Snippet]) -> String {
    let text = |(name, text): &Snippet| {
        format!("<h3>{name}</h3><pre data-copy=\"{what}, {name}\"><code>{}</code></pre>", escape(text.as_str()))
    };
    snippets.iter().map(text).collect()
}

/// An image in HTML. The text is HTML itself, and is escaped once more where it is shown.
fn html_image(source: &str, attributes: &str) -> String {
    format!("<img src=\"{}\"{attributes} alt=\"presence\">", escape(source))
}

fn link(address: &str, name: &str) -> String {
    format!("<a href=\"{}\">{name}</a>", escape(address))
}

/// An address for a shell. It holds no quote: they are percent-encoded.
fn quoted(address: &str) -> String {
    format!("'{address}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Parameters;

    fn wishes(query: &str) -> Wishes {
        Wishes::read(&Parameters::new(query, b""))
    }

    #[test]
    fn a_snippet_shows_the_picture_that_stands_above_it() {
        let page = sections(&wishes("jid=alice@x&theme=dark&size=48&label=a%26b&style=pill"));
        let icon = "/plugins/presence/v1/users/alice@x/icon.svg?size=48&amp;theme=dark";
        assert_eq!(page.matches(&format!("<img src=\"{icon}\"")).count(), 2, "on a light and on a dark page: {page}");
        let shown = icon.replace("&amp;", "&amp;amp;");
        assert!(page.contains(&format!("&lt;img src=&quot;{shown}&quot; width=&quot;48&quot;")), "{page}");
        let densities = "icon.png?size=96&amp;amp;theme=dark 2x, /plugins/presence/v1/users/alice@x/icon.png?size=144&amp;amp;theme=dark 3x";
        assert!(page.contains(densities), "{page}");
        assert!(
            page.contains("![presence](/plugins/presence/v1/users/alice@x/badge.svg?label=a%26b&amp;style=pill)"),
            "{page}"
        );
        assert!(
            page.contains("[img]/plugins/presence/v1/users/alice@x/icon.png?size=48&amp;theme=dark[/img]"),
            "{page}"
        );
    }

    #[test]
    fn every_form_is_there() {
        let page = sections(&wishes("jid=alice@x"));
        for form in
            [".json", ".txt", ".xml", "/icon.svg", "/icon.png", "/icon.gif", "/badge.svg", "/badge.json", "/events"]
        {
            assert!(page.contains(&format!("/plugins/presence/v1/users/alice@x{form}")), "{form}");
        }
    }

    /// Row H19: what was typed is text, in HTML, in Markdown, in BBCode and in a shell.
    #[test]
    fn what_was_typed_stays_text() {
        let asked = wishes("jid=%22%3E%3Cscript%3E%27%29%5D%5B%40x&label=%22%3E%3Cscript%3E%27%29%5D%5B");
        let page = [icon(&asked), badge(&asked), words(&asked)].concat();
        assert!(!page.contains("<script") && !page.contains("script>'") && !page.contains(")]["), "{page}");
        let element = "<presence-icon jid=\"&quot;&gt;&lt;script&gt;&apos;)][@x\" theme=\"default\" size=\"32\">";
        assert_eq!(widget(&asked).matches(element).count(), 2, "{}", widget(&asked));
        assert!(page.contains("users/%22%3E%3Cscript%3E%27%29%5D%5B@x/icon.svg"), "{page}");
    }
}
