//! Whether what is seen on some clients' links can be told from what is seen on others'.

use std::fmt;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution as _, Exp1};
use shoal_proto::{Span, Time};
use shoal_stats as stats;

use crate::link_lives::Seen;

/// How much of a link the classifier sees at a time.
pub(crate) const WINDOW: Span = Span::from_secs(10);
/// Windows at a place after an event are classified with others of their place up to this one.
const PLACES: usize = 3;
/// Parts of the windows of which each is classified by what the others teach.
const PARTS: usize = 5;
/// Times that the moments of texts are turned, each by a minute or more.
const TURNS: usize = 400;
/// After an event, frames are counted for so long.
const SOON: [Span; 2] = [Span::from_secs(4), Span::from_secs(12)];

/// Some clients of one kind.
pub(crate) struct Group<'a> {
    seen: &'a [Seen],
    /// How long before each event a stretch begins that is looked at as one; all the time is one
    /// stretch if it does not matter when events were.
    before: Option<Span>,
}

/// What passes on a link.
#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
    /// Questions for documents.
    Asks,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Asks => "asked",
        })
    }
}

/// A stretch of one client's link.
struct Stretch<'a> {
    from: Time,
    to: Time,
    up: &'a [Time],
    down: &'a [Time],
    asks: &'a [Time],
}

impl<'a> Group<'a> {
    /// Looked at from so long before each event to as long before the next one.
    pub(crate) const fn around_events(seen: &'a [Seen], before: Span) -> Self {
        let before = Some(before);
        Self { seen, before }
    }

    /// Looked at all the time.
    pub(crate) const fn always(seen: &'a [Seen]) -> Self {
        Self { seen, before: None }
    }

    fn stretches(&self) -> Vec<Stretch<'a>> {
        let mut stretches = Vec::new();
        for seen in self.seen {
            let starts: Vec<Time> = match self.before {
                None => vec![seen.from, seen.to],
                Some(before) => seen.events.iter().map(|at| *at - before).collect(),
            };
            let pairs = starts.iter().zip(starts.iter().skip(1));
            stretches.extend(pairs.map(|(from, to)| Stretch::of(seen, *from, *to)));
        }
        stretches
    }

    /// The features of each window, with those of the first after an event apart.
    fn windows(&self, scales: &Scales) -> Vec<Vec<f64>> {
        let mut windows = Vec::new();
        for stretch in self.stretches() {
            let mut from = stretch.from;
            let mut place = 0;
            while from + WINDOW <= stretch.to {
                let window = stretch.part(from, from + WINDOW);
                let features = window.features(scales);
                let nothing = vec![0.0; features.len()];
                let place_of = |at| {
                    if at == place.min(PLACES - 1) {
                        &features
                    } else {
                        &nothing
                    }
                };
                windows.push(match self.before.is_some() {
                    true => (0..PLACES).flat_map(place_of).copied().collect(),
                    false => features,
                });
                from += WINDOW;
                place += 1;
            }
        }
        windows
    }

    fn scales(&self) -> Scales {
        let mean = |way: Way| stats::mean(&self.gaps(way)).unwrap();
        Scales {
            up: mean(Way::Up),
            down: mean(Way::Down),
        }
    }

    fn gaps(&self, way: Way) -> Vec<f64> {
        let stretches = self.stretches();
        stretches
            .iter()
            .flat_map(|s| stats::intervals(s.times(way)))
            .collect()
    }

    /// The gaps from a frame one way to a frame the other way, if none is between them.
    fn turns(&self, up_first: bool) -> Vec<f64> {
        let of = |stretch: &Stretch<'a>| {
            let mut all: Vec<(Time, bool)> = stretch.up.iter().map(|at| (*at, true)).collect();
            all.extend(stretch.down.iter().map(|at| (*at, false)));
            all.sort_unstable();
            let turns = all
                .windows(2)
                .filter(|w| w[0].1 == up_first && w[1].1 != up_first);
            turns
                .map(|w| w[1].0.since(w[0].0).as_secs_f64())
                .collect::<Vec<_>>()
        };
        self.stretches().iter().flat_map(of).collect()
    }

    /// Whether the frames each way are a Poisson process of the rate that the profile `mobile` gives,
    /// the four processes up merged.
    pub(crate) fn memoryless(&self) -> Vec<(String, f64)> {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let mut judge = |way: &str, gaps: Vec<f64>, rate: f64| {
            let draw = std::iter::repeat_with(|| Exp1.sample(&mut rng));
            let exact: Vec<f64> = draw.take(50_000).map(|unit: f64| unit / rate).collect();
            let p = stats::ad_two_sample(&gaps, &exact).unwrap().p_value;
            (format!("idle: gaps {way} are exponential"), p)
        };
        vec![
            judge("up", self.gaps(Way::Up), 0.36),
            judge("down", self.gaps(Way::Down), 0.8),
        ]
    }

    /// Frames in each window of `length`.
    fn counts(&self, way: Way, length: Span) -> Vec<u64> {
        let mut counts = Vec::new();
        for stretch in self.stretches() {
            let mut from = stretch.from;
            while from + length <= stretch.to {
                counts.push(within(stretch.times(way), from, from + length).len() as u64);
                from += length;
            }
        }
        counts
    }

    /// How many there are, and in how many seconds.
    fn total(&self, way: Way) -> (u64, f64) {
        let stretches = self.stretches();
        let count: usize = stretches.iter().map(|s| s.times(way).len()).sum();
        let seconds = stretches.iter().map(|s| s.to.since(s.from).as_secs_f64());
        (count as u64, seconds.sum())
    }

    /// After each event, the waits to the first and the second there are.
    fn waits(&self, way: Way, which: usize) -> Vec<f64> {
        let wait = |stretch: &Stretch<'a>| {
            let event = stretch.from + self.before.unwrap_or_default();
            let after = within(stretch.times(way), event, stretch.to);
            after.get(which).map(|at| at.since(event).as_secs_f64())
        };
        self.stretches().iter().filter_map(wait).collect()
    }

    /// After each event, how many there are for so long.
    fn soon(&self, way: Way, long: Span) -> Vec<u64> {
        let count = |stretch: &Stretch<'a>| {
            let event = stretch.from + self.before.unwrap_or_default();
            within(stretch.times(way), event, event + long).len() as u64
        };
        self.stretches().iter().map(count).collect()
    }
}

/// The mean gaps of those whose features are taken.
struct Scales {
    up: f64,
    down: f64,
}

impl<'a> Stretch<'a> {
    fn of(seen: &'a Seen, from: Time, to: Time) -> Self {
        let [up, down, asks] =
            [&seen.up, &seen.down, &seen.asks].map(|times| within(times, from, to));
        Self {
            from,
            to,
            up,
            down,
            asks,
        }
    }

    fn times(&self, way: Way) -> &'a [Time] {
        match way {
            Way::Up => self.up,
            Way::Down => self.down,
            Way::Asks => self.asks,
        }
    }

    fn part(&self, from: Time, to: Time) -> Self {
        let [up, down, asks] = [self.up, self.down, self.asks].map(|t| within(t, from, to));
        Self {
            from,
            to,
            up,
            down,
            asks,
        }
    }

    /// What a window looks like, as numbers.
    fn features(&self, scales: &Scales) -> Vec<f64> {
        let mut features = self.way(self.up, scales.up);
        features.extend(self.way(self.down, scales.down));
        let near = Span::from_secs_f64(0.1 * scales.down);
        for (these, those) in [(self.up, self.down), (self.down, self.up)] {
            let follows = |at: &&Time| !within(those, **at, **at + near).is_empty();
            features.push(these.iter().filter(follows).count() as f64);
        }
        features.push(self.asks.len() as f64);
        features.push(self.first(self.asks));
        features
    }

    /// One direction: how many, when first, how the gaps are distributed, and whether a long one
    /// follows on a long one.
    fn way(&self, frames: &[Time], scale: f64) -> Vec<f64> {
        /// Limits of classes of gaps, in mean gaps: two of bursts, and four that hold equally many
        /// of exponential ones.
        const CLASSES: [f64; 5] = [0.01, 0.05, 0.288, 0.693, 1.386];
        let count = frames.len() as f64;
        let gaps = stats::intervals(frames);
        let mut features = vec![count, count * count, self.first(frames)];
        for class in CLASSES {
            features.push(gaps.iter().filter(|gap| **gap < class * scale).count() as f64);
        }
        let pairs = gaps.iter().zip(gaps.iter().skip(1));
        features.push(
            pairs
                .map(|(a, b)| (a / scale - 1.0) * (b / scale - 1.0))
                .sum(),
        );
        features
    }

    fn first(&self, times: &[Time]) -> f64 {
        let first = times.first().copied().unwrap_or(self.to);
        first.since(self.from).as_secs_f64()
    }
}

fn within(times: &[Time], from: Time, to: Time) -> &[Time] {
    let start = times.partition_point(|at| *at < from);
    let end = times.partition_point(|at| *at < to);
    &times[start..end.max(start)]
}

/// What was found of one state.
pub(crate) struct Finding {
    pub(crate) state: &'static str,
    /// The p-value of each test.
    pub(crate) tests: Vec<(String, f64)>,
    /// How well windows can be classified.
    pub(crate) area: stats::Area,
    /// Windows of each kind.
    pub(crate) windows: [usize; 2],
    /// Frames up and down of each kind.
    pub(crate) frames: [u64; 4],
}

/// Compares clients in some state with idle ones to which the same happens.
pub(crate) fn judge(state: &'static str, idle: &Group<'_>, other: &Group<'_>) -> Finding {
    let ways = [Way::Up, Way::Down];
    let mut tests = Vec::new();
    let mut add = |name: String, p: f64| tests.push((format!("{state}: {name}"), p));
    for way in ways {
        let (a, b) = (idle.gaps(way), other.gaps(way));
        add(
            format!("gaps {way}, Anderson-Darling"),
            stats::ad_two_sample(&a, &b).unwrap().p_value,
        );
        add(
            format!("gaps {way}, Kolmogorov-Smirnov"),
            stats::ks_two_sample(&a, &b).unwrap().p_value,
        );
        let correlated = stats::compare_autocorrelations(&a, &b, 5);
        add(format!("gaps {way} after gaps"), correlated.unwrap());
        for length in [Span::from_secs(5), WINDOW] {
            let [a, b] = [idle, other].map(|group| group.counts(way, length));
            add(
                format!("frames {way} in {length}"),
                stats::compare_counts(&a, &b),
            );
        }
        let [a, b] = [idle, other].map(|group| group.total(way));
        add(
            format!("frames {way} in all"),
            stats::poisson_two_sample(a, b),
        );
    }
    for (name, up_first) in [("down after up", true), ("up after down", false)] {
        let [a, b] = [idle, other].map(|group| group.turns(up_first));
        add(
            name.to_owned(),
            stats::ad_two_sample(&a, &b).unwrap().p_value,
        );
    }
    if idle.before.is_some() {
        for what in [Way::Up, Way::Down, Way::Asks] {
            for which in [0, 1] {
                let [a, b] = [idle, other].map(|group| group.waits(what, which));
                let p = stats::ad_two_sample(&a, &b).unwrap().p_value;
                add(format!("{what} number {} after an event", which + 1), p);
            }
            for long in SOON {
                let [a, b] = [idle, other].map(|group| group.soon(what, long));
                add(
                    format!("{what} in {long} after an event"),
                    stats::compare_counts(&a, &b),
                );
            }
        }
    }
    for (name, p) in following(other) {
        add(name, p);
    }
    let scales = idle.scales();
    let windows = [other, idle].map(|group| group.windows(&scales));
    let area = stats::cross_validated(&windows[0], &windows[1], PARTS).unwrap();
    add("windows classified".to_owned(), area.p_value());
    let frames = [idle, other].map(|group| [group.total(Way::Up).0, group.total(Way::Down).0]);
    Finding {
        state,
        tests,
        area,
        windows: [windows[1].len(), windows[0].len()],
        frames: [frames[0][0], frames[0][1], frames[1][0], frames[1][1]],
    }
}

/// Whether frames follow on what the user writes and is told. Who is told something has just got a
/// frame, so only frames up can tell of that; and where connections end, who is told has one.
fn following(group: &Group<'_>) -> Vec<(String, f64)> {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut found = Vec::new();
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
        if !group.before.is_some() {
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
