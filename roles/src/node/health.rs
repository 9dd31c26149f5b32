//! Whether a node does its work, and if not, why: what `ready` and `/healthz` say.
//!
//! One list of troubles answers both. A change of it is told once, and what stands long is told again,
//! less and less often.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use shoal_mix::DropReason;
use shoal_proto::{Epoch, NetworkHash, NodeId, Span, Time};
use shoal_provider::StoreError;
use shoal_topology::{
    Address, Document, KeyRing, LocalNode, NetworkParameters, Role, Ties, View, Waiting, Watched,
    middle,
};

use super::clock::Off;
use super::trouble::{Trouble, TroubleKind};

/// How long a node waits for its neighbours before it says that it is ready without some, or that it
/// is not because it has none.
const NEIGHBOURS_PATIENCE: Span = Span::from_secs(10);
/// A disk that fails now and then is one trouble: it is over when nothing has failed for so long.
const CALM: Span = Span::from_secs(5);
/// How many seconds clocks in another network may be off this node's without a word of it. They are told in whole
/// seconds, and by nobody who proves who he is.
const OTHERS_TOLERANCE: u64 = 30;
/// When what stands is told again for the first time; then after twice as long each time.
const FIRST_REMINDER: Span = Span::from_secs(15);
/// The longest time between two reminders.
const LONGEST_REMINDER: Span = Span::from_secs(900);

/// Something that has failed, until it works again and nothing has failed for a while.
#[derive(Clone, Debug)]
pub(super) struct Failing {
    why: String,
    last: Time,
    works: bool,
}

impl Failing {
    fn stands(&self, now: Time) -> bool {
        !self.works || now < self.last + CALM
    }

    /// When it is over, if nothing happens.
    fn over(&self) -> Option<Time> {
        self.works.then_some(self.last + CALM)
    }
}

/// What the parts say; the rest follows from the documents and the links.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The replay log fails, or did a moment ago.
    log: Option<Failing>,
    /// The store fails.
    pub(super) store: Option<StoreError>,
    /// Why a change of the directory's state was not saved last.
    pub(super) unsaved: String,
    /// Why most neighbours' packets can't be opened.
    pub(super) deaf: Option<DropReason>,
}

impl Parts {
    /// The replay log could not be written. True if that is news.
    pub(super) fn log_fails(&mut self, now: Time, why: String) -> bool {
        let news = !self.log.as_ref().is_some_and(|log| log.stands(now));
        self.log = Some(Failing {
            why,
            last: now,
            works: false,
        });
        news
    }

    /// The replay log was written. True if that is news.
    pub(super) fn log_works(&mut self) -> bool {
        let log = self.log.as_mut();
        log.is_some_and(|log| !std::mem::replace(&mut log.works, true))
    }
}

/// What a picture is made of.
pub(super) struct Look<'a> {
    pub(super) now: Time,
    pub(super) local: &'a NodeId,
    pub(super) view: &'a View,
    pub(super) keys: &'a KeyRing,
    pub(super) parts: &'a Parts,
    /// From when on a document can name the node and a key that it has.
    pub(super) next: Time,
    /// How it stands among those that wait for a place; none for a member.
    pub(super) waiting: Option<Waiting>,
    /// The first members that have not been heard of.
    pub(super) unheard: usize,
    pub(super) clock: Option<Off>,
    pub(super) is_behind: bool,
    /// What its watchers say of it.
    pub(super) watched: Watched,
    /// Where it says that it can be dialled.
    pub(super) advertised: &'a [Address],
    /// No new route leads over it.
    pub(super) suspended: bool,
    /// It leaves, and when it stops at the latest.
    pub(super) leaving: Option<Time>,
    pub(super) stopping: bool,
    /// First members that are connected, and have not answered for another network.
    pub(super) connected: usize,
}

/// Those whom a node exchanges packets with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Neighbours {
    /// Members of the position after its own.
    pub(super) after: usize,
    /// Those of them without a link.
    pub(super) missing: usize,
    /// Members of the positions before and after its own that are not linked, and have no address of a
    /// family that the node has.
    pub(super) apart: usize,
    /// Those of them that it has to send to.
    apart_after: usize,
}

/// The families of addresses that somebody has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    /// Who says nothing is not held to lack anything.
    fn of(addresses: &[Address]) -> Self {
        let has = |wanted: fn(&IpAddr) -> bool| {
            addresses.is_empty() || addresses.iter().any(|address| wanted(&address.ip()))
        };
        Self {
            v4: has(IpAddr::is_ipv4),
            v6: has(IpAddr::is_ipv6),
        }
    }

    const fn meet(self, other: Self) -> bool {
        self.v4 && other.v4 || self.v6 && other.v6
    }
}

/// Which packet links are up, and since when the node has had a document to find its neighbours in.
pub(super) struct Readiness {
    families: Families,
    /// What the node does, and by what it is tied to others.
    own: (Role, Ties),
    links: BTreeSet<NodeId>,
    waits_until: Option<Time>,
    /// Since when there is no link to any member of the position after this node's.
    cut_since: Option<Time>,
    /// By the document of this epoch, as long as no link and no document changes that.
    neighbours: Option<(Epoch, Neighbours)>,
    /// First members that have answered for another network, with how many seconds ahead their clocks are.
    others: BTreeMap<NodeId, (NetworkHash, i64)>,
    /// Nothing that it depends on has changed since it was looked at, and nothing will before then.
    settled_until: Option<Time>,
    /// What was said last; nothing before the first time.
    said: Option<Vec<TroubleKind>>,
    /// When what stands is said again, and how long that was waited for.
    reminder: Option<(Time, Span)>,
}

/// Whether there is more to say of a node that waits than until when.
const fn is_worth_telling(waiting: &Waiting) -> bool {
    waiting.works || waiting.invited.is_some() || waiting.waiting > waiting.room
}

impl Readiness {
    pub(super) fn new(local: &LocalNode) -> Self {
        Self {
            families: Families::of(&local.addresses),
            own: (local.role, local.ties()),
            links: BTreeSet::new(),
            waits_until: None,
            cut_since: None,
            neighbours: None,
            others: BTreeMap::new(),
            settled_until: None,
            said: None,
            reminder: None,
        }
    }

    pub(super) fn link(&mut self, document: Option<(&Document, &NodeId)>, peer: NodeId, up: bool) {
        let changed = match up {
            true => self.links.insert(peer),
            false => self.links.remove(&peer),
        };
        let Some((known, neighbours)) = self.neighbours.as_mut().filter(|_| changed) else {
            return;
        };
        let Some((document, local)) = document.filter(|(document, _)| document.epoch() == *known)
        else {
            return self.view_changed();
        };
        if !document.position_ok(local, &peer) {
            return;
        }
        // Only the first and the last one are news: looking after each would cost members by members.
        let before = neighbours.missing;
        neighbours.missing = match up {
            true => before.saturating_sub(1),
            false => before + 1,
        };
        let ends = [0, neighbours.after];
        let ends = ends.contains(&before) || ends.contains(&neighbours.missing);
        if ends || neighbours.apart > 0 {
            self.view_changed();
        }
    }

    /// The node is at these addresses from now on.
    pub(super) fn move_to(&mut self, addresses: &[Address]) {
        self.families = Families::of(addresses);
        self.view_changed();
    }

    /// A first member answers for another network, or turns out to be of this one.
    pub(super) fn network_of(&mut self, peer: NodeId, other: Option<(NetworkHash, i64)>) {
        let before = match other {
            Some(other) => self.others.insert(peer, other),
            None => self.others.remove(&peer),
        };
        if before != other {
            self.unsettle();
        }
    }

    /// Whether a first member has answered for another network.
    pub(super) fn is_other(&self, peer: &NodeId) -> bool {
        self.others.contains_key(peer)
    }

    /// Whom this node needs links with may have changed.
    pub(super) fn view_changed(&mut self) {
        self.neighbours = None;
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
    pub(super) fn settle(&mut self, params: &NetworkParameters, now: Time, parts: &Parts) {
        let switch = params.start_of(params.epoch_at(now).next());
        let others = [
            self.waits_until,
            self.cut_since.map(|since| since + NEIGHBOURS_PATIENCE),
            parts.log.as_ref().and_then(Failing::over),
            self.reminder.map(|(at, _)| at),
        ];
        let others = others.into_iter().flatten().filter(|at| *at > now);
        self.settled_until = Some(others.fold(switch, Time::min));
    }

    /// Everything that keeps this node from its work, in a fixed order, causes first; empty if nothing
    /// does.
    pub(super) fn troubles(&mut self, params: &NetworkParameters, look: &Look<'_>) -> Vec<Trouble> {
        let (now, parts) = (look.now, look.parts);
        let mut troubles = Vec::new();
        let clock = look
            .clock
            .map(|Off { ahead, by }| Trouble::Clock { ahead, by });
        troubles.extend(clock);
        match look.view.current(params, now) {
            Some(document) => self.as_member(document, look, &mut troubles),
            None => self.without_document(params, look, &mut troubles),
        }
        self.watched(look, &mut troubles);
        // It follows from a lost key or a wrong clock, which say more.
        let explained =
            |trouble: &Trouble| !matches!(trouble, Trouble::Links { .. } | Trouble::Cut { .. });
        let deaf = parts.deaf.filter(|_| !troubles.iter().any(explained));
        troubles.extend(deaf.map(|why| Trouble::Deaf { why }));
        let log = parts.log.as_ref().filter(|log| log.stands(now));
        troubles.extend(log.map(|log| Trouble::ReplayLog {
            why: log.why.clone(),
        }));
        troubles.extend(parts.store.clone().map(Trouble::Store));
        if look.is_behind {
            let why = parts.unsaved.clone();
            troubles.push(Trouble::Directory { why });
        }
        if look.stopping {
            troubles.push(Trouble::Stopping);
        }
        troubles
    }

    /// What its watchers say of this node, and that it leaves.
    fn watched(&self, look: &Look<'_>, troubles: &mut Vec<Trouble>) {
        let Watched {
            watchers,
            missed_by,
            ..
        } = look.watched;
        if let Some(by) = look.leaving.filter(|_| !look.stopping) {
            troubles.push(Trouble::Leaving { by });
        } else if look.watched.is_missed() {
            let clock = |trouble: &Trouble| matches!(trouble, Trouble::Clock { .. });
            if !troubles.iter().any(clock) {
                troubles.push(Trouble::Unreachable {
                    missed_by,
                    watchers,
                });
            }
        } else if look.suspended {
            troubles.push(Trouble::Suspended);
        }
    }

    fn without_document(
        &self,
        params: &NetworkParameters,
        look: &Look<'_>,
        troubles: &mut Vec<Trouble>,
    ) {
        let genesis = params.genesis_members.iter();
        let of = genesis.filter(|member| member.id != *look.local).count();
        if self.others.len() > look.connected
            && let Some(theirs) = most_frequent(self.others.values().map(|(hash, _)| hash))
        {
            let ahead = middle(self.others.values().map(|(_, ahead)| *ahead).collect());
            troubles.push(Trouble::OtherNetwork {
                others: self.others.len(),
                of,
                ours: params.hash(),
                theirs,
                ahead_secs: (ahead.unsigned_abs() > OTHERS_TOLERANCE).then_some(ahead),
            });
        } else if troubles.is_empty() {
            // With a clock that is off, nothing else can be said.
            let of = params.genesis_members.len();
            let missing = look.unheard;
            troubles.push(Trouble::NoDocument { missing, of });
        }
    }

    fn as_member(&mut self, document: &Document, look: &Look<'_>, troubles: &mut Vec<Trouble>) {
        let (epoch, next, now) = (document.epoch(), look.next, look.now);
        let listed = document.member(look.local);
        // A mix that has just come is listed, and no packet passes it before it has a layer.
        let Some(member) = listed.filter(|member| member.position().is_some()) else {
            self.cut_since = None;
            if let Some(expulsion) = document.expulsion(look.local).filter(|it| it.holds(epoch)) {
                let last = expulsion.last;
                return troubles.push(Trouble::Expelled { epoch, last, next });
            }
            if listed.is_none()
                && let Some(address) = document.address_of_another(look.local, look.advertised)
            {
                let address = address.clone();
                return troubles.push(Trouble::AddressTaken { epoch, address });
            }
            let (role, ties) = &self.own;
            let why = document.no_place(*role, ties).filter(|_| listed.is_none());
            return troubles.push(match why {
                Some(why) => Trouble::LeftOut { epoch, why },
                None => match look.waiting.filter(is_worth_telling) {
                    Some(waiting) if listed.is_none() => Trouble::Waits {
                        epoch,
                        waiting,
                        next,
                    },
                    _ => Trouble::NotAMember { epoch, next },
                },
            });
        };
        // Another key than the one that others pack for opens nothing.
        if look.keys.public(epoch) != Some(member.key) {
            troubles.push(Trouble::NoKey { epoch, next });
        }
        let until = *self.waits_until.get_or_insert(now + NEIGHBOURS_PATIENCE);
        let Neighbours {
            after,
            missing,
            apart_after: apart,
            ..
        } = self.neighbours(document, look.local);
        if missing == 0 || missing < after {
            self.cut_since = None;
        } else {
            self.cut_since.get_or_insert(now);
        }
        if now < until {
            if missing > 0 {
                troubles.push(Trouble::Links { missing });
            }
        } else if let Some(since) = self.cut_since
            && now >= (since + NEIGHBOURS_PATIENCE).max(until)
        {
            troubles.push(Trouble::Cut { of: after, apart });
        }
    }

    /// Those whom the node exchanges packets with by this document.
    pub(super) fn neighbours(&mut self, document: &Document, local: &NodeId) -> Neighbours {
        let epoch = document.epoch();
        if let Some((known, neighbours)) = self.neighbours
            && known == epoch
        {
            return neighbours;
        }
        let mut found = Neighbours::default();
        for member in document.members() {
            let after = document.position_ok(local, &member.id);
            if !after && !document.position_ok(&member.id, local) {
                continue;
            }
            let linked = self.links.contains(&member.id);
            let apart = !linked && !self.families.meet(Families::of(&member.addresses));
            found.apart += usize::from(apart);
            if after {
                found.after += 1;
                found.missing += usize::from(!linked);
                found.apart_after += usize::from(apart);
            }
        }
        self.neighbours = Some((epoch, found));
        found
    }

    /// To how many of these a packet link is up.
    pub(super) fn linked(&self, peers: &[NodeId]) -> usize {
        let linked = peers.iter().filter(|peer| self.links.contains(peer));
        linked.count()
    }

    /// Whether the node has waited for its neighbours as long as it does.
    pub(super) fn has_waited(&self, now: Time) -> bool {
        self.waits_until.is_some_and(|until| now >= until)
    }

    /// Whether this is to be said: it is another picture than what was said last, or has stood for long.
    pub(super) fn is_news(&mut self, now: Time, troubles: &[Trouble]) -> bool {
        // How many links are missing changes all the time; that some are is worth saying once.
        let kinds: Vec<TroubleKind> = troubles.iter().map(Trouble::kind).collect();
        let changes = self.said.as_ref() != Some(&kinds);
        let reminds = self.reminder.filter(|(at, _)| now >= *at);
        if !changes && reminds.is_none() {
            return false;
        }
        let wait = match reminds.filter(|_| !changes) {
            Some((_, wait)) => wait.scale(2, 1).min(LONGEST_REMINDER),
            None => FIRST_REMINDER,
        };
        self.reminder = (!kinds.is_empty()).then_some((now + wait, wait));
        self.said = Some(kinds);
        true
    }
}

/// The value that occurs most often; of several the least.
fn most_frequent<'a>(hashes: impl Iterator<Item = &'a NetworkHash>) -> Option<NetworkHash> {
    let mut counts: BTreeMap<NetworkHash, usize> = BTreeMap::new();
    for hash in hashes {
        *counts.entry(*hash).or_default() += 1;
    }
    let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
    most.map(|(hash, _)| hash)
}
