//! What is seen on some clients' links, cut into stretches and windows, and what these look like in numbers.

use std::fmt;

use shoal_proto::{Span, Time};
use shoal_stats as stats;

use crate::link_lives::Seen;

/// How much of a link the classifier sees at a time.
pub(crate) const WINDOW: Span = Span::from_secs(10);
/// Windows at a place after an event are classified with others of their place up to this one.
const PLACES: usize = 3;

/// Some clients of one kind.
pub(crate) struct Group<'a> {
    pub(crate) seen: &'a [Seen],
    /// How long before each event a stretch begins that is looked at as one; all the time is one
    /// stretch if it does not matter when events were.
    pub(crate) before: Option<Span>,
}

/// What passes on a link.
#[derive(Clone, Copy)]
pub(crate) enum Way {
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

    /// The features of each window; where events matter, with those of the first windows after one apart.
    pub(crate) fn windows(&self, scales: &Scales) -> Vec<Vec<f64>> {
        let mut windows = Vec::new();
        for stretch in self.stretches() {
            let mut from = stretch.from;
            let mut place = 0;
            while from + WINDOW <= stretch.to {
                let window = stretch.part(from, from + WINDOW);
                let features = window.features(scales);
                let nothing = vec![0.0; features.len()];
                let own = place.min(PLACES - 1);
                let part = |at| if at == own { &features } else { &nothing };
                windows.push(match self.before {
                    Some(_) => (0..PLACES).flat_map(part).copied().collect(),
                    None => features,
                });
                from += WINDOW;
                place += 1;
            }
        }
        windows
    }

    pub(crate) fn scales(&self) -> Scales {
        let mean = |way: Way| stats::mean(&self.gaps(way)).unwrap();
        Scales {
            up: mean(Way::Up),
            down: mean(Way::Down),
        }
    }

    pub(crate) fn gaps(&self, way: Way) -> Vec<f64> {
        let stretches = self.stretches();
        stretches
            .iter()
            .flat_map(|s| stats::intervals(s.times(way)))
            .collect()
    }

    /// The gaps from a frame one way to a frame the other way, if none is between them.
    pub(crate) fn turns(&self, up_first: bool) -> Vec<f64> {
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

    /// Frames in each window of `length`.
    pub(crate) fn counts(&self, way: Way, length: Span) -> Vec<u64> {
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
    pub(crate) fn total(&self, way: Way) -> (u64, f64) {
        let stretches = self.stretches();
        let count: usize = stretches.iter().map(|s| s.times(way).len()).sum();
        let seconds = stretches.iter().map(|s| s.to.since(s.from).as_secs_f64());
        (count as u64, seconds.sum())
    }

    /// After each event, the waits to the first and the second there are.
    pub(crate) fn waits(&self, way: Way, which: usize) -> Vec<f64> {
        let wait = |stretch: &Stretch<'a>| {
            let event = stretch.from + self.before.unwrap_or_default();
            let after = within(stretch.times(way), event, stretch.to);
            after.get(which).map(|at| at.since(event).as_secs_f64())
        };
        self.stretches().iter().filter_map(wait).collect()
    }

    /// After each event, how many there are for so long.
    pub(crate) fn soon(&self, way: Way, long: Span) -> Vec<u64> {
        let count = |stretch: &Stretch<'a>| {
            let event = stretch.from + self.before.unwrap_or_default();
            within(stretch.times(way), event, event + long).len() as u64
        };
        self.stretches().iter().map(count).collect()
    }
}

/// The mean gaps of those whose features are taken.
pub(crate) struct Scales {
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
