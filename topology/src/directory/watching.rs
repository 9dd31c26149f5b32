//! What this node watches, what it says of that, and what the watchers of others say.
//!
//! A watcher dials each address that a node advertises, once in a slot and every 20 s at least. It says of whom it
//! did not reach, by gossip; of all others it says nothing, so that a network in which all is well says nothing at
//! all. Who is suspended is said to be back as long as it is.

use std::collections::{BTreeMap, BTreeSet};

use rand::{CryptoRng, RngExt as _};
use shoal_proto::{DocumentHash, NodeId, Span, Time};

use super::jobs::Task;
use super::read::report_gossip;
use super::{Directory, DirectoryAction, JOB_PATIENCE, Ticket, Verdict};
use crate::report::{COUNTS_FOR, MAX_REPORTED, part_at, start_of_part};
use crate::watchers::Watchers;
use crate::{Address, Document, Found, Report, ReportError, SignedDescriptor};

/// The longest that a watcher waits before it looks again.
const LONGEST: Span = Span::from_secs(20);
/// Most nodes without a place yet that one node watches.
const MOST_CANDIDATES: usize = 64;
/// Most nodes that are being dialled.
const AT_ONCE: usize = 16;
/// How far ahead of this node's clock a report may be.
const AHEAD: u64 = 4;
/// With fewer watchers than this nobody is believed dead.
const FEWEST: usize = 3;

/// What came of dialling an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// The node answered there, and has proven its identity.
    Reached,
    /// It did not.
    Missed,
    /// This machine has no way to addresses of that family, so that nothing can be said.
    NoWay,
}

/// A node that is watched.
struct Subject {
    addresses: Vec<Address>,
    /// When to look again.
    next: Time,
    /// Since when it is being dialled.
    asked: Option<Time>,
    /// What the last look found that is not believed yet: it takes two in a row to miss something.
    doubt: Option<Found>,
    /// What is known; none before it was reached or missed twice, and where this machine has no way to it.
    found: Option<Found>,
}

#[derive(Default)]
pub(super) struct Watching {
    /// Whether whoever drives this dials.
    on: bool,
    watchers: Option<(DocumentHash, Watchers)>,
    subjects: BTreeMap<NodeId, Subject>,
    /// When there is something to do, if nothing happens before.
    due: Time,
    /// When to look who is to be watched.
    look_at: Time,
    /// The newest report of each watcher.
    reports: BTreeMap<NodeId, Report>,
    /// What this node said last.
    told: Option<Report>,
}

/// What the watchers of a node say of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// How many watch it and are not suspended themselves.
    pub watchers: usize,
    /// How many of them did not reach it.
    pub missed_by: usize,
    /// How many of them say that they reach it: said of nodes that are suspended, or missed at some address.
    pub reached_by: usize,
    /// By address, in the order of its descriptor, how many missed it there.
    pub addresses: [usize; 8],
}

impl Watched {
    /// More than two thirds of at least three did not reach it.
    #[must_use]
    pub const fn is_dead(&self) -> bool {
        self.watchers >= FEWEST && self.is_missed()
    }

    /// A third or more of at least three did not reach it: who leaves it out as dead may have heard of more.
    #[must_use]
    pub const fn is_doubtful(&self) -> bool {
        self.watchers >= FEWEST && 3 * self.missed_by >= self.watchers
    }

    /// More than half say that they reach it.
    #[must_use]
    pub const fn is_back(&self) -> bool {
        2 * self.reached_by > self.watchers
    }

    /// Nobody is known to reach it, and more than two thirds do not: of fewer than three watchers, too.
    #[must_use]
    pub const fn is_missed(&self) -> bool {
        self.watchers > 0 && 3 * self.missed_by > 2 * self.watchers
    }
}

impl Watching {
    /// Somebody has come, or is somewhere else.
    pub(super) fn look_soon(&mut self, now: Time) {
        self.look_at = self.look_at.min(now);
        self.due = self.due.min(now);
    }

    /// There may be something else to say.
    pub(super) const fn say_soon(&mut self) {
        self.due = Time::from_micros(0);
    }
}

impl<R: CryptoRng> Directory<R> {
    /// From now on this node watches others: whoever drives it carries out
    /// [`DirectoryAction::Dial`].
    pub fn watch(&mut self) {
        self.watching.on = self.local.is_some();
    }

    pub(super) const fn is_watching(&self) -> bool {
        self.watching.on && !self.own.is_held()
    }

    /// Makes sure that it is known who watches whom by the document in force.
    fn draw_watchers(&mut self) {
        let Some(document) = self.archive.view().in_force(self.epoch) else {
            return;
        };
        let known = self.watching.watchers.as_ref();
        if known.is_none_or(|(hash, _)| hash != document.hash()) {
            self.watching.watchers = Some((*document.hash(), Watchers::of(document)));
        }
    }

    /// The document in force and who watches whom by it, if that was drawn.
    fn watchers(&self) -> Option<(&Document, &Watchers)> {
        let document = self.archive.view().in_force(self.epoch)?;
        let (hash, watchers) = self.watching.watchers.as_ref()?;
        (hash == document.hash()).then_some((&**document, watchers))
    }

    /// What the watchers of a node say of it, by the document in force.
    #[must_use]
    pub fn watched(&self, now: Time, id: &NodeId) -> Watched {
        let mut watched = Watched::default();
        let Some((document, watchers)) = self.watchers() else {
            return watched;
        };
        let part = part_at(&self.rules.params, now);
        for watcher in watchers.watch(document, id) {
            if self.suspended.contains(watcher) {
                continue;
            }
            watched.watchers += 1;
            let report = self.watching.reports.get(watcher);
            let report = report.filter(|report| report.at + COUNTS_FOR > part);
            let Some(found) = report.and_then(|report| report.found.get(id)) else {
                continue;
            };
            watched.missed_by += usize::from(!found.alive);
            watched.reached_by += usize::from(found.alive);
            for (bit, missed) in watched.addresses.iter_mut().enumerate() {
                *missed += usize::from(found.missed >> bit & 1 == 1);
            }
        }
        watched
    }

    /// The newcomers to the document after this one of whose watchers this is so. Nobody who is listed, and no first
    /// member, is left out by what others say of it.
    pub(super) fn newcomers_that(
        &self,
        now: Time,
        base: Option<&Document>,
        is_so: impl Fn(&Watched) -> bool,
    ) -> BTreeSet<NodeId> {
        let Some(base) = base else {
            return BTreeSet::new();
        };
        let known = BTreeSet::from_iter(self.pool.iter().map(SignedDescriptor::id));
        let comes = |id: &NodeId| base.member(id).is_none() && !self.rules.is_genesis(id);
        let so = |id: &NodeId| comes(id) && is_so(&self.watched(now, id));
        known.into_iter().filter(so).collect()
    }

    /// Dials whom it is time to dial, and says what there is to be said.
    pub(super) fn keep_watching(&mut self, now: Time) {
        if !self.is_watching() || now < self.watching.due {
            return;
        }
        if now >= self.watching.look_at {
            self.look_whom_to_watch(now);
        }
        self.dial(now);
        self.report(now);
        self.watching.due = self.next_watch(now);
    }

    pub(super) fn watching_deadline(&self) -> Option<Time> {
        self.is_watching().then_some(self.watching.due)
    }

    fn next_watch(&self, now: Time) -> Time {
        let watching = &self.watching;
        let asked = watching.subjects.values().filter(|it| it.asked.is_some());
        let free = asked.count() < AT_ONCE;
        let subjects = watching.subjects.values().filter_map(|it| match it.asked {
            Some(since) => Some(since + JOB_PATIENCE),
            None => free.then_some(it.next),
        });
        let report = self.report_at(now);
        subjects.chain(report).fold(watching.look_at, Time::min)
    }

    /// How long it is from one look at a node to the next.
    fn look_again(&self) -> Span {
        self.rules.params.slot().min(LONGEST)
    }

    /// Whom this node watches: members that it was drawn for, and nodes that wait for a place.
    fn look_whom_to_watch(&mut self, now: Time) {
        let pause = self.look_again();
        self.watching.look_at = now + pause;
        let part = part_at(&self.rules.params, now);
        let reports = &mut self.watching.reports;
        reports.retain(|_, report| report.at + COUNTS_FOR > part);
        self.draw_watchers();
        let Some((own, (document, watchers))) = self.own_id().zip(self.watchers()) else {
            return;
        };
        let mut ids = Vec::new();
        if document.member(&own).is_some() {
            let watched = |id: &NodeId| watchers.watches(document, &own, id);
            let members = document.members().map(|member| member.id);
            ids.extend(members.filter(|id| watched(id)));
            let known = self.pool.iter().map(SignedDescriptor::id);
            let waits = known.filter(|id| document.member(id).is_none() && *id != own);
            let waits: BTreeSet<NodeId> = waits.filter(watched).collect();
            ids.extend(waits.into_iter().take(MOST_CANDIDATES));
        }
        let mut before = std::mem::take(&mut self.watching.subjects);
        for id in ids {
            let addresses = self.advertised(&id);
            let subject = before.remove(&id).filter(|it| it.addresses == addresses);
            let subject = match subject {
                Some(subject) => subject,
                None => Subject {
                    // Not all watchers at once.
                    next: now + self.part_of(pause.scale(1, 4)),
                    addresses,
                    asked: None,
                    doubt: None,
                    found: None,
                },
            };
            self.watching.subjects.insert(id, subject);
        }
    }

    fn part_of(&mut self, span: Span) -> Span {
        Span::from_micros(self.rng.random_range(0..=span.as_micros()))
    }

    /// Where a node can be dialled, by the newest that it says itself.
    #[must_use]
    pub fn advertised(&self, id: &NodeId) -> Vec<Address> {
        let newest = self.pool.of(id).last();
        let newest = newest.map(|signed| signed.descriptor().addresses.clone());
        let listed = || {
            let document = self.archive.view().in_force(self.epoch)?;
            Some(document.member(id)?.addresses.clone())
        };
        newest.or_else(listed).unwrap_or_default()
    }

    fn dial(&mut self, now: Time) {
        let pause = self.look_again();
        let subjects = &mut self.watching.subjects;
        for subject in subjects.values_mut() {
            let lost = |since: &mut Time| now >= *since + JOB_PATIENCE;
            if subject.asked.take_if(lost).is_some() {
                subject.next = now + pause;
            }
        }
        let mut asked = subjects.values().filter(|it| it.asked.is_some()).count();
        let mut dialled = Vec::new();
        for (id, subject) in subjects.iter_mut() {
            if asked < AT_ONCE && subject.asked.is_none() && now >= subject.next {
                subject.asked = Some(now);
                asked += 1;
                dialled.push((*id, subject.addresses.clone()));
            }
        }
        for (id, addresses) in dialled {
            self.push(DirectoryAction::Dial { id, addresses });
        }
    }

    /// A node has been dialled at its addresses.
    pub(super) fn dialled(&mut self, now: Time, id: &NodeId, at: &[(Address, Dialled)]) {
        let pause = self.look_again();
        // Between three and five quarters of it, so that watchers do not fall into step.
        let (soon, later) = (pause.scale(1, 4), pause.scale(3, 4));
        let later = later + self.part_of(pause.scale(1, 2));
        let Some(subject) = self.watching.subjects.get_mut(id) else {
            return;
        };
        let same = subject.addresses.iter().eq(at.iter().map(|(it, _)| it));
        if subject.asked.is_none() || !same {
            return;
        }
        subject.asked = None;
        let how = at.iter().map(|(_, dialled)| *dialled);
        let missed = how.clone().zip(0_u32..8).fold(0_u8, |missed, (how, bit)| {
            missed | u8::from(how == Dialled::Missed) << bit
        });
        let alive = how.clone().any(|how| how == Dialled::Reached);
        let now_found = (alive || missed != 0).then_some(Found { alive, missed });
        let believed = match (now_found, subject.doubt) {
            (Some(Found { missed: 0, .. }) | None, _) => true,
            (Some(found), Some(doubt)) => doubt.alive == found.alive,
            (Some(_), None) => false,
        };
        if believed || subject.found == now_found {
            subject.found = now_found;
            subject.doubt = now_found.filter(|found| found.missed != 0);
            subject.next = now + later;
        } else {
            // What was dead and is alive at some address is alive.
            if let (Some(known), Some(found)) = (&mut subject.found, now_found) {
                known.alive |= found.alive;
            }
            subject.doubt = now_found;
            subject.next = now + soon;
        }
        self.watching.due = now;
    }

    /// What this node has to say now.
    fn to_say(&self) -> BTreeMap<NodeId, Found> {
        let subjects = self.watching.subjects.iter();
        let found = subjects.filter_map(|(id, subject)| Some((*id, subject.found?)));
        let said = found.filter(|(id, found)| found.missed != 0 || self.suspended.contains(id));
        let mut said = Vec::from_iter(said);
        // Who is dead comes first where there is not room for all.
        said.sort_by_key(|(id, found)| (found.alive, *id));
        said.into_iter().take(MAX_REPORTED).collect()
    }

    /// When there is something to be said, if nothing changes.
    fn report_at(&self, now: Time) -> Option<Time> {
        let (params, say) = (&self.rules.params, self.to_say());
        let at = match &self.watching.told {
            Some(told) if told.found == say && say.is_empty() => return None,
            Some(told) if told.found == say => told.at + COUNTS_FOR / 3,
            Some(told) => told.at + 1,
            None if say.is_empty() => return None,
            None => return Some(now),
        };
        Some(start_of_part(params, at))
    }

    fn report(&mut self, now: Time) {
        if self.report_at(now).is_none_or(|at| now < at) {
            return;
        }
        let Some(local) = &self.local else { return };
        let report = Report {
            watcher: local.identity.id(),
            at: part_at(&self.rules.params, now),
            found: self.to_say(),
        };
        let bytes = report.sign(&self.rules.network, &local.identity);
        self.watching.told = Some(report.clone());
        self.watching.reports.insert(report.watcher, report);
        if !self.peers.is_empty() {
            self.push(DirectoryAction::Publish(report_gossip(bytes)));
        }
    }

    /// Takes a report that came by gossip as far as is cheap, and has its signature checked.
    pub(super) fn report_gossip(
        &mut self,
        now: Time,
        from: &NodeId,
        ticket: Ticket,
        bytes: Vec<u8>,
    ) {
        let read = || Report::read(&bytes);
        let Some(report) = self.heard(now, (from, ticket), read, |it| &mut it.not_reports) else {
            return;
        };
        if !self.is_report_news(now, &report) {
            return self.verdict(ticket, Verdict::Ignore);
        }
        if let Some(bytes) = self.message_waits(now, (*from, ticket), bytes) {
            self.job(Task::Report(bytes));
        }
    }

    /// Whether a report would be kept: of a member, newer than what it said before, and of now.
    fn is_report_news(&self, now: Time, report: &Report) -> bool {
        let part = part_at(&self.rules.params, now);
        let known = self.watching.reports.get(&report.watcher);
        let document = self.archive.view().in_force(self.epoch);
        document.is_some_and(|document| document.member(&report.watcher).is_some())
            && self.own_id() != Some(report.watcher)
            && known.is_none_or(|known| known.at < report.at)
            && (part.saturating_sub(COUNTS_FOR)..=part + AHEAD).contains(&report.at)
    }

    /// What a report says of those whom its watcher was drawn for: the rest is of no use, and only takes room.
    fn of_its_subjects(&self, report: &Report) -> Report {
        let mut kept = report.clone();
        if let Some((document, watchers)) = self.watchers() {
            let watched = |id: &NodeId| watchers.watches(document, &report.watcher, id);
            kept.found.retain(|id, _| watched(id));
        }
        kept
    }

    /// The signature of a report has been checked.
    pub(super) fn report_checked(
        &mut self,
        now: Time,
        bytes: &[u8],
        checked: &Result<Report, ReportError>,
    ) {
        let Some(copies) = self.votes.take(bytes) else {
            return;
        };
        let Ok(report) = checked else {
            self.counters.not_reports += 1;
            return self.message_verdicts(copies, false, false);
        };
        let is_news = self.is_report_news(now, report);
        if is_news {
            self.counters.reports += 1;
            let kept = self.of_its_subjects(report);
            self.watching.reports.insert(kept.watcher, kept);
        }
        self.message_verdicts(copies, true, is_news);
    }
}
