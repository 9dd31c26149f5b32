//! First members, asked as a client asks: whether they answer for this network, what their clocks say, and what they
//! go by.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use shoal_proto::{NetworkHash, NodeId, Span};
use shoal_roles::node::clock_tolerance;
use shoal_topology::{Identity, NetworkParameters, Transport, middle};

use super::{Notes, Patient, Running};
use crate::config::NodeConfig;
use crate::directory::{Asked, Chain, Source, Unheard, ask_all};
use crate::net::hello_at;
use crate::runtime::Clock;

/// First members that are asked at most, providers before mixes.
const MOST: usize = 8;
/// Answers of which something follows for the own clock.
const FEWEST_CLOCKS: usize = 3;

/// A member, and what came of asking it.
type Answer = (Asked, Result<(), Unheard>);

/// Asks them, and notes what follows.
pub(super) async fn ask(
    patient: &Patient,
    config: &NodeConfig,
    identity: Option<&Identity>,
    params: &Arc<NetworkParameters>,
    notes: &mut Notes,
) {
    let own = identity.map(Identity::id);
    let mut sources = Source::of_network(params, MOST + 1);
    sources.retain(|source| Some(source.id) != own);
    sources.truncate(MOST);
    if sources.is_empty() {
        return notes.warn(
            "members",
            "the network's file names no other member with an address, so nobody was asked",
        );
    }
    let chain = match Chain::new(params) {
        Ok(chain) => chain,
        Err(error) => return notes.error("network", error.to_string()),
    };
    let clock = Clock::start();
    let asked = |source| Asked::new(Arc::clone(params), source, chain.clone());
    let asked = sources.into_iter().map(asked).collect();
    let mut asked = match ask_all(asked, clock, patient.patience).await {
        Ok(asked) => asked,
        Err(error) => return notes.error("members", error.to_string()),
    };
    asked.sort_by_key(|(node, _)| node.source().id);
    heard(params, &asked, notes);
    clocks(params, &asked, notes);
    if let Some(own) = own {
        document(params, &asked, (own, clock), notes);
    }
    if matches!(patient.running, Running::Yes(_)) {
        reached(config, params, clock, notes).await;
    }
}

/// Who answers, and for which network.
fn heard(params: &NetworkParameters, asked: &[Answer], notes: &mut Notes) {
    let of = asked.len();
    let mut others: BTreeMap<NetworkHash, usize> = BTreeMap::new();
    let mut heard = 0;
    for (node, outcome) in asked {
        match outcome {
            Ok(()) => heard += 1,
            Err(Unheard::OtherNetwork(hash)) => *others.entry(*hash).or_default() += 1,
            Err(why) => notes.warn("members", format!("{}: {why}", node.source().id)),
        }
        if let Some(fault) = node.chain().fault() {
            notes.error(
                "members",
                format!(
                    "{}: what it shows does not verify: {fault}; compare the network's file with the others'",
                    node.source().id
                ),
            );
        }
    }
    for (hash, count) in &others {
        let what = format!(
            "{count} of {of} first members that were asked are of another network: its hash is {} there and {} here; \
             compare the network's file with theirs (`shoal network show` prints the hash)",
            hash.short(),
            params.hash().short()
        );
        match heard {
            0 => notes.error("network", what),
            _ => notes.warn("network", what),
        }
    }
    match heard {
        0 if others.is_empty() => notes.error(
            "members",
            format!(
                "none of the {of} first members that were asked answers: look at this machine's network and \
                 firewall, and whether they run"
            ),
        ),
        0 => {}
        _ => notes.ok(
            "members",
            format!("{heard} of {of} first members that were asked answer for this network"),
        ),
    }
}

/// What their clocks say of this machine's.
fn clocks(params: &NetworkParameters, asked: &[Answer], notes: &mut Notes) {
    let said = asked.iter().filter_map(|(node, _)| node.ahead());
    let said = Vec::from_iter(said);
    let of = said.len();
    if of == 0 {
        return;
    }
    // Theirs ahead is ours behind.
    let ahead = middle(said).saturating_neg();
    let by = Span::from_micros(ahead.unsigned_abs());
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    let tolerance = clock_tolerance(params);
    match (by > tolerance, of >= FEWEST_CLOCKS) {
        (false, true) => notes.ok(
            "clock",
            format!(
                "this machine's clock is within {} of that of most of {of} members",
                by.max(Span::from_millis(1)).human()
            ),
        ),
        (false, false) => notes.warn(
            "clock",
            format!(
                "only {of} members have said the time, so nothing follows for this machine's clock"
            ),
        ),
        (true, enough) => {
            let what = format!(
                "this machine's clock is {} {side} that of most of {of} members; set it, see that it is kept right \
                 (NTP)",
                by.human()
            );
            match enough {
                true => notes.error("clock", what),
                false => notes.warn("clock", what),
            }
        }
    }
}

/// Whether the document in force lists the node.
fn document(
    params: &NetworkParameters,
    asked: &[Answer],
    (own, clock): (NodeId, Clock),
    notes: &mut Notes,
) {
    let epoch = params.epoch_at(clock.now());
    let found = asked
        .iter()
        .find_map(|(node, _)| node.chain().in_force(epoch));
    let Some(found) = found else {
        return;
    };
    let document = &found.document;
    let listed = document.member(&own).map(|member| member.position());
    let place = match listed {
        Some(Some(0)) => "as a provider".to_owned(),
        Some(Some(layer)) => format!("in layer {layer}"),
        Some(None) => "as a mix that has just come: the next one gives it a layer".to_owned(),
        None => {
            return notes.warn(
                "members",
                format!(
                    "the document of epoch {} does not list this node: a new provider that runs waits for an epoch, a \
                     new mix for two",
                    document.epoch()
                ),
            );
        }
    };
    notes.ok(
        "members",
        format!(
            "the document of epoch {} lists this node {place}",
            document.epoch()
        ),
    );
}

/// Whether the node answers where others dial it. From behind a NAT that may fail although others reach it.
async fn reached(config: &NodeConfig, params: &NetworkParameters, clock: Clock, notes: &mut Notes) {
    let Ok(addresses) = config.dialled() else {
        return; // has been said
    };
    let tcp = addresses.iter();
    let tcp = tcp.filter(|address| address.transport() == Transport::Tcp);
    for address in tcp {
        let socket = SocketAddr::new(address.ip(), address.port());
        match hello_at(socket, clock).await {
            Some(hello) if hello.network == params.hash() => {
                notes.ok("ports", format!("a node of this network answers at {address}"));
            }
            Some(_) => notes.error(
                "ports",
                format!("a node of another network answers at {address}: advertise this one's address"),
            ),
            None => notes.warn(
                "ports",
                format!(
                    "nobody answers from this machine at {address}, which the node advertises: some routers lead no \
                     such way back in; have somebody outside try it, and look at the forwarding of the port and at \
                     the firewall"
                ),
            ),
        }
    }
}
