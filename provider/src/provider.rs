//! The core of the provider role: it wires its parts.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::CryptoRng;
use shoal_packet::Surb;
use shoal_packet::command::{Deposit, MailboxRequest, ReceiptStatus, TokenAnswer, TokenAsk};
use shoal_proto::{ClientHandle, DropId, NodeId, Span, Time};
use shoal_topology::{NetworkParameters, TokenTerms};

use crate::check::{Checked, Content};
use crate::counters::PacketCounters;
use crate::desk::StoreDesk;
use crate::documents::Documents;
use crate::entry::Entry;
use crate::mailboxes::{Mailboxes, Question, Wish};
use crate::reason::Drops;
use crate::replies::{Held, Place, Replies};
use crate::times;
use crate::tokens::{Answering, Given, Issuer, Tokens};
use crate::{
    AttachAnswer, Checker, Counters, DropReason, Limits, ProviderAction, ProviderInput, StoreOp,
    StoreOutcome, StoreResult,
};

/// The core of the provider role: entry and mailboxes, without IO, clock or ambient randomness.
///
/// Call [`handle_input`](Self::handle_input) with what happened, then
/// [`poll_action`](Self::poll_action) until it gives nothing, then wait for the next input or
/// for [`poll_deadline`](Self::poll_deadline), whichever comes first, and poll again. What is
/// delivered goes through a [`Checker`] first, anywhere but in the loop that does this.
///
/// Memory: bounded by [`Limits`].
pub struct Provider<R> {
    checker: Checker,
    documents: Documents,
    rng: R,
    time_to_live: Span,
    entry: Entry,
    replies: Replies,
    mailboxes: Mailboxes,
    tokens: Tokens,
    store: StoreDesk<Waiting>,
    packets: PacketCounters,
    drops: Drops,
    actions: VecDeque<ProviderAction>,
}

/// What waits for the store.
enum Waiting {
    /// A deposit, and where the reply to it is held.
    Put { reply: Place, drop: DropId },
    /// A mailbox.
    Mailbox(Question),
    /// Somebody who asked for a token, where the reply is held, and what it is to say.
    Token { reply: Place, answer: TokenAnswer },
}

impl<R: CryptoRng> Provider<R> {
    /// A provider without clients, and with no document yet: until the first
    /// [`ProviderInput::View`] it stores, but can't answer.
    #[must_use]
    pub fn new(
        params: Arc<NetworkParameters>,
        local: NodeId,
        limits: Limits,
        rng: R,
        now: Time,
    ) -> Self {
        Self {
            checker: Checker::new(params.chain(), local),
            rng,
            time_to_live: params.time_to_live,
            entry: Entry::new(&limits),
            replies: Replies::new(limits.replies, params.mean_delay),
            mailboxes: Mailboxes::new(&limits),
            tokens: Tokens::new(params.chain(), local, &limits),
            store: StoreDesk::new(&limits, now),
            packets: PacketCounters::default(),
            drops: Drops::default(),
            actions: VecDeque::new(),
            documents: Documents::new(params),
        }
    }

    /// The same provider, which issues tokens and opens mailboxes for them only. Without an issuer it opens them for
    /// nothing.
    #[must_use]
    pub fn with_issuer(mut self, issuer: Issuer) -> Self {
        self.tokens.issue_with(issuer);
        self
    }

    /// On what terms it issues tokens now: what its descriptor has to say. They change with the period
    /// ([`TOKEN_PERIOD`](shoal_topology::TOKEN_PERIOD)).
    pub fn token_terms(&mut self, now: Time) -> Option<TokenTerms> {
        self.tokens.terms(now)
    }

    /// What checks deliveries for this provider.
    #[must_use]
    pub const fn checker(&self) -> Checker {
        self.checker
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, now: Time, input: ProviderInput) {
        match input {
            ProviderInput::Delivered(checked) => self.deliver(now, checked),
            ProviderInput::Attached { handle, profile } => self.attach(now, handle, &profile),
            ProviderInput::Detached { handle } => self.entry.detach(handle),
            ProviderInput::StoreDone { ticket, result } => self.store_done(now, ticket, result),
            ProviderInput::View(view) => self.documents.update(view),
            ProviderInput::Notices(notices) => self.entry.tell(&notices),
            ProviderInput::LinkFull { .. } => self.entry.link_full(),
        }
    }

    /// The next thing to do, with the work that is due done first.
    pub fn poll_action(&mut self, now: Time) -> Option<ProviderAction> {
        self.run_timers(now);
        self.actions.pop_front()
    }

    /// When to poll again if nothing happens before.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Time> {
        [
            self.entry.deadline(),
            self.replies.deadline(),
            self.mailboxes.deadline(),
            self.store.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What happened since the start, and how much there is now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            packets: self.packets,
            replies: self.replies.counters(),
            mailboxes: self.mailboxes.counters(),
            tokens: self.tokens.counters(),
            refused_tokens: self.tokens.refused(),
            entry: self.entry.counters(),
            store: self.store.counters(),
            drops: self.drops,
        }
    }

    fn attach(&mut self, now: Time, handle: ClientHandle, profile: &str) {
        let answer = match self.documents.params().profile(profile) {
            Some(profile) => self
                .entry
                .attach(&mut self.rng, now, handle, profile.downlink),
            None => AttachAnswer::UnknownProfile,
        };
        self.actions
            .push_back(ProviderAction::Attach { handle, answer });
    }

    fn deliver(&mut self, now: Time, checked: Checked) {
        self.packets.received += 1;
        let (arrival, content) = checked.into_content();
        let outcome = content.and_then(|content| match content {
            Content::ForClient(delivery) => self.entry.offer(delivery),
            Content::Deposit(deposit) => self.deposit(now, arrival, *deposit),
            Content::Dummy { surb_epoch, surb } => self.dummy(arrival, surb_epoch, surb),
            Content::Drop => {
                self.packets.drop_cover += 1;
                Ok(())
            }
            Content::Mailbox(request) => self.mailbox_command(now, *request),
            Content::Token(ask) => self.token(now, arrival, *ask),
        });
        if let Err(reason) = outcome {
            self.drops.add(reason, 1);
        }
    }

    fn dummy(&mut self, arrival: Time, surb_epoch: u8, surb: Surb) -> Result<(), DropReason> {
        let held = Held::dummy(surb_epoch, surb);
        self.replies.hold(&mut self.rng, arrival, held)?;
        self.packets.dummies += 1;
        Ok(())
    }

    fn deposit(&mut self, now: Time, arrival: Time, deposit: Deposit) -> Result<(), DropReason> {
        if self.store.is_busy() {
            return Err(DropReason::Busy);
        }
        let held = Held::receipt(deposit.surb_epoch, deposit.surb, deposit.message);
        let reply = self.replies.hold(&mut self.rng, arrival, held)?;
        self.packets.deposits += 1;
        let drop = deposit.drop;
        let op = StoreOp::Put {
            drop,
            message: deposit.message,
            blob: deposit.blob,
            expires: times::expiry(now, self.time_to_live),
        };
        self.ask(op, Waiting::Put { reply, drop });
        Ok(())
    }

    fn token(&mut self, now: Time, arrival: Time, ask: TokenAsk) -> Result<(), DropReason> {
        // Before a token is made that nobody would get.
        if !self.replies.has_room() {
            return Err(DropReason::Busy);
        }
        let (answer, claim) = match self.tokens.answer(&mut self.rng, now, &ask)? {
            Answering::Now(answer) => (answer, None),
            Answering::After(..) if self.store.is_busy() => return Err(DropReason::Busy),
            Answering::After(claim, answer) => (answer, Some(claim)),
        };
        let known = claim.is_none().then_some(answer);
        let held = Held::token(ask.surb_epoch, ask.surb, known);
        let reply = self.replies.hold(&mut self.rng, arrival, held)?;
        self.packets.token_requests += 1;
        if let Some(claim) = claim {
            self.ask(StoreOp::Claim(claim), Waiting::Token { reply, answer });
        }
        Ok(())
    }

    fn mailbox_command(&mut self, now: Time, request: MailboxRequest) -> Result<(), DropReason> {
        if self.store.is_busy() {
            return Err(DropReason::Busy);
        }
        let (params, tokens) = (self.documents.params(), &mut self.tokens);
        let wish = self.mailboxes.command(now, params, tokens, request)?;
        self.fulfil([wish]);
        Ok(())
    }

    fn fulfil(&mut self, wishes: impl IntoIterator<Item = Wish>) {
        for wish in wishes {
            match wish {
                Wish::Ask(op, question) => self.ask(op, Waiting::Mailbox(question)),
                Wish::Send(to, frame) => self.actions.push_back(ProviderAction::Send { to, frame }),
            }
        }
    }

    fn ask(&mut self, op: StoreOp, why: Waiting) {
        let action = self.store.ask(op, why);
        self.actions.push_back(action);
    }

    fn store_done(&mut self, now: Time, ticket: u64, result: StoreResult) {
        let (why, news) = self.store.done(now, ticket, &result);
        self.actions.extend(news);
        match why {
            Some(Waiting::Put { reply, drop }) => self.put_done(now, reply, drop, result),
            Some(Waiting::Token { reply, answer }) => self.claim_done(now, reply, answer, &result),
            Some(Waiting::Mailbox(question)) => {
                let (rng, documents) = (&mut self.rng, &self.documents);
                match self.mailboxes.done(rng, now, documents, question, result) {
                    Ok(wishes) => self.fulfil(wishes),
                    Err(refusal) => {
                        self.drops.add(refusal.reason, 1);
                        // Held as every answer is. If no more can be held, the owner's next
                        // command asks again.
                        if let Some(answer) = refusal.answer {
                            let _ = self.replies.hold(&mut self.rng, now, answer);
                        }
                    }
                }
            }
            None => {}
        }
    }

    fn put_done(&mut self, now: Time, reply: Place, drop: DropId, result: StoreResult) {
        match result {
            Ok(StoreOutcome::Stored { mailbox, entry }) => {
                self.replies.settle(reply, ReceiptStatus::Stored);
                let wish = entry.and_then(|entry| self.mailboxes.stored(now, mailbox, drop, entry));
                self.fulfil(wish);
            }
            Ok(StoreOutcome::Refused) => self.replies.settle(reply, ReceiptStatus::Refused),
            Ok(StoreOutcome::Full) => self.replies.settle(reply, ReceiptStatus::Full),
            // A full disk is one way of being full.
            Err(error) if error.is_full() => self.replies.settle(reply, ReceiptStatus::Full),
            Ok(_) | Err(_) => {}
        }
    }

    fn claim_done(&mut self, now: Time, reply: Place, answer: TokenAnswer, result: &StoreResult) {
        let given = match result {
            Ok(StoreOutcome::Claimed { again: false }) => Some(Given::New),
            Ok(StoreOutcome::Claimed { again: true }) => Some(Given::Again),
            Ok(StoreOutcome::Spent) => None,
            // It is asked again, by the same request.
            Ok(_) | Err(_) => return,
        };
        let answer = self.tokens.claimed(now, answer, given);
        self.replies.settle_token(reply, answer);
    }

    fn run_timers(&mut self, now: Time) {
        self.actions.extend(self.store.expire(now));
        self.actions.extend(self.store.check(now));
        while let Some((to, frame)) = self.replies.answer(&mut self.rng, now, &self.documents) {
            self.actions.push_back(ProviderAction::Send { to, frame });
        }
        while let Some(wishes) = self.mailboxes.tick(&mut self.rng, now, &self.documents) {
            self.fulfil(wishes);
        }
        let epoch_byte = self.documents.params().epoch_at(now).byte();
        while let Some((handle, frame)) = self.entry.tick(&mut self.rng, now, epoch_byte) {
            self.actions
                .push_back(ProviderAction::ToClient { handle, frame });
        }
    }
}
