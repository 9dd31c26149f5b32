//! From text to the model, with the key or the line of whatever does not fit.

use serde::de::DeserializeOwned;

use super::{Model, ScenarioError};

/// The longest text of a scenario, in bytes; traces and matrices are files of their own.
const MAX_TEXT: usize = 16 << 20;

/// Reads TOML.
pub(super) fn toml(text: &str) -> Result<Model, ScenarioError> {
    bounded(text)?;
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line(text, span.start));
        let place = line.map_or_else(String::new, |line| format!("line {line}: "));
        ScenarioError::one("", None, format!("{place}{}", error.message()), None)
    })?;
    value(table)
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
    ScenarioError::one(key, None, message.trim_end(), hint)
}

/// The line of a byte, from 1.
fn line(text: &str, byte: usize) -> usize {
    let before = text.as_bytes().iter().take(byte);
    before.filter(|b| **b == b'\n').count() + 1
}
