//! What a daemon counts, as Prometheus sees it: `shoal_<crate>_<noun>_<unit>[_total]`, with labels of few
//! values, never a peer or a path.
//!
//! The roles keep their own books, and declare beside them what is counted
//! ([`shoal_proto::counters!`], [`shoal_proto::labels!`]). Before each rendering the daemon takes one
//! snapshot and passes its samples to [`export`], so a page shows one instant, and its numbers balance:
//! packets received = forwarded + delivered + loops returned + dropped + inside. [`declared`] lists all
//! declarations; `docs/metrics.md` is made from them.

mod declared;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod moving;

use std::time::Duration;

use metrics::{Label, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use shoal_client::Counters;
use shoal_mix::{Excess, LoopReturns};
use shoal_proto::{Metric, MetricKind, Sample};
use thiserror::Error;

pub use self::declared::{ClientFigures, declared};
use crate::control::protocol::Status;

/// Something else counts in this process already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the metrics of this process are taken already")]
pub struct Installed;

/// Starts counting, once for the process, and describes every metric.
///
/// # Errors
/// [`Installed`].
pub fn install() -> Result<PrometheusHandle, Installed> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| Installed)?;
    describe(declared());
    Ok(handle)
}

/// Says on the page what each metric is.
fn describe(metrics: impl Iterator<Item = &'static Metric>) {
    for metric in metrics {
        match metric.kind {
            MetricKind::Counter => describe_counter!(metric.name, metric.help),
            MetricKind::Gauge => describe_gauge!(metric.name, metric.help),
            MetricKind::Histogram => {
                let [bucket, sum, count] = series_of(metric);
                describe_counter!(bucket, metric.help);
                describe_gauge!(sum, metric.help);
                describe_counter!(count, metric.help);
            }
        }
    }
}

/// Puts numbers on the page. A counter that is less than it was stays as it was.
pub fn export(samples: impl Iterator<Item = Sample>) {
    for sample in samples {
        let labels: Vec<Label> = (sample.metric.label.into_iter().zip(sample.label))
            .map(|(name, value)| Label::from_static_parts(name, value))
            .collect();
        match sample.metric.kind {
            MetricKind::Counter => counter!(sample.metric.name, labels).absolute(sample.value),
            _ => gauge!(sample.metric.name, labels).set(level(sample.value)),
        }
    }
}

/// Puts on the page where a client stands and what it counts.
pub fn export_client(status: &Status, counters: &Counters) {
    let figures = ClientFigures {
        online: u64::from(status.online),
        epoch: status.epoch,
    };
    export(figures.samples().chain(counters.samples()));
}

/// Puts the part of a relay's last loops that came back on the page: 0 to 1.
pub fn export_loop_ratio(ratio: f64) {
    gauge!(LoopReturns::METRIC.name).set(ratio);
}

/// Puts on the page how much later than at their moment packets left the delay pool.
pub fn export_excess(excess: &Excess) {
    let bounds = Excess::BOUNDS_MS.map(Duration::from_millis);
    let sum = Duration::from(excess.sum());
    export_histogram(&Excess::METRIC, &bounds, excess.counts(), sum);
}

/// Puts a histogram on the page: its upper bounds in ascending order, how many observations are in each
/// bucket and, in one number more, above the last, and the sum of all.
///
/// The exporter makes histograms of single observations only. This one is counted in the core, so its
/// series are written as the counters that they are.
fn export_histogram(metric: &Metric, bounds: &[Duration], counts: &[u64], sum: Duration) {
    let [bucket, total, count] = series_of(metric);
    let bounds = bounds.iter().map(|bound| bound.as_secs_f64().to_string());
    let mut below = 0_u64;
    for (more, bound) in counts.iter().zip(bounds.chain(["+Inf".to_owned()])) {
        below = below.saturating_add(*more);
        counter!(bucket.clone(), "le" => bound).absolute(below);
    }
    gauge!(total).set(sum.as_secs_f64());
    counter!(count).absolute(below);
}

/// The names of a histogram's series: its buckets, its sum, its count.
fn series_of(histogram: &Metric) -> [String; 3] {
    ["bucket", "sum", "count"].map(|series| format!("{}_{series}", histogram.name))
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn level(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use shoal_mix::DropReason;
    use shoal_roles::node::Figures;

    use super::*;

    /// A page of these numbers, without comments.
    fn page(numbers: impl FnOnce()) -> Vec<String> {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe(declared());
            numbers();
        });
        let page = handle.render();
        let series = |line: &&str| !line.starts_with('#') && !line.is_empty();
        page.lines().filter(series).map(str::to_owned).collect()
    }

    /// Everything that a node and a client show when nothing has happened yet.
    fn all() {
        let figures = Figures::default();
        export(figures.samples());
        export_excess(&figures.books.excess);
        export_loop_ratio(1.0);
        export(crate::net::NetStats::default().samples());
        export_client(&Status::default(), &Counters::default());
    }

    #[test]
    fn names_follow_the_rule() {
        let mut seen = BTreeSet::new();
        for metric in declared() {
            assert!(seen.insert(metric.name), "{} twice", metric.name);
            let rest = metric.name.strip_prefix("shoal_").unwrap();
            let crates = ["mix", "provider", "topology", "client", "node"];
            let (of, _) = rest.split_once('_').unwrap();
            assert!(crates.contains(&of), "{}", metric.name);
            let counter = metric.kind == MetricKind::Counter;
            assert_eq!(counter, rest.ends_with("_total"), "{}", metric.name);
            let noun = rest.strip_suffix("_total").unwrap_or(rest);
            let unit = format!("_{}", metric.unit);
            assert!(
                noun.ends_with(&unit),
                "{} counts {}",
                metric.name,
                metric.unit
            );
            assert!(!metric.help.is_empty(), "{}", metric.name);
        }
    }

    #[test]
    fn every_declared_series_is_exported_and_no_other() {
        let series = |line: &String| line.rsplit_once(' ').unwrap().0.to_owned();
        let shown: BTreeSet<String> = page(all).iter().map(series).collect();
        let mut expected = BTreeSet::new();
        for metric in declared() {
            match (metric.kind, metric.label) {
                (MetricKind::Histogram, _) => {
                    let [bucket, sum, count] = series_of(metric);
                    let bounds = shown
                        .iter()
                        .filter(|line| line.starts_with(&format!("{bucket}{{")));
                    let bounds: Vec<String> = bounds.cloned().collect();
                    assert!(bounds.len() > 1, "{bucket}");
                    expected.extend(bounds);
                    expected.extend([sum, count]);
                }
                (_, Some(label)) => {
                    assert!(!metric.values.is_empty(), "{}", metric.name);
                    let of = |(value, _): &(&str, &str)| {
                        format!("{}{{{label}=\"{value}\"}}", metric.name)
                    };
                    expected.extend(metric.values.iter().map(of));
                }
                (_, None) => drop(expected.insert(metric.name.to_owned())),
            }
        }
        let missing: Vec<_> = expected.difference(&shown).collect();
        assert!(
            missing.is_empty(),
            "declared and not exported: {missing:#?}"
        );
        let unknown: Vec<_> = shown.difference(&expected).collect();
        assert!(
            unknown.is_empty(),
            "exported and not declared: {unknown:#?}"
        );
    }

    #[test]
    fn a_page_balances() {
        let lines = page(|| {
            let books = shoal_mix::Accounting::new();
            let passages = [books.receive(), books.receive(), books.receive()];
            for (passage, reason) in passages.into_iter().zip(DropReason::ALL) {
                passage.drop_as(*reason);
            }
            let still_inside = books.receive();
            export(books.snapshot().samples());
            drop(still_inside);
        });
        let sum = |name: &str| -> f64 {
            let name = format!("shoal_mix_{name}");
            let of = |line: &&String| line.split(['{', ' ']).next() == Some(name.as_str());
            let value = |line: &String| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
            lines.iter().filter(of).map(value).sum()
        };
        let received = sum("received_packets_total");
        assert_eq!(received, 4.0);
        let gone = ["forwarded", "delivered", "loops_returned", "dropped"];
        let gone: f64 = gone
            .iter()
            .map(|what| sum(&format!("{what}_packets_total")))
            .sum();
        assert_eq!(received, gone + sum("inside_packets"));
    }

    #[test]
    fn a_histogram_is_cumulative() {
        const HELD: Metric = Metric {
            name: "shoal_test_held_seconds",
            kind: MetricKind::Histogram,
            unit: "seconds",
            label: None,
            values: &[],
            help: "For the test.",
            advice: "",
        };
        let millis = [1, 50].map(Duration::from_millis);
        let lines =
            page(|| export_histogram(&HELD, &millis, &[2, 0, 5], Duration::from_millis(1500)));
        for line in [
            "shoal_test_held_seconds_bucket{le=\"0.001\"} 2",
            "shoal_test_held_seconds_bucket{le=\"0.05\"} 2",
            "shoal_test_held_seconds_bucket{le=\"+Inf\"} 7",
            "shoal_test_held_seconds_count 7",
            "shoal_test_held_seconds_sum 1.5",
        ] {
            assert!(
                lines.iter().any(|found| found == line),
                "{line} in {lines:#?}"
            );
        }
    }
}
