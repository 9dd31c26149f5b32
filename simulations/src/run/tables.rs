//! Tables that come from the engine's outcome alone.

use crate::engine::{Kind, Outcome};
use crate::scenario::Scenario;
use crate::table::{Table, TableError};

/// One row for each latency bucket that holds anything.
pub(super) fn latency(
    scenario: &Scenario,
    outcome: &Outcome,
    repetition: u32,
) -> Result<Table, TableError> {
    let mut rows = Latency::default();
    for (class, flows) in outcome.flows.iter().enumerate() {
        let name = scenario.model().clients.get(class);
        let name = name.map_or("mixes", |class| class.name.as_str());
        for (kind, flow) in Kind::ALL.iter().zip(flows) {
            rows.push(name, kind.as_str(), "network", &flow.latency);
            rows.push(name, kind.as_str(), "with_buffer", &flow.message_latency);
        }
    }
    Table::builder("latency")
        .u64("repetition", vec![u64::from(repetition); rows.count.len()])
        .string("class", rows.class)
        .string("kind", rows.kind)
        .string("measured", rows.measured)
        .f64("from_s", rows.from)
        .f64("to_s", rows.to)
        .u64("count", rows.count)
        .build()
}

#[derive(Default)]
struct Latency {
    class: Vec<String>,
    kind: Vec<String>,
    measured: Vec<String>,
    from: Vec<f64>,
    to: Vec<f64>,
    count: Vec<u64>,
}

impl Latency {
    fn push(&mut self, class: &str, kind: &str, what: &str, from: &crate::engine::Histogram) {
        for (least, above, count) in from.buckets() {
            self.class.push(class.to_owned());
            self.kind.push(kind.to_owned());
            self.measured.push(what.to_owned());
            self.from.push(least);
            self.to.push(above);
            self.count.push(count);
        }
    }
}

/// One row for each span of time, if the scenario asks for them.
pub(super) fn bins(outcome: &Outcome, repetition: u32) -> Result<Table, TableError> {
    let bins = &outcome.bins;
    Table::builder("bins")
        .u64("repetition", vec![u64::from(repetition); bins.len()])
        .f64("start_s", bins.iter().map(|bin| bin.start).collect())
        .u64("sent", bins.iter().map(|bin| bin.sent).collect())
        .u64("delivered", bins.iter().map(|bin| bin.delivered).collect())
        .u64("lost", bins.iter().map(|bin| bin.lost).collect())
        .nullable(
            "mean_latency_s",
            bins.iter().map(crate::engine::Bin::mean_latency).collect(),
        )
        .u64("under_way", bins.iter().map(|bin| bin.under_way).collect())
        .build()
}
