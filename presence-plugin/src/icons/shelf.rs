//! Icons that were made, kept for the next who asks.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Icon, Look};

/// How many bytes of icons are kept. All looks in the three densities of one size take a fifth of it.
const ROOM: usize = 1 << 20;
/// What an icon takes beside its bytes: its place here, its tag.
const PLACE: usize = 128;

/// The shelf. When it is full it is cleared: what is in use is back at once, and nothing has to be noted when an icon is taken.
#[derive(Default)]
pub struct Shelf(RwLock<Kept>);

#[derive(Default)]
struct Kept {
    icons: HashMap<Look, Arc<Icon>>,
    bytes: usize,
}

impl Shelf {
    /// The icon, if it is here.
    pub fn get(&self, look: Look) -> Option<Arc<Icon>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).icons.get(&look).cloned()
    }

    /// Keeps an icon. Of two that were made at the same time the first stays.
    pub fn put(&self, look: Look, icon: Icon) -> Arc<Icon> {
        let bytes = icon.bytes.len() + PLACE;
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + bytes > ROOM {
            *kept = Kept::default();
        }
        if let Some(first) = kept.icons.get(&look) {
            return first.clone();
        }
        kept.bytes += bytes;
        kept.icons.entry(look).or_insert_with(|| Arc::new(icon)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::ETag,
        icons::{
            Encoding,
            themes::{State, Theme},
        },
    };

    fn look(size: u16) -> Look {
        Look { theme: Theme::Default, state: State::Away, size, encoding: Encoding::Png }
    }

    #[test]
    fn it_never_holds_more_than_there_is_room() {
        let shelf = Shelf::default();
        let icon = || Icon { bytes: vec![0; 100_000].into(), etag: ETag::new(b'p', b"") };
        for size in 0..100 {
            shelf.put(look(size), icon());
            let kept = shelf.0.read().unwrap();
            assert!(kept.bytes <= ROOM && kept.icons.len() <= 10, "{}", kept.bytes);
            assert_eq!(kept.icons.values().map(|icon| icon.bytes.len() + PLACE).sum::<usize>(), kept.bytes);
        }
        assert!(shelf.get(look(99)).is_some() && shelf.get(look(0)).is_none());
    }

    #[test]
    fn the_first_of_two_stays() {
        let shelf = Shelf::default();
        let icon = |byte| Icon { bytes: vec![byte].into(), etag: ETag::new(b'p', &[byte]) };
        let (first, second) = (shelf.put(look(16), icon(1)), shelf.put(look(16), icon(2)));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(shelf.0.read().unwrap().bytes, 1 + PLACE);
    }
}
