//! Bytes that lie where they are kept, if they are few.
//!
//! A read of a table that is larger than the processor's caches waits for memory, and for little else: each pointer on the way is one
//! more wait.

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
};

/// Up to `ROOM` bytes without a pointer, and more behind one.
#[derive(Debug)]
pub enum Inline<const ROOM: usize> {
    /// So many of them count.
    Short(u8, [u8; ROOM]),
    /// Too many.
    Long(Box<[u8]>),
}

impl<const ROOM: usize> From<&[u8]> for Inline<ROOM> {
    fn from(bytes: &[u8]) -> Inline<ROOM> {
        let mut room = [0; ROOM];
        match (u8::try_from(bytes.len()), room.get_mut(..bytes.len())) {
            (Ok(length), Some(start)) => {
                start.copy_from_slice(bytes);
                Inline::Short(length, room)
            }
            _ => Inline::Long(bytes.into()),
        }
    }
}

impl<const ROOM: usize> Borrow<[u8]> for Inline<ROOM> {
    fn borrow(&self) -> &[u8] {
        match self {
            Inline::Short(length, room) => &room[..usize::from(*length)],
            Inline::Long(bytes) => bytes,
        }
    }
}

/// As `Borrow` demands: the same as of a slice.
impl<const ROOM: usize> Hash for Inline<ROOM> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Borrow::<[u8]>::borrow(self).hash(state);
    }
}

impl<const ROOM: usize> PartialEq for Inline<ROOM> {
    fn eq(&self, other: &Self) -> bool {
        Borrow::<[u8]>::borrow(self) == Borrow::<[u8]>::borrow(other)
    }
}

impl<const ROOM: usize> Eq for Inline<ROOM> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_back_whether_there_is_room_or_not() {
        for length in [0, 1, 29, 30, 31, 255, 256, 1_000] {
            let bytes: Vec<u8> = (0..length).map(|number| number as u8).collect();
            let inline = Inline::<30>::from(&*bytes);
            assert_eq!(Borrow::<[u8]>::borrow(&inline), bytes);
            assert_eq!(matches!(inline, Inline::Short(..)), length <= 30);
            assert!(inline == Inline::from(&*bytes) && inline != Inline::from(&b"other"[..]));
        }
    }
}
