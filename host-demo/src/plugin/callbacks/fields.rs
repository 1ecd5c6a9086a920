//! The header fields of plugins' answers.
//!
//! An answer has most fields of the one before it, and to parse a field takes longer than to compare it. So each thread remembers one field
//! for each place in an answer: where it comes again it is given out as it was parsed, and where it has another value its name is.

use std::cell::RefCell;

use actix_web::http::header::{self, HeaderName, HeaderValue};
use plugin_api::abi::wire::Field;

/// For so many places a field is remembered.
const PLACES: usize = 8;
/// A longer value is not.
const LONGEST: usize = 128;
/// So many others in a row, and the last one is remembered in place of the one that was.
const PATIENCE: u8 = 16;

/// The fields that say how a message is framed.
const HOSTS_OWN: [HeaderName; 5] =
    [header::CONNECTION, header::CONTENT_LENGTH, header::DATE, header::TRANSFER_ENCODING, header::UPGRADE];

/// A parsed field.
pub type Parsed = (HeaderName, HeaderValue);

thread_local! {
    static REMEMBERED: RefCell<[Option<Remembered>; PLACES]> = const { RefCell::new([const { None }; PLACES]) };
}

struct Remembered {
    /// The name as the plugin writes it.
    written: Box<[u8]>,
    field: Parsed,
    /// How many others there have been since the last time that it was this one.
    others: u8,
}

/// Reads all fields.
///
/// # Errors
/// Names the first that is malformed, or not a plugin's to set.
pub fn read(fields: &[Field<'_>]) -> Result<Vec<Parsed>, String> {
    let read = |remembered: &mut [Option<Remembered>]| {
        let mut parsed = Vec::with_capacity(fields.len());
        for (place, field) in fields.iter().enumerate() {
            match remembered.get_mut(place) {
                Some(Some(known)) if known.is(field) => {
                    known.others = 0;
                    parsed.push(known.field.clone());
                }
                place => parsed.push(parse(field, place).ok_or_else(|| wrong(field))?),
            }
        }
        Ok(parsed)
    };
    // A thread that ends remembers nothing any more.
    REMEMBERED.try_with(|remembered| read(&mut *remembered.borrow_mut())).unwrap_or_else(|_| read(&mut []))
}

fn wrong(field: &Field<'_>) -> String {
    format!("the header field {:?} is malformed or not a plugin's to set", field.name)
}

impl Remembered {
    fn is(&self, field: &Field<'_>) -> bool {
        *self.written == *field.name.as_bytes() && self.field.1 == *field.value.as_slice()
    }
}

/// Reads a field that is not the one which is remembered at its place.
fn parse(field: &Field<'_>, place: Option<&mut Option<Remembered>>) -> Option<Parsed> {
    let (written, value) = (field.name.as_bytes(), field.value.as_slice());
    let known = place.as_deref().and_then(Option::as_ref).filter(|known| *known.written == *written);
    let name = match known {
        Some(known) => known.field.0.clone(),
        None => HeaderName::from_bytes(written).ok().filter(|name| !HOSTS_OWN.contains(name))?,
    };
    let parsed = (name, HeaderValue::from_bytes(value).ok()?);
    match place {
        Some(Some(known)) if known.others < PATIENCE => known.others += 1,
        Some(place) if value.len() <= LONGEST => {
            *place = Some(Remembered { written: written.into(), field: parsed.clone(), others: 0 });
        }
        _ => {}
    }
    Some(parsed)
}

#[cfg(test)]
mod tests {
    use abi_stable::std_types::RSlice;

    use super::*;

    fn text(fields: &[(&str, &str)]) -> Result<String, String> {
        let view = |(name, value): &(&'static str, &'static str)| Field {
            name: (*name).into(),
            value: RSlice::from_slice(value.as_bytes()),
        };
        let owned: Vec<(&'static str, &'static str)> =
            fields.iter().map(|(name, value)| (&*name.to_string().leak(), &*value.to_string().leak())).collect();
        let views: Vec<Field<'_>> = owned.iter().map(view).collect();
        let read = read(&views)?;
        Ok(read.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect())
    }

    #[test]
    fn whatever_came_before_a_field_is_read_as_it_is_written() {
        let values: Vec<String> = (0..3 * usize::from(PATIENCE)).map(|number| number.to_string()).collect();
        let long = "x".repeat(LONGEST + 1);
        for value in values.iter().flat_map(|value| [value, "same", &long]) {
            for name in ["ETag", "X-Own", "etag"] {
                let expected = format!("{}: {value}\nvary: a\n", name.to_lowercase());
                for _ in 0..2 {
                    assert_eq!(text(&[(name, value), ("Vary", "a")]).as_ref(), Ok(&expected));
                }
            }
        }
        let many: Vec<(&str, &str)> = (0..3 * PLACES).map(|_| ("X-Many", "y")).collect();
        assert_eq!(text(&many).unwrap(), "x-many: y\n".repeat(many.len()));
    }

    #[test]
    fn what_is_malformed_or_the_hosts_own_is_refused_wherever_it_stands() {
        let good = ("Vary", "a");
        assert!(text(&[good, good]).is_ok());
        for bad in [("Content-Length", "1"), ("DATE", "x"), ("", "x"), ("a b", "x"), ("Vary", "a\r\nb"), ("Vary", "\0")]
        {
            let refused = text(&[good, bad]).unwrap_err();
            assert!(refused.contains(&format!("{:?}", bad.0)), "{refused}");
            assert!(text(&[bad]).is_err() && text(&[good, good]).is_ok());
        }
    }
}
