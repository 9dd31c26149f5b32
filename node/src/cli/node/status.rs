//! `shoal node status`.

use std::path::Path;

use anyhow::anyhow;
use shoal_node::config::ByteSize;
use shoal_node::control::protocol::{BesideStatus, NodeStatus, Request, Response, RouterStatus};
use shoal_node::control::{ControlClient, ControlError};
use shoal_node::{Exit, Failure};
use shoal_proto::Span;

use crate::cli::args;
use crate::cli::launch::directory;
use crate::cli::output;

pub(super) async fn run(args: &args::NodeStatus, json: bool) -> Result<(), Failure> {
    let dir = directory(&args.place);
    if !dir.is_dir() {
        let dir = dir.display();
        return Err(Failure::usage(anyhow!(
            "there is no directory {dir}: `shoal init` makes one"
        )));
    }
    let asking = tokio::time::timeout(args.timeout.timeout.into(), ask(&dir));
    let status = match asking.await {
        Ok(asked) => asked.map_err(|error| failed(&dir, error))?,
        Err(_) => {
            let late = anyhow!("the node did not answer in time");
            return Err(Failure::other(Exit::Late, late));
        }
    };
    output::show(json, &status, &in_words(&status))?;
    if status.ready {
        return Ok(());
    }
    let kinds = status.troubles.iter().map(|trouble| trouble.kind.as_str());
    let kinds = Vec::from_iter(kinds).join(", ");
    Err(Failure::Told {
        exit: Exit::NotReady,
        error: anyhow!("the node is not ready: {kinds}"),
    })
}

/// Asks what runs in this directory how it is.
pub(super) async fn ask(dir: &Path) -> Result<NodeStatus, ControlError> {
    let mut node = ControlClient::connect(dir).await?;
    match node.ask(Request::Status).await? {
        Response::Node(status) => Ok(*status),
        _ => Err(ControlError::Protocol(
            "a client's daemon runs there, and no node".to_owned(),
        )),
    }
}

fn failed(dir: &Path, error: ControlError) -> Failure {
    let dir = dir.display();
    match error {
        ControlError::NotRunning(_) => Failure::unreachable(anyhow!(
            "no node runs for {dir}: start it with `shoal node run --dir {dir}`; `shoal node doctor --dir {dir}` \
             says what would keep it from its work"
        )),
        ControlError::Closed => Failure::unreachable(anyhow!(
            "the node closed the connection: it is stopping, or runs as another user (run this as the same one)"
        )),
        ControlError::Io(error) => Failure::failed(anyhow!(
            "can't ask the node of {dir}: {error}; run this as the node's user"
        )),
        other => Failure::failed(other),
    }
}

fn in_words(status: &NodeStatus) -> String {
    let mut lines = vec![
        format!("ready      {}", if status.ready { "yes" } else { "NO" }),
        format!("node       {}", status.node),
        format!("network    {} ({})", status.network, status.network_hash),
        format!("position   {}", position(status)),
        format!("epoch      {}", epoch(status)),
        format!("next       {}", next(status)),
        format!("clock      {}", clock(status)),
        format!(
            "links      from {}, to {}{}",
            beside(&status.links.before),
            beside(&status.links.after),
            match status.links.apart {
                0 => String::new(),
                apart =>
                    format!("; {apart} without an address of a family that this node advertises"),
            }
        ),
        format!("reached    {}", reached(status)),
        format!("open       {}", counts(&status.links.open, "none")),
        format!(
            "packets    {} received, {} passed on since {}",
            status.received,
            status.forwarded,
            Span::from_secs(status.uptime_secs).human()
        ),
        format!("dropped    {}", counts(&status.dropped, "nothing")),
        format!("disk       {}", disk(status)),
        format!(
            "memory     {}, of which the replay filters take {} at most",
            status
                .memory
                .resident_bytes
                .map_or_else(|| "not known".to_owned(), mebibytes),
            mebibytes(status.memory.replay_most_bytes)
        ),
        format!("back end   {}", status.backend),
        format!("version    {}", status.version),
    ];
    lines.extend(invited(status).map(|words| format!("invited    {words}")));
    if let Some(next) = &status.successor {
        lines.push(format!(
            "values     others count from epoch {} on, in {}: those of the file {}",
            next.epoch,
            Span::from_secs(next.in_secs).human(),
            next.hash
        ));
    }
    lines.extend(
        status
            .router
            .iter()
            .map(|it| format!("router     {}", router(it))),
    );
    let troubles = status.troubles.iter();
    lines.extend(troubles.map(|trouble| format!("NOT READY  {}", trouble.text)));
    lines.join("\n")
}

fn position(status: &NodeStatus) -> String {
    let role = &status.role;
    match (status.epoch.position, status.epoch.listed) {
        (Some(0), _) => role.clone(),
        (Some(layer), _) => format!("{role}, layer {layer}"),
        (None, true) => format!("{role} without a layer: the next document gives it one"),
        (None, false) => format!("{role}, in no document yet"),
    }
}

fn epoch(status: &NodeStatus) -> String {
    let now = status.epoch.now;
    match status.epoch.document {
        Some(document) if document == now => {
            format!("{now}, its document has {} members", status.epoch.members)
        }
        Some(old) => format!(
            "{now}, WITHOUT A DOCUMENT: that of epoch {old} stays in force, with {} members",
            status.epoch.members
        ),
        None => format!("{now}, WITHOUT A DOCUMENT"),
    }
}

fn next(status: &NodeStatus) -> String {
    let next = &status.next;
    let at = Span::from_secs(next.in_secs).human();
    let place = match (next.here, next.has_place) {
        (true, Some(true)) => "it is here, and has a place for this node".to_owned(),
        (true, _) => "it is here, and has no place for this node".to_owned(),
        (false, _) if next.usable_in_secs <= next.in_secs => {
            "it is not here yet; it can have a place for this node".to_owned()
        }
        (false, _) => format!(
            "it can't have a place for this node; the first that can is due in {}",
            Span::from_secs(next.usable_in_secs).human()
        ),
    };
    format!("epoch {} in {at}: {place}", next.epoch)
}

fn clock(status: &NodeStatus) -> String {
    let clock = &status.clock;
    let families = clock.families;
    match clock.ahead_secs {
        None => "nobody has said the time yet".to_owned(),
        Some(ahead) => {
            let side = if ahead < 0.0 { "behind" } else { "ahead of" };
            let few = match families {
                0..=2 => ", too few to go by",
                _ => "",
            };
            format!(
                "{:.3} s {side} the middle of {families} families of neighbours{few}; {:.1} s are borne",
                ahead.abs(),
                clock.tolerance_secs
            )
        }
    }
}

/// By whom it was invited, as long as it waits for its place.
fn invited(status: &NodeStatus) -> Option<String> {
    let shown = status.waiting.as_ref()?.invitation.as_ref()?;
    let (by, last) = (&shown.by, shown.last_epoch);
    let left = Span::from_secs(shown.lasts_secs).human();
    Some(match shown.lasts_secs {
        0 => format!("by {by} up to epoch {last}, which is OVER"),
        _ if shown.counts => format!("by {by} up to epoch {last}, for {left} still"),
        _ => format!("by {by} up to epoch {last}, for {left} still; it does not count yet"),
    })
}

fn reached(status: &NodeStatus) -> String {
    let reach = &status.reach;
    let mut words = match (reach.watchers, reach.missed_by) {
        (0, _) => "nobody looks yet".to_owned(),
        (of, 0) => format!("by all of {of} that look"),
        (of, missed) => format!("NOT by {missed} of {of} that look"),
    };
    for (address, missed) in reach.missed_at.iter().filter(|(_, missed)| **missed > 0) {
        words += &format!("; {missed} miss it at {address}");
    }
    if reach.suspended {
        words += "; no new route leads over it";
    }
    if let Some(left) = reach.leaves_in_secs {
        let left = Span::from_secs(left).human();
        words += &format!("; it leaves, in {left} at the latest");
    }
    words
}

fn router(router: &RouterStatus) -> String {
    let forwarded = match router.forwarded.as_slice() {
        [] => "forwards nothing yet".to_owned(),
        addresses => format!("forwards {} to this node", addresses.join(", ")),
    };
    match &router.trouble {
        None => forwarded,
        Some(trouble) if router.forwarded.is_empty() => trouble.clone(),
        Some(trouble) => format!("{forwarded}; {trouble}"),
    }
}

fn beside(beside: &BesideStatus) -> String {
    format!("{} of {} members", beside.linked, beside.members)
}

fn counts<'a>(counts: impl IntoIterator<Item = (&'a String, &'a u64)>, nothing: &str) -> String {
    let counts = counts.into_iter().filter(|(_, count)| **count > 0);
    let counts = counts.map(|(name, count)| format!("{count} {name}"));
    let words = Vec::from_iter(counts).join(", ");
    match words.is_empty() {
        true => nothing.to_owned(),
        false => words,
    }
}

fn disk(status: &NodeStatus) -> String {
    let disk = &status.disk;
    let free = disk.free_bytes.map_or_else(
        || "free space not known".to_owned(),
        |free| format!("{} free", mebibytes(free)),
    );
    match (disk.replay_log_failures, disk.directory_failures) {
        (0, 0) => format!("{free}, no write has failed"),
        (log, directory) => format!(
            "{free}; failed since the start: {log} writes of the replay log, {directory} of the directory's state"
        ),
    }
}

fn mebibytes(bytes: u64) -> String {
    ByteSize::mebibytes(bytes >> 20).to_string()
}
