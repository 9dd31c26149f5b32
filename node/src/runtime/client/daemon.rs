//! The loop that carries a client's session: connections, local requests and the disk.

use std::sync::Arc;

use shoal_client::{Alarm, ClientEvent, Counters, PeerKey, SendError, UserRequest};
use shoal_proto::{MessageId, Span, Time};
use shoal_roles::client::{Session, SessionAction, SessionEvent, SessionInput};
use shoal_topology::{NetworkParameters, Successor};
use tokio::sync::{mpsc, oneshot, watch};

use super::conversations::Talks;
use super::database::{Database, Ticket, Written};
use super::files::FileDesk;
use super::inbox::Inbox;
use super::links::Links;
use super::people::invitation_id;
use super::programs::{Programs, Wish};
use super::sending::{Answer, Next, Sending};
use super::status;
use crate::control::Events;
use crate::control::protocol::{
    Accepted, Event, IdempotencyKey, OutgoingPage, Progress, Refusal, RefusalCode, Request,
    Response, Status,
};
use crate::conversations::Fate;
use crate::files::Cut;
use crate::profiles::profiles;
use crate::runtime::announce::{Announce, Announcer};
use crate::runtime::clock::Clock;

/// Sent messages that `status` shows.
const OUTGOING: u32 = 100;

/// A local request and where its answer goes.
pub(super) struct Asked {
    pub(super) request: Request,
    /// The file that it is about, cut.
    pub(super) cut: Option<Cut>,
    pub(super) answer: Answer,
}

/// What a metrics page and `/healthz` are made of: everything at one instant.
pub(super) struct Report {
    pub(super) status: Status,
    pub(super) counters: Counters,
}

/// What the loop waits for besides deadlines.
pub(super) struct Inputs {
    pub(super) asked: mpsc::Receiver<Asked>,
    pub(super) figures: mpsc::Receiver<oneshot::Sender<Report>>,
    pub(super) wishes: mpsc::Receiver<Wish>,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was asked to.
    Stopped,
    /// Other values of the network count, since then.
    Succeeded(Time),
}

/// The session and what it acts on.
pub(super) struct Daemon {
    pub(super) params: Arc<NetworkParameters>,
    pub(super) profile: String,
    pub(super) clock: Clock,
    pub(super) started: Time,
    pub(super) session: Session,
    pub(super) links: Links,
    /// Where what threads and connections have done comes in.
    pub(super) inputs: mpsc::Sender<SessionInput>,
    pub(super) database: Database,
    pub(super) inbox: Inbox,
    pub(super) events: Arc<Events>,
    pub(super) unread: watch::Sender<u64>,
    pub(super) announcer: Announcer,
    pub(super) sending: Sending,
    pub(super) programs: Programs,
    pub(super) files: FileDesk,
    pub(super) talks: Talks,
    pub(super) desk: Desk,
    /// Other values of the network count: it ends, to be made anew.
    pub(super) succeeded: bool,
    /// That the address works was told.
    pub(super) open: bool,
}

/// What `status` remembers.
#[derive(Default)]
pub(super) struct Desk {
    uplink_dropped: u64,
}

impl Daemon {
    /// Runs until `stop` resolves or somebody asks to stop.
    pub(super) async fn run(
        &mut self,
        (session, disk): (
            &mut mpsc::Receiver<SessionInput>,
            &mut mpsc::Receiver<Written>,
        ),
        inputs: &mut Inputs,
        stop: &mut (impl Future<Output = ()> + Unpin),
    ) -> Ended {
        self.tell_session(SessionInput::Online(true));
        self.begin_files();
        self.begin_talks();
        loop {
            self.pump();
            // Whoever handed a message over hears first whether it was accepted.
            let idle = self.sending.is_idle()
                && self.programs.is_idle()
                && self.files.is_idle()
                && self.talks.is_idle();
            if self.succeeded && idle {
                let next = self.session.successor();
                return Ended::Succeeded(next.map_or(Time::default(), Successor::begins));
            }
            let at = |deadline: Option<Time>| self.clock.instant(deadline.unwrap_or(Time::MAX));
            let deadline = at(self.session.poll_deadline());
            // Apart: what files wait for makes no packet leave sooner.
            let files_deadline = at(self.files.deadline());
            let talks_deadline = at(self.talks_deadline());
            tokio::select! {
                () = &mut *stop => return Ended::Stopped,
                Some(input) = session.recv() => self.tell_session(input),
                Some(asked) = inputs.asked.recv() => {
                    if matches!(asked.request, Request::Stop) {
                        // Who asked may not wait for the answer.
                        let _ = asked.answer.send(Ok(Response::Done));
                        return Ended::Stopped;
                    }
                    self.on_request(asked);
                }
                Some(written) = disk.recv() => self.on_written(written),
                Some(wish) = inputs.wishes.recv() => self.on_wish(wish),
                Some(reply) = inputs.figures.recv() => {
                    let (status, counters) = (self.status(), self.session.counters());
                    let _ = reply.send(Report { status, counters });
                }
                () = tokio::time::sleep_until(deadline) => {
                    self.session.handle_timeout(self.clock.now());
                }
                () = tokio::time::sleep_until(files_deadline) => self.tend_files(),
                () = tokio::time::sleep_until(talks_deadline) => self.tend_talks(),
            }
        }
    }

    pub(super) fn tell_session(&mut self, input: SessionInput) {
        if let SessionInput::Closed(connection) = &input {
            // Nothing more is heard of it: what carried it goes too.
            self.links.close(*connection);
        }
        self.session.handle_input(self.clock.now(), input);
    }

    pub(super) fn pump(&mut self) {
        while let Some(action) = self.session.poll_action(self.clock.now()) {
            self.act(action);
        }
        if !self.open && self.session.is_open() {
            self.open = true;
            self.announcer.say(&Announce::Open);
            self.tell(Event::Opened);
        }
    }

    fn act(&mut self, action: SessionAction) {
        match action {
            SessionAction::Open(opening) => {
                let connection = opening.connection;
                if let Err(error) = self.links.open(opening) {
                    tracing::error!(%error, "networking could not start");
                    self.tell_session(SessionInput::Closed(connection));
                }
            }
            SessionAction::Request {
                connection,
                kind,
                bytes,
            } => {
                let asked = self.links.request(connection, kind, bytes);
                if !asked {
                    self.tell_session(SessionInput::RequestFailed(connection));
                }
            }
            SessionAction::Send { connection, frame } => {
                let sent = self.links.send(connection, frame);
                self.desk.uplink_dropped += u64::from(!sent);
            }
            SessionAction::Close(connection) => self.links.close(connection),
            SessionAction::Persist {
                ticket,
                mut changes,
            } => {
                let session = &self.session;
                let known = |message: &MessageId| session.status(message).is_some();
                self.sending.accompany(&mut changes, known);
                self.talks.accompany(&mut changes, known);
                let taken = self.database.write(Ticket::Session(ticket), changes);
                if !taken {
                    let reason = "the disk is too far behind".to_owned();
                    self.tell_session(SessionInput::PersistFailed { ticket, reason });
                }
            }
            SessionAction::Job(job) => {
                let inputs = self.inputs.clone();
                tokio::task::spawn_blocking(move || {
                    // The loop is gone while the daemon stops.
                    let _ = inputs.blocking_send(SessionInput::Done(job.run()));
                });
            }
            SessionAction::Event(event) => self.on_session_event(event),
            // What it will come to want later changes nothing here.
            _ => {}
        }
    }

    fn on_session_event(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Online { entry } => {
                let entry = entry.to_string();
                self.announcer.say(&Announce::Online {
                    entry: entry.clone(),
                });
                self.tell(Event::Attached { entry });
            }
            SessionEvent::Offline { reason, was_online } => {
                let reason = reason.to_string();
                if was_online {
                    self.tell(Event::Detached {
                        reason: reason.clone(),
                    });
                }
                tracing::warn!(%reason, "not attached");
                self.announcer.say(&Announce::Offline { reason });
            }
            SessionEvent::Documents { in_force, newest } => {
                tracing::info!(%in_force, %newest, "documents");
                let (in_force, newest) = (in_force.number(), newest.number());
                self.tell(Event::Documents { in_force, newest });
            }
            SessionEvent::NotRenewed(error) => {
                tracing::warn!(%error, "the directory was not renewed");
            }
            SessionEvent::TrustNotKept { reason } => {
                tracing::warn!(%reason, "what is known of the directory could not be stored");
            }
            SessionEvent::ClockCorrected { ahead, by } => {
                let word = if ahead { "behind" } else { "ahead of" };
                tracing::warn!(
                    "the local clock is {by} {word} the network's: going by the network's"
                );
            }
            SessionEvent::Succeeded => self.succeeded = true,
            SessionEvent::Client(event) => self.on_event(event),
            _ => {}
        }
    }

    fn on_written(&mut self, written: Written) {
        let (ticket, outcome) = match written {
            Written::Done { ticket } => (ticket, Ok(())),
            Written::Failed { ticket, reason } => (ticket, Err(reason)),
            Written::Looked(looked) => return self.on_looked(looked),
        };
        match (ticket, outcome) {
            (Ticket::Talks(ticket), outcome) => self.on_talks_written(ticket, outcome),
            (Ticket::Files(ticket), outcome) => self.on_files_written(ticket, outcome),
            (Ticket::Session(ticket), Ok(())) => {
                self.tell_session(SessionInput::Persisted { ticket });
            }
            (Ticket::Session(ticket), Err(reason)) => {
                self.tell_session(SessionInput::PersistFailed { ticket, reason });
            }
        }
    }

    fn on_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Accepted { request, message } => {
                if self.programs.answer(request, Ok(())) || self.handed_piece(request, message) {
                    return;
                }
                self.line_accepted(request);
                let accepted = self.accepted(&message);
                self.sending.accepted(request, &message, &accepted);
                self.tell(Event::Accepted {
                    message: message.to_string(),
                });
            }
            ClientEvent::Refused { request, reason } => {
                if self.refused_program(request, &reason) || self.refused_piece(request, &reason) {
                    return;
                }
                self.line_refused(request);
                self.sending.refused(request, &status::refusal(&reason));
            }
            ClientEvent::Sent {
                message,
                fragment,
                trace,
            } => {
                if !self.is_text(&message) {
                    return;
                }
                let hops = trace.iter().map(status::hop).collect();
                self.tell(Event::Sent {
                    message: message.to_string(),
                    fragment,
                    hops,
                });
            }
            ClientEvent::Stored { message } => {
                if self.ended_piece(&message, true) || !self.is_text(&message) {
                    return;
                }
                self.line_became(&message, Fate::Stored);
                let now = self.network_time();
                let after_ms = self
                    .session
                    .status(&message)
                    .map(|status| now.since(status.accepted_at).as_micros() / 1000);
                self.tell(Event::Stored {
                    message: message.to_string(),
                    after_ms,
                });
            }
            ClientEvent::Expired { message } => {
                if self.ended_piece(&message, false) || !self.is_text(&message) {
                    return;
                }
                self.line_became(&message, Fate::Expired);
                self.tell(Event::Expired {
                    message: message.to_string(),
                });
            }
            received @ ClientEvent::Received { .. } => self.on_received(received),
            ClientEvent::ReceivedData {
                message,
                from,
                data,
                sent_at,
            } => self.on_data(message, (from, sent_at), &data),
            ClientEvent::Done { request } => self.done(request),
            ClientEvent::Invited {
                request,
                invitation,
            } => self.invited(request, &invitation),
            ClientEvent::Met {
                contact,
                invitation,
            } => self.tell(Event::Met {
                contact: contact.to_string(),
                invitation: invitation_id(invitation),
            }),
            ClientEvent::Leaked {
                invitation,
                contact,
            } => {
                let invitation = invitation_id(invitation);
                tracing::warn!(%invitation, "a second one came with an invitation that was for one person");
                self.tell(Event::Leaked {
                    contact: contact.to_string(),
                    invitation,
                });
            }
            ClientEvent::Delivered { message, read } => {
                let fate = match read {
                    true => Fate::Read,
                    false => Fate::Delivered,
                };
                self.line_became(&message, fate);
                self.tell(Event::Delivered {
                    message: message.to_string(),
                    read,
                });
            }
            ClientEvent::Vanished { message, from } => {
                self.line_vanished(&from, message);
                let message = message.to_string();
                self.inbox.remove(&message);
                let from = from.to_string();
                self.tell(Event::Vanished { message, from });
            }
            ClientEvent::Hindered { message, by } => {
                if self.hindered_piece(&message, by) || !self.is_text(&message) {
                    return;
                }
                self.tell(Event::Hindered {
                    message: message.to_string(),
                    reason: status::hindrance(by),
                });
            }
            ClientEvent::Alarm(alarm) => {
                tracing::warn!(%alarm, "alarm");
                let text = alarm.to_string();
                self.tell(Event::Alarm { text });
                if alarm == Alarm::Superseded {
                    self.announcer.say(&Announce::Superseded);
                    // Who waits for messages asks again, and is told.
                    self.unread.send_modify(|_| {});
                }
            }
            ClientEvent::AlarmOver(alarm) => {
                tracing::info!(%alarm, "over");
                let text = alarm.to_string();
                self.tell(Event::AlarmOver { text });
            }
            _ => {}
        }
    }

    fn on_received(&mut self, event: ClientEvent) {
        self.line_came(&event);
        let client = self.session.client();
        let who = |key: &PeerKey| client.contact(key);
        if let Some(received) = self.inbox.add(event, self.network_time(), who) {
            let cursor = received.cursor;
            self.tell(Event::Received(Box::new(received)));
            self.unread.send_replace(cursor);
        }
    }

    /// Whether a message is the user's, and no program's. Those of programs are forgotten when they are stored.
    fn is_text(&self, message: &MessageId) -> bool {
        let status = self.session.status(message);
        status.is_some_and(|status| status.is_text)
    }

    pub(super) fn network_time(&self) -> Time {
        self.session.network_time(self.clock.now())
    }

    pub(super) fn tell(&self, event: Event) {
        self.events.tell(event);
    }

    fn on_request(&mut self, asked: Asked) {
        let Asked {
            request,
            cut,
            answer,
        } = asked;
        let outcome = match request {
            Request::Send {
                to,
                text,
                life_ms,
                idempotency_key,
            } => {
                let life = life_ms.map(Span::from_millis);
                return self.on_send(&to, (text, life), idempotency_key, answer);
            }
            Request::Progress { message, .. } => self.progress(&message),
            Request::Outgoing { skip, limit } => Ok(Response::Outgoing(self.outgoing(skip, limit))),
            Request::Messages { after, limit, .. } => self.messages(after, limit),
            Request::Read { message } => self.on_read(&message),
            Request::Status => Ok(Response::Status(Box::new(self.status()))),
            Request::Profiles { users } => {
                let all = profiles(&self.params, &self.profile, users);
                Ok(Response::Profiles(Box::new(all)))
            }
            Request::Invite(invite) => return self.invite(&invite, answer),
            Request::Invitations => Ok(Response::Invitations(self.invitations())),
            Request::Revoke { id } => return self.revoke(&id, answer),
            Request::RenewInvitations => self.renew_invitations(),
            Request::Accept(accept) => return self.accept(&accept, answer),
            Request::Contacts => Ok(Response::Contacts(self.contacts())),
            Request::Contact { contact } => (self.find_contact(&contact))
                .and_then(|key| self.told_contact(&key))
                .map(Response::Contact),
            Request::ChangeContact { contact, change } => {
                return self.change_contact(&contact, &change, answer);
            }
            Request::RemoveContact { contact } => return self.remove_contact(&contact, answer),
            Request::SendFile {
                to,
                name,
                idempotency_key,
                ..
            } => {
                let named = (&*to, &*name, idempotency_key);
                return self.on_send_file(named, cut, answer);
            }
            Request::Conversations => return self.on_conversations(answer),
            Request::Conversation {
                contact,
                before,
                limit,
            } => return self.on_conversation(&contact, (before, limit), answer),
            Request::ReadConversation { contact, up_to } => {
                self.on_read_conversation(&contact, up_to)
            }
            Request::ClearConversation { contact } => {
                return self.on_clear_conversation(&contact, answer);
            }
            Request::Files => Ok(Response::Files(self.file_list())),
            Request::File { file } => self.file(&file).map(Response::File),
            Request::FileContent { file } => return self.on_file_content(&file, answer),
            Request::RemoveFile { file } => return self.on_remove_file(&file, answer),
            // Before it comes here, it has stopped.
            Request::Stop => Ok(Response::Done),
            // And these are answered without the loop.
            Request::MessageBox
            | Request::MessageBoxes
            | Request::BoxContents { .. }
            | Request::AllowIdentity { .. }
            | Request::DisallowIdentity { .. }
            | Request::MapIdentity { .. }
            | Request::UnmapIdentity { .. } => Err(Refusal::new(
                RefusalCode::Internal,
                "the loop has no message box",
            )),
        };
        let _ = answer.send(outcome);
    }

    fn on_send(
        &mut self,
        to: &str,
        (text, life): (String, Option<Span>),
        key: Option<IdempotencyKey>,
        answer: Answer,
    ) {
        let to = match self.find_contact(to) {
            Ok(contact) => contact,
            Err(refusal) => {
                let _ = answer.send(Err(refusal));
                return;
            }
        };
        let text = text.into_bytes();
        match self.sending.take(&to, &text, key, answer) {
            Next::Send(request) => {
                self.compose_line(request, to, &text, life);
                let what = UserRequest::Send { to, text, life };
                self.tell_session(SessionInput::Ask { request, what });
                // What it asks to be saved now is this message's.
                self.pump();
                self.sending.given();
                self.composed_line();
            }
            Next::Repeat(message, answer) => {
                let accepted = Accepted {
                    repeated: true,
                    ..self.accepted(&message)
                };
                let _ = answer.send(Ok(Response::Accepted(accepted)));
            }
            Next::Nothing => {}
        }
    }

    /// What is here is given to the end; then, if nothing comes any more, that is said.
    fn messages(&self, after: u64, limit: u32) -> Result<Response, Refusal> {
        let mut page = self.inbox.after(after, limit);
        page.held = self.session.counters().held;
        if page.messages.is_empty() && self.is_superseded() {
            return Err(status::refusal(&SendError::Superseded));
        }
        Ok(Response::Messages(page))
    }

    /// Whether another copy of this client has its mailbox.
    pub(super) fn is_superseded(&self) -> bool {
        self.session.alarms().contains(&Alarm::Superseded)
    }

    fn progress(&self, message: &str) -> Result<Response, Refusal> {
        let id = message_id(message)?;
        let status = self.session.status(&id).ok_or_else(|| {
            Refusal::new(
                RefusalCode::NotFound,
                "no message sent that is remembered has this id",
            )
        })?;
        Ok(Response::Progress(Progress {
            message: message.to_owned(),
            state: status::state(status.state),
            stored_ms: None,
            hindrance: status.hindrance.map(status::hindrance),
        }))
    }

    fn outgoing(&self, skip: u64, limit: u32) -> OutgoingPage {
        status::outgoing(self.session.sent_messages(), skip, limit)
    }

    fn on_read(&mut self, message: &str) -> Result<Response, Refusal> {
        let id = message_id(message)?;
        if !self.read_text(id) {
            return Err(Refusal::new(
                RefusalCode::NotFound,
                "no unread message has this id",
            ));
        }
        Ok(Response::Done)
    }

    fn accepted(&self, message: &MessageId) -> Accepted {
        let fragments = self
            .session
            .status(message)
            .map_or(1, |status| status.fragments);
        Accepted {
            message: message.to_string(),
            fragments: u32::from(fragments),
            expected_stored_ms: status::expected_stored_ms(&self.params, &self.profile, fragments),
            repeated: false,
        }
    }

    fn mailboxes(&self) -> Vec<String> {
        let providers = self.session.mailbox_providers();
        providers.map(|provider| provider.to_string()).collect()
    }

    fn status(&self) -> Status {
        let (machine, now) = (self.clock.now(), self.network_time());
        let counters = self.session.counters();
        let outgoing = self.outgoing(0, OUTGOING);
        let mut table = status::counters(&counters);
        table.insert("uplink_dropped".to_owned(), self.desk.uplink_dropped);
        Status {
            network: self.params.name.clone(),
            network_hash: self.params.hash().to_string(),
            profile: self.profile.clone(),
            online: self.session.is_online(),
            entry: self.session.entry().map(|entry| entry.to_string()),
            key: self.session.public_key().to_string(),
            mailboxes: self.mailboxes(),
            open: self.session.is_open(),
            places: self.session.places().iter().map(status::place).collect(),
            epoch: self.params.epoch_at(now).number(),
            document_epoch: self
                .session
                .document_epoch(machine)
                .map(|epoch| epoch.number()),
            clock_offset_us: self.session.clock_offset_us(),
            uptime_secs: machine.since(self.started).as_micros() / 1_000_000,
            expected_stored_ms: status::expected_stored_ms(&self.params, &self.profile, 1),
            on_the_way: status::on_the_way(self.session.sent_messages()),
            on_the_way_packets: counters.outbox_fragments,
            stored: counters.stored,
            expired: counters.expired,
            outgoing: outgoing.messages,
            unread: counters.unread,
            held: counters.held,
            stock: counters.stock,
            counters: table,
            alarms: self.session.alarms().iter().map(Alarm::to_string).collect(),
        }
    }
}

fn message_id(text: &str) -> Result<MessageId, Refusal> {
    text.parse()
        .map_err(|error| Refusal::new(RefusalCode::Invalid, format!("not a message's id: {error}")))
}
