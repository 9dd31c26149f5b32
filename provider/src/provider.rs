use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::CryptoRng;
use shoal_packet::command::{Command, Deposit, ReceiptStatus, Reply};
use shoal_packet::{Frame, Surb};
use shoal_proto::{ClientHandle, DropId, MailboxId, NetworkHash, NodeId, Span, Time};
use shoal_topology::{Document, NetworkParameters, View, delay};

use crate::delivery::{Clocks, Delivery};
use crate::entry::{Entry, ForClient};
use crate::mailboxes::Attending;
use crate::replies::{Held, Replies};
use crate::{
    AttachAnswer, Counters, Delivered, DropReason, Limits, ProviderAction, ProviderInput, SendKind,
    StoreError, StoreOp, StoreOutcome, StoreResult,
};

/// The shortest time to live of a deposit.
const LEAST_TIME_TO_LIVE: Span = Span::from_secs(1);

/// The core of the provider role: entry and mailboxes, without IO, clock or ambient randomness.
///
/// Call [`handle_input`](Self::handle_input) with what happened, then
/// [`poll_action`](Self::poll_action) until it gives nothing, then wait for the next input or
/// for [`poll_deadline`](Self::poll_deadline), whichever comes first, and poll again.
///
/// Memory: bounded by [`Limits`].
pub struct Provider<R> {
    pub(crate) params: Arc<NetworkParameters>,
    pub(crate) network: NetworkHash,
    pub(crate) local: NodeId,
    pub(crate) limits: Limits,
    pub(crate) rng: R,
    pub(crate) view: Arc<View>,
    pub(crate) counters: Counters,
    pub(crate) actions: VecDeque<ProviderAction>,
    pub(crate) pending: BTreeMap<u64, Pending>,
    pub(crate) mailboxes: BTreeMap<MailboxId, Delivery>,
    pub(crate) clocks: Clocks,
    /// Commands of owners that wait for the store.
    pub(crate) attending: usize,
    entry: Entry,
    replies: Replies,
    next_ticket: u64,
    next_expiry: Time,
    expiring: bool,
    trouble: Option<&'static str>,
}

/// What waits for the store.
pub(crate) enum Pending {
    Put { reply: u64, drop: DropId },
    Attend(Box<Attending>),
    Waiting { mailbox: MailboxId, generation: u64 },
    List { mailbox: MailboxId },
    Expire,
}

impl<R: CryptoRng> Provider<R> {
    /// A provider without clients, and with no document yet: until the first
    /// [`ProviderInput::View`] it stores, but can't answer.
    #[must_use]
    pub fn new(
        params: Arc<NetworkParameters>,
        local: NodeId,
        limits: Limits,
        rng: R,
        now: Time,
    ) -> Self {
        Self {
            network: params.hash(),
            local,
            entry: Entry::new(&limits),
            next_expiry: now + limits.expire_every,
            limits,
            rng,
            view: Arc::new(View::default()),
            counters: Counters::default(),
            actions: VecDeque::new(),
            pending: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            clocks: Clocks::new(),
            attending: 0,
            replies: Replies::new(),
            next_ticket: 0,
            expiring: false,
            trouble: None,
            params,
        }
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, now: Time, input: ProviderInput) {
        match input {
            ProviderInput::Delivered(delivered) => self.deliver(now, delivered),
            ProviderInput::Attached { handle, profile } => self.attach(now, handle, &profile),
            ProviderInput::Detached { handle } => {
                self.counters.downlink_abandoned += self.entry.detach(handle) as u64;
            }
            ProviderInput::StoreDone { ticket, result } => self.store_done(now, ticket, result),
            ProviderInput::View(view) => self.view = view,
            ProviderInput::LinkFull { .. } => self.counters.link_full += 1,
        }
    }

    /// The next thing to do, with the work that is due done first.
    pub fn poll_action(&mut self, now: Time) -> Option<ProviderAction> {
        self.run_timers(now);
        self.actions.pop_front()
    }

    /// When to poll again if nothing happens before.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Time> {
        let expiry = (!self.expiring).then_some(self.next_expiry);
        let mailboxes = self.clocks.first().map(|(due, _)| *due);
        [
            self.entry.deadline(),
            self.replies.deadline(),
            mailboxes,
            expiry,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What happened since the start, and how much there is now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            mailbox_pending: self.attending as u64,
            replies_held: self.replies.len() as u64,
            stock: self
                .mailboxes
                .values()
                .map(|delivery| delivery.stock() as u64)
                .sum(),
            mailboxes_active: self.mailboxes.len() as u64,
            clients: self.entry.clients() as u64,
            store_pending: self.pending.len() as u64,
            ..self.counters.clone()
        }
    }

    fn attach(&mut self, now: Time, handle: ClientHandle, profile: &str) {
        let answer = match self.params.profile(profile) {
            Some(profile) => self
                .entry
                .attach(&mut self.rng, now, handle, profile.downlink),
            None => AttachAnswer::UnknownProfile,
        };
        self.actions
            .push_back(ProviderAction::Attach { handle, answer });
    }

    fn deliver(&mut self, now: Time, delivered: Delivered) {
        self.counters.received += 1;
        let arrival = delivered.arrival;
        let outcome = match &delivered.plaintext {
            None => self.for_client(delivered),
            Some(plaintext) => match Command::decode(plaintext) {
                Ok(Command::Deposit(deposit)) => self.deposit(now, arrival, *deposit),
                Ok(Command::Dummy { surb_epoch, surb }) => self.dummy(arrival, surb_epoch, surb),
                Ok(Command::Drop) => {
                    self.counters.drops += 1;
                    Ok(())
                }
                Ok(Command::Mailbox(packet)) => self.mailbox_command(&packet),
                Ok(Command::NodeLoop(_)) => Err(DropReason::ForeignLoop),
                Ok(_) | Err(_) => Err(DropReason::BadCommand),
            },
        };
        if let Err(reason) = outcome {
            self.drop_packet(reason);
        }
    }

    pub(crate) fn drop_packet(&mut self, reason: DropReason) {
        self.counters.drop_packet(reason);
        self.actions.push_back(ProviderAction::Dropped(reason));
    }

    /// A reply or a loop: all that is looked at is which client it is for.
    fn for_client(&mut self, delivered: Delivered) -> Result<(), DropReason> {
        let Delivered {
            destination,
            id,
            payload,
            epoch_byte,
            ..
        } = delivered;
        let handle = ClientHandle::new(destination);
        self.entry.offer(
            handle,
            ForClient {
                epoch_byte,
                id,
                payload,
            },
        )?;
        self.counters.client_payloads += 1;
        Ok(())
    }

    fn dummy(&mut self, arrival: Time, surb_epoch: u8, surb: Surb) -> Result<(), DropReason> {
        self.hold(arrival, Held::new(surb_epoch, surb, None))?;
        self.counters.dummies += 1;
        Ok(())
    }

    fn deposit(&mut self, now: Time, arrival: Time, deposit: Deposit) -> Result<(), DropReason> {
        if self.store_is_busy() {
            return Err(DropReason::Busy);
        }
        let Deposit {
            surb_epoch,
            surb,
            drop,
            message,
            ttl_secs,
            grant,
            blob,
        } = deposit;
        let reply = self.hold(arrival, Held::new(surb_epoch, surb, Some(message)))?;
        self.counters.deposits += 1;
        let grant = grant.and_then(|grant| {
            let lasts = grant.expires() > now && grant.expires() <= now + self.limits.grant_life;
            if lasts && grant.verify(&self.network, &self.local, &drop) {
                return Some(grant.mailbox);
            }
            self.counters.grants_invalid += 1;
            None
        });
        let life = Span::from_secs(u64::from(ttl_secs)).clamp(
            LEAST_TIME_TO_LIVE,
            self.limits.time_to_live.max(LEAST_TIME_TO_LIVE),
        );
        let op = StoreOp::Put {
            drop,
            message,
            grant,
            blob,
            expires: now + life,
        };
        self.store(op, Pending::Put { reply, drop });
        Ok(())
    }

    /// Every answer leaves an exponential time after its question came in, whatever it says.
    fn hold(&mut self, arrival: Time, held: Held) -> Result<u64, DropReason> {
        if self.replies.len() >= self.limits.replies {
            return Err(DropReason::Busy);
        }
        let due = arrival + delay::sample(&mut self.rng, self.params.mean_delay);
        Ok(self.replies.hold(due, held))
    }

    pub(crate) fn store_is_busy(&self) -> bool {
        self.pending.len() >= self.limits.store_operations
    }

    /// Gives the store something to do. Returns the ticket.
    pub(crate) fn store(&mut self, op: StoreOp, pending: Pending) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.pending.insert(ticket, pending);
        self.actions.push_back(ProviderAction::Store { ticket, op });
        ticket
    }

    fn store_done(&mut self, now: Time, ticket: u64, result: StoreResult) {
        let Some(pending) = self.pending.remove(&ticket) else {
            return;
        };
        self.watch_store(&result);
        match pending {
            Pending::Put { reply, drop } => self.put_done(now, reply, drop, result),
            Pending::Attend(attending) => self.attend_done(now, *attending, result),
            Pending::Waiting {
                mailbox,
                generation,
            } => {
                self.waiting_done(now, mailbox, generation, result);
            }
            Pending::List { mailbox } => self.list_done(now, mailbox, ticket, result),
            Pending::Expire => {
                self.expiring = false;
                self.next_expiry = now + self.limits.expire_every;
                if let Ok(StoreOutcome::Expired { removed, more }) = result {
                    self.counters.expired += removed;
                    if more {
                        self.next_expiry = now;
                    }
                }
            }
        }
    }

    /// Says once that the store fails, and once that it works again.
    fn watch_store(&mut self, result: &StoreResult) {
        match result {
            Ok(_) => {
                if self.trouble.take().is_some() {
                    self.actions.push_back(ProviderAction::StoreRecovered);
                }
            }
            Err(error) => {
                self.counters.store_errors += 1;
                if self.trouble.replace(error.label()) != Some(error.label()) {
                    self.actions
                        .push_back(ProviderAction::StoreTrouble(error.clone()));
                }
            }
        }
    }

    fn put_done(&mut self, now: Time, reply: u64, drop: DropId, result: StoreResult) {
        match result {
            Ok(StoreOutcome::Stored { mailbox, entry }) => {
                self.replies.settle(reply, ReceiptStatus::Stored);
                if let Some(entry) = entry {
                    self.entry_stored(now, mailbox, drop, entry);
                }
            }
            // A full disk is one way of being full.
            Ok(StoreOutcome::Refused) | Err(StoreError::DiskFull) => {
                self.replies.settle(reply, ReceiptStatus::Refused);
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn run_timers(&mut self, now: Time) {
        if !self.expiring && self.next_expiry <= now {
            self.expiring = true;
            self.store(StoreOp::Expire, Pending::Expire);
        }
        while let Some(held) = self.replies.pop(now) {
            self.answer(now, held);
        }
        self.run_mailbox_clocks(now);
        let epoch_byte = self.params.epoch_at(now).byte();
        while let Some(downlink) = self.entry.tick(&mut self.rng, now, epoch_byte) {
            if downlink.filler {
                self.counters.downlink_filler += 1;
            } else {
                self.counters.downlink_payloads += 1;
            }
            let (handle, frame) = (downlink.handle, downlink.frame);
            self.actions
                .push_back(ProviderAction::ToClient { handle, frame });
        }
    }

    fn answer(&mut self, now: Time, held: Held) {
        let reply = held.reply();
        let is_deposit = held.message.is_some();
        let document = self
            .view
            .by_epoch_byte(&self.params, now, held.surb_epoch)
            .cloned();
        let kind = match reply {
            Reply::Receipt { .. } => SendKind::Receipt,
            _ => SendKind::Dummy,
        };
        let sent = document
            .as_deref()
            .filter(|document| leads_inside(document, &held.surb))
            .is_some_and(|document| self.send(document, held.surb, &reply, kind));
        let count = match reply {
            _ if !sent => &mut self.counters.replies_void,
            Reply::Receipt {
                status: ReceiptStatus::Stored,
                ..
            } => &mut self.counters.receipts_stored,
            Reply::Receipt { .. } => &mut self.counters.receipts_refused,
            _ if is_deposit => &mut self.counters.replies_late,
            _ => &mut self.counters.replies_dummy,
        };
        *count += 1;
    }

    /// Spends a reply block. Whether it was good.
    pub(crate) fn send(
        &mut self,
        document: &Document,
        surb: Surb,
        reply: &Reply,
        kind: SendKind,
    ) -> bool {
        let plaintext = reply.encode(&mut self.rng);
        let Ok((to, packet)) = surb.into_packet(&plaintext) else {
            return false;
        };
        let frame = Frame::new(document.epoch(), packet);
        self.actions
            .push_back(ProviderAction::Send { to, frame, kind });
        true
    }
}

/// Whether a reply block's first hop is where a provider's packets go: the creator chose it, and
/// nobody is sent to who is no member.
pub(crate) fn leads_inside(document: &Document, surb: &Surb) -> bool {
    document
        .member(&surb.first_hop())
        .is_some_and(|member| member.layer == 1)
}
