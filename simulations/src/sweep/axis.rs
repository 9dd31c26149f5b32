//! Values of an axis: a list as it is written, or a range with linear or logarithmic steps.

use serde::Deserialize;
use toml::Value;

use super::error::{SweepError, invalid};
use crate::math;
use crate::scenario::Seconds;

/// The most values that one axis may have.
pub const MAX_VALUES: usize = 100_000;

/// `[[axes]]` as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AxisEntry {
    key: Option<String>,
    keys: Option<Vec<String>>,
    values: Option<Vec<Value>>,
    range: Option<RangeEntry>,
}

/// `range = { from, to, steps, scale, round }` as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RangeEntry {
    from: Value,
    to: Value,
    steps: u32,
    #[serde(default)]
    scale: Scale,
    #[serde(default)]
    round: bool,
}

/// How the values of a range are spaced.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Scale {
    /// By equal differences.
    #[default]
    Linear,
    /// By equal ratios.
    Log,
}

/// Keys that move together, and what they become step by step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    /// The key paths, at least one.
    pub(super) keys: Vec<String>,
    /// One value for each key, step by step; at least one step.
    pub(super) steps: Vec<Vec<Value>>,
}

impl AxisEntry {
    /// Checks the entry; `at` is its name in errors, as `axes[0]`.
    pub(super) fn into_axis(self, at: &str) -> Result<Axis, SweepError> {
        let (keys, several) = match (self.key, self.keys) {
            (Some(key), None) => (vec![key], false),
            (None, Some(keys)) if !keys.is_empty() => (keys, true),
            (None, Some(_)) => {
                return Err(invalid(at, "keys = []", "names no key").hint("name at least one"));
            }
            (Some(_), Some(_)) => {
                return Err(invalid(at, "key and keys", "exclude each other")
                    .hint("`key` for one key path, `keys` for several that move together"));
            }
            (None, None) => {
                return Err(
                    invalid(at, "no key", "needs one").hint("key = \"clients[0].rates.real\"")
                );
            }
        };
        let steps = match (self.values, self.range) {
            (Some(values), None) => listed(at, values, keys.len(), several)?,
            (None, Some(range)) => {
                let values = range.values(&format!("{at}.range"))?;
                values
                    .into_iter()
                    .map(|value| vec![value; keys.len()])
                    .collect()
            }
            (Some(_), Some(_)) => {
                return Err(
                    invalid(at, "values and range", "exclude each other").hint("give one of them")
                );
            }
            (None, None) => {
                return Err(invalid(at, "no values", "needs some")
                    .hint("values = [1, 2, 4], or range = { from = 1.0, to = 4.0, steps = 7 }"));
            }
        };
        Ok(Axis { keys, steps })
    }
}

/// The rows of `values`: single values for `key`, rows of one value a key for `keys`.
fn listed(
    at: &str,
    values: Vec<Value>,
    width: usize,
    several: bool,
) -> Result<Vec<Vec<Value>>, SweepError> {
    let at = format!("{at}.values");
    if values.is_empty() || values.len() > MAX_VALUES {
        return Err(invalid(
            &at,
            format!("{} values", values.len()),
            format!("allowed: 1 to {MAX_VALUES}"),
        )
        .hint("an axis without values makes a sweep without points"));
    }
    if !several {
        return Ok(values.into_iter().map(|value| vec![value]).collect());
    }
    let row = |(index, value): (usize, Value)| match value {
        Value::Array(row) if row.len() == width => Ok(row),
        other => Err(invalid(
            &format!("{at}[{index}]"),
            other.to_string(),
            format!("allowed: a list of {width} values"),
        )
        .hint("with `keys`, each element has one value for each key, in their order")),
    };
    values.into_iter().enumerate().map(row).collect()
}

impl RangeEntry {
    fn values(&self, at: &str) -> Result<Vec<Value>, SweepError> {
        let steps = usize::try_from(self.steps).unwrap_or(usize::MAX);
        if !(2..=MAX_VALUES).contains(&steps) {
            let key = format!("{at}.steps");
            let allowed = format!("allowed: 2 to {MAX_VALUES}");
            return Err(invalid(&key, self.steps.to_string(), allowed)
                .hint("steps counts the values, both ends included"));
        }
        let (from, to) = (number(at, "from", &self.from)?, number(at, "to", &self.to)?);
        let ends = format!("from {} to {}", self.from, self.to);
        let times = self.from.is_str();
        if times != self.to.is_str() {
            return Err(invalid(at, ends, "is a length of time and a number")
                .hint("from and to are both numbers, or both as \"50ms\""));
        }
        if self.scale == Scale::Log && (from <= 0.0 || to <= 0.0) {
            return Err(invalid(at, ends, "allowed with scale = \"log\": above 0")
                .hint("scale = \"linear\" takes any numbers"));
        }
        let mut values = self.spaced(from, to);
        if self.round {
            values.iter_mut().for_each(|value| *value = value.round());
        }
        if values.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(invalid(
                at,
                format!("{ends} in {steps} steps"),
                "holds a value twice",
            )
            .hint("fewer steps, or values = [...]"));
        }
        let integers = self.from.is_integer() && self.to.is_integer();
        let whole = values.iter().all(|value| value.fract() == 0.0);
        let written = |value: f64| match times {
            true => Value::String(format!("{value}s")),
            false if self.round || (integers && whole) => integer(value),
            false => Value::Float(value),
        };
        Ok(values.into_iter().map(written).collect())
    }

    /// The values before rounding; both ends exactly as they are written.
    fn spaced(&self, from: f64, to: f64) -> Vec<f64> {
        let last = self.steps.saturating_sub(1);
        (0..self.steps)
            .map(|step| {
                let part = f64::from(step) / f64::from(last);
                match self.scale {
                    _ if step == 0 => from,
                    _ if step == last => to,
                    Scale::Linear => from + (to - from) * part,
                    Scale::Log => from * math::pow(to / from, part),
                }
            })
            .collect()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a whole number of at most 2^53"
)]
fn integer(value: f64) -> Value {
    Value::Integer(value as i64)
}

#[expect(clippy::cast_precision_loss, reason = "checked to be at most 2^53")]
fn number(at: &str, end: &str, value: &Value) -> Result<f64, SweepError> {
    const MAX: f64 = 9_007_199_254_740_992.0;
    let number = match value {
        Value::Float(value) => *value,
        Value::Integer(value) => *value as f64,
        Value::String(text) => Seconds::parse(text).map_or(f64::NAN, Seconds::get),
        _ => f64::NAN,
    };
    if number.is_finite() && number.abs() <= MAX {
        return Ok(number);
    }
    Err(invalid(
        &format!("{at}.{end}"),
        value.to_string(),
        "allowed: a number of at most 2^53, or a length of time as \"50ms\"",
    )
    .hint("other values go into values = [...]"))
}

#[cfg(test)]
mod tests {
    use super::{Axis, AxisEntry};
    use toml::Value;

    fn axis(text: &str) -> Result<Axis, String> {
        let entry: AxisEntry = toml::from_str(text).map_err(|error| error.to_string())?;
        entry
            .into_axis("axes[0]")
            .map_err(|error| error.to_string())
    }

    fn column(text: &str) -> Vec<Value> {
        let axis = axis(text).unwrap();
        axis.steps
            .into_iter()
            .map(|mut step| step.remove(0))
            .collect()
    }

    #[test]
    fn ranges_hit_both_ends_and_space_what_is_between() {
        let linear = column("key = 'a'\nrange = { from = 0.0, to = 1.0, steps = 5 }");
        let expected: Vec<Value> = [0.0, 0.25, 0.5, 0.75, 1.0].map(Value::Float).into();
        assert_eq!(linear, expected);
        let log =
            column("key = 'a'\nrange = { from = 0.01, to = 100.0, steps = 5, scale = 'log' }");
        for (value, expected) in log.iter().zip([0.01, 0.1, 1.0, 10.0, 100.0]) {
            assert!(
                (value.as_float().unwrap() / expected - 1.0).abs() < 1e-14,
                "{value}"
            );
        }
        assert_eq!(
            (log[0].as_float(), log[4].as_float()),
            (Some(0.01), Some(100.0))
        );
        let exact = column("key = 'a'\nrange = { from = 0.1, to = 0.01, steps = 3 }");
        assert_eq!(exact[2].as_float(), Some(0.01));
        let down = column("key = 'a'\nrange = { from = 3, to = 1, steps = 3 }");
        assert_eq!(down, [3, 2, 1].map(Value::Integer));
        let halves = column("key = 'a'\nrange = { from = 1, to = 2, steps = 3 }");
        assert_eq!(halves, [1.0, 1.5, 2.0].map(Value::Float));
        let times =
            column("key = 'a'\nrange = { from = '50ms', to = '0.2s', steps = 3, scale = 'log' }");
        assert_eq!(times[0].as_str(), Some("0.05s"));
        assert_eq!(
            (times[1].as_str(), times[2].as_str()),
            (Some("0.1s"), Some("0.2s"))
        );
        let rounded = column(
            "key = 'a'\nrange = { from = 10, to = 1000, steps = 4, scale = 'log', round = true }",
        );
        assert_eq!(rounded, [10, 46, 215, 1000].map(Value::Integer));
    }

    #[test]
    fn keys_that_move_together_need_a_value_each() {
        let both = axis("keys = ['a', 'b']\nvalues = [[1, 'x'], [2, 'y']]").unwrap();
        assert_eq!((both.keys.len(), both.steps.len()), (2, 2));
        let same = axis("keys = ['a', 'b']\nrange = { from = 1, to = 2, steps = 2 }").unwrap();
        assert_eq!(same.steps[1], [Value::Integer(2), Value::Integer(2)]);
        let error = axis("keys = ['a', 'b']\nvalues = [[1, 2], [3]]").unwrap_err();
        assert!(
            error.contains("axes[0].values[1]") && error.contains("2 values"),
            "{error}"
        );
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        for (text, part) in [
            ("key = 'a'", "no values"),
            ("values = [1]", "no key"),
            ("key = 'a'\nkeys = ['b']\nvalues = [1]", "exclude"),
            (
                "key = 'a'\nvalues = [1]\nrange = { from = 1, to = 2, steps = 2 }",
                "exclude",
            ),
            ("key = 'a'\nvalues = []", "0 values"),
            ("keys = []\nvalues = []", "names no key"),
            (
                "key = 'a'\nrange = { from = 1, to = 2, steps = 1 }",
                "axes[0].range.steps",
            ),
            (
                "key = 'a'\nrange = { from = 0, to = 2, steps = 3, scale = 'log' }",
                "above 0",
            ),
            (
                "key = 'a'\nrange = { from = 'x', to = 2, steps = 3 }",
                "axes[0].range.from",
            ),
            (
                "key = 'a'\nrange = { from = '1s', to = 2, steps = 3 }",
                "a length of time and a number",
            ),
            (
                "key = 'a'\nrange = { from = inf, to = 2, steps = 3 }",
                "axes[0].range.from",
            ),
            (
                "key = 'a'\nrange = { from = 1, to = 2, steps = 5, round = true }",
                "twice",
            ),
            ("key = 'a'\nvaluez = [1]", "valuez"),
            (
                "key = 'a'\nrange = { from = 1, to = 2, steps = 3, scale = 'cubic' }",
                "cubic",
            ),
        ] {
            let error = axis(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
