use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters since the start. Nothing in them names a peer.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct NetStats { $($(#[$doc])* pub $name: u64,)* }

        #[derive(Default)]
        pub(super) struct Stats { $(pub(super) $name: AtomicU64,)* }

        impl Stats {
            pub(super) fn snapshot(&self) -> NetStats {
                NetStats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Frames read from peers.
    frames_read,
    /// Frames handed to connections.
    frames_written,
    /// Writes; `frames_written / writes` says how well frames are coalesced.
    writes,
    /// Frames that were in a ring, or in a write that failed, when their link closed.
    frames_abandoned,
    /// Incoming packet substreams that ended in the middle of a frame.
    streams_malformed,
    /// Incoming packet substreams that were closed because their peer may have none, or too many
    /// waited.
    streams_refused,
    /// Connections closed because no frame came from a peer that is not to be kept connected.
    idle_closed,
    /// Links closed because the peer did not take a write in time.
    stalled_closed,
    /// Dials that failed.
    dials_failed,
    /// Incoming connections that failed or were refused.
    incoming_failed,
    /// Requests of peers dropped because too many waited.
    requests_refused,
    /// Responses of ours that were too long or came too late.
    responses_lost,
    /// Commands dropped because the queue was full.
    commands_dropped,
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    count_many(counter, 1);
}

/// So many more.
pub(super) fn count_many(counter: &AtomicU64, more: usize) {
    counter.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
}
