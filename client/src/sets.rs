//! The drop ids of one mailbox: one set or two, which it learns whether somebody will use them or not.
//!
//! The first set has the id in the address; the second one id for each contact. A mailbox has those of its
//! place's audience. Mailbox packets name one of them each until the mailbox has confirmed all; after that, one
//! now and then, at instants of a clock of its own, in case the mailbox has lost them. Nothing of this depends on what the user does: the mailbox
//! can't count contacts by it, nor see when there is a new one.

use rand::{CryptoRng, RngExt as _};
use shoal_packet::command::{DropSet, SetSize};
use shoal_proto::{DropId, MailboxId, Time};
use shoal_topology::PoissonClock;

use crate::rows::{Audience, SETS, SetState};

/// Drop ids for contacts.
pub(crate) const CONTACT_IDS: u16 = SetSize::Large.count();
/// Sets named a second once all are confirmed: one an hour.
const AGAIN: f64 = 1.0 / 3600.0;
/// The set with the id in the address.
const ADDRESS: usize = 0;
/// The set for contacts.
const CONTACTS: usize = 1;

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
}

impl Sets {
    /// Of this mailbox, for this audience, with the secrets of its sets, and as far as it is known to have
    /// them.
    pub(crate) fn new<R: CryptoRng>(
        mailbox: MailboxId,
        audience: Audience,
        [address, contacts]: [[u8; 32]; SETS],
        states: [SetState; SETS],
        rng: &mut R,
    ) -> Self {
        Self {
            mailbox,
            sets: [
                DropSet::new(address, SetSize::Small),
                DropSet::new(contacts, SetSize::Large),
            ],
            has: [audience.has_strangers(), audience.has_contacts()],
            states,
            said: [0; SETS],
            again: PoissonClock::new(rng, AGAIN),
            next: rng.random_range(0..SETS),
        }
    }

    pub(crate) fn states(&self) -> [SetState; SETS] {
        self.states
    }

    /// The drop id in the address.
    pub(crate) fn in_address(&self) -> DropId {
        self.sets[ADDRESS].id(&self.mailbox, 0)
    }

    /// The drop id of a contact, by its number: below [`CONTACT_IDS`].
    pub(crate) fn of_contact(&self, number: u16) -> DropId {
        self.sets[CONTACTS].id(&self.mailbox, number)
    }

    pub(crate) fn set(&self, set: usize) -> Option<&DropSet> {
        self.sets.get(set)
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
    }

    /// The mailbox may be gone: what it knew is to be said anew.
    pub(crate) fn forget(&mut self) {
        self.states = [SetState::Unknown; SETS];
    }

    /// Whether deposits under the id in the address are accepted.
    pub(crate) fn takes_strangers(&self) -> bool {
        self.states[ADDRESS] == SetState::Registered
    }

    /// The sets that it has.
    fn own(&self) -> impl Iterator<Item = usize> + '_ {
        (0..SETS).filter(|set| self.has[*set])
    }

    /// A connection begins, or the mailbox has forgotten what was said: what is not confirmed is to
    /// be said anew.
    pub(crate) fn restart(&mut self, now: Time) {
        self.said = [0; SETS];
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

    /// The set for the packet with this counter, if any: what was said the longest ago of what is
    /// not confirmed, or one again. What was refused is asked for again too: there may be room.
    pub(crate) fn say(&mut self, now: Time, counter: u64) -> Option<usize> {
        let unknown = |set: &usize| self.states[*set] == SetState::Unknown;
        let first = self.own().filter(unknown).min_by_key(|set| self.said[*set]);
        let set = first.or_else(|| self.due_again(now))?;
        self.said[set] = counter;
        Some(set)
    }

    fn due_again(&mut self, now: Time) -> Option<usize> {
        self.again.tick(now)?;
        let after = (1..=SETS).map(|step| (self.next + step) % SETS);
        self.next = after.into_iter().find(|set| self.has[*set])?;
        Some(self.next)
    }

    /// The mailbox has answered for a set. Whether this is news, to be saved.
    pub(crate) fn settle(&mut self, set: usize, refused: bool) -> bool {
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
        assert_eq!(said, [0, 1, 0, 1].map(Some));
        assert!(sets.settle(0, false) && !sets.settle(0, false) && !sets.is_open());
        assert_eq!((sets.unconfirmed(), sets.refused()), (256, 0));
        assert_eq!([sets.say(at(0), 5), sets.say(at(0), 6)], [Some(1); 2]);
        assert!(sets.settle(1, true));
        assert_eq!((sets.unconfirmed(), sets.refused()), (0, 256));
        let mut met = BTreeSet::new();
        let mut times = 0;
        for second in (0..200 * 3600).step_by(2) {
            if let Some(set) = sets.say(at(second), 66) {
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
        for (audience, own, count) in [(Audience::Strangers, 0, 64), (Audience::Contacts, 1, 256)] {
            let mut sets = sets_for(audience);
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
        assert!((0..SETS).all(|set| sets.settle(set, false)));
        sets.restart(at(0));
        let late = at(0) + Span::from_secs(48 * 3600);
        assert!(sets.say(late, 1).is_some());
        assert!(sets.say(late, 2).is_none());
    }

    #[test]
    fn no_two_ids_are_alike() {
        let sets = sets();
        let all = (0..CONTACT_IDS).map(|number| sets.of_contact(number));
        let all: BTreeSet<_> = all.chain([sets.in_address()]).collect();
        assert_eq!(all.len(), 257);
    }
}
