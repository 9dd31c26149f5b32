//! What follows from a network's delays and a client's rates: how long messages take, and what the
//! traffic costs. Closed forms, here for everybody who tells them: the estimate of a message's
//! receipt, the table of profiles, the advice on a new network.

use shoal_packet::command::Share;
use shoal_proto::Span;
use shoal_proto::size::FRAME_BYTES;

use crate::delay::BEFORE_ANSWER;
use crate::{Latency, NetworkParameters, Profile};

/// What a link is taken to add where nobody knows better.
pub const TYPICAL_LINK: Span = Span::from_millis(40);

/// The ways through a network: between a client and a provider, over one mix of each layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ways {
    /// Layers of mixes.
    pub layers: u32,
    /// Mean of the exponential delay at every hop (1/mu), in seconds.
    pub mean_delay: f64,
    /// What each link adds, in seconds.
    pub link: f64,
}

/// The rates at which a message's waits end, per second. A queue that is served at the ticks of a
/// Poisson clock is M/M/1, so the time in it is exponential with the difference of the two rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waits {
    /// For a tick of the sender's `real` process.
    pub real: f64,
    /// For a tick of the receiver's mailbox.
    pub mailbox_clock: f64,
    /// In the queue of the downlink.
    pub downlink: f64,
}

impl Ways {
    /// From leaving a client to the mailbox's provider: the entry provider delays as the mixes do,
    /// the provider at the end does not.
    #[must_use]
    pub fn deposit(&self) -> Latency {
        self.way()
            .and(self.layers.saturating_add(1), self.mean_delay)
    }

    /// From handing a message of one packet to the sender's client to its arrival at the
    /// receiver's client, who is online: the deposit and its wait, the mailbox's wait, the mixes
    /// back to the receiver's entry, and the downlink's wait.
    #[must_use]
    pub fn delivery(&self, waits: &Waits) -> Latency {
        let delays = self.layers.saturating_mul(2).saturating_add(1);
        self.both_ways(0.0)
            .and(delays, self.mean_delay)
            .and_waits(1, waits.real)
            .and_waits(1, waits.mailbox_clock)
            .and_waits(1, waits.downlink)
    }

    /// From handing a message of so many fragments to the client to the receipt of the last one:
    /// each waits for a tick of `real`; the last goes to the provider, is held there for
    /// [`BEFORE_ANSWER`] and one more delay, and its receipt comes back over the mixes and waits for the downlink.
    #[must_use]
    pub fn stored(&self, waits: &Waits, fragments: u16) -> Latency {
        let delays = self.layers.saturating_mul(2).saturating_add(2);
        self.both_ways(BEFORE_ANSWER.as_secs_f64())
            .and(delays, self.mean_delay)
            .and_waits(u32::from(fragments), waits.real)
            .and_waits(1, waits.downlink)
    }

    fn way(&self) -> Latency {
        Latency::constant((f64::from(self.layers) + 2.0) * self.link)
    }

    /// With so many seconds between them.
    fn both_ways(&self, between: f64) -> Latency {
        Latency::constant((f64::from(self.layers) * 2.0 + 4.0) * self.link + between)
    }
}

impl NetworkParameters {
    /// The ways through this network over links that add so much.
    #[must_use]
    pub fn ways(&self, link: Span) -> Ways {
        Ways {
            layers: u32::from(self.layers),
            mean_delay: self.mean_delay.as_secs_f64(),
            link: link.as_secs_f64(),
        }
    }

    /// How long a message of one packet takes to a receiver who is online, both with this profile,
    /// over links of [`TYPICAL_LINK`]. See [`Ways::delivery`].
    #[must_use]
    pub fn expected_delivery(&self, profile: &Profile) -> Latency {
        self.ways(TYPICAL_LINK).delivery(&profile.waits(0.0))
    }

    /// How long a message of so many fragments takes to be stored, with this profile, over links of
    /// [`TYPICAL_LINK`]. See [`Ways::stored`].
    #[must_use]
    pub fn expected_stored(&self, profile: &Profile, fragments: u16) -> Latency {
        self.ways(TYPICAL_LINK)
            .stored(&profile.waits(0.0), fragments)
    }
}

impl Profile {
    /// The rates at which waits end for a client who sends and receives so many packets with
    /// messages per second. Not above 0 where a queue would grow without bound.
    #[must_use]
    pub fn waits(&self, message_rate: f64) -> Waits {
        Waits {
            real: self.real - message_rate,
            mailbox_clock: self.mailbox_clock - message_rate,
            downlink: self.downlink - self.offered(),
        }
    }

    /// Packets per second from the client.
    #[must_use]
    pub fn uplink(&self) -> f64 {
        self.real + self.loops + self.drops + self.mailbox
    }

    /// Packets per second from all mailboxes: of those for contacts the one with the larger share, and the other, and
    /// two that invitations lead to.
    #[must_use]
    pub fn from_mailboxes(&self) -> f64 {
        let of = |share: Share| share.of(self.mailbox_clock);
        of(Share::First) + of(Share::Second) + 2.0 * of(Share::Intake)
    }

    /// Packets per second that come in for the client: answers to the real process, loops, and
    /// what the mailboxes send.
    #[must_use]
    pub fn offered(&self) -> f64 {
        self.real + self.loops + self.from_mailboxes()
    }

    /// Packets per second through the mixes because of this client.
    #[must_use]
    pub fn through_mixes(&self) -> f64 {
        self.uplink() + self.real + self.from_mailboxes()
    }

    /// Bytes per second to the entry provider, in frames; transports add a few per cent.
    #[must_use]
    pub fn up_bytes_per_sec(&self) -> f64 {
        self.uplink() * FRAME_BYTES as f64
    }

    /// Bytes per second from the entry provider, in frames.
    #[must_use]
    pub fn down_bytes_per_sec(&self) -> f64 {
        self.downlink * FRAME_BYTES as f64
    }

    /// Bytes per second, both directions together, in frames.
    #[must_use]
    pub fn bytes_per_sec(&self) -> f64 {
        (self.uplink() + self.downlink) * FRAME_BYTES as f64
    }

    /// Bytes in a day, both directions together, in frames.
    #[must_use]
    pub fn bytes_per_day(&self) -> f64 {
        self.bytes_per_sec() * 86_400.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() < tolerance, "{a} is not {b}");
    }

    /// The figures of the default profile, as they were measured: 31 kB/s, 2.2 s and 4.8 s.
    #[test]
    fn the_default_profile_keeps_its_promise() {
        let params = NetworkParameters::example();
        let default = &params.profiles["default"];
        let delivery = params.expected_delivery(default);
        near(delivery.quantile(0.5), 2.2, 0.1);
        near(delivery.quantile(0.99), 4.8, 0.1);
        near(default.bytes_per_sec(), 30_921.0, 1.0);
        near(default.up_bytes_per_sec(), 3.9 * 2397.0, 1e-6);
        near(default.down_bytes_per_sec(), 9.0 * 2397.0, 1e-6);
        let mobile = &params.profiles["mobile"];
        near(mobile.bytes_per_day() / 1e9, 0.267, 0.001);
        assert!(params.expected_delivery(mobile).quantile(0.99) > 5.0);
    }

    #[test]
    fn means_are_counted_by_hand() {
        let ways = Ways {
            layers: 3,
            mean_delay: 0.1,
            link: 0.04,
        };
        let waits = Waits {
            real: 2.0,
            mailbox_clock: 4.0,
            downlink: 5.0,
        };
        near(ways.deposit().mean(), 0.4 + 0.2, 1e-12);
        near(
            ways.delivery(&waits).mean(),
            0.7 + 0.4 + 0.5 + 0.25 + 0.2,
            1e-12,
        );
        near(
            ways.stored(&waits, 1).mean(),
            0.8 + 0.4 + 0.5 + 0.2 + 0.02,
            1e-12,
        );
        near(
            ways.stored(&waits, 6).mean(),
            0.8 + 0.4 + 3.0 + 0.2 + 0.02,
            1e-12,
        );
    }

    #[test]
    fn without_ticks_nothing_arrives() {
        let params = NetworkParameters::example();
        let default = params.profiles["default"];
        for still in [
            Profile {
                real: 0.0,
                ..default
            },
            Profile {
                mailbox_clock: 0.0,
                ..default
            },
            Profile {
                downlink: 5.6,
                ..default
            },
        ] {
            assert!(params.expected_delivery(&still).quantile(0.5).is_infinite());
        }
        let silent = Profile {
            real: 0.0,
            ..default
        };
        assert!(params.expected_stored(&silent, 1).mean().is_infinite());
        assert!(params.expected_stored(&silent, 3).mean().is_infinite());
    }
}
