//! The bounds of a relay.

use crate::LimitError;
use shoal_proto::Span;

/// The bounds of a relay: how much it holds at most, and when it gives up.
///
/// Memory: about 2.6 kB for each packet in [`queue`](Self::queue) and [`pool`](Self::pool), about
/// 50 bytes for each tag in [`replay_tags`](Self::replay_tags), for each of at most three epochs.
/// With the defaults, at most about 110 MB of packets and 100 MB of tags per epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayLimits {
    /// Packets between admission and the end of unwrapping, in all. Beyond it:
    /// `queue_full`. Default 8,192.
    pub queue: usize,
    /// Once packets wait longer than this for an unwrap worker, what comes is shed as `overload`
    /// until the queue is empty or moves faster. `None`, the default, is the network's mean delay.
    pub shed_after: Option<Span>,
    /// Packets in the delay pool, those that wait for the replay log included. Beyond it:
    /// `pool_full`. Default 32,768.
    pub pool: usize,
    /// Tags that the replay filter of one epoch remembers. Beyond it: `filter_full`, until the
    /// epoch is over. Default 2,000,000.
    pub replay_tags: usize,
    /// A packet that leaves later than this after its moment counts as late. Default 50 ms.
    pub late_after: Span,
    /// After the replay log failed, how long until a single packet tries it again. Default 1 s.
    pub log_retry: Span,
    /// How many finished loops the return ratio looks back on. Default 50.
    pub loop_window: usize,
    /// Finished loops that it takes before the alarm says anything. Default 20.
    pub loop_minimum: usize,
    /// A return ratio below this raises the alarm. Default 0.7.
    pub loop_alarm_ratio: f64,
    /// A return ratio of at least this ends the alarm. Default 0.85.
    pub loop_recovery_ratio: f64,
    /// Loops under way at a time; a tick of the clock beyond it sends none. Default 4,096.
    pub loops_outstanding: usize,
    /// A loop is lost after 20 mean delays and this. Default 10 s.
    pub loop_slack: Span,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            queue: 8_192,
            shed_after: None,
            pool: 32_768,
            replay_tags: 2_000_000,
            late_after: Span::from_millis(50),
            log_retry: Span::from_secs(1),
            loop_window: 50,
            loop_minimum: 20,
            loop_alarm_ratio: 0.7,
            loop_recovery_ratio: 0.85,
            loops_outstanding: 4_096,
            loop_slack: Span::from_secs(10),
        }
    }
}

impl RelayLimits {
    /// Checks that the limits can work together. The relay itself takes any limits and at worst
    /// drops everything, by reason.
    ///
    /// # Errors
    /// [`LimitError`] names the first limit that makes no sense.
    pub fn validate(&self) -> Result<(), LimitError> {
        let bounds = [
            ("queue", self.queue),
            ("pool", self.pool),
            ("replay_tags", self.replay_tags),
            ("loop_window", self.loop_window),
            ("loop_minimum", self.loop_minimum),
            ("loops_outstanding", self.loops_outstanding),
        ];
        if let Some((name, _)) = bounds.into_iter().find(|(_, bound)| *bound == 0) {
            return Err(LimitError::Zero(name));
        }
        if self.loop_minimum > self.loop_window {
            return Err(LimitError::Window {
                minimum: self.loop_minimum,
                window: self.loop_window,
            });
        }
        let (alarm, recovery) = (self.loop_alarm_ratio, self.loop_recovery_ratio);
        if !(0.0 <= alarm && alarm <= recovery && recovery <= 1.0) {
            return Err(LimitError::Ratios { alarm, recovery });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(RelayLimits::default().validate(), Ok(()));
    }

    #[test]
    fn limits_that_make_no_sense_are_named() {
        let limits = RelayLimits {
            pool: 0,
            ..RelayLimits::default()
        };
        assert_eq!(limits.validate(), Err(LimitError::Zero("pool")));
        let limits = RelayLimits {
            loop_minimum: 51,
            ..RelayLimits::default()
        };
        assert_eq!(
            limits.validate(),
            Err(LimitError::Window {
                minimum: 51,
                window: 50
            })
        );
        for (alarm, recovery) in [(0.9, 0.8), (-0.1, 0.8), (0.5, 1.1), (f64::NAN, 0.5)] {
            let limits = RelayLimits {
                loop_alarm_ratio: alarm,
                loop_recovery_ratio: recovery,
                ..RelayLimits::default()
            };
            assert!(matches!(limits.validate(), Err(LimitError::Ratios { .. })));
        }
    }
}
