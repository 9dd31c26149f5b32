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
    /// Alarms that are not over; a few at most.
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

    pub(crate) fn alarm(&mut self, alarm: Alarm) {
        self.event(ClientEvent::Alarm(alarm));
    }

    /// Tells of something that is wrong, once until it is over.
    pub(crate) fn standing_alarm(&mut self, alarm: Alarm) {
        if !self.standing.contains(&alarm) {
            self.standing.push(alarm);
            self.alarm(alarm);
        }
    }

    /// It is over: the next time is news again.
    pub(crate) fn settle(&mut self, alarm: Alarm) {
        self.standing.retain(|standing| *standing != alarm);
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

    fn alarms(desk: &mut Desk<()>) -> Vec<Alarm> {
        std::iter::from_fn(|| desk.next_action())
            .filter_map(|action| match action {
                ClientAction::Event(ClientEvent::Alarm(alarm)) => Some(alarm),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_standing_alarm_is_told_once_until_it_is_over() {
        let mut desk = Desk::new();
        desk.standing_alarm(Alarm::InboxFull);
        desk.standing_alarm(Alarm::InboxFull);
        desk.standing_alarm(Alarm::NoDocument);
        assert_eq!(alarms(&mut desk), [Alarm::InboxFull, Alarm::NoDocument]);
        desk.settle(Alarm::InboxFull);
        desk.standing_alarm(Alarm::NoDocument);
        desk.standing_alarm(Alarm::InboxFull);
        assert_eq!(alarms(&mut desk), [Alarm::InboxFull]);
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
