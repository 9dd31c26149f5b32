//! The client role: its parts, and how what happens to one concerns the others.

mod moving;
mod people;

use std::sync::Arc;

use rand::CryptoRng;
use shoal_packet::Frame;
use shoal_packet::command::{ReceiptStatus, StreamEntry, StreamItem, TokenProof};
use shoal_proto::{ClientHandle, MessageId, NodeId, Span, Time};
use shoal_topology::{NetworkParameters, Profile};

use self::people::Asked;
use crate::answer::Answer;
use crate::clock::ClockStep;
use crate::compose::Composed;
use crate::config::ClientConfig;
use crate::contacts::Contacts;
use crate::counters::Counters;
use crate::desk::Desk;
use crate::error::ClientError;
use crate::event::{Alarm, ClientAction, ClientEvent, ClientInput, HopTrace, Plain};
use crate::generation::Seen;
use crate::identity::Identity;
use crate::inbox::{Arrival, Doors, Inbox, Kept, Taken, Told};
use crate::invitations::Invitations;
use crate::keys::{ClientKeys, PeerKey};
use crate::mailbox::MailboxLink;
use crate::note::Note;
use crate::outbox::{self, MessageStatus, Outbox, Settled};
use crate::packets::BuildError;
use crate::places::{PlaceStatus, Places};
use crate::receipts::Receipts;
use crate::replies::Purpose;
use crate::rows::{BoxId, Row, SeenKey};
use crate::schedule::Process;
use crate::sessions::Sessions;
use crate::table::Table;
use crate::traffic::{Sent, Traffic};
use crate::watch::{Finding, Watch};

/// What follows once the host has answered a ticket.
enum Follow {
    /// What the user has asked for is done, or refused.
    Asked(Box<Asked>),
    /// Something received is acknowledged, at this mailbox.
    Arrival { of: BoxId, entry: u64, kept: Kept },
    /// Mailboxes may be written to.
    Mailboxes { of: Vec<BoxId> },
    /// A contact is told where this client is, or has to be told later.
    Notice { to: PeerKey, message: Box<Composed> },
    /// A contact is told something of keys.
    Keys { message: Box<Composed> },
    /// A contact is told of its messages, or has to be told later.
    Receipts {
        to: PeerKey,
        message: Box<Composed>,
        note: Note,
    },
    /// Where a contact is, is known for good: the entry that said so is acknowledged, at this mailbox.
    Heard {
        of: BoxId,
        entry: u64,
        seen: SeenKey,
    },
}

impl Follow {
    /// Whether rows of this table hold in memory when they could not be saved.
    fn holds(follow: Option<&Self>, table: Table) -> bool {
        // A ratchet that went on does not go back.
        let session = matches!(table, Table::Session | Table::Late);
        match follow {
            Some(Self::Asked(asked)) => session || asked.holds(),
            // What came is taken anew when it comes again; who it let in is in.
            Some(Self::Arrival { .. } | Self::Heard { .. }) => !matches!(
                table,
                Table::Partial | Table::Inbox | Table::Seen | Table::Done | Table::Order
            ),
            // They are put together anew.
            Some(Self::Notice { .. } | Self::Keys { .. } | Self::Receipts { .. }) => session,
            Some(Self::Mailboxes { .. }) | None => true,
        }
    }
}

/// The client role. See the [crate's documentation](crate) for what drives it.
pub struct Client<R> {
    identity: Identity,
    traffic: Traffic<R>,
    outbox: Outbox,
    contacts: Contacts,
    invitations: Invitations,
    sessions: Sessions,
    receipts: Receipts,
    places: Places,
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
        let first_wait = outbox::first_wait(&params, &profile);
        let copies = outbox::copies(&profile);
        let mut client = Self {
            identity: Identity::new(keys, params.chain()),
            outbox: Outbox::new(&config, (first_wait, copies), &mut rng),
            contacts: Contacts::default(),
            invitations: Invitations::new(params.time_to_live),
            sessions: Sessions::new(
                config.limits.sessions_of_strangers,
                params.time_to_live.scale(2, 1),
            ),
            receipts: Receipts::default(),
            places: Places::new(&params, index, &profile, &config, &mut rng),
            inbox: Inbox::new(&config, patience(&config, &params, &profile)),
            watch: Watch::new(now),
            desk: Desk::new(),
            counters: Counters::default(),
            traffic: Traffic::new(params, &profile, &config, rng, now),
        };
        client.restore(rows, now)?;
        Ok(client)
    }

    fn restore(&mut self, rows: &[Row], now: Time) -> Result<(), ClientError> {
        self.places.restore(rows, self.traffic.rng(), now)?;
        self.contacts.restore(rows)?;
        let mut stray = self.sessions.restore(rows, now)?;
        // Whose contact was not saved with them: what they send begins them anew.
        let contacts = &self.contacts;
        stray.extend(self.sessions.retain_with(|peer| contacts.contains(peer)));
        self.invitations.restore(rows, &mut self.sessions)?;
        self.desk.note(stray);
        self.receipts.restore(rows, now)?;
        self.outbox.restore(rows, now)?;
        self.inbox.restore(rows, now)?;
        self.make_mailboxes(now);
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
                self.make_mailboxes(now);
                self.start_if_ready(now);
            }
            ClientInput::Worked { work, proof } => {
                self.places.worked(&work, &TokenProof::Work(proof));
                self.prepare_tokens(now);
            }
            ClientInput::Entries(entries) => self.places.set_entries(entries),
            ClientInput::Attached { entry, handle } => self.attach(now, entry, handle),
            ClientInput::Detached => self.detach(),
            ClientInput::ClockMoved { .. } => {}
            ClientInput::Frame(frame) => self.receive(now, frame),
            ClientInput::Persisted { ticket } => self.persisted(now, ticket),
            ClientInput::PersistFailed { ticket, reason } => {
                self.persist_failed(now, ticket, reason)
            }
            ClientInput::Read { message } => self.read(now, &message),
            ClientInput::Ask { request, what } => self.ask(now, request, what),
            ClientInput::RenewInvitations => self.renew_invitations(now),
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
            self.moving_deadline(),
            self.desk.reminder(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Whether the user names the providers of the mailboxes, so that they stay.
    #[must_use]
    pub fn names_mailboxes(&self) -> bool {
        self.places.are_named()
    }

    /// Whether who accepts an invitation now is heard: a mailbox has confirmed it. Before, what is sent is refused, and
    /// tried again.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.places.is_open()
    }

    /// The providers of the mailboxes: none, one or two.
    pub fn mailbox_providers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.places.providers()
    }

    /// All own places: those that are written to, those to come, and those that are left.
    #[must_use]
    pub fn places(&self) -> Vec<PlaceStatus> {
        self.places.told()
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
            stock: self.of_all(|link| u64::from(link.stock())),
            unread: self.inbox.unread() as u64,
            held: self.inbox.held() as u64,
            pending_acks: self.of_all(|link| link.pending_acks() as u64),
            drops_unconfirmed: self.of_all(|link| link.sets().unconfirmed()),
            drops_refused: self.of_all(|link| link.sets().refused()),
            ..self.counters
        }
    }

    fn of_all(&self, number: impl Fn(&MailboxLink) -> u64) -> u64 {
        self.places.all().map(number).sum()
    }

    fn attach(&mut self, now: Time, entry: NodeId, handle: ClientHandle) {
        self.detach();
        self.traffic.attach(entry, handle);
        for (of, changes) in self.places.restart(now, self.traffic.rng()) {
            let of = vec![of];
            self.desk.persist(changes, Follow::Mailboxes { of });
        }
        let same = self.places.providers().any(|provider| provider == entry);
        self.desk.hold(Alarm::EntryIsMailbox, same);
        self.start_if_ready(now);
    }

    fn detach(&mut self) {
        self.traffic.detach();
        for link in self.places.all_mut() {
            link.watch_mut().stop();
        }
        self.tell_losses();
    }

    fn clock_moved(&mut self, step: ClockStep) {
        self.detach();
        self.traffic.clock_moved(step);
        self.outbox.clock_moved(step);
        self.inbox.clock_moved(step);
        self.places.clock_moved(step);
        self.contacts.clock_moved(step);
        self.invitations.clock_moved(step);
        self.receipts.clock_moved(step);
        self.sessions.clock_moved(step);
        self.watch.clock_moved(step);
    }

    fn start_if_ready(&mut self, now: Time) {
        if self.traffic.start_if_ready(now) {
            self.outbox.miss(now);
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
        while let Some((message, expired, changes)) = self.outbox.expire(now) {
            self.desk.note(changes);
            if let Some(message) = expired.then_some(message) {
                self.counters.expired += 1;
                self.desk.event(ClientEvent::Expired { message });
            }
        }
        self.tell(now);
        self.desk.remind(now);
        if self.traffic.is_attached() && self.watch.is_due(now) {
            self.look_for_losses(now);
        }
        self.move_on(now);
    }

    fn tick(&mut self, now: Time, process: Process) {
        let (outbox, places) = (&mut self.outbox, &mut self.places);
        let packet = self
            .traffic
            .packet(now, process, outbox, places, &self.identity);
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
        self.outbox.is_able(now);
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
                if !self.outbox.is_notice(&message) {
                    self.desk.event(ClientEvent::Sent {
                        message,
                        fragment: index,
                        trace,
                    });
                }
                self.tell_hindered();
            }
            Sent::Dummy { changes } => {
                self.counters.sent_dummy += 1;
                self.desk.note(changes);
                self.tell_hindered();
            }
            Sent::Token => self.counters.sent_token += 1,
            Sent::Loop => self.counters.sent_loop += 1,
            Sent::Drop => self.counters.sent_drop += 1,
            Sent::MailboxMissing(of) => {
                self.counters.sent_drop += 1;
                self.mailbox_missing(of, true);
            }
            Sent::Mailbox(of) => {
                self.counters.sent_mailbox += 1;
                self.mailbox_missing(of, false);
                let link = self.places.get_mut(of);
                // That nothing comes any more from one that another copy has is no news.
                if let Some(link) = link.filter(|link| !link.is_superseded()) {
                    link.watch_mut().expect_stream(now);
                }
            }
        }
    }

    fn mailbox_missing(&mut self, of: BoxId, missing: bool) {
        if let Some(link) = self.places.get_mut(of) {
            link.set_missing(missing);
        }
        let any = self.places.all().any(MailboxLink::is_missing);
        self.desk.hold(Alarm::MailboxMissing, any);
    }

    fn persisted(&mut self, now: Time, ticket: u64) {
        let Some(follow) = self.desk.answered(ticket) else {
            return;
        };
        self.desk.settle(Alarm::Storage);
        match follow {
            Some(Follow::Asked(asked)) => self.done(now, *asked),
            Some(Follow::Arrival { of, entry, kept }) => self.keep(now, (of, entry), kept),
            Some(Follow::Mailboxes { of }) => {
                for id in of {
                    if let Some(link) = self.places.get_mut(id) {
                        link.set_kept();
                    }
                }
            }
            Some(
                Follow::Notice { message, .. }
                | Follow::Receipts { message, .. }
                | Follow::Keys { message },
            ) => {
                message.accept(now, &mut self.outbox);
            }
            Some(Follow::Heard { of, entry, seen }) => {
                self.inbox.settled(&seen);
                self.acknowledge(of, entry);
            }
            None => {}
        }
    }

    fn persist_failed(&mut self, now: Time, ticket: u64, reason: String) {
        let Some(follow) = self.desk.failed(now, ticket, Follow::holds) else {
            return;
        };
        self.counters.persist_failures += 1;
        match follow {
            Some(Follow::Asked(asked)) => self.not_done(*asked, reason),
            Some(Follow::Arrival { kept, .. }) => {
                // Not acknowledged: the mailbox pushes it again, and that is the second try.
                self.inbox.forget(&kept);
                self.desk.raise(Alarm::Storage);
            }
            Some(Follow::Notice { to, message }) => {
                message.forget(&mut self.outbox, &mut self.contacts);
                // In its turn, once more.
                self.not_told(now, &to);
                self.desk.raise(Alarm::Storage);
            }
            Some(Follow::Keys { message }) => {
                // Another day.
                message.forget(&mut self.outbox, &mut self.contacts);
                self.desk.raise(Alarm::Storage);
            }
            Some(Follow::Receipts { to, message, note }) => {
                message.forget(&mut self.outbox, &mut self.contacts);
                let with = (now, self.traffic.rng());
                let changes = self.receipts.put_back(with, &to, &note);
                self.desk.note(changes);
                self.desk.raise(Alarm::Storage);
            }
            // Mailboxes are not written to before they are saved, if they are new. What a contact has said of itself comes
            // again.
            Some(Follow::Mailboxes { .. } | Follow::Heard { .. }) | None => {
                self.desk.raise(Alarm::Storage);
            }
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
            Answer::Stream(of, item, trace) => self.stream(now, of, &item, trace),
            Answer::Behind(of, generation) => self.behind(now, of, generation),
            Answer::Token(of, answer) => self.token_answered(of, &answer),
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
            Settled::Notice(changes) => self.desk.note(changes),
        }
    }

    fn stream(&mut self, now: Time, of: BoxId, item: &StreamItem, trace: Vec<HopTrace>) {
        self.counters.stream_items += 1;
        let Some(link) = self.places.get_mut(of) else {
            return;
        };
        if !link.hears(item) {
            self.counters.unexpected += 1;
            return;
        }
        let lost = link.watch_mut().stream_item(now, item.number);
        let report = link.report(item);
        self.desk.settle(Alarm::NewerCopy);
        self.stream_lost(lost);
        self.tell_losses();
        self.desk.note(report.changes);
        if report.refused {
            self.desk.raise(Alarm::DropIdsRefused);
        } else if self.places.all().all(|link| link.sets().refused() == 0) {
            self.desk.settle(Alarm::DropIdsRefused);
        }
        if let Some(entry) = &item.entry {
            self.counters.stream_entries += 1;
            self.arrive(now, of, entry, trace);
        }
    }

    /// A mailbox has seen a generation that is not older than the one of a command.
    fn behind(&mut self, now: Time, of: BoxId, generation: u64) {
        let lost_another = self.places.is_superseded();
        let Some(link) = self.places.get_mut(of) else {
            return;
        };
        match link.follow(now, (generation, lost_another), self.traffic.rng()) {
            Seen::Older => {}
            Seen::Above => {
                // The stream starts anew.
                link.watch_mut().start();
                self.desk.note([link.saved()]);
                self.desk.raise(Alarm::NewerCopy);
                self.tell_losses();
            }
            Seen::Superseded => {
                // That nothing comes any more is no news.
                link.watch_mut().stop();
                self.desk.settle(Alarm::NewerCopy);
                self.desk.raise(Alarm::Superseded);
                self.tell_losses();
            }
            Seen::Absurd => self.counters.unexpected += 1,
        }
    }

    fn arrive(&mut self, now: Time, of: BoxId, entry: &StreamEntry, trace: Vec<HopTrace>) {
        let doors = Doors {
            owner: &self.identity,
            contacts: &mut self.contacts,
            invitations: &self.invitations,
            sessions: &mut self.sessions,
        };
        let Taken {
            arrival,
            changes: session,
            guest,
            met_again,
            again,
        } = self.inbox.arrive(now, doors, entry, trace);
        if !matches!(arrival, Arrival::Full) {
            self.desk.settle(Alarm::InboxFull);
        }
        match arrival {
            Arrival::Known => {
                self.counters.duplicates += 1;
                self.acknowledge(of, entry.entry);
            }
            Arrival::Saving => self.counters.duplicates += 1,
            Arrival::Spare => {
                self.counters.spare += 1;
                self.desk.note(session);
                self.acknowledge(of, entry.entry);
            }
            Arrival::Full => self.desk.raise(Alarm::InboxFull),
            Arrival::ShareFull => self.desk.raise(Alarm::ShareFull),
            Arrival::Bad => {
                self.counters.undecryptable += 1;
                self.desk.note(session);
                self.acknowledge(of, entry.entry);
            }
            Arrival::Spoilt { mut changes, kept } => {
                changes.extend(session);
                self.counters.undecryptable += 1;
                let entry = entry.entry;
                self.desk
                    .persist(changes, Follow::Arrival { of, entry, kept });
            }
            Arrival::Late { changes } => {
                self.counters.late_texts += 1;
                self.desk.note(changes.into_iter().chain(session));
                self.acknowledge(of, entry.entry);
                self.tell(now);
            }
            Arrival::Unwelcome => {
                self.counters.unwelcome += 1;
                self.acknowledge(of, entry.entry);
            }
            Arrival::Second { invitation } => {
                self.counters.unwelcome += 1;
                self.acknowledge(of, entry.entry);
                self.leaked(now, invitation);
            }
            Arrival::Control {
                seen,
                from,
                session: tag,
                control,
            } => {
                self.counters.controls += 1;
                let mut changes = session;
                changes.extend(self.control(now, &from, (&tag, &control)));
                let entry = entry.entry;
                self.desk
                    .persist(changes, Follow::Heard { of, entry, seen });
            }
            Arrival::Notice {
                seen,
                from,
                envelope,
                note,
            } => {
                self.counters.notices += 1;
                self.told(&from, &note);
                let mut changes = self.welcome(now, guest, &from, &envelope);
                changes.extend(self.met_again(now, met_again, &from));
                changes.extend(self.heard(now, (of, entry.drop), (&from, again), &envelope));
                changes.extend(session);
                let entry = entry.entry;
                match changes.is_empty() {
                    true => {
                        self.inbox.settled(&seen);
                        self.acknowledge(of, entry);
                    }
                    false => self
                        .desk
                        .persist(changes, Follow::Heard { of, entry, seen }),
                }
            }
            Arrival::New {
                mut changes,
                kept,
                from,
                envelope,
            } => {
                changes.extend(self.welcome(now, guest, &from, &envelope));
                changes.extend(self.met_again(now, met_again, &from));
                changes.extend(self.heard(now, (of, entry.drop), (&from, again), &envelope));
                let entry = entry.entry;
                changes.extend(session);
                self.desk
                    .persist(changes, Follow::Arrival { of, entry, kept });
            }
        }
    }

    fn acknowledge(&mut self, of: BoxId, entry: u64) {
        if let Some(link) = self.places.get_mut(of) {
            link.acknowledge(entry);
        }
    }

    /// A fragment is on disk: the mailbox may delete it, and the user may have the message in its turn.
    fn keep(&mut self, now: Time, (of, entry): (BoxId, u64), kept: Kept) {
        let whole = kept.complete;
        if self.inbox.safe(kept) {
            self.counters.received += 1;
            self.tell_delivered(now, whole);
        }
        self.acknowledge(of, entry);
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
            self.desk.event(ClientEvent::Received {
                message: key.message,
                from: key.sender,
                text: Plain::new(row.text),
                sent_at: row.sent_at,
                sequence: row.sequence,
                gap_before: row.gap_before,
                expires: row.expires,
                trace,
            });
        }
        while let Some((key, row)) = self.inbox.next_data(&self.contacts) {
            self.desk.event(ClientEvent::ReceivedData {
                message: key.message,
                from: key.sender,
                data: Plain::new(row.text),
                sent_at: row.sent_at,
            });
        }
        let unsaid = self.inbox.unsaid();
        self.desk.note(unsaid);
        while let Some((key, change)) = self.inbox.vanish(now) {
            self.desk.note([change]);
            self.desk.event(ClientEvent::Vanished {
                message: key.message,
                from: key.sender,
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
        for link in self.places.all_mut() {
            while let Some(finding) = link.watch_mut().check_stream(now) {
                let counters = &mut self.counters;
                match finding {
                    Finding::Lost(lost) => {
                        counters.stream_gaps = counters.stream_gaps.saturating_add(lost);
                    }
                    Finding::Paused => counters.stream_pauses += 1,
                }
            }
        }
        self.places.swap_on_alarm(now);
        let elsewhere = self.watch.loses_loops();
        let changes = self.places.flee(now, elsewhere);
        self.desk.note(changes);
        let changes = self.places.reopen(now, elsewhere);
        if !changes.is_empty() {
            self.desk.note(changes);
            self.prepare_tokens(now);
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
        let alarms = self.watch.alarms().into_iter();
        for (alarm, holds) in alarms.chain(self.places.alarms()) {
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
