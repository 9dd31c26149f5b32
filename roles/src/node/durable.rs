//! What has to be on disk before something else is said or done.
//!
//! A key is on disk before anybody hears of it, and the number of the own descriptor before the
//! descriptor leaves, so that no crash loses a key that others use, or lets a node sign two
//! descriptors with one number. The key of an epoch that is over is deleted a moment later than it is
//! given up, because tags of its packets may be on their way to the replay log: by a deadline, and
//! not when it is quiet, or who floods the node could keep the key alive.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shoal_proto::{Epoch, NodeId, Span, Time};
use shoal_topology::{DirectoryAction, DirectoryChange};

/// How long the key of an epoch that is over stays on disk for the last tags.
const KEY_LINGER: Span = Span::from_secs(3);
/// How long until what could not be saved is tried again.
const RETRY: Span = Span::from_secs(3);
/// What the directory wants done while it waits for the disk: beyond that, answers are left out.
const MOST_HELD: usize = 256;

/// A change for the disk, with its ticket.
pub(super) type Write = (u64, DirectoryChange);

/// The order between the disk and what depends on it.
#[derive(Default)]
pub(super) struct Durable {
    last_ticket: u64,
    /// Of keys and numbers that are not on disk yet.
    awaited: BTreeSet<u64>,
    /// Waits until the awaited ones are.
    held: VecDeque<DirectoryAction>,
    /// The row of each change that is not done, and the newest change of each row: an older one that
    /// fails is not tried again, or it would undo the newer.
    rows: BTreeMap<u64, Row>,
    newest: BTreeMap<Row, u64>,
    failed: BTreeMap<u64, (Time, DirectoryChange)>,
    /// Those that failed and are not done, waiting or being tried again.
    behind: BTreeSet<u64>,
    /// Keys to delete, and when.
    removals: VecDeque<(Time, Epoch)>,
}

/// What a change is about; the later of two about one row wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Key(Epoch),
    Document(Epoch),
    Descriptor(NodeId, u64),
    Sequence,
}

impl Row {
    const fn of(change: &DirectoryChange) -> Self {
        match change {
            DirectoryChange::Key { epoch, .. } | DirectoryChange::RemoveKey { epoch } => {
                Self::Key(*epoch)
            }
            DirectoryChange::Document { epoch, .. } | DirectoryChange::RemoveDocument { epoch } => {
                Self::Document(*epoch)
            }
            DirectoryChange::Descriptor { id, sequence, .. }
            | DirectoryChange::RemoveDescriptor { id, sequence } => {
                Self::Descriptor(*id, *sequence)
            }
            DirectoryChange::Sequence(_) => Self::Sequence,
        }
    }
}

/// What becomes of something that the directory wants done.
pub(super) enum Ordered {
    /// To be done now.
    Now(DirectoryAction),
    /// To be written.
    Write(Write),
    /// Waits for the disk.
    Later,
    /// There is no room for it to wait.
    Refused(DirectoryAction),
}

impl Durable {
    /// Puts an action into the order.
    pub(super) fn order(&mut self, now: Time, action: DirectoryAction) -> Ordered {
        match action {
            DirectoryAction::Persist(DirectoryChange::RemoveKey { epoch }) => {
                self.removals.push_back((now + KEY_LINGER, epoch));
                Ordered::Later
            }
            DirectoryAction::Persist(change) => Ordered::Write(self.write(change)),
            // Work and words change nothing for anybody else.
            action @ (DirectoryAction::Job(_)
            | DirectoryAction::Verdict { .. }
            | DirectoryAction::Warn(_)
            | DirectoryAction::View(_)) => Ordered::Now(action),
            action if self.awaited.is_empty() => Ordered::Now(action),
            action @ (DirectoryAction::Publish(_) | DirectoryAction::Keys(_)) => {
                self.held.push_back(action);
                Ordered::Later
            }
            action if self.held.len() < MOST_HELD => {
                self.held.push_back(action);
                Ordered::Later
            }
            action => Ordered::Refused(action),
        }
    }

    fn write(&mut self, change: DirectoryChange) -> Write {
        self.last_ticket += 1;
        let (ticket, row) = (self.last_ticket, Row::of(&change));
        self.rows.insert(ticket, row);
        if let Some(older) = self.newest.insert(row, ticket)
            && self.failed.remove(&older).is_some()
        {
            self.forget(older);
        }
        let awaited = matches!(
            change,
            DirectoryChange::Key { .. } | DirectoryChange::Sequence(_)
        );
        if awaited {
            self.awaited.insert(ticket);
        }
        (ticket, change)
    }

    /// A change is on disk. Gives what waited for it.
    pub(super) fn done(&mut self, ticket: u64) -> Vec<DirectoryAction> {
        self.forget(ticket);
        if self.awaited.is_empty() {
            self.held.drain(..).collect()
        } else {
            Vec::new()
        }
    }

    /// The change is done, or a newer one of its row stands in its place.
    fn forget(&mut self, ticket: u64) {
        self.awaited.remove(&ticket);
        self.behind.remove(&ticket);
        if let Some(row) = self.rows.remove(&ticket)
            && self.newest.get(&row) == Some(&ticket)
        {
            self.newest.remove(&row);
        }
    }

    /// A change is not on disk: later again, unless a newer one stands in its place. Gives what
    /// waited for it then.
    pub(super) fn failed(
        &mut self,
        now: Time,
        ticket: u64,
        change: DirectoryChange,
    ) -> Vec<DirectoryAction> {
        if self.newest.get(&Row::of(&change)) != Some(&ticket) {
            return self.done(ticket);
        }
        self.behind.insert(ticket);
        self.failed.insert(ticket, (now + RETRY, change));
        Vec::new()
    }

    /// Whether something could not be saved and is not yet.
    pub(super) fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// The next change that is due by now: one that failed, or a key to delete.
    pub(super) fn poll(&mut self, now: Time) -> Option<Write> {
        let again = self.failed.iter().find(|(_, (at, _))| *at <= now);
        if let Some(ticket) = again.map(|(ticket, _)| *ticket) {
            return self
                .failed
                .remove(&ticket)
                .map(|(_, change)| (ticket, change));
        }
        let (_, epoch) = self.removals.pop_front_if(|(at, _)| *at <= now)?;
        Some(self.write(DirectoryChange::RemoveKey { epoch }))
    }

    /// Everything that is left to delete, due or not: the node stops.
    pub(super) fn rush(&mut self) {
        for (at, _) in &mut self.removals {
            *at = Time::default();
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let again = self.failed.values().map(|(at, _)| *at).min();
        let removal = self.removals.front().map(|(at, _)| *at);
        again.into_iter().chain(removal).min()
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1000)
    }

    fn key(epoch: u64) -> DirectoryAction {
        DirectoryAction::Persist(DirectoryChange::Key {
            epoch: Epoch::new(epoch),
            secret: Zeroizing::new([7; 32]),
        })
    }

    fn publish() -> DirectoryAction {
        DirectoryAction::Publish(vec![1])
    }

    fn ticket(ordered: Ordered) -> Write {
        match ordered {
            Ordered::Write(write) => write,
            _ => panic!("nothing to write"),
        }
    }

    #[test]
    fn nobody_hears_of_what_is_not_on_disk() {
        let mut durable = Durable::default();
        assert!(matches!(durable.order(at(0), publish()), Ordered::Now(_)));
        let (first, _) = ticket(durable.order(at(0), key(1)));
        let sequence = DirectoryAction::Persist(DirectoryChange::Sequence(4));
        let (second, _) = ticket(durable.order(at(0), sequence));
        assert!(matches!(durable.order(at(0), publish()), Ordered::Later));
        assert!(durable.done(second).is_empty(), "the key is not there yet");
        let released = durable.done(first);
        assert!(matches!(released[..], [DirectoryAction::Publish(_)]));
        assert!(matches!(durable.order(at(0), publish()), Ordered::Now(_)));
    }

    #[test]
    fn what_failed_is_tried_again_and_still_awaited() {
        let mut durable = Durable::default();
        let (number, change) = ticket(durable.order(at(0), key(1)));
        durable.failed(at(0), number, change);
        assert!(durable.is_behind());
        assert!(matches!(durable.order(at(0), publish()), Ordered::Later));
        assert_eq!(durable.deadline(), Some(at(3000)));
        assert!(durable.poll(at(2999)).is_none());
        let again = durable.poll(at(3000));
        assert!(matches!(again, Some((n, DirectoryChange::Key { .. })) if n == number));
        assert!(durable.is_behind(), "it is being tried");
        assert_eq!(durable.done(number).len(), 1);
        assert!(!durable.is_behind());
    }

    #[test]
    fn what_failed_undoes_nothing_newer() {
        let mut durable = Durable::default();
        let sequence = |number| DirectoryAction::Persist(DirectoryChange::Sequence(number));
        let (first, change) = ticket(durable.order(at(0), sequence(4)));
        durable.failed(at(0), first, change);
        let (second, _) = ticket(durable.order(at(1), sequence(5)));
        assert!(durable.poll(at(9000)).is_none(), "4 is over");
        assert!(matches!(durable.order(at(1), publish()), Ordered::Later));
        assert_eq!(durable.done(second).len(), 1);
        // The same when the newer one was given before the older one failed.
        let (third, change) = ticket(durable.order(at(2), sequence(6)));
        let (fourth, _) = ticket(durable.order(at(2), sequence(7)));
        assert!(durable.failed(at(2), third, change).is_empty());
        assert!(durable.poll(at(9000)).is_none());
        assert!(durable.done(fourth).is_empty());
        assert!(durable.rows.is_empty() && durable.newest.is_empty());
    }

    #[test]
    fn a_key_is_deleted_by_its_deadline_however_busy_the_node_is() {
        let mut durable = Durable::default();
        let epoch = Epoch::new(1);
        let remove = DirectoryAction::Persist(DirectoryChange::RemoveKey { epoch });
        assert!(matches!(durable.order(at(0), remove), Ordered::Later));
        for millis in (0..3000).step_by(10) {
            ticket(durable.order(at(millis), key(millis)));
            assert!(durable.poll(at(millis)).is_none());
        }
        let removed = durable.poll(at(3000));
        assert!(matches!(
            removed,
            Some((_, DirectoryChange::RemoveKey { .. }))
        ));
        assert_eq!(durable.deadline(), None);
    }

    #[test]
    fn what_waits_for_a_disk_that_fails_is_bounded() {
        let mut durable = Durable::default();
        ticket(durable.order(at(0), key(1)));
        let respond = || DirectoryAction::Respond {
            to: shoal_topology::Ticket(1),
            response: Vec::new(),
        };
        for _ in 0..MOST_HELD {
            assert!(matches!(durable.order(at(0), respond()), Ordered::Later));
        }
        assert!(matches!(
            durable.order(at(0), respond()),
            Ordered::Refused(_)
        ));
    }
}
