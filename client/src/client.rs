use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand::CryptoRng;
use shoal_packet::command::DropGrant;
use shoal_proto::{ClientHandle, MessageId, NetworkHash, NodeId, Span, Time};
use shoal_topology::{NetworkParameters, Profile, View};

use crate::address::Address;
use crate::config::ClientConfig;
use crate::counters::Counters;
use crate::error::{ClientError, SendError};
use crate::event::{Alarm, ClientAction, ClientEvent, ClientInput};
use crate::inbox::{Inbox, Kept};
use crate::keys::{ClientKeys, PeerKey};
use crate::mailbox::MailboxLink;
use crate::outbox::{MessageStatus, Outbox};
use crate::replies::ReplyBook;
use crate::rows::{self, Change, ContactRow, Row, Table};
use crate::schedule::Schedule;
use crate::send::Prepared;
use crate::watch::{LossMeter, StreamWatch};

/// How often losses are looked for.
const WATCH_EVERY: Span = Span::from_secs(1);

/// Where the client is attached.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub(crate) entry: NodeId,
    pub(crate) handle: ClientHandle,
}

/// What waits for the host's word that it is on disk.
pub(crate) enum Pending {
    /// A message to send, until then not accepted.
    Send {
        request: u64,
        prepared: Box<Prepared>,
    },
    /// Something received, until then not acknowledged.
    Arrival { entry: u64, kept: Kept },
    /// A note whose loss costs work and nothing else.
    Note,
}

/// Alarms that stand: each is told once, until it is over.
#[derive(Default)]
pub(crate) struct Standing {
    pub(crate) no_document: bool,
    pub(crate) entry: bool,
    pub(crate) mailbox: bool,
    pub(crate) inbox: bool,
}

/// The client role. See the [crate's documentation](crate) for what drives it.
pub struct Client<R> {
    pub(crate) params: Arc<NetworkParameters>,
    pub(crate) network: NetworkHash,
    pub(crate) config: ClientConfig,
    pub(crate) profile: Profile,
    pub(crate) profile_index: u8,
    pub(crate) keys: ClientKeys,
    pub(crate) rng: R,
    pub(crate) view: Option<Arc<View>>,
    pub(crate) link: Option<Link>,
    pub(crate) schedule: Schedule,
    pub(crate) replies: ReplyBook,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    pub(crate) mailbox: MailboxLink,
    pub(crate) contacts: BTreeMap<PeerKey, ContactRow>,
    pub(crate) stream: Option<StreamWatch>,
    pub(crate) loops: LossMeter,
    pub(crate) receipts: LossMeter,
    pub(crate) items: LossMeter,
    pub(crate) standing: Standing,
    pub(crate) counters: Counters,
    pending: BTreeMap<u64, Pending>,
    next_ticket: u64,
    next_watch: Time,
    pub(crate) next_sweep: Time,
    actions: VecDeque<ClientAction>,
}

impl<R: CryptoRng> Client<R> {
    /// A client with what an earlier run of it has stored; `rows` in any order, empty at the
    /// first start. Messages received and not read are told again.
    ///
    /// # Errors
    /// [`ClientError`] for an unknown profile, a senseless configuration or a damaged row.
    pub fn new(
        params: Arc<NetworkParameters>,
        config: ClientConfig,
        keys: ClientKeys,
        mut rng: R,
        rows: &[Row],
        now: Time,
    ) -> Result<Self, ClientError> {
        config.validate()?;
        let known = || ClientError::UnknownProfile {
            name: config.profile.clone(),
            known: params
                .profiles
                .keys()
                .cloned()
                .collect::<Vec<_>>()
                .join(", "),
        };
        let profile = *params.profile(&config.profile).ok_or_else(known)?;
        let profile_index = params.profile_index(&config.profile).ok_or_else(known)?;
        let limits = config.limits;
        let schedule = Schedule::new(&profile, config.first_contact_mean, &mut rng);
        let mut client = Self {
            network: params.hash(),
            profile,
            profile_index,
            schedule,
            replies: ReplyBook::new(limits.reply_keys),
            outbox: Outbox::new(config.retry_after, config.retry_max, limits.sent_history),
            inbox: Inbox::new(limits),
            mailbox: MailboxLink::new(0),
            contacts: BTreeMap::new(),
            stream: None,
            loops: LossMeter::default(),
            receipts: LossMeter::default(),
            items: LossMeter::default(),
            standing: Standing::default(),
            counters: Counters::default(),
            pending: BTreeMap::new(),
            next_ticket: 1,
            next_watch: now,
            next_sweep: now,
            actions: VecDeque::new(),
            view: None,
            link: None,
            params,
            config,
            keys,
            rng,
        };
        client.restore(rows, now)?;
        Ok(client)
    }

    fn restore(&mut self, rows: &[Row], now: Time) -> Result<(), ClientError> {
        for row in rows {
            match row.table {
                Table::Meta if row.key == rows::GENERATION => {
                    let generation =
                        rows::decode_number(&row.value).map_err(|reason| row.fault(reason))?;
                    self.mailbox = MailboxLink::new(generation);
                }
                Table::Contact => {
                    let key = ContactRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
                    let contact = ContactRow::decode(&row.value).map_err(|e| row.fault(e))?;
                    self.contacts.insert(key, contact);
                }
                _ => {}
            }
        }
        let contacts: Vec<PeerKey> = self.contacts.keys().copied().collect();
        for contact in contacts {
            self.register_contact(contact);
        }
        self.outbox.restore(rows, now)?;
        for key in self.inbox.restore(rows)? {
            self.tell_received(key, Vec::new());
        }
        Ok(())
    }

    /// Takes in what happened. Work that was due before is done first.
    pub fn handle_input(&mut self, now: Time, input: ClientInput) {
        self.run_timers(now);
        match input {
            ClientInput::View(view) => {
                self.view = Some(view);
                self.start_if_ready(now);
            }
            ClientInput::Attached { entry, handle } => self.attach(now, Link { entry, handle }),
            ClientInput::Detached => self.detach(),
            ClientInput::Frame(frame) => self.receive(now, frame),
            ClientInput::Send { request, to, text } => self.send(now, request, &to, &text),
            ClientInput::Persisted { ticket } => self.persisted(now, ticket),
            ClientInput::PersistFailed { ticket, reason } => self.persist_failed(ticket, reason),
            ClientInput::Read { message } => {
                let changes = self.inbox.read(&message);
                self.note(changes);
            }
        }
    }

    /// The next thing to do. Call it until it gives none, after every input and at the deadline.
    pub fn poll_action(&mut self, now: Time) -> Option<ClientAction> {
        self.run_timers(now);
        self.actions.pop_front()
    }

    /// When [`Client::poll_action`] has something to do next, if no input comes before.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Time> {
        let deadlines = [self.schedule.deadline(), self.outbox.next_expiry()];
        deadlines.into_iter().flatten().min()
    }

    /// The address to hand out at `now`. It works before the client was ever online, because it
    /// carries the owner's grant; its text stays the same within an hour.
    #[must_use]
    pub fn address(&self, now: Time) -> Address {
        let drop = self.keys.public_drop();
        let provider = self.config.mailbox_provider;
        let ends = (now + self.config.address_validity)
            .as_secs()
            .div_ceil(3600);
        let hour = u32::try_from(ends).unwrap_or(u32::MAX);
        let grant = DropGrant::issue(self.keys.mailbox(), &self.network, &provider, &drop, hour);
        Address {
            network: Address::short_network(&self.network),
            provider,
            drop,
            key: self.keys.public(),
            grant: Some(grant),
        }
    }

    /// How far a sent message has come; `None` if it is not remembered (any more).
    #[must_use]
    pub fn status(&self, message: &MessageId) -> Option<MessageStatus> {
        self.outbox.status(message)
    }

    /// All sent messages that are remembered, oldest first.
    pub fn sent_messages(&self) -> impl Iterator<Item = MessageStatus> + '_ {
        self.outbox.all()
    }

    /// The key by which others know this client.
    #[must_use]
    pub fn public_key(&self) -> PeerKey {
        self.keys.public()
    }

    /// Whether the four processes run: attached, with a document.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.schedule.running()
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters;
        counters.outbox_fragments = self.outbox.waiting() as u64;
        counters.reply_keys = self.replies.len() as u64;
        counters.stock = u64::from(self.mailbox.stock());
        counters.unread = self.inbox.unread() as u64;
        counters.pending_acks = self.mailbox.pending_acks() as u64;
        counters.pending_registrations = self.mailbox.pending_contacts() as u64;
        counters
    }

    fn attach(&mut self, now: Time, link: Link) {
        self.detach();
        self.link = Some(link);
        self.mailbox.restart(now);
        self.outbox.hurry(now);
        let generation = rows::encode_number(self.mailbox.generation());
        self.note(vec![Change::put(
            Table::Meta,
            rows::GENERATION.to_vec(),
            generation,
        )]);
        if link.entry == self.config.mailbox_provider {
            self.alarm(Alarm::EntryIsMailbox);
        }
        self.start_if_ready(now);
    }

    fn detach(&mut self) {
        self.link = None;
        self.schedule.stop();
        // Reply blocks lead to the handle of the connection that is gone.
        self.replies.clear();
        self.stream = None;
    }

    fn start_if_ready(&mut self, now: Time) {
        let documents = self
            .view
            .as_ref()
            .is_some_and(|view| !view.documents.is_empty());
        if self.link.is_none() || !documents || self.schedule.running() {
            return;
        }
        self.schedule.start(now);
        let clock = self.profile.mailbox_clock;
        let pause = match clock > 0.0 {
            true => Span::from_secs_f64(f64::from(self.config.pause_gaps) / clock),
            false => Span::MAX,
        };
        self.stream = Some(StreamWatch::new(self.config.reply_timeout, pause));
    }

    fn run_timers(&mut self, now: Time) {
        while let Some(tick) = self.schedule.tick(now) {
            if tick.missed {
                self.counters.missed_ticks += 1;
            } else {
                self.tick(now, tick.process);
            }
        }
        while let Some((message, changes)) = self.outbox.expire(now) {
            self.counters.expired += 1;
            self.note(changes);
            self.event(ClientEvent::Expired { message });
        }
        if now >= self.next_watch && self.link.is_some() {
            self.next_watch = now + WATCH_EVERY;
            self.watch(now);
        }
    }

    /// Asks the host to store changes; `pending` is what follows from it.
    pub(crate) fn persist(&mut self, changes: Vec<Change>, pending: Pending) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.pending.insert(ticket, pending);
        self.actions
            .push_back(ClientAction::Persist { ticket, changes });
    }

    /// Asks the host to store changes that nothing waits for.
    pub(crate) fn note(&mut self, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.persist(changes, Pending::Note);
        }
    }

    fn persisted(&mut self, now: Time, ticket: u64) {
        match self.pending.remove(&ticket) {
            Some(Pending::Send { request, prepared }) => self.accept(now, request, *prepared),
            Some(Pending::Arrival { entry, kept }) => self.keep(entry, kept),
            Some(Pending::Note) | None => {}
        }
    }

    fn persist_failed(&mut self, ticket: u64, reason: String) {
        let Some(pending) = self.pending.remove(&ticket) else {
            return;
        };
        self.counters.persist_failures += 1;
        match pending {
            Pending::Send { request, prepared } => {
                self.forget_prepared(&prepared);
                let reason = SendError::Storage(reason);
                self.event(ClientEvent::Refused { request, reason });
            }
            Pending::Arrival { kept, .. } => {
                // Not acknowledged: the mailbox pushes it again, and that is the second try.
                self.inbox.forget(&kept);
                self.alarm(Alarm::Storage);
            }
            Pending::Note => self.alarm(Alarm::Storage),
        }
    }

    /// Fragments of messages that are not on disk yet.
    pub(crate) fn pending_fragments(&self) -> usize {
        let fragments = |pending: &Pending| match pending {
            Pending::Send { prepared, .. } => prepared.parts.len(),
            _ => 0,
        };
        self.pending.values().map(fragments).sum()
    }

    pub(crate) fn act(&mut self, action: ClientAction) {
        self.actions.push_back(action);
    }

    pub(crate) fn event(&mut self, event: ClientEvent) {
        self.act(ClientAction::Event(event));
    }

    pub(crate) fn alarm(&mut self, alarm: Alarm) {
        self.event(ClientEvent::Alarm(alarm));
    }
}
