//! A document in words and in JSON.

use std::fmt::Write as _;

use serde::Serialize;
use shoal_node::directory::Chain;
use shoal_proto::{NodeId, Time};
use shoal_topology::{Certified, Member, NetworkParameters, Role};

/// All that is to be said of the document that counts.
#[derive(Serialize)]
pub(super) struct Shown {
    network: NetworkNamed,
    /// Who was asked.
    node: NodeId,
    height: u64,
    epoch: u64,
    hash: String,
    previous: String,
    seed: String,
    /// Who made it, and in which round; none for the first document.
    proposer: Option<NodeId>,
    proposed_in_round: Option<u32>,
    /// Whether it counts now, and for how many epochs for want of a newer one.
    in_force: bool,
    epoch_now: u64,
    epoch_ends_in_secs: f64,
    /// How far the node's clock is ahead of this machine's.
    clock_ahead_secs: Option<f64>,
    certificate: Signed,
    term: Sitting,
    /// What the node has shown, oldest first.
    chain: Vec<Link>,
    members: Vec<Standing>,
    /// Who is no member for a while, because it said two things in its seat.
    expelled: Vec<Out>,
}

#[derive(Serialize)]
struct NetworkNamed {
    name: String,
    hash: String,
}

/// The certificate.
#[derive(Serialize)]
struct Signed {
    round: u32,
    seats: usize,
    needed: usize,
    signed: usize,
    missing: Vec<NodeId>,
}

/// The seats' term.
#[derive(Serialize)]
struct Sitting {
    number: u64,
    handovers_followed: usize,
    next_handover_height: u64,
    documents_until_then: u64,
}

/// A document of the chain.
#[derive(Serialize)]
struct Link {
    height: u64,
    epoch: u64,
    hash: String,
    members: usize,
    signed: usize,
}

/// A member.
#[derive(Serialize)]
struct Standing {
    id: NodeId,
    role: &'static str,
    /// Of a mix that has one.
    layer: Option<u8>,
    /// It has no layer before the next document.
    newcomer: bool,
    capacity_class: u32,
    family: Option<String>,
    /// Who has brought it in by an invitation, as long as the document says so.
    invited_by: Option<NodeId>,
    addresses: Vec<String>,
}

/// Somebody who is expelled, or was and has nothing held against it for what it said up to a height.
#[derive(Serialize)]
struct Out {
    id: NodeId,
    /// The last epoch whose document can't list it.
    until_epoch: u64,
    /// What it said in its seat up to there counts against it no more.
    paid_up_to_height: u64,
    is_over: bool,
}

impl Shown {
    /// The document that counts at `now`, else the newest that the node has shown; none if it has shown none.
    pub(super) fn of(
        params: &NetworkParameters,
        (node, chain, ahead): (NodeId, &Chain, Option<i64>),
        now: Time,
    ) -> Option<Self> {
        let epoch = params.epoch_at(now);
        let in_force = chain.in_force(epoch);
        let certified = in_force.or_else(|| chain.documents().next_back())?;
        let document = &certified.document;
        let (header, height) = (document.header(), document.height());
        let term = chain.term(height);
        let mut members = Vec::from_iter(document.members().map(Standing::of));
        members.sort_by_key(|member| (member.newcomer, member.layer));
        Some(Self {
            network: NetworkNamed {
                name: params.name.clone(),
                hash: params.hash().to_string(),
            },
            node,
            height: height.number(),
            epoch: document.epoch().number(),
            hash: document.hash().to_string(),
            previous: document.previous().to_string(),
            seed: bs58::encode(document.seed().as_bytes()).into_string(),
            proposer: chain.proposer(document),
            proposed_in_round: header.reveal.as_ref().map(|reveal| reveal.round),
            in_force: in_force.is_some(),
            epoch_now: epoch.number(),
            epoch_ends_in_secs: params.start_of(epoch.next()).since(now).as_secs_f64(),
            clock_ahead_secs: ahead.map(seconds),
            certificate: Signed::of(chain, certified),
            term: Sitting {
                number: term.number,
                handovers_followed: chain.handovers(),
                next_handover_height: term.last.number(),
                documents_until_then: term.last.number().saturating_sub(height.number()),
            },
            chain: chain.documents().map(Link::of).collect(),
            members,
            expelled: document
                .expulsions()
                .map(|(id, it)| Out {
                    id: *id,
                    until_epoch: it.last.number(),
                    paid_up_to_height: it.height.number(),
                    is_over: !it.holds(document.epoch()),
                })
                .collect(),
        })
    }

    /// Section by section, for people.
    pub(super) fn in_words(&self) -> String {
        let sections = [
            self.head(),
            self.notes(),
            self.members(),
            self.expelled(),
            self.links(),
        ];
        let said = sections.into_iter().filter(|section| !section.is_empty());
        said.collect::<Vec<_>>().join("\n")
    }

    fn head(&self) -> String {
        let mut words = String::new();
        let mut row = |name: &str, value: String| {
            // Writing to a string does not fail, here and below.
            let _ = writeln!(words, "{name:<10} {value}");
        };
        let signed = &self.certificate;
        row(
            "network",
            format!("{}, hash {}", self.network.name, self.network.hash),
        );
        row("asked", self.node.to_string());
        row("height", self.height.to_string());
        row(
            "epoch",
            format!(
                "{}; now is {}, the next in {:.0} s",
                self.epoch, self.epoch_now, self.epoch_ends_in_secs
            ),
        );
        row("hash", self.hash.clone());
        row("seed", self.seed.clone());
        row(
            "made by",
            match (self.proposer, self.proposed_in_round) {
                (Some(node), Some(round)) => format!("{node}, round {round}"),
                (None, Some(round)) => {
                    format!("round {round}; by whom would follow from the document before")
                }
                (_, None) => "all together: it is the first".to_owned(),
            },
        );
        row(
            "signed",
            format!(
                "by {} of {} seats in round {}; {} are needed",
                signed.signed, signed.seats, signed.round, signed.needed
            ),
        );
        for missing in &signed.missing {
            row("  not by", missing.to_string());
        }
        let term = &self.term;
        row(
            "term",
            format!(
                "{}; the next handover is at height {}, after {} more documents; {} followed so far",
                term.number,
                term.next_handover_height,
                term.documents_until_then,
                term.handovers_followed
            ),
        );
        words
    }

    /// What is not as it should be.
    fn notes(&self) -> String {
        let mut words = String::new();
        if !self.in_force {
            let _ = writeln!(
                words,
                "It is not in force in epoch {}, and the node has shown none that is: either the network has \
                 come to a stop, or this node is behind, or a clock is wrong. Next: `shoal directory verify`.",
                self.epoch_now
            );
        } else if self.epoch < self.epoch_now {
            let _ = writeln!(
                words,
                "There is none for epoch {}, so it stays in force, for three epochs at most: too few seats \
                 agree. Look which nodes are down, those that have not signed first.",
                self.epoch_now
            );
        }
        if let Some(ahead) = self.clock_ahead_secs.filter(|ahead| ahead.abs() >= 5.0) {
            let _ = writeln!(
                words,
                "The node's clock is {:.0} s {} this machine's: set whichever is wrong.",
                ahead.abs(),
                if ahead > 0.0 { "ahead of" } else { "behind" }
            );
        }
        words
    }

    fn members(&self) -> String {
        let mut words = format!(
            "{:<44}  {:<8}  {:<5}  {:>5}  {:<44}  addresses\n",
            "member", "role", "layer", "class", "family"
        );
        for member in &self.members {
            let layer = match (member.newcomer, member.layer) {
                (true, _) => "new".to_owned(),
                (_, Some(layer)) => layer.to_string(),
                (_, None) => "-".to_owned(),
            };
            let line = format!(
                "{:<44}  {:<8}  {layer:<5}  {:>5}  {:<44}  {}",
                member.id.to_string(),
                member.role,
                member.capacity_class,
                member.family.as_deref().unwrap_or("-"),
                member.addresses.join(" ")
            );
            let _ = writeln!(words, "{}", line.trim_end());
        }
        let newcomers = self.members.iter().filter(|member| member.newcomer).count();
        let _ = writeln!(words, "{} members", self.members.len());
        if newcomers > 0 {
            let _ = writeln!(
                words,
                "{newcomers} of them new, without a layer before the next document"
            );
        }
        for member in &self.members {
            if let Some(by) = member.invited_by {
                let _ = writeln!(words, "{} was brought in by {by}", member.id);
            }
        }
        words
    }

    /// Nothing where nobody is.
    fn expelled(&self) -> String {
        let mut words = String::new();
        for out in self.expelled.iter().filter(|out| !out.is_over) {
            let _ = writeln!(
                words,
                "{} is expelled up to epoch {}: it voted for two things in one step, up to height {}",
                out.id, out.until_epoch, out.paid_up_to_height
            );
        }
        words
    }

    fn links(&self) -> String {
        let mut words = format!(
            "{:>8}  {:>8}  {:>7}  {:>6}  document\n",
            "height", "epoch", "members", "signed"
        );
        for link in &self.chain {
            let _ = writeln!(
                words,
                "{:>8}  {:>8}  {:>7}  {:>6}  {}",
                link.height, link.epoch, link.members, link.signed, link.hash
            );
        }
        words
    }
}

impl Signed {
    fn of(chain: &Chain, certified: &Certified) -> Self {
        let seats = chain.seats(&certified.document);
        Self {
            round: certified.certificate.round,
            seats: seats.map_or(0, |seats| seats.count()),
            needed: seats.map_or(0, |seats| seats.quorum()),
            signed: certified.certificate.seats().count(),
            missing: chain.missing(certified),
        }
    }
}

impl Link {
    fn of(certified: &Certified) -> Self {
        let document = &certified.document;
        Self {
            height: document.height().number(),
            epoch: document.epoch().number(),
            hash: document.hash().to_string(),
            members: document.members().len(),
            signed: certified.certificate.seats().count(),
        }
    }
}

impl Standing {
    fn of(member: &Member) -> Self {
        Self {
            id: member.id,
            role: member.role.as_str(),
            layer: member.position().filter(|_| member.role == Role::Mix),
            newcomer: member.position().is_none(),
            capacity_class: member.capacity_class,
            family: member.family.map(|family| family.to_string()),
            invited_by: member.invited_by,
            addresses: member.addresses.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Of microseconds.
#[expect(clippy::cast_precision_loss, reason = "for people, to the millisecond")]
pub(super) fn seconds(micros: i64) -> f64 {
    (micros / 1000) as f64 / 1e3
}
