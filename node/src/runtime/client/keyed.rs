//! Messages that were sent with an idempotency key, so that each is sent once.
//!
//! A key's row is written in the commit that makes its message accepted, and deleted in the one that
//! forgets it: a crash leaves both or neither. So there are never more keys than messages remembered.

use std::collections::BTreeMap;

use blake2::{Blake2s256, Digest as _};
use shoal_client::{Change, PeerKey, Row, Table};
use shoal_proto::MessageId;

use crate::control::protocol::IdempotencyKey;

/// The layout of a row's value: this byte, the message's id, the digest.
const LAYOUT: u8 = 1;
const DIGEST: usize = 32;

/// Another message has the key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conflict;

/// The message that has a key already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) message: MessageId,
    /// The request that it waits for the disk with, until it is accepted.
    pub(super) pending: Option<u64>,
}

struct Entry {
    known: Known,
    digest: [u8; DIGEST],
}

/// A message that the core is being given.
struct Composing {
    request: u64,
    key: IdempotencyKey,
    to: PeerKey,
    text: Vec<u8>,
}

/// The keys, by themselves and by message.
#[derive(Default)]
pub(super) struct Keyed {
    entries: BTreeMap<IdempotencyKey, Entry>,
    keys: BTreeMap<MessageId, IdempotencyKey>,
    composing: Option<Composing>,
}

impl Keyed {
    /// The keys that an earlier run has stored.
    ///
    /// # Errors
    /// A row is damaged, or from a newer version.
    pub(super) fn restore(rows: &[Row]) -> Result<Self, &'static str> {
        let mut keyed = Self::default();
        for row in rows.iter().filter(|row| row.table == Table::Idempotency) {
            let (key, message, digest) =
                decode(row).ok_or("a row of the table idempotency can't be read")?;
            keyed.insert(key, message, digest, None);
        }
        Ok(keyed)
    }

    /// The message that has this key, if it says the same to the same receiver.
    pub(super) fn find(
        &self,
        key: &IdempotencyKey,
        to: &PeerKey,
        text: &[u8],
    ) -> Result<Option<Known>, Conflict> {
        match self.entries.get(key) {
            None => Ok(None),
            Some(entry) if entry.digest == digest(&entry.known.message, to, text) => {
                Ok(Some(entry.known))
            }
            Some(_) => Err(Conflict),
        }
    }

    /// The core is given a message with this key next: the first new message that it asks to save is
    /// this one.
    pub(super) fn compose(&mut self, request: u64, key: IdempotencyKey, to: PeerKey, text: &[u8]) {
        let text = text.to_vec();
        self.composing = Some(Composing {
            request,
            key,
            to,
            text,
        });
    }

    /// The core has done what it does with a message that it is given.
    pub(super) fn composed(&mut self) {
        self.composing = None;
    }

    /// Adds the row of a new message's key to what is saved with it, and takes back those of messages
    /// that are forgotten. `known` tells which messages the core has accepted.
    pub(super) fn accompany(
        &mut self,
        changes: &mut Vec<Change>,
        known: impl Fn(&MessageId) -> bool,
    ) {
        let mut own = Vec::new();
        for change in changes.iter().filter(|change| change.table == Table::Sent) {
            let Ok(message) = MessageId::try_from(change.key.as_slice()) else {
                continue;
            };
            if change.value.is_none() {
                own.extend(self.forget(&message));
            } else if !known(&message) {
                own.extend(self.take(message));
            }
        }
        changes.append(&mut own);
    }

    /// A message is on disk.
    pub(super) fn accepted(&mut self, message: &MessageId) {
        let key = self.keys.get(message);
        if let Some(entry) = key.and_then(|key| self.entries.get_mut(key)) {
            entry.known.pending = None;
        }
    }

    /// The message of this request was not accepted: its key is free.
    pub(super) fn refused(&mut self, request: u64) {
        let of_request =
            |(_, entry): &(&IdempotencyKey, &Entry)| entry.known.pending == Some(request);
        let message = self
            .entries
            .iter()
            .find(of_request)
            .map(|(_, entry)| entry.known.message);
        if let Some(message) = message {
            self.forget(&message);
        }
    }

    fn take(&mut self, message: MessageId) -> Option<Change> {
        let Composing {
            request,
            key,
            to,
            text,
        } = self.composing.take()?;
        let digest = digest(&message, &to, &text);
        let value = [&[LAYOUT][..], message.as_bytes(), &digest].concat();
        let change = Change::put(Table::Idempotency, row_key(&key), value.into());
        self.insert(key, message, digest, Some(request));
        Some(change)
    }

    fn forget(&mut self, message: &MessageId) -> Option<Change> {
        let key = self.keys.remove(message)?;
        self.entries.remove(&key);
        Some(Change::delete(Table::Idempotency, row_key(&key)))
    }

    fn insert(
        &mut self,
        key: IdempotencyKey,
        message: MessageId,
        digest: [u8; DIGEST],
        pending: Option<u64>,
    ) {
        self.keys.insert(message, key.clone());
        let known = Known { message, pending };
        self.entries.insert(key, Entry { known, digest });
    }
}

/// Tells messages apart without keeping their text. The id is random: the same text twice has another
/// digest. Who takes the disk can still try out texts against it.
fn digest(message: &MessageId, to: &PeerKey, text: &[u8]) -> [u8; DIGEST] {
    Blake2s256::new()
        .chain_update(message.as_bytes())
        .chain_update(to.as_bytes())
        .chain_update(text)
        .finalize()
        .into()
}

fn row_key(key: &IdempotencyKey) -> Vec<u8> {
    key.as_str().as_bytes().to_vec()
}

fn decode(row: &Row) -> Option<(IdempotencyKey, MessageId, [u8; DIGEST])> {
    let key = std::str::from_utf8(&row.key).ok()?.parse().ok()?;
    let (layout, rest) = row.value.split_first()?;
    let (message, digest) = rest.split_at_checked(MessageId::BYTES)?;
    let message = MessageId::try_from(message).ok()?;
    (*layout == LAYOUT).then_some((key, message, digest.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::SeedableRng as _;
    use rand_chacha::ChaCha20Rng;
    use shoal_client::ClientKeys;

    use super::*;

    const MESSAGE: MessageId = MessageId::new([7; 16]);

    fn key(text: &str) -> IdempotencyKey {
        text.parse().unwrap()
    }

    fn peer(number: u64) -> PeerKey {
        ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(number)).public()
    }

    fn sent(message: MessageId, value: Option<Vec<u8>>) -> Vec<Change> {
        let key = message.as_bytes().to_vec();
        vec![Change {
            table: Table::Sent,
            key,
            value: value.map(Into::into),
        }]
    }

    /// A key whose message waits for the disk, and what is saved with it.
    fn saving() -> (Keyed, Vec<Change>) {
        let mut keyed = Keyed::default();
        keyed.compose(3, key("k"), peer(1), b"text");
        let mut changes = sent(MESSAGE, Some(vec![0]));
        keyed.accompany(&mut changes, |_| false);
        keyed.composed();
        (keyed, changes)
    }

    fn rows(changes: &[Change]) -> Vec<Row> {
        let row = |change: &Change| {
            Some(Row {
                table: change.table,
                key: change.key.clone(),
                value: change.value.clone()?,
            })
        };
        changes.iter().filter_map(row).collect()
    }

    #[test]
    fn a_key_is_saved_with_its_message_and_known_after_a_restart() {
        let (mut keyed, changes) = saving();
        assert_eq!(changes.len(), 2);
        let find = |keyed: &Keyed| keyed.find(&key("k"), &peer(1), b"text").unwrap().unwrap();
        assert_eq!(find(&keyed).pending, Some(3));
        keyed.accepted(&MESSAGE);
        let again = Keyed::restore(&rows(&changes)).unwrap();
        for keyed in [&keyed, &again] {
            let accepted = Known {
                message: MESSAGE,
                pending: None,
            };
            assert_eq!(find(keyed), accepted);
            assert_eq!(keyed.find(&key("k"), &peer(1), b"other"), Err(Conflict));
            assert_eq!(keyed.find(&key("k"), &peer(2), b"text"), Err(Conflict));
            assert_eq!(keyed.find(&key("l"), &peer(1), b"text"), Ok(None));
        }
    }

    #[test]
    fn a_key_goes_with_its_message() {
        let (mut keyed, _) = saving();
        keyed.accepted(&MESSAGE);
        // Another state of the message is no new message, and no end of it.
        keyed.compose(4, key("l"), peer(1), b"text");
        let mut state = sent(MESSAGE, Some(vec![2]));
        keyed.accompany(&mut state, |message| *message == MESSAGE);
        assert_eq!(state.len(), 1);
        let mut gone = sent(MESSAGE, None);
        keyed.accompany(&mut gone, |_| true);
        assert_eq!(
            (gone[1].table, gone[1].value.clone()),
            (Table::Idempotency, None)
        );
        assert_eq!(keyed.find(&key("k"), &peer(1), b"other"), Ok(None));
    }

    #[test]
    fn a_message_that_is_refused_or_never_asked_to_be_saved_leaves_its_key_free() {
        let (mut keyed, _) = saving();
        keyed.refused(3);
        assert_eq!(keyed.find(&key("k"), &peer(1), b"text"), Ok(None));
        keyed.compose(4, key("k"), peer(1), b"text");
        keyed.composed();
        let mut next = sent(MESSAGE, Some(vec![0]));
        keyed.accompany(&mut next, |_| false);
        assert_eq!(next.len(), 1, "the next message is not its");
    }

    #[test]
    fn damaged_rows_are_errors() {
        let (_, changes) = saving();
        for cut in [0, 1, 20, 48] {
            let mut rows = rows(&changes);
            rows.last_mut().unwrap().value.truncate(cut);
            assert!(Keyed::restore(&rows).is_err(), "{cut}");
        }
    }
}
