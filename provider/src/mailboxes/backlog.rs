//! What waits for the owner of one mailbox, and what of it was pushed and not acknowledged.

use std::collections::BTreeMap;

use shoal_proto::{DropId, Span, Time};

use crate::store::{EntryId, StoredEntry};

/// Which entry is where: in the store, on its way from there, ready for the next tick, pushed.
/// Blobs stay in the store but for the one that is pushed next.
pub(super) struct Backlog {
    queues: BTreeMap<DropId, Queue>,
    pushed: BTreeMap<EntryId, DropId>,
    most_pushed: usize,
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

#[derive(Clone, Copy)]
enum Want {
    /// This one, which was pushed before.
    Again(EntryId),
    /// The first one after the cursor; there is one up to `newest` unless it expired.
    After { cursor: EntryId, newest: EntryId },
}

struct Loading {
    question: u64,
    drop: DropId,
    want: Want,
}

/// What the next tick pushes.
struct Ready {
    drop: DropId,
    stored: StoredEntry,
    again: bool,
}

impl Backlog {
    /// Nothing waits. Of one drop id, at most so many entries are pushed and not acknowledged.
    pub(super) const fn new(most_pushed: usize) -> Self {
        Self {
            queues: BTreeMap::new(),
            pushed: BTreeMap::new(),
            most_pushed,
            served: None,
            ready: None,
            loading: None,
        }
    }

    /// The store has an entry up to this one under the drop id.
    pub(super) fn note(&mut self, drop: DropId, entry: EntryId) {
        let queue = self.queues.entry(drop).or_default();
        queue.newest = queue.newest.max(entry);
    }

    /// Whether there is something that the owner has not got yet.
    pub(super) fn waits(&self) -> bool {
        self.queues.values().any(|queue| !queue.is_done())
    }

    /// The owner has the entry.
    pub(super) fn acknowledge(&mut self, entry: EntryId) {
        self.ready.take_if(|ready| ready.stored.entry == entry);
        self.forget(entry);
    }

    fn forget(&mut self, entry: EntryId) {
        if let Some(drop) = self.pushed.remove(&entry)
            && let Some(queue) = self.queues.get_mut(&drop)
        {
            queue.pushed.remove(&entry);
        }
    }

    /// What to load next, as a drop id and a cursor to list after: the drop ids take turns, and
    /// within one, what was pushed longer ago than `patience` in vain comes before what is new.
    /// None while something is loaded or loading, or if there is nothing. The answer goes into
    /// [`loaded`](Self::loaded) with the number of the question.
    pub(super) fn load(
        &mut self,
        now: Time,
        patience: Span,
        question: u64,
    ) -> Option<(DropId, EntryId)> {
        if self.ready.is_some() || self.loading.is_some() {
            return None;
        }
        self.queues.retain(|_, queue| !queue.is_done());
        let (drop, want) = self.choose(now, patience)?;
        self.served = Some(drop);
        self.loading = Some(Loading {
            question,
            drop,
            want,
        });
        Some((drop, want.cursor()))
    }

    fn choose(&self, now: Time, patience: Span) -> Option<(DropId, Want)> {
        let all = || self.queues.iter();
        let after = all().filter(|(drop, _)| Some(**drop) > self.served);
        let before = all().filter(|(drop, _)| Some(**drop) <= self.served);
        after.chain(before).find_map(|(drop, queue)| {
            let want = queue.want(now, patience, self.most_pushed)?;
            Some((*drop, want))
        })
    }

    /// What the store gave; none if it failed. Answers to questions of an older generation are
    /// ignored.
    pub(super) fn loaded(&mut self, question: u64, entries: Option<Vec<StoredEntry>>) {
        let asked = |loading: &mut Loading| loading.question == question;
        let Some(Loading { drop, want, .. }) = self.loading.take_if(asked) else {
            return;
        };
        let Some(entries) = entries else {
            return;
        };
        match (want, entries.into_iter().next()) {
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

    /// What this tick pushes: under which drop id, the entry, and whether it was pushed before.
    pub(super) fn push(&mut self, now: Time) -> Option<(DropId, StoredEntry, bool)> {
        let Ready {
            drop,
            stored,
            again,
        } = self.ready.take()?;
        let queue = self.queues.entry(drop).or_default();
        queue.cursor = queue.cursor.max(stored.entry);
        queue.newest = queue.newest.max(stored.entry);
        queue.pushed.insert(stored.entry, now);
        self.pushed.insert(stored.entry, drop);
        Some((drop, stored, again))
    }
}

impl Want {
    /// The cursor to list after.
    const fn cursor(self) -> EntryId {
        match self {
            Self::Again(entry) => entry.before(),
            Self::After { cursor, .. } => cursor,
        }
    }
}

impl Queue {
    fn is_done(&self) -> bool {
        self.pushed.is_empty() && self.cursor >= self.newest
    }

    fn want(&self, now: Time, patience: Span, most_pushed: usize) -> Option<Want> {
        let overdue = |at: Time| now.since(at) >= patience;
        let again = self
            .pushed
            .iter()
            .filter(|(_, at)| overdue(**at))
            .min_by_key(|(entry, at)| (**at, **entry))
            .map(|(entry, _)| Want::Again(*entry));
        let fresh = self.cursor < self.newest && self.pushed.len() < most_pushed;
        again.or_else(|| {
            fresh.then_some(Want::After {
                cursor: self.cursor,
                newest: self.newest,
            })
        })
    }
}
