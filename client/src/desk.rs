//! What the host is asked and told, in order; what follows once it has saved something; and the
//! alarms that stand.
//!
//! What could not be saved and holds in memory all the same is owed to the disk: it goes with what is saved next. A
//! disk that took a later row and not an earlier one would be a state that never was.

use std::collections::{BTreeMap, VecDeque};

use shoal_proto::{Span, Time};

use crate::event::{Alarm, ClientAction, ClientEvent};
use crate::rows::Change;
use crate::table::Table;

/// After so long what is owed is saved, though there is nothing else to save.
const REMINDER: Span = Span::from_secs(60);

/// What the host has been asked to save and has not answered.
struct Pending<F> {
    follows: Option<F>,
    changes: Vec<Change>,
    /// So many of these, the first ones, were owed before.
    owed: usize,
}

/// Actions for the host, and for each ticket that it has not answered what follows, if anything.
pub(crate) struct Desk<F> {
    actions: VecDeque<ClientAction>,
    pending: BTreeMap<u64, Pending<F>>,
    next_ticket: u64,
    /// What holds, and is not on disk, by table and key.
    owed: BTreeMap<(Table, Vec<u8>), Change>,
    /// When that is tried again at the latest.
    reminder: Option<Time>,
    /// Alarms that are not over, one of a kind.
    standing: Vec<Alarm>,
}

impl<F> Desk<F> {
    pub(crate) fn new() -> Self {
        Self {
            actions: VecDeque::new(),
            pending: BTreeMap::new(),
            next_ticket: 1,
            owed: BTreeMap::new(),
            reminder: None,
            standing: Vec::new(),
        }
    }

    pub(crate) fn next_action(&mut self) -> Option<ClientAction> {
        self.actions.pop_front()
    }

    pub(crate) fn act(&mut self, action: ClientAction) {
        self.actions.push_back(action);
    }

    pub(crate) fn event(&mut self, event: ClientEvent) {
        self.act(ClientAction::Event(event));
    }

    /// Something is wrong from now on. Told once until it is over; only its figures may change.
    pub(crate) fn raise(&mut self, alarm: Alarm) {
        match self.standing.iter_mut().find(|it| it.is_kind_of(&alarm)) {
            Some(standing) => *standing = alarm,
            None => {
                self.standing.push(alarm);
                self.event(ClientEvent::Alarm(alarm));
            }
        }
    }

    /// What is wrong with an alarm of this kind is over: told, and the next time is news again.
    pub(crate) fn settle(&mut self, kind: Alarm) {
        if let Some(at) = self.standing.iter().position(|it| it.is_kind_of(&kind)) {
            let over = self.standing.remove(at);
            self.event(ClientEvent::AlarmOver(over));
        }
    }

    /// Whether what an alarm tells is so.
    pub(crate) fn hold(&mut self, alarm: Alarm, holds: bool) {
        match holds {
            true => self.raise(alarm),
            false => self.settle(alarm),
        }
    }

    /// What is wrong now, each thing once.
    pub(crate) fn standing(&self) -> &[Alarm] {
        &self.standing
    }

    /// Asks the host to store changes; `follows` is what the answer means.
    pub(crate) fn persist(&mut self, changes: Vec<Change>, follows: F) {
        self.ask(changes, Some(follows));
    }

    /// Asks the host to store changes that nothing waits for: their loss costs work and no more.
    pub(crate) fn note(&mut self, changes: impl IntoIterator<Item = Change>) {
        let changes = Vec::from_iter(changes);
        if !changes.is_empty() {
            self.ask(changes, None);
        }
    }

    /// The host has saved what a ticket is of, for the first time: what follows, if anything.
    pub(crate) fn answered(&mut self, ticket: u64) -> Option<Option<F>> {
        self.pending.remove(&ticket).map(|pending| pending.follows)
    }

    /// It has not, for the first time: what follows, if anything. Rows of tables that `holds` says yes of are in memory as
    /// they were to be on disk; the others are taken back.
    pub(crate) fn failed(
        &mut self,
        now: Time,
        ticket: u64,
        holds: impl Fn(Option<&F>, Table) -> bool,
    ) -> Option<Option<F>> {
        let Pending {
            follows,
            changes,
            owed,
        } = self.pending.remove(&ticket)?;
        for (index, change) in changes.into_iter().enumerate() {
            // What was asked for after it is newer, and will be on disk or be owed itself.
            let mut later = self.pending.range(ticket..).flat_map(|it| &it.1.changes);
            let is_old = later.any(|it| it.table == change.table && it.key == change.key);
            if !is_old && (index < owed || holds(follows.as_ref(), change.table)) {
                self.owed.insert((change.table, change.key.clone()), change);
            }
        }
        if !self.owed.is_empty() {
            self.reminder = Some(now + REMINDER);
        }
        Some(follows)
    }

    /// When what is owed is saved at the latest.
    pub(crate) const fn reminder(&self) -> Option<Time> {
        self.reminder
    }

    /// What is owed is saved, if nothing else was for a while.
    pub(crate) fn remind(&mut self, now: Time) {
        if self.reminder.is_some_and(|at| at <= now) {
            self.ask(Vec::new(), None);
        }
    }

    fn ask(&mut self, own: Vec<Change>, follows: Option<F>) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.reminder = None;
        for change in &own {
            self.owed.remove(&(change.table, change.key.clone()));
        }
        let mut changes = Vec::from_iter(std::mem::take(&mut self.owed).into_values());
        let owed = changes.len();
        changes.extend(own);
        let pending = Pending {
            follows,
            changes: changes.clone(),
            owed,
        };
        self.pending.insert(ticket, pending);
        self.act(ClientAction::Persist { ticket, changes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: u8, value: u8) -> Change {
        Change::put(Table::Contact, vec![key], vec![value].into())
    }

    /// The next ticket, and what is to be saved with it.
    fn asked<F>(desk: &mut Desk<F>) -> (u64, Vec<Change>) {
        match desk.next_action() {
            Some(ClientAction::Persist { ticket, changes }) => (ticket, changes),
            _ => panic!("nothing is asked"),
        }
    }

    #[test]
    fn what_holds_and_could_not_be_saved_goes_with_what_is_saved_next() {
        let (mut desk, now) = (Desk::new(), Time::from_micros(5));
        desk.persist(vec![change(1, 1), change(2, 1), change(3, 1)], "first");
        desk.persist(vec![change(2, 2)], "second");
        let (first, second) = (asked(&mut desk).0, asked(&mut desk).0);
        let all = |_: Option<&&str>, _| true;
        assert_eq!(desk.failed(now, first, all), Some(Some("first")));
        assert_eq!(desk.failed(now, first, all), None);
        // The second one is newer, and a third newer still.
        desk.note([change(3, 3)]);
        let (third, changes) = asked(&mut desk);
        assert_eq!(changes, [change(1, 1), change(3, 3)]);
        // What was owed is owed again, whatever the answer means to the rest.
        assert_eq!(desk.failed(now, second, all), Some(Some("second")));
        assert_eq!(desk.failed(now, third, |_, _| false), Some(None));
        desk.remind(now + Span::from_secs(59));
        assert!(desk.next_action().is_none());
        desk.remind(now + REMINDER);
        let (fourth, changes) = asked(&mut desk);
        assert_eq!(changes, [change(1, 1), change(2, 2)]);
        assert_eq!(desk.answered(fourth), Some(None));
        desk.remind(Time::MAX);
        assert!(desk.next_action().is_none());
    }

    fn events(desk: &mut Desk<()>) -> Vec<ClientEvent> {
        let actions = std::iter::from_fn(|| desk.next_action());
        let events = actions.filter_map(|action| match action {
            ClientAction::Event(event) => Some(event),
            _ => None,
        });
        events.collect()
    }

    #[test]
    fn an_alarm_stands_once_until_its_cause_is_over() {
        use ClientEvent::{Alarm as Begins, AlarmOver as Ends};
        let mut desk = Desk::new();
        desk.raise(Alarm::LoopsLost(16));
        desk.raise(Alarm::LoopsLost(20));
        desk.hold(Alarm::NoDocument, true);
        let lost = Alarm::LoopsLost(16);
        assert_eq!(events(&mut desk), [Begins(lost), Begins(Alarm::NoDocument)]);
        assert_eq!(desk.standing(), [Alarm::LoopsLost(20), Alarm::NoDocument]);
        desk.settle(Alarm::LoopsLost(0));
        desk.settle(Alarm::LoopsLost(0));
        desk.hold(Alarm::NoDocument, true);
        desk.raise(Alarm::LoopsLost(17));
        let told = [Ends(Alarm::LoopsLost(20)), Begins(Alarm::LoopsLost(17))];
        assert_eq!(events(&mut desk), told);
    }

    #[test]
    fn a_ticket_is_answered_once_and_nothing_asks_for_nothing() {
        let mut desk = Desk::new();
        desk.note([]);
        assert!(desk.next_action().is_none());
        desk.persist(Vec::new(), 7);
        let Some(ClientAction::Persist { ticket, .. }) = desk.next_action() else {
            panic!("nothing is asked");
        };
        assert_eq!(desk.answered(ticket), Some(Some(7)));
        assert_eq!(desk.answered(ticket), None);
    }
}
