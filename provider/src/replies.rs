//! Answers to deposits and dummies, to who asks for tokens, and to owners who are behind: one each, held until a moment of its
//! own.

use std::collections::BTreeMap;

use rand::CryptoRng;
use shoal_packet::command::{ReceiptStatus, Reply, TokenAnswer};
use shoal_packet::{Frame, Surb};
use shoal_proto::{MessageId, NodeId, Span, Time};
use shoal_topology::delay;

use crate::DropReason;
use crate::documents::{Documents, leads_inside, spend};

shoal_proto::counters! {
    /// Answers to deposits and dummies, and to owners who are behind.
    pub struct ReplyCounters("provider") {
        /// Deposits that were on disk when they were answered.
        stored: counter "receipts";
        /// Deposits that were refused: of an unknown, revoked or full drop id, or a full mailbox.
        refused: counter "receipts";
        /// Deposits that were refused because the store or its disk is full.
        full: counter "receipts",
            "Compare the store's use with its quota and the disk's free space.";
        /// Answers that say nothing, to dummies.
        dummy: counter "replies";
        /// Answers that say nothing because the store was late or failed; the sender tries again.
        late: counter "replies",
            "A few are normal. If most deposits are answered late, the disk is too slow at flushing.";
        /// Answers to owners whose generation the mailbox knows to be over: they were restored from an
        /// old copy, or run twice.
        behind: counter "replies";
        /// Answers to who asked for a token.
        token: counter "replies";
        /// Answers that were not sent: the reply block is of an epoch or for a first hop that does
        /// not count.
        void: counter "replies",
            "Some around the switch of an epoch are normal. If it grows, look at the clock and whether documents arrive.";
        /// Replies held now.
        held: gauge "replies";
    }
}

/// Replies that are held until their moment, which was drawn when the packet came in and does not
/// move: whatever is known by then is said.
pub(crate) struct Replies {
    held: BTreeMap<Place, Held>,
    next: u64,
    most: usize,
    mean_delay: Span,
    counters: ReplyCounters,
}

/// Where a reply is held: when it leaves, and a number that is given once.
pub(crate) type Place = (Time, u64);

/// One reply.
pub(crate) struct Held {
    surb_epoch: u8,
    surb: Surb,
    about: About,
}

/// What a reply answers.
enum About {
    Dummy,
    /// A deposit, and what became of it if the store has finished.
    Deposit(MessageId, Option<ReceiptStatus>),
    /// An owner's command of a generation that is over; the newest.
    Behind(u64),
    /// Somebody who asked for a token, and the answer once that is known.
    Token(Option<Box<TokenAnswer>>),
}

impl Held {
    /// To a dummy.
    pub(crate) const fn dummy(surb_epoch: u8, surb: Surb) -> Self {
        Self::new(surb_epoch, surb, About::Dummy)
    }

    /// To a deposit under this id.
    pub(crate) const fn receipt(surb_epoch: u8, surb: Surb, message: MessageId) -> Self {
        Self::new(surb_epoch, surb, About::Deposit(message, None))
    }

    /// To an owner's command of an older generation than this.
    pub(crate) const fn behind(surb_epoch: u8, surb: Surb, generation: u64) -> Self {
        Self::new(surb_epoch, surb, About::Behind(generation))
    }

    /// To who asked for a token; none if the answer waits for the store.
    pub(crate) fn token(surb_epoch: u8, surb: Surb, answer: Option<TokenAnswer>) -> Self {
        Self::new(surb_epoch, surb, About::Token(answer.map(Box::new)))
    }

    const fn new(surb_epoch: u8, surb: Surb, about: About) -> Self {
        Self {
            surb_epoch,
            surb,
            about,
        }
    }

    /// What is said: a receipt only if the store has finished.
    fn reply(&self) -> Reply {
        match &self.about {
            About::Deposit(message, Some(status)) => Reply::Receipt {
                message: *message,
                status: *status,
            },
            About::Behind(generation) => Reply::Behind {
                generation: *generation,
            },
            About::Token(Some(answer)) => Reply::Token(**answer),
            About::Deposit(_, None) | About::Token(None) | About::Dummy => Reply::Dummy,
        }
    }
}

impl Replies {
    /// Holds at most so many at once, each exponentially with this mean.
    pub(crate) fn new(most: usize, mean_delay: Span) -> Self {
        Self {
            held: BTreeMap::new(),
            next: 0,
            most,
            mean_delay,
            counters: ReplyCounters::default(),
        }
    }

    pub(crate) fn counters(&self) -> ReplyCounters {
        ReplyCounters {
            held: self.held.len() as u64,
            ..self.counters
        }
    }

    /// Whether one more can be held.
    pub(crate) fn has_room(&self) -> bool {
        self.held.len() < self.most
    }

    /// Holds a reply; the place is for [`settle`](Self::settle). Every answer leaves
    /// [`delay::BEFORE_ANSWER`] and an exponential time after its question came in, whatever it says.
    pub(crate) fn hold<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        arrival: Time,
        reply: Held,
    ) -> Result<Place, DropReason> {
        if !self.has_room() {
            return Err(DropReason::Busy);
        }
        let due = arrival + delay::BEFORE_ANSWER + delay::sample(rng, self.mean_delay);
        let place = (due, self.next);
        self.next = self.next.wrapping_add(1);
        self.held.insert(place, reply);
        Ok(place)
    }

    /// The store has finished. If the reply has left already, nothing happens: never two answers.
    pub(crate) fn settle(&mut self, place: Place, status: ReceiptStatus) {
        if let Some(held) = self.held.get_mut(&place)
            && let About::Deposit(_, known) = &mut held.about
        {
            *known = Some(status);
        }
    }

    /// The same for who asked for a token.
    pub(crate) fn settle_token(&mut self, place: Place, answer: TokenAnswer) {
        if let Some(held) = self.held.get_mut(&place)
            && let About::Token(known) = &mut held.about
        {
            *known = Some(Box::new(answer));
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.held.first_key_value().map(|((due, _), _)| *due)
    }

    /// One reply that is due by now, as the frame to send, and the member to send it to. Call it
    /// until it gives none.
    pub(crate) fn answer<R: CryptoRng>(
        &mut self,
        rng: &mut R,
        now: Time,
        documents: &Documents,
    ) -> Option<(NodeId, Frame)> {
        while let Some(held) = self.pop(now) {
            let waits = matches!(held.about, About::Deposit(_, None) | About::Token(None));
            let reply = held.reply();
            let sent = documents
                .accepted(now, held.surb_epoch)
                .filter(|document| leads_inside(document, &held.surb))
                .and_then(|document| spend(rng, document, held.surb, &reply));
            self.count(&reply, waits, sent.is_some());
            if sent.is_some() {
                return sent;
            }
        }
        None
    }

    fn pop(&mut self, now: Time) -> Option<Held> {
        let first = self
            .held
            .first_entry()
            .filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    const fn count(&mut self, reply: &Reply, waits: bool, sent: bool) {
        let counters = &mut self.counters;
        let count = match reply {
            _ if !sent => &mut counters.void,
            Reply::Receipt {
                status: ReceiptStatus::Stored,
                ..
            } => &mut counters.stored,
            Reply::Receipt {
                status: ReceiptStatus::Full,
                ..
            } => &mut counters.full,
            Reply::Receipt { .. } => &mut counters.refused,
            Reply::Behind { .. } => &mut counters.behind,
            Reply::Token(_) => &mut counters.token,
            _ if waits => &mut counters.late,
            _ => &mut counters.dummy,
        };
        *count += 1;
    }
}
