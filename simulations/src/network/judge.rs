//! What became of every message, and whether that is what was promised.

use std::collections::BTreeMap;

use shoal_client::{Alarm, ClientEvent, SendError};
use shoal_harness::{Happening, Party};
use shoal_proto::{MessageId, Span, Time};

/// A client that has handed out a message says so on its disk; if its process ends before that,
/// it tells the message again. Two groups of the disk, of at most 8 ms each, and some.
const TELLING: Span = Span::from_millis(20);

/// A message and what became of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// Its number, from 1, in the order of sending.
    pub number: u64,
    /// Who sent it.
    pub from: Party,
    /// Who should get it.
    pub to: Party,
    /// When the user sent it.
    pub sent: Time,
    /// When it was on the sender's disk.
    pub accepted: Option<Time>,
    /// When the sender was told that it is on the disk of the receiver's mailbox.
    pub stored: Option<Time>,
    /// When the receiver had it first.
    pub received: Option<Time>,
    /// When the sender gave it up.
    pub expired: Option<Time>,
    /// How often the receiver told its user.
    pub told: u32,
    /// Why it was not accepted.
    pub refused: Option<SendError>,
}

/// Follows the messages.
pub(super) struct Judge {
    messages: Vec<Message>,
    /// Numbers of messages by those of the requests to send them, and by their ids.
    requests: BTreeMap<u64, u64>,
    ids: BTreeMap<MessageId, u64>,
    bytes: usize,
    time_to_live: Span,
    pub(super) alarms: BTreeMap<&'static str, u64>,
}

impl Judge {
    pub(super) fn new(bytes: usize, time_to_live: Span) -> Self {
        Self {
            messages: Vec::new(),
            requests: BTreeMap::new(),
            ids: BTreeMap::new(),
            bytes,
            time_to_live,
            alarms: BTreeMap::new(),
        }
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The text of the next message.
    pub(super) fn next_text(&self) -> Vec<u8> {
        self.text(self.messages.len() as u64 + 1)
    }

    /// The message with the next text was sent, by this request.
    pub(super) fn sent(&mut self, request: u64, (from, to): (Party, Party), at: Time) {
        let number = self.messages.len() as u64 + 1;
        self.requests.insert(request, number);
        self.messages.push(Message {
            number,
            from,
            to,
            sent: at,
            accepted: None,
            stored: None,
            received: None,
            expired: None,
            told: 0,
            refused: None,
        });
    }

    fn text(&self, number: u64) -> Vec<u8> {
        let mut text = format!("{number:016}").into_bytes();
        text.resize(self.bytes, b'.');
        text
    }

    /// Takes what clients told their users.
    ///
    /// # Errors
    /// The first thing that should not have been told.
    pub(super) fn hear(
        &mut self,
        happenings: Vec<Happening>,
        crashes: &[(Time, Party)],
    ) -> Result<(), String> {
        for happening in happenings {
            let (at, client) = (happening.at, happening.client);
            let Some(event) = happening.client_event() else {
                continue;
            };
            match event {
                ClientEvent::Accepted { request, message } => {
                    self.accepted(at, *request, *message);
                }
                ClientEvent::Refused { request, reason } => {
                    if let Some(sent) = self.requested(*request) {
                        sent.refused = Some(reason.clone());
                    }
                }
                ClientEvent::Stored { message } => {
                    if let Some(known) = self.known(message) {
                        known.stored.get_or_insert(at);
                    }
                }
                ClientEvent::Expired { message } => self.expired(at, message)?,
                ClientEvent::Received { text, .. } => self.received(at, client, text, crashes)?,
                ClientEvent::Alarm(alarm) => *self.alarms.entry(label(alarm)).or_default() += 1,
                _ => {}
            }
        }
        Ok(())
    }

    fn numbered(&mut self, number: u64) -> Option<&mut Message> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.messages.get_mut(index)
    }

    fn requested(&mut self, request: u64) -> Option<&mut Message> {
        let number = *self.requests.get(&request)?;
        self.numbered(number)
    }

    fn known(&mut self, message: &MessageId) -> Option<&mut Message> {
        let number = *self.ids.get(message)?;
        self.numbered(number)
    }

    fn accepted(&mut self, at: Time, request: u64, message: MessageId) {
        if let Some(sent) = self.requested(request) {
            sent.accepted = Some(at);
            let number = sent.number;
            self.ids.insert(message, number);
        }
    }

    fn expired(&mut self, at: Time, message: &MessageId) -> Result<(), String> {
        let time_to_live = self.time_to_live;
        let Some(known) = self.known(message) else {
            return Ok(());
        };
        known.expired = Some(at);
        if at.since(known.sent) + Span::from_secs(1) < time_to_live {
            return Err(format!("{} was given up before its time", known.name()));
        }
        Ok(())
    }

    fn received(
        &mut self,
        at: Time,
        client: Party,
        text: &[u8],
        crashes: &[(Time, Party)],
    ) -> Result<(), String> {
        let number = text.get(..16).and_then(|n| std::str::from_utf8(n).ok());
        let number: Option<u64> = number.and_then(|number| number.parse().ok());
        let whole = number.is_some_and(|number| self.text(number) == text);
        let message = number.and_then(|number| self.numbered(number));
        let Some(message) = message.filter(|_| whole) else {
            return Err(format!("{client} received a text that nobody sent"));
        };
        if message.to != client {
            return Err(format!("{client} received {}", message.name()));
        }
        message.told += 1;
        let Some(first) = message.received else {
            message.received = Some(at);
            return Ok(());
        };
        let excused = |(crash, party): &(Time, Party)| {
            *party == client && (first..=first + TELLING).contains(crash)
        };
        // Told again after a second crash, it was told a first time by a process in between.
        if crashes.iter().any(excused) {
            message.received = Some(at);
            return Ok(());
        }
        Err(format!("{} was received twice", message.name()))
    }

    /// Whether everything accepted has arrived, and its senders know, or has expired.
    pub(super) fn is_done(&self, now: Time) -> bool {
        let done = |message: &Message| {
            let arrived = message.received.is_some() && message.stored.is_some();
            message.accepted.is_none() || arrived || self.is_over(message, now)
        };
        self.messages.iter().all(done)
    }

    /// Whether its time to live is over, at its sender or, once stored, at the mailbox.
    fn is_over(&self, message: &Message, now: Time) -> bool {
        let age = now.since(message.sent);
        message.expired.is_some() || (message.stored.is_some() && age > self.time_to_live)
    }

    /// Whether everything accepted has arrived or expired.
    ///
    /// # Errors
    /// How many have not, and the first of them.
    pub(super) fn settle(&self, now: Time) -> Result<(), String> {
        let lost = |message: &&Message| {
            let open = message.accepted.is_some() && message.received.is_none();
            open && !self.is_over(message, now)
        };
        let count = self.messages.iter().filter(lost).count();
        match self.messages.iter().find(lost) {
            None => Ok(()),
            Some(first) => {
                let state = match first.stored {
                    Some(_) => "was reported stored",
                    None => "was accepted",
                };
                let name = first.name();
                Err(format!(
                    "{count} accepted messages have not arrived; the first is {name}, which {state}"
                ))
            }
        }
    }
}

impl Message {
    fn name(&self) -> String {
        format!("message {} of {} to {}", self.number, self.from, self.to)
    }
}

fn label(alarm: &Alarm) -> &'static str {
    match alarm {
        Alarm::NoDocument => "no_document",
        Alarm::EntryMissing => "entry_missing",
        Alarm::MailboxMissing => "mailbox_missing",
        Alarm::EntryIsMailbox => "entry_is_mailbox",
        Alarm::LoopsLost(_) => "loops_lost",
        Alarm::ReceiptsLost(_) => "receipts_lost",
        Alarm::StreamLost(_) => "stream_lost",
        Alarm::StreamPaused(_) => "stream_paused",
        Alarm::OneCopy => "one_copy",
        Alarm::Storage => "storage",
        Alarm::InboxFull => "inbox_full",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use shoal_harness::Network;

    use super::*;

    #[test]
    fn promises_are_kept_to() {
        let network = Network::builder(1).clients(2, "default").build().unwrap();
        let clients: Vec<Party> = network.clients().collect();
        let (alice, bob) = (clients[0], clients[1]);
        let at = |millis: u64| Time::from_micros(millis * 1000);
        let fresh = || {
            let mut judge = Judge::new(20, Span::from_secs(60));
            // Requests of other kinds have gone before.
            judge.sent(7, (alice, bob), at(0));
            judge.accepted(at(5), 7, MessageId::new([1; 16]));
            judge
        };
        let text = fresh().text(1);

        let mut judge = fresh();
        assert!(!judge.is_done(at(10)) && judge.settle(at(10)).is_err());
        assert!(judge.received(at(10), alice, &text, &[]).is_err());
        assert!(
            judge
                .received(at(10), bob, b"0000000000000001", &[])
                .is_err()
        );
        assert_eq!(judge.received(at(10), bob, &text, &[]), Ok(()));
        assert_eq!(judge.settle(at(10)), Ok(()));
        assert!(!judge.is_done(at(10)));
        assert!(judge.received(at(900), bob, &text, &[]).is_err());

        let mut judge = fresh();
        assert_eq!(judge.received(at(10), bob, &text, &[]), Ok(()));
        let crashes = [(at(15), bob), (at(700), bob)];
        assert_eq!(judge.received(at(600), bob, &text, &crashes), Ok(()));
        assert!(judge.received(at(800), bob, &text, &crashes).is_err());

        let mut judge = fresh();
        assert!(judge.expired(at(30_000), &MessageId::new([1; 16])).is_err());
        let mut judge = fresh();
        assert_eq!(judge.expired(at(61_000), &MessageId::new([1; 16])), Ok(()));
        assert!(judge.is_done(at(61_000)));
    }
}
