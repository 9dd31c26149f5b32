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
    trouble: Option<Trouble>,
    expire_every: Span,
    /// None while the store is at it.
    next_expiry: Option<Time>,
    counters: StoreCounters,
}

enum Purpose<W> {
    Asked(W),
    Expiry,
    Check,
}

/// That the store fails.
struct Trouble {
    label: &'static str,
    last: Time,
    /// When to ask whether it works again; none while the store is asked.
    check_at: Option<Time>,
}

/// How often a store that fails is asked whether it works again.
const CHECK_EVERY: Span = Span::from_secs(5);
/// A store that fails now and then is one trouble: it is over when nothing has failed for so long.
const CALM: Span = Span::from_secs(15);

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

    /// When the store is asked next to remove what expired, or whether it works again.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let check = self.trouble.as_ref().and_then(|trouble| trouble.check_at);
        self.next_expiry.into_iter().chain(check).min()
    }

    /// Asks a store that fails whether it works again, if that is due: it may be that nobody deposits
    /// anything.
    pub(crate) fn check(&mut self, now: Time) -> Option<ProviderAction> {
        let trouble = self.trouble.as_mut()?;
        trouble.check_at.take_if(|due| *due <= now)?;
        Some(self.give(StoreOp::Check, Purpose::Check))
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
        let news = self.watch(now, result);
        let failed = result.is_err() && !matches!(purpose, Purpose::Check);
        self.counters.store_failed += u64::from(failed);
        match purpose {
            Purpose::Asked(why) => (Some(why), news),
            Purpose::Expiry => {
                self.expired(now, result);
                (None, news)
            }
            Purpose::Check => {
                if let Some(trouble) = &mut self.trouble {
                    trouble.check_at = Some(now + CHECK_EVERY);
                }
                (None, news)
            }
        }
    }

    /// Says once that the store fails, and once that it works again: that it can write deposits, and has
    /// failed at nothing for a while. What it reads and deletes says nothing of that.
    fn watch(&mut self, now: Time, result: &StoreResult) -> Option<ProviderAction> {
        match result {
            Ok(StoreOutcome::Stored { .. } | StoreOutcome::Writable) => {
                let over = |trouble: &mut Trouble| now >= trouble.last + CALM;
                self.trouble
                    .take_if(over)
                    .map(|_| ProviderAction::StoreRecovered)
            }
            Ok(_) => None,
            Err(error) => {
                let label = error.label();
                let check_at = match &self.trouble {
                    Some(known) => known.check_at,
                    None => Some(now + CHECK_EVERY),
                };
                let trouble = Trouble {
                    label,
                    last: now,
                    check_at,
                };
                let known = self.trouble.replace(trouble);
                let news = known.is_none_or(|known| known.label != label);
                news.then(|| ProviderAction::StoreTrouble(error.clone()))
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
