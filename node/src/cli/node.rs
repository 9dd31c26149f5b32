//! `shoal node`.

mod doctor;
mod invite;
mod status;

use shoal_node::Failure;
use shoal_node::config::{LogLevel, NodeConfig, NodeFlags, load_network};
use shoal_node::runtime::{self, Announcer, Outside};

use tokio::sync::watch;

use super::args::{Node, NodeRun};
use super::launch::{directory, environment, list_text, overrides, path_text, start_logging};

pub(super) async fn run(
    command: Node,
    log_level: Option<LogLevel>,
    json: bool,
) -> Result<(), Failure> {
    match command {
        Node::Run(args) => daemon(args, log_level, json).await,
        Node::Status(args) => status::run(&args, json).await,
        Node::Doctor(args) => doctor::run(&args, json).await,
        Node::Invite(args) => invite::run(&args, json),
    }
}

async fn daemon(args: NodeRun, log_level: Option<LogLevel>, json: bool) -> Result<(), Failure> {
    let config = load(&args, log_level)?;
    let stop_with_stdin = args.daemon.stop_with_stdin;
    let (moved, addresses) = watch::channel(Vec::new());
    let again = move || {
        let config = load(&args, log_level)?;
        let params = load_network(&config.network).map_err(Failure::usage)?;
        let addresses = config.dialled_in(&params).map_err(Failure::usage)?;
        moved.send_replace(addresses);
        Ok(config.log)
    };
    let outside = Outside {
        announcer: Announcer { json },
        stop_with_stdin,
        reload: Some(start_logging(
            &config.log,
            &config.ignored_variables,
            ("the log's level and the addresses are", again),
        )?),
        addresses: Some(addresses),
    };
    runtime::run_node(config, outside).await
}

fn load(args: &NodeRun, log_level: Option<LogLevel>) -> Result<NodeConfig, Failure> {
    let role = args.role.map(|role| role.as_str().to_owned());
    let texts = [
        ("role", "role", role),
        (
            "network",
            "network",
            path_text("--network", args.network.network.as_deref())?,
        ),
        ("listen", "listen", list_text(&args.reach.listen)),
        ("advertise", "advertise", list_text(&args.reach.advertise)),
        ("metrics", "metrics.listen", args.metrics.metrics.clone()),
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
    NodeConfig::load(&flags, &environment()?).map_err(Failure::usage)
}
