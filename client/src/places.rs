//! Where this client is written to: its place, which is two mailboxes at providers of different families, or
//! one where there are too few.
//!
//! Of the packets to the own mailboxes four of five go to one of the two, and its clock is four times as
//! fast: that is where most deliveries come from. The other has the second copy of everything. When the
//! stream of the one fails, the two change their parts; the link shows none of this.

use std::collections::BTreeMap;

use rand::seq::SliceRandom as _;
use rand::{CryptoRng, RngExt as _};
use shoal_packet::command::Share;
use shoal_packet::{DropSite, Sites};
use shoal_proto::{NodeId, Span};
use shoal_topology::{Document, Member, Profile};
use zeroize::Zeroizing;

use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::event::Alarm;
use crate::mailbox::MailboxLink;
use crate::rows::{BoxId, MailboxRow, Row, SETS, SetState};
use crate::table::Table;
use crate::watch::BoxWatch;

/// Of so many packets to the own mailboxes, one is for the one with the smaller share.
const TURNS: u32 = 5;

/// The own mailboxes.
pub(crate) struct Places {
    boxes: BTreeMap<BoxId, MailboxLink>,
    /// Index of the profile, which names the rates of the mailboxes' clocks.
    profile: u8,
    /// Packets per second that the mailbox with the larger share sends in the mean.
    clock: f64,
    /// How long a number may be missing in a stream.
    patience: Span,
    /// After how many mean gaps a stream has paused.
    pause_gaps: u32,
    /// What the user says. Then nothing is drawn.
    pinned: Vec<NodeId>,
    /// The mailbox with the larger share: 0 or 1.
    larger: u8,
}

impl Places {
    /// None yet.
    pub(crate) fn new(index: u8, profile: &Profile, config: &ClientConfig) -> Self {
        Self {
            boxes: BTreeMap::new(),
            profile: index,
            clock: profile.mailbox_clock,
            patience: config.reply_timeout,
            pause_gaps: config.pause_gaps,
            pinned: config.mailboxes.clone(),
            larger: 0,
        }
    }

    /// Those of an earlier run. Of pinned ones, those that are not pinned any more are left out.
    pub(crate) fn restore<R: CryptoRng>(
        &mut self,
        rows: &[Row],
        rng: &mut R,
    ) -> Result<(), ClientError> {
        for row in rows.iter().filter(|row| row.table == Table::Mailbox) {
            let id = BoxId::decode(&row.key).map_err(|e| row.fault(e))?;
            let value = MailboxRow::decode(&row.value).map_err(|e| row.fault(e))?;
            if self.pinned.is_empty() || self.pinned.contains(&value.provider) {
                self.add(id, value, rng).set_kept();
            }
        }
        Ok(())
    }

    fn add<R: CryptoRng>(&mut self, id: BoxId, row: MailboxRow, rng: &mut R) -> &mut MailboxLink {
        let watch = BoxWatch::new(self.patience, Span::MAX);
        let link = MailboxLink::new(id, row, watch, rng);
        self.boxes.entry(id).or_insert(link)
    }

    /// Makes the first place, if there is none: where the user says, or at two providers that are drawn from
    /// those that have no family and no network in common with each other, nor with `entry`. Returns
    /// what is to be saved before one of them is written to.
    pub(crate) fn make<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        document: Option<&Document>,
        entry: Option<&NodeId>,
    ) -> Vec<BoxId> {
        let missing = |id: &NodeId| !self.boxes.values().any(|link| link.provider() == *id);
        let providers = match (self.pinned.is_empty(), document) {
            (false, _) => self.pinned.iter().copied().filter(missing).collect(),
            (true, Some(document)) if self.boxes.is_empty() => draw(rng, document, entry),
            (true, _) => Vec::new(),
        };
        let free = |copy: &u8| {
            let id = BoxId {
                place: 0,
                copy: *copy,
            };
            !self.boxes.contains_key(&id)
        };
        let copies: Vec<u8> = (0..2).filter(free).collect();
        let mut made = Vec::new();
        for (provider, copy) in providers.into_iter().zip(copies) {
            let mut seed = Zeroizing::new([0; 32]);
            rng.fill_bytes(seed.as_mut_slice());
            let row = MailboxRow {
                provider,
                seed,
                generation: 0,
                states: [SetState::Unknown; SETS],
            };
            let id = BoxId { place: 0, copy };
            self.add(id, row, rng);
            made.push(id);
        }
        self.set_pauses();
        made
    }

    /// The providers.
    pub(crate) fn providers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.boxes.values().map(MailboxLink::provider)
    }

    pub(crate) fn get(&self, id: BoxId) -> Option<&MailboxLink> {
        self.boxes.get(&id)
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

    /// Which mailbox a packet is for, of those that are saved.
    pub(crate) fn turn<R: CryptoRng>(&self, rng: &mut R) -> Option<BoxId> {
        // Drawn also where there is nothing to choose.
        let smaller = rng.random_ratio(1, TURNS);
        let kept = || self.boxes.values().filter(|link| link.is_kept());
        let share = match smaller {
            true => Share::Second,
            false => Share::First,
        };
        let drawn = kept().find(|link| self.share(link.id()) == share);
        match drawn {
            Some(link) => Some(link.id()),
            // The only one gets all.
            None if self.boxes.len() == 1 => kept().next().map(MailboxLink::id),
            None => None,
        }
    }

    /// The part that a mailbox has.
    pub(crate) fn share(&self, id: BoxId) -> Share {
        match self.boxes.len() > 1 && id.copy != self.larger {
            true => Share::Second,
            false => Share::First,
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

    /// The mailboxes change their parts, if the one with the larger can't be relied on and the other can. Only
    /// where packets go changes by it, and at which rate answers come to the entry, whose clock hides it.
    pub(crate) fn swap_on_alarm(&mut self) {
        let (larger, smaller): (Vec<&MailboxLink>, Vec<_>) = self
            .boxes
            .values()
            .partition(|link| self.share(link.id()) == Share::First);
        let alarmed = |links: &[&MailboxLink]| links.iter().any(|link| link.watch().is_alarmed());
        if alarmed(&larger) && !smaller.is_empty() && !alarmed(&smaller) {
            self.larger = 1 - self.larger;
            self.set_pauses();
        }
    }

    fn set_pauses(&mut self) {
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
                link.watch_mut().set_pause(pause);
            }
        }
    }

    /// Whether another copy of this client has one of the mailboxes.
    pub(crate) fn is_superseded(&self) -> bool {
        self.boxes.values().any(MailboxLink::is_superseded)
    }

    /// Whether what is sent to the address is taken.
    pub(crate) fn is_open(&self) -> bool {
        self.boxes.values().any(|link| link.sets().is_open())
    }

    fn sites(&self, of: impl Fn(&MailboxLink) -> DropSite) -> Option<Sites> {
        let mut sites = self.boxes.values().map(of);
        Some(Sites {
            first: sites.next()?,
            second: sites.next(),
        })
    }

    /// Where the contact of this number writes to; none before there is a mailbox.
    pub(crate) fn of_contact(&self, number: u16) -> Option<Sites> {
        self.sites(|link| link.of_contact(number))
    }

    /// Where strangers write to; none before there is a mailbox.
    pub(crate) fn in_address(&self) -> Option<Sites> {
        self.sites(MailboxLink::in_address)
    }

    /// What can be wrong with the mailboxes, and whether it is.
    pub(crate) fn alarms(&self) -> [(Alarm, bool); 3] {
        let losses = self.all().filter_map(|link| link.watch().losses()).max();
        let paused = self.all().filter_map(|link| link.watch().paused()).max();
        let lone = self.pinned.is_empty() && self.boxes.len() == 1;
        [
            (Alarm::StreamLost(losses.unwrap_or(0)), losses.is_some()),
            (
                Alarm::StreamPaused(paused.unwrap_or(Span::ZERO)),
                paused.is_some(),
            ),
            (Alarm::OneCopy, lone),
        ]
    }
}

/// Two providers, or one where two would leave none to enter by.
fn draw<R: CryptoRng>(rng: &mut R, document: &Document, entry: Option<&NodeId>) -> Vec<NodeId> {
    let mut providers = document.providers().to_vec();
    providers.retain(|id| Some(id) != entry);
    providers.shuffle(rng);
    let taken = entry.and_then(|entry| document.member(entry));
    let spare = usize::from(taken.is_none());
    let taken = taken.map(Member::ties).into_iter().collect();
    let mut drawn = document.apart(taken, providers);
    let most = drawn.len().saturating_sub(spare).clamp(1, 2);
    drawn.truncate(most);
    drawn
}
