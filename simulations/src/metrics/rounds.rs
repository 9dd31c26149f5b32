//! Statistical disclosure on a run: what [`disclosure`](super::disclosure) makes of who sends and
//! who receives when.

use std::collections::{BTreeMap, BTreeSet};

use super::disclosure::{Disclosure, Ranking};
use super::sheet::{Sheet, count};
use super::sight::Sight;
use crate::adversary::Adversary;
use crate::engine::{Kind, NONE, Observer, Packet, Phases, Plan};
use crate::measure::Claim;
use crate::scenario;

/// Looks at the ranking after so many rounds, then after 2% more each time.
const GROWTH: f64 = 1.02;

/// The attack of one adversary on one client.
pub(super) struct Rounds {
    victim: u32,
    length: f64,
    /// By how much receipts lag behind sends on average, in seconds.
    lag: f64,
    phases: Phases,
    kinds: bool,
    sight: Sight,
    attack: Disclosure,
    /// Rounds in which the victim sent, and receipts by round, until the round is over.
    sent: BTreeSet<u64>,
    received: BTreeMap<u64, Vec<u32>>,
    done: u64,
    look_at: u64,
    contacts: BTreeSet<u32>,
    /// Rounds with the victim, and seconds, since when every look found all contacts first.
    complete: Option<(u64, f64)>,
}

impl Rounds {
    pub(super) fn new(asked: &scenario::Disclosure, adversary: &Adversary, plan: &Plan) -> Self {
        Self {
            victim: asked.victim,
            length: asked.round.get(),
            lag: plan.path_time(),
            phases: plan.phases,
            kinds: adversary.knows_kinds,
            sight: Sight::new(adversary),
            attack: Disclosure::new(plan.clients() as usize),
            sent: BTreeSet::new(),
            received: BTreeMap::new(),
            done: 0,
            look_at: 1,
            contacts: BTreeSet::new(),
            complete: None,
        }
    }

    /// The round of an instant, if it is in the measurement.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of rounds, not negative"
    )]
    fn round(&self, time: f64) -> Option<u64> {
        let since = time - self.phases.warm_up;
        self.phases
            .measures(time)
            .then(|| (since / self.length) as u64)
    }

    /// Takes the rounds that are over at this instant, as far as they are whole.
    fn take(&mut self, now: f64) {
        let end = self.phases.warm_up + self.phases.measurement;
        loop {
            let over = self.phases.warm_up + count(self.done + 1) * self.length;
            if over > end || over + self.lag > now {
                return;
            }
            let receipts = self.received.remove(&self.done).unwrap_or_default();
            self.attack.round(self.sent.remove(&self.done), receipts);
            self.done += 1;
            if self.done >= self.look_at {
                self.look_at = next_look(self.done);
                self.look(over + self.lag);
            }
        }
    }

    fn look(&mut self, now: f64) {
        let ranking = self.attack.rank(&self.contacts);
        if ranking.is_some_and(|ranking| ranking.complete) {
            let seconds = now - self.phases.warm_up;
            let rounds = self.attack.rounds().0;
            self.complete.get_or_insert((rounds, seconds));
        } else {
            self.complete = None;
        }
    }

    /// How the contacts rank in the end.
    pub(super) fn ranking(&self) -> Option<Ranking> {
        self.attack.rank(&self.contacts)
    }

    pub(super) fn put(&self, adversary: &Adversary, sheet: &mut Sheet) {
        let ranking = self.ranking();
        let complete = self
            .complete
            .filter(|_| ranking.is_some_and(|r| r.complete));
        let claim = Claim::Attack(
            "statistical disclosure, background from the rounds without the victim".to_owned(),
        );
        let (with, without) = self.attack.rounds();
        let mut put = |name: &str, unit: &str, value| {
            let name = format!("disclosure_{name}");
            sheet.put(Some(adversary), (name, unit), value, &claim);
        };
        put("found", "1", ranking.map(|r| r.found));
        put("advantage", "1", ranking.map(|r| r.advantage));
        let is_complete = f64::from(u8::from(complete.is_some()));
        put("complete", "1", ranking.map(|_| is_complete));
        put(
            "rounds",
            "rounds",
            complete.map(|(rounds, _)| count(rounds)),
        );
        put("seconds", "s", complete.map(|(_, seconds)| seconds));
        put("rounds_with", "rounds", Some(count(with)));
        put("rounds_without", "rounds", Some(count(without)));
        let contacts = count(self.contacts.len() as u64);
        put("contacts", "clients", Some(contacts));
    }
}

/// The number of rounds after which to look next.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of rounds"
)]
fn next_look(done: u64) -> u64 {
    (done + 1).max((count(done) * GROWTH) as u64)
}

impl Observer for Rounds {
    fn sent(&mut self, _: u32, packet: &Packet, time: f64, first: u32) {
        if packet.sender != self.victim || packet.kind == Kind::MixLoop {
            return;
        }
        let Some(round) = self.round(time) else {
            return;
        };
        if packet.kind == Kind::Real && packet.receiver != NONE {
            self.contacts.insert(packet.receiver);
        }
        if self.sight.enters(first) {
            self.sent.insert(round);
        }
    }

    fn depart(&mut self, node: u32, _: f64, slot: u32, next: u32) {
        self.sight.depart(node, slot, next);
    }

    fn end(&mut self, slot: u32, packet: &Packet, time: f64) {
        let counts = packet.receiver != NONE
            && packet.receiver != self.victim
            && (!self.kinds || packet.kind == Kind::Real)
            && self.sight.leaves(slot);
        if counts && let Some(round) = self.round(time - self.lag) {
            self.received
                .entry(round)
                .or_default()
                .push(packet.receiver);
        }
    }

    fn window(&mut self, end: f64) {
        self.take(end);
    }

    fn finish(&mut self, time: f64) {
        self.take(time);
    }
}
