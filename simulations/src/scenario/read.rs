//! From text to the model, with the key or the line of whatever does not fit.

use serde::de::DeserializeOwned;

use super::{Model, Problems, ScenarioError};

/// The longest text of a scenario, in bytes; traces and matrices are files of their own.
const MAX_TEXT: usize = 16 << 20;

/// Reads TOML.
pub(super) fn toml(text: &str) -> Result<Model, ScenarioError> {
    bounded(text)?;
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line(text, span.start));
        let place = line.map_or_else(String::new, |line| format!("line {line}: "));
        let message = error.message();
        let hint = if message.contains("boolean") || message.contains("string") {
            Some("true and false are written small, and texts in quotes")
        } else {
            let large = message.contains("too large");
            large.then_some("whole numbers go up to 9223372036854775807")
        };
        ScenarioError::one("", None, format!("{place}{message}"), hint)
    })?;
    model(table)
}

/// Reads JSON, with the same keys as the TOML.
pub(super) fn json(text: &str) -> Result<Model, ScenarioError> {
    bounded(text)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let model = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| at_path(error.path(), &error.inner().to_string()))?;
    let end = deserializer.end();
    end.map_err(|error| ScenarioError::one("", None, error.to_string(), None))?;
    Ok(model)
}

/// Reads the TOML table of a scenario. A value of the wrong type is refused with the range that its
/// key has.
pub(super) fn model(table: toml::Table) -> Result<Model, ScenarioError> {
    let known = table.clone();
    value(table).map_err(|error: ScenarioError| error.with_ranges(|key| range(&known, key)))
}

/// What a key may be, found by trying what is surely out of range.
fn range(table: &toml::Table, key: &str) -> Option<String> {
    let integers = [i64::from(u32::MAX), 0, i64::MAX].map(toml::Value::from);
    let floats = [-1.0, 1e300].map(toml::Value::from);
    integers.into_iter().chain(floats).find_map(|tried| {
        let mut table = table.clone();
        super::keypath::set(&mut table, key, tried).ok()?;
        let model: Model = value(table).ok()?;
        let mut problems = Problems::default();
        super::check::check(&model, &mut problems);
        let refused = problems.finish().err()?;
        let mut all = refused.problems().iter();
        let own = all.find(|problem| problem.key == key && problem.allowed.contains(" to "))?;
        Some(own.allowed.clone())
    })
}

/// Reads a TOML table that was made from text or changed since.
pub(super) fn value<T: DeserializeOwned>(table: toml::Table) -> Result<T, ScenarioError> {
    // The message alone: the error's own text names the tables once more.
    serde_path_to_error::deserialize(toml::Value::Table(table))
        .map_err(|error| at_path(error.path(), toml::de::Error::message(error.inner())))
}

fn bounded(text: &str) -> Result<(), ScenarioError> {
    if text.len() <= MAX_TEXT {
        return Ok(());
    }
    let given = Some(format!("{} bytes", text.len()));
    let allowed = format!("must be at most {MAX_TEXT} bytes");
    Err(ScenarioError::one("the scenario", given, allowed, None))
}

fn at_path(path: &serde_path_to_error::Path, message: &str) -> ScenarioError {
    let path = path.to_string();
    let key = if path == "." { String::new() } else { path };
    let unknown = message.starts_with("unknown field");
    let hint = unknown.then_some("docs/simulator/scenario.md lists every key");
    match wrong_type(message) {
        Some((value, wanted)) => ScenarioError::one(key, Some(value), wanted, hint),
        None => ScenarioError::one(key, None, message.trim_end(), hint),
    }
}

/// The value of a wrong type and what is wanted instead, from "invalid type: floating point `7.0`,
/// expected u64" and the like.
fn wrong_type(message: &str) -> Option<(String, String)> {
    let rest = message.strip_prefix("invalid type: ");
    let rest = rest.or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.trim_end().split_once(", expected ")?;
    let wanted = match expected {
        "u64" => "must be a whole number from 0 to 9223372036854775807",
        "u32" => "must be a whole number from 0 to 4294967295",
        "f64" => "must be a number",
        "a boolean" => "must be true or false",
        _ => return None,
    };
    let value = found
        .split_once('`')
        .and_then(|(_, rest)| rest.split_once('`'));
    let value = value.map_or_else(
        || found.strip_prefix("string ").unwrap_or(found),
        |(value, _)| value,
    );
    Some((value.to_owned(), wanted.to_owned()))
}

/// The line of a byte, from 1.
fn line(text: &str, byte: usize) -> usize {
    let before = text.as_bytes().iter().take(byte);
    before.filter(|b| **b == b'\n').count() + 1
}
