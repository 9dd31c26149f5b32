//! The mailbox job: owners' commands, and the clocks that spend their reply blocks.

mod backlog;
mod standing;
mod stock;
mod stream;

use std::collections::BTreeMap;

use rand::CryptoRng;
use shoal_packet::Frame;
use shoal_packet::command::{MailboxRequest, Reply};
use shoal_proto::{DropId, MailboxId, NodeId, Span, Time};
use shoal_topology::{NetworkParameters, PoissonClock};

use self::backlog::Backlog;
use self::standing::{Rank, Standing};
use self::stock::Stock;
use self::stream::Stream;
use crate::clocks::Clocks;
use crate::documents::{Documents, leads_inside, spend};
use crate::hourly::Hourly;
use crate::replies::Held;
use crate::store::{EntryId, Opening};
use crate::tokens::Tokens;
use crate::{DropReason, Limits, StoreOp, StoreOutcome, StoreResult, Window};

/// Ticks of the mailbox's clock that an acknowledgement is given at least: slow profiles
/// acknowledge slowly, and must not have everything pushed twice.
const PUSH_AGAIN_TICKS: f64 = 40.0;

shoal_proto::counters! {
    /// Mailboxes that are being delivered.
    pub struct MailboxCounters("provider") {
        /// Commands from owners of mailboxes that were done.
        mailbox_commands: counter "packets";
        /// Commands from owners that wait for the store.
        mailbox_pending: gauge "packets";
        /// Mailboxes that were opened.
        opened: counter "mailboxes",
            "If it always grows by openings_per_hour, somebody opens all that can be: ask for tokens.";
        /// Tokens that mailboxes were opened for.
        spent: counter "tokens";
        /// Mailboxes being delivered now.
        active: gauge "mailboxes", "Near the bound, owners are turned away: raise it if there is memory.";
        /// Mailboxes that were not delivered any more, to make room for others.
        evicted: counter "mailboxes",
            "There are more owners than active_mailboxes: raise it if there is memory.";
        /// Stream packets with an entry.
        stream_entries: counter "packets";
        /// Stream packets with an entry that was pushed before.
        stream_again: counter "packets";
        /// Stream packets without an entry.
        stream_idle: counter "packets";
        /// Ticks of mailboxes' clocks that found no reply block.
        without_stock: counter "ticks";
        /// Ticks of mailboxes' clocks that came more than a second late; nothing was sent for them.
        mailbox_missed: counter "ticks",
            "The machine slept, or has too little processor time for what it does.";
        /// Reply blocks taken into stock.
        stock_added: counter "reply_blocks";
        /// Reply blocks dropped because newer ones filled the stock.
        stock_overflow: counter "reply_blocks";
        /// Reply blocks dropped unused: of an epoch or for a first hop that does not count, or of an
        /// older generation.
        stock_void: counter "reply_blocks",
            "Some at the switch of an epoch are normal. If it grows between, look at the clock and whether documents arrive.";
        /// Reply blocks in stock now.
        stock: gauge "reply_blocks";
        /// Changes of drop ids that the store did not do; their owners are told.
        refused: counter "changes",
            "Owners want more sets of drop ids than a mailbox may have: a client registers two.";
        /// Entries acknowledged by owners, as they say.
        acknowledged: counter "entries";
    }
}

/// The mailboxes that are being delivered, their clocks, and the owners' commands that wait for the
/// store to say whether they count.
pub(crate) struct Mailboxes {
    streams: BTreeMap<MailboxId, Stream>,
    clocks: Clocks<MailboxId>,
    /// Commands that the store has been asked about.
    attending: usize,
    openings: Hourly,
    /// Of those commands, how many may open a mailbox.
    opening: u64,
    next_question: u64,
    limits: Limits,
    counters: MailboxCounters,
}

/// An owner's command that waits for the store.
pub(crate) struct Attending {
    request: MailboxRequest,
    rate: f64,
    opening: Opening,
    /// Why it does not count if the store refuses it.
    refused: DropReason,
}

/// What the store said of a command that counts.
struct Attended {
    fresh: bool,
    window: Window,
    stream: u64,
    created: Time,
    waits: bool,
}

/// Why a command does not count.
pub(crate) struct Refusal {
    pub(crate) reason: DropReason,
    /// What its owner is answered, by a reply block out of the command itself.
    pub(crate) answer: Option<Held>,
}

impl Refusal {
    fn new(attending: Attending, result: StoreResult) -> Self {
        let Attending {
            request, refused, ..
        } = attending;
        let (reason, answer) = match result {
            // It was received before, or its generation is over.
            Ok(StoreOutcome::Replayed { generation }) => {
                let [surb, ..] = request.surbs;
                let behind = Held::behind(request.surb_epoch, surb, generation);
                (DropReason::MailboxReplayed, Some(behind))
            }
            Ok(StoreOutcome::Refused) => (refused, None),
            Ok(StoreOutcome::Spent) => (DropReason::TokenSpent, None),
            Ok(_) | Err(_) => (DropReason::StoreFailed, None),
        };
        Self { reason, answer }
    }
}

/// What is to be done for a mailbox.
pub(crate) enum Wish {
    /// The store is to be asked; its answer goes into [`Mailboxes::done`].
    Ask(StoreOp, Question),
    /// A frame is to be sent to a member of layer 1.
    Send(NodeId, Frame),
}

/// What the store was asked for a mailbox.
pub(crate) enum Question {
    /// Whether this command counts.
    Attend(Box<Attending>),
    /// What waits.
    Waiting { mailbox: MailboxId, generation: u64 },
    /// The next entry.
    List { mailbox: MailboxId, number: u64 },
}

impl Mailboxes {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            streams: BTreeMap::new(),
            clocks: Clocks::new(),
            attending: 0,
            openings: Hourly::new(limits.openings_per_hour),
            opening: 0,
            next_question: 0,
            limits: limits.clone(),
            counters: MailboxCounters::default(),
        }
    }

    pub(crate) fn counters(&self) -> MailboxCounters {
        let stock = self.streams.values().map(|stream| stream.stock().len());
        MailboxCounters {
            mailbox_pending: self.attending as u64,
            active: self.streams.len() as u64,
            stock: stock.sum::<usize>() as u64,
            ..self.counters
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.clocks.deadline()
    }

    /// A command that its owner signed; the store says whether it counts.
    pub(crate) fn command(
        &mut self,
        now: Time,
        params: &NetworkParameters,
        tokens: &mut Tokens,
        request: MailboxRequest,
    ) -> Result<Wish, DropReason> {
        let rate = params
            .profile_at(request.profile)
            .map(|(_, profile)| request.share.of(profile.mailbox_clock))
            .filter(|rate| *rate > 0.0)
            .ok_or(DropReason::MailboxProfile)?;
        let (opening, refused) = self.opening(now, tokens, &request);
        let active = self.streams.get(&request.mailbox);
        let op = StoreOp::Attend {
            mailbox: request.mailbox,
            generation: request.generation,
            counter: request.counter,
            stream: active
                .filter(|stream| stream.is_of(request.generation))
                .map_or(0, Stream::number),
            acks: request.acks.iter().copied().map(EntryId::new).collect(),
            changes: request.drops.clone(),
            opening,
        };
        self.attending += 1;
        self.opening += u64::from(opening != Opening::Closed);
        let attending = Box::new(Attending {
            request,
            rate,
            opening,
            refused,
        });
        Ok(Wish::Ask(op, Question::Attend(attending)))
    }

    /// Whether a command may open its mailbox, and why it does not count if the store refuses it.
    fn opening(
        &mut self,
        now: Time,
        tokens: &mut Tokens,
        request: &MailboxRequest,
    ) -> (Opening, DropReason) {
        // A mailbox that is delivered is known: nobody's token is looked at for each of its commands.
        if self.streams.contains_key(&request.mailbox) {
            return (Opening::Closed, DropReason::MailboxToken);
        }
        if !self.openings.has_room(now, self.opening) {
            return (Opening::Closed, DropReason::MailboxOpenings);
        }
        match tokens.opening(now, request.token.as_ref()) {
            Opening::Closed => (Opening::Closed, DropReason::MailboxToken),
            opening => (opening, DropReason::MailboxFull),
        }
    }

    const fn question(&mut self) -> u64 {
        let number = self.next_question;
        self.next_question = number.wrapping_add(1);
        number
    }

    /// The store's answer, and what follows from it.
    ///
    /// # Errors
    /// The command that the store was asked for does not count.
    pub(crate) fn done<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        now: Time,
        documents: &Documents,
        question: Question,
        result: StoreResult,
    ) -> Result<Vec<Wish>, Refusal> {
        match question {
            Question::Attend(attending) => {
                self.attending = self.attending.saturating_sub(1);
                let may_open = attending.opening != Opening::Closed;
                self.opening = self.opening.saturating_sub(u64::from(may_open));
                match result {
                    Ok(StoreOutcome::Attended {
                        fresh,
                        window,
                        stream,
                        refused,
                        opened,
                        created,
                        waiting,
                    }) => {
                        if opened {
                            self.note_opening(now, attending.opening);
                        }
                        self.counters.refused += u64::from(refused);
                        let attended = Attended {
                            fresh,
                            window,
                            stream,
                            // Those of one hour came one after the other, which the store does not keep.
                            created: if opened { now } else { created },
                            waits: waiting > 0,
                        };
                        self.attended(rng, now, documents, *attending, &attended)
                    }
                    other => Err(Refusal::new(*attending, other)),
                }
            }
            Question::Waiting {
                mailbox,
                generation,
            } => Ok(self.waiting_done(now, mailbox, generation, result)),
            Question::List { mailbox, number } => Ok(self.list_done(now, mailbox, number, result)),
        }
    }

    fn note_opening(&mut self, now: Time, opening: Opening) {
        self.openings.count(now);
        self.counters.opened += 1;
        self.counters.spent += u64::from(matches!(opening, Opening::Token(_)));
    }

    /// The store has done a command. Without a place among those that are delivered, that is all.
    fn attended<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        now: Time,
        documents: &Documents,
        attending: Attending,
        attended: &Attended,
    ) -> Result<Vec<Wish>, Refusal> {
        let Attending { request, rate, .. } = attending;
        let mailbox = request.mailbox;
        let known = self.streams.get(&mailbox);
        if !known.is_some_and(|stream| stream.is_of(request.generation)) {
            let standing = Standing::of(now, attended.created, attended.waits);
            if known.is_none() && !self.make_room(now, standing) {
                return Err(Refusal {
                    reason: DropReason::MailboxFull,
                    answer: None,
                });
            }
            self.start_stream(now, &request, attended);
        }
        self.counters.mailbox_commands += 1;
        let Some(stream) = self.streams.get_mut(&mailbox) else {
            return Ok(Vec::new());
        };
        stream.set_window(attended.window);
        for entry in &request.acks {
            stream.backlog_mut().acknowledge(EntryId::new(*entry));
        }
        self.counters.acknowledged += request.acks.len() as u64;
        let brought = request.surbs.len() as u64;
        if documents.stocked_epochs(now).contains(&request.surb_epoch) {
            let stock = stream.stock_mut();
            let over = stock.add(now, request.surb_epoch, request.surbs);
            self.counters.stock_added += brought;
            self.counters.stock_overflow += over as u64;
        } else {
            self.counters.stock_void += brought;
        }
        // A process without memory may be started anew at any time: here, when the rate changes.
        if self.clocks.rate(&mailbox) != Some(rate) {
            let clock = PoissonClock::new(rng, rate);
            self.clocks.start(now, mailbox, clock);
        }
        let discovery = self.discover(mailbox);
        Ok(discovery
            .into_iter()
            .chain(self.load_next(now, mailbox))
            .collect())
    }

    /// Whether one more can be delivered, if need be in the place of another.
    fn make_room(&mut self, now: Time, newcomer: Standing) -> bool {
        if self.streams.len() < self.limits.active_mailboxes {
            return true;
        }
        let ranks = self.streams.iter().filter_map(|(mailbox, stream)| {
            let rank = Rank::of(now, stream, newcomer)?;
            Some((rank, *mailbox))
        });
        let Some((_, least)) = ranks.min() else {
            return false;
        };
        if let Some(old) = self.streams.remove(&least) {
            self.counters.stock_void += old.stock().len() as u64;
        }
        self.clocks.stop(&least);
        self.counters.evicted += 1;
        true
    }

    /// A generation that is not being delivered: new, or known from before a restart. All that is
    /// not acknowledged is pushed again.
    fn start_stream(&mut self, now: Time, request: &MailboxRequest, attended: &Attended) {
        let number = if attended.fresh {
            0
        } else {
            // No more packets can have been sent since the number was saved than there was stock
            // then, for this epoch and the next: so no number is given twice.
            let sent_since = (self.limits.stock as u64).saturating_mul(2);
            attended.stream.saturating_add(sent_since)
        };
        let stream = Stream::new(
            request.generation,
            attended.created,
            number,
            attended.window,
            Stock::new(self.limits.stock, now),
            Backlog::new(self.limits.unacknowledged_per_drop),
        );
        if let Some(old) = self.streams.insert(request.mailbox, stream) {
            self.counters.stock_void += old.stock().len() as u64;
            self.clocks.stop(&request.mailbox);
        }
    }

    /// Asks the store what waits, once for each stream, and again if it failed.
    fn discover(&mut self, mailbox: MailboxId) -> Option<Wish> {
        let generation = self.streams.get_mut(&mailbox)?.discover()?;
        let question = Question::Waiting {
            mailbox,
            generation,
        };
        Some(Wish::Ask(StoreOp::Waiting { mailbox }, question))
    }

    fn waiting_done(
        &mut self,
        now: Time,
        mailbox: MailboxId,
        generation: u64,
        result: StoreResult,
    ) -> Vec<Wish> {
        let stream = self.streams.get_mut(&mailbox);
        let Some(stream) = stream.filter(|stream| stream.is_of(generation)) else {
            return Vec::new();
        };
        let Ok(StoreOutcome::Waiting(drops)) = result else {
            stream.discovery_failed();
            return Vec::new();
        };
        for (drop, newest) in drops {
            stream.backlog_mut().note(drop, newest);
        }
        self.load_next(now, mailbox).into_iter().collect()
    }

    /// An entry was stored for a mailbox, which may be one that is being delivered.
    pub(crate) fn stored(
        &mut self,
        now: Time,
        mailbox: MailboxId,
        drop: DropId,
        entry: EntryId,
    ) -> Option<Wish> {
        let stream = self.streams.get_mut(&mailbox)?;
        stream.backlog_mut().note(drop, entry);
        self.load_next(now, mailbox)
    }

    fn list_done(
        &mut self,
        now: Time,
        mailbox: MailboxId,
        number: u64,
        result: StoreResult,
    ) -> Vec<Wish> {
        let Some(stream) = self.streams.get_mut(&mailbox) else {
            return Vec::new();
        };
        let Ok(StoreOutcome::Entries(entries)) = result else {
            // The next tick asks again.
            stream.backlog_mut().loaded(number, None);
            return Vec::new();
        };
        stream.backlog_mut().loaded(number, Some(entries));
        self.load_next(now, mailbox).into_iter().collect()
    }

    fn load_next(&mut self, now: Time, mailbox: MailboxId) -> Option<Wish> {
        let rate = self.clocks.rate(&mailbox)?;
        let acknowledged_after = Span::from_secs_f64(PUSH_AGAIN_TICKS / rate);
        let patience = self.limits.push_again.max(acknowledged_after);
        let number = self.question();
        let backlog = self.streams.get_mut(&mailbox)?.backlog_mut();
        let (drop, after) = backlog.load(now, patience, number)?;
        let op = StoreOp::List {
            mailbox,
            drop,
            after,
            limit: 1,
        };
        Some(Wish::Ask(op, Question::List { mailbox, number }))
    }

    /// What is to be done for a tick that is due by now. Call it until it gives none.
    pub(crate) fn tick<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        now: Time,
        documents: &Documents,
    ) -> Option<Vec<Wish>> {
        let (mailbox, tick) = self.clocks.tick(now)?;
        let stock = self.streams.get_mut(&mailbox)?.stock_mut();
        let void = stock.keep(now, &documents.stocked_epochs(now));
        let dry_for = stock.dry_for(now);
        self.counters.stock_void += void as u64;
        let mut wishes = Vec::new();
        if tick.missed {
            self.counters.mailbox_missed += 1;
        } else {
            wishes.extend(self.serve(rng, now, documents, mailbox));
        }
        if dry_for > self.limits.linger {
            self.clocks.stop(&mailbox);
            self.streams.remove(&mailbox);
        } else {
            wishes.extend(self.load_next(now, mailbox));
        }
        Some(wishes)
    }

    /// Spends one reply block, if there is one, on an entry or on nothing.
    fn serve<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        now: Time,
        documents: &Documents,
        mailbox: MailboxId,
    ) -> Option<Wish> {
        let stream = self.streams.get_mut(&mailbox)?;
        let counters = &mut self.counters;
        let good = documents.current(now).and_then(|document| {
            let epoch_byte = document.epoch().byte();
            let mut stocked = std::iter::from_fn(|| stream.stock_mut().take(epoch_byte));
            let surb = stocked.find(|surb| {
                let good = leads_inside(document, surb);
                counters.stock_void += u64::from(!good);
                good
            })?;
            Some((document, surb))
        });
        let Some((document, surb)) = good else {
            counters.without_stock += 1;
            return None;
        };
        let (item, again) = stream.item(now, document.epoch().byte());
        if item.entry.is_some() {
            counters.stream_entries += 1;
            counters.stream_again += u64::from(again);
        } else {
            counters.stream_idle += 1;
        }
        let Some((to, frame)) = spend(rng, document, surb, &Reply::Stream(Box::new(item))) else {
            counters.stock_void += 1;
            return None;
        };
        Some(Wish::Send(to, frame))
    }
}
