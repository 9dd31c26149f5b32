//! What is asked of the store: tickets, what waits for an answer, whether the store is in trouble,
//! and when it next removes what expired.

use std::collections::BTreeMap;

use shoal_proto::{Span, Time};

use crate::{Limits, ProviderAction, StoreOp, StoreOutcome, StoreResult};

shoal_proto::counters! {
    /// What was asked of the store.
    pub struct StoreCounters("provider") {
        /// Operations that the store failed at.
        store_failed: counter "operations",
            "The log names the error and what to do about it; deposits are not accepted meanwhile, and nothing that was stored is lost.";
        /// Operations that the store has not finished.
        store_pending: gauge "operations",
            "If it stays high, the disk is too slow at flushing: use a faster one.";
        /// Rows that expired.
        expired: counter "rows";
    }
}

/// The operations that the store has not finished, each with what it is for. The store is asked to
/// remove what expired again and again, and never twice at once.
pub(crate) struct StoreDesk<W> {
    waiting: BTreeMap<u64, Purpose<W>>,
    next_ticket: u64,
    most: usize,
    trouble: Option<&'static str>,
    expire_every: Span,
    /// None while the store is at it.
    next_expiry: Option<Time>,
    counters: StoreCounters,
}

enum Purpose<W> {
    Asked(W),
    Expiry,
}

impl<W> StoreDesk<W> {
    pub(crate) fn new(limits: &Limits, now: Time) -> Self {
        Self {
            waiting: BTreeMap::new(),
            next_ticket: 0,
            most: limits.store_operations,
            trouble: None,
            expire_every: limits.expire_every,
            next_expiry: Some(now + limits.expire_every),
            counters: StoreCounters::default(),
        }
    }

    pub(crate) fn counters(&self) -> StoreCounters {
        StoreCounters {
            store_pending: self.waiting.len() as u64,
            ..self.counters
        }
    }

    /// Whether packets that need the store are turned away. What follows from those that were
    /// taken is asked for all the same.
    pub(crate) fn is_busy(&self) -> bool {
        self.waiting.len() >= self.most
    }

    /// Asks the store for something; `why` comes back with the answer.
    pub(crate) fn ask(&mut self, op: StoreOp, why: W) -> ProviderAction {
        self.give(op, Purpose::Asked(why))
    }

    fn give(&mut self, op: StoreOp, purpose: Purpose<W>) -> ProviderAction {
        let ticket = self.next_ticket;
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.waiting.insert(ticket, purpose);
        ProviderAction::Store { ticket, op }
    }

    /// When the store is asked next to remove what expired.
    pub(crate) const fn deadline(&self) -> Option<Time> {
        self.next_expiry
    }

    /// Asks the store to remove what expired, if that is due.
    pub(crate) fn expire(&mut self, now: Time) -> Option<ProviderAction> {
        self.next_expiry.take_if(|due| *due <= now)?;
        Some(self.give(StoreOp::Expire, Purpose::Expiry))
    }

    /// What the store's answer is for, if somebody waits for it, and what there is to tell of the
    /// store itself.
    pub(crate) fn done(
        &mut self,
        now: Time,
        ticket: u64,
        result: &StoreResult,
    ) -> (Option<W>, Option<ProviderAction>) {
        let Some(purpose) = self.waiting.remove(&ticket) else {
            return (None, None);
        };
        let news = self.watch(result);
        match purpose {
            Purpose::Asked(why) => (Some(why), news),
            Purpose::Expiry => {
                self.expired(now, result);
                (None, news)
            }
        }
    }

    /// Says once that the store fails, and once that it works again.
    fn watch(&mut self, result: &StoreResult) -> Option<ProviderAction> {
        match result {
            Ok(_) => self.trouble.take().map(|_| ProviderAction::StoreRecovered),
            Err(error) => {
                self.counters.store_failed += 1;
                let known = self.trouble.replace(error.label()) == Some(error.label());
                (!known).then(|| ProviderAction::StoreTrouble(error.clone()))
            }
        }
    }

    fn expired(&mut self, now: Time, result: &StoreResult) {
        let more = match result {
            Ok(StoreOutcome::Expired { removed, more }) => {
                self.counters.expired += removed;
                *more
            }
            _ => false,
        };
        self.next_expiry = Some(if more { now } else { now + self.expire_every });
    }
}
