//! The drop ids of one mailbox: one set or two, which it learns whether somebody will use them or not.
//!
//! The first set has one id for each invitation; the second one for each contact. A mailbox has those of its
//! place's audience, and is told which of their ids take nothing more, some hours after that was decided. Mailbox packets name one of them each until the mailbox has confirmed all; after that, one
//! now and then, at instants of a clock of its own, in case the mailbox has lost them. Nothing of this depends on what the user does: the mailbox
//! can't count contacts by it, nor see when there is a new one.

use std::collections::BTreeMap;

use rand::{CryptoRng, RngExt as _};
use shoal_packet::command::{DropChange, DropSet, SetSize};
use shoal_proto::{DropId, MailboxId, Time};
use shoal_topology::PoissonClock;

use crate::clock::ClockStep;
use crate::rows::{Audience, RevocationRow, SETS, SetState};

/// Drop ids for contacts, and as many for invitations.
pub(crate) const IDS: u16 = SetSize::Large.count();
/// Sets named a second once all are confirmed: one an hour.
const AGAIN: f64 = 1.0 / 3600.0;
/// The set for invitations.
const INVITATIONS: usize = 0;
/// The set for contacts.
const CONTACTS: usize = 1;

/// Whom a drop id is for, with its number there: below [`IDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DropName {
    /// An invitation.
    Invitation(u16),
    /// A contact.
    Contact(u16),
}

/// What one packet says of drop ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// That there is this set.
    Set(usize),
    /// That this one takes nothing more.
    Revoked(DropName),
}

/// One that is to take nothing more.
struct Revocation {
    row: RevocationRow,
    /// The counter of the packet that last said so; 0 for none.
    said: u64,
}

/// The sets, and how far the mailbox knows them.
pub(crate) struct Sets {
    mailbox: MailboxId,
    sets: [DropSet; SETS],
    /// Which of them it has.
    has: [bool; SETS],
    states: [SetState; SETS],
    /// The counter of the packet that last named each; 0 for none.
    said: [u64; SETS],
    again: PoissonClock,
    /// The set that is named again next.
    next: usize,
    revoked: BTreeMap<DropName, Revocation>,
}

impl Sets {
    /// Of this mailbox, for this audience, with the secrets of its sets, and as far as it is known to have
    /// them.
    pub(crate) fn new<R: CryptoRng>(
        mailbox: MailboxId,
        audience: Audience,
        [invitations, contacts]: [[u8; 32]; SETS],
        states: [SetState; SETS],
        rng: &mut R,
    ) -> Self {
        Self {
            mailbox,
            sets: [
                DropSet::new(invitations, SetSize::Large),
                DropSet::new(contacts, SetSize::Large),
            ],
            has: [audience.has_strangers(), audience.has_contacts()],
            states,
            said: [0; SETS],
            again: PoissonClock::new(rng, AGAIN),
            next: rng.random_range(0..SETS),
            revoked: BTreeMap::new(),
        }
    }

    pub(crate) fn states(&self) -> [SetState; SETS] {
        self.states
    }

    /// The drop id of an invitation, or of a contact.
    pub(crate) fn id(&self, name: DropName) -> DropId {
        let (set, number) = match name {
            DropName::Invitation(number) => (INVITATIONS, number),
            DropName::Contact(number) => (CONTACTS, number),
        };
        self.sets[set].id(&self.mailbox, number)
    }

    /// What the mailbox is told.
    pub(crate) fn change(&self, said: Said) -> Option<DropChange> {
        match said {
            Said::Set(set) => self.sets.get(set).cloned().map(DropChange::Register),
            Said::Revoked(name) => Some(DropChange::Revoke(self.id(name))),
        }
    }

    /// This one is to take nothing more, as the row says; one that was said to before stays so.
    pub(crate) fn revoke(&mut self, name: DropName, row: RevocationRow) {
        let revocation = Revocation { row, said: 0 };
        self.revoked.entry(name).or_insert(revocation);
    }

    /// Those that take nothing more, or are to.
    pub(crate) fn revoked(&self) -> impl Iterator<Item = DropName> + '_ {
        self.revoked.keys().copied()
    }

    /// The row of one of them.
    pub(crate) fn revocation(&self, name: DropName) -> Option<RevocationRow> {
        self.revoked.get(&name).map(|revocation| revocation.row)
    }

    /// What is to be said later is said as much later as before.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        for revocation in self.revoked.values_mut() {
            revocation.row.from = step.apply(revocation.row.from);
        }
    }

    /// Whether deposits under all of its ids are accepted.
    pub(crate) fn is_open(&self) -> bool {
        self.own()
            .all(|set| self.states[set] == SetState::Registered)
    }

    /// Whether the mailbox has answered for one of its ids: then it is there.
    pub(crate) fn is_there(&self) -> bool {
        self.own().any(|set| self.states[set] != SetState::Unknown)
    }

    /// The mailbox has all that it is told.
    pub(crate) fn confirm(&mut self) {
        self.states = [SetState::Registered; SETS];
        for revocation in self.revoked.values_mut() {
            revocation.row.done = true;
        }
    }

    /// The mailbox may be gone: what it knew is to be said anew.
    pub(crate) fn forget(&mut self) {
        self.states = [SetState::Unknown; SETS];
        for revocation in self.revoked.values_mut() {
            revocation.row.done = false;
        }
    }

    /// Whether deposits under the ids of invitations are accepted.
    pub(crate) fn takes_strangers(&self) -> bool {
        self.states[INVITATIONS] == SetState::Registered
    }

    /// The sets that it has.
    fn own(&self) -> impl Iterator<Item = usize> + '_ {
        (0..SETS).filter(|set| self.has[*set])
    }

    /// A connection begins, or the mailbox has forgotten what was said: what is not confirmed is to
    /// be said anew.
    pub(crate) fn restart(&mut self, now: Time) {
        self.said = [0; SETS];
        for revocation in self.revoked.values_mut() {
            revocation.said = 0;
        }
        self.again.start(now);
    }

    /// Drop ids that the mailbox has neither confirmed nor refused.
    pub(crate) fn unconfirmed(&self) -> u64 {
        self.count(SetState::Unknown)
    }

    /// Drop ids that the mailbox has refused.
    pub(crate) fn refused(&self) -> u64 {
        self.count(SetState::Refused)
    }

    fn count(&self, state: SetState) -> u64 {
        let those = self.own().filter(|set| self.states[*set] == state);
        those
            .map(|set| u64::from(self.sets[set].size().count()))
            .sum()
    }

    /// What the packet with this counter says, if anything: the set that was said the longest ago of those that
    /// are not confirmed, or an id that takes nothing more, or a set again. What was refused is asked for again too:
    /// there may be room.
    pub(crate) fn say(&mut self, now: Time, counter: u64) -> Option<Said> {
        let unknown = |set: &usize| self.states[*set] == SetState::Unknown;
        let first = self.own().filter(unknown).min_by_key(|set| self.said[*set]);
        if first.is_none()
            && let Some((name, revocation)) = self.due_revocation(now)
        {
            revocation.said = counter;
            return Some(Said::Revoked(name));
        }
        let set = first.or_else(|| self.due_again(now))?;
        self.said[set] = counter;
        Some(Said::Set(set))
    }

    /// The one that the mailbox was told of the longest ago, or never, and has not heard of.
    fn due_revocation(&mut self, now: Time) -> Option<(DropName, &mut Revocation)> {
        let due = |it: &(&DropName, &mut Revocation)| !it.1.row.done && it.1.row.from <= now;
        let waiting = self.revoked.iter_mut().filter(due);
        let first = waiting.min_by_key(|(_, revocation)| revocation.said);
        first.map(|(name, revocation)| (*name, revocation))
    }

    fn due_again(&mut self, now: Time) -> Option<usize> {
        self.again.tick(now)?;
        let after = (1..=SETS).map(|step| (self.next + step) % SETS);
        self.next = after.into_iter().find(|set| self.has[*set])?;
        Some(self.next)
    }

    /// The mailbox has answered for what it was told. Whether this is news, to be saved.
    pub(crate) fn settle(&mut self, said: Said, refused: bool) -> bool {
        match said {
            Said::Set(set) => self.settle_set(set, refused),
            Said::Revoked(name) => {
                let set = match name {
                    DropName::Invitation(_) => INVITATIONS,
                    DropName::Contact(_) => CONTACTS,
                };
                // It refuses to revoke what it does not have: that takes nothing either, if it has the set.
                let done = !refused || self.states[set] == SetState::Registered;
                let revocation = self.revoked.get_mut(&name);
                revocation.is_some_and(|it| done && !std::mem::replace(&mut it.row.done, true))
            }
        }
    }

    fn settle_set(&mut self, set: usize, refused: bool) -> bool {
        let Some(known) = self.states.get_mut(set) else {
            return false;
        };
        let state = match refused {
            true => SetState::Refused,
            false => SetState::Registered,
        };
        std::mem::replace(known, state) != state
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    use shoal_proto::Span;

    use super::*;

    fn sets_for(audience: Audience) -> Sets {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let unknown = [SetState::Unknown; SETS];
        let mailbox = MailboxId::new([1; 32]);
        Sets::new(mailbox, audience, [[2; 32], [3; 32]], unknown, rng)
    }

    fn sets() -> Sets {
        sets_for(Audience::All)
    }

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    #[test]
    fn every_set_is_said_until_it_is_settled_and_then_now_and_then() {
        let mut sets = sets();
        sets.restart(at(0));
        let said: Vec<_> = (1..=4).map(|counter| sets.say(at(0), counter)).collect();
        assert_eq!(said, [0, 1, 0, 1].map(|set| Some(Said::Set(set))));
        let [first, second] = [0, 1].map(Said::Set);
        assert!(sets.settle(first, false) && !sets.settle(first, false) && !sets.is_open());
        assert_eq!((sets.unconfirmed(), sets.refused()), (256, 0));
        assert_eq!([sets.say(at(0), 5), sets.say(at(0), 6)], [Some(second); 2]);
        assert!(sets.settle(second, true));
        assert_eq!((sets.unconfirmed(), sets.refused()), (0, 256));
        let mut met = BTreeSet::new();
        let mut times = 0;
        for second in (0..200 * 3600).step_by(2) {
            if let Some(Said::Set(set)) = sets.say(at(second), 66) {
                met.insert(set);
                times += 1;
            }
        }
        // A Poisson count of mean 200.
        assert!((150..250).contains(&times), "{times}");
        assert_eq!(met.len(), SETS, "also what was refused");
    }

    #[test]
    fn a_mailbox_has_the_sets_of_its_audience() {
        for (audience, own, count) in [(Audience::Strangers, 0, 256), (Audience::Contacts, 1, 256)]
        {
            let mut sets = sets_for(audience);
            let own = Said::Set(own);
            sets.restart(at(0));
            assert_eq!(sets.unconfirmed(), count);
            assert!((1..=3).all(|counter| sets.say(at(0), counter) == Some(own)));
            assert!(sets.settle(own, false) && sets.is_open());
            assert!((0..100 * 3600).step_by(60).all(|second| {
                let said = sets.say(at(second), 66);
                said.is_none() || said == Some(own)
            }));
        }
    }

    /// A clock that only mailbox packets look at is late at each of its ticks.
    #[test]
    fn what_is_looked_at_late_happens_once() {
        let mut sets = sets();
        assert!((0..SETS).all(|set| sets.settle(Said::Set(set), false)));
        sets.restart(at(0));
        let late = at(0) + Span::from_secs(48 * 3600);
        assert!(sets.say(late, 1).is_some());
        assert!(sets.say(late, 2).is_none());
    }

    #[test]
    fn no_two_ids_are_alike() {
        let sets = sets();
        let names = [DropName::Invitation, DropName::Contact];
        let all = names.map(|name| (0..IDS).map(name));
        let all: BTreeSet<_> = all
            .into_iter()
            .flatten()
            .map(|name| sets.id(name))
            .collect();
        assert_eq!(all.len(), 512);
    }

    #[test]
    fn one_that_takes_nothing_more_is_said_from_its_time_on_until_it_is_heard() {
        let mut sets = sets();
        sets.restart(at(0));
        let (name, other) = (DropName::Invitation(7), DropName::Contact(7));
        let row = |from| RevocationRow {
            from: at(from),
            done: false,
        };
        sets.revoke(name, row(100));
        sets.revoke(other, row(100));
        // That it was decided once counts.
        sets.revoke(name, row(0));
        assert_eq!(sets.say(at(200), 1), Some(Said::Set(0)), "sets come first");
        for set in 0..SETS {
            assert!(sets.settle(Said::Set(set), false));
        }
        assert_eq!(sets.say(at(99), 2), None, "not before its time");
        let said = [3, 4, 5].map(|counter| sets.say(at(100), counter));
        assert_eq!(
            said,
            [name, other, name].map(|name| Some(Said::Revoked(name)))
        );
        assert!(sets.settle(Said::Revoked(name), false));
        assert!(!sets.settle(Said::Revoked(name), false), "no news");
        assert_eq!(sets.say(at(100), 6), Some(Said::Revoked(other)));
        assert!(
            sets.settle(Said::Revoked(other), true),
            "it has the set, and not this one"
        );
        assert_eq!(sets.say(at(100), 7), None);
        // One that is made anew is told anew.
        sets.forget();
        assert!(
            !sets.settle(Said::Revoked(name), true),
            "it does not have the set"
        );
        assert!((8..10).all(|counter| matches!(sets.say(at(100), counter), Some(Said::Set(_)))));
        for set in 0..SETS {
            assert!(sets.settle(Said::Set(set), false));
        }
        assert_eq!(sets.say(at(100), 10), Some(Said::Revoked(name)));
    }
}
