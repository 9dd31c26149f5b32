//! What has to be said below a figure: what may be claimed of what is drawn, where it is neither exact
//! nor all that there was.

use std::path::Path;

use serde::Deserialize;

use crate::engine::mass::TRUNCATED;
use crate::input::read_text;
use crate::measure::Claim;
use crate::table::Table;

use super::PlotError;

/// No summary is longer, in bytes.
const MAX_SUMMARY_BYTES: u64 = 64 << 20;
/// Claims of a figure that are told.
const MOST_CLAIMS: usize = 4;

/// The part of a run's summary that says what may be claimed.
#[derive(Default, Deserialize)]
pub(super) struct Summary {
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
struct Metric {
    name: String,
    adversary: Option<String>,
    claim: Claim,
}

impl Summary {
    /// Of a run's folder; without metrics where there is no summary of this program.
    pub(super) fn of(folder: &Path) -> Self {
        let text = read_text(&folder.join("summary.json"), MAX_SUMMARY_BYTES);
        let summary = text.ok().and_then(|text| serde_json::from_str(&text).ok());
        summary.unwrap_or_default()
    }

    /// A line for each kind of packets of which some were still under way when the run ended.
    pub(super) fn of_latencies(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for Metric { name, claim, .. } in &self.metrics {
            let kind = name.strip_prefix("latency_mean.");
            let kind = kind.or_else(|| name.strip_prefix("delivered."));
            if let (Some(kind), Claim::Censored { under_way, sent }) = (kind, claim) {
                let kind = kind.replace('_', " ");
                let note = format!(
                    "{kind}: {under_way} of {sent} packets were still under way when the run ended, and are left out: the rest were faster"
                );
                if kind != "all" && !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        notes
    }

    /// A line for each claim of entropies over these that is not exact, with whose they are.
    pub(super) fn of_entropies(&self, over: &str) -> Vec<String> {
        let claims = self.metrics.iter().filter_map(|metric| {
            let what = metric.name.strip_prefix("entropy_")?;
            let direction = what.strip_suffix(over)?.strip_suffix('_')?;
            let known = matches!(direction, "forward" | "backward");
            let adversary = metric.adversary.as_deref().filter(|_| known)?;
            Some((format!("{adversary}, {direction}"), metric.claim.clone()))
        });
        lines(claims)
    }
}

/// A line for each claim that is not exact, with the points of a sweep that it is for, by the sweep's
/// table of claims.
///
/// # Errors
/// When the table lacks a column of those that it has.
pub(super) fn of_sweep(claims: &Table, column: &str) -> Result<Vec<String>, PlotError> {
    let text = |name: &str, row: usize| claims.column(name).map(|column| column.text(row));
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for row in 0..claims.rows() {
        let kind = text("claim", row)?;
        if text("column", row)? != column || kind == "exact" || kind == "counted" {
            continue;
        }
        let (first, last) = (text("first_point", row)?, text("last_point", row)?);
        let points = if first == last {
            first
        } else {
            format!("{first} to {last}")
        };
        // How many packets were cut off differs from point to point.
        let of = if kind == "censored" {
            "packets were still under way at the end".to_owned()
        } else {
            text("of", row)?
        };
        add(
            &mut found,
            format!("{}: {of}", kind.replace('_', " ")),
            points,
        );
    }
    Ok(told(found, "points "))
}

fn lines(claims: impl Iterator<Item = (String, Claim)>) -> Vec<String> {
    let mut found = Vec::new();
    for (whose, claim) in claims.filter(|(_, claim)| *claim != Claim::Exact) {
        let kind = claim.kind().replace('_', " ");
        add(&mut found, format!("{kind}: {}", claim.detail()), whose);
    }
    told(found, "")
}

/// Adds whose a claim is to the others of whom it is.
fn add(found: &mut Vec<(String, Vec<String>)>, claim: String, whose: String) {
    match found.iter_mut().find(|(known, _)| *known == claim) {
        Some((_, all)) => all.push(whose),
        None => found.push((claim, vec![whose])),
    }
}

fn told(found: Vec<(String, Vec<String>)>, what: &str) -> Vec<String> {
    let more = found.len().saturating_sub(MOST_CLAIMS);
    let told = found.into_iter().take(MOST_CLAIMS);
    let told = told.map(|(claim, whose)| format!("{claim} ({what}{})", whose.join("; ")));
    let more =
        (more > 0).then(|| format!("{more} more claims that are not exact: see the summary"));
    told.chain(more).collect()
}

/// How many of the targets that are drawn had not come out, by the table's residuals.
pub(super) fn of_targets(table: &Table, drawn: &[Option<f64>]) -> Option<String> {
    let residuals = table.numbers("residual").ok()?;
    let cut = residuals.iter().zip(drawn).filter(|(residual, value)| {
        value.is_some() && residual.is_some_and(|residual| residual > TRUNCATED)
    });
    let cut = cut.count();
    let all = drawn.iter().flatten().count();
    (cut > 0).then(|| {
        format!("{cut} of {all} had not come out when the run ended: what is drawn of them is a lower bound")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_exact_is_told_once_with_whose_it_is() {
        let near = |of: &str| Claim::Approximation(of.to_owned());
        let whose = |name: &str| name.to_owned();
        let claims = [
            (whose("a, forward"), near("x")),
            (whose("a, backward"), Claim::Exact),
            (whose("b, forward"), near("x")),
            (whose("c, forward"), Claim::LowerBound("y".to_owned())),
        ];
        let expected = [
            "approximation: x (a, forward; b, forward)",
            "lower bound: y (c, forward)",
        ];
        assert_eq!(lines(claims.into_iter()), expected);
        let many = (0..9).map(|n| (whose("a"), near(&n.to_string())));
        let many = lines(many);
        assert_eq!(many.len(), MOST_CLAIMS + 1);
        assert!(many[MOST_CLAIMS].starts_with("5 more claims"));
    }

    #[test]
    fn entropies_of_messages_and_of_users_are_told_apart() {
        let metric = |name: &str| Metric {
            name: name.to_owned(),
            adversary: Some("a".to_owned()),
            claim: Claim::LowerBound(name.to_owned()),
        };
        let summary = Summary {
            metrics: [
                "entropy_forward_messages",
                "entropy_p5_forward_messages",
                "entropy_backward_users",
                "min_entropy_forward_messages",
            ]
            .map(metric)
            .into(),
        };
        let messages = ["lower bound: entropy_forward_messages (a, forward)"];
        assert_eq!(summary.of_entropies("messages"), messages);
        let users = ["lower bound: entropy_backward_users (a, backward)"];
        assert_eq!(summary.of_entropies("users"), users);
    }

    #[test]
    fn a_sweep_tells_which_points_are_no_more_than_bounds() {
        let text = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        let claims = Table::builder("claims")
            .string("column", text(["h.a", "h.a", "h.a", "other"]))
            .u64("first_point", vec![0, 3, 4, 0])
            .u64("last_point", vec![2, 3, 9, 9])
            .string(
                "claim",
                text(["exact", "lower_bound", "lower_bound", "unsound"]),
            )
            .string("of", text(["", "because", "because", "no"]))
            .build()
            .unwrap();
        let notes = of_sweep(&claims, "h.a").unwrap();
        assert_eq!(notes, ["lower bound: because (points 3; 4 to 9)"]);
    }
}
