//! One number of the table: a scenario, and what its runs give.

use shoal_topology::{Profile, TYPICAL_LINK};

use super::{Bits, LEFT_OUT, ProfilesError, rounded};
use crate::measure::Claim;
use crate::run::{self, Options, Watch};
use crate::scenario::Scenario;
use crate::stats;

/// Packets per second that a mix carries.
const CAPACITY: f64 = 5_000.0;
/// The least mixes in a layer.
const LEAST_MIXES: u32 = 3;
/// Packets that are traced back in each run.
const TARGETS: f64 = 200.0;
/// All of them at a time, if need be: who passes some over chooses.
const ALIVE: u32 = 200;

/// What is simulated.
pub(super) struct Cell<'a> {
    pub(super) name: &'a str,
    pub(super) profile: &'a Profile,
    pub(super) layers: u8,
    pub(super) mean_delay_s: f64,
    pub(super) users: u32,
}

/// Three, or as many as carry what all clients send through them.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are at most 1000"
)]
pub(super) fn mixes_per_layer(profile: &Profile, users: u32) -> u32 {
    let all = profile.through_mixes() * f64::from(users);
    LEAST_MIXES.max((all / CAPACITY).ceil() as u32)
}

impl Cell<'_> {
    fn link(&self) -> f64 {
        TYPICAL_LINK.as_secs_f64()
    }

    /// Before and after what is measured: until pools are as they stay, and until next to nothing is under way.
    fn around(&self) -> f64 {
        let layers = f64::from(self.layers);
        let links = (layers + 1.0) * self.link();
        links + stats::erlang_quantile(1.0 - 1e-9, layers, self.mean_delay_s)
    }

    /// Long enough for the targets, and for pools to be filled anew some times.
    fn measured(&self) -> f64 {
        let messages = 10.0 * TARGETS / (self.profile.real * f64::from(self.users)).max(1e-9);
        messages.max(20.0 * self.mean_delay_s)
    }

    /// Virtual time of a run.
    pub(super) fn seconds(&self) -> f64 {
        2.0 * self.around() + self.measured()
    }

    /// As packets there are those that may be texts, and those that are dropped. Where the others go depends on who sent
    /// them, and they are left out.
    fn text(&self, seed: u64) -> String {
        let Profile { real, drops, .. } = self.profile;
        let around = self.around();
        let measured = self.measured();
        let messages = real * f64::from(self.users) * measured;
        let every = (messages / TARGETS).floor().max(1.0);
        format!(
            "[run]\nseed = {seed}\nrepetitions = 2\nwarm_up = \"{around:.3}s\"\nmeasure = \"{measured:.3}s\"\ndrain = \"{around:.3}s\"\n\
             [topology]\nkind = \"stratified\"\nlayers = {layers}\nwidth = {width}\n\
             [links]\ndelay = \"{link}s\"\n\
             [delay]\nmixes = {{ distribution = \"exponential\", mean = \"{delay:.6}s\" }}\n\
             [[clients]]\nname = \"users\"\ncount = {users}\nrates = {{ real = {real:?}, drop = {drops:?} }}\n\
             [[adversaries]]\nname = \"global\"\n\
             [targets]\nevery = {every}\ncount = {TARGETS}\nmax_alive = {ALIVE}\n\
             [metrics]\nentropy_backward = {{ users = true }}\n",
            layers = self.layers,
            width = mixes_per_layer(self.profile, self.users),
            link = self.link(),
            delay = self.mean_delay_s,
            users = self.users,
        )
    }

    /// Runs it.
    pub(super) fn bits(
        &self,
        (seed, repetitions): (u64, u32),
        threads: usize,
        watch: &dyn Watch,
    ) -> Result<Bits, ProfilesError> {
        let profile = || self.name.to_owned();
        let scenario =
            Scenario::parse_alone(&self.text(seed)).map_err(|source| ProfilesError::Scenario {
                profile: profile(),
                source,
            })?;
        let options = Options {
            repetitions: Some(repetitions),
            threads,
            ..Options::default()
        };
        let report =
            run::execute(&scenario, &options, watch).map_err(|source| ProfilesError::Run {
                profile: profile(),
                source,
            })?;
        let summary = |name: &str| report.summary(name, Some("global"));
        let Some(mean) = summary("entropy_backward_users") else {
            return Err(ProfilesError::Nothing(profile()));
        };
        let worst = summary("min_entropy_p5_backward_users").and_then(|it| it.mean);
        Ok(Bits {
            mean: mean.mean.map(rounded),
            interval: mean
                .low
                .zip(mean.high)
                .map(|(low, high)| (rounded(low), rounded(high))),
            worst_twentieth: worst.map(rounded),
            claim: mean.claim.and(&Claim::LowerBound(LEFT_OUT.to_owned())),
        })
    }
}
