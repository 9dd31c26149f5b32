//! Questions for the directory: who may have how much answered, who waits, and who is refused.
//!
//! A neighbour has an account of its own. Strangers (clients, newcomers, and whoever makes up an
//! identity) have one for each place they ask from, and one together: who asks too much uses up the part
//! of his own place, and when all together ask too much, places take turns. Nobody's question waits for
//! longer than its asker does.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use shoal_proto::{NodeId, Span, Time};
use shoal_topology::Ticket;

/// Questions that may wait for the directory's answer.
const MOST_ASKED: usize = 1024;
/// Questions of strangers that may wait for their turn.
const MOST_WAITING: usize = 64;
/// How long one may wait: a client gives up after 8 s, and asks another node.
const PATIENCE: Span = Span::from_secs(4);
/// Most places that are kept account of; what goes beyond shares one account.
const MOST_PLACES: usize = 16_384;
/// Accounts of places or neighbours from which on those that are full again are forgotten.
const MANY: usize = 1024;

/// What a question costs beside its bytes and those of its answer.
const BASE_COST: usize = 1024;
/// What a question costs that can't be read.
const NONSENSE_COST: usize = 64 * 1024;

/// What one neighbour is answered. It asks 20 times in an epoch, or every second while it lacks
/// something, and lacks little then; all that there is are 4 MiB of descriptors and 6 of documents.
const NEIGHBOUR: Rate = Rate {
    per_second: 64 * 1024,
    burst: 16 * 1024 * 1024,
};
/// What strangers from one place are answered. A client is answered with about 1.2 kB for each member,
/// by three mixes, once an epoch. Mixes being about three quarters of the members, that is 5 kB for each
/// client, mix and epoch, however large the network: at epochs of an hour this carries 90,000 clients
/// behind one address, of which 3,000 may come at once, and ten times as many within two minutes.
const PLACE: Rate = Rate {
    per_second: 128 * 1024,
    burst: 16 * 1024 * 1024,
};
/// What all strangers together are answered.
const STRANGERS: Rate = Rate {
    per_second: 4 * 1024 * 1024,
    burst: 32 * 1024 * 1024,
};

/// Where a peer is on the network: a name for the prefix of its address, which says that two peers are
/// near each other. Who may use much of a node only by using many addresses is not to get more by using
/// many identities. It has no `Debug`: a client's address is never logged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub u64);

impl Place {
    /// That of an address: the prefix that one owner usually has, /24 for IPv4, /48 for IPv6.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(u64::from(ip.to_bits() >> 8)),
            // The first 48 bits, and a bit above them that no prefix of IPv4 has.
            IpAddr::V6(ip) => {
                let [a, b, c, ..] = ip.segments();
                let join = |prefix, part| prefix << 16 | u64::from(part);
                Self([a, b, c].into_iter().fold(1, join))
            }
        }
    }

    /// Of peers whose address is not known.
    const UNKNOWN: Self = Self(u64::MAX);
    /// Of peers from one place too many.
    const CROWD: Self = Self(u64::MAX - 1);
}

/// Bytes, in the long run and at once.
struct Rate {
    per_second: u64,
    burst: u64,
}

impl Rate {
    fn time_of(&self, bytes: u64) -> Span {
        Span::from_micros(bytes.saturating_mul(1_000_000) / self.per_second)
    }
}

/// What somebody has been answered. It may fall short by one answer, as nobody knows before how long
/// that is.
#[derive(Default)]
struct Account {
    /// When nothing of it counts any more.
    full_at: Time,
}

impl Account {
    /// When a question may be answered.
    fn ready_at(&self, rate: &Rate) -> Time {
        self.full_at - rate.time_of(rate.burst)
    }

    fn charge(&mut self, now: Time, rate: &Rate, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.full_at = self.full_at.max(now) + rate.time_of(bytes);
    }
}

/// A question, as it came.
pub(super) struct Question {
    pub(super) peer: NodeId,
    pub(super) ticket: Ticket,
    pub(super) bytes: Vec<u8>,
}

/// Questions from one place.
#[derive(Default)]
struct Strangers {
    account: Account,
    /// Those that wait, oldest first, and until when.
    waiting: VecDeque<(Time, Question)>,
}

/// Whose account a question is on.
#[derive(Clone, Copy)]
enum Asker {
    Neighbour(NodeId),
    Stranger(NodeId, Place),
}

/// What becomes of a question.
pub(super) enum Outcome {
    /// It goes to the directory.
    Ask(Question),
    /// It is left without an answer.
    Refuse(Ticket, Why),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Too many wait.
    Crowded,
    /// Its asker, or its place, has been answered enough.
    OverBudget,
}

/// Who has asked what.
#[derive(Default)]
pub(super) struct Questions {
    /// What the directory was asked, oldest first.
    asked: VecDeque<(Ticket, Asker)>,
    neighbours: BTreeMap<NodeId, Account>,
    strangers: Account,
    places: BTreeMap<Place, Strangers>,
    /// Places with questions that wait, the next in turn first.
    turns: VecDeque<Place>,
    /// Where peers are that are connected.
    located: BTreeMap<NodeId, Place>,
    outcomes: VecDeque<Outcome>,
}

impl Questions {
    /// A peer is at this place.
    pub(super) fn locate(&mut self, peer: NodeId, place: Place) {
        self.located.insert(peer, place);
    }

    /// A peer is gone. Its question is refused, which tells it nothing.
    pub(super) fn disconnected(&mut self, peer: &NodeId) {
        let place = self.located.remove(peer).unwrap_or(Place::UNKNOWN);
        for place in [place, Place::CROWD] {
            let Some(strangers) = self.places.get_mut(&place) else {
                continue;
            };
            let of_peer = |(_, question): &(Time, Question)| question.peer == *peer;
            if let Some(index) = strangers.waiting.iter().position(of_peer)
                && let Some((_, question)) = strangers.waiting.remove(index)
            {
                self.refuse(question.ticket, Why::OverBudget);
            }
        }
        self.skip_empty();
    }

    /// Somebody asks: a neighbour, or a stranger. What becomes of it is told by [`poll`](Self::poll).
    pub(super) fn ask(&mut self, now: Time, question: Question, is_neighbour: bool) {
        if is_neighbour {
            let account = self.neighbours.entry(question.peer).or_default();
            if account.ready_at(&NEIGHBOUR) > now {
                return self.refuse(question.ticket, Why::OverBudget);
            }
            return self.pass(Asker::Neighbour(question.peer), question);
        }
        let place = self.place_of(now, &question.peer);
        // One at a time: clients ask once on each connection.
        let asks = |(_, asker): &(Ticket, Asker)| matches!(asker, Asker::Stranger(peer, _) if *peer == question.peer);
        let strangers = self.places.entry(place).or_default();
        let mut waiting = strangers.waiting.iter();
        if waiting.any(|(_, waiting)| waiting.peer == question.peer) || self.asked.iter().any(asks)
        {
            return self.refuse(question.ticket, Why::OverBudget);
        }
        if strangers.waiting.is_empty() {
            self.turns.push_back(place);
        }
        strangers.waiting.push_back((now + PATIENCE, question));
        self.make_room();
    }

    /// The place with the most questions that wait loses its newest, if there are too many.
    fn make_room(&mut self) {
        let waiting = |place: &Place| self.places.get(place).map_or(0, |s| s.waiting.len());
        if self.turns.iter().map(waiting).sum::<usize>() <= MOST_WAITING {
            return;
        }
        let crowded = self
            .turns
            .iter()
            .max_by_key(|place| waiting(place))
            .copied();
        let strangers = crowded.and_then(|place| self.places.get_mut(&place));
        if let Some((_, question)) = strangers.and_then(|strangers| strangers.waiting.pop_back()) {
            self.refuse(question.ticket, Why::Crowded);
        }
        self.skip_empty();
    }

    fn place_of(&mut self, now: Time, peer: &NodeId) -> Place {
        let place = self.located.get(peer).copied().unwrap_or(Place::UNKNOWN);
        if self.places.contains_key(&place) || self.places.len() < MANY {
            return place;
        }
        let used = |strangers: &Strangers| {
            strangers.account.full_at > now || !strangers.waiting.is_empty()
        };
        self.places.retain(|_, strangers| used(strangers));
        match self.places.len() < MOST_PLACES {
            true => place,
            false => Place::CROWD,
        }
    }

    fn pass(&mut self, asker: Asker, question: Question) {
        self.asked.push_back((question.ticket, asker));
        if self.asked.len() > MOST_ASKED
            && let Some((oldest, _)) = self.asked.pop_front()
        {
            self.refuse(oldest, Why::Crowded);
        }
        self.outcomes.push_back(Outcome::Ask(question));
    }

    fn refuse(&mut self, ticket: Ticket, why: Why) {
        self.outcomes.push_back(Outcome::Refuse(ticket, why));
    }

    /// Forgets the turns of places where nothing waits.
    fn skip_empty(&mut self) {
        let places = &self.places;
        let waits = |place: &Place| places.get(place).is_some_and(|s| !s.waiting.is_empty());
        self.turns.retain(waits);
    }

    /// The question is answered with so many bytes. False if it was refused meanwhile.
    pub(super) fn answered(&mut self, now: Time, ticket: Ticket, bytes: usize) -> bool {
        self.settle(now, ticket, BASE_COST + bytes)
    }

    /// The question can't be read, or can't be answered. False if it was refused meanwhile.
    pub(super) fn unanswered(&mut self, now: Time, ticket: Ticket) -> bool {
        self.settle(now, ticket, NONSENSE_COST)
    }

    fn settle(&mut self, now: Time, ticket: Ticket, cost: usize) -> bool {
        let place = self.asked.iter().position(|(asked, _)| *asked == ticket);
        let Some((_, asker)) = place.and_then(|place| self.asked.remove(place)) else {
            return false;
        };
        match asker {
            Asker::Neighbour(peer) => {
                if self.neighbours.len() >= MANY {
                    self.neighbours.retain(|_, account| account.full_at > now);
                }
                let account = self.neighbours.entry(peer).or_default();
                account.charge(now, &NEIGHBOUR, cost);
            }
            Asker::Stranger(_, place) => {
                let account = &mut self.places.entry(place).or_default().account;
                account.charge(now, &PLACE, cost);
                self.strangers.charge(now, &STRANGERS, cost);
            }
        }
        true
    }

    /// What becomes of the next question.
    pub(super) fn poll(&mut self, now: Time) -> Option<Outcome> {
        if self.outcomes.is_empty() && !self.turns.is_empty() {
            self.expire(now);
            self.next_in_turn(now);
        }
        self.outcomes.pop_front()
    }

    /// Refuses those that have waited long enough.
    fn expire(&mut self, now: Time) {
        for place in &self.turns {
            let Some(strangers) = self.places.get_mut(place) else {
                continue;
            };
            let over = |(until, _): &mut (Time, Question)| *until <= now;
            while let Some((_, question)) = strangers.waiting.pop_front_if(over) {
                let refused = Outcome::Refuse(question.ticket, Why::OverBudget);
                self.outcomes.push_back(refused);
            }
        }
        self.skip_empty();
    }

    /// Passes on one question of the next place that has something left.
    fn next_in_turn(&mut self, now: Time) {
        if self.strangers.ready_at(&STRANGERS) > now {
            return;
        }
        let ready = |place: &Place| {
            let strangers = self.places.get(place);
            strangers.is_some_and(|s| s.account.ready_at(&PLACE) <= now)
        };
        let Some(index) = self.turns.iter().position(ready) else {
            return;
        };
        let Some(place) = self.turns.remove(index) else {
            return;
        };
        let Some(strangers) = self.places.get_mut(&place) else {
            return;
        };
        let next = strangers.waiting.pop_front();
        if !strangers.waiting.is_empty() {
            self.turns.push_back(place);
        }
        if let Some((_, question)) = next {
            let asker = Asker::Stranger(question.peer, place);
            self.pass(asker, question);
        }
    }

    /// When a question that waits is passed on or refused.
    pub(super) fn deadline(&self) -> Option<Time> {
        let all = self.strangers.ready_at(&STRANGERS);
        let waiting = self.turns.iter().filter_map(|place| self.places.get(place));
        let at = waiting.filter_map(|strangers| {
            let (until, _) = strangers.waiting.front()?;
            Some(strangers.account.ready_at(&PLACE).max(all).min(*until))
        });
        at.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_an_address_are_in_one_place() {
        let place = |text: &str| Place::of(text.parse().expect("an address"));
        let same = |a: &str, b: &str| place(a) == place(b);
        assert!(same("192.0.2.1", "192.0.2.254"));
        assert!(!same("192.0.2.1", "192.0.3.1"));
        assert!(same("2001:db8:1:2::3", "2001:db8:1:ff::4"));
        assert!(!same("2001:db8:1::", "2001:db8:2::"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.7"));
        assert!(!same("0.0.0.1", "::1"));
    }

    /// What a directory of many members answers a client.
    const ANSWER: usize = 611_000;

    #[derive(Default)]
    struct Door {
        questions: Questions,
        tickets: u64,
        /// The place of each question, by its ticket.
        from: BTreeMap<Ticket, u64>,
        answered: BTreeMap<u64, usize>,
        refused: BTreeMap<u64, usize>,
    }

    impl Door {
        /// A stranger asks from a place, on a connection of its own.
        fn stranger(&mut self, now: Time, place: u64) {
            self.tickets += 1;
            let mut id = [0; 32];
            id[..8].copy_from_slice(&self.tickets.to_le_bytes());
            let (peer, ticket) = (NodeId::new(id), Ticket(self.tickets));
            self.questions.locate(peer, Place(place));
            self.from.insert(ticket, place);
            let bytes = Vec::new();
            let question = Question {
                peer,
                ticket,
                bytes,
            };
            self.questions.ask(now, question, false);
            self.settle(now);
        }

        fn settle(&mut self, now: Time) {
            while let Some(outcome) = self.questions.poll(now) {
                let (ticket, counts) = match outcome {
                    Outcome::Ask(question) => {
                        assert!(self.questions.answered(now, question.ticket, ANSWER));
                        (question.ticket, &mut self.answered)
                    }
                    Outcome::Refuse(ticket, _) => (ticket, &mut self.refused),
                };
                *counts.entry(self.from[&ticket]).or_default() += 1;
            }
        }

        fn run(&mut self, from: Time, until: Time) {
            let mut now = from;
            while let Some(at) = self.questions.deadline().filter(|at| *at <= until) {
                assert!(at > now || now == from, "it comes to rest");
                now = now.max(at);
                self.settle(now);
            }
        }
    }

    fn at(millis: u64) -> Time {
        Time::from_micros(1_000_000_000 + millis * 1000)
    }

    #[test]
    fn a_flood_from_one_place_keeps_nobody_else_out_and_costs_a_bounded_rate() {
        let mut door = Door::default();
        // 50 connections a second from one place, for ten minutes; a client from elsewhere every 10 s.
        for step in 0..30_000 {
            let now = at(20 * step);
            door.run(at(20 * step.saturating_sub(1)), now);
            door.stranger(now, 1);
            if step % 500 == 0 {
                door.stranger(now, 1000 + step);
                assert_eq!(door.answered.get(&(1000 + step)), Some(&1), "{step}");
            }
        }
        // 16 MiB, and 128 KiB/s for 600 s.
        let bytes = door.answered[&1] * ANSWER;
        assert!(bytes < (16 << 20) + 601 * 128 * 1024 + ANSWER, "{bytes}");
        assert!(bytes > 64 << 20, "and that much it has: {bytes}");
        assert!(door.questions.turns.len() <= 1);
    }

    #[test]
    fn many_clients_behind_one_address_are_served() {
        let mut door = Door::default();
        // Two hundred that come within a minute, after a cut of power, and ask again if they are refused.
        let mut waiting = 200;
        let mut now = at(0);
        for round in 0..20 {
            let before = door.answered.get(&1).copied().unwrap_or_default();
            for _ in 0..waiting.min(50) {
                door.stranger(now, 1);
            }
            let next = at(60_000 * (round + 1));
            door.run(now, next);
            now = next;
            waiting -= door.answered[&1] - before;
        }
        assert_eq!(waiting, 0);
    }

    #[test]
    fn places_take_turns_when_all_together_ask_too_much() {
        let mut door = Door::default();
        // Ten places that flood, each within its own part, and one that asks now and then.
        for step in 0..3000 {
            let now = at(20 * step);
            door.run(at(20 * step.saturating_sub(1)), now);
            for place in 1..=10 {
                door.stranger(now, place);
            }
            if step % 300 == 150 {
                door.stranger(now, 99);
            }
        }
        door.run(at(60_000), at(70_000));
        let (answered, refused) = (door.answered[&99], door.refused.get(&99));
        assert!(
            answered >= 8 && refused.copied().unwrap_or_default() <= 2,
            "{answered} {refused:?}"
        );
        let all: usize = door.answered.values().sum();
        assert!(all * ANSWER < (32 << 20) + 71 * (4 << 20), "{all}");
    }

    #[test]
    fn a_connection_has_one_question_and_a_neighbour_its_own_account() {
        let (mut questions, now) = (Questions::default(), at(0));
        let peer = NodeId::new([1; 32]);
        let ask = |questions: &mut Questions, number: u64, is_neighbour: bool| {
            let question = Question {
                peer,
                ticket: Ticket(number),
                bytes: Vec::new(),
            };
            questions.ask(now, question, is_neighbour);
            matches!(questions.poll(now), Some(Outcome::Ask(_)))
        };
        assert!(ask(&mut questions, 1, false));
        assert!(
            !ask(&mut questions, 2, false),
            "the first has not been answered"
        );
        assert!(questions.answered(now, Ticket(1), ANSWER));
        assert!(ask(&mut questions, 3, false));
        assert!(questions.unanswered(now, Ticket(3)));
        let mut answered = 0;
        while ask(&mut questions, 100 + answered, true) {
            assert!(questions.answered(now, Ticket(100 + answered), 1 << 20));
            answered += 1;
        }
        assert_eq!(answered, 16, "16 MiB, and not quite one more");
        assert!(ask(&mut questions, 4, false), "strangers have another");
    }

    #[test]
    fn the_oldest_question_makes_room() {
        let (mut questions, now) = (Questions::default(), at(0));
        let mut refused = Vec::new();
        for number in 0..=MOST_ASKED as u64 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_le_bytes());
            let question = Question {
                peer: NodeId::new(id),
                ticket: Ticket(number),
                bytes: Vec::new(),
            };
            questions.ask(now, question, true);
            while let Some(outcome) = questions.poll(now) {
                if let Outcome::Refuse(ticket, why) = outcome {
                    refused.push((ticket, why));
                }
            }
        }
        assert_eq!(refused, [(Ticket(0), Why::Crowded)]);
        assert!(!questions.answered(now, Ticket(0), 0), "refused already");
        assert!(questions.answered(now, Ticket(1), 0));
    }
}
