//! What the host is asked and told, in order; what follows once it has saved something; and the
//! alarms that stand.

use std::collections::{BTreeMap, VecDeque};

use crate::event::{Alarm, ClientAction, ClientEvent};
use crate::rows::Change;

/// Actions for the host, and for each ticket that it has not answered what follows, if anything.
pub(crate) struct Desk<F> {
    actions: VecDeque<ClientAction>,
    pending: BTreeMap<u64, Option<F>>,
    next_ticket: u64,
    /// Alarms that are not over, one of a kind.
    standing: Vec<Alarm>,
}

impl<F> Desk<F> {
    pub(crate) fn new() -> Self {
        Self {
            actions: VecDeque::new(),
            pending: BTreeMap::new(),
            next_ticket: 1,
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

    /// The host has answered a ticket, for the first time: what follows, if anything.
    pub(crate) fn answered(&mut self, ticket: u64) -> Option<Option<F>> {
        self.pending.remove(&ticket)
    }

    fn ask(&mut self, changes: Vec<Change>, follows: Option<F>) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.pending.insert(ticket, follows);
        self.act(ClientAction::Persist { ticket, changes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
