//! What a profile costs, as `shoal network show` and `check` say it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use shoal_topology::{NetworkParameters, Profile};

/// What a profile costs, and how fast it is. Frames only: transports add a few per cent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Cost {
    /// Bytes per second to the entry provider.
    pub(super) up_bytes_per_sec: f64,
    /// Bytes per second from it.
    pub(super) down_bytes_per_sec: f64,
    /// Both ways, in a day, in units of 10^9 bytes.
    pub(super) gigabytes_per_day: f64,
    /// The same in 30 days.
    pub(super) gigabytes_per_month: f64,
    /// From the sender's command to a receiver who is online, for a text of one packet and links
    /// of 40 ms: half of the messages are faster.
    pub(super) p50_secs: f64,
    /// And 99 of 100 are faster than this.
    pub(super) p99_secs: f64,
}

impl Cost {
    pub(super) fn estimate(params: &NetworkParameters, profile: &Profile) -> Self {
        let delivery = params.expected_delivery(profile);
        Self {
            up_bytes_per_sec: profile.up_bytes_per_sec(),
            down_bytes_per_sec: profile.down_bytes_per_sec(),
            gigabytes_per_day: profile.bytes_per_day() / 1e9,
            gigabytes_per_month: profile.bytes_per_day() * 30.0 / 1e9,
            p50_secs: delivery.quantile(0.5),
            p99_secs: delivery.quantile(0.99),
        }
    }

    /// Those of all profiles of a network, by name.
    pub(super) fn of_all(params: &NetworkParameters) -> BTreeMap<String, Self> {
        let profiles = params.profiles.iter();
        let costs = profiles.map(|(name, profile)| (name.clone(), Self::estimate(params, profile)));
        costs.collect()
    }
}

/// Costs for people, a line for each profile below what the columns are.
pub(super) fn table(costs: &BTreeMap<String, Cost>) -> String {
    let mut words = format!(
        "{:<12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
        "profile", "up kB/s", "down kB/s", "GB/day", "GB/month", "p50 s", "p99 s",
    );
    for (name, cost) in costs {
        // Writing to a string does not fail.
        let _ = writeln!(
            words,
            "{name:<12} {:>9.1} {:>9.1} {:>9.2} {:>9.1} {:>9.1} {:>9.1}",
            cost.up_bytes_per_sec / 1e3,
            cost.down_bytes_per_sec / 1e3,
            cost.gigabytes_per_day,
            cost.gigabytes_per_month,
            cost.p50_secs,
            cost.p99_secs,
        );
    }
    words.push_str(
        "\nTimes are estimates for a text of one packet, links of 40 ms, and a receiver who is \
         online.\nThe anonymity set is the clients of one profile that are online together.",
    );
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of the default profile as they were measured: 31 kB/s, 2.2 s and 4.7 s.
    #[test]
    fn the_default_profile_keeps_its_promise() {
        let params = NetworkParameters::example();
        let cost = Cost::estimate(&params, &params.profiles["default"]);
        assert!((cost.up_bytes_per_sec + cost.down_bytes_per_sec - 30_920.0).abs() < 100.0);
        assert!((2.0..2.5).contains(&cost.p50_secs), "{cost:?}");
        assert!((4.3..5.0).contains(&cost.p99_secs), "{cost:?}");
        let mobile = Cost::estimate(&params, &params.profiles["mobile"]);
        assert!((mobile.gigabytes_per_day - 0.264).abs() < 0.01);
        assert!((mobile.gigabytes_per_month - 7.92).abs() < 0.1);
        assert!(mobile.p99_secs > 5.0);
    }

    #[test]
    fn a_clock_that_never_ticks_delivers_never() {
        let params = NetworkParameters::example();
        let still = Profile {
            real: 0.0,
            ..params.profiles["default"]
        };
        assert!(Cost::estimate(&params, &still).p50_secs.is_infinite());
    }
}
