//! Conversations, as the loop drives them: what was said is saved beside what the client role saves, and read for who asks.

use std::collections::BTreeMap;

use shoal_client::{Change, ClientEvent, MessageState, PeerKey, Table};
use shoal_proto::{MessageId, Span, Time};
use shoal_roles::client::SessionInput;

use super::daemon::Daemon;
use super::database::{Look, Ticket};
use super::inbox::in_json;
use super::sending::Answer;
use super::status;
use crate::control::protocol::{
    Conversation, ConversationLine, ConversationList, ConversationPage, LineState, MAX_PAGE,
    MAX_RESPONSE_BYTES, Refusal, RefusalCode, Response,
};
use crate::conversations::{Conversations, Fate, Incoming, Line, text_key};
use crate::state::ClientDb;

/// What a line takes in an answer besides its text, with room to spare; and a byte of text at most.
const LINE_BYTES: usize = 1024;
const ESCAPED: usize = 6;

/// What is done once changes are on disk.
enum Follow {
    /// The line of a text that came is.
    Came(PeerKey, u64),
    /// It is, and the text that it is of was read.
    Read(PeerKey, u64, MessageId),
    /// What somebody wanted deleted is: who asked is told. What the disk did not take goes with what is saved next.
    Deleted(Vec<Change>, Option<Answer>),
    /// Nothing.
    Nothing,
}

/// Conversations, and what waits for the disk.
pub(super) struct Talks {
    conversations: Conversations,
    following: BTreeMap<u64, Follow>,
    next_ticket: u64,
    /// What was to be deleted, and the disk did not take.
    owed: Vec<Change>,
}

impl Talks {
    pub(super) fn new(conversations: Conversations) -> Self {
        Self {
            conversations,
            following: BTreeMap::new(),
            next_ticket: 0,
            owed: Vec::new(),
        }
    }

    /// Whether nothing that was read waits for the disk.
    pub(super) fn is_idle(&self) -> bool {
        self.following.is_empty()
    }

    /// What is saved with new messages among these changes. `known` tells those that the client role has accepted.
    pub(super) fn accompany(
        &mut self,
        changes: &mut Vec<Change>,
        known: impl Fn(&MessageId) -> bool,
    ) {
        let sent = changes
            .iter()
            .filter(|it| it.table == Table::Sent && it.value.is_some());
        let ids = sent.filter_map(|it| MessageId::try_from(it.key.as_slice()).ok());
        let new: Vec<MessageId> = ids.filter(|id| !known(id)).collect();
        for message in new {
            changes.extend(self.conversations.accompany(message));
        }
    }
}

impl Daemon {
    /// What an earlier run could not say of own texts; and what it could not delete of those who are no contacts any more.
    pub(super) fn begin_talks(&mut self) {
        let with: Vec<PeerKey> = self.talks.conversations.with().copied().collect();
        for with in with {
            if self.session.client().contact(&with).is_none() {
                self.forget_lines(&with, None);
            }
        }
        let open: Vec<MessageId> = self.talks.conversations.open().collect();
        for message in open {
            let state = self.session.status(&message).map(|status| status.state);
            if let Some(fate) = state.and_then(fate) {
                self.line_became(&message, fate);
            }
        }
    }

    /// When the time of a line is over, by this machine's clock.
    pub(super) fn talks_deadline(&self) -> Option<Time> {
        let deadline = self.talks.conversations.deadline()?;
        Some(self.clock.now() + deadline.since(self.network_time()))
    }

    /// Deletes lines whose time is over.
    pub(super) fn tend_talks(&mut self) {
        let changes = self.talks.conversations.tidy(self.network_time());
        self.save_lines(Follow::Nothing, changes);
    }

    /// A text is handed to the client role with this request.
    pub(super) fn compose_line(
        &mut self,
        request: u64,
        to: PeerKey,
        text: &[u8],
        life: Option<Span>,
    ) {
        let now = self.network_time();
        let minute = Time::from_minutes(now.minutes());
        let times = (minute, life.map(|life| now + life));
        self.talks.conversations.compose(request, to, text, times);
    }

    pub(super) fn composed_line(&mut self) {
        self.talks.conversations.composed();
    }

    pub(super) fn line_accepted(&mut self, request: u64) {
        self.talks.conversations.accepted(request);
    }

    pub(super) fn line_refused(&mut self, request: u64) {
        self.talks.conversations.refused(request);
    }

    pub(super) fn line_became(&mut self, message: &MessageId, fate: Fate) {
        let changes = self.talks.conversations.became(message, fate);
        self.save_lines(Follow::Nothing, changes);
    }

    /// A text came, or is told of again.
    pub(super) fn line_came(&mut self, event: &ClientEvent) {
        let ClientEvent::Received {
            message,
            from,
            text,
            sent_at,
            gap_before,
            expires,
            ..
        } = event
        else {
            return;
        };
        if self.session.client().contact(from).is_none() {
            // Who is none any more has no conversation.
            return;
        }
        let incoming = Incoming {
            message: *message,
            text,
            at: *sent_at,
            expires: *expires,
            gap_before: *gap_before,
        };
        let (number, changes) = self.talks.conversations.came(*from, &incoming);
        if !changes.is_empty() {
            self.save_lines(Follow::Came(*from, number), changes);
        }
    }

    pub(super) fn line_vanished(&mut self, from: &PeerKey, message: MessageId) {
        let changes = self.talks.conversations.vanished(from, message);
        self.save_lines(Follow::Nothing, changes);
    }

    /// What was said with a contact is forgotten with it. Who asked hears when it is on disk no more.
    pub(super) fn forget_lines(&mut self, contact: &PeerKey, answer: Option<Answer>) {
        let changes = self.talks.conversations.forget(contact);
        self.delete_lines(changes, answer);
    }

    fn delete_lines(&mut self, changes: Vec<Change>, answer: Option<Answer>) {
        self.save_lines(Follow::Deleted(changes.clone(), answer), changes);
    }

    /// The user has read a text: it is not given out again, and the client role deletes it once its line is on disk, if it
    /// is to have one. If that fails, it is told again after a restart.
    pub(super) fn read_text(&mut self, message: MessageId) -> bool {
        let Some((from, text)) = self.inbox.take(&message.to_string()) else {
            return false;
        };
        let unsaved = from.and_then(|from| {
            let unsaved = self.talks.conversations.unsaved(&from, message, &text);
            unsaved.map(|(number, changes)| (from, number, changes))
        });
        match unsaved {
            Some((from, number, changes)) => {
                self.save_lines(Follow::Read(from, number, message), changes);
            }
            None => self.tell_session(SessionInput::Read { message }),
        }
        if let Some(from) = from {
            // After what is saved: where none is kept, it goes again.
            let changes = self.talks.conversations.read(&from, message);
            self.save_lines(Follow::Nothing, changes);
        }
        true
    }

    // --- The disk ---

    fn save_lines(&mut self, mut follow: Follow, mut changes: Vec<Change>) {
        if let Follow::Deleted(deleted, _) = &mut follow {
            deleted.append(&mut self.talks.owed);
            changes.clone_from(deleted);
        } else if !self.talks.owed.is_empty() {
            self.delete_lines(Vec::new(), None);
        }
        if changes.is_empty() {
            if let Follow::Deleted(_, Some(answer)) = follow {
                // Who asked may be gone.
                let _ = answer.send(Ok(Response::Done));
            }
            return;
        }
        let ticket = self.talks.next_ticket;
        self.talks.next_ticket = ticket.saturating_add(1);
        self.talks.following.insert(ticket, follow);
        if !self.database.write(Ticket::Talks(ticket), changes) {
            self.on_talks_written(ticket, Err("the disk is too far behind".to_owned()));
        }
    }

    pub(super) fn on_talks_written(&mut self, ticket: u64, outcome: Result<(), String>) {
        let Some(follow) = self.talks.following.remove(&ticket) else {
            return;
        };
        if let Err(reason) = &outcome {
            // A text that came stays where the client role keeps it until its line can be saved.
            tracing::error!(%reason, "something of a conversation can't be saved");
        }
        match (follow, outcome) {
            (Follow::Came(with, number), Ok(())) => self.talks.conversations.saved(with, number),
            (Follow::Read(with, number, message), Ok(())) => {
                self.talks.conversations.saved(with, number);
                self.tell_session(SessionInput::Read { message });
            }
            (Follow::Deleted(changes, answer), outcome) => {
                let outcome = match outcome {
                    Ok(()) => Ok(Response::Done),
                    Err(reason) => {
                        self.talks.owed.extend(changes);
                        let words = format!(
                            "it is still on this disk, which did not take the change ({reason}): mend that, and ask again"
                        );
                        Err(Refusal::new(RefusalCode::Internal, words))
                    }
                };
                if let Some(answer) = answer {
                    // Who asked may be gone.
                    let _ = answer.send(outcome);
                }
            }
            (Follow::Came(..) | Follow::Read(..), Err(_)) | (Follow::Nothing, _) => {}
        }
    }

    // --- Who asks ---

    pub(super) fn on_conversations(&mut self, answer: Answer) {
        let contacts = self.session.client().contacts();
        let mut all: Vec<_> = contacts
            .iter()
            .map(|contact| {
                let lines = self.talks.conversations.lines(&contact.key, None);
                let (mut unread, mut last) = (0, None);
                for line in lines {
                    unread += u64::from(line.unread);
                    last.get_or_insert(line);
                }
                let last = last.map(|line| (line.clone(), self.state_of(line)));
                (contact.key, contact.label.to_string(), unread, last)
            })
            .collect();
        all.sort_by_key(|(.., last)| std::cmp::Reverse(last.as_ref().map(|(line, _)| line.at)));
        self.look_at_lines(answer, move |db| {
            let read = all.into_iter().map(|(key, label, unread, last)| {
                let last = last
                    .map(|(line, state)| told(db, &key, &line, state))
                    .transpose();
                Ok(Conversation {
                    contact: key.to_string(),
                    label,
                    unread,
                    last: last?.flatten(),
                })
            });
            let conversations: Result<Vec<_>, String> = read.collect();
            conversations
                .map(|conversations| Response::Conversations(ConversationList { conversations }))
        });
    }

    pub(super) fn on_conversation(
        &mut self,
        contact: &str,
        (before, limit): (Option<u64>, u32),
        answer: Answer,
    ) {
        let with = match self.find_contact(contact) {
            Ok(with) => with,
            Err(refusal) => {
                // Who asked may be gone.
                let _ = answer.send(Err(refusal));
                return;
            }
        };
        let limit = limit.min(MAX_PAGE) as usize;
        let lines = self.talks.conversations.lines(&with, before);
        let mut lines: Vec<_> = lines
            .take(limit + 1)
            .map(|line| (line.clone(), self.state_of(line)))
            .collect();
        let mut earlier = lines.len() > limit;
        lines.truncate(limit);
        self.look_at_lines(answer, move |db| {
            let (mut page, mut bytes) = (Vec::new(), 0);
            for (line, state) in lines {
                let Some(line) = told(db, &with, &line, state)? else {
                    continue;
                };
                let raw = line.bytes.as_ref().map_or(0, String::len);
                bytes += LINE_BYTES + ESCAPED * line.text.len() + raw;
                if bytes > MAX_RESPONSE_BYTES && !page.is_empty() {
                    earlier = true;
                    break;
                }
                page.push(line);
            }
            page.reverse();
            let page = ConversationPage {
                lines: page,
                earlier,
            };
            Ok(Response::Conversation(page))
        });
    }

    pub(super) fn on_read_conversation(
        &mut self,
        contact: &str,
        up_to: u64,
    ) -> Result<Response, Refusal> {
        let with = self.find_contact(contact)?;
        let lines = self.talks.conversations.lines(&with, up_to.checked_add(1));
        let unread: Vec<MessageId> = lines
            .filter(|line| line.unread)
            .map(|line| line.message)
            .collect();
        // In the order in which they came.
        for message in unread.into_iter().rev() {
            self.read_text(message);
        }
        Ok(Response::Done)
    }

    pub(super) fn on_clear_conversation(&mut self, contact: &str, answer: Answer) {
        match self.find_contact(contact) {
            Ok(with) => {
                let changes = self.talks.conversations.clear(&with);
                self.delete_lines(changes, Some(answer));
            }
            Err(refusal) => {
                // Who asked may be gone.
                let _ = answer.send(Err(refusal));
            }
        }
    }

    fn look_at_lines(
        &self,
        answer: Answer,
        read: impl FnOnce(&ClientDb) -> Result<Response, String> + Send + 'static,
    ) {
        let look: Look = Box::new(move |db| {
            let refused = |words| Refusal::new(RefusalCode::Internal, words);
            // Who asked may be gone.
            let _ = answer.send(read(db).map_err(refused));
            None
        });
        // Who asked hears that the answer is gone.
        self.database.look(look);
    }

    /// How a line is, and what keeps it from being stored.
    fn state_of(&self, line: &Line) -> (LineState, Option<String>) {
        if !line.own {
            let state = match line.unread {
                true => LineState::Unread,
                false => LineState::Read,
            };
            return (state, None);
        }
        let known = line.fate.map(|fate| match fate {
            Fate::Stored => LineState::Stored,
            Fate::Delivered => LineState::Delivered,
            Fate::Read => LineState::Read,
            Fate::Expired => LineState::Expired,
        });
        match self.session.status(&line.message) {
            Some(now) => {
                let state = status::state(now.state).into();
                (state, now.hindrance.map(status::hindrance))
            }
            // Of a message that is forgotten what became of it is known, or else that it was sent.
            None => (known.unwrap_or(LineState::Sent), None),
        }
    }
}

const fn fate(state: MessageState) -> Option<Fate> {
    match state {
        MessageState::Stored => Some(Fate::Stored),
        MessageState::Delivered => Some(Fate::Delivered),
        MessageState::Read => Some(Fate::Read),
        MessageState::Expired => Some(Fate::Expired),
        _ => None,
    }
}

/// A line with its text; none if that was deleted meanwhile.
fn told(
    db: &ClientDb,
    with: &PeerKey,
    line: &Line,
    (state, hindrance): (LineState, Option<String>),
) -> Result<Option<ConversationLine>, String> {
    let said = db.get(Table::Said, &text_key(with, line.number));
    let Some(said) = said.map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let (text, bytes) = in_json(&said);
    Ok(Some(ConversationLine {
        number: line.number,
        message: line.message.to_string(),
        own: line.own,
        text,
        bytes,
        at_us: line.at.as_micros(),
        state,
        gap_before: line.gap_before,
        expires_at_us: line.expires.map(Time::as_micros),
        hindrance,
    }))
}
