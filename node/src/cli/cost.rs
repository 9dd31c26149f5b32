use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, Exp};
use serde::Serialize;
use shoal_proto::size::FRAME_BYTES;
use shoal_topology::{NetworkParameters, Profile};

/// What the estimate takes for the time that a link adds.
const LINK_SECS: f64 = 0.040;
/// Drawn times; the seed is fixed, so everybody sees the same numbers.
const DRAWS: usize = 20_000;

/// What a profile costs, and how fast it is. Frames only: transports add a few per cent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Cost {
    /// Bytes per second to the entry provider.
    pub(super) up_bytes_per_sec: f64,
    /// Bytes per second from it.
    pub(super) down_bytes_per_sec: f64,
    /// Both ways, in a day, in units of 10^9 bytes.
    pub(super) gigabytes_per_day: f64,
    /// From the sender's command to a receiver who is online, for a text of one packet and links
    /// of 40 ms: half of the messages are faster.
    pub(super) p50_secs: f64,
    /// And 99 of 100 are faster than this.
    pub(super) p99_secs: f64,
}

impl Cost {
    pub(super) fn estimate(params: &NetworkParameters, profile: &Profile) -> Self {
        let frame = f64::from(u32::try_from(FRAME_BYTES).unwrap_or(u32::MAX));
        let up = (profile.real + profile.loops + profile.drops + profile.mailbox) * frame;
        let down = profile.downlink * frame;
        let mut rng = ChaCha20Rng::seed_from_u64(0);
        let mut draws: Vec<f64> = (0..DRAWS)
            .map(|_| draw(&mut rng, params, profile))
            .collect();
        draws.sort_by(f64::total_cmp);
        let quantile = |of_hundred: usize| {
            draws
                .get(draws.len() * of_hundred / 100)
                .copied()
                .unwrap_or(f64::INFINITY)
        };
        Self {
            up_bytes_per_sec: up,
            down_bytes_per_sec: down,
            gigabytes_per_day: (up + down) * 86_400.0 / 1e9,
            p50_secs: quantile(50),
            p99_secs: quantile(99),
        }
    }
}

/// One delivery: a tick of the sender's clock, the entry and the mixes to the mailbox, a tick of
/// the mailbox's clock, the mixes to the receiver's entry, a tick of the downlink.
fn draw(rng: &mut ChaCha20Rng, params: &NetworkParameters, profile: &Profile) -> f64 {
    let mut wait = |rate: f64| match Exp::new(rate) {
        Ok(exponential) if rate > 0.0 => exponential.sample(rng),
        _ => f64::INFINITY,
    };
    let clocks = wait(profile.real) + wait(profile.mailbox_clock) + wait(profile.downlink);
    let layers = usize::from(params.layers);
    let delays: f64 = (0..2 * layers + 1)
        .map(|_| wait(1.0 / params.mean_delay.as_secs_f64()))
        .sum();
    let links = f64::from(params.layers) * 2.0 + 4.0;
    clocks + delays + links * LINK_SECS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of the design for the default profile: 28 kB/s, 2.2 s and 4.8 s.
    #[test]
    fn the_default_profile_keeps_its_promise() {
        let params = NetworkParameters::example();
        let cost = Cost::estimate(&params, &params.profiles["default"]);
        assert!((cost.up_bytes_per_sec + cost.down_bytes_per_sec - 27_800.0).abs() < 100.0);
        assert!((2.0..2.5).contains(&cost.p50_secs), "{cost:?}");
        assert!((4.3..5.0).contains(&cost.p99_secs), "{cost:?}");
        let mobile = Cost::estimate(&params, &params.profiles["mobile"]);
        assert!((mobile.gigabytes_per_day - 0.24).abs() < 0.01);
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
