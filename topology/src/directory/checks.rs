//! Descriptors of others whose signatures are being checked, and who waits for it: pieces of
//! gossip, and the answer of a neighbour. Copies of one descriptor are checked once.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use rand::CryptoRng;
use shoal_proto::{NodeId, Time, size, wire};

use super::jobs::Task;
use super::pool::Inserted;
use super::{Directory, DirectoryAction, Ticket, Verdict};
use crate::{DescriptorError, SignedDescriptor};

/// Most pieces of gossip that wait to be verified.
pub(super) const MAX_GOSSIP: usize = 256;

/// By the bytes of a descriptor: who waits for its check.
#[derive(Default)]
pub(super) struct Checks {
    waiting: BTreeMap<Arc<[u8]>, Waiting>,
    /// How many pieces of gossip wait.
    gossip: usize,
}

#[derive(Default)]
struct Waiting {
    gossip: Vec<Ticket>,
    /// Whether the answer that is being taken waits too.
    answer: bool,
}

impl Checks {
    /// The entry of a descriptor, and whether it is new and has to be checked.
    fn entry(&mut self, bytes: &Arc<[u8]>) -> (&mut Waiting, bool) {
        let new = !self.waiting.contains_key(bytes);
        (self.waiting.entry(Arc::clone(bytes)).or_default(), new)
    }
}

impl<R: CryptoRng> Directory<R> {
    /// Takes a piece of gossip as far as is cheap, and has the rest of it checked.
    pub(super) fn gossip(&mut self, now: Time, from: &NodeId, ticket: Ticket, bytes: Vec<u8>) {
        if !self.peers.may_gossip(from, now) {
            self.counters.rate_limited += 1;
            return self.verdict(ticket, Verdict::Ignore);
        }
        if self.is_known(&bytes) {
            self.counters.known += 1;
            return self.verdict(ticket, Verdict::Ignore);
        }
        if bytes.len() > size::MAX_DESCRIPTOR_BYTES {
            let refused = self.take(now, Err(DescriptorError::Size(bytes.len())));
            return self.verdict(ticket, judge(&refused));
        }
        if self.checks.gossip >= MAX_GOSSIP {
            self.counters.overflowed += 1;
            return self.verdict(ticket, Verdict::Ignore);
        }
        self.checks.gossip += 1;
        let bytes = bytes.into();
        let (waiting, new) = self.checks.entry(&bytes);
        waiting.gossip.push(ticket);
        if new {
            self.job(Task::Descriptor(bytes));
        }
    }

    /// Has a descriptor of the answer that is being taken checked.
    pub(super) fn check_for_answer(&mut self, bytes: Arc<[u8]>) {
        let (waiting, new) = self.checks.entry(&bytes);
        waiting.answer = true;
        if new {
            self.job(Task::Descriptor(bytes));
        }
    }

    /// Whether the answer waits for this descriptor already.
    pub(super) fn is_checked_for_answer(&self, bytes: &[u8]) -> bool {
        let waiting = self.checks.waiting.get(bytes);
        waiting.is_some_and(|waiting| waiting.answer)
    }

    /// A descriptor has been checked.
    pub(super) fn checked(
        &mut self,
        now: Time,
        bytes: &[u8],
        checked: &Result<SignedDescriptor, DescriptorError>,
    ) {
        let Some(waiting) = self.checks.waiting.remove(bytes) else {
            return;
        };
        self.checks.gossip -= waiting.gossip.len();
        for ticket in waiting.gossip {
            let taken = self.take(now, checked.clone());
            self.verdict(ticket, judge(&taken));
        }
        if waiting.answer {
            let taken = self.take(now, checked.clone());
            self.answer_checked(now, taken == Ok(Inserted::New));
        }
    }

    /// Takes a descriptor whose signature has been checked, if it may be taken now.
    fn take(
        &mut self,
        now: Time,
        checked: Result<SignedDescriptor, DescriptorError>,
    ) -> Result<Inserted, DescriptorError> {
        let inserted = checked.and_then(|signed| {
            signed.check_now(&self.rules.params, now)?;
            if self.own_id() == Some(signed.id()) {
                self.own_from_elsewhere(now, &signed);
            }
            Ok(self.insert(signed))
        });
        match &inserted {
            Ok(Inserted::New) => self.counters.accepted += 1,
            Ok(Inserted::Known) => self.counters.known += 1,
            Ok(Inserted::NoRoom) => self.counters.no_room += 1,
            Ok(Inserted::Equivocation) => self.counters.equivocated += 1,
            Err(error) => self.refusals.add(error.reason(), 1),
        }
        inserted
    }

    /// Whether these very bytes are known. Most of what comes is, and comparing is cheaper than
    /// verifying.
    pub(super) fn is_known(&self, bytes: &[u8]) -> bool {
        claimed_identity(bytes).is_some_and(|id| self.pool.contains(&id, bytes))
    }

    fn verdict(&mut self, of: Ticket, verdict: Verdict) {
        self.push(DirectoryAction::Verdict { of, verdict });
    }
}

fn judge(taken: &Result<Inserted, DescriptorError>) -> Verdict {
    match taken {
        Ok(Inserted::New) => Verdict::Accept,
        Ok(_) => Verdict::Ignore,
        // A clock that is wrong, perhaps ours, is nobody's malice.
        Err(error) if error.may_be_a_clock() => Verdict::Ignore,
        Err(_) => Verdict::Reject,
    }
}

/// Whose descriptor this claims to be, without verifying anything.
fn claimed_identity(bytes: &[u8]) -> Option<NodeId> {
    if bytes.len() > size::MAX_DESCRIPTOR_BYTES {
        return None;
    }
    let outer = wire::SignedDescriptor::decode(bytes).ok()?;
    let inner = wire::Descriptor::decode(outer.descriptor.as_slice()).ok()?;
    NodeId::try_from(inner.identity.as_slice()).ok()
}
