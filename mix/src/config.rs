//! The bounds of a relay.

use crate::LimitError;
use shoal_proto::{Epoch, Span, Time};
use shoal_topology::{MAX_STALE_EPOCHS, NetworkParameters};

/// What a tag takes in a replay filter, in bytes.
const TAG_BYTES: u64 = 17;
/// The whole of a provider's rate over what its clients get of it; members get the other half.
const CLIENT_SHARE: f64 = 2.0;

/// The bounds of a relay: how much it holds at most, and when it gives up. Of each, one sender gets
/// what others leave, as [`UnwrapQueue`](crate::UnwrapQueue) says, and never all.
///
/// Memory: about 2.6 kB for each packet in [`queue`](Self::queue) and [`pool`](Self::pool), and
/// [`replay_memory`](Self::replay_memory). With the defaults, at most about 110 MB and 512 MiB.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayLimits {
    /// Packets that wait for an unwrap worker. Beyond it: `queue_full`. Default 8,192.
    pub queue: usize,
    /// Once the packets of a sender have waited longer than this for an unwrap worker for a mean delay on end,
    /// what comes of it beyond that is shed as `overload` until none of them waits. `None`, the default, is an
    /// eighth of the network's mean delay.
    pub shed_after: Option<Span>,
    /// For so long a packet waits at most for others to be unwrapped together with, while they are fewer than eight.
    /// `None`, the default, is a fiftieth of the network's mean delay: so many in a hundred ask for less, and are late
    /// by no more than that.
    pub gather: Option<Span>,
    /// A packet that is durable in the replay log so long after its moment still leaves at once. What is later than
    /// that is delayed anew, from then on. `None`, the default, is a tenth of the network's mean delay.
    pub log_grace: Option<Span>,
    /// A packet that is durable so long after its moment is dropped as `log_slow`. `None`, the default, is ten mean
    /// delays.
    pub log_patience: Option<Span>,
    /// Packets in the delay pool, those that wait for the replay log included. Beyond it:
    /// `pool_full`. Default 32,768.
    pub pool: usize,
    /// Packets per second that the node is to carry when it is busiest. Each is remembered as long as
    /// its epoch's key is held, so the room in the replay filters grows by as many tags each second,
    /// from a tenth of an epoch before its key is accepted on. Half of the room is shared out among
    /// neighbours in equal parts that nobody can take from them; half is for who needs more. At a
    /// provider, attached clients get half of it all. No neighbour passes more than this in a second,
    /// and 64 at once. Beyond it: `filter_full`. Default 1,500.
    pub packets_per_second: u32,
    /// Bytes that the replay filters of all epochs may take, at about 17 for a tag:
    /// [`check`](Self::check) tells whether they suffice. Default 512 MiB.
    pub replay_memory: u64,
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
            gather: None,
            log_grace: None,
            log_patience: None,
            pool: 32_768,
            packets_per_second: 1_500,
            replay_memory: 512 << 20,
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
            ("packets_per_second", self.packets_per_second as usize),
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

    /// Checks that the replay filters can hold, in the memory that they have, what comes at the stated
    /// rate in a network with these parameters. Relay and gate themselves go by the rate alone.
    ///
    /// # Errors
    /// [`LimitError::ReplayMemory`] says how much they need, and which rate would do.
    pub fn check(&self, params: &NetworkParameters) -> Result<(), LimitError> {
        let needed = self.replay_bytes(params);
        if needed <= self.replay_memory {
            return Ok(());
        }
        let one = Self {
            packets_per_second: 1,
            ..self.clone()
        };
        Err(LimitError::ReplayMemory {
            rate: self.packets_per_second,
            epoch: params.epoch,
            needed_mib: needed.div_ceil(1 << 20),
            memory_mib: self.replay_memory >> 20,
            rate_that_fits: self.replay_memory / one.replay_bytes(params).max(1),
        })
    }

    /// Bytes that the replay filters take at most. A document stays in force for a few epochs if none
    /// newer comes, and its key with it; around a switch, two keys are held.
    #[must_use]
    pub fn replay_bytes(&self, params: &NetworkParameters) -> u64 {
        let held = longest(params) + params.switch_margin().scale(3, 1);
        self.packets_in(held).saturating_mul(TAG_BYTES)
    }

    /// Tags of one epoch that may be remembered at a moment: what the rate makes since a tenth of an
    /// epoch before its key was first accepted, which is a tenth before it starts. So a filter begins
    /// with room for bursts.
    pub(crate) fn replay_tags(&self, params: &NetworkParameters, epoch: Epoch, now: Time) -> usize {
        let opens = params.start_of(epoch) - params.switch_margin().scale(2, 1);
        let tags = self.packets_in(now.since(opens).min(longest(params)));
        usize::try_from(tags).unwrap_or(usize::MAX)
    }

    /// Packets per second that a provider's attached clients may send together.
    #[must_use]
    pub fn client_rate(&self) -> f64 {
        f64::from(self.packets_per_second) / CLIENT_SHARE
    }

    pub(crate) fn shed_after(&self, params: &NetworkParameters) -> Span {
        let eighth = || params.mean_delay.scale(1, 8);
        self.shed_after.unwrap_or_else(eighth)
    }

    pub(crate) fn gather(&self, params: &NetworkParameters) -> Span {
        self.gather
            .unwrap_or_else(|| params.mean_delay.scale(1, 50))
    }

    pub(crate) fn log_grace(&self, params: &NetworkParameters) -> Span {
        let tenth = || params.mean_delay.scale(1, 10);
        self.log_grace.unwrap_or_else(tenth)
    }

    pub(crate) fn log_patience(&self, params: &NetworkParameters) -> Span {
        let ten = || params.mean_delay.scale(10, 1);
        self.log_patience.unwrap_or_else(ten)
    }

    fn packets_in(&self, span: Span) -> u64 {
        let packets = u128::from(span.as_micros()) * u128::from(self.packets_per_second);
        u64::try_from(packets / 1_000_000).unwrap_or(u64::MAX)
    }
}

/// For how long a filter grows at most: its document's own epoch and those for which it may stay in
/// force, the margins around them, and what it begins with.
fn longest(params: &NetworkParameters) -> Span {
    params.epoch.scale(MAX_STALE_EPOCHS + 1, 1) + params.switch_margin().scale(3, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(hours: u64) -> NetworkParameters {
        NetworkParameters {
            epoch: Span::from_secs(3600 * hours),
            ..NetworkParameters::example()
        }
    }

    #[test]
    fn room_for_tags_follows_from_the_rate_and_ends() {
        let (limits, params) = (RelayLimits::default(), hours(1));
        let epoch = Epoch::new(300);
        let at = |tenths: i64| {
            let now = params.start_of(epoch).shifted(tenths * 360_000_000);
            limits.replay_tags(&params, epoch, now)
        };
        // 540,000 packets in a tenth of an hour.
        let tenths = [-3, -2, -1, 0, 5, 11, 41, 1000].map(at);
        let expected = [0, 0, 1, 2, 7, 13, 43, 43].map(|tenths| tenths * 540_000);
        assert_eq!(tenths, expected);
    }

    #[test]
    fn a_rate_that_does_not_fit_is_refused_with_what_would_do() {
        let limits = RelayLimits::default();
        assert_eq!(limits.check(&hours(1)), Ok(()));
        let error = limits.check(&hours(24)).unwrap_err();
        let expected = LimitError::ReplayMemory {
            rate: 1500,
            epoch: Span::from_secs(86_400),
            needed_mib: 9_666,
            memory_mib: 512,
            rate_that_fits: 79,
        };
        assert_eq!(error, expected);
        assert_eq!(
            error.to_string(),
            "packets_per_second is 1500 and epochs last 1d, so the replay filters can take 9666 MiB; \
             replay_memory allows 512 MiB: raise it if the machine has the memory, or set \
             packets_per_second to 79 or less"
        );
        let fits = RelayLimits {
            packets_per_second: 79,
            ..limits
        };
        assert_eq!(fits.check(&hours(24)), Ok(()));
        let too_many = RelayLimits {
            packets_per_second: 80,
            ..fits
        };
        assert!(too_many.check(&hours(24)).is_err());
    }

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
