//! The rule by which lost loops become an alarm.

use std::collections::VecDeque;

use shoal_proto::{Metric, MetricKind};

use crate::RelayLimits;

/// How loops fared, as far as a window looks back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoopReturns {
    /// Loops that came back.
    pub returned: usize,
    /// Loops that were lost.
    pub lost: usize,
}

impl LoopReturns {
    /// How [`ratio`](Self::ratio) is exported, for the node's own loops.
    pub const METRIC: Metric = Metric {
        name: "shoal_mix_loops_return_ratio",
        kind: MetricKind::Gauge,
        unit: "ratio",
        label: None,
        values: &[],
        help: "The share of the node's last own loops that came back; 1 before the first.",
        advice: "Below the alarm's ratio, somebody on the way loses or holds back packets: look \
            whether other nodes say so too, and which neighbours they have in common.",
    };

    /// The share that came back, from 0 to 1; 1 if there were none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "windows are far below 2^52")]
    pub fn ratio(&self) -> f64 {
        let finished = self.finished();
        if finished == 0 {
            1.0
        } else {
            self.returned as f64 / finished as f64
        }
    }

    const fn finished(&self) -> usize {
        self.returned.saturating_add(self.lost)
    }

    const fn side(&mut self, returned: bool) -> &mut usize {
        if returned {
            &mut self.returned
        } else {
            &mut self.lost
        }
    }
}

/// That an alarm began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopVerdict {
    /// Too few loops come back.
    Alarm(LoopReturns),
    /// Enough of them come back again.
    Recovered(LoopReturns),
}

/// Watches what becomes of loops, and says when an alarm begins and when it ends.
///
/// A single lost loop says nothing. A share of returns below the threshold means that packets are
/// lost around here, or that somebody holds others back to see where one packet goes (the n-1
/// attack; Loopix 2017, section 4.2.1). The alarm ends above a higher threshold, so that it does
/// not flicker. Memory: a byte for each loop of the window.
///
/// ```
/// use shoal_mix::{LoopAlarm, LoopVerdict, RelayLimits};
///
/// let mut alarm = LoopAlarm::new(&RelayLimits::default());
/// // Of the first 19 loops none comes back, but fewer than 20 say nothing.
/// assert!((0..19).all(|_| alarm.finish(false).is_none()));
/// assert!(matches!(alarm.finish(false), Some(LoopVerdict::Alarm(_))));
/// assert!(alarm.is_raised());
/// ```
#[derive(Clone, Debug)]
pub struct LoopAlarm {
    window: usize,
    minimum: usize,
    alarm: f64,
    recovery: f64,
    finished: VecDeque<bool>,
    returns: LoopReturns,
    raised: bool,
}

impl LoopAlarm {
    /// No loop has finished yet. Of the limits, those that begin with `loop_` count: window,
    /// minimum and the two ratios.
    #[must_use]
    pub const fn new(limits: &RelayLimits) -> Self {
        Self {
            window: limits.loop_window,
            minimum: limits.loop_minimum,
            alarm: limits.loop_alarm_ratio,
            recovery: limits.loop_recovery_ratio,
            finished: VecDeque::new(),
            returns: LoopReturns {
                returned: 0,
                lost: 0,
            },
            raised: false,
        }
    }

    /// A loop came back or was given up. Tells each change once.
    pub fn finish(&mut self, returned: bool) -> Option<LoopVerdict> {
        self.finished.push_back(returned);
        *self.returns.side(returned) += 1;
        if self.finished.len() > self.window
            && let Some(oldest) = self.finished.pop_front()
        {
            *self.returns.side(oldest) -= 1;
        }
        if self.finished.len() < self.minimum {
            return None;
        }
        let ratio = self.returns.ratio();
        if !self.raised && ratio < self.alarm {
            self.raised = true;
            Some(LoopVerdict::Alarm(self.returns))
        } else if self.raised && ratio >= self.recovery {
            self.raised = false;
            Some(LoopVerdict::Recovered(self.returns))
        } else {
            None
        }
    }

    /// Whether there is an alarm.
    #[must_use]
    pub const fn is_raised(&self) -> bool {
        self.raised
    }

    /// How the loops fared that the window holds.
    #[must_use]
    pub const fn returns(&self) -> LoopReturns {
        self.returns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_has_hysteresis() {
        let mut alarm = LoopAlarm::new(&RelayLimits::default());
        // 30 return, 20 get lost, 60 return.
        let verdicts: Vec<_> = (0..110)
            .filter_map(|number| Some((number, alarm.finish(!(30..50).contains(&number))?)))
            .collect();
        // 30 of 43 is the first share under 0.7; 43 of 50 the first of at least 0.85 again.
        let (returned, lost) = (30, 13);
        let raised = LoopVerdict::Alarm(LoopReturns { returned, lost });
        let (returned, lost) = (43, 7);
        let ended = LoopVerdict::Recovered(LoopReturns { returned, lost });
        assert_eq!(verdicts, [(42, raised), (92, ended)]);
        assert!(!alarm.is_raised());
        let (returned, lost) = (50, 0);
        assert_eq!(alarm.returns(), LoopReturns { returned, lost });
    }
}
