//! What nodes have now, for who makes something that goes on from it.

use anyhow::anyhow;
use shoal_node::directory::{Asked, Clash, Unheard, ask_all, clashes};
use shoal_node::runtime::Clock;
use shoal_node::{Exit, Failure};
use shoal_proto::Span;
use shoal_topology::Certified;

use crate::cli::output;

/// First members that are asked at most.
pub(super) const MOST: usize = 64;

/// Who was asked, and how that went.
type Answered = Vec<(Asked, Result<(), Unheard>)>;

/// Asks nodes. What they answer verifies, and is of one history.
pub(super) async fn ask(nodes: Vec<Asked>, timeout: Span) -> Result<Answered, Failure> {
    let asked = ask_all(nodes, Clock::start(), timeout).await;
    let asked = asked.map_err(Failure::failed)?;
    let mut failed = Vec::new();
    for (node, outcome) in &asked {
        let source = node.source().id;
        match (outcome, node.chain().fault()) {
            (Err(error), _) => failed.push(format!("{source}: {error}")),
            (Ok(()), Some(fault)) => {
                let error = anyhow!("{source}: what it answered does not verify: {fault}");
                return Err(Failure::other(Exit::Unsound, error));
            }
            (Ok(()), None) => {}
        }
    }
    if failed.len() == asked.len() {
        let list = failed.join("\n  ");
        return Err(Failure::unreachable(anyhow!("no node answered:\n  {list}")));
    }
    failed.iter().for_each(|line| output::note(line));
    let chains = asked
        .iter()
        .map(|(node, _)| (node.source().id, node.chain()));
    if let Some(clash) = clashes(chains).pop_first() {
        let error = anyhow!("{clash}. {}", Clash::ADVICE);
        return Err(Failure::other(Exit::Unsound, error));
    }
    Ok(asked)
}

/// The newest document that any of them has.
pub(super) fn newest(asked: &Answered) -> Result<&Certified, Failure> {
    let documents = asked.iter().flat_map(|(node, _)| node.chain().documents());
    let newest = documents.max_by_key(|it| it.document.height());
    newest.ok_or_else(|| {
        let error = anyhow!("no node has a document: a network that never had one is made anew");
        Failure::other(Exit::Late, error)
    })
}
