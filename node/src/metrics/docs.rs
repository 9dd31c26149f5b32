//! `docs/metrics.md`, made from the declarations.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::path::Path;

use shoal_proto::Metric;

use super::declared;

const HEAD: &str = "\
# Metrics

<!-- Made from the declarations by `UPDATE_DOCS=1 cargo test -p shoal-node metrics`. -->

What a node and a client show at `/metrics`, if `metrics.listen` says where. All numbers of a page are of one instant, so at every
node, at every moment: `shoal_mix_received_packets_total` = `shoal_mix_forwarded_packets_total` + `shoal_mix_delivered_packets_total` +
`shoal_mix_loops_returned_packets_total` + the sum of `shoal_mix_dropped_packets_total` + the sum of `shoal_mix_inside_packets`.
Labels have few values, never a peer or a path. A histogram has the three series `_bucket`, `_sum` and `_count`. While the daemon's
loop does not answer there is no page (503), rather than an old one. [deploy/grafana.json](../deploy/grafana.json) is a dashboard of these.

Next to it `/healthz` answers 200 while the daemon does its work, else 503 with the reasons, a line each (or as JSON, with
`Accept: application/json`).
";

const CRATES: [(&str, &str); 5] = [
    ("mix", "Every node: packets on their way"),
    ("provider", "Providers: clients and mailboxes"),
    ("topology", "Every node: the directory"),
    ("node", "Every node: connections, links and disks"),
    ("client", "Clients"),
];

fn document() -> String {
    let mut text = HEAD.to_owned();
    let mut left: Vec<&Metric> = declared().collect();
    for (name, title) in CRATES {
        let prefix = format!("shoal_{name}_");
        let (here, others) = left
            .into_iter()
            .partition::<Vec<_>, _>(|m| m.name.starts_with(&prefix));
        left = others;
        write!(text, "\n## {title}\n\n").unwrap();
        text.push_str("| name | kind | unit | meaning | what to do |\n|---|---|---|---|---|\n");
        for metric in &here {
            let Metric {
                name,
                kind,
                unit,
                help,
                advice,
                ..
            } = metric;
            writeln!(text, "| `{name}` | {kind} | {unit} | {help} | {advice} |").unwrap();
        }
        for metric in here.iter().filter(|metric| metric.label.is_some()) {
            let label = metric.label.unwrap();
            write!(text, "\n`{}` by `{label}`:\n\n", metric.name).unwrap();
            for (value, meaning) in metric.values {
                writeln!(text, "- `{value}`: {meaning}").unwrap();
            }
        }
    }
    assert!(
        left.is_empty(),
        "metrics of a crate that has no part here: {left:?}"
    );
    text
}

#[test]
fn the_page_in_docs_is_that_of_the_declarations() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == text,
        "docs/metrics.md is not what the declarations say; run `UPDATE_DOCS=1 cargo test -p shoal-node metrics`"
    );
}

/// The dashboard asks for nothing that is not exported.
#[test]
fn the_dashboard_knows_the_metrics() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana.json");
    let text = std::fs::read_to_string(file).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let words = target["expr"].as_str().unwrap();
            let words = words.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            for name in words.filter(|word| word.starts_with("shoal_")) {
                let known = declared().any(|metric| {
                    let rest = name.strip_prefix(metric.name);
                    rest.is_some_and(|rest| ["", "_bucket"].contains(&rest))
                });
                assert!(known, "{name}");
                asked += 1;
            }
        }
    }
    assert!(asked >= 10, "{asked}");
}
