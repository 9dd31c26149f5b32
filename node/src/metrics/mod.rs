//! What a daemon counts, as Prometheus sees it: `shoal_<crate>_<noun>_<unit>[_total]`, with labels of few
//! values, never a peer or a path.
//!
//! The roles keep their own books, and declare beside them what is counted
//! ([`shoal_proto::counters!`], [`shoal_proto::labels!`]). Before each rendering the daemon takes one
//! snapshot and makes a [`Page`] of it, so a page shows one instant, and its numbers balance:
//! packets received = forwarded + delivered + loops returned + dropped + inside. [`declared`] lists all
//! declarations; `docs/metrics.md` is made from them.

mod declared;
#[cfg(test)]
mod docs;
mod members;
#[cfg(test)]
mod moving;
mod page;
mod process;

use std::time::Duration;

use shoal_client::Counters;
use shoal_mix::{Excess, LoopReturns};

pub use self::declared::{ClientFigures, EpochFigures, MachineFigures, declared};
pub use self::members::{MemberPlace, PlacedMembers};
pub use self::page::Page;
pub use self::process::ProcessFigures;
pub(crate) use self::process::resident_bytes;
use crate::control::protocol::Status;

/// Puts on the page where a client stands and what it counts.
pub fn export_client(page: &mut Page, status: &Status, counters: &Counters) {
    let figures = ClientFigures {
        online: u64::from(status.online),
        epoch: status.epoch,
    };
    page.add(figures.samples().chain(counters.samples()));
    process::export(page, "");
}

/// Puts on the page what a node is as a process, and what unwraps its packets.
pub fn export_node_process(page: &mut Page, backend: &str) {
    process::export(page, backend);
}

/// Puts the part of a relay's last loops that came back on the page: 0 to 1.
pub fn export_loop_ratio(page: &mut Page, ratio: f64) {
    page.set(&LoopReturns::METRIC, &[], ratio);
}

/// Puts on the page how much later than at their moment packets left the delay pool.
pub fn export_excess(page: &mut Page, excess: &Excess) {
    let bounds = Excess::BOUNDS_MS.map(Duration::from_millis);
    let sum = Duration::from(excess.sum());
    page.add_histogram(&Excess::METRIC, &bounds, excess.counts(), sum);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use shoal_mix::DropReason;
    use shoal_proto::{Metric, MetricKind};
    use shoal_roles::node::Figures;

    use super::*;

    /// A page of these numbers.
    fn whole(numbers: impl FnOnce(&mut Page)) -> String {
        let mut page = Page::default();
        numbers(&mut page);
        page.render()
    }

    /// A page of these numbers, without comments.
    fn page(numbers: impl FnOnce(&mut Page)) -> Vec<String> {
        let page = whole(numbers);
        let series = |line: &&str| !line.starts_with('#') && !line.is_empty();
        page.lines().filter(series).map(str::to_owned).collect()
    }

    /// Everything that a node and a client show when nothing has happened yet.
    fn all(page: &mut Page) {
        let figures = Figures::default();
        page.add(figures.samples());
        export_excess(page, &figures.books.excess);
        export_loop_ratio(page, 1.0);
        page.add(crate::net::NetStats::default().samples());
        page.add(crate::net::OpenConnections::default().samples());
        page.add(PlacedMembers::default().samples());
        page.add(EpochFigures::default().samples());
        page.add(MachineFigures::default().samples());
        export_client(page, &Status::default(), &Counters::default());
    }

    /// What `promtool check metrics` asks of a page; it itself looks at a running node's in CI.
    #[test]
    fn a_page_is_what_prometheus_takes() {
        let page = whole(all);
        let (mut helped, mut kinds) = (BTreeSet::new(), std::collections::BTreeMap::new());
        for line in page.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", name, help] => {
                    assert!(helped.insert(name.to_owned()), "{name} twice");
                    assert!(!help.is_empty(), "{name}");
                }
                ["#", "TYPE", name, kind] => {
                    assert!(helped.contains(name), "{name} has no help");
                    assert!(
                        kinds.insert(name.to_owned(), kind).is_none(),
                        "{name} twice"
                    );
                    assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                    for reserved in ["_bucket", "_sum", "_count", "_info"] {
                        let gauge = reserved == "_info" && kind == "gauge";
                        assert!(gauge || !name.ends_with(reserved), "{name}");
                    }
                }
                _ => {
                    let name = line.split(['{', ' ']).next().unwrap();
                    let histogram = ["_bucket", "_sum", "_count"].iter().any(|end| {
                        let family = name.strip_suffix(end);
                        family.is_some_and(|family| kinds.get(family) == Some(&"histogram"))
                    });
                    assert!(histogram || kinds.contains_key(name), "{line} has no type");
                }
            }
        }
        assert_eq!(kinds["shoal_mix_delay_excess_seconds"], "histogram");
        assert_eq!(helped.len(), kinds.len());
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
                (_, None) if metric.name.ends_with("_build_info") => {
                    let version = env!("CARGO_PKG_VERSION");
                    let labels = format!("{{version=\"{version}\",backend=\"\"}}");
                    expected.insert(format!("{}{labels}", metric.name));
                }
                (MetricKind::Histogram, _) => {
                    let [bucket, sum, count] =
                        ["bucket", "sum", "count"].map(|end| format!("{}_{end}", metric.name));
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
        let lines = page(|page| {
            let books = shoal_mix::Accounting::new();
            let passages = [books.receive(), books.receive(), books.receive()];
            for (passage, reason) in passages.into_iter().zip(DropReason::ALL) {
                passage.drop_as(*reason);
            }
            let still_inside = books.receive();
            page.add(books.snapshot().samples());
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
        let lines = page(|page| {
            page.add_histogram(&HELD, &millis, &[2, 0, 5], Duration::from_millis(1500))
        });
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
