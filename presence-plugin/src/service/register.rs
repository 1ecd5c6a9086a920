//! Registration (XEP-0077): the user's choices in one form, for clients that show no commands. To remove the registration forgets all that was chosen
//! and made.

use super::{
    Condition, Desk, Element, Reply, User,
    commands::visibility,
    forms::{self, Values},
};

/// The namespace of registration.
pub const NAMESPACE: &str = "jabber:iq:register";
/// What people read above the form.
const INSTRUCTIONS: &str = "Choose who sees your presence on the web. Unregister to forget what you have chosen, with all tokens and unlisted addresses.";

/// The form, filled in with what holds.
pub fn form(desk: &impl Desk, user: User<'_>) -> Reply {
    let choice = desk.choice(user.bare)?;
    let mut query = Element::new("query", NAMESPACE);
    if choice.is_some() {
        query = query.child(Element::new("registered", NAMESPACE));
    }
    let form = forms::form(visibility::TITLE, INSTRUCTIONS, visibility::fields(choice.unwrap_or_default()));
    Ok(Some(query.with_text("instructions", INSTRUCTIONS).child(form.child(forms::form_type(NAMESPACE)))))
}

/// Takes what was filled in, or the wish to be forgotten.
pub fn submit(desk: &impl Desk, user: User<'_>, query: &Element) -> Reply {
    if query.find("remove", NAMESPACE).is_some() {
        desk.forget(user.bare)?;
        return Ok(None);
    }
    let form = query.find("x", forms::NAMESPACE).ok_or(Condition::BAD_REQUEST)?;
    match form.attribute("type") {
        Some("cancel") => {}
        _ => take(desk, user, &forms::submitted(form).ok_or(Condition::BAD_REQUEST)?)?,
    }
    Ok(None)
}

fn take(desk: &impl Desk, user: User<'_>, values: &Values) -> Result<(), Condition> {
    let before = desk.choice(user.bare)?.unwrap_or_default();
    Ok(desk.choose(user.bare, visibility::read(values, before)?)?)
}
