//! The bound on requests of peers that wait for an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A place among the requests that wait for an answer; its drop gives it back.
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    /// One of at most `most`, unless all are taken.
    pub(super) fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let free = |taken| (taken < most).then_some(taken + 1);
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, free)
            .ok()?;
        Some(Self(Arc::clone(taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
