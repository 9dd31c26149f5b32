//! `shoal directory watch`.

use std::fmt::Write as _;

use anyhow::anyhow;
use serde::Serialize;
use serde_json::json;
use shoal_node::directory::{Clash, Move, Told, Watch, ask_all};
use shoal_node::runtime::{Clock, stop_requested};
use shoal_node::{Exit, Failure};
use shoal_proto::{NodeId, Span};
use shoal_topology::Certified;

use super::whom;
use crate::cli::args::DirectoryWatch;
use crate::cli::output;

/// How often nodes are asked in an epoch, and the least that lies between.
const TIMES: u64 = 20;
const LEAST: Span = Span::from_secs(1);

/// What `shoal directory watch --json` prints of a document.
#[derive(Serialize)]
struct Document<'a> {
    event: &'static str,
    height: u64,
    epoch: u64,
    hash: String,
    by: NodeId,
    members: usize,
    signed: usize,
    came: &'a [NodeId],
    gone: &'a [NodeId],
    moved: Vec<Moved>,
}

/// Of a member that stands elsewhere: 0 for a provider, a layer for a mix, null for a mix without one.
#[derive(Serialize)]
struct Moved {
    id: NodeId,
    from: Option<u8>,
    to: Option<u8>,
}

pub(super) async fn run(args: &DirectoryWatch, json: bool) -> Result<(), Failure> {
    let (params, mut nodes) = whom(&args.whom, args.nodes.into())?;
    let stop = stop_requested(false, None).map_err(Failure::failed)?;
    let between = params.epoch.scale(1, TIMES).max(LEAST);
    let clock = Clock::start();
    let mut watch = Watch::new(params);
    let mut sound = true;
    let watching = async {
        let mut left = args.count;
        let mut first = true;
        loop {
            let asked = ask_all(nodes, clock, args.whom.timeout).await;
            let asked = asked.map_err(Failure::failed)?;
            let round = asked
                .iter()
                .map(|(node, outcome)| (node.source().id, outcome.clone(), node.chain()));
            for told in watch.round(clock.now(), round) {
                sound &= !matches!(told, Told::Fault { .. } | Told::Clash(_));
                output::print(&line(&told, first, json)?)?;
                if matches!(told, Told::Document { .. }) {
                    first = false;
                    left = left.map(|left| left.saturating_sub(1));
                }
                if left == Some(0) {
                    return Ok::<(), Failure>(());
                }
            }
            nodes = asked.into_iter().map(|(node, _)| node).collect();
            tokio::time::sleep(between.into()).await;
        }
    };
    tokio::select! {
        ended = watching => ended?,
        () = stop => return Ok(()),
    }
    match sound {
        true => Ok(()),
        false => Err(Failure::Told {
            exit: Exit::Unsound,
            error: anyhow!("not all that nodes showed is sound. {}", Clash::ADVICE),
        }),
    }
}

fn line(told: &Told, first: bool, json: bool) -> Result<String, Failure> {
    if !json {
        return Ok(in_words(told, first));
    }
    match told {
        Told::Document {
            certified,
            by,
            came,
            gone,
            moved,
        } => {
            let document = &certified.document;
            let moved = moved.iter().map(|it| Moved {
                id: it.node,
                from: it.from,
                to: it.to,
            });
            output::to_json(&Document {
                event: "document",
                height: document.height().number(),
                epoch: document.epoch().number(),
                hash: document.hash().to_string(),
                by: *by,
                members: document.members().len(),
                signed: certified.certificate.seats().count(),
                came,
                gone,
                moved: moved.collect(),
            })
        }
        Told::Missing { epoch, in_force } => output::to_json(&json!({
            "event": "missing",
            "epoch": epoch.number(),
            "in_force": in_force.map(|epoch| epoch.number()),
        })),
        Told::Silent { node, why } => {
            output::to_json(&json!({ "event": "silent", "id": node, "why": why.to_string() }))
        }
        Told::Back { node } => output::to_json(&json!({ "event": "back", "id": node })),
        Told::Fault { node, why } => {
            output::to_json(&json!({ "event": "fault", "id": node, "why": why.to_string() }))
        }
        Told::Clash(clash) => {
            output::to_json(&json!({ "event": "contradiction", "what": clash.to_string() }))
        }
    }
}

fn in_words(told: &Told, first: bool) -> String {
    match told {
        Told::Document {
            certified,
            came,
            gone,
            moved,
            ..
        } => {
            let mut words = head(certified);
            let came = if first { &[][..] } else { came };
            for (what, nodes) in [("come", came), ("gone", gone)] {
                if !nodes.is_empty() {
                    let names = Vec::from_iter(nodes.iter().map(NodeId::to_string));
                    // Writing to a string does not fail, here and below.
                    let _ = write!(words, "; {what}: {}", names.join(" "));
                }
            }
            for Move { node, from, to } in moved {
                let _ = write!(words, "; {node} {} -> {}", place(*from), place(*to));
            }
            words
        }
        Told::Missing {
            epoch,
            in_force: Some(old),
        } => format!(
            "epoch {epoch}: NO DOCUMENT; that of epoch {old} stays in force, for three epochs at most: too few \
             seats agree. Look which nodes are down"
        ),
        Told::Missing {
            epoch,
            in_force: None,
        } => format!(
            "epoch {epoch}: NO DOCUMENT, and none is in force: nothing passes. Look which nodes are down, and \
             whether this machine's clock is right"
        ),
        Told::Silent { node, why } => format!("{node}: no answer: {why}"),
        Told::Back { node } => format!("{node}: answers again"),
        Told::Fault { node, why } => {
            format!(
                "{node}: DOES NOT VERIFY: {why}. Don't go by it; compare the network's file with its own"
            )
        }
        Told::Clash(clash) => format!("CONTRADICTION: {clash}. {}", Clash::ADVICE),
    }
}

fn head(certified: &Certified) -> String {
    let document = &certified.document;
    format!(
        "epoch {}: height {}, {}, {} members, {} signatures",
        document.epoch(),
        document.height(),
        document.hash(),
        document.members().len(),
        certified.certificate.seats().count()
    )
}

fn place(position: Option<u8>) -> String {
    match position {
        None => "no layer yet".to_owned(),
        Some(0) => "provider".to_owned(),
        Some(layer) => format!("layer {layer}"),
    }
}
