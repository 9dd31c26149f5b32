//! The loop around the client core: the session's events, local requests and the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use shoal_client::{Address, Change, Client, ClientAction, ClientEvent, ClientInput};
use shoal_proto::{MessageId, NodeId, Span, Time};
use shoal_topology::{ClientDirectory, NetworkParameters};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::database::{Database, Written};
use super::inbox::Inbox;
use super::session::SessionEvent;
use super::status;
use crate::control::protocol::{
    Accepted, Event, MessageState, Outgoing, OwnAddress, Refusal, RefusalCode, Request, Response,
    Status,
};
use crate::net::NetHandle;
use crate::runtime::announce::{Announce, Announcer};
use crate::runtime::clock::Clock;

/// Alarms that `status` still shows.
const ALARMS: usize = 16;
/// Sent messages that `status` shows.
const OUTGOING: usize = 100;

/// A local request and where its answer goes.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Result<Response, Refusal>>,
}

/// What the loop waits for besides deadlines.
pub(super) struct Inputs {
    pub(super) session: mpsc::Receiver<SessionEvent>,
    pub(super) asked: mpsc::Receiver<Asked>,
    pub(super) written: mpsc::Receiver<Written>,
    pub(super) figures: mpsc::Receiver<oneshot::Sender<Status>>,
}

/// Why the loop ended.
pub(super) enum Ended {
    /// Somebody asked it to stop.
    Stopped,
    /// The clock was off: the core has to start again, with this one and these documents.
    ClockMoved(Clock, ClientDirectory),
}

/// The client core and what it acts on.
pub(super) struct Daemon {
    pub(super) params: Arc<NetworkParameters>,
    pub(super) mailbox: NodeId,
    pub(super) profile: String,
    pub(super) clock: Clock,
    pub(super) started: Time,
    pub(super) core: Client<ChaCha20Rng>,
    pub(super) database: Database,
    pub(super) inbox: Inbox,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) unread: watch::Sender<u64>,
    pub(super) announcer: Announcer,
    pub(super) link: Option<(NodeId, NetHandle)>,
    /// The clock as the machine has it, to tell how far it is off.
    pub(super) local_clock: Clock,
    pub(super) desk: Desk,
}

/// Requests under way and what `status` remembers.
#[derive(Default)]
pub(super) struct Desk {
    next_request: u64,
    sending: BTreeMap<u64, oneshot::Sender<Result<Response, Refusal>>>,
    alarms: Vec<String>,
    document_epoch: Option<u64>,
    uplink_dropped: u64,
    /// Just before the core's next tick, while the timer for it has not fired.
    before: Option<Time>,
    /// The latest time that the core was told.
    last: Time,
}

impl Daemon {
    /// Runs until `stop` resolves, somebody asks to stop, or the clock has to move.
    pub(super) async fn run(
        &mut self,
        inputs: &mut Inputs,
        stop: &mut (impl Future<Output = ()> + Unpin),
    ) -> Ended {
        loop {
            self.pump();
            let deadline = self.core.poll_deadline().unwrap_or(Time::MAX);
            self.desk.before = Some(deadline - Span::from_micros(1));
            let deadline = self.clock.instant(deadline);
            tokio::select! {
                () = &mut *stop => return Ended::Stopped,
                Some(event) = inputs.session.recv() => {
                    if let Some(ended) = self.on_session(event) {
                        return ended;
                    }
                }
                Some(asked) = inputs.asked.recv() => {
                    if matches!(asked.request, Request::Stop) {
                        // Who asked may not wait for the answer.
                        let _ = asked.answer.send(Ok(Response::Done));
                        return Ended::Stopped;
                    }
                    self.on_request(asked);
                }
                Some(written) = inputs.written.recv() => self.on_written(written),
                Some(reply) = inputs.figures.recv() => {
                    let _ = reply.send(self.status());
                }
                () = tokio::time::sleep_until(deadline) => self.desk.before = None,
            }
        }
    }

    /// The time, as far as the core may know it: until the timer fires, it stays before the next
    /// tick. Else whatever wakes this loop, a local request too, would let a tick that is due leave
    /// a little sooner than the timer does.
    fn now(&mut self) -> Time {
        let now = self.clock.now();
        let now = self.desk.before.map_or(now, |before| now.min(before));
        self.desk.last = now.max(self.desk.last);
        self.desk.last
    }

    /// Takes documents that were fetched before this core was made.
    pub(super) fn adopt(&mut self, directory: &ClientDirectory) {
        let now = self.now();
        self.desk.document_epoch = directory
            .view()
            .current(&self.params, now)
            .map(|document| document.epoch().number());
        self.core
            .handle_input(now, ClientInput::View(directory.view()));
    }

    fn pump(&mut self) {
        let now = self.now();
        while let Some(action) = self.core.poll_action(now) {
            match action {
                ClientAction::SendFrame(frame) => {
                    let sent = self
                        .link
                        .as_ref()
                        .is_some_and(|(entry, net)| net.try_send(entry, frame).is_ok());
                    if !sent {
                        self.desk.uplink_dropped = self.desk.uplink_dropped.saturating_add(1);
                    }
                }
                ClientAction::Persist { ticket, changes } => self.persist(now, ticket, changes),
                ClientAction::Event(event) => self.on_event(event),
                _ => {}
            }
        }
    }

    fn persist(&mut self, now: Time, ticket: u64, changes: Vec<Change>) {
        if !self.database.write(ticket, changes) {
            let reason = "the disk is too far behind".to_owned();
            self.core
                .handle_input(now, ClientInput::PersistFailed { ticket, reason });
        }
    }

    fn on_session(&mut self, event: SessionEvent) -> Option<Ended> {
        let now = self.now();
        match event {
            SessionEvent::Directory(directory, clock) => {
                let ahead = clock.ahead_of(&self.clock);
                if ahead != 0 {
                    tracing::warn!(
                        offset_us = ahead,
                        "the local clock is off the network's: going by the network's"
                    );
                    return Some(Ended::ClockMoved(clock, directory));
                }
                self.adopt(&directory);
            }
            SessionEvent::Attached { entry, handle, net } => {
                self.link = Some((entry, net));
                self.core
                    .handle_input(now, ClientInput::Attached { entry, handle });
                self.announcer.say(&Announce::Online {
                    entry: entry.to_string(),
                });
                self.tell(Event::Attached {
                    entry: entry.to_string(),
                });
            }
            SessionEvent::Detached(reason) => {
                if self.link.take().is_some() {
                    self.core.handle_input(now, ClientInput::Detached);
                    self.tell(Event::Detached);
                }
                tracing::warn!(%reason, "not attached");
                self.announcer.say(&Announce::Offline { reason });
            }
            SessionEvent::Frame(frame) => self.core.handle_input(now, ClientInput::Frame(frame)),
        }
        None
    }

    fn on_written(&mut self, written: Written) {
        let input = match written {
            Written::Done { ticket } => ClientInput::Persisted { ticket },
            Written::Failed { ticket, reason } => ClientInput::PersistFailed { ticket, reason },
        };
        let now = self.now();
        self.core.handle_input(now, input);
    }

    fn on_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Accepted { request, message } => {
                let answer = Response::Accepted(self.accepted(&message));
                if let Some(waiting) = self.desk.sending.remove(&request) {
                    // Accepted is accepted, whether or not somebody still listens.
                    let _ = waiting.send(Ok(answer));
                }
                self.tell(Event::Accepted {
                    message: message.to_string(),
                });
            }
            ClientEvent::Refused { request, reason } => {
                if let Some(waiting) = self.desk.sending.remove(&request) {
                    let _ = waiting.send(Err(status::refusal(&reason)));
                }
            }
            ClientEvent::Sent {
                message,
                fragment,
                trace,
            } => {
                let hops = trace.iter().map(status::hop).collect();
                self.tell(Event::Sent {
                    message: message.to_string(),
                    fragment,
                    hops,
                });
            }
            ClientEvent::Stored { message } => {
                let after_ms = self
                    .core
                    .status(&message)
                    .map(|status| self.clock.now().since(status.accepted_at).as_micros() / 1000);
                self.tell(Event::Stored {
                    message: message.to_string(),
                    after_ms,
                });
            }
            ClientEvent::Expired { message } => {
                self.tell(Event::Expired {
                    message: message.to_string(),
                });
            }
            received @ ClientEvent::Received { .. } => self.on_received(received),
            ClientEvent::Alarm(alarm) => {
                tracing::warn!(%alarm, "alarm");
                let text = alarm.to_string();
                if self.desk.alarms.len() >= ALARMS {
                    self.desk.alarms.remove(0);
                }
                self.desk.alarms.push(text.clone());
                self.tell(Event::Alarm { text });
            }
            _ => {}
        }
    }

    fn on_received(&mut self, event: ClientEvent) {
        if let Some(received) = self.inbox.add(event, self.clock.now()) {
            let cursor = received.cursor;
            self.tell(Event::Received(Box::new(received)));
            self.unread.send_replace(cursor);
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listening is fine.
        let _ = self.events.send(event);
    }

    fn on_request(&mut self, asked: Asked) {
        let Asked { request, answer } = asked;
        let outcome = match request {
            Request::Send { to, text } => return self.on_send(&to, text, answer),
            Request::Messages { after, limit, .. } => {
                Ok(Response::Messages(self.inbox.after(after, limit)))
            }
            Request::Read { message } => self.on_read(&message),
            Request::Status => Ok(Response::Status(Box::new(self.status()))),
            Request::Address => Ok(Response::Address(self.own_address())),
            _ => Err(Refusal::new(
                RefusalCode::Invalid,
                "this daemon does not do that",
            )),
        };
        let _ = answer.send(outcome);
    }

    fn on_send(
        &mut self,
        to: &str,
        text: String,
        answer: oneshot::Sender<Result<Response, Refusal>>,
    ) {
        let address = match to.parse::<Address>() {
            Ok(address) => address,
            Err(error) => {
                let _ = answer.send(Err(Refusal::new(RefusalCode::Invalid, error.to_string())));
                return;
            }
        };
        let request = self.desk.next_request;
        self.desk.next_request = request.saturating_add(1);
        self.desk.sending.insert(request, answer);
        let to = Box::new(address);
        let text = text.into_bytes();
        let now = self.now();
        self.core
            .handle_input(now, ClientInput::Send { request, to, text });
    }

    fn on_read(&mut self, message: &str) -> Result<Response, Refusal> {
        let id: MessageId = message.parse().map_err(|error| {
            Refusal::new(RefusalCode::Invalid, format!("not a message's id: {error}"))
        })?;
        if !self.inbox.remove(message) {
            return Err(Refusal::new(
                RefusalCode::NotFound,
                "no unread message has this id",
            ));
        }
        let now = self.now();
        self.core
            .handle_input(now, ClientInput::Read { message: id });
        Ok(Response::Done)
    }

    fn accepted(&self, message: &MessageId) -> Accepted {
        let fragments = self
            .core
            .status(message)
            .map_or(1, |status| status.fragments);
        Accepted {
            message: message.to_string(),
            fragments: u32::from(fragments),
            expected_stored_ms: status::expected_stored_ms(&self.params, &self.profile, fragments),
        }
    }

    fn own_address(&self) -> OwnAddress {
        OwnAddress {
            address: self.core.address(self.clock.now()).to_string(),
            key: self.core.public_key().to_string(),
            mailbox: self.mailbox.to_string(),
        }
    }

    fn status(&self) -> Status {
        let now = self.clock.now();
        let outgoing = self.core.sent_messages().map(|status| Outgoing {
            message: status.message.to_string(),
            state: match status.state {
                shoal_client::MessageState::Queued => MessageState::Queued,
                shoal_client::MessageState::Sent => MessageState::Sent,
                shoal_client::MessageState::Stored => MessageState::Stored,
                _ => MessageState::Expired,
            },
            accepted_at_us: status.accepted_at.as_micros(),
        });
        let counters = self.core.counters();
        let mut outgoing: Vec<Outgoing> = outgoing.collect();
        outgoing.sort_by_key(|message| std::cmp::Reverse(message.accepted_at_us));
        outgoing.truncate(OUTGOING);
        let mut table = status::counters(&counters);
        table.insert("uplink_dropped".to_owned(), self.desk.uplink_dropped);
        Status {
            network: self.params.name.clone(),
            network_hash: self.params.hash().to_string(),
            profile: self.profile.clone(),
            online: self.core.is_running(),
            entry: self.link.as_ref().map(|(entry, _)| entry.to_string()),
            mailbox: self.mailbox.to_string(),
            epoch: self.params.epoch_at(now).number(),
            document_epoch: self.desk.document_epoch,
            clock_offset_us: self.clock.ahead_of(&self.local_clock),
            uptime_secs: now.since(self.started).as_micros() / 1_000_000,
            outgoing,
            unread: counters.unread,
            stock: counters.stock,
            counters: table,
            alarms: self.desk.alarms.clone(),
        }
    }
}
