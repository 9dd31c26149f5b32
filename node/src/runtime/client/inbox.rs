//! Unread messages in memory, for whoever asks over the control socket. What is on disk is the
//! core's; after a restart it announces every unread message again.

use std::collections::BTreeMap;

use shoal_client::ClientEvent;
use shoal_proto::Time;

use super::status;
use crate::control::protocol::{MAX_PAGE, Messages, Received};

/// Unread messages by cursor. Bounded by the core, which takes no more than its limit of unread
/// messages from the mailbox.
#[derive(Default)]
pub(super) struct Inbox {
    messages: BTreeMap<u64, Received>,
    last: u64,
}

impl Inbox {
    /// Adds what a [`ClientEvent::Received`] says; `None` for other events and for a message that
    /// is here already.
    pub(super) fn add(&mut self, event: ClientEvent, now: Time) -> Option<Received> {
        let ClientEvent::Received { message, from, reply_to, text, sent_at, trace, .. } = event
        else {
            return None;
        };
        let message = message.to_string();
        if self.messages.values().any(|known| known.message == message) {
            return None;
        }
        self.last = self.last.saturating_add(1);
        let received = Received {
            cursor: self.last,
            message,
            from: from.to_string(),
            reply_to: reply_to.to_string(),
            text: String::from_utf8_lossy(&text).into_owned(),
            sent_at_us: sent_at.as_micros(),
            received_at_us: now.as_micros(),
            hops: trace.iter().map(status::hop).collect(),
        };
        self.messages.insert(self.last, received.clone());
        Some(received)
    }

    /// A page of the messages after a cursor.
    pub(super) fn after(&self, cursor: u64, limit: u32) -> Messages {
        let range = self.messages.range(cursor.saturating_add(1)..);
        let limit = limit.min(MAX_PAGE) as usize;
        let messages: Vec<Received> = range.take(limit).map(|(_, m)| m.clone()).collect();
        let next = messages.last().map_or(cursor, |message| message.cursor);
        Messages { messages, next }
    }

    /// Forgets a message that was read.
    pub(super) fn remove(&mut self, message: &str) -> bool {
        let found = self.messages.iter().find(|(_, known)| known.message == message);
        let Some(cursor) = found.map(|(cursor, _)| *cursor) else { return false };
        self.messages.remove(&cursor).is_some()
    }
}
