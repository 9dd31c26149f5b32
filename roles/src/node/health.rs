//! Whether a node does its work, and if not, why: what `ready` and `/healthz` say.

use std::fmt;

use shoal_proto::{Epoch, NodeId, Span, Time};
use shoal_topology::{Document, KeyRing, NetworkParameters, View};
use std::collections::BTreeSet;

use super::clock::Off;

/// How long a node waits for its neighbours before it says that it is ready without some.
const NEIGHBOURS_PATIENCE: Span = Span::from_secs(10);

/// Why a node does not do its work. The text says what happens next, or what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Trouble {
    /// There is no document.
    NoDocument,
    /// The document in force does not list this node.
    NotAMember {
        /// The document's epoch.
        epoch: Epoch,
        /// When the next one takes effect.
        next: Time,
    },
    /// The key of the epoch in force is missing, or another than the document names: the one that it
    /// names was given up, because it could not be used safely, or is on another disk.
    NoKey {
        /// The epoch.
        epoch: Epoch,
        /// When the next one takes effect.
        next: Time,
    },
    /// No packet link to some members of the position after this node's, and it has not waited long.
    Links {
        /// How many are missing.
        missing: usize,
    },
    /// The replay log can't be written: nothing may leave.
    ReplayLog,
    /// The mailbox store fails.
    Store,
    /// The directory's state can't be saved.
    Directory,
    /// The machine's clock is off what most neighbours say.
    Clock {
        /// It is ahead; else behind.
        ahead: bool,
        /// By so much at least.
        by: Span,
    },
    /// It was asked to stop.
    Stopping,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDocument => f.write_str(
                "there is no document of the network yet; it comes from neighbours, or when all \
                 genesis members have been heard of",
            ),
            Self::NotAMember { epoch, next } => write!(
                f,
                "the document of epoch {epoch} does not list this node; the next one takes effect \
                 at {}",
                Utc(*next)
            ),
            Self::NoKey { epoch, next } => write!(
                f,
                "the key of this node for epoch {epoch} is lost, so packets can't be opened; the next \
                 epoch starts at {}",
                Utc(*next)
            ),
            Self::Links { missing } => write!(f, "{missing} neighbours are not linked yet"),
            Self::ReplayLog => f.write_str(
                "the replay log can't be written, so no packet may leave; check the disk of the \
                 state directory",
            ),
            Self::Store => f.write_str(
                "the mailbox store fails, so deposits are refused; check the disk of the state \
                 directory",
            ),
            Self::Directory => f.write_str(
                "the directory's state can't be saved; check the disk of the state directory",
            ),
            Self::Clock { ahead, by } => {
                let side = if *ahead { "ahead of" } else { "behind" };
                write!(
                    f,
                    "this machine's clock is {} {side} the network's; set it, see that it is kept \
                     right (NTP), and start the node again",
                    by.human()
                )
            }
            Self::Stopping => f.write_str("the node is stopping"),
        }
    }
}

/// The time of day, which is what somebody who waits wants to know.
struct Utc(Time);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.0.as_secs() % 86_400;
        let (hour, minute) = (second / 3600, second / 60 % 60);
        write!(f, "{hour:02}:{minute:02}:{:02} UTC", second % 60)
    }
}

/// What the parts say; the rest follows from the documents and the links.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts {
    /// The replay log fails.
    pub(super) log_failed: bool,
    /// The store fails.
    pub(super) store_failed: bool,
    /// A change of the directory's state waits to be tried again.
    pub(super) unsaved: bool,
    /// The clock is off the neighbours'.
    pub(super) clock_off: Option<Off>,
    /// [`NodeInput::Stop`](super::NodeInput::Stop) came.
    pub(super) stopping: bool,
}

/// Which packet links are up, and since when the node has had a document to find its neighbours in.
#[derive(Default)]
pub(super) struct Readiness {
    links: BTreeSet<NodeId>,
    waits_until: Option<Time>,
    /// Members of the position after this node's that are not linked, by the document of this epoch.
    awaited: Option<(Epoch, BTreeSet<NodeId>)>,
    /// Nothing that it depends on has changed since it was looked at, and nothing will before then.
    settled_until: Option<Time>,
    /// What was said last; nothing before the first time.
    said: Option<Vec<Trouble>>,
}

impl Readiness {
    pub(super) fn link(&mut self, peer: NodeId, up: bool) {
        if up {
            self.links.insert(peer);
            // Only the last one is news: looking after each would cost members by members.
            let awaited = self.awaited.as_mut();
            if awaited.is_some_and(|(_, awaited)| awaited.remove(&peer) && awaited.is_empty()) {
                self.unsettle();
            }
        } else if self.links.remove(&peer) {
            self.view_changed();
        }
    }

    /// Whom this node needs links with may have changed.
    pub(super) fn view_changed(&mut self) {
        self.awaited = None;
        self.unsettle();
    }

    /// Something that the picture depends on has changed.
    pub(super) fn unsettle(&mut self) {
        self.settled_until = None;
    }

    /// Whether the picture may have changed: looking costs as much as there are members.
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.settled_until.is_none_or(|until| now >= until)
    }

    /// When the picture may change by itself.
    pub(super) const fn deadline(&self) -> Option<Time> {
        self.settled_until
    }

    /// It was looked at.
    pub(super) fn settle(&mut self, params: &NetworkParameters, now: Time) {
        let switch = params.start_of(params.epoch_at(now).next());
        let patience = self.waits_until.filter(|until| *until > now);
        self.settled_until = Some(patience.map_or(switch, |until| until.min(switch)));
    }

    /// Everything that keeps this node from its work, in a fixed order; empty if nothing does.
    pub(super) fn troubles(
        &mut self,
        params: &NetworkParameters,
        (now, local): (Time, &NodeId),
        view: &View,
        (parts, keys): (Parts, &KeyRing),
    ) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let next = params.start_of(params.epoch_at(now).next());
        if let Some(document) = view.current(params, now) {
            let epoch = document.epoch();
            let member = document.member(local);
            if member.is_none() {
                troubles.push(Trouble::NotAMember { epoch, next });
            }
            if let Some(member) = member {
                // Another key than the one that others pack for opens nothing.
                if keys.public(epoch) != Some(member.key) {
                    troubles.push(Trouble::NoKey { epoch, next });
                }
                let until = *self.waits_until.get_or_insert(now + NEIGHBOURS_PATIENCE);
                let missing = if now < until {
                    self.missing(document, local)
                } else {
                    0
                };
                if missing > 0 {
                    troubles.push(Trouble::Links { missing });
                }
            }
        } else {
            troubles.push(Trouble::NoDocument);
        }
        let clock = parts
            .clock_off
            .map(|Off { ahead, by }| Trouble::Clock { ahead, by });
        troubles.extend(clock);
        let parts = [
            (parts.log_failed, Trouble::ReplayLog),
            (parts.store_failed, Trouble::Store),
            (parts.unsaved, Trouble::Directory),
            (parts.stopping, Trouble::Stopping),
        ];
        troubles.extend(
            parts
                .into_iter()
                .filter(|(is, _)| *is)
                .map(|(_, trouble)| trouble),
        );
        troubles
    }

    /// How many members of the position after this node's are not linked.
    fn missing(&mut self, document: &Document, local: &NodeId) -> usize {
        let epoch = document.epoch();
        if let Some((known, awaited)) = &self.awaited
            && *known == epoch
        {
            return awaited.len();
        }
        let after = document.members().map(|member| member.id);
        let after = after.filter(|id| document.position_ok(local, id));
        let awaited = after.filter(|id| !self.links.contains(id)).collect();
        let (_, awaited) = self.awaited.insert((epoch, awaited));
        awaited.len()
    }

    /// Whether this is another picture than what was said last.
    pub(super) fn changes(&mut self, troubles: &[Trouble]) -> bool {
        // How many links are missing changes all the time; that some are is worth saying once.
        let kind = |troubles: &[Trouble]| -> Vec<_> {
            troubles.iter().map(std::mem::discriminant).collect()
        };
        let changes = self
            .said
            .as_ref()
            .is_none_or(|said| kind(said) != kind(troubles));
        if changes {
            self.said = Some(troubles.to_vec());
        }
        changes
    }
}
