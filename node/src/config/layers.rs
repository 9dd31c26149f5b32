//! Defaults, file, environment and flags laid over each other, with the place of each value.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::distance::nearest;
use super::error::ConfigError;

/// Where a value came from, for messages and for paths: those in a file are relative to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An environment variable.
    Environment,
    /// A flag on the command line.
    Flag,
}

/// One value from the environment or from a flag, which replaces what the file says.
#[derive(Clone, Debug)]
pub struct Override {
    /// The key with its tables, as in `metrics.listen`.
    pub key: String,
    /// The value as text; the items of a list are separated by commas.
    pub text: String,
    /// What to call it in an error: the variable or the flag.
    pub origin: String,
    /// Where it came from.
    pub source: Source,
}

impl Override {
    /// A flag; `name` as it is typed, without the dashes.
    #[must_use]
    pub fn flag(name: &str, key: &str, text: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            text: text.into(),
            origin: format!("--{name}"),
            source: Source::Flag,
        }
    }
}

/// Where the values of keys came from: `shoal.toml:3`, a variable, a flag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, String>);

impl Origins {
    /// Where this key's value came from; none for a default.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

/// A configuration file with everything laid over it.
#[derive(Clone, Debug)]
pub struct Layered<F> {
    /// The merged values.
    pub values: F,
    /// Keys that the environment or a flag set.
    pub overridden: BTreeSet<String>,
    /// Where each key's value came from, for errors; nothing for a default.
    pub origins: Origins,
    /// Variables that start with `SHOAL_` and set nothing, each with the nearest that would.
    pub ignored: Vec<(String, Option<String>)>,
}

/// Every key of a file format, with its tables, in order.
#[must_use]
pub fn known_keys<F: Default + Serialize>() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    if let Ok(table) = Table::try_from(F::default()) {
        leaves(&table, "", &mut keys);
    }
    keys
}

/// The environment variable that sets a key: `SHOAL_METRICS_LISTEN` for `metrics.listen`. One has
/// a shorter name: `SHOAL_LOG` sets `log.level`.
#[must_use]
pub fn environment_name(key: &str) -> String {
    match key {
        "log.level" => "SHOAL_LOG".to_owned(),
        key => format!("SHOAL_{}", key.replace('.', "_").to_uppercase()),
    }
}

/// Variables that commands read themselves.
const RESERVED: [&str; 3] = ["SHOAL_DIR", "SHOAL_CONFIG", "SHOAL_PASSPHRASE_FILE"];

impl<F: Default + Serialize + DeserializeOwned> Layered<F> {
    /// Lays environment and flags over a file's text; `path` names it in errors. Without a file,
    /// the defaults are what is laid over.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(
        file: Option<(&Path, &str)>,
        environment: &[(String, String)],
        flags: &[Override],
    ) -> Result<Self, ConfigError> {
        let known = known_keys::<F>();
        let mut origins = Origins::default();
        let mut table = match file {
            Some((path, text)) => parse_file::<F>(path, text, &known, &mut origins)?,
            None => Table::new(),
        };
        let (mut overrides, ignored) = from_environment(environment, &known);
        overrides.extend_from_slice(flags);
        let defaults = Table::try_from(F::default()).unwrap_or_default();
        let mut values = deserialize::<F>(&table).map_err(|message| ConfigError::Parse {
            path: file.map_or_else(PathBuf::new, |(path, _)| path.to_owned()),
            line: 1,
            message,
        })?;
        let mut overridden = BTreeSet::new();
        // One at a time, so that an error names the one that is wrong.
        for one in overrides {
            let fail = |message| ConfigError::Override {
                origin: one.origin.clone(),
                message,
            };
            let value = typed(&one.text, lookup(&defaults, &one.key)).map_err(fail)?;
            insert(&mut table, &one.key, value);
            values = deserialize::<F>(&table).map_err(fail)?;
            overridden.insert(one.key.clone());
            origins.0.insert(one.key, one.origin);
        }
        Ok(Self {
            values,
            overridden,
            origins,
            ignored,
        })
    }

    /// Where a path is relative to: to the working directory if a flag or the environment named
    /// it, to the file's directory otherwise.
    #[must_use]
    pub fn resolve(&self, key: &str, dir: &Path, path: &Path) -> PathBuf {
        if self.overridden.contains(key) {
            path.to_owned()
        } else {
            dir.join(path)
        }
    }
}

fn deserialize<F: DeserializeOwned>(table: &Table) -> Result<F, String> {
    table
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| error.message().to_owned())
}

fn parse_file<F: DeserializeOwned>(
    path: &Path,
    text: &str,
    known: &BTreeSet<String>,
    origins: &mut Origins,
) -> Result<Table, ConfigError> {
    let fail = |error: &toml::de::Error| ConfigError::Parse {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        message: error.message().to_owned(),
    };
    let tree = DeTable::parse(text).map_err(|error| fail(&error))?;
    check_keys(path, text, tree.get_ref(), "", known, origins)?;
    // Once into the type, for errors with lines; once into a table, to lay the rest over.
    toml::from_str::<F>(text).map_err(|error| fail(&error))?;
    toml::from_str::<Table>(text).map_err(|error| fail(&error))
}

fn check_keys(
    path: &Path,
    text: &str,
    table: &DeTable<'_>,
    prefix: &str,
    known: &BTreeSet<String>,
    origins: &mut Origins,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let key = join(prefix, name.get_ref());
        let inside = format!("{key}.");
        let is_table = known.iter().any(|known| known.starts_with(&inside));
        match value.get_ref() {
            DeValue::Table(table) if is_table => {
                check_keys(path, text, table, &key, known, origins)?;
            }
            _ if is_table || known.contains(&key) => {
                let line = line_of(text, name.span().start);
                let origin = format!("{}:{line}", path.display());
                origins.0.insert(key, origin);
            }
            _ => {
                let tables = known.iter().filter_map(|key| Some(key.rsplit_once('.')?.0));
                let candidates = known.iter().map(String::as_str).chain(tables);
                return Err(ConfigError::UnknownKey {
                    path: path.to_owned(),
                    line: line_of(text, name.span().start),
                    nearest: nearest(&key, candidates).map(str::to_owned),
                    key,
                });
            }
        }
    }
    Ok(())
}

fn from_environment(
    environment: &[(String, String)],
    known: &BTreeSet<String>,
) -> (Vec<Override>, Vec<(String, Option<String>)>) {
    let names: Vec<(String, &String)> = known
        .iter()
        .map(|key| (environment_name(key), key))
        .collect();
    let mut overrides = Vec::new();
    let mut ignored = Vec::new();
    for (variable, text) in environment {
        if !variable.starts_with("SHOAL_") || RESERVED.contains(&variable.as_str()) {
            continue;
        }
        match names.iter().find(|(name, _)| name == variable) {
            Some((_, key)) => overrides.push(Override {
                key: (*key).clone(),
                text: text.clone(),
                origin: variable.clone(),
                source: Source::Environment,
            }),
            None => {
                let near = nearest(variable, names.iter().map(|(name, _)| name.as_str()));
                ignored.push((variable.clone(), near.map(str::to_owned)));
            }
        }
    }
    (overrides, ignored)
}

/// Reads a text as the type that the key's default has.
fn typed(text: &str, default: Option<&Value>) -> Result<Value, String> {
    let number = |error: &dyn std::fmt::Display| format!("`{text}` is not a number: {error}");
    Ok(match default {
        Some(Value::Boolean(_)) => Value::Boolean(
            text.parse()
                .map_err(|_| format!("`{text}` is neither `true` nor `false`"))?,
        ),
        Some(Value::Integer(_)) => Value::Integer(text.parse().map_err(|e| number(&e))?),
        Some(Value::Float(_)) => Value::Float(text.parse().map_err(|e| number(&e))?),
        Some(Value::Array(_)) => Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Value::String(item.to_owned()))
                .collect(),
        ),
        _ => Value::String(text.to_owned()),
    })
}

fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((head, tail)) => lookup(table.get(head)?.as_table()?, tail),
        None => table.get(key),
    }
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        Some((head, tail)) => {
            let inner = table
                .entry(head)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, tail, value);
            }
        }
        None => {
            table.insert(key.to_owned(), value);
        }
    }
}

fn leaves(table: &Table, prefix: &str, keys: &mut BTreeSet<String>) {
    for (name, value) in table {
        let key = join(prefix, name);
        match value {
            Value::Table(inner) => leaves(inner, &key, keys),
            _ => {
                keys.insert(key);
            }
        }
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}
