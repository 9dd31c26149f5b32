//! A scenario as a type.

use std::collections::BTreeMap;

use serde::Deserialize;
use shoal_harness::LinkDelay;
use shoal_proto::Span;
use shoal_topology::Profile;

use crate::network::Who;

/// A commented scenario with every key: what `shoal-sim network --new` writes.
pub const PRESET: &str = include_str!("preset.toml");

/// What `shoal-sim network` simulates: read from TOML, every value within its range. The file
/// [`PRESET`] says what the keys mean.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scenario {
    /// Everything random follows from it.
    pub seed: u64,
    /// How long clients send and faults happen.
    pub duration: Span,
    /// How long it may take after that until every accepted message has arrived.
    pub settle: Span,
    /// Layers of mixes.
    pub layers: u8,
    /// Mixes in each layer.
    pub width: usize,
    /// Providers.
    pub providers: usize,
    /// The length of an epoch.
    pub epoch: Span,
    /// The mean delay of a hop.
    pub mean_delay: Span,
    /// Loops of each node per second.
    pub loop_rate: f64,
    /// The longest wait, in the mean, before a client sends again.
    pub retry_max: Span,
    /// How long a message is tried and kept.
    pub time_to_live: Span,
    /// How long links take.
    pub delay: LinkDelay,
    /// What links lose, as a probability.
    pub loss: f64,
    /// Numbers of clients with their profiles.
    pub clients: Vec<(usize, String)>,
    /// Profiles beside the usual ones.
    pub profiles: BTreeMap<String, Profile>,
    /// What clients send.
    pub workload: Workload,
    /// Mean times that clients are online and offline.
    pub churn: Option<(Span, Span)>,
    /// Mean times that processes are up and down.
    pub crashes: Crashes,
    /// What goes wrong on schedule.
    pub faults: Vec<PlannedFault>,
}

/// What clients send.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Workload {
    /// Messages of each client per minute.
    pub messages_per_minute: f64,
    /// Bytes of a text.
    pub bytes: usize,
    /// To whom.
    pub to: Receivers,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            messages_per_minute: 2.0,
            bytes: 100,
            to: Receivers::default(),
        }
    }
}

/// To whom clients send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Receivers {
    /// To the next client, always.
    Next,
    /// To another client each time.
    #[default]
    Anyone,
}

/// Mean times that processes are up and down, by kind of party.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Crashes {
    /// Of mixes.
    pub mixes: Option<(Span, Span)>,
    /// Of providers.
    pub providers: Option<(Span, Span)>,
    /// Of clients.
    pub clients: Option<(Span, Span)>,
}

/// What goes wrong on schedule.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PlannedFault {
    /// What.
    pub kind: FaultKind,
    /// Whom it concerns.
    pub who: Vec<Who>,
    /// From when, counted from when the network is up.
    pub at: Span,
    /// How long; to the end if `None`.
    pub lasting: Option<Span>,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FaultKind {
    /// They are cut off.
    Partition,
    /// Their processes end.
    Crash,
    /// They are offline.
    Offline,
    /// Their links lose more, or take longer.
    Link {
        /// The other ends; all if empty.
        with: Vec<Who>,
        /// On top of the delay.
        delay: LinkDelay,
        /// On top of the losses.
        loss: f64,
    },
}

impl Scenario {
    /// Clients in all.
    #[must_use]
    pub fn client_count(&self) -> usize {
        self.clients.iter().map(|(count, _)| count).sum()
    }

    /// Mixes and providers in all.
    #[must_use]
    pub fn node_count(&self) -> usize {
        usize::from(self.layers) * self.width + self.providers
    }

    /// Packets that clients send, and that their mailboxes send them, per second.
    #[must_use]
    pub fn packet_rate(&self) -> f64 {
        let usual = shoal_topology::NetworkParameters::default_profiles();
        let rate = |(count, name): &(usize, String)| {
            let profile = self.profiles.get(name).or_else(|| usual.get(name));
            let each = profile.map_or(0.0, |profile| profile.uplink() + profile.mailbox_clock);
            *count as f64 * each
        };
        self.clients.iter().map(rate).sum()
    }

    /// How long after the last fault an accepted message may reasonably take: eight tries of a part
    /// at 30 mean delays and a mean gap of the slowest profile's real packets, two more at the
    /// longest wait, and three epochs for a client or node that has to find back into the network.
    /// With less to settle, a message that has not arrived breaks no promise.
    #[must_use]
    pub fn patience(&self) -> Span {
        let usual = shoal_topology::NetworkParameters::default_profiles();
        let real = |name: &String| {
            let profile = self.profiles.get(name).or_else(|| usual.get(name));
            profile.map(|profile| profile.real)
        };
        let rates = self.clients.iter().filter_map(|(_, name)| real(name));
        let slowest = rates.fold(f64::INFINITY, f64::min).max(1e-3);
        let gap = if slowest.is_finite() {
            1.0 / slowest
        } else {
            0.0
        };
        let try_again = self.mean_delay.scale(30, 1) + Span::from_secs_f64(gap);
        try_again.scale(8, 1) + self.retry_max.scale(2, 1) + self.epoch.scale(3, 1)
    }

    /// What its author may not expect of it, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let needed = self.patience();
        let short = self.settle < needed;
        short
            .then(|| {
                format!(
                    "run.settle = {} is short: after it, messages that have not arrived may be under way still, and no promise is called broken; {needed} is enough to tell",
                    self.settle
                )
            })
            .into_iter()
            .collect()
    }

    /// The profile of this name among the usual ones and the scenario's own.
    pub(crate) fn knows(&self, profile: &str) -> bool {
        let usual = shoal_topology::NetworkParameters::default_profiles();
        self.profiles.contains_key(profile) || usual.contains_key(profile)
    }
}

/// A link's delay from its fixed part and the mean of the exponential one.
pub(crate) fn link_delay(base: Span, jitter: Span) -> LinkDelay {
    if jitter == Span::ZERO {
        LinkDelay::Fixed(base)
    } else {
        LinkDelay::Exponential { base, jitter }
    }
}
