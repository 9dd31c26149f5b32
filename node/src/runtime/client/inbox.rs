//! Unread messages in memory, for whoever asks over the local API. What is on disk is the
//! core's; after a restart it announces every unread message again.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use shoal_client::{ClientEvent, ContactStatus, PeerKey};
use shoal_proto::Time;
use zeroize::Zeroizing;

use super::status;
use crate::control::protocol::{MAX_PAGE, MAX_RESPONSE_BYTES, Messages, Received};

/// What a message takes in an answer besides its text: ids, an address, hops; with room to spare.
const MESSAGE_BYTES: usize = 4096;
/// A byte of text takes at most this many in JSON.
const ESCAPED: usize = 6;

/// Unread messages by cursor. Bounded by the core, which takes no more than its limit of unread
/// messages from the mailbox.
#[derive(Default)]
pub(super) struct Inbox {
    messages: BTreeMap<u64, Received>,
    last: u64,
}

impl Inbox {
    /// Adds what a [`ClientEvent::Received`] says, with who its sender is here; `None` for other events and for a
    /// message that is here already.
    pub(super) fn add(
        &mut self,
        event: ClientEvent,
        now: Time,
        who: impl Fn(&PeerKey) -> Option<ContactStatus>,
    ) -> Option<Received> {
        let ClientEvent::Received {
            message,
            from,
            text,
            sent_at,
            sequence,
            gap_before,
            expires,
            trace,
        } = event
        else {
            return None;
        };
        let message = message.to_string();
        if self.messages.values().any(|known| known.message == message) {
            return None;
        }
        let (text, bytes) = in_json(&text);
        self.last = self.last.saturating_add(1);
        let contact = who(&from);
        let received = Received {
            cursor: self.last,
            message,
            from: from.to_string(),
            name: contact
                .as_ref()
                .map_or_else(String::new, |it| it.label.to_string()),
            verified: contact.is_some_and(|it| it.verified),
            text,
            bytes,
            sequence,
            gap_before,
            sent_at_us: sent_at.as_micros(),
            expires_at_us: expires.map(Time::as_micros),
            received_at_us: now.as_micros(),
            hops: trace.iter().map(status::hop).collect(),
        };
        self.messages.insert(self.last, received.clone());
        Some(received)
    }

    /// A page of the messages after a cursor: at least one if there is one, and no more than fit an
    /// answer.
    pub(super) fn after(&self, cursor: u64, limit: u32) -> Messages {
        let range = self.messages.range(cursor.saturating_add(1)..);
        let limit = limit.min(MAX_PAGE) as usize;
        let mut bytes = 0;
        let fits = |message: &&Received| {
            let first = bytes == 0;
            let raw = message.bytes.as_ref().map_or(0, String::len);
            bytes += MESSAGE_BYTES + ESCAPED * message.text.len() + raw;
            first || bytes <= MAX_RESPONSE_BYTES
        };
        let messages = range
            .take(limit)
            .map(|(_, message)| message)
            .take_while(fits);
        let messages: Vec<Received> = messages.cloned().collect();
        let next = messages.last().map_or(cursor, |message| message.cursor);
        Messages {
            messages,
            next,
            held: 0,
        }
    }

    /// Forgets a message that was read: who wrote it, and what.
    pub(super) fn take(&mut self, message: &str) -> Option<(Option<PeerKey>, Zeroizing<Vec<u8>>)> {
        let cursor = self.find(message)?;
        let found = self.messages.remove(&cursor)?;
        let mut key = [0; 32];
        let whole = bs58::decode(&found.from).onto(&mut key) == Ok(32);
        let from = whole.then(|| PeerKey::parse(key).ok()).flatten();
        let raw = found.bytes.as_ref();
        let text = match raw.and_then(|raw| BASE64.decode(raw.as_bytes()).ok()) {
            Some(bytes) => bytes,
            None => found.text.into_bytes(),
        };
        Some((from, Zeroizing::new(text)))
    }

    /// Forgets a message.
    pub(super) fn remove(&mut self, message: &str) -> bool {
        let cursor = self.find(message);
        cursor.is_some_and(|cursor| self.messages.remove(&cursor).is_some())
    }

    fn find(&self, message: &str) -> Option<u64> {
        let found = self.messages.iter().find(|it| it.1.message == message);
        found.map(|(cursor, _)| *cursor)
    }
}

/// A text as JSON has it: what is not UTF-8 in it replaced, and then all of it in base64 too.
pub(super) fn in_json(text: &[u8]) -> (String, Option<String>) {
    match std::str::from_utf8(text) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => {
            let bytes = BASE64.encode(text);
            (String::from_utf8_lossy(text).into_owned(), Some(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(texts: impl IntoIterator<Item = String>) -> Inbox {
        let received = |(index, text): (u64, String)| Received {
            message: format!("id {index}"),
            ..Received::of_text(index + 1, text)
        };
        let messages: BTreeMap<u64, Received> = (0..)
            .zip(texts)
            .map(received)
            .map(|m| (m.cursor, m))
            .collect();
        Inbox {
            last: messages.len() as u64,
            messages,
        }
    }

    #[test]
    fn pages_fit_an_answer_and_reach_the_end() {
        let count = 300;
        // Control characters take six bytes each in JSON.
        let inbox = inbox((0..count).map(|_| "\u{1}".repeat(80_000)));
        let (mut cursor, mut seen) = (0, 0);
        loop {
            let page = inbox.after(cursor, MAX_PAGE);
            if page.messages.is_empty() {
                break;
            }
            let bytes = serde_json::to_vec(&page).expect("json").len();
            assert!(bytes < MAX_RESPONSE_BYTES, "{bytes}");
            seen += page.messages.len();
            cursor = page.next;
        }
        assert_eq!(seen, count);
    }

    #[test]
    fn what_was_read_is_gone() {
        let mut inbox = inbox(["a".to_owned(), "b".to_owned()]);
        assert!(inbox.remove("id 0"));
        assert!(!inbox.remove("id 0"));
        assert_eq!(inbox.after(0, 10).messages.len(), 1);
    }
}
