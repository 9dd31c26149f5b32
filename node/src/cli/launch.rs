//! What the commands that start a daemon, or look for one, share: where it is, and what configures
//! it.

use std::path::{Path, PathBuf};

use shoal_node::config::{LogConfig, Override};
use shoal_node::{Failure, logging};

use super::args::Place;

/// The variables that configure us.
pub(super) fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os()
        .filter_map(text)
        .filter(|(name, _)| name.starts_with("SHOAL_"))
        .collect()
}

/// The flags that were given: name, key, text.
pub(super) fn overrides<const N: usize>(texts: [(&str, &str, Option<String>); N]) -> Vec<Override> {
    let given = |(flag, key, text): (&str, &str, Option<String>)| {
        text.map(|text| Override::flag(flag, key, text))
    };
    texts.into_iter().filter_map(given).collect()
}

pub(super) fn path_text(path: Option<&Path>) -> Option<String> {
    path.map(|path| path.display().to_string())
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

pub(super) fn start_logging(
    config: &LogConfig,
    ignored: &[(String, Option<String>)],
) -> Result<(), Failure> {
    logging::init(config).map_err(Failure::failed)?;
    for (variable, nearest) in ignored {
        match nearest {
            Some(nearest) => tracing::warn!("{variable} sets nothing; is {nearest} meant?"),
            None => tracing::warn!("{variable} sets nothing"),
        }
    }
    Ok(())
}
