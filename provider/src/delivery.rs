use std::collections::{BTreeMap, VecDeque};

use shoal_packet::Surb;
use shoal_proto::{DropId, MailboxId, Span, Time};

use crate::store::{EntryId, StoredEntry};
use crate::{Limits, Window};

/// Ticks of the mailbox's clock that an acknowledgement is given at least.
const PUSH_AGAIN_TICKS: f64 = 40.0;

/// One mailbox that is being delivered: its stock of reply blocks, and what is where in the
/// stream. Blobs stay in the store but for the one that is pushed next.
pub(crate) struct Delivery {
    pub(crate) generation: u64,
    pub(crate) window: Window,
    /// Ticks per second.
    pub(crate) rate: f64,
    /// The number of the next stream packet.
    pub(crate) number: u64,
    /// When the clock ticks next; none before its first start.
    pub(crate) next: Option<Time>,
    /// When there was stock last.
    pub(crate) stocked: Time,
    /// The store was asked which drop ids have entries, and has not failed.
    pub(crate) discovered: bool,
    stock: BTreeMap<u8, VecDeque<Surb>>,
    queues: BTreeMap<DropId, Queue>,
    pushed: BTreeMap<EntryId, DropId>,
    served: Option<DropId>,
    ready: Option<Ready>,
    loading: Option<Loading>,
}

/// The entries of one drop id.
#[derive(Default)]
struct Queue {
    /// The last one that was pushed in this generation.
    cursor: EntryId,
    /// The last one that is known to be in the store.
    newest: EntryId,
    /// Pushed and not acknowledged, and when.
    pushed: BTreeMap<EntryId, Time>,
}

/// What to ask the store for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) drop: DropId,
    pub(crate) want: Want,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// This one, which was pushed before.
    Again(EntryId),
    /// The first one after the cursor; there is one up to `newest` unless it expired.
    After { cursor: EntryId, newest: EntryId },
}

impl Want {
    /// The cursor to list after.
    pub(crate) const fn cursor(self) -> EntryId {
        match self {
            Self::Again(entry) => entry.before(),
            Self::After { cursor, .. } => cursor,
        }
    }
}

struct Loading {
    ticket: u64,
    choice: Choice,
}

/// What the next tick pushes.
pub(crate) struct Ready {
    pub(crate) drop: DropId,
    pub(crate) stored: StoredEntry,
    pub(crate) again: bool,
}

impl Delivery {
    pub(crate) const fn new(generation: u64, window: Window, rate: f64, now: Time) -> Self {
        Self {
            generation,
            window,
            rate,
            number: 0,
            next: None,
            stocked: now,
            discovered: false,
            stock: BTreeMap::new(),
            queues: BTreeMap::new(),
            pushed: BTreeMap::new(),
            served: None,
            ready: None,
            loading: None,
        }
    }

    /// How many reply blocks are in stock for an epoch.
    pub(crate) fn stock_of(&self, epoch_byte: u8) -> usize {
        self.stock.get(&epoch_byte).map_or(0, VecDeque::len)
    }

    /// How many reply blocks are in stock.
    pub(crate) fn stock(&self) -> usize {
        self.stock.values().map(VecDeque::len).sum()
    }

    /// Takes reply blocks into stock. Returns how many older ones had to go.
    pub(crate) fn add_stock(
        &mut self,
        epoch_byte: u8,
        surbs: impl IntoIterator<Item = Surb>,
        most: usize,
    ) -> usize {
        let stock = self.stock.entry(epoch_byte).or_default();
        stock.extend(surbs);
        let over = stock.len().saturating_sub(most);
        stock.drain(..over);
        over
    }

    /// Drops the reply blocks of all epochs but these. Returns how many.
    pub(crate) fn void_stock(&mut self, keep: &[u8]) -> usize {
        let before = self.stock();
        self.stock.retain(|epoch_byte, _| keep.contains(epoch_byte));
        before.saturating_sub(self.stock())
    }

    /// The oldest reply block of an epoch.
    pub(crate) fn take_stock(&mut self, epoch_byte: u8) -> Option<Surb> {
        self.stock.get_mut(&epoch_byte)?.pop_front()
    }

    /// The store has an entry up to this one under the drop id.
    pub(crate) fn note(&mut self, drop: DropId, entry: EntryId) {
        let queue = self.queues.entry(drop).or_default();
        queue.newest = queue.newest.max(entry);
    }

    /// The owner has the entry.
    pub(crate) fn acknowledge(&mut self, entry: EntryId) {
        if self
            .ready
            .as_ref()
            .is_some_and(|ready| ready.stored.entry == entry)
        {
            self.ready = None;
        }
        self.forget(entry);
    }

    fn forget(&mut self, entry: EntryId) {
        if let Some(drop) = self.pushed.remove(&entry)
            && let Some(queue) = self.queues.get_mut(&drop)
        {
            queue.pushed.remove(&entry);
        }
    }

    /// What to load next: the drop ids take turns, and within one, what was pushed in vain comes
    /// before what is new. None while something is loaded or loading, or if there is nothing.
    pub(crate) fn choose(&mut self, now: Time, limits: &Limits) -> Option<Choice> {
        if self.ready.is_some() || self.loading.is_some() {
            return None;
        }
        self.queues.retain(|_, queue| !queue.is_done());
        let chosen = {
            let all = || self.queues.iter();
            let served = self.served;
            let after = all().filter(move |(drop, _)| Some(**drop) > served);
            let before = all().filter(move |(drop, _)| Some(**drop) <= served);
            after.chain(before).find_map(|(drop, queue)| {
                Some(Choice {
                    drop: *drop,
                    want: queue.want(now, limits, self.rate)?,
                })
            })
        }?;
        self.served = Some(chosen.drop);
        Some(chosen)
    }

    pub(crate) fn load(&mut self, ticket: u64, choice: Choice) {
        self.loading = Some(Loading { ticket, choice });
    }

    /// What the store gave; none if it failed. Answers to questions of an older generation are
    /// ignored.
    pub(crate) fn loaded(&mut self, ticket: u64, entries: Option<Vec<StoredEntry>>) {
        let Some(loading) = self.loading.take_if(|loading| loading.ticket == ticket) else {
            return;
        };
        let Choice { drop, want } = loading.choice;
        let Some(entries) = entries else {
            return;
        };
        let first = entries.into_iter().next();
        match (want, first) {
            (Want::Again(entry), Some(stored)) if stored.entry == entry => {
                // It may have been acknowledged meanwhile.
                if self.pushed.contains_key(&entry) {
                    self.ready = Some(Ready {
                        drop,
                        stored,
                        again: true,
                    });
                }
            }
            (Want::Again(entry), _) => self.forget(entry),
            (Want::After { .. }, Some(stored)) => {
                self.ready = Some(Ready {
                    drop,
                    stored,
                    again: false,
                });
            }
            (Want::After { newest, .. }, None) => {
                if let Some(queue) = self.queues.get_mut(&drop) {
                    queue.cursor = queue.cursor.max(newest);
                }
            }
        }
    }

    /// What this tick pushes.
    pub(crate) fn push(&mut self, now: Time) -> Option<Ready> {
        let ready = self.ready.take()?;
        let entry = ready.stored.entry;
        let queue = self.queues.entry(ready.drop).or_default();
        queue.cursor = queue.cursor.max(entry);
        queue.newest = queue.newest.max(entry);
        queue.pushed.insert(entry, now);
        self.pushed.insert(entry, ready.drop);
        Some(ready)
    }
}

impl Queue {
    fn is_done(&self) -> bool {
        self.pushed.is_empty() && self.cursor >= self.newest
    }

    fn want(&self, now: Time, limits: &Limits, rate: f64) -> Option<Want> {
        // Slow profiles acknowledge slowly, and must not have everything pushed twice.
        let patience = limits
            .push_again
            .max(Span::from_secs_f64(PUSH_AGAIN_TICKS / rate));
        let overdue = |at: Time| now.since(at) >= patience;
        let again = self
            .pushed
            .iter()
            .filter(|(_, at)| overdue(**at))
            .min_by_key(|(entry, at)| (**at, **entry))
            .map(|(entry, _)| Want::Again(*entry));
        let fresh = self.cursor < self.newest && self.pushed.len() < limits.unacknowledged_per_drop;
        again.or_else(|| {
            fresh.then_some(Want::After {
                cursor: self.cursor,
                newest: self.newest,
            })
        })
    }
}

/// When the clocks of mailboxes tick.
pub(crate) type Clocks = std::collections::BTreeSet<(Time, MailboxId)>;

/// How long the stock has been empty.
pub(crate) const fn dry_for(delivery: &Delivery, now: Time) -> Span {
    now.since(delivery.stocked)
}
