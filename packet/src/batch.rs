//! Things that are worked on together.

use crate::hop::WIDE;

/// A few things in order, at most [`Engine::BATCH`](crate::Engine::BATCH), without an allocation:
/// what one pass of an [`Engine`](crate::Engine) handles together. Who fills a batch cuts what
/// there is; who gets one takes it as it is.
///
/// ```
/// use shoal_packet::{Batch, Engine};
///
/// let mut waiting = 0..Engine::BATCH + 2;
/// let batch = Batch::fill(&mut waiting);
/// assert_eq!((batch.len(), waiting.len()), (Engine::BATCH, 2));
/// assert!(batch.into_iter().eq(0..Engine::BATCH));
/// assert_eq!(Batch::fill(&mut waiting).len(), 2);
/// ```
pub struct Batch<T> {
    items: [Option<T>; WIDE],
    count: usize,
}

impl<T> Batch<T> {
    /// As many things as there is room for; the others stay where they are.
    #[must_use]
    pub fn fill(things: &mut impl Iterator<Item = T>) -> Self {
        let mut batch = Self {
            items: [const { None }; WIDE],
            count: 0,
        };
        for (place, thing) in batch.items.iter_mut().zip(things) {
            *place = Some(thing);
            batch.count += 1;
        }
        batch
    }

    /// How many they are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The things, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().flatten()
    }

    /// The things, in order, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut().flatten()
    }

    /// Something else in place of each, in order.
    #[must_use]
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Batch<U> {
        Batch::fill(&mut self.into_iter().map(change))
    }
}

/// A batch of one.
impl<T> From<T> for Batch<T> {
    fn from(thing: T) -> Self {
        Self::fill(&mut std::iter::once(thing))
    }
}

impl<T> IntoIterator for Batch<T> {
    type Item = T;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<T>, WIDE>>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter().flatten()
    }
}
