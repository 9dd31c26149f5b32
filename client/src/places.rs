//! Where this client is written to: places, each of which is two mailboxes at providers of different families,
//! or one where there are too few.
//!
//! One place is for contacts. It moves: about once in its life another one is drawn and opened, contacts are
//! told of it inside the conversation, and the old one is read until nobody needs it any more (see
//! [`moving`](self::moving)). One place is for strangers: invitations lead to it, and it stays, so what its
//! providers learn of the owner has to do with nobody's conversation. Where the user names the providers, one
//! place is for all, and stays.
//!
//! Of the packets to the own mailboxes most go to the two of the present place for contacts, four of five of
//! them to one of the two, whose clock is four times as fast: that is where most deliveries come from. The
//! other has the second copy of everything. When the stream of the one fails, the two change their parts. The two
//! that invitations lead to get five for eight of the other's, at all times, so that a first text takes seconds. All
//! other mailboxes get little; the link shows none of this. When another place takes the part of the present one,
//! that goes by steps, hours apart: the present one falls to the smaller part, the other one rises, and what was
//! the present one falls to little. Texts take a little longer meanwhile, for a provider that has mailboxes of both
//! would else see the one lose what the other gets.

mod draw;
mod moving;
mod tokens;
mod told;

use std::collections::{BTreeMap, BTreeSet};

use rand::{CryptoRng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use shoal_packet::Sites;
use shoal_packet::command::Share;
use shoal_packet::token::TokenCode;
use shoal_proto::{DropId, NetworkHash, NodeId, Span, Time};
use shoal_topology::{Document, NetworkParameters, Profile};
use zeroize::Zeroizing;

use crate::clock::ClockStep;
use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::event::Alarm;
use crate::mailbox::MailboxLink;
use crate::outbox;
use crate::pace::Pace;
use crate::rows::{
    Audience, BoxId, Change, MailboxRow, PlaceRow, RevocationRow, Row, SETS, SetState, Stage,
    TicketRow,
};
use crate::sets::DropName;
use crate::table::Table;
use crate::watch::BoxWatch;

pub use self::told::{PlaceAudience, PlaceMailbox, PlaceStage, PlaceStatus};

/// The own places and their mailboxes.
pub(crate) struct Places {
    places: BTreeMap<u32, PlaceRow>,
    boxes: BTreeMap<BoxId, MailboxLink>,
    /// Of the next place.
    next_number: u32,
    pace: Pace,
    /// Index of the profile, which names the rates of the mailboxes' clocks.
    profile: u8,
    /// Packets per second that the mailbox with the largest share sends in the mean.
    clock: f64,
    /// How long a number may be missing in a stream.
    patience: Span,
    /// After how many mean gaps a stream has paused.
    pause_gaps: u32,
    /// What the user says. Then nothing is drawn.
    pinned: Vec<NodeId>,
    /// What the user was told by providers that do not issue tokens to everybody.
    codes: BTreeMap<NodeId, TokenCode>,
    /// The network that work for tokens is done for.
    network: NetworkHash,
    /// The first wait for a token.
    first_wait: Span,
    /// The providers that this client enters by, as far as they are known.
    entries: Vec<NodeId>,
    /// Of the present place for contacts, the mailbox with the larger share: 0 or 1.
    larger: u8,
    /// Since when the present place for contacts has been in trouble.
    troubled: Option<Time>,
}

/// A mailbox as its provider sees it: it is there, under a key that leads to no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenMailbox {
    /// The owner's number for its place. No provider knows it.
    pub place: u32,
    /// The first mailbox of the place, or the second.
    pub copy: u8,
    /// Who has it.
    pub provider: NodeId,
    /// What part of its owner's packets it gets, and of deliveries it makes.
    pub share: Share,
    /// Contacts write to it, or have written to it.
    pub for_contacts: bool,
}

/// A place that was made.
pub(crate) struct Made {
    /// What is to be saved before one of its mailboxes is written to.
    pub(crate) changes: Vec<Change>,
    pub(crate) boxes: Vec<BoxId>,
}

impl Places {
    /// None yet.
    pub(crate) fn new<R: CryptoRng>(
        params: &NetworkParameters,
        index: u8,
        profile: &Profile,
        config: &ClientConfig,
        rng: &mut R,
    ) -> Self {
        Self {
            places: BTreeMap::new(),
            boxes: BTreeMap::new(),
            next_number: 0,
            pace: Pace::new(params, ChaCha20Rng::from_rng(rng)),
            profile: index,
            clock: profile.mailbox_clock,
            patience: config.reply_timeout,
            pause_gaps: config.pause_gaps,
            pinned: config.mailboxes.clone(),
            codes: (config.codes.iter())
                .map(|(provider, text)| (*provider, TokenCode::of(provider, text)))
                .collect(),
            network: params.chain(),
            first_wait: outbox::first_wait(params, profile),
            entries: Vec::from_iter(config.entry),
            larger: 0,
            troubled: None,
        }
    }

    /// Those of an earlier run.
    pub(crate) fn restore<R: CryptoRng>(
        &mut self,
        rows: &[Row],
        rng: &mut R,
        now: Time,
    ) -> Result<(), ClientError> {
        for row in rows.iter().filter(|row| row.table == Table::Place) {
            let number = PlaceRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let mut place = PlaceRow::decode(&row.value).map_err(|e| row.fault(e))?;
            // The clock may have been another one when it was written.
            if place.next != Time::MAX {
                place.next = place.next.min(now + self.pace.longest());
            }
            self.places.insert(number, place);
        }
        for row in rows.iter().filter(|row| row.table == Table::Mailbox) {
            let id = BoxId::decode(&row.key).map_err(|e| row.fault(e))?;
            let value = MailboxRow::decode(&row.value).map_err(|e| row.fault(e))?;
            let place = self.places.get(&id.place).copied();
            let place = place.ok_or_else(|| row.fault("its place is missing"))?;
            let from = match place.stage {
                Stage::Open => now,
                _ => self.pace.asks(now),
            };
            let link = self.add(id, value, (place.audience, from), rng);
            link.set_kept();
            if place.stage == Stage::Closing {
                link.close();
            }
        }
        for row in rows.iter().filter(|row| row.table == Table::Revocation) {
            let (id, name) = RevocationRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let value = RevocationRow::decode(&row.value).map_err(|e| row.fault(e))?;
            let link = self.boxes.get_mut(&id);
            let link = link.ok_or_else(|| row.fault("its mailbox is missing"))?;
            link.restore_revocation(name, value.bound(now + self.pace.day()));
        }
        self.set_pauses(now);
        Ok(())
    }

    fn add<R: CryptoRng>(
        &mut self,
        id: BoxId,
        row: MailboxRow,
        ticket: (Audience, Time),
        rng: &mut R,
    ) -> &mut MailboxLink {
        let watch = BoxWatch::new(self.patience, Span::MAX);
        let link = MailboxLink::new(id, row, ticket, watch, rng);
        self.boxes.entry(id).or_insert(link)
    }

    /// Makes the places that are missing: where the user says, or at providers that are drawn.
    pub(crate) fn make<R: CryptoRng>(
        &mut self,
        now: Time,
        rng: &mut R,
        document: Option<&Document>,
    ) -> Vec<Made> {
        if !self.pinned.is_empty() {
            return match self.is_pinned() {
                true => Vec::new(),
                false => {
                    let providers = self.pinned.clone();
                    let made = self.make_place(now, rng, Audience::All, Stage::Open, providers);
                    vec![made]
                }
            };
        }
        let Some(document) = document else {
            return Vec::new();
        };
        // The user named the providers of one place, and does not any more: it moves.
        let opens = self.pace.opens(now);
        let named = |row: &&mut PlaceRow| row.stage == Stage::Open && row.audience == Audience::All;
        for row in self.places.values_mut().filter(named) {
            row.next = row.next.min(opens);
        }
        let mut made = Vec::new();
        for audience in [Audience::Contacts, Audience::Strangers] {
            let has = |row: &PlaceRow| row.stage == Stage::Open && row.audience.meets(audience);
            if self.places.values().any(has) {
                continue;
            }
            let providers = self.draw(rng, document);
            if !providers.is_empty() {
                made.push(self.make_place(now, rng, audience, Stage::Open, providers));
            }
        }
        made
    }

    /// Whether a place is where the user says.
    fn is_pinned(&self) -> bool {
        let there = |number: &u32| {
            self.of(*number)
                .map(MailboxLink::provider)
                .eq(self.pinned.iter().copied())
        };
        let open = self
            .places
            .iter()
            .filter(|(_, row)| row.stage == Stage::Open);
        let mut all = open.filter(|(_, row)| row.audience == Audience::All);
        all.any(|(number, _)| there(number))
    }

    fn make_place<R: CryptoRng>(
        &mut self,
        now: Time,
        rng: &mut R,
        audience: Audience,
        stage: Stage,
        providers: Vec<NodeId>,
    ) -> Made {
        // Also of one that was given up: what comes for that is for no other.
        let last = self
            .places
            .last_key_value()
            .map(|(last, _)| last.saturating_add(1));
        let number = self.next_number.max(last.unwrap_or(0));
        self.next_number = number.saturating_add(1);
        let row = PlaceRow {
            audience,
            stage,
            made: now,
            next: Time::MAX,
            until: Time::MAX,
        };
        self.places.insert(number, row);
        let mut boxes = Vec::new();
        for (provider, copy) in providers.into_iter().zip(0..2) {
            let mut seed = Zeroizing::new([0; 32]);
            rng.fill_bytes(seed.as_mut_slice());
            let row = MailboxRow {
                provider,
                seed,
                generation: 0,
                states: [SetState::Unknown; SETS],
                ticket: TicketRow::None,
            };
            let id = BoxId {
                place: number,
                copy,
            };
            let from = match stage {
                // At once: nobody could write to it before.
                Stage::Open => now,
                _ => self.pace.asks(now),
            };
            self.add(id, row, (audience, from), rng);
            boxes.push(id);
        }
        let mut changes = match stage {
            Stage::Open => self.give_out(now, number),
            _ => {
                let next = self.pace.opens(now);
                self.put(number, |row| row.next = next)
            }
        };
        changes.extend(
            boxes
                .iter()
                .filter_map(|id| self.boxes.get(id))
                .map(MailboxLink::saved),
        );
        self.set_pauses(now);
        Made { changes, boxes }
    }

    /// Changes a place's row; what is to be saved.
    fn put(&mut self, number: u32, change: impl FnOnce(&mut PlaceRow)) -> Vec<Change> {
        let Some(row) = self.places.get_mut(&number) else {
            return Vec::new();
        };
        change(row);
        vec![row.saved(number)]
    }

    /// A connection begins; what is to be saved of each mailbox.
    pub(crate) fn restart<R: CryptoRng>(
        &mut self,
        now: Time,
        rng: &mut R,
    ) -> Vec<(BoxId, Vec<Change>)> {
        let mut all = Vec::new();
        for (id, link) in &mut self.boxes {
            if let Some(change) = link.restart(now, rng) {
                // With its place's row, which may not have been saved when it was made.
                let place = self.places.get(&id.place);
                let place = place.map(|row| row.saved(id.place));
                all.push((*id, place.into_iter().chain([change]).collect()));
            }
        }
        all
    }

    /// These are the providers that this client enters by: what is drawn from now on is apart from them.
    pub(crate) fn set_entries(&mut self, entries: Vec<NodeId>) {
        self.entries = entries;
    }

    /// The providers, of all places.
    pub(crate) fn providers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.boxes.values().map(MailboxLink::provider)
    }

    pub(crate) fn get_mut(&mut self, id: BoxId) -> Option<&mut MailboxLink> {
        self.boxes.get_mut(&id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &MailboxLink> {
        self.boxes.values()
    }

    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut MailboxLink> {
        self.boxes.values_mut()
    }

    /// The mailboxes of a place.
    fn of(&self, number: u32) -> impl Iterator<Item = &MailboxLink> {
        let id = |copy| BoxId {
            place: number,
            copy,
        };
        self.boxes.range(id(0)..=id(u8::MAX)).map(|(_, link)| link)
    }

    /// The place that is given out to these: the newest one that is open, or that was.
    fn present(&self, has: fn(Audience) -> bool) -> Option<u32> {
        let newest = |stage| {
            let mut places = self.places.iter().rev();
            let of = |row: &PlaceRow| row.stage == stage && has(row.audience);
            places.find(|(_, row)| of(row)).map(|(number, _)| *number)
        };
        let known = newest(Stage::Open).or_else(|| newest(Stage::Fading));
        known.or_else(|| newest(Stage::Left))
    }

    /// The number of the place that contacts are told; 0 before there is one.
    pub(crate) fn for_contacts(&self) -> u32 {
        self.present(Audience::has_contacts).unwrap_or(0)
    }

    /// The number of a mailbox' place, if contacts write to it.
    pub(crate) fn known_to_contacts(&self, id: BoxId) -> Option<u32> {
        let row = self.places.get(&id.place)?;
        row.audience.has_contacts().then_some(id.place)
    }

    /// Whether a drop id of a mailbox is that of the contact of this number.
    pub(crate) fn is_of_contact(&self, id: BoxId, number: u16, drop: &DropId) -> bool {
        let link = self.boxes.get(&id);
        link.is_some_and(|link| link.site(DropName::Contact(number)).drop == *drop)
    }

    /// Which mailbox a packet is for; none if it is one that is not saved yet, or there is none.
    pub(crate) fn turn<R: CryptoRng>(&self, rng: &mut R) -> Option<BoxId> {
        let written_to = |link: &&MailboxLink| !link.is_locked() && !self.is_bought(link.id());
        let links = || self.boxes.values().filter(written_to);
        let weights = || links().map(|link| (link.id(), self.share(link.id()).weight()));
        let all: u32 = weights().map(|(_, weight)| weight).sum();
        // Drawn also where there is nothing to choose.
        let mut drawn = rng.random_range(0..all.max(1));
        for (id, weight) in weights() {
            match drawn.checked_sub(weight) {
                Some(rest) => drawn = rest,
                None => {
                    return Some(id)
                        .filter(|id| self.boxes.get(id).is_some_and(MailboxLink::is_kept));
                }
            }
        }
        None
    }

    /// Whether the tokens for a mailbox' place are being got, or kept for some hours: it is not to be opened.
    fn is_bought(&self, id: BoxId) -> bool {
        let row = self.places.get(&id.place);
        row.is_some_and(|row| matches!(row.stage, Stage::Buying | Stage::Bought))
    }

    /// Whether a mailbox is of a place that contacts knew until a short while ago.
    fn is_fading(&self, id: BoxId) -> bool {
        let row = self.places.get(&id.place);
        row.is_some_and(|row| row.stage == Stage::Fading && row.audience.has_contacts())
    }

    /// Whether new invitations lead to a mailbox' place: whether there are any changes nothing.
    fn is_intake(&self, id: BoxId) -> bool {
        let open = |row: &PlaceRow| row.stage == Stage::Open;
        self.present(Audience::has_strangers) == Some(id.place)
            && self.places.get(&id.place).is_some_and(open)
    }

    /// The part that a mailbox has.
    pub(crate) fn share(&self, id: BoxId) -> Share {
        let successor = |row: &PlaceRow| row.stage == Stage::Ready && row.audience.has_contacts();
        let leads = self.present(Audience::has_contacts) == Some(id.place);
        if leads && self.places.values().any(successor) || self.is_fading(id) {
            return Share::Second;
        }
        if leads {
            return match id.copy != self.larger && self.of(id.place).count() > 1 {
                true => Share::Second,
                false => Share::First,
            };
        }
        if self.boxes.get(&id).is_some_and(MailboxLink::is_hurried) {
            return Share::Second;
        }
        match self.is_intake(id) {
            true => Share::Intake,
            false => Share::Minor,
        }
    }

    /// Packets per second that a mailbox sends in the mean.
    pub(crate) fn clock(&self, id: BoxId) -> f64 {
        self.share(id).of(self.clock)
    }

    /// The profile that a mailbox is told.
    pub(crate) fn profile(&self) -> u8 {
        self.profile
    }

    /// The mailboxes of the present place for contacts change their parts, if the one with the larger can't be
    /// relied on and the other can. Only where packets go changes by it, and at which rate answers come to the
    /// entry, whose clock hides it.
    pub(crate) fn swap_on_alarm(&mut self, now: Time) {
        let links = self.of(self.for_contacts());
        let (larger, smaller): (Vec<&MailboxLink>, Vec<_>) =
            links.partition(|link| self.share(link.id()) == Share::First);
        let alarmed = |links: &[&MailboxLink]| links.iter().any(|link| link.watch().is_alarmed());
        if alarmed(&larger) && !smaller.is_empty() && !alarmed(&smaller) {
            self.larger = 1 - self.larger;
        }
        self.set_pauses(now);
    }

    /// Each stream pauses by its own clock, which is another one when the shares have changed.
    fn set_pauses(&mut self, now: Time) {
        let pause = |clock: f64| match clock > 0.0 {
            true => Span::from_secs_f64(f64::from(self.pause_gaps) / clock),
            false => Span::MAX,
        };
        let pauses: Vec<(BoxId, Span)> = self
            .boxes
            .keys()
            .map(|id| (*id, pause(self.clock(*id))))
            .collect();
        for (id, pause) in pauses {
            if let Some(link) = self.boxes.get_mut(&id) {
                link.watch_mut().set_pause(now, pause);
            }
        }
    }

    /// Whether another copy of this client has one of the mailboxes.
    pub(crate) fn is_superseded(&self) -> bool {
        self.boxes.values().any(MailboxLink::is_superseded)
    }

    /// The mailboxes that new invitations lead to.
    fn for_strangers(&self) -> impl Iterator<Item = &MailboxLink> {
        let place = self.present(Audience::has_strangers);
        place.into_iter().flat_map(|number| self.of(number))
    }

    /// Whether what is sent by a new invitation is taken.
    pub(crate) fn is_open(&self) -> bool {
        let mut links = self.for_strangers();
        links.any(|link| link.sets().takes_strangers())
    }

    /// Whether the user names the providers.
    pub(crate) fn are_named(&self) -> bool {
        !self.pinned.is_empty()
    }

    /// Where who has this drop id of a place writes to; none without such a place.
    pub(crate) fn sites(&self, place: u32, name: DropName) -> Option<Sites> {
        let mut sites = self.of(place).map(|link| link.site(name));
        Some(Sites {
            first: sites.next()?,
            second: sites.next(),
        })
    }

    /// Where the contact of this number writes to; none before there is a mailbox.
    pub(crate) fn of_contact(&self, number: u16) -> Option<Sites> {
        let place = self.present(Audience::has_contacts)?;
        self.sites(place, DropName::Contact(number))
    }

    /// The place that new invitations lead to; none before there is a mailbox.
    pub(crate) fn for_invitations(&self) -> Option<u32> {
        self.present(Audience::has_strangers)
            .filter(|place| self.of(*place).next().is_some())
    }

    /// Drop ids that take nothing more, or are to: of this place, or of all.
    pub(crate) fn revoked(&self, place: Option<u32>) -> BTreeSet<DropName> {
        let of = |link: &&MailboxLink| place.is_none_or(|place| link.id().place == place);
        let links = self.boxes.values().filter(of);
        links.flat_map(|link| link.sets().revoked()).collect()
    }

    /// A drop id of a place takes nothing more. When its mailboxes are told has nothing to do with when that was
    /// decided. What is to be saved.
    pub(crate) fn revoke(&mut self, now: Time, place: u32, name: DropName) -> Vec<Change> {
        let mut changes = Vec::new();
        let of = |link: &&mut MailboxLink| link.id().place == place;
        for link in self.boxes.values_mut().filter(of) {
            changes.push(link.revoke(name, self.pace.opens(now)));
        }
        changes
    }

    /// The drop id of a contact takes nothing more, wherever it was given out. What is to be saved.
    pub(crate) fn revoke_contact(&mut self, now: Time, number: u16) -> Vec<Change> {
        let given = |row: &PlaceRow| !row.is_coming() && row.audience.has_contacts();
        let places = self.places.iter().filter(|(_, row)| given(row));
        let places: Vec<u32> = places.map(|(place, _)| *place).collect();
        let name = DropName::Contact(number);
        let changes = places.into_iter().flat_map(|it| self.revoke(now, it, name));
        changes.collect()
    }

    /// What a day is to places.
    pub(crate) fn day(&self) -> Span {
        self.pace.day()
    }

    /// Whether there is a place of this number.
    pub(crate) fn is_there(&self, number: u32) -> bool {
        self.places.contains_key(&number)
    }

    /// What can be wrong with the mailboxes that others write to, and whether it is.
    pub(crate) fn alarms(&self) -> [(Alarm, bool); 3] {
        let known = |row: &PlaceRow| matches!(row.stage, Stage::Open | Stage::Fading | Stage::Left);
        let places = || self.places.iter().filter(|(_, row)| known(row));
        let links = || places().flat_map(|(number, _)| self.of(*number));
        let losses = links().filter_map(|link| link.watch().losses()).max();
        let paused = links().filter_map(|link| link.watch().paused()).max();
        let lone = self.pinned.is_empty() && self.of(self.for_contacts()).count() == 1;
        [
            (Alarm::StreamLost(losses.unwrap_or(0)), losses.is_some()),
            (
                Alarm::StreamPaused(paused.unwrap_or(Span::ZERO)),
                paused.is_some(),
            ),
            (Alarm::OneCopy, lone),
        ]
    }

    /// All that is written to is open, and what is closed is empty: for who simulates no packets.
    pub(crate) fn settle_at_once(&mut self, now: Time) {
        let bought: Vec<BoxId> = self
            .boxes
            .keys()
            .copied()
            .filter(|id| self.is_bought(*id))
            .collect();
        for (id, link) in &mut self.boxes {
            if !bought.contains(id) {
                link.settle_at_once();
            }
        }
        self.set_pauses(now);
    }

    /// The mailboxes that their providers know of.
    pub(crate) fn seen(&self) -> Vec<SeenMailbox> {
        let links = self
            .boxes
            .values()
            .filter(|link| !self.is_bought(link.id()));
        let seen = links.map(|link| SeenMailbox {
            place: link.id().place,
            copy: link.id().copy,
            provider: link.provider(),
            share: self.share(link.id()),
            for_contacts: self.known_to_contacts(link.id()).is_some(),
        });
        seen.collect()
    }

    /// What is to happen is as far away as before.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        for row in self.places.values_mut() {
            for time in [&mut row.made, &mut row.next, &mut row.until] {
                if *time != Time::MAX {
                    *time = step.apply(*time);
                }
            }
        }
        self.troubled = self.troubled.map(|since| step.apply(since));
        for link in self.boxes.values_mut() {
            link.clock_moved(step);
        }
    }
}
