//! Intersection under churn: who was online each time that a pseudonym wrote.
//!
//! Sources: O. Berthold, A. Pfitzmann, R. Standtke, "The Disadvantages of Free MIX Routes and How
//! to Overcome Them", 2000 (the attack); D. Wolinsky, E. Syta, B. Ford, "Hang with Your Buddies to
//! Resist Intersection Attacks", 2013 (its measures).

use super::sheet::{Sheet, count};
use crate::adversary::Adversary;
use crate::engine::{Kind, Observer, Packet, Plan};
use crate::measure::Claim;
use crate::scenario;

/// The candidates left after each message that changed their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The number of messages seen, from 1.
    pub messages: u64,
    /// Clients that may be the pseudonym.
    pub candidates: u64,
}

/// Watches who comes and goes, and when one client's messages arrive.
pub struct Intersection {
    victim: u32,
    window: f64,
    clients: u64,
    plan: Plan,
    /// Since when a client has been offline, by client; not a number for those online.
    offline: Vec<f64>,
    /// Times offline: client, begin, end.
    absences: Vec<(u32, f64, f64)>,
    arrivals: Vec<f64>,
}

impl Intersection {
    /// The attack on one client. A candidate for a message is who was online at some moment of
    /// the `window` (in seconds) before it arrived.
    #[must_use]
    pub fn new(asked: &scenario::Intersection, plan: &Plan) -> Self {
        Self {
            victim: asked.victim,
            window: asked.window.get(),
            clients: u64::from(plan.clients()),
            plan: plan.clone(),
            offline: vec![f64::NAN; plan.clients() as usize],
            absences: Vec::new(),
            arrivals: Vec::new(),
        }
    }

    /// The candidates after the messages, and whether the victim is among them in the end. Each
    /// client falls out at the first message before which it was offline for the whole window.
    #[must_use]
    pub fn steps(&self) -> (Vec<Step>, bool) {
        let never = self.arrivals.len();
        let mut out = vec![never; self.offline.len()];
        for (client, from, to) in self.all_absences() {
            // Offline from `from` to `to`: out at the first arrival in (from + window, to).
            let first = self.arrivals.partition_point(|a| *a <= from + self.window);
            let falls = self
                .arrivals
                .get(first)
                .is_some_and(|arrival| *arrival < to);
            if falls && let Some(out) = out.get_mut(client as usize) {
                *out = (*out).min(first);
            }
        }
        let mut falling = vec![0_u64; never];
        for message in &out {
            if let Some(falling) = falling.get_mut(*message) {
                *falling += 1;
            }
        }
        let kept = out.get(self.victim as usize) == Some(&never);
        let mut candidates = self.clients;
        let mut steps = Vec::new();
        for (message, fall) in (1_u64..).zip(falling) {
            candidates -= fall;
            if fall > 0 || message == 1 {
                steps.push(Step {
                    messages: message,
                    candidates,
                });
            }
        }
        (steps, kept)
    }

    fn all_absences(&self) -> impl Iterator<Item = (u32, f64, f64)> {
        let still = (0_u32..)
            .zip(&self.offline)
            .filter(|(_, since)| !since.is_nan())
            .map(|(client, since)| (client, *since, f64::INFINITY));
        self.absences.iter().copied().chain(still)
    }

    /// When the message with this number (from 1) arrived, in seconds of the measurement.
    fn seconds(&self, messages: u64) -> Option<f64> {
        let index = usize::try_from(messages).ok()?.checked_sub(1)?;
        let arrival = self.arrivals.get(index)?;
        Some(arrival - self.plan.phases.warm_up)
    }

    pub(super) fn put(&self, adversary: &Adversary, sheet: &mut Sheet) {
        let claim = if adversary.sees_all {
            Claim::Attack("intersection of who was online".to_owned())
        } else {
            Claim::Unsound("the adversary does not see who is online".to_owned())
        };
        let (steps, kept) = self.steps();
        let mut put = |name: String, unit: &str, value| {
            let name = format!("intersection_{name}");
            sheet.put(Some(adversary), (name, unit), value, &claim);
        };
        let last = steps.last().map(|step| count(step.candidates));
        put("candidates".to_owned(), "clients", last);
        let messages = count(self.arrivals.len() as u64);
        put("messages".to_owned(), "messages", Some(messages));
        let kept = (!steps.is_empty()).then(|| f64::from(u8::from(kept)));
        put("victim_kept".to_owned(), "1", kept);
        for few in [1, 10, 100] {
            let step = steps.iter().find(|step| step.candidates <= few);
            let messages = step.map(|step| count(step.messages));
            put(format!("messages_to_{few}"), "messages", messages);
            let seconds = step.and_then(|step| self.seconds(step.messages));
            put(format!("seconds_to_{few}"), "s", seconds);
        }
    }
}

impl Observer for Intersection {
    fn end(&mut self, _: u32, packet: &Packet, time: f64) {
        let counts = packet.kind == Kind::Real
            && packet.sender == self.victim
            && self.plan.phases.measures(packet.sent);
        if counts {
            self.arrivals.push(time);
        }
    }

    fn offline(&mut self, client: u32, time: f64) {
        if let Some(since) = self.offline.get_mut(client as usize) {
            // Away since before the run, as far as it knows.
            *since = if time > 0.0 { time } else { f64::NEG_INFINITY };
        }
    }

    fn online(&mut self, client: u32, time: f64) {
        if let Some(since) = self.offline.get_mut(client as usize) {
            if !since.is_nan() {
                self.absences.push((client, *since, time));
            }
            *since = f64::NAN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::churn::expected_candidates;
    use crate::metrics::draw::exponential;
    use crate::scenario::Seconds;
    use crate::seed;

    fn watch(clients: u32, window: f64) -> Intersection {
        let mut plan = crate::adversary::tests::plan(&[&[1.0]]);
        for class in &mut plan.classes {
            class.count = clients;
        }
        plan.phases.measurement = 1e9;
        let asked = scenario::Intersection {
            victim: 0,
            window: Seconds::new(window).unwrap(),
        };
        Intersection::new(&asked, &plan)
    }

    #[test]
    fn a_case_by_hand() {
        // 0 is the victim, 1 always there, 2 away from 10 to 20, 3 away until 5, 4 away from 28 on.
        let mut watch = watch(5, 1.0);
        watch.offline(3, 0.0);
        watch.online(3, 5.0);
        watch.offline(2, 10.0);
        watch.online(2, 20.0);
        watch.offline(4, 28.0);
        // 3 is back in time for the first, 2 is away for half the window of the second and for all
        // of the third.
        watch.arrivals = vec![5.5, 10.5, 11.5, 28.5, 40.0];
        let step = |messages, candidates| Step {
            messages,
            candidates,
        };
        assert_eq!(
            watch.steps(),
            (vec![step(1, 5), step(3, 4), step(5, 3)], true)
        );
        // Had 0 itself been away, the attack would have lost it.
        watch.offline(0, 30.0);
        assert!(!watch.steps().1);
    }

    #[test]
    fn sizes_are_as_expected_of_exponential_churn() {
        let clients = 4_000_u32;
        let mut watch = watch(clients, 1e-6);
        let mut rng = seed::generator(16, 0, "intersection test", 0);
        for client in 1..clients {
            // Offline twice as long as online, in equilibrium by time 0.
            let mut time = -300.0;
            let mut online = client % 3 == 0;
            while time < 100.0 {
                time += exponential(&mut rng, if online { 10.0 } else { 20.0 });
                online = !online;
                if online {
                    watch.online(client, time);
                } else {
                    watch.offline(client, time);
                }
            }
        }
        let instants = [0.0, 3.0, 4.0, 10.0];
        watch.arrivals = instants.to_vec();
        let steps = watch.steps().0;
        assert_eq!(steps.len(), 4);
        for (step, seen) in steps.iter().zip(1..) {
            let expected = expected_candidates(f64::from(clients), 10.0, 20.0, &instants[..seen]);
            let off = count(step.candidates) - expected;
            assert!(off.abs() < 4.5 * expected.sqrt(), "{step:?} {expected}");
        }
    }
}
