//! What differs between two files of a network.

use std::collections::BTreeMap;

use serde::Serialize;
use shoal_node::Failure;
use shoal_topology::NetworkParameters;
use toml::Value;

/// A value that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Change {
    /// `layers`, `profiles.NAME.real`, `genesis_members.ID`.
    pub(super) key: String,
    /// None where there was none.
    pub(super) before: Option<String>,
    /// None where there is none any more.
    pub(super) after: Option<String>,
}

impl Change {
    pub(super) fn in_words(&self) -> String {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        format!(
            "{}: {} -> {}",
            self.key,
            value(&self.before),
            value(&self.after)
        )
    }
}

/// All of them, by key. How a file follows on another is none.
pub(super) fn changes(
    before: &NetworkParameters,
    after: &NetworkParameters,
) -> Result<Vec<Change>, Failure> {
    let (before, after) = (values(before)?, values(after)?);
    let mut keys = Vec::from_iter(before.keys().chain(after.keys()));
    keys.sort_unstable();
    keys.dedup();
    let change = |key: &&String| Change {
        key: (*key).clone(),
        before: before.get(*key).cloned(),
        after: after.get(*key).cloned(),
    };
    let all = keys.iter().map(change);
    Ok(all.filter(|change| change.before != change.after).collect())
}

fn values(params: &NetworkParameters) -> Result<BTreeMap<String, String>, Failure> {
    let mut params = params.clone();
    params.succession = None;
    let table = toml::from_str::<toml::Table>(&params.to_toml());
    let mut values = BTreeMap::new();
    flatten(
        "",
        &Value::Table(table.map_err(Failure::failed)?),
        &mut values,
    );
    Ok(values)
}

fn flatten(key: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    let below = |name: &str| match key {
        "" => name.to_owned(),
        _ => format!("{key}.{name}"),
    };
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                flatten(&below(name), value, into);
            }
        }
        // A member, and a recovery, is told as a whole, by what names it.
        Value::Array(items) if items.iter().all(Value::is_table) => {
            for item in items {
                let name = |key| item.get(key).map(ToString::to_string);
                let name = name("id").or_else(|| name("height")).unwrap_or_default();
                let value = item.to_string();
                into.insert(
                    below(name.trim_matches('"')),
                    value.trim().replace('\n', ", "),
                );
            }
        }
        _ => {
            into.insert(key.to_owned(), value.to_string());
        }
    }
}
