//! The client role: its parts, and how what happens to one concerns the others.

use std::sync::Arc;

use rand::CryptoRng;
use shoal_packet::Frame;
use shoal_packet::command::{ReceiptStatus, StreamEntry, StreamItem};
use shoal_proto::{ClientHandle, MessageId, NodeId, Span, Time};
use shoal_topology::{NetworkParameters, Profile};
use zeroize::Zeroizing;

use crate::address::Address;
use crate::answer::Answer;
use crate::clock::ClockStep;
use crate::compose::Composed;
use crate::config::ClientConfig;
use crate::contacts::Contacts;
use crate::counters::Counters;
use crate::desk::Desk;
use crate::error::{ClientError, SendError};
use crate::event::{Alarm, ClientAction, ClientEvent, ClientInput, HopTrace};
use crate::generation::Seen;
use crate::identity::Identity;
use crate::inbox::{Arrival, Inbox, Kept, Told};
use crate::keys::{ClientKeys, PeerKey};
use crate::mailbox::MailboxLink;
use crate::outbox::{self, MessageStatus, Outbox, Settled};
use crate::packets::BuildError;
use crate::pool::SET;
use crate::replies::Purpose;
use crate::rows::Row;
use crate::schedule::Process;
use crate::traffic::{Sent, Traffic};
use crate::watch::{Finding, Watch};

/// What follows once the host has answered a ticket.
enum Follow {
    /// A message to send is accepted, or refused.
    Send {
        request: u64,
        message: Box<Composed>,
    },
    /// Something received is acknowledged.
    Arrival { entry: u64, kept: Kept },
}

/// The client role. See the [crate's documentation](crate) for what drives it.
pub struct Client<R> {
    identity: Identity,
    traffic: Traffic<R>,
    outbox: Outbox,
    contacts: Contacts,
    mailbox: MailboxLink,
    inbox: Inbox,
    watch: Watch,
    desk: Desk<Follow>,
    counters: Counters,
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
        let unknown = || ClientError::UnknownProfile {
            name: config.profile.clone(),
            known: Vec::from_iter(params.profiles.keys().cloned()).join(", "),
        };
        let profile = *params.profile(&config.profile).ok_or_else(unknown)?;
        let index = params.profile_index(&config.profile).ok_or_else(unknown)?;
        let mut client = Self {
            identity: Identity::new(keys, params.chain(), &config),
            outbox: Outbox::new(&config, outbox::first_wait(&params, &profile), &mut rng),
            contacts: Contacts::default(),
            mailbox: MailboxLink::new(index, &profile, config.mailbox_provider, &mut rng),
            inbox: Inbox::new(&config, patience(&config, &params, &profile)),
            watch: Watch::new(&config, &profile, now),
            desk: Desk::new(),
            counters: Counters::default(),
            traffic: Traffic::new(params, &profile, &config, rng, now),
        };
        client.restore(rows, now)?;
        Ok(client)
    }

    fn restore(&mut self, rows: &[Row], now: Time) -> Result<(), ClientError> {
        self.mailbox.restore(rows)?;
        self.contacts.restore(rows)?;
        self.outbox.restore(rows, now)?;
        self.inbox.restore(rows, now)?;
        self.tell(now);
        Ok(())
    }

    /// Takes in what happened. Work that was due before is done first.
    pub fn handle_input(&mut self, now: Time, input: ClientInput) {
        if let ClientInput::ClockMoved { ahead, by } = input {
            // First of all: nothing is due because the clock says so.
            self.clock_moved(ClockStep::new(ahead, by));
        }
        self.run_timers(now);
        match input {
            ClientInput::View(view) => {
                self.traffic.set_view(view);
                self.start_if_ready(now);
            }
            ClientInput::Attached { entry, handle } => self.attach(now, entry, handle),
            ClientInput::Detached => self.detach(),
            ClientInput::ClockMoved { .. } => {}
            ClientInput::Frame(frame) => self.receive(now, frame),
            ClientInput::Send { request, to, text } => self.send(now, request, &to, &text),
            ClientInput::Persisted { ticket } => self.persisted(now, ticket),
            ClientInput::PersistFailed { ticket, reason } => self.persist_failed(ticket, reason),
            ClientInput::Read { message } => {
                let changes = self.inbox.read(&message);
                self.desk.settle(Alarm::ShareFull);
                self.desk.note(changes);
            }
        }
    }

    /// The next thing to do. Call it until it gives none, after every input and at the deadline.
    pub fn poll_action(&mut self, now: Time) -> Option<ClientAction> {
        self.run_timers(now);
        self.desk.next_action()
    }

    /// When [`Client::poll_action`] has something to do next, if no input comes before.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Time> {
        let deadlines = [
            self.traffic.deadline(),
            self.outbox.next_expiry(),
            self.inbox.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The address to hand out at `now`. It works before the client was ever online, because it
    /// carries the owner's grant; its text stays the same within an hour.
    #[must_use]
    pub fn address(&self, now: Time) -> Address {
        self.identity.address(now)
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
        self.identity.keys().public()
    }

    /// Whether the four processes run: attached, with a document.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.traffic.is_running()
    }

    /// What is wrong now, each thing once.
    #[must_use]
    pub fn alarms(&self) -> &[Alarm] {
        self.desk.standing()
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            partial_dropped: self.inbox.discarded(),
            keys_evicted: self.traffic.blocks_evicted(),
            outbox_fragments: self.outbox.waiting() as u64,
            reply_keys: self.traffic.blocks_out() as u64,
            stock: u64::from(self.mailbox.stock()),
            unread: self.inbox.unread() as u64,
            held: self.inbox.held() as u64,
            pending_acks: self.mailbox.pending_acks() as u64,
            pool_unconfirmed: (self.mailbox.pool().unconfirmed() * SET) as u64,
            pool_refused: (self.mailbox.pool().refused() * SET) as u64,
            ..self.counters
        }
    }

    fn attach(&mut self, now: Time, entry: NodeId, handle: ClientHandle) {
        self.detach();
        self.traffic.attach(entry, handle);
        let generation = self.mailbox.restart(now, self.traffic.rng());
        self.desk.note(generation);
        let same = entry == self.identity.mailbox_provider();
        self.desk.hold(Alarm::EntryIsMailbox, same);
        self.start_if_ready(now);
    }

    fn detach(&mut self) {
        self.traffic.detach();
        self.watch.stop();
        self.tell_losses();
    }

    fn clock_moved(&mut self, step: ClockStep) {
        self.detach();
        self.traffic.clock_moved(step);
        self.outbox.clock_moved(step);
        self.inbox.clock_moved(step);
        self.watch.clock_moved(step);
    }

    fn start_if_ready(&mut self, now: Time) {
        if self.traffic.start_if_ready(now) {
            self.outbox.miss(now);
            if !self.mailbox.is_superseded() {
                self.watch.start();
            }
            self.tell_losses();
        }
    }

    fn run_timers(&mut self, now: Time) {
        while let Some(tick) = self.traffic.next_tick(now) {
            if tick.missed {
                self.counters.missed_ticks += 1;
            } else {
                self.tick(now, tick.process);
            }
        }
        while let Some((message, changes)) = self.outbox.expire(now) {
            self.counters.expired += 1;
            self.desk.note(changes);
            self.desk.event(ClientEvent::Expired { message });
        }
        self.tell(now);
        if self.traffic.is_attached() && self.watch.is_due(now) {
            self.look_for_losses(now);
        }
    }

    fn tick(&mut self, now: Time, process: Process) {
        let (outbox, mailbox) = (&mut self.outbox, &mut self.mailbox);
        let packet = self
            .traffic
            .packet(now, process, outbox, mailbox, &self.identity);
        match packet {
            Ok((frame, sent)) => {
                self.desk.settle(Alarm::NoDocument);
                self.desk.settle(Alarm::EntryMissing);
                self.desk.act(ClientAction::SendFrame(frame));
                self.sent(now, sent);
            }
            Err(error) => {
                self.counters.skipped_ticks += 1;
                self.outbox.miss(now);
                self.desk.raise(match error {
                    BuildError::NoDocument => Alarm::NoDocument,
                    _ => Alarm::EntryMissing,
                });
            }
        }
    }

    fn sent(&mut self, now: Time, sent: Sent) {
        match sent {
            Sent::Fragment {
                message,
                index,
                again,
                changes,
                trace,
            } => {
                self.counters.sent_real += 1;
                self.counters.retransmissions += u64::from(again);
                self.desk.note(changes);
                self.desk.event(ClientEvent::Sent {
                    message,
                    fragment: index,
                    trace,
                });
                self.tell_hindered();
            }
            Sent::Dummy { changes } => {
                self.counters.sent_dummy += 1;
                self.desk.note(changes);
                self.tell_hindered();
            }
            Sent::Loop => self.counters.sent_loop += 1,
            Sent::Drop => self.counters.sent_drop += 1,
            Sent::MailboxMissing => {
                self.counters.sent_drop += 1;
                self.desk.raise(Alarm::MailboxMissing);
            }
            Sent::Mailbox => {
                self.counters.sent_mailbox += 1;
                self.desk.settle(Alarm::MailboxMissing);
                self.watch.expect_stream(now);
            }
        }
    }

    fn send(&mut self, now: Time, request: u64, to: &Address, text: &[u8]) {
        if self.mailbox.is_superseded() {
            let reason = SendError::Superseded;
            return self.desk.event(ClientEvent::Refused { request, reason });
        }
        let rng = self.traffic.rng();
        let parts = (&self.identity, &mut self.outbox, &mut self.contacts);
        match Composed::new(now, rng, parts, self.mailbox.pool(), to, text) {
            Ok((message, changes)) => {
                if message.shares_drop() {
                    self.desk.raise(Alarm::DropIdsShared);
                } else if !self.contacts.share_drops() {
                    self.desk.settle(Alarm::DropIdsShared);
                }
                let message = Box::new(message);
                self.desk
                    .persist(changes, Follow::Send { request, message });
            }
            Err(reason) => self.desk.event(ClientEvent::Refused { request, reason }),
        }
    }

    fn persisted(&mut self, now: Time, ticket: u64) {
        let Some(follow) = self.desk.answered(ticket) else {
            return;
        };
        self.desk.settle(Alarm::Storage);
        match follow {
            Some(Follow::Send { request, message }) => {
                let message = message.accept(now, &mut self.outbox);
                self.counters.accepted += 1;
                self.desk.event(ClientEvent::Accepted { request, message });
            }
            Some(Follow::Arrival { entry, kept }) => self.keep(now, entry, kept),
            None => {}
        }
    }

    fn persist_failed(&mut self, ticket: u64, reason: String) {
        let Some(follow) = self.desk.answered(ticket) else {
            return;
        };
        self.counters.persist_failures += 1;
        match follow {
            Some(Follow::Send { request, message }) => {
                message.forget(&mut self.outbox, &mut self.contacts);
                let reason = SendError::Storage(reason);
                self.desk.event(ClientEvent::Refused { request, reason });
            }
            Some(Follow::Arrival { kept, .. }) => {
                // Not acknowledged: the mailbox pushes it again, and that is the second try.
                self.inbox.forget(&kept);
                self.desk.raise(Alarm::Storage);
            }
            None => self.desk.raise(Alarm::Storage),
        }
    }

    fn receive(&mut self, now: Time, frame: Frame) {
        let (id, payload) = frame.into_last_link();
        let Some((block, overdue)) = self.traffic.answered(&id) else {
            self.counters.filler += 1;
            return;
        };
        self.counters.late += u64::from(overdue);
        let purpose = block.purpose;
        let answer = Answer::open(block, &payload);
        if !overdue {
            self.outcome(purpose, matches!(answer, Answer::Corrupted));
        }
        match answer {
            Answer::Loop => self.counters.loops_returned += 1,
            Answer::Dummy => self.counters.answers_dummy += 1,
            Answer::Receipt {
                message,
                index,
                status,
            } => self.receipt(message, index, status),
            Answer::Stream(item, trace) => self.stream(now, &item, trace),
            Answer::Behind(generation) => self.behind(now, generation),
            Answer::Corrupted => self.counters.corrupted += 1,
            Answer::Unexpected => self.counters.unexpected += 1,
        }
    }

    fn receipt(&mut self, message: MessageId, index: u16, status: ReceiptStatus) {
        match status {
            ReceiptStatus::Stored => self.counters.receipts_stored += 1,
            _ => self.counters.receipts_refused += 1,
        }
        match self.outbox.receipt(&message, index, status) {
            Settled::Nothing => self.tell_hindered(),
            Settled::Fragment(changes) => self.desk.note(changes),
            Settled::Message(changes) => {
                self.counters.stored += 1;
                self.desk.note(changes);
                self.desk.event(ClientEvent::Stored { message });
            }
        }
    }

    fn stream(&mut self, now: Time, item: &StreamItem, trace: Vec<HopTrace>) {
        self.counters.stream_items += 1;
        if !self.mailbox.hears(item) {
            self.counters.unexpected += 1;
            return;
        }
        self.desk.settle(Alarm::NewerCopy);
        let lost = self.watch.stream_item(now, item.number);
        self.stream_lost(lost);
        self.tell_losses();
        let report = self.mailbox.report(item);
        self.desk.note(report.changes);
        if report.refused {
            self.desk.raise(Alarm::DropIdsRefused);
        } else if self.mailbox.pool().refused() == 0 {
            self.desk.settle(Alarm::DropIdsRefused);
        }
        if let Some(entry) = &item.entry {
            self.counters.stream_entries += 1;
            self.arrive(now, entry, trace);
        }
    }

    /// The mailbox has seen a generation that is not older than the one of a command.
    fn behind(&mut self, now: Time, generation: u64) {
        match self.mailbox.follow(now, generation, self.traffic.rng()) {
            Seen::Older => {}
            Seen::Above(change) => {
                self.desk.note([change]);
                self.desk.raise(Alarm::NewerCopy);
                // The stream starts anew.
                self.watch.start();
                self.tell_losses();
            }
            Seen::Superseded => {
                self.desk.raise(Alarm::Superseded);
                // That nothing comes any more is no news.
                self.watch.stop();
                self.tell_losses();
            }
            Seen::Absurd => self.counters.unexpected += 1,
        }
    }

    fn arrive(&mut self, now: Time, entry: &StreamEntry, trace: Vec<HopTrace>) {
        let (owner, contacts) = (&self.identity, &self.contacts);
        let arrival = self.inbox.arrive(now, owner, contacts, entry, trace);
        if !matches!(arrival, Arrival::Full) {
            self.desk.settle(Alarm::InboxFull);
        }
        match arrival {
            Arrival::Known => {
                self.counters.duplicates += 1;
                self.mailbox.acknowledge(entry.entry);
            }
            Arrival::Saving => self.counters.duplicates += 1,
            Arrival::Spare => {
                self.counters.spare += 1;
                self.mailbox.acknowledge(entry.entry);
            }
            Arrival::Full => self.desk.raise(Alarm::InboxFull),
            Arrival::ShareFull => self.desk.raise(Alarm::ShareFull),
            Arrival::Bad => {
                self.counters.undecryptable += 1;
                self.mailbox.acknowledge(entry.entry);
            }
            Arrival::Spoilt { changes, kept } => {
                self.counters.undecryptable += 1;
                let entry = entry.entry;
                self.desk.persist(changes, Follow::Arrival { entry, kept });
            }
            Arrival::New { changes, kept } => {
                let entry = entry.entry;
                self.desk.persist(changes, Follow::Arrival { entry, kept });
            }
        }
    }

    /// A fragment is on disk: the mailbox may delete it, and the user may have the message in its turn.
    fn keep(&mut self, now: Time, entry: u64, kept: Kept) {
        self.counters.received += u64::from(self.inbox.safe(kept));
        self.mailbox.acknowledge(entry);
        self.tell(now);
    }

    /// Tells of the messages whose turn it is.
    fn tell(&mut self, now: Time) {
        while let Some(told) = self.inbox.next_told(now, &self.contacts) {
            let Told {
                key,
                row,
                trace,
                changes,
            } = told;
            self.desk.note(changes);
            let (provider, drop) = (row.reply_provider, row.reply_drop);
            let reply_to = self.identity.address_of(key.sender, provider, drop);
            self.desk.event(ClientEvent::Received {
                message: key.message,
                from: key.sender,
                reply_to: Box::new(reply_to),
                text: Zeroizing::new(row.text),
                sent_at: row.sent_at,
                sequence: row.sequence,
                gap_before: row.gap_before,
                trace,
            });
        }
    }

    fn tell_hindered(&mut self) {
        while let Some((message, by)) = self.outbox.next_hindered() {
            self.desk.event(ClientEvent::Hindered { message, by });
        }
    }

    /// Answers overdue, numbers missing, a stream that pauses; and keys that are void.
    fn look_for_losses(&mut self, now: Time) {
        while let Some(purpose) = self.traffic.overdue(now) {
            match purpose {
                Purpose::Loop => self.counters.loops_lost += 1,
                _ => self.counters.receipts_lost += 1,
            }
            self.outcome(purpose, true);
        }
        while let Some(finding) = self.watch.check_stream(now) {
            match finding {
                Finding::Lost(lost) => self.stream_lost(lost),
                Finding::Paused => self.counters.stream_pauses += 1,
            }
        }
        self.traffic.sweep(now);
        self.tell_losses();
    }

    fn stream_lost(&mut self, lost: u64) {
        self.counters.stream_gaps = self.counters.stream_gaps.saturating_add(lost);
    }

    fn outcome(&mut self, of: Purpose, lost: bool) {
        self.watch.outcome(of, lost);
        self.tell_losses();
    }

    fn tell_losses(&mut self) {
        for (alarm, holds) in self.watch.alarms() {
            self.desk.hold(alarm, holds);
        }
    }
}

/// How long a message waits for those before it: at least for the quick tries of one that was lost, and for
/// twenty pushes of the mailbox.
fn patience(config: &ClientConfig, params: &NetworkParameters, profile: &Profile) -> Span {
    let tries = outbox::first_wait(params, profile).scale(12, 1);
    let pushes = match profile.mailbox_clock > 0.0 {
        true => Span::from_secs_f64(20.0 / profile.mailbox_clock),
        false => Span::ZERO,
    };
    config.order_patience.max(tries).max(pushes)
}
