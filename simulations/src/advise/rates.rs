//! Rates of a client that fit its bandwidth, and the latency that they bring.

use serde::Serialize;
use shoal_topology::{Latency, Profile, Ways};

use super::{Latencies, Request};

/// How a client's bandwidth is split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Split {
    /// Loops, and as many drops, for each packet of the real process.
    pub cover: f64,
    /// Ticks of the mailbox's clock for each packet of the real process.
    pub clock: f64,
    /// The share of the downlink's frames that carry something.
    pub load: f64,
}

/// Packets to the own mailboxes for each tick of the first one's clock: a packet brings four reply blocks, and all
/// clocks together spend less, so that stocks stay full.
const MAILBOX_SHARE: f64 = 0.45;
/// Ticks of all mailboxes' clocks for one of the first's.
const ALL: f64 = 1.5625;
/// How much of the downlink of the default profile is used.
const LOAD: f64 = 0.625;
/// The most that a profile may have.
const FASTEST: f64 = 1000.0;

/// What is tried. The first is the split of the default profile.
pub(super) const SPLITS: [Split; 12] = {
    let mut splits = [Split {
        cover: 0.25,
        clock: 1.0,
        load: LOAD,
    }; 12];
    let (covers, clocks, loads) = ([0.25, 0.1, 0.5], [1.0, 0.6], [LOAD, 0.7]);
    let mut i = 0;
    while i < 12 {
        splits[i] = Split {
            cover: covers[i / 4],
            clock: clocks[(i / 2) % 2],
            load: loads[i % 2],
        };
        i += 1;
    }
    splits
};

/// The highest rates of this split that `bandwidth` bytes per second carry, both directions
/// together, rounded down to three digits. At most 1000 per second each.
#[must_use]
pub fn fitting(bandwidth: f64, split: Split) -> Profile {
    let for_each_real = of(1.0, split);
    let fastest = for_each_real.downlink.max(1.0);
    let real = (bandwidth / for_each_real.bytes_per_sec()).min(FASTEST / fastest);
    let rates = of(real, split);
    Profile {
        real: three_digits(rates.real),
        loops: three_digits(rates.loops),
        drops: three_digits(rates.drops),
        mailbox: three_digits(rates.mailbox),
        mailbox_clock: three_digits(rates.mailbox_clock),
        downlink: three_digits(rates.downlink),
        copies: 2,
    }
}

fn of(real: f64, split: Split) -> Profile {
    let mailbox_clock = real * split.clock;
    Profile {
        real,
        loops: real * split.cover,
        drops: real * split.cover,
        mailbox: mailbox_clock * MAILBOX_SHARE,
        mailbox_clock,
        downlink: real * (1.0 + split.cover + ALL * split.clock) / split.load,
        copies: 2,
    }
}

/// The latency that the request bounds, for this many layers and this mean delay in seconds;
/// `None` where a queue would grow without bound. Exact for Poisson messages.
#[must_use]
pub fn latency(
    request: &Request,
    rates: &Profile,
    layers: u32,
    mean_delay: f64,
) -> Option<Latency> {
    let waits = rates.waits(request.message_rate);
    if [waits.real, waits.mailbox_clock, waits.downlink]
        .iter()
        .any(|rate| *rate <= 0.0)
    {
        return None;
    }
    let ways = Ways {
        layers,
        mean_delay,
        link: request.link,
    };
    Some(match request.latency {
        Latencies::Path => ways.deposit(),
        Latencies::Delivery => ways.delivery(&waits),
    })
}

/// Rounded down to three significant digits.
pub(super) fn three_digits(x: f64) -> f64 {
    if x <= 0.0 || !x.is_finite() {
        return 0.0;
    }
    let mut unit = 1.0_f64;
    while x / unit >= 1000.0 {
        unit *= 10.0;
    }
    // Dividing by whole powers of ten gives the nearest number to the decimal one.
    let mut parts = 1.0_f64;
    while x * parts < 100.0 {
        parts *= 10.0;
    }
    if unit > 1.0 {
        (x / unit).floor() * unit
    } else {
        (x * parts * (1.0 + 1e-12)).floor() / parts
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn near(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() <= tolerance, "{a} is not {b}");
    }

    #[test]
    fn the_default_profile_is_the_first_split() {
        let rates = fitting(30_922.0, SPLITS[0]);
        near(rates.real, 2.0, 0.001);
        near(rates.loops, 0.5, 0.001);
        near(rates.mailbox, 0.9, 0.001);
        near(rates.mailbox_clock, 2.0, 0.001);
        near(rates.downlink, 9.0, 0.01);
        assert!(rates.bytes_per_sec() <= 30_922.0);
    }

    /// In virtual time p50 is 2.2 s and p99 4.7 s for it.
    #[test]
    fn the_default_profile_delivers_as_it_was_designed() {
        let rates = Profile {
            real: 2.0,
            loops: 0.5,
            drops: 0.5,
            mailbox: 0.9,
            mailbox_clock: 2.0,
            downlink: 9.0,
            copies: 2,
        };
        let request = Request::new(1000, 5.0, 30_000.0, 0.2);
        let found = latency(&request, &rates, 3, 0.1).unwrap();
        near(found.quantile(0.5), 2.2, 0.1);
        near(found.quantile(0.99), 4.8, 0.25);
    }

    #[test]
    fn every_split_fits_its_bandwidth() {
        for split in SPLITS {
            for bandwidth in [100.0, 5000.0, 1e6, 1e9] {
                let rates = fitting(bandwidth, split);
                assert!(rates.bytes_per_sec() <= bandwidth, "{split:?} {bandwidth}");
                assert!(rates.downlink <= 1000.0 && rates.downlink > rates.offered());
            }
        }
    }

    #[test]
    fn numbers_are_rounded_down() {
        for (x, rounded) in [
            (1.2345, 1.23),
            (0.012_345, 0.0123),
            (98_765.0, 98_700.0),
            (2.0, 2.0),
            (0.0, 0.0),
        ] {
            near(three_digits(x), rounded, 1e-12);
        }
    }

    #[test]
    fn a_queue_without_slack_has_no_latency() {
        let request = Request {
            message_rate: 3.0,
            ..Request::new(1000, 5.0, 30_000.0, 0.2)
        };
        let rates = fitting(30_000.0, SPLITS[0]);
        assert_eq!(latency(&request, &rates, 3, 0.1), None);
    }
}
