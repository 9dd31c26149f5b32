//! What neighbours' clocks say of this node's.
//!
//! Nodes' clocks decide when an epoch begins, which keys count and when they are deleted, and clients
//! go by them. A clock can be wrong from the start, or lose the time for which a virtual machine
//! was stopped, and nothing in the node itself would show it. Every answer for the directory carries
//! the time, so a node compares.
//!
//! A node whose clock is off says so, loudly, and that it is not ready; it never moves its clock. One that
//! starts with such a clock makes no key and issues no descriptor, which would be of another epoch.
//! Later its neighbours can't keep it from that. Who
//! could make it do that could make it delete keys that are in use, or take up epochs that are over,
//! by running most of its neighbours for a while, which costs nothing in an open network. Who can
//! only make it say that it is not ready gains an alarm. So being wrong costs one node, and it
//! costs its operator one look: the machine's clock is what has to be set.

use std::collections::BTreeMap;

use shoal_proto::{NodeId, Span, Time};
use shoal_topology::{Family, NetworkParameters, answer_time, middle};

/// Neighbours whose clocks are kept.
const MOST_NEIGHBOURS: usize = 1024;
/// Families that have to have answered before anything is said.
pub(super) const FEWEST_FAMILIES: usize = 3;
/// The shortest and the longest time off that is borne.
const TOLERANCE: (Span, Span) = (Span::from_secs(1), Span::from_secs(30));
/// The shortest and the longest time for which an answer counts. Twenty neighbours are asked an epoch,
/// or one in five minutes.
const RECENT: (Span, Span) = (Span::from_secs(60), Span::from_secs(6000));

/// How far a clock may be off those of the others before a node of this network says so: a twentieth of an epoch, a
/// second at least and half a minute at most.
#[must_use]
pub fn tolerance(params: &NetworkParameters) -> Span {
    params.epoch.scale(1, 20).clamp(TOLERANCE.0, TOLERANCE.1)
}

/// That this node's clock is off its neighbours'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Off {
    /// This node's is ahead.
    pub(super) ahead: bool,
    /// At least.
    pub(super) by: Span,
}

/// What neighbours' clocks said lately.
#[derive(Default)]
pub(super) struct Clocks {
    /// When whom was asked what is not answered.
    asked: BTreeMap<NodeId, Time>,
    told: BTreeMap<NodeId, Told>,
    off: Option<Off>,
}

struct Told {
    at: Time,
    family: Family,
    /// How far the neighbour's clock is ahead of ours at least, in microseconds: 0 if what it says
    /// lies between question and answer, because nobody knows how long each of them took.
    ahead_us: i64,
}

impl Clocks {
    /// A neighbour is being asked for what its directory has.
    pub(super) fn asked(&mut self, now: Time, whom: NodeId) {
        // Should the answer to an earlier question come, it came later than that.
        self.asked.entry(whom).or_insert(now);
    }

    /// It does not answer.
    pub(super) fn failed(&mut self, whom: &NodeId) {
        self.asked.remove(whom);
    }

    /// It answered. True if what is known of the own clock has
    /// changed.
    pub(super) fn answered(
        &mut self,
        now: Time,
        params: &NetworkParameters,
        (from, family): (NodeId, Family),
        response: &[u8],
    ) -> bool {
        let Some(asked) = self.asked.remove(&from) else {
            return false;
        };
        let Some(said) = answer_time(response) else {
            return false;
        };
        let ahead_us = outside(said, asked, now);
        let told = Told {
            at: now,
            family,
            ahead_us,
        };
        self.told.insert(from, told);
        self.forget(now, params.epoch.clamp(RECENT.0, RECENT.1));
        let off = self.look(tolerance(params));
        std::mem::replace(&mut self.off, off) != off
    }

    /// How many families have said what their clocks say, and how many microseconds the own one is ahead of the
    /// middle of theirs, if any has.
    pub(super) fn compared(&self) -> (usize, Option<i64>) {
        let votes = self.votes();
        let families = votes.len();
        let ahead = (families > 0).then(|| middle(votes).saturating_neg());
        (families, ahead)
    }

    /// How far the own clock is off; none if it is not, as far as is known.
    pub(super) const fn off(&self) -> Option<Off> {
        self.off
    }

    /// Whether enough have said what their clocks say for something to be known of the own one.
    pub(super) fn is_compared(&self) -> bool {
        self.votes().len() >= FEWEST_FAMILIES
    }

    /// Forgets what is old, and of too much the oldest.
    fn forget(&mut self, now: Time, recent: Span) {
        self.told.retain(|_, told| now.since(told.at) <= recent);
        // It grows by one at a time.
        if self.told.len() > MOST_NEIGHBOURS {
            let oldest = self.told.iter().min_by_key(|(id, told)| (told.at, **id));
            if let Some(id) = oldest.map(|(id, _)| *id) {
                self.told.remove(&id);
            }
        }
    }

    /// The [`middle`] of what families say. A minority can't bring it about.
    fn look(&self, tolerance: Span) -> Option<Off> {
        let votes = self.votes();
        if votes.len() < FEWEST_FAMILIES {
            return None;
        }
        let nearest = middle(votes);
        let by = Span::from_micros(nearest.unsigned_abs());
        (by > tolerance).then_some(Off {
            ahead: nearest < 0,
            by,
        })
    }

    /// What each family says: the member whose clock is nearest to ours, so that one of
    /// a family can only soften what it says.
    fn votes(&self) -> Vec<i64> {
        let mut families: BTreeMap<Family, i64> = BTreeMap::new();
        for told in self.told.values() {
            let said = families.entry(told.family).or_insert(told.ahead_us);
            if told.ahead_us.unsigned_abs() < said.unsigned_abs() {
                *said = told.ahead_us;
            }
        }
        families.into_values().collect()
    }
}

/// How far a time lies outside of two others, in microseconds: below 0 if before.
fn outside(said: Time, from: Time, to: Time) -> i64 {
    let micros = |span: Span| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    if said > to {
        micros(said.since(to))
    } else {
        -micros(from.since(said))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use shoal_proto::{FamilyId, wire};

    use super::*;

    const MINUTE: i64 = 60_000_000;

    /// A node that is asked by itself, and what others say.
    struct World {
        clocks: Clocks,
        params: NetworkParameters,
        now: Time,
    }

    impl World {
        fn new() -> Self {
            let params = NetworkParameters::example();
            let now = params.genesis + Span::from_secs(100_000);
            let clocks = Clocks::default();
            Self {
                clocks,
                params,
                now,
            }
        }

        /// A node answers; `family` is 0 for none.
        fn hears(&mut self, number: u16, family: u8, ahead_us: i64) -> Option<(bool, u64)> {
            let mut id = [0; 32];
            id[..2].copy_from_slice(&number.to_le_bytes());
            let id = NodeId::new(id);
            self.clocks.asked(self.now, id);
            self.now += Span::from_millis(100);
            let now_us = self.now.shifted(ahead_us).as_micros();
            let response = wire::SyncResponse {
                now_us,
                ..Default::default()
            };
            let response = response.encode_to_vec();
            let key = (family > 0).then(|| FamilyId::new([family; 32]));
            let told = (id, Family::of(id, key));
            self.clocks
                .answered(self.now, &self.params, told, &response);
            let off = self.clocks.off()?;
            Some((off.ahead, off.by.as_micros() / 1_000_000))
        }
    }

    #[test]
    fn the_middle_decides_and_two_are_not_enough() {
        let mut world = World::new();
        assert_eq!(world.hears(1, 0, 5 * MINUTE), None);
        assert_eq!(world.hears(2, 0, 5 * MINUTE), None);
        assert_eq!(world.hears(3, 0, 7 * MINUTE), Some((false, 300)));
        // Two against two: nothing is said.
        assert_eq!(world.hears(4, 0, 0), Some((false, 300)));
        assert_eq!(world.hears(5, 0, 0), Some((false, 300)));
        assert_eq!(world.hears(6, 0, 0), None);
        let mut world = World::new();
        for number in 0..9 {
            assert_eq!(world.hears(number, 0, 0), None);
        }
        for number in 9..18 {
            assert_eq!(world.hears(number, 0, -60 * MINUTE), None, "{number}");
        }
        assert_eq!(world.hears(18, 0, -60 * MINUTE), Some((true, 3_599)));
    }

    #[test]
    fn two_that_disagree_in_the_middle_say_nothing() {
        let mut world = World::new();
        for (number, ahead) in [-9, -9, 9, 9].into_iter().enumerate() {
            let number = number.try_into().unwrap();
            world.hears(number, 0, ahead * MINUTE);
        }
        assert_eq!(world.clocks.off(), None);
    }

    #[test]
    fn a_family_has_one_vote() {
        let mut world = World::new();
        for number in 0..50 {
            assert_eq!(world.hears(number, 9, 5 * MINUTE), None);
        }
        assert_eq!(world.hears(50, 1, 0), None);
        assert_eq!(world.hears(51, 2, 0), None);
        assert_eq!(world.hears(52, 3, 5 * MINUTE), None, "two and two");
        assert_eq!(world.hears(53, 4, 5 * MINUTE), Some((false, 300)));
        // Another of theirs softens what they say.
        assert_eq!(world.hears(54, 4, 0), None);
    }

    #[test]
    fn what_is_within_the_tolerance_or_the_way_says_nothing() {
        let mut world = World::new();
        for number in 0..5 {
            assert_eq!(world.hears(number, 0, 29_000_000), None);
        }
        // Answers that were long on their way: anything between is as good as right.
        let asked = world.now;
        assert_eq!(
            outside(
                asked + Span::from_secs(5),
                asked,
                asked + Span::from_secs(9)
            ),
            0
        );
        assert_eq!(
            outside(asked, asked + Span::from_secs(2), Time::MAX),
            -2_000_000
        );
        assert_eq!(outside(Time::MAX, Time::default(), asked), i64::MAX);
        for number in 0..3 {
            world.hears(number, 0, 31_000_000);
        }
        assert!(world.clocks.off().is_some());
    }

    #[test]
    fn answers_grow_old_and_are_bounded() {
        let mut world = World::new();
        for number in 0..3 {
            world.hears(number, 0, 5 * MINUTE);
        }
        assert!(world.clocks.off().is_some());
        world.now += Span::from_secs(3_700);
        assert_eq!(world.hears(9, 0, 0), None);
        assert_eq!(world.clocks.told.len(), 1);
        for number in 0..3_000 {
            world.hears(number % 1_500, 0, 0);
        }
        assert_eq!(world.clocks.told.len(), MOST_NEIGHBOURS);
        // Who was not asked, and nonsense, count for nothing.
        let id = NodeId::new([7; 32]);
        for asked in [false, true] {
            if asked {
                world.clocks.asked(world.now, id);
            }
            let said = (id, Family::Alone(id));
            assert!(
                !world
                    .clocks
                    .answered(world.now, &world.params, said, &[0xff; 9])
            );
            assert!(!world.clocks.told.contains_key(&id));
        }
    }
}
