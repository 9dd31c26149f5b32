use std::path::{Path, PathBuf};

use super::args::{Node, NodeRun, Place};
use super::{CliError, environment};
use crate::config::{LogConfig, LogLevel, NodeConfig, NodeFlags, Override};
use crate::runtime::{Announcer, Outside};
use crate::{logging, runtime};

pub(super) async fn run(
    command: Node,
    log_level: Option<LogLevel>,
    json: bool,
) -> Result<(), CliError> {
    let Node::Run(args) = command;
    let config = load(&args, log_level)?;
    start_logging(&config.log, &config.ignored_variables)?;
    let outside = Outside {
        announcer: Announcer { json },
        stop_with_stdin: args.daemon.stop_with_stdin,
    };
    runtime::run_node(config, outside).await
}

fn load(args: &NodeRun, log_level: Option<LogLevel>) -> Result<NodeConfig, CliError> {
    let role = args.role.map(|role| role.as_str().to_owned());
    let texts = [
        ("role", "role", role),
        ("network", "network", path_text(args.network.as_deref())),
        ("listen", "listen", list_text(&args.listen)),
        ("advertise", "advertise", list_text(&args.advertise)),
        ("metrics", "metrics.listen", args.metrics.clone()),
        (
            "log-level",
            "log.level",
            log_level.map(|level| level.as_str().to_owned()),
        ),
    ];
    let flags = NodeFlags {
        dir: directory(&args.place),
        config: args.place.config.clone(),
        overrides: overrides(texts),
    };
    NodeConfig::load(&flags, &environment()).map_err(CliError::usage)
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

fn list_text(list: &[String]) -> Option<String> {
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
) -> Result<(), CliError> {
    logging::init(config).map_err(CliError::failed)?;
    for (variable, nearest) in ignored {
        match nearest {
            Some(nearest) => tracing::warn!("{variable} sets nothing; is {nearest} meant?"),
            None => tracing::warn!("{variable} sets nothing"),
        }
    }
    Ok(())
}
