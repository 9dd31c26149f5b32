//! `shoal node`.

mod doctor;
mod status;

use shoal_node::Failure;
use shoal_node::config::{LogLevel, NodeConfig, NodeFlags};
use shoal_node::runtime::{self, Announcer, Outside};

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
    }
}

async fn daemon(args: NodeRun, log_level: Option<LogLevel>, json: bool) -> Result<(), Failure> {
    let config = load(&args, log_level)?;
    let stop_with_stdin = args.daemon.stop_with_stdin;
    let again = move || load(&args, log_level).map(|config| config.log);
    let outside = Outside {
        announcer: Announcer { json },
        stop_with_stdin,
        reload: Some(start_logging(
            &config.log,
            &config.ignored_variables,
            again,
        )?),
        ..Outside::default()
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
