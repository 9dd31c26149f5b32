//! What keeps a node from its work, looked for from outside, whether it runs or not.
//!
//! It reads the configuration, the network's file and the node's directory, tries the disk and the ports, and asks first
//! members whether they answer for this network and what their clocks say. What runs is asked on the socket in its directory.
//! Nothing is changed.
//!
//! * [`Patient`]: whom it is about. [`examine`] gives [`Finding`]s, what is worst first.

mod members;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use shoal_proto::{Span, Time};
use shoal_topology::{Identity, NetworkParameters, Role, Successor};

use crate::config::{ByteSize, ConfigError, NodeConfig, load_network};
use crate::control::protocol::NodeStatus;
use crate::net::{NetError, can_listen};
use crate::runtime::{Clock, check_role};
use crate::state::{
    faults, free_bytes, is_held, load_identity, missing_folders, successors, try_writing,
};

/// Free room below which a node's disk is as good as full.
const LEAST_FREE: ByteSize = ByteSize::mebibytes(16);
/// Times what is needed, below which there is little room.
const LITTLE: u64 = 4;

/// How bad it is: what is found of a node here, and of a network's file by `shoal network check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, or would, and somebody may be sorry.
    Warning,
    /// It keeps the node from its work, or every network from running.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about: `config`, `files`, `network`, `ports`, `disk`, `members`, `clock`, `backend` or `node`.
    pub about: &'static str,
    /// What was found, and what to do about it unless it is as it should be.
    pub what: String,
}

/// A node that may run.
pub enum Running {
    /// It runs, and says how it is.
    Yes(Box<NodeStatus>),
    /// Nothing listens in its directory.
    No,
    /// What listens there does not say how it is: why.
    Silent(String),
}

/// A node that is examined.
pub struct Patient {
    /// Its directory.
    pub dir: PathBuf,
    /// Its configuration, or why there is none.
    pub config: Result<NodeConfig, ConfigError>,
    /// What it says itself.
    pub running: Running,
    /// How long a member that is asked may take to be connected, and as long to answer.
    pub patience: Span,
}

/// What was found so far.
#[derive(Default)]
struct Notes(Vec<Finding>);

impl Notes {
    fn add(&mut self, level: Level, about: &'static str, what: impl Into<String>) {
        let what = what.into();
        self.0.push(Finding { level, about, what });
    }

    fn ok(&mut self, about: &'static str, what: impl Into<String>) {
        self.add(Level::Ok, about, what);
    }

    fn warn(&mut self, about: &'static str, what: impl Into<String>) {
        self.add(Level::Warning, about, what);
    }

    fn error(&mut self, about: &'static str, what: impl Into<String>) {
        self.add(Level::Error, about, what);
    }
}

/// Everything that is found, what is worst first.
pub async fn examine(patient: &Patient) -> Vec<Finding> {
    let mut notes = Notes::default();
    node(patient, &mut notes);
    let identity = files(patient, &mut notes);
    match &patient.config {
        Ok(config) => {
            configured(config, &mut notes);
            disk(patient, config, &mut notes);
            ports(patient, config, &mut notes);
            if let Some(params) = network(patient, config, identity.as_ref(), &mut notes) {
                members::ask(patient, config, identity.as_ref(), &params, &mut notes).await;
            }
        }
        Err(error) => notes.error("config", in_full(error)),
    }
    let mut findings = notes.0;
    // Those of one level stay in the order in which they were looked for.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    findings
}

/// What it says itself.
fn node(patient: &Patient, notes: &mut Notes) {
    let dir = patient.dir.display();
    match &patient.running {
        Running::Yes(status) => {
            for trouble in &status.troubles {
                notes.error("node", trouble.text.clone());
            }
            if status.ready {
                let since = Span::from_secs(status.uptime_secs);
                notes.ok("node", format!("it runs since {}, and is ready", since.human()));
            }
        }
        Running::Silent(why) => notes.error(
            "node",
            format!("it runs and does not say how it is: {why}; look at its log"),
        ),
        Running::No if is_held(&patient.dir) => notes.error(
            "node",
            format!(
                "a process uses {dir} and has no control socket there: it starts just now, or is no node of this \
                 release; look at its log"
            ),
        ),
        Running::No => notes.warn(
            "node",
            format!("no node runs for {dir}: start it with `shoal node run --dir {dir}`"),
        ),
    }
}

/// The directory and what is in it. Gives who the node is.
fn files(patient: &Patient, notes: &mut Notes) -> Option<Identity> {
    let faults = faults(&patient.dir);
    let good = faults.is_empty();
    for fault in faults {
        notes.error("files", fault.to_string());
    }
    let running = !matches!(patient.running, Running::No);
    for folder in missing_folders(&patient.dir).iter().filter(|_| running) {
        notes.error(
            "files",
            format!(
                "{} is gone, and the node runs: its keys or replay tags can't be kept; put it back, or start the \
                 node again, which makes it anew",
                folder.display()
            ),
        );
    }
    if !good {
        return None;
    }
    match load_identity(&patient.dir) {
        Ok(identity) => {
            let id = identity.id();
            notes.ok("files", format!("node {id}; nobody else can read its keys"));
            Some(identity)
        }
        Err(error) => {
            notes.error("files", error.to_string());
            None
        }
    }
}

fn configured(config: &NodeConfig, notes: &mut Notes) {
    for (variable, nearest) in &config.ignored_variables {
        let meant = nearest.as_ref().map_or_else(
            || "take it out of the environment".to_owned(),
            |nearest| format!("is {nearest} meant?"),
        );
        notes.warn("config", format!("{variable} sets nothing; {meant}"));
    }
    notes.ok("config", "every value is within its range");
    let backend = config.engine.backend();
    notes.ok("backend", format!("packets are unwrapped with {backend}"));
}

/// Whether the disk takes what is written, and how much more.
fn disk(patient: &Patient, config: &NodeConfig, notes: &mut Notes) {
    let dir = &patient.dir;
    if !dir.is_dir() {
        return; // that it is not there has been said
    }
    if let Err(error) = try_writing(dir) {
        let advice = "look at the disk of the state directory: space, its mount, and errors in the system's log";
        return notes.error("disk", format!("{error}; {advice}"));
    }
    let free = match free_bytes(dir) {
        Ok(free) => free,
        Err(error) => return notes.warn("disk", format!("its free space is not known: {error}")),
    };
    // Below its reserve a provider refuses deposits.
    let reserve = match config.role {
        Role::Provider => config.store_reserve,
        Role::Mix => 0,
    };
    let needed = reserve.max(LEAST_FREE.as_bytes());
    let mebibytes = |bytes: u64| ByteSize::mebibytes(bytes >> 20);
    let what = format!("{} are free", mebibytes(free));
    if free < needed {
        let needed = mebibytes(needed);
        notes.error(
            "disk",
            format!("{what}, and the node needs {needed}: free some space"),
        );
    } else if free < needed.saturating_mul(LITTLE) {
        notes.warn("disk", format!("{what}, which is little: free some space"));
    } else {
        notes.ok("disk", format!("it takes what is written; {what}"));
    }
}

/// Whether the ports are free for a node that does not run, and held by the one that does.
fn ports(patient: &Patient, config: &NodeConfig, notes: &mut Notes) {
    let running = !matches!(patient.running, Running::No) || is_held(&patient.dir);
    let metrics = config.metrics.map(|address| {
        let bound = std::net::TcpListener::bind(address).map(drop);
        let what = format!("metrics.listen {address}");
        let advice = "another program has the port; set metrics.listen to another one";
        let bound = bound.map_err(|error| (format!("{what}: {error}: {advice}"), true));
        (what, address.port() == 0, bound)
    });
    let listen = config.listen.iter().map(|address| {
        let taken = |error: NetError| {
            let is_taken = matches!(error, NetError::PortTaken(_));
            (in_full(&error), is_taken)
        };
        let any_port = address.iter().any(|part| is_port_0(&part));
        (
            address.to_string(),
            any_port,
            can_listen(address).map_err(taken),
        )
    });
    let (mut free, mut held) = (0, 0);
    for (what, any_port, outcome) in listen.chain(metrics) {
        match outcome {
            _ if any_port => {}
            Ok(()) if running => notes.error(
                "ports",
                format!(
                    "the node runs, and nothing listens at {what}: has the configuration changed since it started? \
                     Start it again"
                ),
            ),
            Ok(()) => free += 1,
            Err((_, true)) if running => held += 1,
            Err((why, _)) => notes.error("ports", why),
        }
    }
    match (running, free, held) {
        (true, _, 1..) => notes.ok("ports", format!("all {held} are held by what runs")),
        (false, 1.., _) => notes.ok("ports", format!("{free} are free")),
        _ => {}
    }
}

/// An error with what caused it.
fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes = causes.map(ToString::to_string);
    Vec::from_iter(causes).join(": ")
}

fn is_port_0(part: &libp2p::multiaddr::Protocol<'_>) -> bool {
    use libp2p::multiaddr::Protocol;
    matches!(part, Protocol::Tcp(0) | Protocol::Udp(0))
}

/// Whether the node will fit into the network when other values count.
fn pending(
    config: &NodeConfig,
    identity: Option<&Identity>,
    kept: &[Successor],
    now: Time,
    notes: &mut Notes,
) {
    for next in kept.iter().filter(|next| next.begins() > now) {
        let (params, epoch) = (next.params(), next.succession().epoch);
        let role = identity.and_then(|it| check_role(params, &it.id(), config.role).err());
        let misfits = [
            config.check(params).err().map(|error| in_full(&error)),
            config.dialled_in(params).err().map(|error| in_full(&error)),
            role.map(|error| error.to_string()),
        ];
        for misfit in misfits.into_iter().flatten() {
            notes.error(
                "network",
                format!("from epoch {epoch} on, when other values count, the node will not start: {misfit}"),
            );
        }
    }
}

/// The network's file, and whether the node fits into it.
fn network(
    patient: &Patient,
    config: &NodeConfig,
    identity: Option<&Identity>,
    notes: &mut Notes,
) -> Option<Arc<NetworkParameters>> {
    let params = match load_network(&config.network) {
        Ok(params) => params,
        Err(error) => {
            notes.error("network", in_full(&error));
            return None;
        }
    };
    let now = Clock::start().now();
    let params = match successors(&patient.dir) {
        Ok(kept) => {
            pending(config, identity, &kept, now, notes);
            params.at(&kept, now, None)
        }
        Err(error) => {
            notes.error("files", in_full(&error));
            return None;
        }
    };
    let misfits = [
        config.check(&params).err().map(|error| in_full(&error)),
        config
            .dialled_in(&params)
            .err()
            .map(|error| in_full(&error)),
        identity.and_then(|identity| {
            let id = identity.id();
            let role = check_role(&params, &id, config.role).err();
            role.map(|error| error.to_string())
        }),
        identity.and_then(|identity| {
            let family = config.family_in(&params, &identity.id()).err();
            family.map(|error| in_full(&error))
        }),
        identity.and_then(|identity| {
            let invitation = config.invitation_in(&params, &identity.id()).err();
            invitation.map(|error| in_full(&error))
        }),
    ];
    let misfits = Vec::from_iter(misfits.into_iter().flatten());
    let epoch = params.epoch_at(now);
    if misfits.is_empty() {
        notes.ok(
            "network",
            format!("{}, hash {}, epoch {epoch} now", params.name, params.hash()),
        );
    }
    for misfit in misfits {
        notes.error("network", misfit);
    }
    Some(Arc::new(params))
}
