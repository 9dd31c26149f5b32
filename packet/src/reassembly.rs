//! Putting fragments together again, within bounds.

use crate::fragment::{Envelope, Fragment, FragmentError, MAX_TEXT_BYTES};
use shoal_proto::{MessageId, Span, Time};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a fragment was not taken. Its sender is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReassemblyError {
    /// It contradicts a fragment of the same message that came before.
    #[error("the fragment contradicts an earlier one of its message")]
    Contradiction,
    /// Index, count, or length of the text are impossible.
    #[error("not a fragment: {0}")]
    Fragment(#[source] FragmentError),
}

/// How much unfinished business is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReassemblyLimits {
    /// Most unfinished messages of all senders together; at least 1.
    pub messages: usize,
    /// Most text of unfinished messages, in bytes; at least what one message can have.
    pub bytes: usize,
    /// How long an unfinished message is kept after its first fragment.
    pub lifetime: Span,
}

impl Default for ReassemblyLimits {
    /// 256 messages, 8 MiB, a week.
    fn default() -> Self {
        Self {
            messages: 256,
            bytes: 8 << 20,
            lifetime: Span::from_secs(7 * 24 * 3_600),
        }
    }
}

/// A message that is complete.
#[derive(Clone, PartialEq, Eq)]
pub struct Whole {
    /// What its fragments said.
    pub envelope: Envelope,
    /// Its text.
    pub text: Zeroizing<Vec<u8>>,
}

struct Partial {
    envelope: Envelope,
    count: u16,
    /// Orders messages by age; times may be equal.
    arrival: u64,
    expires: Time,
    parts: BTreeMap<u16, Zeroizing<Vec<u8>>>,
}

impl Partial {
    fn bytes(&self) -> usize {
        self.parts.values().map(|part| part.len()).sum()
    }
}

/// Fragments that wait for the rest of their message, by sender `K` (who has proven who they
/// are: a stranger can't add to somebody else's message) and message id.
///
/// Holds at most [`ReassemblyLimits::bytes`] of text. When full, it discards the oldest
/// unfinished message of the sender who holds most, so that a flood is its sender's own loss.
/// What was finished is forgotten: a fragment that comes again starts anew, and finding
/// duplicate messages is up to the caller.
pub struct Reassembly<K> {
    limits: ReassemblyLimits,
    partial: BTreeMap<(K, MessageId), Partial>,
    bytes: usize,
    arrivals: u64,
    discarded: u64,
}

impl<K: Ord + Clone> Reassembly<K> {
    /// With nothing in it. Limits too small for one message are raised to that.
    #[must_use]
    pub fn new(limits: ReassemblyLimits) -> Self {
        let limits = ReassemblyLimits {
            messages: limits.messages.max(1),
            bytes: limits.bytes.max(MAX_TEXT_BYTES),
            lifetime: limits.lifetime,
        };
        Self {
            limits,
            partial: BTreeMap::new(),
            bytes: 0,
            arrivals: 0,
            discarded: 0,
        }
    }

    /// Takes a fragment, and gives the message that it completes. A copy of a fragment that is
    /// there already changes nothing.
    ///
    /// # Errors
    /// [`ReassemblyError`]; what was there before stays.
    pub fn insert(
        &mut self,
        now: Time,
        from: &K,
        fragment: Fragment,
    ) -> Result<Option<Whole>, ReassemblyError> {
        self.expire(now);
        fragment.check().map_err(ReassemblyError::Fragment)?;
        let key = (from.clone(), fragment.envelope.message);
        let (arrival, expires) = (self.arrivals, now + self.limits.lifetime);
        let partial = self.partial.entry(key.clone()).or_insert_with(|| Partial {
            envelope: fragment.envelope,
            count: fragment.count,
            arrival,
            expires,
            parts: BTreeMap::new(),
        });
        self.arrivals = self.arrivals.saturating_add(1);
        if partial.envelope != fragment.envelope || partial.count != fragment.count {
            return Err(ReassemblyError::Contradiction);
        }
        if let Some(known) = partial.parts.get(&fragment.index) {
            return if *known == fragment.text {
                Ok(None)
            } else {
                Err(ReassemblyError::Contradiction)
            };
        }
        self.bytes = self.bytes.saturating_add(fragment.text.len());
        partial.parts.insert(fragment.index, fragment.text);
        if partial.parts.len() == usize::from(partial.count) {
            return Ok(self.remove(&key).map(Whole::join));
        }
        self.make_room(&key);
        Ok(None)
    }

    /// Forgets messages that stayed unfinished for too long.
    pub fn expire(&mut self, now: Time) {
        let old: Vec<_> = self
            .partial
            .iter()
            .filter(|(_, partial)| partial.expires <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in old {
            self.discard(&key);
        }
    }

    /// When [`Reassembly::expire`] has something to do.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Time> {
        self.partial.values().map(|partial| partial.expires).min()
    }

    /// Unfinished messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.partial.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partial.is_empty()
    }

    /// Text held, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many unfinished messages were discarded so far, for age or lack of room.
    #[must_use]
    pub const fn discarded(&self) -> u64 {
        self.discarded
    }

    fn make_room(&mut self, keep: &(K, MessageId)) {
        while self.partial.len() > self.limits.messages || self.bytes > self.limits.bytes {
            match self.victim(keep) {
                Some(key) => self.discard(&key),
                None => return,
            }
        }
    }

    /// The oldest message, but for `keep`, of the sender who holds most; of senders who hold as
    /// much, the one whose message is older.
    fn victim(&self, keep: &(K, MessageId)) -> Option<(K, MessageId)> {
        let mut held: BTreeMap<&K, usize> = BTreeMap::new();
        for ((from, _), partial) in &self.partial {
            *held.entry(from).or_default() += partial.bytes();
        }
        self.partial
            .iter()
            .filter(|(key, _)| *key != keep)
            .max_by_key(|((from, _), partial)| (held.get(from), Reverse(partial.arrival)))
            .map(|(key, _)| key.clone())
    }

    fn discard(&mut self, key: &(K, MessageId)) {
        if self.remove(key).is_some() {
            self.discarded = self.discarded.saturating_add(1);
        }
    }

    fn remove(&mut self, key: &(K, MessageId)) -> Option<Partial> {
        let partial = self.partial.remove(key)?;
        self.bytes = self.bytes.saturating_sub(partial.bytes());
        Some(partial)
    }
}

impl Whole {
    fn join(partial: Partial) -> Self {
        let mut text = Zeroizing::new(Vec::with_capacity(partial.bytes()));
        for part in partial.parts.values() {
            text.extend_from_slice(part);
        }
        Self {
            envelope: partial.envelope,
            text,
        }
    }
}

/// Redacted.
impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Whole(..)")
    }
}
