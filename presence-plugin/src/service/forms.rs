//! Data forms (XEP-0004): asked, filled in, and as a result.

use std::collections::BTreeMap;

use super::Element;

/// The namespace of forms.
pub const NAMESPACE: &str = "jabber:x:data";

/// A field to be filled in, or with what came out.
pub struct Field<'a> {
    /// Its name.
    pub name: &'a str,
    /// How clients show it: `list-single`, `text-single`...
    pub kind: &'a str,
    /// What people read beside it.
    pub label: &'a str,
    /// What is in it.
    pub values: Vec<String>,
    /// What can be chosen: a value and what people read in its place.
    pub options: Vec<(String, String)>,
}

/// What was filled in, by the names of the fields.
pub type Values = BTreeMap<String, Vec<String>>;

impl<'a> Field<'a> {
    /// A line of text.
    pub fn text(name: &'a str, label: &'a str, value: impl Into<String>) -> Field<'a> {
        Field { name, kind: "text-single", label, values: vec![value.into()], options: Vec::new() }
    }

    /// One of several values.
    pub fn choice(name: &'a str, label: &'a str, value: &str, options: &[(&str, &str)]) -> Field<'a> {
        let options = options.iter().map(|(value, label)| ((*value).into(), (*label).into())).collect();
        Field { name, kind: "list-single", label, values: vec![value.into()], options }
    }

    /// Any of several values, none to begin with.
    pub fn choices(name: &'a str, label: &'a str, options: Vec<(String, String)>) -> Field<'a> {
        Field { name, kind: "list-multi", label, values: Vec::new(), options }
    }

    fn element(self) -> Element {
        let options = self
            .options
            .into_iter()
            .map(|(value, label)| Element::new("option", NAMESPACE).with("label", label).with_text("value", &value));
        let values = self.values.iter().map(|value| Element::new("value", NAMESPACE).text(value));
        Element::new("field", NAMESPACE)
            .with("var", self.name)
            .with("type", self.kind)
            .with("label", self.label)
            .children_from(values)
            .children_from(options)
    }
}

/// A form to be filled in.
pub fn form(title: &str, instructions: &str, fields: Vec<Field<'_>>) -> Element {
    let form = Element::new("x", NAMESPACE).with("type", "form").with_text("title", title);
    form.with_text("instructions", instructions).children_from(fields.into_iter().map(Field::element))
}

/// What came out.
pub fn result(title: &str, fields: Vec<Field<'_>>) -> Element {
    let form = Element::new("x", NAMESPACE).with("type", "result").with_text("title", title);
    form.children_from(fields.into_iter().map(Field::element))
}

/// Says of which kind a form is (XEP-0068).
pub fn form_type(namespace: &str) -> Element {
    Element::new("field", NAMESPACE).with("var", "FORM_TYPE").with("type", "hidden").with_text("value", namespace)
}

/// What was filled in. `None`: the element is no form that was.
pub fn submitted(form: &Element) -> Option<Values> {
    if form.attribute("type") != Some("submit") {
        return None;
    }
    let fields = form.elements().filter(|element| element.is("field", NAMESPACE));
    let values = |field: &Element| {
        let values = field.elements().filter(|element| element.is("value", NAMESPACE));
        values.map(Element::own_text).collect::<Vec<_>>()
    };
    Some(fields.filter_map(|field| Some((field.attribute("var")?.to_owned(), values(field)))).collect())
}

/// The only or first value of a field, trimmed; `None`: it was left out or left empty.
pub fn value<'a>(values: &'a Values, name: &str) -> Option<&'a str> {
    values.get(name)?.first().map(|value| value.trim()).filter(|value| !value.is_empty())
}
