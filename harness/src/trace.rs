//! The trace: everything that happened, line by line.

use std::collections::BTreeMap;
use std::fmt;

use blake2::{Blake2s256, Digest};
use shoal_proto::Time;

/// What happened. Nothing in it is, or follows from, ciphertext or a random identifier: some
/// libraries draw randomness of their own, and a trace repeats from its seed all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// A frame was put on the link to the other party.
    FrameSent,
    /// A frame from the other party came in.
    FrameReceived,
    /// A frame from the other party was lost on the link.
    FrameLost,
    /// A frame from the other party came when nobody was there to take it.
    FrameUnclaimed,
    /// A frame could not be put on the link to the other party, which is not there.
    FrameUnreachable,
    /// A received frame was dropped at once; the node's books say why.
    FrameDropped,
    /// A packet ended here, for the provider role.
    Delivered,
    /// A descriptor was published or passed on to the other party.
    GossipSent,
    /// A descriptor came from the other party; the detail tells what was made of it.
    GossipReceived,
    /// The other party was asked for what its directory has.
    SyncAsked,
    /// The directory of the other party answered; the detail is the length in bytes.
    SyncAnswered,
    /// No answer came from the other party.
    SyncFailed,
    /// The documents known have changed; the detail is the newest epoch.
    View,
    /// Replay tags are durable; the detail is how far.
    TagsDurable,
    /// The store finished a group; the detail is its length.
    StoreDone,
    /// The client's rows are durable; the detail is the ticket.
    Persisted,
    /// The client is attached to the other party.
    Attached,
    /// The client is not attached to the other party any more.
    Detached,
    /// The process ended without warning.
    Crashed,
    /// The process is there.
    Started,
    /// A client took a message; the detail is the request.
    Accepted,
    /// A client sent a fragment.
    Sent,
    /// A client's message is stored; the detail is the request.
    Stored,
    /// A client received a message; the detail is the length of its text.
    Received,
    /// A client gave a message up; the detail is the request.
    Expired,
    /// A client raised an alarm.
    Alarm,
    /// Something else that a core reported; the detail tells what.
    Reported,
    /// A fault began; the detail is its number. The party is the first one that it concerns.
    FaultBegan,
    /// A fault ended; the detail is its number.
    FaultEnded,
    /// A client was made to go offline.
    Offline,
    /// A client was let online again.
    Online,
    /// Changes of the directory's state are durable; the detail is how many.
    StateSaved,
    /// The disk could not write.
    DiskFailed,
    /// The node does its work from now on; the detail is its layer.
    Ready,
    /// The node does not do its work, or not yet; the detail is for how many reasons.
    NotReady,
    /// The client could not attach, or renew its documents; it tries again by itself.
    Failed,
}

/// One line of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// When.
    pub at: Time,
    /// To which party: mixes first, then providers, then clients, each in the order in which they
    /// were built.
    pub party: u32,
    /// What.
    pub kind: Kind,
    /// The other party, or the party itself if there is none.
    pub other: u32,
    /// What `kind` says it is, else 0.
    pub detail: u64,
}

/// The hash of a trace: equal for equal traces. BLAKE2s of its lines, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceHash([u8; 32]);

impl TraceHash {
    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceHash({self})")
    }
}

/// Everything that happened, folded into a hash and kept if wanted.
pub(crate) struct Trace {
    state: Blake2s256,
    kept: Option<Vec<TraceEvent>>,
    count: u64,
    counts: BTreeMap<Kind, u64>,
}

impl Trace {
    /// Keeps the lines if `keep`: 32 bytes each.
    pub(crate) fn new(keep: bool) -> Self {
        Self {
            state: Blake2s256::new(),
            kept: keep.then(Vec::new),
            count: 0,
            counts: BTreeMap::new(),
        }
    }

    pub(crate) fn record(&mut self, event: TraceEvent) {
        let mut line = [0; 25];
        let fields = event
            .at
            .as_micros()
            .to_le_bytes()
            .into_iter()
            .chain(event.party.to_le_bytes())
            .chain([event.kind as u8])
            .chain(event.other.to_le_bytes())
            .chain(event.detail.to_le_bytes());
        for (to, from) in line.iter_mut().zip(fields) {
            *to = from;
        }
        self.state.update(line);
        self.count += 1;
        *self.counts.entry(event.kind).or_default() += 1;
        if let Some(kept) = &mut self.kept {
            kept.push(event);
        }
    }

    pub(crate) fn hash(&self) -> TraceHash {
        TraceHash(self.state.clone().finalize().into())
    }

    pub(crate) fn kept(&self) -> &[TraceEvent] {
        self.kept.as_deref().unwrap_or_default()
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Lines of this kind.
    pub(crate) fn count_of(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(detail: u64) -> TraceEvent {
        TraceEvent {
            at: Time::from_micros(5),
            party: 1,
            kind: Kind::FrameSent,
            other: 2,
            detail,
        }
    }

    #[test]
    fn the_hash_tells_traces_apart() {
        let hash_of = |events: &[TraceEvent]| {
            let mut trace = Trace::new(false);
            events.iter().for_each(|event| trace.record(*event));
            trace.hash()
        };
        let base = event(0);
        assert_eq!(hash_of(&[base, event(1)]), hash_of(&[base, event(1)]));
        let others = [
            event(1),
            TraceEvent {
                at: Time::from_micros(6),
                ..base
            },
            TraceEvent { party: 2, ..base },
            TraceEvent {
                kind: Kind::FrameLost,
                ..base
            },
            TraceEvent { other: 3, ..base },
            TraceEvent {
                detail: 1 << 56,
                ..base
            },
        ];
        for other in others {
            assert_ne!(hash_of(&[base]), hash_of(&[other]), "{other:?}");
        }
        assert_ne!(hash_of(&[base, event(1)]), hash_of(&[event(1), base]));
    }

    #[test]
    fn lines_are_kept_if_wanted() {
        let (mut kept, mut forgotten) = (Trace::new(true), Trace::new(false));
        kept.record(event(3));
        forgotten.record(event(3));
        assert_eq!(kept.kept(), &[event(3)]);
        assert!(forgotten.kept().is_empty());
        assert_eq!(kept.hash(), forgotten.hash());
        assert_eq!((kept.count(), forgotten.count()), (1, 1));
    }
}
