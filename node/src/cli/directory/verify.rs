//! `shoal directory verify`.

use std::fmt::Write as _;

use anyhow::anyhow;
use serde::Serialize;
use shoal_node::directory::{Asked, Clash, Unheard, ask_all, clashes};
use shoal_node::runtime::Clock;
use shoal_node::{Exit, Failure};
use shoal_proto::{Epoch, NodeId};

use super::document::seconds;
use super::whom;
use crate::cli::args::DirectoryVerify;
use crate::cli::output;

/// What `shoal directory verify --json` prints.
#[derive(Serialize)]
struct Verified {
    network: String,
    epoch_now: u64,
    /// All that was answered verifies, and nothing contradicts.
    verified: bool,
    nodes: Vec<Said>,
    contradictions: Vec<String>,
}

/// What one node goes by.
#[derive(Serialize)]
struct Said {
    id: NodeId,
    addresses: Vec<String>,
    /// Why it told nothing.
    unheard: Option<String>,
    /// Why what it told does not verify.
    fault: Option<String>,
    height: Option<u64>,
    epoch: Option<u64>,
    hash: Option<String>,
    in_force: bool,
    /// How many heights others are ahead of it.
    behind: u64,
    signed: Option<usize>,
    seats: Option<usize>,
    handovers_followed: usize,
    clock_ahead_secs: Option<f64>,
}

pub(super) async fn run(args: &DirectoryVerify, json: bool) -> Result<(), Failure> {
    let (params, nodes) = whom(&args.whom, args.nodes.into())?;
    let clock = Clock::start();
    let asked = ask_all(nodes, clock, args.whom.timeout).await;
    let asked = asked.map_err(Failure::failed)?;
    let epoch = params.epoch_at(clock.now());
    let chains = asked
        .iter()
        .map(|(node, _)| (node.source().id, node.chain()));
    let found = clashes(chains);
    let mut nodes = Vec::from_iter(
        asked
            .iter()
            .map(|(node, outcome)| Said::of(node, outcome, epoch)),
    );
    let newest = nodes
        .iter()
        .filter_map(|said| said.height)
        .max()
        .unwrap_or(0);
    for said in &mut nodes {
        said.behind = said
            .height
            .map_or(0, |height| newest.saturating_sub(height));
    }
    let verified = Verified {
        network: params.hash().to_string(),
        epoch_now: epoch.number(),
        verified: found.is_empty() && nodes.iter().all(|said| said.fault.is_none()),
        contradictions: found.iter().map(ToString::to_string).collect(),
        nodes,
    };
    output::show(json, &verified, &verified.in_words())?;
    verified.outcome(!args.whom.node.is_empty())
}

impl Said {
    fn of(node: &Asked, outcome: &Result<(), Unheard>, epoch: Epoch) -> Self {
        let (source, chain) = (node.source(), node.chain());
        let in_force = chain.in_force(epoch);
        let certified = in_force.or_else(|| chain.documents().next_back());
        let document = certified.map(|certified| &certified.document);
        Self {
            id: source.id,
            addresses: source.addresses.iter().map(ToString::to_string).collect(),
            unheard: outcome.as_ref().err().map(ToString::to_string),
            fault: chain.fault().map(ToString::to_string),
            height: document.map(|document| document.height().number()),
            epoch: document.map(|document| document.epoch().number()),
            hash: document.map(|document| document.hash().to_string()),
            in_force: in_force.is_some(),
            behind: 0,
            signed: certified.map(|certified| certified.certificate.seats().count()),
            seats: document.and_then(|document| Some(chain.seats(document)?.count())),
            handovers_followed: chain.handovers(),
            clock_ahead_secs: node.ahead().map(seconds),
        }
    }

    fn in_words(&self, epoch_now: u64) -> String {
        let mut words = format!("{}  ", self.id);
        // Writing to a string does not fail, here and below.
        if let Some(why) = &self.unheard {
            let _ = write!(words, "no answer: {why}");
            return words;
        }
        if let Some(fault) = &self.fault {
            let _ = write!(words, "DOES NOT VERIFY: {fault}; before that: ");
        }
        let (Some(height), Some(epoch), Some(hash)) = (self.height, self.epoch, &self.hash) else {
            words.push_str("no document");
            return words;
        };
        let _ = write!(words, "height {height}, epoch {epoch}, {hash}");
        if let (Some(signed), Some(seats)) = (self.signed, self.seats) {
            let _ = write!(words, ", signed by {signed} of {seats}");
        }
        let _ = write!(words, ", {} handovers", self.handovers_followed);
        if !self.in_force {
            let _ = write!(words, "; not in force any more");
        } else if epoch < epoch_now {
            let _ = write!(words, "; an old one, for want of one for epoch {epoch_now}");
        }
        if self.behind > 0 {
            let _ = write!(words, "; {} behind the others", self.behind);
        }
        if let Some(ahead) = self.clock_ahead_secs.filter(|ahead| ahead.abs() >= 5.0) {
            let _ = write!(words, "; its clock is off by {ahead:.0} s, or this one's");
        }
        words
    }
}

impl Verified {
    fn in_words(&self) -> String {
        let mut words = String::new();
        for said in &self.nodes {
            let _ = writeln!(words, "{}", said.in_words(self.epoch_now));
        }
        for clash in &self.contradictions {
            let _ = writeln!(words, "\nCONTRADICTION: {clash}");
        }
        let answered = self
            .nodes
            .iter()
            .filter(|said| said.unheard.is_none())
            .count();
        if self.verified && answered > 0 {
            let _ = writeln!(
                words,
                "\n{answered} of {} answered; all that they show verifies, and nothing contradicts",
                self.nodes.len()
            );
        }
        words
    }

    /// How the command ends. Of those that were named all have to answer.
    fn outcome(&self, named: bool) -> Result<(), Failure> {
        let told = |exit, error| Err(Failure::Told { exit, error });
        if !self.contradictions.is_empty() {
            let error = anyhow!("nodes contradict each other. {}", Clash::ADVICE);
            return told(Exit::Unsound, error);
        }
        if !self.verified {
            let error = anyhow!(
                "what nodes answered does not verify: don't go by them. Compare the network's file with \
                 theirs; if it is the same, tell who runs them"
            );
            return told(Exit::Unsound, error);
        }
        let silent = self
            .nodes
            .iter()
            .filter(|said| said.unheard.is_some())
            .count();
        if silent == self.nodes.len() || (named && silent > 0) {
            let error = anyhow!("{silent} of {} nodes did not answer", self.nodes.len());
            return told(Exit::Unreachable, error);
        }
        if self.nodes.iter().all(|said| said.hash.is_none()) {
            let error = anyhow!(
                "no node has a document yet: too few of the first members run, or they have just started; \
                 try again in a moment"
            );
            return told(Exit::Late, error);
        }
        Ok(())
    }
}
