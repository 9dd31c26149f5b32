//! The figures of a run's folder.

use std::path::Path;

use crate::table::Table;

use super::said::Summary;
use super::{Figure, PlotError, distribution, over_time};

/// A figure and the name of its file, without the extension.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedFigure {
    /// `latency`, `entropy_bits_time`, ….
    pub name: String,
    /// What is drawn.
    pub figure: Figure,
}

/// The figures of a folder, and those that it has not got.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawn {
    /// The figures.
    pub figures: Vec<NamedFigure>,
    /// The names of others, each with the reason why it is not there.
    pub absent: Vec<(String, String)>,
}

impl Drawn {
    pub(super) fn lacks(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        self.absent.push((name.into(), reason.into()));
    }

    /// Takes a figure, or the reason why one without points is not there.
    pub(super) fn add(&mut self, name: &str, figure: Figure, without_points: &str) {
        if figure.series.iter().any(|s| !s.points.is_empty()) {
            self.figures.push(NamedFigure {
                name: name.to_owned(),
                figure,
            });
        } else {
            self.lacks(name, without_points);
        }
    }
}

/// Measures of the targets that get figures, if a run has them, and what they are over.
const OF_TARGETS: [(&str, &str); 2] =
    [("entropy_bits", "messages"), ("user_entropy_bits", "users")];

/// The figures of a run's output: latency by kind (`latency`), measures of targets over time and
/// their distributions (`targets`), traffic, packets under way and latency over time (`bins`). A
/// table or column that is not there has no figure, and the reason is told.
///
/// # Errors
/// [`PlotError::Table`] for a table that can't be read, [`PlotError::Nothing`] if there is none.
pub fn standard_figures(folder: &Path) -> Result<Drawn, PlotError> {
    let mut drawn = Drawn::default();
    let summary = Summary::of(folder);
    match find(folder, "latency")? {
        Some(table) => {
            let [cumulative, density] = distribution::latency(&table, summary.of_latencies())?;
            drawn.add("latency", cumulative, NOTHING_CAME_OUT);
            drawn.add("latency_density", density, NOTHING_CAME_OUT);
        }
        None => drawn.lacks(
            "latency, latency_density",
            "the folder has no table latency",
        ),
    }
    match find(folder, "targets")? {
        Some(table) => of_targets(&table, &summary, &mut drawn)?,
        None => drawn.lacks(
            "entropy_bits_…, user_entropy_bits_…",
            "the folder has no table targets: the scenario asks for no entropy",
        ),
    }
    match find(folder, "bins")? {
        Some(table) => {
            for (name, figure) in of_bins(&table)? {
                match figure {
                    Some(figure) => drawn.add(name, figure, "the table bins has no rows"),
                    None => drawn.lacks(name, "the table bins lacks its columns"),
                }
            }
        }
        None => drawn.lacks("traffic_time, …", "the folder has no table bins"),
    }
    if drawn.figures.is_empty() {
        let reason = format!(
            "{} holds none of the tables latency, targets and bins with rows; name a table's file instead",
            folder.display()
        );
        return Err(PlotError::Nothing(reason));
    }
    Ok(drawn)
}

/// Why latencies have no figure.
const NOTHING_CAME_OUT: &str = "no packet that was sent in the measurement reached its end";

fn of_targets(table: &Table, summary: &Summary, drawn: &mut Drawn) -> Result<(), PlotError> {
    for (column, over) in OF_TARGETS {
        let claims = summary.of_entropies(over);
        let (spread, time) = (format!("{column}_distribution"), format!("{column}_time"));
        if !table.has(column) {
            drawn.lacks(
                format!("{spread}, {time}"),
                "the table targets lacks the column",
            );
            continue;
        }
        let reason = if table.rows() == 0 {
            "there were no targets, or no adversary of whom their entropy can be inferred"
        } else {
            "the metric did not ask for it: entropy_forward = { users = true }"
        };
        drawn.add(
            &spread,
            distribution::of_targets(table, column, &claims)?,
            reason,
        );
        if table.has("sent_s") {
            drawn.add(&time, over_time::targets(table, column, &claims)?, reason);
        } else {
            drawn.lacks(time, "the table targets lacks the column sent_s");
        }
    }
    Ok(())
}

fn of_bins(table: &Table) -> Result<[(&'static str, Option<Figure>); 3], PlotError> {
    let width = over_time::bin_width(table)?;
    let rates = over_time::bins(
        table,
        &["sent", "delivered", "lost"],
        width,
        "Traffic over time",
        "packets/s",
    )?;
    let occupancy = over_time::bins(
        table,
        &["occupancy", "under_way"],
        1.0,
        "Packets under way over time",
        "packets",
    )?;
    let latency = over_time::bins(
        table,
        &["mean_latency_s"],
        1.0,
        "Mean latency over time",
        "mean latency (s)",
    )?;
    Ok([
        ("traffic_time", rates),
        ("occupancy_time", occupancy),
        ("latency_time", latency),
    ])
}

/// The table of a name, in Parquet if there is one, else in CSV.
pub(super) fn find(folder: &Path, name: &str) -> Result<Option<Table>, PlotError> {
    for extension in ["parquet", "csv"] {
        let path = folder.join(format!("{name}.{extension}"));
        if path.exists() {
            return Ok(Some(Table::read(&path)?));
        }
    }
    Ok(None)
}
