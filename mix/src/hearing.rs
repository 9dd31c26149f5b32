//! Whether this node can open what its neighbours send it.
//!
//! A node with another key than the document names, or whose clock is in another epoch, drops
//! everything, and nothing else in it shows that. So it keeps count of the packets of each neighbour:
//! how many could be opened, and how many could not because of the key or the epoch.
//!
//! Whether a packet opens is also up to who made it, a client or a member before the one that passed it
//! on. So the count is by family, only members of the position before this node's are counted, more than
//! half of all families there have to have sent what can't be opened, and next to nothing that can; and
//! none of the node's own loops may have come back meanwhile, which whoever asks here has to see to: one
//! that did was opened with the key of the epoch. Who sends garbage by all neighbours brings nothing about
//! without keeping back the node's loops too, and no more than that it says that it is not ready.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shoal_proto::{Epoch, NodeId, Span, Time};
use shoal_topology::{Document, Family};

use crate::DropReason;

/// For so long a count goes on, and the one before it counts too.
const HALF: Span = Span::from_secs(30);
/// Packets of a family that say something.
const ENOUGH: u32 = 8;
/// Of so many packets one may have been opened.
const NEXT_TO_NOTHING: u32 = 20;

/// What became of neighbours' packets. Memory: a few numbers for each neighbour that sends.
#[derive(Default)]
pub(crate) struct Hearing(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// Of which document: with another one there are other keys, and other neighbours.
    epoch: Option<Epoch>,
    since: Time,
    now: BTreeMap<NodeId, Tally>,
    before: BTreeMap<NodeId, Tally>,
}

/// One neighbour's packets.
#[derive(Clone, Copy, Default)]
struct Tally {
    opened: u32,
    unknown_epoch: u32,
    mac: u32,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.opened = self.opened.saturating_add(other.opened);
        self.unknown_epoch = self.unknown_epoch.saturating_add(other.unknown_epoch);
        self.mac = self.mac.saturating_add(other.mac);
    }

    /// Why nothing can be opened, if that is so.
    const fn why(self) -> Option<DropReason> {
        let failed = self.unknown_epoch.saturating_add(self.mac);
        if failed < ENOUGH || self.opened > failed / NEXT_TO_NOTHING {
            return None;
        }
        Some(if self.unknown_epoch >= self.mac {
            DropReason::UnknownEpoch
        } else {
            DropReason::Mac
        })
    }
}

impl Counts {
    fn turn(&mut self, now: Time, epoch: Epoch) {
        if self.epoch.replace(epoch) != Some(epoch) {
            self.since = now;
            self.now.clear();
            self.before.clear();
        }
        let age = now.since(self.since);
        if age < HALF {
            return;
        }
        let ended = std::mem::take(&mut self.now);
        self.before = if age < HALF + HALF {
            ended
        } else {
            BTreeMap::new()
        };
        self.since = now;
    }
}

impl Hearing {
    /// A neighbour's packet was opened, or was dropped for this reason. `document` is one that counts.
    pub(crate) fn note(
        &self,
        now: Time,
        (document, local): (&Document, &NodeId),
        from: &NodeId,
        outcome: Result<(), DropReason>,
    ) {
        let mut tally = Tally::default();
        match outcome {
            Ok(()) => tally.opened = 1,
            Err(DropReason::UnknownEpoch) => tally.unknown_epoch = 1,
            Err(DropReason::Mac) => tally.mac = 1,
            Err(_) => return,
        }
        if document.position_ok(from, local) {
            let mut counts = self.counts();
            counts.turn(now, document.epoch());
            counts.now.entry(*from).or_default().add(tally);
        }
    }

    /// Why most neighbours' packets can't be opened, if that is so.
    pub(crate) fn why_deaf(
        &self,
        now: Time,
        document: &Document,
        local: &NodeId,
    ) -> Option<DropReason> {
        let mut counts = self.counts();
        counts.turn(now, document.epoch());
        let mut families: BTreeMap<Family, Tally> = BTreeMap::new();
        for id in document.before(local) {
            let family = families.entry(document.family(id)).or_default();
            let counted = [counts.now.get(id), counts.before.get(id)];
            counted.into_iter().flatten().for_each(|t| family.add(*t));
        }
        let of_all = families.len();
        let why: Vec<DropReason> = families.into_values().filter_map(Tally::why).collect();
        // One that is alone there can't be told from the others.
        if why.len() < 2 || why.len() * 2 <= of_all {
            return None;
        }
        let epochs = why.iter().filter(|why| **why == DropReason::UnknownEpoch);
        Some(if epochs.count() * 2 >= why.len() {
            DropReason::UnknownEpoch
        } else {
            DropReason::Mac
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Each count is whole after each statement that changes it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
