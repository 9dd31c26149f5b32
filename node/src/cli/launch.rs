//! What the commands that start a daemon, or look for one, share: where it is, and what configures
//! it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use shoal_node::config::{LogConfig, Override};
use shoal_node::runtime::Reload;
use shoal_node::{Failure, logging};

use super::args::Place;

/// The variables that configure us.
pub(super) fn environment() -> Result<Vec<(String, String)>, Failure> {
    let ours =
        std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"SHOAL_"));
    let text = |(name, value): (OsString, OsString)| match (name.into_string(), value.into_string())
    {
        (Ok(name), Ok(value)) => Ok((name, value)),
        (Ok(name), Err(_)) => Err(not_text(&name)),
        (Err(name), _) => Err(not_text(&name.display().to_string())),
    };
    ours.map(text).collect()
}

fn not_text(what: &str) -> Failure {
    Failure::Usage(anyhow::anyhow!("{what}: the value is not text in UTF-8"))
}

/// The flags that were given: name, key, text.
pub(super) fn overrides<const N: usize>(texts: [(&str, &str, Option<String>); N]) -> Vec<Override> {
    let given = |(flag, key, text): (&str, &str, Option<String>)| {
        text.map(|text| Override::flag(flag, key, text))
    };
    texts.into_iter().filter_map(given).collect()
}

/// A path as the text that a configuration holds.
pub(super) fn path_text(flag: &str, path: Option<&Path>) -> Result<Option<String>, Failure> {
    let text = |path: &Path| {
        path.to_str()
            .map(str::to_owned)
            .ok_or_else(|| not_text(flag))
    };
    path.map(text).transpose()
}

pub(super) fn list_text(list: &[String]) -> Option<String> {
    (!list.is_empty()).then(|| list.join(","))
}

/// The state directory: that of the configuration if only that was given.
pub(super) fn directory(place: &Place) -> PathBuf {
    let beside = || {
        let config = place.config.as_deref()?;
        config.parent().map(|dir| {
            if dir.as_os_str().is_empty() {
                Path::new(".")
            } else {
                dir
            }
        })
    };
    let named = place.dir.as_deref().or_else(beside);
    named.unwrap_or_else(|| Path::new(".")).to_owned()
}

/// Starts the log, and gives what a daemon does when it is asked to read its configuration again: `again` takes up
/// `what`.
pub(super) fn start_logging(
    config: &LogConfig,
    ignored: &[(String, Option<String>)],
    (what, again): (
        &'static str,
        impl Fn() -> Result<LogConfig, Failure> + Send + Sync + 'static,
    ),
) -> Result<Reload, Failure> {
    let log = logging::init(config).map_err(Failure::failed)?;
    for (variable, nearest) in ignored {
        match nearest {
            Some(nearest) => tracing::warn!("{variable} sets nothing; is {nearest} meant?"),
            None => tracing::warn!("{variable} sets nothing"),
        }
    }
    Ok(Reload::new(move || match again() {
        Ok(config) => match log.set_level(config.level) {
            Ok(()) => tracing::info!(
                level = config.level.as_str(),
                "SIGHUP: {what} as the configuration says; the rest is read at the next start"
            ),
            Err(error) => tracing::error!(%error, "SIGHUP: the log's level can't be changed"),
        },
        Err(error) => tracing::warn!("SIGHUP: all stays as it is: {error}"),
    }))
}
