//! Bytes that lie where they are used, if there are few of them.

use std::ops::Deref;

/// Up to `FEW` bytes, 255 at most, in their place and right behind their count; or more of them, elsewhere. A `SmallVec` has the count
/// behind the room for all: often in another line of the processor's cache, and one more wait for memory.
#[derive(Clone)]
pub enum Compact<const FEW: usize> {
    /// So many of these.
    Few(u8, [u8; FEW]),
    /// All of them.
    Many(Vec<u8>),
}

impl<const FEW: usize> Compact<FEW> {
    /// A copy of these bytes.
    pub fn copy_of(bytes: &[u8]) -> Compact<FEW> {
        Compact::few(bytes).unwrap_or_else(|| Compact::Many(bytes.to_vec()))
    }

    fn few(bytes: &[u8]) -> Option<Compact<FEW>> {
        let mut few = [0; FEW];
        few.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Compact::Few(u8::try_from(bytes.len()).ok()?, few))
    }

    /// How many bytes lie elsewhere.
    pub fn elsewhere(&self) -> usize {
        match self {
            Compact::Few(..) => 0,
            Compact::Many(bytes) => bytes.capacity(),
        }
    }

    /// Takes no more room than it has to.
    pub fn shrink_to_fit(&mut self) {
        if let Compact::Many(bytes) = self {
            bytes.shrink_to_fit();
        }
    }
}

impl<const FEW: usize> From<Vec<u8>> for Compact<FEW> {
    fn from(bytes: Vec<u8>) -> Compact<FEW> {
        Compact::few(&bytes).unwrap_or(Compact::Many(bytes))
    }
}

impl<const FEW: usize> Deref for Compact<FEW> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Compact::Few(count, bytes) => &bytes[..usize::from(*count)],
            Compact::Many(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_there_however_many() {
        for count in [0, 1, 7, 8, 9, 255, 256, 1_000] {
            let bytes: Vec<u8> = (0..count).map(|number| number as u8).collect();
            let elsewhere = |is_many: bool| if is_many { count } else { 0 };
            let small = Compact::<8>::copy_of(&bytes);
            assert_eq!((&*small, small.elsewhere()), (&bytes[..], elsewhere(count > 8)));
            let mut large = Compact::<255>::from(bytes.clone());
            large.shrink_to_fit();
            assert_eq!((&*large, large.elsewhere()), (&bytes[..], elsewhere(count > 255)));
        }
    }
}
