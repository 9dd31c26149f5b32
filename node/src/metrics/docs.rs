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
loop does not answer there is no page (503), rather than an old one. [deploy/grafana.json](../deploy/grafana.json) is a dashboard of these,
and [deploy/alerts.yml](../deploy/alerts.yml) has alerting rules.

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

/// A file of the repository.
fn file(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(file).unwrap()
}

/// The words of a text, as metrics, keys and labels are made of.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
}

/// The metric with this name, or of whose histogram it names a series.
fn metric(name: &str) -> Option<&'static Metric> {
    declared().find(|metric| {
        let rest = name.strip_prefix(metric.name);
        rest.is_some_and(|rest| ["", "_bucket"].contains(&rest))
    })
}

/// The dashboard asks for nothing that is not exported.
#[test]
fn the_dashboard_knows_the_metrics() {
    let dashboard: serde_json::Value = serde_json::from_str(&file("deploy/grafana.json")).unwrap();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let asks = words(target["expr"].as_str().unwrap());
            for name in asks.filter(|word| word.starts_with("shoal_")) {
                assert!(metric(name).is_some(), "{name}");
                asked += 1;
            }
        }
    }
    assert!(asked >= 10, "{asked}");
}

/// The alerts ask for nothing that is not exported, and name no label's value that there is not: such an
/// alert would never come.
#[test]
fn the_alerts_know_the_metrics() {
    let rules = file("deploy/alerts.yml");
    let named = words(&rules).filter(|word| word.starts_with("shoal_"));
    let asked = named.map(|name| assert!(metric(name).is_some(), "{name}"));
    assert!(asked.count() >= 30);
    for (before, after) in rules.match_indices('{').map(|(at, _)| rules.split_at(at)) {
        let Some(metric) = metric(words(before).last().unwrap()) else {
            continue;
        };
        let (selector, _) = after[1..].split_once('}').unwrap();
        let (label, values) = selector.split_once(['=', '!']).unwrap();
        // The job is Prometheus' own.
        if label == "job" {
            continue;
        }
        assert_eq!(Some(label), metric.label, "{}", metric.name);
        let values = values.trim_start_matches(['=', '~']).trim_matches('"');
        for value in values.split('|') {
            let known = metric.values.iter().any(|(known, _)| *known == value);
            assert!(known, "{}: {value}", metric.name);
        }
    }
}

/// Each alert is tried, told of, and says where on which page more stands.
#[test]
fn the_alerts_know_the_pages() {
    let [rules, tests, operators] = [
        "deploy/alerts.yml",
        "deploy/alerts_test.yml",
        "docs/operators.md",
    ]
    .map(file);
    for alert in rules.split("- alert: ").skip(1) {
        let (name, alert) = alert.split_once('\n').unwrap();
        assert!(tests.contains(name), "{name} is not tried");
        let told = operators.contains(&format!("`{name}`"));
        assert!(told, "{name} is not in docs/operators.md");
        let (head, what) = alert.split_once(" description: ").unwrap();
        assert!(head.contains(" summary: "), "{name} has no summary");
        let what = in_one_line(what);
        assert!(what.contains("docs/"), "{name} does not say where to look");
        for part in what.split("docs/operators.md, \"").skip(1) {
            let (title, _) = part.split_once('"').unwrap();
            let heading = format!("\n## {title}\n");
            assert!(operators.contains(&heading), "{name}: {title}");
        }
    }
}

/// The keys of the configuration that alerts tell to change are there.
#[test]
fn the_alerts_know_the_configuration() {
    let rules = in_one_line(&file("deploy/alerts.yml"));
    let provider: toml::Table = file("deploy/provider.toml").parse().unwrap();
    let mut told = 0;
    for (section, keys) in &provider {
        let Some(keys) = keys.as_table() else {
            continue;
        };
        for after in rules.split(&format!(" {section}.")).skip(1) {
            let key = words(after).next().unwrap();
            // Else it is the end of a sentence.
            if !key.is_empty() {
                assert!(keys.contains_key(key), "{section}.{key}");
                told += 1;
            }
        }
    }
    assert!(told >= 8, "{told}");
}

/// A text whose lines are no lines of its own.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
