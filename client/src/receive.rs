//! What the entry hands over: answers, loops that return, the mailbox's stream, and filler.

use rand::CryptoRng;
use shoal_packet::Frame;
use shoal_packet::command::{ReceiptStatus, Reply, StreamEntry, StreamItem};
use shoal_proto::{MessageId, Time};
use zeroize::Zeroizing;

use crate::address::Address;
use crate::client::{Client, Pending};
use crate::event::{Alarm, ClientEvent, HopTrace};
use crate::inbox::{Arrival, Kept};
use crate::outbox::Settled;
use crate::replies::Purpose;
use crate::rows::InboxKey;
use crate::watch::StreamFinding;

impl<R: CryptoRng> Client<R> {
    pub(crate) fn receive(&mut self, now: Time, frame: Frame) {
        let (id, payload) = frame.into_last_link();
        let Some(reply) = self.replies.take(&id) else {
            self.counters.filler += 1;
            return;
        };
        self.counters.late += u64::from(reply.overdue);
        let opened = reply.keys.open(&payload);
        self.counters.corrupted += u64::from(opened.is_err());
        if !reply.overdue {
            self.meter(reply.purpose, opened.is_err());
        }
        let Ok(plaintext) = opened else { return };
        match (reply.purpose, Reply::decode(&plaintext)) {
            (Purpose::Loop, _) => self.counters.loops_returned += 1,
            (Purpose::Dummy, Ok(Reply::Dummy)) => self.counters.answers_dummy += 1,
            (Purpose::Deposit { message, index, .. }, Ok(Reply::Dummy)) => {
                self.counters.answers_dummy += 1;
                self.outbox.undecided(&message, index, now);
            }
            (
                Purpose::Deposit {
                    message,
                    index,
                    deposit,
                },
                Ok(Reply::Receipt {
                    message: about,
                    status,
                }),
            ) if about == deposit => self.receipt(message, index, status),
            (Purpose::Stock, Ok(Reply::Stream(item))) => self.stream(now, &item, reply.trace),
            _ => self.counters.unexpected += 1,
        }
    }

    fn receipt(&mut self, message: MessageId, index: u16, status: ReceiptStatus) {
        match status {
            ReceiptStatus::Stored => self.counters.receipts_stored += 1,
            _ => self.counters.receipts_refused += 1,
        }
        match self.outbox.receipt(&message, index, status) {
            // What was refused is tried again like what was not answered: after the wait.
            Settled::Nothing | Settled::Refused => {}
            Settled::Fragment(changes) => self.note(changes),
            Settled::Message(changes) => {
                self.counters.stored += 1;
                self.note(changes);
                self.event(ClientEvent::Stored { message });
            }
        }
    }

    fn stream(&mut self, now: Time, item: &StreamItem, trace: Vec<HopTrace>) {
        self.counters.stream_items += 1;
        if item.generation != self.mailbox.generation() {
            self.counters.unexpected += 1;
            return;
        }
        if let Some(stream) = &mut self.stream {
            let lost = stream.note(now, item.number);
            self.stream_lost(lost);
            self.item_outcome(false);
        }
        for contact in self.mailbox.report(item) {
            if let Some(row) = self.contacts.get_mut(&contact) {
                row.registered_at = Some(self.config.mailbox_provider);
            }
            let change = self.contact_change(&contact);
            self.note(change.into_iter().collect());
        }
        if let Some(entry) = &item.entry {
            self.counters.stream_entries += 1;
            self.arrive(now, entry, trace);
        }
    }

    fn arrive(&mut self, now: Time, entry: &StreamEntry, trace: Vec<HopTrace>) {
        let arrival = self
            .inbox
            .arrive(now, &self.keys, &self.network, entry, trace);
        self.counters.partial_dropped = self.inbox.discarded();
        let full = matches!(arrival, Arrival::Full);
        match arrival {
            Arrival::Known => {
                self.counters.duplicates += 1;
                self.mailbox.acknowledge(entry.entry);
            }
            Arrival::Saving => self.counters.duplicates += 1,
            Arrival::Full => {
                if !self.standing.inbox {
                    self.alarm(Alarm::InboxFull);
                }
            }
            Arrival::Bad => {
                self.counters.undecryptable += 1;
                self.mailbox.acknowledge(entry.entry);
            }
            Arrival::New { changes, kept } => {
                self.persist(
                    changes,
                    Pending::Arrival {
                        entry: entry.entry,
                        kept,
                    },
                );
            }
        }
        self.standing.inbox = full;
    }

    /// A fragment is on disk: the mailbox may delete it, and the user may have the message.
    pub(crate) fn keep(&mut self, entry: u64, kept: Kept) {
        self.inbox.safe(&kept);
        self.mailbox.acknowledge(entry);
        let Some(key) = kept.complete else { return };
        if let Some(row) = self.inbox.tell(&key) {
            self.counters.received += 1;
            self.received(key, row, kept.trace);
        }
    }

    /// Tells again of a message that was here before a restart.
    pub(crate) fn tell_received(&mut self, key: InboxKey, trace: Vec<HopTrace>) {
        if let Some(row) = self.inbox.tell_again(&key) {
            self.received(key, row, trace);
        }
    }

    fn received(&mut self, key: InboxKey, row: crate::rows::InboxRow, trace: Vec<HopTrace>) {
        let reply_to = Box::new(Address {
            network: Address::short_network(&self.network),
            provider: row.reply_provider,
            drop: row.reply_drop,
            key: key.sender,
            grant: None,
        });
        self.event(ClientEvent::Received {
            message: key.message,
            from: key.sender,
            reply_to,
            text: Zeroizing::new(row.text),
            sent_at: row.sent_at,
            sequence: row.sequence,
            trace,
        });
    }

    /// Looks for losses: answers overdue, numbers missing, a stream that pauses, keys that are
    /// void.
    pub(crate) fn watch(&mut self, now: Time) {
        while let Some(purpose) = self.replies.overdue(now) {
            match purpose {
                Purpose::Loop => self.counters.loops_lost += 1,
                _ => self.counters.receipts_lost += 1,
            }
            self.meter(purpose, true);
        }
        while let Some(finding) = self.stream.as_mut().and_then(|stream| stream.check(now)) {
            match finding {
                StreamFinding::Lost(lost) => self.stream_lost(lost),
                StreamFinding::Paused(silent) => {
                    self.counters.stream_pauses += 1;
                    self.alarm(Alarm::StreamPaused(silent));
                }
            }
        }
        let Some(view) = self.view.as_ref().filter(|_| now >= self.next_sweep) else {
            return;
        };
        self.next_sweep = now + self.params.switch_margin();
        let (params, wait) = (&self.params, self.config.reply_timeout);
        self.replies
            .retain_epochs(|epoch| view.counts_until(params, epoch) + wait >= now);
    }

    fn stream_lost(&mut self, lost: u64) {
        self.counters.stream_gaps = self.counters.stream_gaps.saturating_add(lost);
        for _ in 0..lost.min(64) {
            self.item_outcome(true);
        }
    }

    fn item_outcome(&mut self, lost: bool) {
        if self.items.note(lost) {
            self.alarm(Alarm::StreamLost(self.items.losses()));
        }
    }

    fn meter(&mut self, purpose: Purpose, lost: bool) {
        match purpose {
            Purpose::Loop => {
                if self.loops.note(lost) {
                    self.alarm(Alarm::LoopsLost(self.loops.losses()));
                }
            }
            Purpose::Deposit { .. } | Purpose::Dummy => {
                if self.receipts.note(lost) {
                    self.alarm(Alarm::ReceiptsLost(self.receipts.losses()));
                }
            }
            Purpose::Stock => {}
        }
    }
}
