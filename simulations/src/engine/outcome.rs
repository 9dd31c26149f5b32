//! What a run leaves behind.

use super::{Histogram, Kind};

/// Counts of packets of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sent.
    pub sent: u64,
    /// Reached their end.
    pub delivered: u64,
    /// Lost, by reason, in the order of [`Loss::ALL`](super::Loss::ALL).
    pub lost: [u64; 3],
    /// Links that they crossed, the one on which a packet was lost included.
    pub crossings: u64,
}

impl Counters {
    /// Lost for any reason.
    #[must_use]
    pub fn lost_in_all(&self) -> u64 {
        self.lost.iter().sum()
    }

    /// Still under way when the run ended.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        self.sent - self.delivered - self.lost_in_all()
    }
}

/// Packets of one class and kind that were sent in the measurement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flow {
    /// How many, and what became of them.
    pub counters: Counters,
    /// From sending to the end, in seconds, of those that were delivered.
    pub latency: Histogram,
    /// The same from the making of the message, the wait in the buffer included. Messages only.
    pub message_latency: Histogram,
}

/// The pools of the nodes of one stage, over time in the measurement: packets between arrival and
/// departure, in the queue or the delay.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Occupancy {
    /// Average over time and nodes.
    pub mean: f64,
    /// The average over nodes of each one's variance over time.
    pub variance: f64,
    /// Packets per second that arrived at a node, on average.
    pub arrival_rate: f64,
}

/// What happened within a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// Start, in seconds from the start of the warm-up.
    pub start: f64,
    /// Packets sent.
    pub sent: u64,
    /// Packets that reached their end.
    pub delivered: u64,
    /// Packets lost.
    pub lost: u64,
    /// Sum of the latencies of the packets that reached their end, in seconds.
    pub latency_sum: f64,
    /// Packets under way, on links and in nodes, at the end of the bin.
    pub under_way: u64,
}

impl Bin {
    /// Mean latency of what reached its end.
    #[must_use]
    pub fn mean_latency(&self) -> Option<f64> {
        (self.delivered > 0).then(|| self.latency_sum / self.delivered as f64)
    }
}

/// What a run leaves behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Packets of the whole run by kind, in the order of [`Kind::ALL`].
    pub total: [Counters; 5],
    /// Packets that were sent in the measurement: by class (the loops of mixes are one more) and
    /// kind.
    pub flows: Vec<[Flow; 5]>,
    /// By stage: entry providers, layers, exit providers.
    pub occupancy: Vec<Occupancy>,
    /// Spans of time, if the plan asks for them.
    pub bins: Vec<Bin>,
    /// Width of a bin, in seconds; 0 without bins.
    pub bin_width: f64,
    /// Links of the paths of all packets that reached their end, in the whole run: the "hops" of
    /// hops per second.
    pub hops: u64,
    /// Messages that were made and found the buffer full, in the whole run.
    pub refused: u64,
    /// Messages that waited in buffers at the end.
    pub waiting: u64,
    /// Messages with an index, that is, those sent in the measurement.
    pub messages: u32,
    /// Length of a window of time, in seconds: a function of the plan alone.
    pub window: f64,
    /// The most packets that were under way at once.
    pub most_under_way: u32,
}

impl Outcome {
    /// Packets of a kind that were sent in the measurement, of all classes.
    #[must_use]
    pub fn measured(&self, kind: Kind) -> Counters {
        let mut sum = Counters::default();
        for flow in self.flows.iter().map(|flows| &flows[kind as usize]) {
            sum.sent += flow.counters.sent;
            sum.delivered += flow.counters.delivered;
            sum.crossings += flow.counters.crossings;
            for (sum, lost) in sum.lost.iter_mut().zip(flow.counters.lost) {
                *sum += lost;
            }
        }
        sum
    }

    /// The latency of packets of a kind, of all classes; of messages from their making on if
    /// `buffered`.
    #[must_use]
    pub fn latency(&self, kind: Kind, buffered: bool) -> Histogram {
        let mut sum = Histogram::default();
        for flow in self.flows.iter().map(|flows| &flows[kind as usize]) {
            sum.merge(if buffered {
                &flow.message_latency
            } else {
                &flow.latency
            });
        }
        sum
    }
}
