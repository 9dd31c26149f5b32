//! Progress of long work, told to whoever watches.

use std::sync::atomic::{AtomicU64, Ordering};

/// Is told how far the work is. Called from several threads.
pub trait Watch: Sync {
    /// So much more virtual time has passed, in seconds summed over all runs, and so many more
    /// hops were simulated.
    fn advanced(&self, seconds: f64, hops: u64);

    /// A run has ended.
    fn ended(&self) {}

    /// Whether the work should stop as soon as it can.
    fn stop(&self) -> bool {
        false
    }
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn advanced(&self, _seconds: f64, _hops: u64) {}
}

/// Counts, for who wants to know afterwards.
#[derive(Debug, Default)]
pub struct Counted {
    hops: AtomicU64,
}

impl Counted {
    /// Hops so far.
    #[must_use]
    pub fn hops(&self) -> u64 {
        self.hops.load(Ordering::Relaxed)
    }
}

impl Watch for Counted {
    fn advanced(&self, _seconds: f64, hops: u64) {
        self.hops.fetch_add(hops, Ordering::Relaxed);
    }
}
