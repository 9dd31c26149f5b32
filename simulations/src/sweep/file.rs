//! The sweep file: TOML to a base scenario and a list of points, without building any scenario.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::axis::{Axis, AxisEntry};
use super::error::{SweepError, files, invalid};
use crate::input::{MAX_SCENARIO_BYTES, read_text};

/// The most points of a sweep.
pub const MAX_POINTS: usize = 100_000;
/// The most repetitions of a point.
pub const MAX_REPETITIONS: u32 = 100_000;
/// The most runs of a sweep: points times repetitions.
pub const MAX_RUNS: usize = 1_000_000;

/// A sweep file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    scenario: Option<Value>,
    preset: Option<String>,
    #[serde(default)]
    sweep: Section,
    #[serde(default)]
    set: Table,
    #[serde(default)]
    axes: Vec<AxisEntry>,
    #[serde(default)]
    points: Vec<Table>,
}

/// `[sweep]` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    seed: Option<u64>,
    repetitions: Option<u32>,
    #[serde(default)]
    mode: Mode,
}

/// How the axes make points.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Every combination, the last axis fastest.
    #[default]
    Grid,
    /// All axes step by step together, or the points that are listed.
    List,
}

/// What all points start from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Base {
    /// A scenario file; relative paths start at the sweep file.
    File(PathBuf),
    /// A preset by name.
    Preset(String),
    /// A scenario inside the sweep file.
    Inline(Table),
}

/// A sweep file, checked as far as that goes without the scenarios.
#[derive(Clone, Debug)]
pub(super) struct SweepFile {
    pub(super) base: Base,
    pub(super) seed: Option<u64>,
    pub(super) repetitions: Option<u32>,
    /// What is set in every point, before its own keys.
    pub(super) common: Vec<(String, Value)>,
    /// The keys that differ from point to point.
    pub(super) keys: Vec<String>,
    /// For each point a value for each key.
    pub(super) points: Vec<Vec<Value>>,
}

impl SweepFile {
    /// Reads and checks a sweep file.
    pub(super) fn read(path: &Path) -> Result<Self, SweepError> {
        let text = read_text(path, MAX_SCENARIO_BYTES).map_err(files("cannot read", path))?;
        Self::parse(&text, path)
    }

    /// Checks the text of a sweep file; `path` is where it lies.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, SweepError> {
        let document: Document = toml::from_str(text).map_err(|error| SweepError::Syntax {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        let base = base(document.scenario, document.preset, path)?;
        if let Some(repetitions) = document.sweep.repetitions {
            check_repetitions("sweep.repetitions", repetitions)?;
        }
        let (keys, points) = points(document.sweep.mode, document.axes, document.points)?;
        let common: Vec<(String, Value)> = document.set.into_iter().collect();
        for (index, key) in keys
            .iter()
            .chain(common.iter().map(|(key, _)| key))
            .enumerate()
        {
            check_key(key, keys.iter().take(index.min(keys.len())))?;
        }
        for value in points.iter().flatten() {
            check_value(value)?;
        }
        Ok(Self {
            base,
            seed: document.sweep.seed,
            repetitions: document.sweep.repetitions,
            common,
            keys,
            points,
        })
    }

    /// The keys and values of a point, for people.
    pub(super) fn settings(&self, point: usize) -> String {
        let values = self.points.get(point).map_or(&[][..], Vec::as_slice);
        let pairs = self.keys.iter().zip(values);
        let pairs: Vec<String> = pairs
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        pairs.join(", ")
    }
}

/// Refuses a seed that no scenario has.
pub(super) fn check_seed(seed: u64) -> Result<(), SweepError> {
    if i64::try_from(seed).is_ok() {
        return Ok(());
    }
    Err(invalid(
        "seed",
        seed.to_string(),
        format!("allowed: 0 to {}", i64::MAX),
    )
    .hint("any number will do"))
}

/// Refuses a sweep of more runs than can be.
pub(super) fn check_size(points: usize, repetitions: u32) -> Result<(), SweepError> {
    check_repetitions("repetitions", repetitions)?;
    let runs = (points as u128).saturating_mul(u128::from(repetitions));
    if runs <= MAX_RUNS as u128 {
        return Ok(());
    }
    Err(invalid(
        "repetitions",
        format!("{points} points x {repetitions} = {runs} runs"),
        format!("allowed: at most {MAX_RUNS} runs"),
    )
    .hint("fewer points or repetitions, or several sweeps"))
}

/// Refuses a number of repetitions that no sweep has.
fn check_repetitions(key: &str, repetitions: u32) -> Result<(), SweepError> {
    if (1..=MAX_REPETITIONS).contains(&repetitions) {
        return Ok(());
    }
    Err(invalid(
        key,
        repetitions.to_string(),
        format!("allowed: 1 to {MAX_REPETITIONS}"),
    )
    .hint("2 or more give an interval"))
}

fn base(scenario: Option<Value>, preset: Option<String>, path: &Path) -> Result<Base, SweepError> {
    match (scenario, preset) {
        (Some(Value::String(file)), None) => {
            let folder = path.parent().unwrap_or(Path::new(""));
            Ok(Base::File(folder.join(file)))
        }
        (Some(Value::Table(table)), None) => Ok(Base::Inline(table)),
        (Some(other), None) => {
            Err(
                invalid("scenario", other.to_string(), "allowed: a file or a table")
                    .hint("scenario = \"file.toml\", or the scenario itself under [scenario]"),
            )
        }
        (None, Some(name)) => Ok(Base::Preset(name)),
        (Some(_), Some(_)) => {
            Err(invalid("scenario and preset", "both given", "exclude each other").hint("keep one"))
        }
        (None, None) => Err(invalid("scenario", "nothing", "is missing").hint(
            "scenario = \"file.toml\", preset = \"NAME\", or the scenario itself under [scenario]",
        )),
    }
}

/// The keys, and for each point a value for each.
type Points = (Vec<String>, Vec<Vec<Value>>);

fn points(mode: Mode, axes: Vec<AxisEntry>, listed: Vec<Table>) -> Result<Points, SweepError> {
    if !listed.is_empty() {
        if mode == Mode::Grid || !axes.is_empty() {
            return Err(invalid(
                "points",
                format!("{} points", listed.len()),
                "allowed with mode = \"list\" and without axes",
            )
            .hint("write mode = \"list\" under [sweep] and give either axes or points"));
        }
        return explicit(listed);
    }
    let entries = axes.into_iter().enumerate();
    let axes: Vec<Axis> = entries
        .map(|(index, entry)| entry.into_axis(&format!("axes[{index}]")))
        .collect::<Result<_, _>>()?;
    if axes.is_empty() {
        return Err(invalid("axes", "none", "allowed: at least one, or points")
            .hint("[[axes]] with key and values; for a single scenario use `shoal-sim run`"));
    }
    let keys = axes.iter().flat_map(|axis| axis.keys.clone()).collect();
    let points = match mode {
        Mode::Grid => grid(&axes)?,
        Mode::List => zip(&axes)?,
    };
    Ok((keys, points))
}

/// Every combination, the last axis fastest.
fn grid(axes: &[Axis]) -> Result<Vec<Vec<Value>>, SweepError> {
    let count = axes.iter().fold(1_u128, |count, axis| {
        count.saturating_mul(axis.steps.len() as u128)
    });
    if count > MAX_POINTS as u128 {
        let sizes: Vec<String> = axes
            .iter()
            .map(|axis| axis.steps.len().to_string())
            .collect();
        return Err(invalid(
            "axes",
            format!("{} = {count} points", sizes.join(" x ")),
            format!("allowed: at most {MAX_POINTS} points"),
        )
        .hint("fewer values, keys that move together, or several sweeps"));
    }
    let mut points = vec![Vec::new()];
    for axis in axes {
        points = points
            .iter()
            .flat_map(|point| {
                axis.steps
                    .iter()
                    .map(move |step| [point.as_slice(), step].concat())
            })
            .collect();
    }
    Ok(points)
}

/// All axes step by step together.
fn zip(axes: &[Axis]) -> Result<Vec<Vec<Value>>, SweepError> {
    let count = axes.first().map_or(0, |axis| axis.steps.len());
    if let Some((index, other)) = axes
        .iter()
        .enumerate()
        .find(|(_, axis)| axis.steps.len() != count)
    {
        return Err(invalid(
            &format!("axes[{index}]"),
            format!("{} values", other.steps.len()),
            format!("allowed with mode = \"list\": {count}, as axes[0] has"),
        )
        .hint("mode = \"grid\" combines axes of any length"));
    }
    let point = |step: usize| {
        axes.iter()
            .filter_map(|axis| axis.steps.get(step))
            .flatten()
            .cloned()
            .collect()
    };
    Ok((0..count).map(point).collect())
}

/// The points that are listed, which must all set the same keys.
fn explicit(listed: Vec<Table>) -> Result<Points, SweepError> {
    if listed.len() > MAX_POINTS {
        return Err(invalid(
            "points",
            listed.len().to_string(),
            format!("allowed: at most {MAX_POINTS}"),
        )
        .hint("several sweeps"));
    }
    let keys: Vec<String> = listed
        .first()
        .map_or_else(Vec::new, |point| point.keys().cloned().collect());
    if keys.is_empty() {
        return Err(
            invalid("points[0]", "{}", "sets no key").hint("\"clients[0].rates.real\" = 2.0")
        );
    }
    let mut points = Vec::with_capacity(listed.len());
    for (index, point) in listed.into_iter().enumerate() {
        if !point.keys().eq(&keys) {
            let own: Vec<&str> = point.keys().map(String::as_str).collect();
            return Err(invalid(
                &format!("points[{index}]"),
                own.join(", "),
                format!("must set the keys of points[0]: {}", keys.join(", ")),
            )
            .hint(
                "every point sets every key; a key path with dots or brackets stands in quotes",
            ));
        }
        points.push(point.into_iter().map(|(_, value)| value).collect());
    }
    Ok((keys, points))
}

/// Refuses keys that are the sweep's own, and keys that are set twice.
fn check_key<'a>(
    key: &str,
    mut before: impl Iterator<Item = &'a String>,
) -> Result<(), SweepError> {
    if matches!(key, "run.seed" | "run.repetitions") {
        return Err(invalid(key, "in a sweep", "cannot be swept or set")
            .hint("every point has the seed and the repetitions of [sweep], so that points differ by their keys alone"));
    }
    if before.any(|other| other == key) {
        return Err(invalid(key, "given twice", "allowed: once").hint("one axis for each key"));
    }
    Ok(())
}

/// Refuses what cannot stand in a results table.
fn check_value(value: &Value) -> Result<(), SweepError> {
    match value {
        Value::Float(number) if !number.is_finite() => {
            Err(
                invalid("values", value.to_string(), "allowed: finite numbers")
                    .hint("a large number"),
            )
        }
        Value::Datetime(_) => Err(
            invalid("values", value.to_string(), "no scenario has dates").hint("a text in quotes"),
        ),
        Value::Array(values) => values.iter().try_for_each(check_value),
        Value::Table(table) => table.iter().try_for_each(|(_, value)| check_value(value)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Base, SweepFile};
    use toml::Value;

    fn parse(text: &str) -> Result<SweepFile, String> {
        SweepFile::parse(text, Path::new("dir/sweep.toml")).map_err(|error| error.to_string())
    }

    fn integers(file: &SweepFile) -> Vec<Vec<i64>> {
        let row = |point: &Vec<Value>| point.iter().filter_map(Value::as_integer).collect();
        file.points.iter().map(row).collect()
    }

    #[test]
    fn a_grid_has_every_combination_the_last_axis_fastest() {
        let file = parse(
            "preset = 'p'\n[[axes]]\nkey = 'a'\nvalues = [1, 2]\n\
             [[axes]]\nkeys = ['b', 'c']\nvalues = [[3, 4], [5, 6]]",
        )
        .unwrap();
        assert_eq!(file.keys, ["a", "b", "c"]);
        assert_eq!(
            integers(&file),
            [[1, 3, 4], [1, 5, 6], [2, 3, 4], [2, 5, 6]]
        );
        assert_eq!(file.base, Base::Preset("p".into()));
    }

    #[test]
    fn a_list_goes_step_by_step_or_is_written_out() {
        let axes = "[[axes]]\nkey = 'a'\nvalues = [1, 2]\n[[axes]]\nkey = 'b'\nvalues = [3, 4]";
        let zipped = parse(&format!("scenario = 's.toml'\nsweep.mode = 'list'\n{axes}")).unwrap();
        assert_eq!(integers(&zipped), [[1, 3], [2, 4]]);
        assert_eq!(zipped.base, Base::File("dir/s.toml".into()));
        let listed = parse(
            "[scenario]\nx = 1\n[sweep]\nmode = 'list'\nseed = 9\nrepetitions = 3\n\
             [set]\n'd' = 1\n[[points]]\n'a[0].b' = 1\nc = 2\n[[points]]\nc = 3\n'a[0].b' = 4",
        )
        .unwrap();
        assert_eq!(listed.keys, ["a[0].b", "c"]);
        assert_eq!(integers(&listed), [[1, 2], [4, 3]]);
        assert_eq!((listed.seed, listed.repetitions), (Some(9), Some(3)));
        assert_eq!(listed.common, [("d".to_owned(), Value::Integer(1))]);
        assert!(matches!(listed.base, Base::Inline(_)));
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        let axis = "[[axes]]\nkey = 'a'\nvalues = [1, 2]\n";
        let long = "range = { from = 1, to = 1000, steps = 1000 }";
        for (text, part) in [
            (axis.to_owned(), "scenario: nothing is missing"),
            (format!("preset = 'p'\nscenario = 's'\n{axis}"), "exclude"),
            (format!("scenario = 3\n{axis}"), "a file or a table"),
            ("preset = 'p'".into(), "axes: none"),
            (format!("preset = 'p'\nfoo = 1\n{axis}"), "foo"),
            (format!("preset = 'p'\nsweep.sed = 1\n{axis}"), "sed"),
            (format!("preset = 'p'\nsweep.mode = 'zip'\n{axis}"), "zip"),
            (
                format!("preset = 'p'\nsweep.repetitions = 0\n{axis}"),
                "sweep.repetitions: 0",
            ),
            (format!("preset = 'p'\n{axis}{axis}"), "a: given twice"),
            (format!("preset = 'p'\nset.a = 3\n{axis}"), "a: given twice"),
            (
                format!("preset = 'p'\n{axis}[[points]]\nb = 1"),
                "without axes",
            ),
            ("preset = 'p'\n[[points]]\nb = 1".into(), "mode = \"list\""),
            (
                "preset = 'p'\nsweep.mode = 'list'\n[[points]]\nb = 1\n[[points]]\nc = 1".into(),
                "points[1]",
            ),
            (
                format!(
                    "preset = 'p'\nsweep.mode = 'list'\n{axis}[[axes]]\nkey = 'b'\nvalues = [1]"
                ),
                "axes[1]",
            ),
            (
                "preset = 'p'\n[[axes]]\nkey = 'run.seed'\nvalues = [1]".into(),
                "run.seed",
            ),
            (
                "preset = 'p'\n[[axes]]\nkey = 'a'\nvalues = [nan]".into(),
                "finite",
            ),
            (
                format!("preset = 'p'\n[[axes]]\nkey = 'a'\n{long}\n[[axes]]\nkey = 'b'\n{long}"),
                "1000 x 1000 = 1000000 points",
            ),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
