//! What the network's profiles cost and give: estimates from the parameters, and the table that `shoal-sim profiles` has
//! simulated. Nothing is asked of anybody.

use std::collections::BTreeMap;

use serde::Deserialize;
use shoal_topology::{Latency, NetworkParameters, Profile};

use crate::control::protocol::{
    Anonymity, CurvePoint, ExpectedDelay, ProfileInfo, ProfileRates, Profiles,
};

/// What `shoal-sim profiles --out node/src/profiles.json` wrote; the simulator's tests hold it against the parameters.
const TABLE: &str = include_str!("profiles.json");

#[derive(Deserialize)]
struct Table {
    head: Head,
    not_said: String,
    profiles: BTreeMap<String, Row>,
}

#[derive(Deserialize)]
struct Head {
    command: String,
    version: String,
    layers: u8,
    mean_delay_s: f64,
    profiles: BTreeMap<String, Profile>,
}

#[derive(Deserialize)]
struct Row {
    sizes: Vec<Size>,
    curve: Vec<OnCurve>,
}

#[derive(Deserialize)]
struct Bits {
    mean: Option<f64>,
    interval: Option<(f64, f64)>,
    worst_twentieth: Option<f64>,
    kind: String,
    #[serde(default)]
    of: String,
}

#[derive(Deserialize)]
struct Size {
    users: u32,
    mixes_per_layer: u32,
    #[serde(flatten)]
    bits: Bits,
}

#[derive(Deserialize)]
struct OnCurve {
    mean_delay_s: f64,
    p50_s: f64,
    #[serde(flatten)]
    bits: Bits,
}

impl Table {
    fn read() -> Self {
        #[expect(
            clippy::expect_used,
            reason = "it is a part of the program, and a test reads it"
        )]
        serde_json::from_str(TABLE).expect("a table")
    }

    /// What was simulated of this profile in this network.
    fn row(&self, params: &NetworkParameters, name: &str, profile: &Profile) -> Option<&Row> {
        let same_delay = same(self.head.mean_delay_s, params.mean_delay.as_secs_f64());
        let same_network = self.head.layers == params.layers && same_delay;
        let same_profile = self.head.profiles.get(name) == Some(profile);
        self.profiles
            .get(name)
            .filter(|_| same_network && same_profile)
    }
}

/// Delays that were written as decimals.
fn same(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-9
}

/// The network's profiles for who uses this one, and asks about so many users online.
///
/// # Panics
/// Never: the table is a part of the program.
#[must_use]
pub fn profiles(params: &NetworkParameters, in_use: &str, users: Option<u32>) -> Profiles {
    let table = Table::read();
    let all = params.profiles.iter();
    let info = |(name, profile): (&String, &Profile)| {
        let row = table.row(params, name, profile);
        info(params, (name, profile), row, users)
    };
    Profiles {
        in_use: in_use.to_owned(),
        users,
        profiles: all.map(info).collect(),
        not_said: table.not_said.clone(),
        made_by: table.head.command.clone(),
        made_with: table.head.version.clone(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are at most 1000 per second"
)]
fn info(
    params: &NetworkParameters,
    (name, profile): (&str, &Profile),
    row: Option<&Row>,
    users: Option<u32>,
) -> ProfileInfo {
    let anonymity: Vec<Anonymity> =
        row.map_or_else(Vec::new, |row| row.sizes.iter().map(of).collect());
    // Among the same mixes more users hide each other better, never worse.
    let within = |it: &&Anonymity| users.is_some_and(|users| it.users <= users);
    let at_least = anonymity.iter().rfind(within).cloned();
    let present = params.mean_delay.as_secs_f64();
    let point = |it: &OnCurve| CurvePoint {
        mean_delay_ms: it.mean_delay_s * 1e3,
        present: same(it.mean_delay_s, present),
        p50_ms: (it.p50_s * 1e3).round() as u64,
        bits: it.bits.mean,
    };
    ProfileInfo {
        name: name.to_owned(),
        rates: ProfileRates {
            real: profile.real,
            loops: profile.loops,
            drops: profile.drops,
            mailbox: profile.mailbox,
            mailbox_clock: profile.mailbox_clock,
            downlink: profile.downlink,
        },
        up_bytes_per_sec: profile.up_bytes_per_sec(),
        down_bytes_per_sec: profile.down_bytes_per_sec(),
        bytes_per_day: profile.bytes_per_day().round() as u64,
        stored: expected(&params.expected_stored(profile, 1)),
        received: expected(&params.expected_delivery(profile)),
        anonymity,
        at_least,
        curve: row.map_or_else(Vec::new, |row| row.curve.iter().map(point).collect()),
    }
}

fn of(size: &Size) -> Anonymity {
    let bits = &size.bits;
    Anonymity {
        users: size.users,
        mixes_per_layer: size.mixes_per_layer,
        bits: bits.mean,
        low: bits.interval.map(|it| it.0),
        high: bits.interval.map(|it| it.1),
        worst_twentieth_bits: bits.worst_twentieth,
        claim: bits.kind.clone(),
        because: bits.of.clone(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is not finite is left out, and seconds are few"
)]
fn expected(latency: &Latency) -> ExpectedDelay {
    let ms = |q| Some(latency.quantile(q) * 1e3).filter(|it| it.is_finite());
    ExpectedDelay {
        p50_ms: ms(0.5).map(|it| it.round() as u64),
        p99_ms: ms(0.99).map(|it| it.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn named<'a>(all: &'a Profiles, name: &str) -> &'a ProfileInfo {
        all.profiles.iter().find(|it| it.name == name).unwrap()
    }

    #[test]
    fn each_profile_has_its_cost_its_delays_and_its_bits() {
        let params = NetworkParameters::example();
        let all = profiles(&params, "default", Some(5_000));
        let names: Vec<&str> = all.profiles.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["default", "mobile"]);
        let (default, mobile) = (named(&all, "default"), named(&all, "mobile"));
        assert!((2_600_000_000..2_700_000_000).contains(&default.bytes_per_day));
        assert!(default.received.p99_ms.unwrap() < 5_000);
        assert!(mobile.received.p50_ms.unwrap() > default.received.p99_ms.unwrap());
        for info in [default, mobile] {
            let users: Vec<u32> = info.anonymity.iter().map(|it| it.users).collect();
            assert_eq!(users, [10, 100, 1_000, 10_000]);
            assert!(info.anonymity.iter().all(|it| it.claim == "lower_bound"));
            assert_eq!(info.at_least.as_ref(), Some(&info.anonymity[2]));
            assert_eq!(info.curve.iter().filter(|it| it.present).count(), 1);
        }
        // More packets hide better.
        assert!(default.anonymity[1].bits > mobile.anonymity[1].bits);
    }

    #[test]
    fn nothing_is_said_of_fewer_users_than_were_simulated_and_none_without_a_number() {
        let params = NetworkParameters::example();
        for users in [None, Some(0), Some(9)] {
            let all = profiles(&params, "mobile", users);
            assert!(
                all.profiles.iter().all(|it| it.at_least.is_none()),
                "{users:?}"
            );
        }
        let ten = profiles(&params, "mobile", Some(10));
        assert!(ten.profiles.iter().all(|it| it.at_least.is_some()));
    }

    #[test]
    fn another_network_gets_no_bits_that_were_simulated_for_this_one() {
        let changes: [fn(&mut NetworkParameters); 3] = [
            |params| params.layers = 2,
            |params| params.mean_delay = shoal_proto::Span::from_millis(101),
            |params| params.profiles.get_mut("mobile").unwrap().drops = 0.06,
        ];
        for change in changes {
            let mut params = NetworkParameters::example();
            change(&mut params);
            let all = profiles(&params, "mobile", Some(100));
            let mobile = named(&all, "mobile");
            assert!(mobile.anonymity.is_empty() && mobile.curve.is_empty());
            assert!(mobile.at_least.is_none());
            assert!(mobile.received.p50_ms.is_some(), "that is known");
        }
    }

    #[test]
    fn what_never_comes_has_no_time() {
        let mut params = NetworkParameters::example();
        params.profiles.get_mut("mobile").unwrap().real = 0.0;
        let all = profiles(&params, "mobile", None);
        assert_eq!(named(&all, "mobile").received.p99_ms, None);
    }
}
