//! Series that are looked up at the recorder once and kept: finding one by its labels on every message costs more than
//! counting in it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

/// What is counted about each of a few names: adapters, routes. First used when the recorder is there.
pub(super) struct Shelf<S>(LazyLock<RwLock<HashMap<String, Arc<S>>>>);

impl<S> Shelf<S> {
    pub const fn new() -> Shelf<S> {
        Shelf(LazyLock::new(RwLock::default))
    }

    /// The series of a name; made at its first use.
    pub fn of(&self, name: &str, make: impl FnOnce() -> S) -> Arc<S> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(known);
        }
        let mut shelf = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(shelf.entry(name.to_owned()).or_insert_with(|| Arc::new(make())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_made_once() {
        let shelf = Shelf::new();
        assert_eq!([shelf.of("a", || 1), shelf.of("a", || 2), shelf.of("b", || 3)].map(|s| *s), [1, 1, 3]);
    }
}
