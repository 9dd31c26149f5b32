//! The height that is being decided: when it begins, what is proposed, what is thought of what others
//! propose, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::{CryptoRng, RngExt};
use shoal_proto::{DocumentHash, Epoch, NodeId, Span, Time};

use super::held::{Held, choose, look_at};
use super::jobs::{Recipe, Task};
use super::judge::Sound;
use super::pool::is_lapsed;
use super::wanted::Wanted;
use super::watching::Watched;
use super::{Directory, DirectoryAction, DirectoryChange, DirectoryWarning, JOB_PATIENCE};
use crate::agreement::{
    Agreement, AgreementAction, AgreementInput, Certificate, Height, Judgement, Message, Reveal,
    Seat, Seats, Timing, Verified,
};
use crate::chain::Certified;
use crate::document::Place;
use crate::{Descriptor, Document, DocumentError, Identity, Offences, SignedDescriptor};

/// How long to wait for the rest once more than two thirds of the seats have been heard of, where no
/// freeze says when to begin.
const REST: Span = Span::from_secs(2);
/// Most documents of one height: each round has one proposer, who has two where it lies.
pub(super) const MOST_DOCUMENTS: usize = 16;
/// The record of a height that has the hash of the seats that the others are for.
const SEATS_RECORD: u64 = 0;

/// One height. Memory: what [`Agreement`] takes, and 16 documents, each with up to 2 MiB of descriptors that
/// it lacked.
pub(super) struct Council {
    height: Height,
    pub(super) base: Option<Arc<Document>>,
    pub(super) seats: Seats,
    /// Those of the term before.
    pub(super) before: Option<Seats>,
    order: Arc<[Seat]>,
    /// Once it has begun.
    agreement: Option<Agreement>,
    /// Who sits and has not been heard of: there is no descriptor of it for this epoch.
    absent: BTreeSet<NodeId>,
    /// Since when more than two thirds of the seats have been heard of.
    heard_since: Option<Time>,
    /// What was proposed and breaks no rule.
    pub(super) documents: BTreeMap<DocumentHash, Sound>,
    /// What was proposed and is not here, or not verified.
    pub(super) wanted: BTreeMap<DocumentHash, Wanted>,
    /// The round in which it is this node's turn, until it has something to propose.
    turn: Option<u32>,
    /// What is being formed for that round, and since when.
    forming: Option<(u32, Arc<Recipe>, Time)>,
    /// The height is decided, and the document is not here.
    pub(super) decision: Option<Certificate>,
    /// What is on disk of it: the numbers of the records, and the documents.
    records: BTreeMap<u64, Vec<u8>>,
    next_record: u64,
    pub(super) kept: BTreeSet<DocumentHash>,
}

/// What was kept of the height that was being decided.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) records: BTreeMap<(Height, u64), Vec<u8>>,
    pub(super) proposals: Vec<Arc<[u8]>>,
}

impl Council {
    fn new(
        base: Option<Arc<Document>>,
        (seats, before): (Seats, Option<Seats>),
        height: Height,
    ) -> Self {
        let order = match &base {
            Some(base) => seats.proposers(base.seed()),
            None => seats.proposers(&crate::agreement::Seed::first(&seats.network())),
        };
        Self {
            height,
            base,
            seats,
            before,
            order: order.into(),
            agreement: None,
            absent: BTreeSet::new(),
            heard_since: None,
            documents: BTreeMap::new(),
            wanted: BTreeMap::new(),
            turn: None,
            forming: None,
            decision: None,
            records: BTreeMap::new(),
            next_record: 0,
            kept: BTreeSet::new(),
        }
    }

    pub(super) const fn height(&self) -> Height {
        self.height
    }

    /// The document with this hash, if it was proposed.
    pub(super) fn document(&self, hash: &DocumentHash) -> Option<&Arc<Document>> {
        self.documents.get(hash).map(|sound| &sound.document)
    }

    /// Whether a message would change nothing.
    pub(super) fn knows(&self, message: &Message) -> bool {
        let agreement = self.agreement.as_ref();
        agreement.is_some_and(|agreement| agreement.knows(message))
    }

    pub(super) const fn seats(&self) -> &Seats {
        &self.seats
    }

    /// Who sits.
    pub(super) fn holders(&self) -> Vec<NodeId> {
        let holders = self.seats.all().filter_map(|seat| self.seats.holder(seat));
        holders.map(|holder| holder.id).collect()
    }

    /// Whether there is a descriptor of this node for this epoch.
    pub(super) fn note_heard(&mut self, id: &NodeId, heard: bool) {
        if heard || self.seats.of(id).is_none() {
            self.absent.remove(id);
        } else {
            self.absent.insert(*id);
        }
    }

    fn deadline(&self) -> Option<Time> {
        let agreement = self.agreement.as_ref().and_then(Agreement::poll_deadline);
        let begins = match self.agreement {
            None => self.heard_since.map(|since| since + REST),
            Some(_) => None,
        };
        let forming = self
            .forming
            .as_ref()
            .map(|(_, _, since)| *since + JOB_PATIENCE);
        let wanted = self.wanted.values().map(Wanted::deadline);
        let others = [agreement, begins, forming];
        others.into_iter().flatten().chain(wanted).min()
    }
}

impl<R: CryptoRng> Directory<R> {
    /// For which epoch a document can be proposed at this time. After a time without a document for this
    /// one, at once; else for the next one, from its freeze on.
    pub(super) fn target(&self, at: Time) -> Option<Epoch> {
        let params = &self.rules.params;
        let epoch = params.epoch_at(at);
        let tip = self.archive.tip().map(|tip| tip.document.epoch());
        if tip.is_none_or(|tip| is_lapsed(tip, epoch)) {
            return Some(epoch);
        }
        let next = epoch.next();
        (at >= params.freeze_time(next) && tip < Some(next)).then_some(next)
    }

    /// Whether there is no document in force, so that no freeze says when to agree on one.
    fn is_without(&self) -> bool {
        let tip = self.archive.tip().map(|tip| tip.document.epoch());
        tip.is_none_or(|tip| is_lapsed(tip, self.epoch))
    }

    /// Everything that time brings about in the height that is being decided.
    pub(super) fn tick_council(&mut self, now: Time) {
        self.look_what_is_held(now);
        if self.council.as_ref().map(Council::height) != Some(self.archive.next_height()) {
            self.next_council(now);
        }
        if self
            .council
            .as_ref()
            .is_some_and(|council| council.agreement.is_none())
            && self.may_begin(now)
        {
            self.begin(now);
        }
        let Some(council) = &mut self.council else {
            return;
        };
        if let Some(agreement) = &mut council.agreement
            && agreement.poll_deadline().is_some_and(|at| now >= at)
        {
            agreement.handle_timeout(now);
        }
        self.give_up_council(now);
        self.pump(now);
        self.propose(now);
        self.fetch_wanted(now);
    }

    /// When there is something to do here if nothing happens before.
    pub(super) fn council_deadline(&self) -> Option<Time> {
        let params = &self.rules.params;
        let next = self.epoch.next();
        let mut times = Vec::from_iter(self.council.as_ref().and_then(Council::deadline));
        if !self.held.is_of(next) {
            times.push(look_at(params, next));
        }
        let waits = |council: &&Council| council.agreement.is_none() || council.turn.is_some();
        if self.council.as_ref().filter(waits).is_some() && !self.froze_for(next) {
            times.push(params.freeze_time(next));
        }
        times.into_iter().min()
    }

    /// Whether the freeze of an epoch was reached the last time that it was looked.
    fn froze_for(&self, epoch: Epoch) -> bool {
        self.looked_at >= self.rules.params.freeze_time(epoch)
    }

    fn look_what_is_held(&mut self, now: Time) {
        self.looked_at = now;
        let next = self.epoch.next();
        if self.held.is_of(next) || now < look_at(&self.rules.params, next) {
            return;
        }
        let base = self.archive.tip().map(|tip| Arc::clone(&tip.document));
        // Who comes after the freeze holds what came late as well.
        if now < self.rules.params.freeze_time(next) {
            let door = self.door(next, base.as_deref());
            let mut held = Held::default();
            held.take(&door, (&self.pool, &self.proven));
            self.held = held;
        } else {
            self.held.pass(next);
        }
    }

    /// Leaves the height that was being decided, and turns to the next.
    fn next_council(&mut self, now: Time) {
        let gone = self.council.take();
        let height = self.archive.next_height();
        for number in gone.iter().flat_map(|gone| gone.records.keys()) {
            let (height, number) = (gone.as_ref().map_or(height, Council::height), *number);
            self.persist(DirectoryChange::RemoveRecord { height, number });
        }
        for hash in gone.into_iter().flat_map(|gone| gone.kept) {
            self.persist(DirectoryChange::RemoveProposal { hash });
        }
        let Some(seats) = self.archive.seats().cloned() else {
            return;
        };
        let base = self.archive.tip().map(|tip| Arc::clone(&tip.document));
        let seats = (seats, self.archive.before().cloned());
        self.council = Some(Council::new(base, seats, height));
        self.look_at_seats();
        self.restore_council(now);
    }

    /// Takes up what was on disk at the start.
    fn restore_council(&mut self, now: Time) {
        let kept = std::mem::take(&mut self.kept);
        let Some(council) = &mut self.council else {
            return;
        };
        let height = council.height;
        // What was said in a seat that a recovery took away is not said by those that it names.
        let seats = kept.records.get(&(height, SEATS_RECORD));
        let same = seats.is_some_and(|seats| *seats == council.seats.hash());
        let mut gone = Vec::new();
        for ((of, number), bytes) in kept.records {
            council.next_record = council.next_record.max(number + 1);
            if of == height && same {
                council.records.insert(number, bytes);
            } else {
                gone.push((of, number));
            }
        }
        for (height, number) in gone {
            self.persist(DirectoryChange::RemoveRecord { height, number });
        }
        for bytes in kept.proposals {
            self.judge_kept(now, bytes);
        }
    }

    /// Whether it is time to begin.
    fn may_begin(&mut self, now: Time) -> bool {
        // Who does not know the time can't tell what comes in time.
        if self.own.is_held() {
            if let Some(council) = &mut self.council {
                council.heard_since = None;
            }
            return false;
        }
        let restored = |council: &Council| !council.records.is_empty();
        if self.council.as_ref().is_some_and(restored) {
            return true;
        }
        if !self.is_without() {
            return self.target(now).is_some();
        }
        let heard = self.heard_seats();
        let Some(council) = &mut self.council else {
            return false;
        };
        if heard < council.seats.quorum() {
            council.heard_since = None;
            return false;
        }
        let since = *council.heard_since.get_or_insert(now);
        heard == council.seats.count() || now >= since + REST
    }

    /// Of how many seats descriptors for this epoch have been heard.
    fn heard_seats(&self) -> usize {
        let council = self.council.as_ref();
        council.map_or(0, |it| it.seats.count() - it.absent.len())
    }

    fn begin(&mut self, now: Time) {
        let (own, timing) = (self.own_seat(), Timing::of_epoch(self.rules.params.epoch));
        let Some(council) = &mut self.council else {
            return;
        };
        let place = || {
            let order = council.order.to_vec();
            (council.seats.clone(), order, council.height)
        };
        let log = council.records.range(SEATS_RECORD + 1..);
        let log = log.flat_map(|(_, bytes)| bytes).copied();
        let log = Vec::from_iter(log);
        let begun = Agreement::new(place(), own, timing, &log, now);
        let agreement = begun.or_else(|damaged| {
            // Who can't tell what it said must not say anything else.
            let warning = DirectoryWarning::DamagedLog(damaged);
            self.actions.push_back(DirectoryAction::Warn(warning));
            Agreement::new(place(), None, timing, &[], now)
        });
        council.agreement = agreement.ok();
        self.pump(now);
    }

    /// This node and the key of its seat, if it has one in the height that is being decided.
    pub(super) fn own_seat(&self) -> Option<(NodeId, Arc<Identity>)> {
        let local = self.local.as_ref()?;
        let council = self.council.as_ref()?;
        let id = local.identity.id();
        let holder = council.seats.holder(council.seats.of(&id)?)?;
        if holder.key == id {
            return Some((id, Arc::clone(&local.identity)));
        }
        let key = self.seat_keys.as_ref()?.find(&holder.key)?;
        Some((id, Arc::new(key)))
    }

    fn hear(&mut self, now: Time, input: AgreementInput) {
        let council = self.council.as_mut();
        if let Some(agreement) = council.and_then(|council| council.agreement.as_mut()) {
            agreement.handle_input(now, input);
            self.pump(now);
        }
    }

    /// Takes a message of the agreement whose signatures are right. Begins if a seat has begun, and it is
    /// about time here too: enough has been heard, or the clocks differ. False if it changes nothing.
    pub(super) fn agree(&mut self, now: Time, message: Verified) -> bool {
        let waits = |council: &Council| council.agreement.is_none();
        if self.council.as_ref().is_some_and(waits) && !self.own.is_held() && self.is_about(now) {
            self.begin(now);
        }
        let said = message.message().clone();
        let knows = |it: &Self| {
            let council = it.council.as_ref();
            council.and_then(|council| Some(council.agreement.as_ref()?.knows(&said)))
        };
        if knows(self) != Some(false) {
            return false;
        }
        self.hear(now, AgreementInput::Message(message));
        // What is not kept, as a third vote of a seat or a proposal out of its turn, would be news each time
        // that it is said, and nobody who passes it on would ever have heard enough of it.
        knows(self) != Some(false)
    }

    fn is_about(&self, now: Time) -> bool {
        if self.is_without() {
            let seats = self.council.as_ref().map(|council| council.seats.quorum());
            return seats.is_some_and(|quorum| self.heard_seats() >= quorum);
        }
        let tolerance = Descriptor::clock_tolerance(&self.rules.params);
        self.target(now + tolerance).is_some()
    }

    /// Does what the agreement wants done.
    pub(super) fn pump(&mut self, now: Time) {
        loop {
            let Some(council) = &mut self.council else {
                return;
            };
            let action = council.agreement.as_mut().and_then(Agreement::poll_action);
            let Some(action) = action else { return };
            match action {
                AgreementAction::Persist { ticket, records } => {
                    let height = council.height;
                    let mut new: Vec<(u64, Arc<[u8]>)> = Vec::new();
                    if council.records.is_empty() {
                        new.push((SEATS_RECORD, council.seats.hash().as_slice().into()));
                        council.next_record = council.next_record.max(SEATS_RECORD + 1);
                    }
                    new.push((council.next_record, records.into()));
                    council.next_record += 1;
                    for (number, bytes) in new {
                        council.records.insert(number, Vec::new());
                        let record = DirectoryChange::Record {
                            height,
                            number,
                            bytes,
                        };
                        self.actions.push_back(DirectoryAction::Persist(record));
                    }
                    // What is sent from here on comes after it, and so leaves when it is on disk.
                    self.hear_once(now, AgreementInput::Persisted { ticket });
                }
                AgreementAction::Send(message) => self.tell(&message),
                AgreementAction::Judge(hash) => self.judge_or_want(now, hash),
                AgreementAction::Turn { round } => council.turn = Some(round),
                AgreementAction::Decided(certificate) => {
                    council.decision = Some(certificate);
                    self.conclude(now);
                }
                AgreementAction::Evidence(evidence) => self.prove_and_tell(&evidence),
            }
        }
    }

    pub(super) fn hear_once(&mut self, now: Time, input: AgreementInput) {
        let council = self.council.as_mut();
        if let Some(agreement) = council.and_then(|council| council.agreement.as_mut()) {
            agreement.handle_input(now, input);
        }
    }

    /// Tells everybody, in bytes that nobody has seen: what is said again is passed on again.
    fn tell(&mut self, message: &Message) {
        if self.peers.is_empty() {
            return;
        }
        let again = self.rng.random();
        let bytes = super::read::agreement_gossip(message, again);
        self.push(DirectoryAction::Publish(bytes));
    }

    /// Who still votes on what is decided is shown that it is, once in a while for all.
    pub(super) fn show_decision(&mut self, now: Time) {
        let Some(tip) = self.archive.tip() else {
            return;
        };
        if now < self.shown_at + Timing::of_epoch(self.rules.params.epoch).repeat {
            return;
        }
        self.shown_at = now;
        let certificate = tip.certificate.clone();
        self.tell(&Message::Certificate(certificate));
    }

    /// What this node thinks of a document, with its clock and what it holds.
    pub(super) fn tell_judgement(&mut self, now: Time, hash: DocumentHash, sound: &Sound) {
        let tolerance = Descriptor::clock_tolerance(&self.rules.params);
        let epoch = sound.document.epoch();
        let times = [now - tolerance, now, now + tolerance];
        let timely = times.iter().any(|at| self.target(*at) == Some(epoch));
        let judgement = match (timely, sound.complete) {
            (false, _) => Judgement::Untimely,
            (true, false) => Judgement::Omits,
            (true, true) => Judgement::Valid,
        };
        let reveal = sound.document.header().reveal.as_ref();
        let made_in = reveal.map(|reveal| reveal.round);
        self.hear_once(
            now,
            AgreementInput::Judged {
                document: hash,
                judgement,
                made_in,
            },
        );
    }

    /// Keeps a document that may be voted for: if all who voted for it lost it, nobody could have it
    /// again, and it could not be given up either.
    pub(super) fn keep_proposal(&mut self, document: &Arc<Document>) {
        let hash = *document.hash();
        if self
            .council
            .as_mut()
            .is_some_and(|council| council.kept.insert(hash))
        {
            let bytes = document.shared();
            self.persist(DirectoryChange::Proposal { hash, bytes });
        }
    }

    /// Has a document formed if it is this node's turn, and there is something to form.
    fn propose(&mut self, now: Time) {
        let Some(epoch) = self.target(now) else {
            return;
        };
        let Some((council, local)) = self.council.as_mut().zip(self.local.as_ref()) else {
            return;
        };
        let agreement = council.agreement.as_ref();
        let round = agreement.map_or(0, Agreement::round);
        let Some(turn) = council.turn.filter(|_| council.forming.is_none()) else {
            return;
        };
        council.turn = None;
        if turn != round {
            return;
        }
        let reveal = council.base.as_ref().map(|base| {
            let place = (council.height, round);
            Reveal::new(&local.identity.vrf_key(), base.seed(), place)
        });
        let place = Place {
            epoch,
            base: council.base.clone(),
            seats: council.seats.clone(),
            reveal,
            offences: Offences::new(council.before.clone(), (*self.proven.all()).clone()),
        };
        let base = council.base.clone();
        let leaving = self.held.leaving(epoch);
        let dead = self.newcomers_that(now, base.as_deref(), Watched::is_dead);
        let descriptors = choose(&self.door(epoch, base.as_deref()), &self.pool, |id| {
            leaving.contains(id) || dead.contains(id)
        });
        let recipe = Arc::new(Recipe { place, descriptors });
        if let Some(council) = &mut self.council {
            council.forming = Some((round, Arc::clone(&recipe), now));
        }
        self.job(Task::Form(recipe));
    }

    /// What this node is to propose has been formed.
    pub(super) fn formed(
        &mut self,
        now: Time,
        recipe: &Arc<Recipe>,
        formed: Result<(Arc<Document>, Seats), DocumentError>,
    ) {
        let Some(council) = &mut self.council else {
            return;
        };
        let is_it = |(_, forming, _): &mut (u32, Arc<Recipe>, Time)| forming == recipe;
        let Some((round, ..)) = council.forming.take_if(is_it) else {
            return;
        };
        match formed {
            Ok((document, seats)) => {
                self.counters.formed += 1;
                let hash = *document.hash();
                self.keep_proposal(&document);
                let listed = |signed: &&SignedDescriptor| document.member(&signed.id()).is_some();
                let descriptors = recipe.descriptors.iter().filter(listed);
                let sound = Sound {
                    descriptors: Arc::new(descriptors.cloned().collect()),
                    document,
                    seats,
                    complete: true,
                };
                if let Some(council) = &mut self.council {
                    council.documents.insert(hash, sound);
                }
                let document = hash;
                self.hear(now, AgreementInput::Propose { round, document });
            }
            Err(reason) => {
                let epoch = recipe.place.epoch;
                self.warn(DirectoryWarning::NotFormed { epoch, reason });
            }
        }
    }

    /// Takes what was decided, once the document is here.
    pub(super) fn conclude(&mut self, now: Time) {
        let Some(council) = &mut self.council else {
            return;
        };
        let Some(certificate) = council.decision.clone() else {
            return;
        };
        let hash = certificate.document;
        let Some(sound) = council.documents.get(&hash).cloned() else {
            return self.want_decided(now, hash);
        };
        let certified = Certified {
            document: sound.document,
            certificate,
        };
        let handover = self.archive.decided(&self.rules, &certified, sound.seats);
        if let Some((height, bytes)) = handover {
            self.persist(DirectoryChange::Handover { height, bytes });
        }
        self.counters.decided += 1;
        self.taken(now, &certified);
    }

    /// A document counts from now on.
    pub(super) fn taken(&mut self, now: Time, certified: &Certified) {
        let (epoch, bytes) = (certified.document.epoch(), certified.encode().into());
        self.persist(DirectoryChange::Document { epoch, bytes });
        self.recover();
        self.note_expelled(&certified.document);
        self.forget_evidence();
        self.refresh_view();
        self.turn_seat_key(certified.document.height());
        self.next_council(now);
    }

    /// Hands over by a recovery, if one goes on from what is here.
    pub(super) fn recover(&mut self) {
        let rules = Arc::clone(&self.rules);
        match self.archive.recover(&rules) {
            Ok(None) => {}
            Ok(Some((height, bytes))) => self.persist(DirectoryChange::Handover { height, bytes }),
            Err(height) => self.warn(DirectoryWarning::RecoveredFromAnother(height)),
        }
    }

    fn give_up_council(&mut self, now: Time) {
        let Some(council) = &mut self.council else {
            return;
        };
        let is_lost = |since: Time| now >= since + JOB_PATIENCE;
        let mut lost = council
            .forming
            .take_if(|(_, _, since)| is_lost(*since))
            .is_some();
        for wanted in council.wanted.values_mut() {
            lost |= wanted.give_up(now);
        }
        if lost {
            self.note_lost();
        }
    }
}
