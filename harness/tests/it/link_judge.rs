//! Whether what is seen on some clients' links can be told from what is seen on others'.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution as _, Exp1};
use shoal_proto::{Span, Time};
use shoal_stats as stats;
use shoal_topology::NetworkParameters;

use crate::link_windows::{Group, WINDOW, Way};

/// Parts of the windows of which each is classified by what the others teach.
const PARTS: usize = 5;
/// Times that the moments of texts are turned, each by a minute or more.
const TURNS: usize = 400;
/// After an event, frames are counted for so long.
const SOON: [Span; 2] = [Span::from_secs(4), Span::from_secs(12)];

/// What was found of one state.
pub(crate) struct Finding {
    pub(crate) state: &'static str,
    pub(crate) tests: Tests,
    /// How well windows can be classified.
    pub(crate) area: stats::Area,
    /// Windows of idle clients, and of the others.
    pub(crate) windows: [usize; 2],
    /// Frames up and down of idle clients, and of the others.
    pub(crate) frames: [[u64; 2]; 2],
}

/// Tests by name, each with its p-value.
pub(crate) type Tests = Vec<(String, f64)>;

/// Compares clients in some state with idle ones to which the same happens.
pub(crate) fn judge(state: &'static str, idle: &Group<'_>, other: &Group<'_>) -> Finding {
    let mut tests = Tests::new();
    for way in [Way::Up, Way::Down] {
        tests.extend(frames_compared(way, idle, other));
    }
    for (name, up_first) in [("down after up", true), ("up after down", false)] {
        let [a, b] = [idle, other].map(|group| group.turns(up_first));
        tests.push((name.to_owned(), anderson_darling(&a, &b)));
    }
    if idle.before.is_some() {
        for way in [Way::Up, Way::Down, Way::Asks] {
            tests.extend(after_events(way, idle, other));
        }
    }
    tests.extend(following(other));
    let scales = idle.scales();
    let windows = [idle, other].map(|group| group.windows(&scales));
    let area = stats::cross_validated(&windows[1], &windows[0], PARTS).unwrap();
    tests.push(("windows classified".to_owned(), area.p_value()));
    for (name, _) in &mut tests {
        *name = format!("{state}: {name}");
    }
    let frames = |group: &Group<'_>| [Way::Up, Way::Down].map(|way| group.total(way).0);
    Finding {
        state,
        tests,
        area,
        windows: windows.map(|windows| windows.len()),
        frames: [frames(idle), frames(other)],
    }
}

fn anderson_darling(a: &[f64], b: &[f64]) -> f64 {
    stats::ad_two_sample(a, b).unwrap().p_value
}

/// The gaps between frames one way, whether long ones follow on long ones, and how many there are.
fn frames_compared(way: Way, idle: &Group<'_>, other: &Group<'_>) -> Tests {
    let (a, b) = (idle.gaps(way), other.gaps(way));
    let ks = stats::ks_two_sample(&a, &b).unwrap().p_value;
    let correlated = stats::compare_autocorrelations(&a, &b, 5).unwrap();
    let mut tests = vec![
        (
            format!("gaps {way}, Anderson-Darling"),
            anderson_darling(&a, &b),
        ),
        (format!("gaps {way}, Kolmogorov-Smirnov"), ks),
        (format!("gaps {way} after gaps"), correlated),
    ];
    for length in [Span::from_secs(5), WINDOW] {
        let [a, b] = [idle, other].map(|group| group.counts(way, length));
        let name = format!("frames {way} in {length}");
        tests.push((name, stats::compare_counts(&a, &b)));
    }
    let [a, b] = [idle, other].map(|group| group.total(way));
    let name = format!("frames {way} in all");
    tests.push((name, stats::poisson_two_sample(a, b)));
    tests
}

/// How soon after an event there is something, and how much of it.
fn after_events(way: Way, idle: &Group<'_>, other: &Group<'_>) -> Tests {
    let mut tests = Tests::new();
    for which in [0, 1] {
        let [a, b] = [idle, other].map(|group| group.waits(way, which));
        let name = format!("{way} number {} after an event", which + 1);
        tests.push((name, anderson_darling(&a, &b)));
    }
    for long in SOON {
        let [a, b] = [idle, other].map(|group| group.soon(way, long));
        let name = format!("{way} in {long} after an event");
        tests.push((name, stats::compare_counts(&a, &b)));
    }
    tests
}

/// Whether the frames each way are a Poisson process of the rate that the profile `mobile` gives,
/// the four processes up merged.
pub(crate) fn memoryless(group: &Group<'_>) -> Tests {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let mobile = NetworkParameters::default_profiles()["mobile"];
    let mut judge = |way: &str, gaps: Vec<f64>, rate: f64| {
        let draw = std::iter::repeat_with(|| Exp1.sample(&mut rng));
        let exact: Vec<f64> = draw.take(50_000).map(|unit: f64| unit / rate).collect();
        let name = format!("idle: gaps {way} are exponential");
        (name, anderson_darling(&gaps, &exact))
    };
    vec![
        judge("up", group.gaps(Way::Up), mobile.uplink()),
        judge("down", group.gaps(Way::Down), mobile.downlink),
    ]
}

/// Whether frames follow on what the user writes and is told. Who is told something has just got a
/// frame, so only frames up can tell of that; and where connections end, who is told has one.
fn following(group: &Group<'_>) -> Tests {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut found = Tests::new();
    for (client, seen) in group.seen.iter().enumerate() {
        let apart = Span::from_secs(60).as_micros();
        let length = seen.to.since(seen.from).as_micros();
        let mut follows = |name: &str, frames: &[Time], moments: &[Time]| {
            let turn = || Span::from_micros(rng.random_range(apart..length - apart));
            let turns = std::iter::repeat_with(turn).take(TURNS);
            if let Some(follows) = stats::follows(frames, moments, seen.from, seen.to, turns) {
                let p = 2.0 * stats::normal_tail(follows.deviation.abs());
                found.push((format!("{name}, client {client}"), p));
            }
        };
        follows("up after a text", &seen.up, &seen.writes);
        follows("down after a text", &seen.down, &seen.writes);
        if group.before.is_none() {
            follows("up after being told", &seen.up, &seen.told);
        }
    }
    found
}

/// The tests that tell clients apart though all are judged together: the wrong one of them once in
/// a hundred times that all are made.
pub(crate) fn rejecting<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<String> {
    const LEVEL: f64 = 0.01;
    let tests: Vec<&(String, f64)> = findings.into_iter().flat_map(|f| &f.tests).collect();
    let p_values: Vec<f64> = tests.iter().map(|(_, p)| *p).collect();
    let adjusted = stats::holm(&p_values);
    let together = tests.iter().zip(adjusted).filter(|(_, p)| *p < LEVEL);
    together
        .map(|((name, p), _)| format!("{name}: {p:.1e}"))
        .collect()
}
