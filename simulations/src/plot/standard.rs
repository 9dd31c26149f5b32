//! The figures of a run's folder.

use std::path::Path;

use crate::table::Table;

use super::{Figure, PlotError, distribution, over_time};

/// A figure and the name of its file, without the extension.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedFigure {
    /// `latency`, `entropy_bits_time`, ….
    pub name: String,
    /// What is drawn.
    pub figure: Figure,
}

/// Measures of the targets that get figures, if a run has them.
const OF_TARGETS: [&str; 2] = ["entropy_bits", "user_entropy_bits"];

/// The figures of a run's output: latency by kind (`latency`), measures of targets over time and
/// their distributions (`targets`), traffic, packets under way and latency over time (`bins`). A
/// table or column that is not there has no figure.
///
/// # Errors
/// [`PlotError::Table`] for a table that can't be read, [`PlotError::Nothing`] if there is none.
pub fn standard_figures(folder: &Path) -> Result<Vec<NamedFigure>, PlotError> {
    let mut figures = Vec::new();
    let mut add = |name: &str, figure: Figure| {
        // A table without rows is a run without targets or packets, not a fault.
        if figure.series.iter().any(|s| !s.points.is_empty()) {
            figures.push(NamedFigure {
                name: name.to_owned(),
                figure,
            });
        }
    };
    if let Some(table) = find(folder, "latency")? {
        let [cumulative, density] = distribution::latency(&table)?;
        add("latency", cumulative);
        add("latency_density", density);
    }
    if let Some(table) = find(folder, "targets")? {
        for column in OF_TARGETS.into_iter().filter(|c| table.has(c)) {
            let name = format!("{column}_distribution");
            add(&name, distribution::of_targets(&table, column)?);
            if table.has("sent_s") {
                let name = format!("{column}_time");
                add(&name, over_time::targets(&table, column)?);
            }
        }
    }
    if let Some(table) = find(folder, "bins")? {
        for (name, figure) in of_bins(&table)? {
            add(name, figure);
        }
    }
    if figures.is_empty() {
        let reason = format!(
            "{} holds none of the tables latency, targets and bins with rows; name a table's file instead",
            folder.display()
        );
        return Err(PlotError::Nothing(reason));
    }
    Ok(figures)
}

fn of_bins(table: &Table) -> Result<Vec<(&'static str, Figure)>, PlotError> {
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
    let all = [
        ("traffic_time", rates),
        ("occupancy_time", occupancy),
        ("latency_time", latency),
    ];
    let present = all.into_iter().filter_map(|(name, f)| Some((name, f?)));
    Ok(present.collect())
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
