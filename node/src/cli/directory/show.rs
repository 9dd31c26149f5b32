//! `shoal directory show`.

use std::time::Duration;

use anyhow::anyhow;
use shoal_node::directory::{Asked, Clash, clashes};
use shoal_node::runtime::Clock;
use shoal_node::{Exit, Failure};
use shoal_proto::Span;
use tokio::task::JoinSet;

use super::document::Shown;
use super::whom;
use crate::cli::args::DirectoryShow;
use crate::cli::output;

/// First members that are asked at most, one after the other.
const MOST: usize = 8;
/// How long the next one waits for the one before.
const HEAD_START: Duration = Duration::from_secs(2);

pub(super) async fn run(args: &DirectoryShow, json: bool) -> Result<(), Failure> {
    let (params, nodes) = whom(&args.whom, MOST)?;
    let clock = Clock::start();
    let asked = first_of(nodes, clock, args.whom.timeout).await?;
    let (node, chain) = (asked.source().id, asked.chain());
    if let Some(clash) = clashes([(node, chain)]).pop_first() {
        let error = anyhow!("{clash}. {}", Clash::ADVICE);
        return Err(Failure::other(Exit::Unsound, error));
    }
    let now = clock.now();
    let shown = Shown::of(&params, (node, chain, asked.ahead()), now);
    let shown =
        shown.ok_or_else(|| none_yet(&asked, params.start_of(params.epoch_at(now)) > now))?;
    output::show(json, &shown, &shown.in_words())
}

fn none_yet(asked: &Asked, early: bool) -> Failure {
    let node = asked.source().id;
    let why = match early {
        true => "the network has not begun",
        false => "too few of the first members run, or it has just started",
    };
    let error = anyhow!("{node} has no document yet: {why}; try again in a moment");
    Failure::other(Exit::Late, error)
}

/// The first node that answers with what verifies. The next is asked when the one before has failed, or has
/// had its time.
async fn first_of(nodes: Vec<Asked>, clock: Clock, patience: Span) -> Result<Asked, Failure> {
    let mut waiting = nodes.into_iter();
    let mut asking = JoinSet::new();
    let mut failed: Vec<String> = Vec::new();
    let mut unsound = false;
    loop {
        if let Some(mut node) = waiting.next() {
            asking.spawn(async move {
                let outcome = node.ask(clock, patience).await;
                (node, outcome)
            });
        } else if asking.is_empty() {
            break;
        }
        let ended = match waiting.len() {
            0 => asking.join_next().await,
            // Late is late for the next one only.
            _ => match tokio::time::timeout(HEAD_START, asking.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            },
        };
        let Some(ended) = ended else { continue };
        let (node, outcome) = ended.map_err(Failure::failed)?;
        let source = node.source().id;
        match (outcome, node.chain().fault()) {
            (Ok(()), None) => {
                for line in &failed {
                    output::note(line);
                }
                return Ok(node);
            }
            (Ok(()), Some(fault)) => {
                unsound = true;
                failed.push(format!(
                    "{source}: what it answered does not verify: {fault}"
                ));
            }
            (Err(error), _) => failed.push(format!("{source}: {error}")),
        }
    }
    let list = failed.join("\n  ");
    Err(match unsound {
        true => Failure::other(
            Exit::Unsound,
            anyhow!(
                "no node gave an answer to go by:\n  {list}\nDon't go by what does not verify: compare the \
                 network's file with others', and ask other nodes with --node ADDRESS/p2p/ID"
            ),
        ),
        false => Failure::unreachable(anyhow!("no node answered:\n  {list}")),
    })
}
