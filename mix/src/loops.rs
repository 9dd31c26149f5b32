//! The node's own loops: which are under way, and what became of them.

use std::collections::{BTreeMap, VecDeque};

use shoal_proto::{Span, SurbId, Time};

use crate::{LoopAlarm, LoopReturns, LoopVerdict, RelayLimits};

/// The loops under way, and the alarm over those that finished.
pub(crate) struct LoopTracker {
    timeout: Span,
    bound: usize,
    outstanding: BTreeMap<SurbId, Time>,
    /// In the order of sending, which is that of the deadlines: all loops have the same patience.
    deadlines: VecDeque<(Time, SurbId)>,
    alarm: LoopAlarm,
    /// What the alarm said and nobody asked for yet.
    verdicts: VecDeque<LoopVerdict>,
}

impl LoopTracker {
    /// Loops take four hops with three mean delays. Twenty means and the slack let through all
    /// but a few in a million, also on slow links.
    pub(crate) fn new(mean_delay: Span, limits: &RelayLimits) -> Self {
        Self {
            timeout: mean_delay.scale(20, 1) + limits.loop_slack,
            bound: limits.loops_outstanding,
            outstanding: BTreeMap::new(),
            deadlines: VecDeque::new(),
            alarm: LoopAlarm::new(limits),
            verdicts: VecDeque::new(),
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.deadlines.len() < self.bound
    }

    pub(crate) fn sent(&mut self, now: Time, id: SurbId) {
        let deadline = now + self.timeout;
        self.outstanding.insert(id, deadline);
        self.deadlines.push_back((deadline, id));
    }

    /// A loop came back. False if none with this id is awaited.
    pub(crate) fn returned(&mut self, now: Time, id: &SurbId) -> bool {
        let awaited = self
            .outstanding
            .get(id)
            .is_some_and(|deadline| now < *deadline);
        if awaited {
            self.outstanding.remove(id);
            self.finish(true);
        }
        awaited
    }

    /// Gives up on the loops whose time is over; returns how many.
    pub(crate) fn expire(&mut self, now: Time) -> u64 {
        let mut lost = 0;
        while let Some((deadline, id)) = self.deadlines.front().copied() {
            let awaited = self.outstanding.contains_key(&id);
            if awaited && deadline > now {
                break;
            }
            self.deadlines.pop_front();
            if awaited {
                self.outstanding.remove(&id);
                self.finish(false);
                lost += 1;
            }
        }
        lost
    }

    /// When the next loop is lost if it does not come back. May be early, never late.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    /// The next change of the picture, if there is one: each is told once.
    pub(crate) fn verdict(&mut self) -> Option<LoopVerdict> {
        self.verdicts.pop_front()
    }

    pub(crate) const fn returns(&self) -> LoopReturns {
        self.alarm.returns()
    }

    fn finish(&mut self, returned: bool) {
        self.verdicts.extend(self.alarm.finish(returned));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEAN: Span = Span::from_millis(100);

    fn id(number: u64) -> SurbId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        SurbId::new(bytes)
    }

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    #[test]
    fn a_loop_returns_once_and_in_time() {
        let mut loops = LoopTracker::new(MEAN, &RelayLimits::default());
        loops.sent(at(0), id(1));
        loops.sent(at(0), id(2));
        assert!(loops.returned(at(1), &id(1)));
        assert!(!loops.returned(at(1), &id(1)), "twice");
        assert!(!loops.returned(at(1), &id(9)), "never sent");
        assert_eq!(loops.next_deadline(), Some(at(12)));
        assert!(!loops.returned(at(12), &id(2)), "late");
        assert_eq!(loops.expire(at(12)), 1);
        assert_eq!(loops.next_deadline(), None);
        assert_eq!(
            loops.returns(),
            LoopReturns {
                returned: 1,
                lost: 1
            }
        );
    }

    #[test]
    fn the_alarm_has_hysteresis() {
        let mut loops = LoopTracker::new(MEAN, &RelayLimits::default());
        let mut verdicts = Vec::new();
        // 30 return, 20 get lost, 60 return: one loop a minute.
        for number in 0..110 {
            let now = at(60 * number);
            loops.sent(now, id(number));
            if (30..50).contains(&number) {
                assert_eq!(loops.expire(now + Span::from_secs(59)), 1);
            } else {
                assert!(loops.returned(now + Span::from_secs(1), &id(number)));
                assert_eq!(loops.expire(now + Span::from_secs(59)), 0);
            }
            verdicts.extend(loops.verdict().map(|verdict| (number, verdict)));
        }
        // 30 of 43 is the first share under 0.7; 43 of 50 the first of at least 0.85 again.
        assert_eq!(
            verdicts,
            [
                (
                    42,
                    LoopVerdict::Alarm(LoopReturns {
                        returned: 30,
                        lost: 13
                    })
                ),
                (
                    92,
                    LoopVerdict::Recovered(LoopReturns {
                        returned: 43,
                        lost: 7
                    })
                ),
            ]
        );
    }

    #[test]
    fn few_loops_say_nothing() {
        let mut loops = LoopTracker::new(MEAN, &RelayLimits::default());
        for number in 0..19 {
            loops.sent(at(number), id(number));
        }
        assert_eq!(loops.expire(at(1_000)), 19);
        assert_eq!(loops.verdict(), None);
        loops.sent(at(1_000), id(20));
        assert_eq!(loops.expire(at(2_000)), 1);
        assert!(matches!(loops.verdict(), Some(LoopVerdict::Alarm(_))));
    }
}
