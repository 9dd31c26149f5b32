//! What has to be on disk before something else is said or done, and in what groups it gets there.
//!
//! A key is on disk before anybody hears of it, the number of the own descriptor before the
//! descriptor leaves, and what a seat says of a document before it is said, so that no crash loses a key that
//! others use, or lets a node sign two descriptors with one number or vote twice. The key of an epoch that is over is deleted a moment later than it is
//! given up, because tags of its packets may be on their way to the replay log: by a deadline, and
//! not when it is quiet, or who floods the node could keep the key alive.
//!
//! They have a lane of their own, with the documents that are decided, so that what others make the node write
//! (descriptors) delays them by one group at most. What comes while a group is written makes the next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shoal_proto::{DocumentHash, Epoch, NetworkHash, NodeId, Span, Time};
use shoal_topology::agreement::Height;
use shoal_topology::{DirectoryAction, DirectoryChange, KeyRing};

/// How long the key of an epoch that is over stays on disk for the last tags.
const KEY_LINGER: Span = Span::from_secs(3);
/// How long until what could not be saved is tried again.
const RETRY: Span = Span::from_secs(3);
/// What the directory wants done while it waits for the disk: beyond that, answers are left out.
const MOST_HELD: usize = 256;
/// Most descriptors of a group.
const MOST_IN_GROUP: usize = 256;

/// Changes that are written together, with their ticket.
pub(super) type Write = (u64, Vec<DirectoryChange>);

/// The order between the disk and what depends on it.
#[derive(Default)]
pub(super) struct Durable {
    last_ticket: u64,
    /// Keys, numbers, what a seat says, and what was decided: few, and others wait for most of them.
    own: Lane,
    /// Descriptors.
    others: Lane,
    /// Waits until keys and numbers are on disk: the newest.
    held_keys: Option<KeyRing>,
    held: VecDeque<DirectoryAction>,
    /// Keys to delete, and when.
    removals: VecDeque<(Time, Epoch)>,
    /// The node stops: everything is given to the disk at once.
    rushes: bool,
}

/// What a change is about; the later of two about one row wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Key(Epoch),
    Document(Epoch),
    Descriptor(NodeId, u64),
    Sequence,
    Handover(Height),
    Record(Height, u64),
    Proposal(DocumentHash),
    Evidence(NodeId),
    SeatKeys,
    Successor(NetworkHash),
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
            DirectoryChange::Handover { height, .. } => Self::Handover(*height),
            DirectoryChange::Record { height, number, .. }
            | DirectoryChange::RemoveRecord { height, number } => Self::Record(*height, *number),
            DirectoryChange::Proposal { hash, .. } | DirectoryChange::RemoveProposal { hash } => {
                Self::Proposal(*hash)
            }
            DirectoryChange::Evidence { id, .. } | DirectoryChange::RemoveEvidence { id } => {
                Self::Evidence(*id)
            }
            DirectoryChange::SeatKeys { .. } => Self::SeatKeys,
            DirectoryChange::Successor { hash, .. } => Self::Successor(*hash),
        }
    }
}

/// Whether others may not hear of something before this is on disk.
const fn is_awaited(change: &DirectoryChange) -> bool {
    matches!(
        change,
        DirectoryChange::Key { .. }
            | DirectoryChange::Sequence(_)
            | DirectoryChange::Record { .. }
            | DirectoryChange::Proposal { .. }
            | DirectoryChange::SeatKeys { .. }
    )
}

/// Whether a row is written once, so that there is nothing to delete if it goes before that.
const fn is_written_once(change: &DirectoryChange) -> bool {
    matches!(
        change,
        DirectoryChange::Descriptor { .. }
            | DirectoryChange::Record { .. }
            | DirectoryChange::Proposal { .. }
    )
}

/// Whether a row that is written once goes.
const fn is_removal(change: &DirectoryChange) -> bool {
    matches!(
        change,
        DirectoryChange::RemoveDescriptor { .. }
            | DirectoryChange::RemoveRecord { .. }
            | DirectoryChange::RemoveProposal { .. }
    )
}

/// Changes on their way to the disk, in groups. Memory: one change for each row that the directory
/// keeps or that the disk has, however long the disk takes and however often it fails.
#[derive(Default)]
struct Lane {
    /// The newest change of each row that is not given to the disk.
    waiting: BTreeMap<Row, Waiting>,
    /// The rows of the groups that the disk has been given.
    given: BTreeMap<u64, BTreeMap<Row, Given>>,
    /// Rows of a group that failed, until they are written.
    behind: BTreeSet<Row>,
    /// Not before then, after a failure.
    not_before: Time,
}

struct Waiting {
    change: DirectoryChange,
    /// Nothing of this row is on disk, so that there is nothing to delete if it goes again.
    is_new: bool,
}

struct Given {
    awaited: bool,
    is_new: bool,
}

impl Lane {
    fn put(&mut self, change: DirectoryChange) {
        let row = Row::of(&change);
        let is_new = match self.waiting.remove(&row) {
            Some(before) => before.is_new,
            None => !self.is_given(&row) && is_written_once(&change),
        };
        if is_new && is_removal(&change) {
            self.behind.remove(&row);
        } else {
            self.waiting.insert(row, Waiting { change, is_new });
        }
    }

    fn is_given(&self, row: &Row) -> bool {
        self.given.values().any(|rows| rows.contains_key(row))
    }

    /// Whether a group is to be given to the disk now.
    fn is_due(&self, now: Time, rushes: bool) -> bool {
        let free = self.given.is_empty() || rushes;
        !self.waiting.is_empty() && free && now >= self.not_before
    }

    /// The next group.
    fn take(&mut self, ticket: u64, most: usize) -> Vec<DirectoryChange> {
        let (mut rows, mut changes) = (BTreeMap::new(), Vec::new());
        while changes.len() < most
            && let Some((row, Waiting { change, is_new })) = self.waiting.pop_first()
        {
            let awaited = is_awaited(&change);
            rows.insert(row, Given { awaited, is_new });
            changes.push(change);
        }
        self.given.insert(ticket, rows);
        changes
    }

    /// The group is written, but for these.
    fn end(&mut self, now: Time, ticket: u64, failed: Vec<DirectoryChange>) {
        let rows = self.given.remove(&ticket).unwrap_or_default();
        for row in rows.keys() {
            self.behind.remove(row);
        }
        if !failed.is_empty() {
            self.not_before = now + RETRY;
        }
        for change in failed {
            let row = Row::of(&change);
            let is_new = rows.get(&row).is_some_and(|given| given.is_new);
            if !self.is_given(&row) {
                self.again(row, change, is_new);
            }
        }
    }

    /// A change that failed waits again, unless a newer one stands in its place.
    fn again(&mut self, row: Row, change: DirectoryChange, is_new: bool) {
        match self.waiting.remove(&row) {
            // It was never on disk, and is not to be.
            Some(newer) if is_new && is_removal(&newer.change) => {}
            newer => {
                let change = newer.map_or(change, |newer| newer.change);
                self.waiting.insert(row, Waiting { change, is_new });
                self.behind.insert(row);
            }
        }
    }

    /// The awaited rows that are not on disk.
    fn awaited(&self) -> impl Iterator<Item = Row> + '_ {
        let waiting = self.waiting.iter();
        let waiting = waiting.filter(|(_, waiting)| is_awaited(&waiting.change));
        let given = self.given.values().flatten();
        let given = given.filter(|(_, given)| given.awaited);
        waiting
            .map(|(row, _)| *row)
            .chain(given.map(|(row, _)| *row))
    }

    fn deadline(&self) -> Option<Time> {
        let waits = !self.waiting.is_empty() && self.given.is_empty();
        waits.then_some(self.not_before)
    }
}

/// What becomes of something that the directory wants done.
pub(super) enum Ordered {
    /// To be done now.
    Now(DirectoryAction),
    /// Waits for the disk, or is to be written.
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
            DirectoryAction::Persist(change) => {
                self.write(change);
                Ordered::Later
            }
            // Work and words change nothing for anybody else; and whom to dial, and what the seats have signed, tell nothing
            // of what is not on disk.
            action @ (DirectoryAction::Job(_)
            | DirectoryAction::Dial { .. }
            | DirectoryAction::Moved(_)
            | DirectoryAction::Amendments(_)
            | DirectoryAction::Verdict { .. }
            | DirectoryAction::Refuse { .. }
            | DirectoryAction::Warn(_)
            | DirectoryAction::View(_)) => Ordered::Now(action),
            action if !self.awaits() => Ordered::Now(action),
            DirectoryAction::Keys(keys) => {
                // What is given up is given up now, whatever the disk does.
                let safe =
                    keys.without(|epoch| self.own.awaited().any(|row| row == Row::Key(epoch)));
                self.held_keys = Some(keys);
                Ordered::Now(DirectoryAction::Keys(safe))
            }
            action if self.held.len() < MOST_HELD => {
                self.held.push_back(action);
                Ordered::Later
            }
            action => Ordered::Refused(action),
        }
    }

    fn write(&mut self, change: DirectoryChange) {
        match Row::of(&change) {
            // What was decided is in the lane of what was said of it, so that the one is not given up before the
            // other is there: else who crashes between votes again.
            Row::Key(_)
            | Row::Sequence
            | Row::SeatKeys
            | Row::Record(..)
            | Row::Proposal(_)
            | Row::Document(_)
            | Row::Handover(_)
            | Row::Successor(_)
            // It is given up when a document has taken it, and not before that is there.
            | Row::Evidence(_) => self.own.put(change),
            Row::Descriptor(..) => self.others.put(change),
        }
    }

    fn awaits(&self) -> bool {
        self.own.awaited().next().is_some()
    }

    /// A group is on disk. Gives what waited for it.
    pub(super) fn done(&mut self, now: Time, ticket: u64) -> Vec<DirectoryAction> {
        self.failed(now, ticket, Vec::new())
    }

    /// A group is on disk but for these changes, which are tried again later unless newer ones stand
    /// in their place. Gives what waited for it.
    pub(super) fn failed(
        &mut self,
        now: Time,
        ticket: u64,
        changes: Vec<DirectoryChange>,
    ) -> Vec<DirectoryAction> {
        let lane = match self.own.given.contains_key(&ticket) {
            true => &mut self.own,
            false => &mut self.others,
        };
        lane.end(now, ticket, changes);
        if self.awaits() {
            return Vec::new();
        }
        let keys = self.held_keys.take().map(DirectoryAction::Keys);
        keys.into_iter().chain(self.held.drain(..)).collect()
    }

    /// Whether something could not be saved and is not yet.
    pub(super) fn is_behind(&self) -> bool {
        !self.own.behind.is_empty() || !self.others.behind.is_empty()
    }

    /// The next group that is due by now.
    pub(super) fn poll(&mut self, now: Time) -> Option<Write> {
        while let Some((_, epoch)) = self.removals.pop_front_if(|(at, _)| *at <= now) {
            self.write(DirectoryChange::RemoveKey { epoch });
        }
        let (lane, most) = if self.own.is_due(now, self.rushes) {
            (&mut self.own, usize::MAX)
        } else if self.others.is_due(now, self.rushes) {
            (&mut self.others, MOST_IN_GROUP)
        } else {
            return None;
        };
        self.last_ticket += 1;
        Some((self.last_ticket, lane.take(self.last_ticket, most)))
    }

    /// The node stops: everything that is left to write or to delete is given to the disk, due or not.
    pub(super) fn rush(&mut self) {
        self.rushes = true;
        for (at, _) in &mut self.removals {
            *at = Time::default();
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let removal = self.removals.front().map(|(at, _)| *at);
        let lanes = [self.own.deadline(), self.others.deadline()];
        lanes.into_iter().flatten().chain(removal).min()
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

    fn sequence(number: u64) -> DirectoryAction {
        DirectoryAction::Persist(DirectoryChange::Sequence(number))
    }

    fn descriptor(number: u64) -> DirectoryAction {
        DirectoryAction::Persist(DirectoryChange::Descriptor {
            id: NodeId::new([1; 32]),
            sequence: number,
            bytes: [0; 1024].into(),
        })
    }

    fn no_descriptor(sequence: u64) -> DirectoryAction {
        let id = NodeId::new([1; 32]);
        DirectoryAction::Persist(DirectoryChange::RemoveDescriptor { id, sequence })
    }

    fn publish() -> DirectoryAction {
        DirectoryAction::Publish(vec![1])
    }

    fn later(durable: &mut Durable, millis: u64, action: DirectoryAction) {
        assert!(matches!(durable.order(at(millis), action), Ordered::Later));
    }

    #[test]
    fn nobody_hears_of_what_is_not_on_disk() {
        let mut durable = Durable::default();
        assert!(matches!(durable.order(at(0), publish()), Ordered::Now(_)));
        later(&mut durable, 0, key(1));
        let (first, _) = durable.poll(at(0)).expect("a group");
        later(&mut durable, 0, sequence(4));
        later(&mut durable, 0, publish());
        assert!(durable.poll(at(0)).is_none(), "one group at a time");
        assert!(
            durable.done(at(0), first).is_empty(),
            "the number is not there yet"
        );
        let (second, _) = durable.poll(at(0)).expect("a group");
        let released = durable.done(at(0), second);
        assert!(matches!(released[..], [DirectoryAction::Publish(_)]));
        assert!(matches!(durable.order(at(0), publish()), Ordered::Now(_)));
    }

    #[test]
    fn what_was_said_is_given_up_together_with_what_came_of_it() {
        let (height, number) = (Height::new(4), 0);
        let persist = DirectoryAction::Persist;
        let mut durable = Durable::default();
        later(
            &mut durable,
            0,
            persist(DirectoryChange::Record {
                height,
                number,
                bytes: [1].into(),
            }),
        );
        let (said, _) = durable.poll(at(0)).expect("a group");
        durable.done(at(0), said);
        // The disk is busy with what others make the node write.
        later(&mut durable, 1, descriptor(1));
        durable.poll(at(1)).expect("a group");
        let epoch = Epoch::new(3);
        let bytes = [2].into();
        let document = DirectoryChange::Document { epoch, bytes };
        later(&mut durable, 2, persist(document));
        let gone = DirectoryChange::RemoveRecord { height, number };
        later(&mut durable, 2, persist(gone));
        let (_, changes) = durable.poll(at(2)).expect("a group");
        let is_document = |change: &_| matches!(change, DirectoryChange::Document { .. });
        let is_gone = |change: &_| matches!(change, DirectoryChange::RemoveRecord { .. });
        assert!(changes.iter().any(is_gone) && changes.iter().any(is_document));
    }

    #[test]
    fn what_failed_is_tried_again_and_still_awaited() {
        let mut durable = Durable::default();
        later(&mut durable, 0, key(1));
        let (number, changes) = durable.poll(at(0)).expect("a group");
        durable.failed(at(0), number, changes);
        assert!(durable.is_behind());
        later(&mut durable, 0, publish());
        assert_eq!(durable.deadline(), Some(at(3000)));
        assert!(durable.poll(at(2999)).is_none());
        let (number, again) = durable.poll(at(3000)).expect("again");
        assert!(matches!(again[..], [DirectoryChange::Key { .. }]));
        assert!(durable.is_behind(), "it is being tried");
        assert_eq!(durable.done(at(3000), number).len(), 1);
        assert!(!durable.is_behind());
    }

    #[test]
    fn what_failed_undoes_nothing_newer() {
        let mut durable = Durable::default();
        later(&mut durable, 0, sequence(4));
        let (first, changes) = durable.poll(at(0)).expect("a group");
        later(&mut durable, 1, sequence(5));
        durable.failed(at(1), first, changes);
        later(&mut durable, 1, publish());
        let (second, changes) = durable.poll(at(9000)).expect("a group");
        assert!(
            matches!(changes[..], [DirectoryChange::Sequence(5)]),
            "4 is over"
        );
        assert_eq!(durable.done(at(9000), second).len(), 1);
        assert!(durable.own.waiting.is_empty() && durable.own.given.is_empty());
    }

    #[test]
    fn a_key_is_deleted_by_its_deadline_however_busy_the_node_is() {
        let mut durable = Durable::default();
        let epoch = Epoch::new(1);
        let remove = DirectoryAction::Persist(DirectoryChange::RemoveKey { epoch });
        later(&mut durable, 0, remove);
        let (mut groups, mut others) = (0, Vec::new());
        for millis in (0..3000).step_by(10) {
            later(&mut durable, millis, descriptor(millis));
            // A disk that takes half a second for what others make it write.
            if millis % 500 == 0
                && let Some(ticket) = others.pop()
            {
                durable.done(at(millis), ticket);
            }
            if let Some((ticket, changes)) = durable.poll(at(millis)) {
                assert!(matches!(changes[0], DirectoryChange::Descriptor { .. }));
                others.push(ticket);
                groups += 1;
            }
        }
        assert_eq!(groups, 6);
        let (_, removed) = durable.poll(at(3000)).expect("a group");
        assert!(matches!(removed[..], [DirectoryChange::RemoveKey { .. }]));
    }

    #[test]
    fn keys_and_numbers_pass_what_others_make_the_node_write() {
        let mut durable = Durable::default();
        for number in 0..1000 {
            later(&mut durable, 0, descriptor(number));
        }
        let (others, changes) = durable.poll(at(0)).expect("a group");
        assert_eq!(changes.len(), MOST_IN_GROUP);
        later(&mut durable, 1, key(1));
        later(&mut durable, 1, sequence(1));
        let (own, changes) = durable.poll(at(1)).expect("a group");
        let [DirectoryChange::Key { .. }, DirectoryChange::Sequence(1)] = changes[..] else {
            panic!("keys and numbers come first");
        };
        later(&mut durable, 1, publish());
        assert_eq!(durable.done(at(2), own).len(), 1, "nothing else is awaited");
        durable.done(at(2), others);
        assert!(durable.poll(at(2)).is_some(), "the rest follows");
    }

    #[test]
    fn what_waits_for_a_disk_is_bounded_by_rows_however_it_fails() {
        let mut durable = Durable::default();
        for number in 0..1000 {
            // Tried again every time, or every tenth.
            let millis = number * [3000, 300][number as usize % 2];
            later(&mut durable, millis, descriptor(number));
            let group = durable.poll(at(millis));
            // It goes while it is being written, or after that has failed.
            let meanwhile = number % 3 == 0;
            if meanwhile {
                later(&mut durable, millis, no_descriptor(number));
            }
            if let Some((ticket, changes)) = group {
                durable.failed(at(millis), ticket, changes);
            }
            if !meanwhile {
                later(&mut durable, millis, no_descriptor(number));
            }
            assert!(durable.others.waiting.is_empty(), "{number}");
        }
        assert!(durable.others.behind.is_empty());
    }

    #[test]
    fn a_key_that_is_given_up_is_given_up_though_the_disk_hangs() {
        use rand::SeedableRng as _;
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
        let (mut ring, mut durable) = (KeyRing::new(), Durable::default());
        ring.ensure(&mut rng, Epoch::new(1));
        ring.ensure(&mut rng, Epoch::new(2));
        later(&mut durable, 0, key(2));
        ring.expire(Epoch::new(1));
        let action = DirectoryAction::Keys(ring.clone());
        let Ordered::Now(DirectoryAction::Keys(known)) = durable.order(at(0), action) else {
            panic!("it waits");
        };
        assert!(known.iter().map(|(epoch, _)| epoch.number()).eq([1]));
        ring.expire(Epoch::new(2));
        let action = DirectoryAction::Keys(ring);
        let Ordered::Now(DirectoryAction::Keys(known)) = durable.order(at(1), action) else {
            panic!("it waits");
        };
        assert!(known.iter().next().is_none(), "1 is over, 2 is not on disk");
        let (ticket, _) = durable.poll(at(2)).expect("a group");
        let released = durable.done(at(2), ticket);
        let [DirectoryAction::Keys(known)] = &released[..] else {
            panic!("the newest, once");
        };
        assert!(known.iter().map(|(epoch, _)| epoch.number()).eq([2]));
    }

    #[test]
    fn a_node_that_stops_gives_everything_to_the_disk() {
        let mut durable = Durable::default();
        for number in 0..600 {
            later(&mut durable, 0, descriptor(number));
        }
        let epoch = Epoch::new(1);
        later(
            &mut durable,
            0,
            DirectoryAction::Persist(DirectoryChange::RemoveKey { epoch }),
        );
        durable.rush();
        let groups = std::iter::from_fn(|| durable.poll(at(0)));
        let sizes: Vec<usize> = groups.map(|(_, changes)| changes.len()).collect();
        assert_eq!(sizes, [1, 256, 256, 88]);
    }

    #[test]
    fn what_waits_for_a_disk_that_fails_is_bounded() {
        let mut durable = Durable::default();
        later(&mut durable, 0, key(1));
        let respond = || DirectoryAction::Respond {
            to: shoal_topology::Ticket(1),
            response: Vec::new(),
        };
        for _ in 0..MOST_HELD {
            later(&mut durable, 0, respond());
        }
        assert!(matches!(
            durable.order(at(0), respond()),
            Ordered::Refused(_)
        ));
    }
}
