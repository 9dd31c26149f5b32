//! From the user's text to sealed fragments on disk.

use rand::CryptoRng;
use shoal_packet::fragment::{self, Envelope, MAX_TEXT_BYTES};
use shoal_proto::{MessageId, Time};

use crate::address::Address;
use crate::client::{Client, Pending};
use crate::error::SendError;
use crate::event::ClientEvent;
use crate::keys::PeerKey;
use crate::rows::{Change, ContactRow, MessageState, OutboxRow, SentRow, Table};
use crate::seal::{self, Binding};

/// A sealed message that waits to be saved.
pub(crate) struct Prepared {
    message: MessageId,
    to: PeerKey,
    sequence: u64,
    row: SentRow,
    pub(crate) parts: Vec<(u16, OutboxRow)>,
}

impl<R: CryptoRng> Client<R> {
    pub(crate) fn send(&mut self, now: Time, request: u64, to: &Address, text: &[u8]) {
        match self.prepare(now, to, text) {
            Ok(prepared) => {
                let changes = self.changes_of(&prepared);
                let prepared = Box::new(prepared);
                self.persist(changes, Pending::Send { request, prepared });
            }
            Err(reason) => self.event(ClientEvent::Refused { request, reason }),
        }
    }

    fn prepare(&mut self, now: Time, to: &Address, text: &[u8]) -> Result<Prepared, SendError> {
        to.check_network(&self.network)
            .map_err(|_| SendError::OtherNetwork)?;
        if to
            .grant
            .as_ref()
            .is_some_and(|grant| grant.expires() <= now)
        {
            return Err(SendError::AddressExpired);
        }
        let message = MessageId::new(self.random());
        let sequence = self
            .contacts
            .get(&to.key)
            .map_or(0, |contact| contact.sequence);
        let envelope = Envelope {
            message,
            sequence,
            sent_at: now,
            reply_provider: self.config.mailbox_provider,
            reply_drop: self.keys.contact_drop(&to.key),
        };
        let fragments = fragment::split(&envelope, text).map_err(|_| SendError::TooLong {
            bytes: text.len(),
            limit: MAX_TEXT_BYTES,
        })?;
        let limit = self.config.limits.outbox_fragments;
        let waiting = self.outbox.waiting() + self.pending_fragments();
        if waiting + fragments.len() > limit {
            return Err(SendError::OutboxFull { waiting, limit });
        }
        let row = SentRow {
            order: self.outbox.draw_order(),
            accepted_at: now,
            expires: now + self.config.time_to_live,
            fragments: u16::try_from(fragments.len()).map_err(|_| SendError::Seal)?,
            state: MessageState::Queued,
        };
        let mut parts = Vec::with_capacity(fragments.len());
        for fragment in &fragments {
            let plaintext = fragment.encode().map_err(|_| SendError::Seal)?;
            parts.push((fragment.index, self.seal(to, &plaintext)?));
        }
        let next = sequence.saturating_add(1);
        let fresh = ContactRow {
            sequence: 0,
            registered_at: None,
        };
        self.contacts.entry(to.key).or_insert(fresh).sequence = next;
        self.register_contact(to.key);
        Ok(Prepared {
            message,
            to: to.key,
            sequence,
            row,
            parts,
        })
    }

    fn seal(&mut self, to: &Address, plaintext: &[u8]) -> Result<OutboxRow, SendError> {
        // A deposit id of its own for each fragment: the mailbox must not see which belong
        // together.
        let deposit = MessageId::new(self.random());
        let binding = Binding {
            network: self.network,
            drop: to.drop,
            message: deposit,
        };
        let blob = seal::seal(&mut self.rng, &self.keys, &to.key, &binding, plaintext)
            .map_err(|_| SendError::Seal)?;
        let grant = to.grant.clone();
        Ok(OutboxRow {
            provider: to.provider,
            drop: to.drop,
            grant,
            deposit,
            blob,
        })
    }

    fn changes_of(&self, prepared: &Prepared) -> Vec<Change> {
        let message = prepared.message.as_bytes().to_vec();
        let mut changes = vec![Change::put(Table::Sent, message, prepared.row.encode())];
        changes.extend(prepared.parts.iter().map(|(index, row)| {
            Change::put(
                Table::Outbox,
                OutboxRow::key(&prepared.message, *index),
                row.encode(),
            )
        }));
        changes.extend(self.contact_change(&prepared.to));
        changes
    }

    pub(crate) fn contact_change(&self, contact: &PeerKey) -> Option<Change> {
        let row = self.contacts.get(contact)?.encode();
        Some(Change::put(
            Table::Contact,
            contact.as_bytes().to_vec(),
            row,
        ))
    }

    /// Has the contact's drop ids registered, if the mailbox is not known to have them.
    pub(crate) fn register_contact(&mut self, contact: PeerKey) {
        let provider = Some(self.config.mailbox_provider);
        let known = self
            .contacts
            .get(&contact)
            .is_some_and(|row| row.registered_at == provider);
        if !known {
            self.mailbox.register(contact);
        }
    }

    /// The message is on disk.
    pub(crate) fn accept(&mut self, now: Time, request: u64, prepared: Prepared) {
        self.counters.accepted += 1;
        let message = prepared.message;
        self.outbox.add(message, prepared.row, prepared.parts, now);
        self.event(ClientEvent::Accepted { request, message });
    }

    /// The message could not be saved: its number is free again, unless one came after it.
    pub(crate) fn forget_prepared(&mut self, prepared: &Prepared) {
        if let Some(contact) = self.contacts.get_mut(&prepared.to)
            && contact.sequence == prepared.sequence.saturating_add(1)
        {
            contact.sequence = prepared.sequence;
        }
    }

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}
