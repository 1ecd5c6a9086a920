//! Whether a stanza that arrived is the one that a script expects: see [the module](super) for what a pattern may leave open.

use minidom::{Element, Node};

use crate::xmpp::ns;

/// Stands for any text, in attributes and between tags, and between children for any of them.
const ANY: &str = "...";
/// Before a child: it may be missing.
const MAYBE: &str = "?";
/// An attribute that is to be remembered: `{$name}`.
const NOTED: &str = "{$";
/// What a stanza may carry without being asked.
const UNASKED: [&str; 3] = ["id", "to", "lang"];

/// What is expected at one place among the children of an element.
enum Part<'a> {
    Child(&'a Element),
    Maybe(&'a Element),
    AnyChildren,
}

/// Compares a stanza with the pattern. `reader` is the bare JID of who received it: a `from` that says only this says
/// nothing (RFC 6120 section 8.1.2.1).
///
/// # Errors
/// The first difference, in words.
pub fn compare(pattern: &Element, arrived: &Element, reader: &str) -> Result<(), String> {
    compare_within(pattern, arrived, |_, name, value| UNASKED.contains(&name) || (name == "from" && value == reader))
}

/// What a stanza that fits says where the pattern has `{$name}`: name and value.
pub fn noted(pattern: &Element, arrived: &Element) -> Vec<(String, String)> {
    let own = pattern.attrs().iter().filter_map(|((namespace, attribute), expected)| {
        let name = expected.strip_prefix(NOTED)?.strip_suffix('}')?;
        Some((name.to_owned(), arrived.attrs().get(namespace, attribute)?.clone()))
    });
    let of_children = pattern.children().flat_map(|child| {
        let fitting = arrived.children().find(|other| compare_within(child, other, is_version).is_ok());
        fitting.map(|other| noted(child, other)).unwrap_or_default()
    });
    own.chain(of_children).collect()
}

/// The version of a roster may be there unasked (RFC 6121 section 2.6).
fn is_version(element: &Element, name: &str, _: &str) -> bool {
    name == "ver" && element.is("query", ns::ROSTER)
}

fn compare_within(
    pattern: &Element,
    arrived: &Element,
    may_be_there: impl Fn(&Element, &str, &str) -> bool,
) -> Result<(), String> {
    let name = pattern.name();
    if (name, pattern.ns()) != (arrived.name(), arrived.ns()) {
        return Err(format!("{} in place of {}", named(arrived), named(pattern)));
    }
    for ((namespace, attribute), expected) in pattern.attrs().iter() {
        match arrived.attrs().get(namespace, attribute) {
            Some(value) if fits(expected, value) => {}
            Some(value) => return Err(format!("<{name}> has {attribute}='{value}', not '{expected}'")),
            None => return Err(format!("<{name}> has no {attribute}")),
        }
    }
    for ((namespace, attribute), value) in arrived.attrs().iter() {
        let asked = pattern.attrs().contains_key(namespace, attribute);
        if !asked && !may_be_there(arrived, attribute, value) {
            return Err(format!("<{name}> has {attribute}='{value}', of which the script says nothing"));
        }
    }
    compare_content(pattern, arrived)
}

fn compare_content(pattern: &Element, arrived: &Element) -> Result<(), String> {
    let name = pattern.name();
    let text = pattern.text();
    let text = text.trim();
    let is_text = pattern.children().next().is_none() && text != ANY;
    if !is_text {
        return compare_children(name, &parts(pattern)?, &arrived.children().collect::<Vec<_>>());
    }
    if let Some(child) = arrived.children().next() {
        return Err(format!("{} in <{name}>, where only text is expected", named(child)));
    }
    if fits(text, arrived.text().trim()) {
        Ok(())
    } else {
        Err(format!("<{name}> says '{}', not '{text}'", arrived.text().trim()))
    }
}

fn compare_children(parent: &str, parts: &[Part<'_>], arrived: &[&Element]) -> Result<(), String> {
    let Some((part, rest)) = parts.split_first() else {
        return arrived.first().map_or(Ok(()), |child| Err(format!("{} is too much in <{parent}>", named(child))));
    };
    let next_is = |pattern: &Element| match arrived.split_first() {
        Some((child, others)) => {
            compare_within(pattern, child, is_version).and_then(|()| compare_children(parent, rest, others))
        }
        None => Err(format!("no {} in <{parent}>", named(pattern))),
    };
    match part {
        Part::Child(pattern) => next_is(pattern),
        Part::Maybe(pattern) => {
            next_is(pattern).or_else(|difference| compare_children(parent, rest, arrived).map_err(|_| difference))
        }
        Part::AnyChildren => {
            let from = |skipped: usize| compare_children(parent, rest, &arrived[skipped..]);
            (1..=arrived.len())
                .fold(from(0), |outcome, skipped| outcome.or_else(|first| from(skipped).map_err(|_| first)))
        }
    }
}

fn parts(pattern: &Element) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut maybe = false;
    for node in pattern.nodes() {
        match node {
            Node::Element(child) if std::mem::take(&mut maybe) => parts.push(Part::Maybe(child)),
            Node::Element(child) => parts.push(Part::Child(child)),
            Node::Text(text) => {
                for word in text.split_whitespace() {
                    match word {
                        ANY => parts.push(Part::AnyChildren),
                        MAYBE => maybe = true,
                        other => return Err(format!("{other:?} stands among the children of {}", named(pattern))),
                    }
                }
            }
        }
    }
    Ok(parts)
}

/// Whether a text is the expected one, in which `...` stands for anything.
fn fits(expected: &str, text: &str) -> bool {
    if expected.starts_with(NOTED) {
        return !text.is_empty();
    }
    let Some((first, others)) = expected.split_once(ANY) else { return expected == text };
    let (middle, last) = others.rsplit_once(ANY).unwrap_or(("", others));
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for piece in middle.split(ANY) {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

fn named(element: &Element) -> String {
    let namespace = element.ns();
    if namespace == ns::CLIENT {
        format!("<{}>", element.name())
    } else {
        format!("<{} xmlns='{namespace}'>", element.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(xml: &str) -> Element {
        let within: Element = format!("<x xmlns='jabber:client'>{xml}</x>").parse().unwrap();
        within.children().next().unwrap().clone()
    }

    fn check(pattern: &str, arrived: &str) -> Result<(), String> {
        compare(&parse(pattern), &parse(arrived), "ann@here")
    }

    #[track_caller]
    fn differs(pattern: &str, arrived: &str, how: &str) {
        assert_eq!(check(pattern, arrived).unwrap_err(), how);
    }

    #[test]
    fn attributes_are_compared_in_any_order_and_none_may_be_too_much() {
        check("<iq a='1' b='2'/>", "<iq b='2' a='1'/>").unwrap();
        differs("<iq type='get'/>", "<iq type='set'/>", "<iq> has type='set', not 'get'");
        differs("<iq type='get'/>", "<iq/>", "<iq> has no type");
        differs("<iq/>", "<iq type='set'/>", "<iq> has type='set', of which the script says nothing");
    }

    #[test]
    fn a_stanza_may_have_an_id_a_to_and_a_language_unasked_and_its_readers_own_account_as_sender() {
        check("<iq/>", "<iq id='1' to='ann@here/desk' xml:lang='en' from='ann@here'/>").unwrap();
        differs("<iq/>", "<iq from='bob@here'/>", "<iq> has from='bob@here', of which the script says nothing");
        differs("<iq id='2'/>", "<iq id='1'/>", "<iq> has id='1', not '2'");
        differs("<iq><q/></iq>", "<iq><q id='1'/></iq>", "<q> has id='1', of which the script says nothing");
    }

    #[test]
    fn a_roster_may_have_a_version_unasked() {
        let push = "<iq><query xmlns='jabber:iq:roster' ver='7'/></iq>";
        check("<iq><query xmlns='jabber:iq:roster'/></iq>", push).unwrap();
        check(push, push).unwrap();
        assert!(check("<iq><query xmlns='jabber:iq:roster' ver='8'/></iq>", push).is_err());
    }

    #[test]
    fn what_is_to_be_remembered_is_found() {
        let (pattern, arrived) = (parse("<m id='{$id}'>...<a b='{$b}'/></m>"), parse("<m id='1'><a/><a b='2'/></m>"));
        compare(&pattern, &arrived, "").unwrap();
        let value = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(noted(&pattern, &arrived), [value("id", "1"), value("b", "2")]);
        differs("<m id='{$id}'/>", "<m id=''/>", "<m> has id='', not '{$id}'");
    }

    #[test]
    fn dots_stand_for_any_text() {
        for expected in ["...", "ann@here/...", "...@here/desk", "a...@...sk", "ann@here/desk"] {
            assert!(fits(expected, "ann@here/desk"), "{expected}");
        }
        for expected in ["", "ann@here", "bob...", "...phone", "ann@...@..."] {
            assert!(!fits(expected, "ann@here/desk"), "{expected}");
        }
        check("<m id='...'><body>at ...</body></m>", "<m id='7'><body> at noon\n</body></m>").unwrap();
        differs("<m id='...'/>", "<m/>", "<m> has no id");
    }

    #[test]
    fn children_are_compared_in_order() {
        check("<m><a/> <b/></m>", "<m><a/><b/></m>").unwrap();
        differs("<m><a/><b/></m>", "<m><b/><a/></m>", "<b> in place of <a>");
        differs("<m><a/><b/></m>", "<m><a/></m>", "no <b> in <m>");
        differs("<m><a/></m>", "<m><a/><b/></m>", "<b> is too much in <m>");
        differs("<m><a xmlns='u'/></m>", "<m><a xmlns='v'/></m>", "<a xmlns='v'> in place of <a xmlns='u'>");
        differs("<m/>", "<m><a/></m>", "<a> in <m>, where only text is expected");
        differs("<m><a>x</a></m>", "<m><a>y</a></m>", "<a> says 'y', not 'x'");
    }

    #[test]
    fn children_may_be_left_open() {
        for arrived in ["<m><a/></m>", "<m><a/><b/></m>", "<m><b/><a/></m>", "<m><a/><a/></m>"] {
            check("<m>...<a/>...</m>", arrived).unwrap();
        }
        differs("<m>...<a/></m>", "<m><a/><b/></m>", "<b> is too much in <m>");
        check("<m>...</m>", "<m><a/>text</m>").unwrap();
        for arrived in ["<m><a/></m>", "<m><a/><b/></m>"] {
            check("<m><a/>?<b/></m>", arrived).unwrap();
        }
        differs("<m><a/>?<b/></m>", "<m><a/><c/></m>", "<c> in place of <b>");
        assert!(check("<m>either<a/></m>", "<m><a/></m>").unwrap_err().contains("\"either\""));
    }
}
