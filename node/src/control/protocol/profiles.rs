//! The network's profiles, as the user sees them: what each costs, how fast it is, and how well it hides.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The network's profiles.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Profiles {
    /// The one in use.
    pub in_use: String,
    /// Users online that were asked about. Nobody knows how many there are: the directory has nodes, and no clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<u32>,
    /// All of them, by name.
    pub profiles: Vec<ProfileInfo>,
    /// Of what the bits say nothing.
    pub not_said: String,
    /// The command that the bits were simulated by.
    pub made_by: String,
    /// The version of the simulator that made them.
    pub made_with: String,
}

/// What a profile costs and gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProfileInfo {
    /// Its name.
    pub name: String,
    /// Packets per second, whatever the user does.
    pub rates: ProfileRates,
    /// Bytes per second to the entry provider, in frames; transports add a few per cent.
    pub up_bytes_per_sec: f64,
    /// Bytes per second from it.
    pub down_bytes_per_sec: f64,
    /// Bytes in a day, both ways.
    pub bytes_per_day: u64,
    /// How long a text of one packet takes until its sender knows that it is stored.
    pub stored: ExpectedDelay,
    /// How long it takes to a receiver who is online, both with this profile.
    pub received: ExpectedDelay,
    /// How well a packet hides its sender, by number of users online with this profile, ascending. Empty where nothing
    /// was simulated with this network's parameters.
    pub anonymity: Vec<Anonymity>,
    /// The same for `users`: that of the largest number simulated that is not larger. None below the smallest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Anonymity>,
    /// Bits against seconds, a thousand users online and layers of three mixes, by mean delay of a hop, ascending: what another network would give.
    pub curve: Vec<CurvePoint>,
}

/// Packets per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProfileRates {
    /// Texts, or dummies in their stead.
    pub real: f64,
    /// Loops to oneself.
    pub loops: f64,
    /// Packets that a provider drops.
    pub drops: f64,
    /// Packets to the own mailboxes.
    pub mailbox: f64,
    /// What the mailboxes send.
    pub mailbox_clock: f64,
    /// Frames from the entry provider.
    pub downlink: f64,
}

/// Estimates over links of 40 ms; nothing where it never comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExpectedDelay {
    /// Half are faster, in milliseconds.
    pub p50_ms: Option<u64>,
    /// Ninety-nine in a hundred are faster, in milliseconds.
    pub p99_ms: Option<u64>,
}

/// How well a packet hides its sender from somebody who sees every link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Anonymity {
    /// Clients of this profile that are online together.
    pub users: u32,
    /// Mixes in each layer that this was simulated with: with more, fewer packets meet in each.
    pub mixes_per_layer: u32,
    /// Entropy over the users, mean over packets, in bits. None where no sound value is known.
    pub bits: Option<f64>,
    /// The lower end of its 95% interval.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// One packet in twenty has a smaller min-entropy than this, in bits.
    pub worst_twentieth_bits: Option<f64>,
    /// What may be claimed of the bits: `exact`, `lower_bound` and so on (docs/simulator/README.md).
    pub claim: String,
    /// Why no more is claimed.
    pub because: String,
}

/// A point on the curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CurvePoint {
    /// The mean delay of a hop, in milliseconds.
    pub mean_delay_ms: f64,
    /// The network is here.
    pub present: bool,
    /// How long a text takes to a receiver who is online: half are faster, in milliseconds.
    pub p50_ms: u64,
    /// Entropy over the users, in bits, at least.
    pub bits: Option<f64>,
}
