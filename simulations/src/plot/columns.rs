//! A figure of a table's columns: a metric over a swept key.

use std::collections::{BTreeMap, BTreeSet};

use crate::table::{Table, Values};

use super::aggregate::{Ordered, means};
use super::{Axis, Figure, PlotError, Point, Series, Style, label};

/// Points of a series up to which each gets a mark.
const MOST_MARKS: usize = 120;

/// Which columns are drawn, and how.
#[derive(Clone, Debug, Default)]
pub struct ColumnChoice {
    /// Along.
    pub x: String,
    /// Up, a series each. Columns `NAME.low` and `NAME.high` are its interval.
    pub y: Vec<String>,
    /// A series for each combination of these columns' values.
    pub group: Vec<String>,
    /// Logarithmic.
    pub log_x: bool,
    /// Logarithmic.
    pub log_y: bool,
    /// By default, from the names of the columns.
    pub title: Option<String>,
    /// By default, the column's name and unit.
    pub x_label: Option<String>,
    /// By default, the column's name and unit.
    pub y_label: Option<String>,
    /// Dots that are not joined, and no means.
    pub scatter: bool,
}

/// The figure of some columns. Rows that lack a value are left out. Where several rows have one x
/// and the metric has no columns for its interval, the point is their mean and the bar its 95%
/// interval by Student's t.
///
/// # Errors
/// [`PlotError::Table`] for a column that does not exist or holds text, [`PlotError::Nothing`] if
/// no metric is named.
pub fn from_columns(table: &Table, choice: &ColumnChoice) -> Result<Figure, PlotError> {
    let xs = table.numbers(&choice.x)?;
    let groups = groups(table, choice)?;
    let mut series = Vec::new();
    let mut notes = Vec::new();
    for y in &choice.y {
        let metric = Metric::of(table, y)?;
        for (group, rows) in &groups {
            let points = metric.points(&xs, rows, choice.scatter, &mut notes);
            series.push(Series {
                name: series_name(choice, y, group.as_deref()),
                style: style(choice, &points),
                points,
                colour: series.len(),
            });
        }
    }
    let y_names: Vec<_> = choice.y.iter().map(|y| label(y)).collect();
    let y_label = choice.y_label.clone().unwrap_or_else(|| y_names.join(", "));
    let x_label = choice.x_label.clone().unwrap_or_else(|| label(&choice.x));
    let title = choice.title.clone();
    Ok(Figure {
        title: title.unwrap_or_else(|| format!("{} by {}", y_names.join(", "), label(&choice.x))),
        x: axis(x_label, choice.log_x),
        y: axis(y_label, choice.log_y),
        series,
        notes,
        metadata: table.metadata().to_vec(),
    })
}

fn axis(label: String, log: bool) -> Axis {
    Axis {
        log,
        ..Axis::new(label)
    }
}

fn style(choice: &ColumnChoice, points: &[Point]) -> Style {
    if choice.scatter {
        Style::Dots
    } else if points.len() <= MOST_MARKS {
        Style::Marked
    } else {
        Style::Line
    }
}

fn series_name(choice: &ColumnChoice, y: &str, group: Option<&str>) -> String {
    let one_metric = choice.y.len() == 1;
    match group {
        Some(group) if one_metric => group.to_owned(),
        Some(group) => format!("{y}, {group}"),
        None if one_metric => String::new(),
        None => y.to_owned(),
    }
}

type Groups = Vec<(Option<String>, Vec<usize>)>;

/// The rows of each series: numbers in order, text in order of appearance.
fn groups(table: &Table, choice: &ColumnChoice) -> Result<Groups, PlotError> {
    if choice.group.is_empty() {
        return Ok(vec![(None, (0..table.rows()).collect())]);
    }
    let mut ranks = vec![Vec::new(); table.rows()];
    let mut names = vec![Vec::new(); table.rows()];
    for key in &choice.group {
        let column = table.column(key)?;
        let order = order(column, table.rows());
        for (row, (ranks, names)) in ranks.iter_mut().zip(&mut names).enumerate() {
            let text = group_text(column, row);
            ranks.push(order.get(&text).copied().unwrap_or_default());
            names.push(format!("{} = {text}", label(key)));
        }
    }
    let mut found: BTreeMap<Vec<usize>, (String, Vec<usize>)> = BTreeMap::new();
    for (row, (ranks, names)) in ranks.into_iter().zip(names).enumerate() {
        let entry = found.entry(ranks);
        let (_, rows) = entry.or_insert_with(|| (names.join(", "), Vec::new()));
        rows.push(row);
    }
    let found = found.into_values();
    Ok(found.map(|(name, rows)| (Some(name), rows)).collect())
}

/// The place of each value of a column among its values.
fn order(column: &Values, rows: usize) -> BTreeMap<String, usize> {
    let numbers = column.numbers();
    let mut values: Vec<(Ordered, String)> = Vec::new();
    let mut seen = BTreeSet::new();
    for row in 0..rows {
        let text = group_text(column, row);
        if seen.insert(text.clone()) {
            let number = numbers.as_ref().and_then(|n| n.get(row).copied().flatten());
            values.push((Ordered(number.unwrap_or(f64::INFINITY)), text));
        }
    }
    if numbers.is_some() {
        values.sort_by_key(|(number, _)| *number);
    }
    let places = values.into_iter().enumerate();
    places.map(|(place, (_, text))| (text, place)).collect()
}

fn group_text(column: &Values, row: usize) -> String {
    let text = column.text(row);
    match column {
        Values::F64(_) | Values::NullableF64(_) => {
            text.strip_suffix(".0").unwrap_or(&text).to_owned()
        }
        _ => text,
    }
}

/// A number for each row, where there is one.
type Numbers = Vec<Option<f64>>;

/// A metric and its interval.
struct Metric {
    name: String,
    values: Numbers,
    interval: Option<(Numbers, Numbers)>,
}

impl Metric {
    fn of(table: &Table, name: &str) -> Result<Self, PlotError> {
        let (low, high) = (format!("{name}.low"), format!("{name}.high"));
        let interval = match table.has(&low) && table.has(&high) {
            true => Some((table.numbers(&low)?, table.numbers(&high)?)),
            false => None,
        };
        Ok(Self {
            name: name.to_owned(),
            values: table.numbers(name)?,
            interval,
        })
    }

    fn points(
        &self,
        xs: &[Option<f64>],
        rows: &[usize],
        scatter: bool,
        notes: &mut Vec<String>,
    ) -> Vec<Point> {
        let at = |values: &[Option<f64>], row: usize| values.get(row).copied().flatten();
        let mut points = Vec::new();
        for &row in rows {
            let (Some(x), Some(y)) = (at(xs, row), at(&self.values, row)) else {
                continue;
            };
            let interval = self.interval.as_ref();
            let interval = interval.and_then(|(low, high)| at(low, row).zip(at(high, row)));
            points.push(Point { x, y, interval });
        }
        if scatter {
            return points;
        }
        points.sort_by_key(|p| Ordered(p.x));
        let mut note = |text: String| {
            if !notes.contains(&text) {
                notes.push(text);
            }
        };
        if self.interval.is_some() {
            note(format!(
                "bars: 95% intervals ({0}.low to {0}.high)",
                self.name
            ));
            return points;
        }
        let averaged = means(points.iter().map(|p| (p.x, p.y)));
        if averaged.len() == points.len() {
            return points;
        }
        note("means of the rows with one x, with 95% intervals by Student's t".to_owned());
        averaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(x: &str, y: &str, group: Option<&str>) -> ColumnChoice {
        ColumnChoice {
            x: x.to_owned(),
            y: vec![y.to_owned()],
            group: group.map(str::to_owned).into_iter().collect(),
            ..ColumnChoice::default()
        }
    }

    fn table() -> Table {
        Table::builder("results")
            .f64("mu", vec![2.0, 1.0, 1.0, 2.0])
            .u64("layers", vec![10, 10, 9, 9])
            .nullable("h", vec![Some(4.0), Some(3.0), Some(1.0), None])
            .f64("h.low", vec![3.5, 2.5, 0.5, 0.0])
            .f64("h.high", vec![4.5, 3.5, 1.5, 0.0])
            .f64("plain", vec![1.0, 2.0, 4.0, 3.0])
            .build()
            .unwrap()
    }

    #[test]
    fn groups_are_sorted_and_intervals_found() {
        let figure = from_columns(&table(), &choice("mu", "h", Some("layers"))).unwrap();
        let names: Vec<_> = figure.series.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["layers = 9", "layers = 10"]);
        assert_eq!(
            figure.series[0].points.len(),
            1,
            "a missing value is left out"
        );
        let expected = [(1.0, 3.0, (2.5, 3.5)), (2.0, 4.0, (3.5, 4.5))];
        let found: Vec<_> = figure.series[1]
            .points
            .iter()
            .map(|p| (p.x, p.y, p.interval.unwrap()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn rows_of_one_x_become_a_mean() {
        let figure = from_columns(&table(), &choice("mu", "plain", None)).unwrap();
        let points = &figure.series[0].points;
        assert_eq!(points.iter().map(|p| p.y).collect::<Vec<_>>(), [3.0, 2.0]);
        assert!(points[0].interval.is_some());
        assert!(figure.notes[0].starts_with("means"));
    }

    #[test]
    fn an_unknown_column_names_those_that_exist() {
        let said = from_columns(&table(), &choice("mu", "nope", None)).unwrap_err();
        assert!(said.to_string().contains("mu, layers, h, plain"), "{said}");
    }
}
