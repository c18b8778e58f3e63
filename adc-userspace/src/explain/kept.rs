//! Values read once and lent out.

use std::cell::OnceCell;

/// What was read, by id. Grows by appending only, so that a reference to a value stays good while others are
/// added: the walk borrows entries, as it does from a map.
#[derive(Debug)]
pub(super) struct Kept<T>(OnceCell<Box<Entry<T>>>);

#[derive(Debug)]
struct Entry<T> {
    id: u16,
    value: Option<T>,
    rest: Kept<T>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(OnceCell::new())
    }
}

impl<T> Kept<T> {
    /// The value with this id; `read` is asked the first time. A walk touches a handful of ids.
    pub(super) fn get(&self, id: u16, read: impl Fn() -> Option<T>) -> Option<&T> {
        let mut place = self;
        loop {
            let entry = place.0.get_or_init(|| {
                Box::new(Entry {
                    id,
                    value: read(),
                    rest: Self::default(),
                })
            });
            if entry.id == id {
                return entry.value.as_ref();
            }
            place = &entry.rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn each_id_is_read_once_and_absence_is_kept_too() {
        let reads = Cell::new(0);
        let kept = Kept::default();
        let get = |id: u16| {
            kept.get(id, || {
                reads.set(reads.get() + 1);
                (id != 2).then_some(u32::from(id) * 10)
            })
        };
        let first = get(1);
        assert_eq!((get(2), get(3), get(2)), (None, Some(&30), None));
        assert_eq!((first, get(1)), (Some(&10), Some(&10)));
        assert_eq!(reads.get(), 3);
    }
}
