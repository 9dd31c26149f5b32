//! The tokens that open mailboxes: which are asked for, and what comes of it.

use rand::CryptoRng;
use shoal_packet::command::{TokenAnswer, TokenProof};
use shoal_proto::{NodeId, Time};
use shoal_topology::{Document, Member, TokenWork};

use super::Places;
use crate::mailbox::MailboxLink;
use crate::rows::{BoxId, Change};
use crate::ticket::{Asking, Got, Labour};

impl Places {
    /// What each provider asks for tokens, as the document says.
    pub(crate) fn see(&mut self, document: &Document) {
        for link in self.boxes.values_mut() {
            // Who is missing from it for a while asks for what it asked for.
            if let Some(member) = document.member(&link.provider()) {
                link.ticket_mut().see(member.tokens);
            }
        }
    }

    /// Whether this client can have a token of a provider, if that asks for one.
    pub(super) fn can_open(&self, member: &Member) -> bool {
        let open = |terms: &shoal_topology::TokenTerms| terms.for_anybody();
        member.tokens.as_ref().is_none_or(open) || self.codes.contains_key(&member.id)
    }

    /// Makes ready to ask for the tokens that are missing: what is to be saved, and what is to be worked for, one
    /// at a time.
    pub(crate) fn prepare<R: CryptoRng>(&mut self, rng: &mut R) -> (Vec<Change>, Option<Labour>) {
        let (mut changes, mut labour) = (Vec::new(), None);
        let mut busy = self.boxes.values().any(MailboxLink::is_worked_for);
        for link in self.boxes.values_mut().filter(|link| link.is_locked()) {
            let provider = link.provider();
            let code = self.codes.get(&provider).cloned();
            let ground = (self.network, provider);
            let (fresh, more) = link.ticket_mut().prepare(rng, ground, code, !busy);
            if fresh && link.is_kept() {
                changes.push(link.saved());
            }
            busy |= more.is_some();
            labour = labour.or(more);
        }
        (changes, labour)
    }

    /// The next question for a token that is due, and to whom.
    pub(crate) fn ask(&mut self, now: Time) -> Option<(BoxId, NodeId, Asking)> {
        let waits = (self.first_wait, self.pace.day().scale(1, 24));
        let mut links = self.boxes.values_mut();
        links.find_map(|link| {
            if !link.is_kept() || !link.is_locked() {
                return None;
            }
            let asking = link.ticket_mut().ask(now, waits)?;
            Some((link.id(), link.provider(), asking))
        })
    }

    /// Work was done.
    pub(crate) fn worked(&mut self, work: &TokenWork, proof: &TokenProof) {
        for link in self.boxes.values_mut() {
            link.ticket_mut().worked(work, proof);
        }
    }

    /// An issuer has answered; what is to be saved.
    pub(crate) fn answered(&mut self, of: BoxId, answer: &TokenAnswer) -> (Got, Option<Change>) {
        let Some(link) = self.boxes.get_mut(&of) else {
            return (Got::Nothing, None);
        };
        let got = link.ticket_mut().answered(answer);
        (got, (got == Got::Token).then(|| link.saved()))
    }

    /// Mailboxes from which nothing has come for a quarter of a day, though they were written to, may be gone:
    /// they are opened anew under their keys, so that what was given out goes on. What is to be saved.
    pub(crate) fn reopen(&mut self, now: Time, elsewhere: bool) -> Vec<Change> {
        let trouble = self.pace.trouble();
        let links = self.boxes.values_mut();
        let silent = links.filter_map(|link| {
            let reopened = link.reopen(now, trouble, elsewhere);
            reopened.then(|| link.saved())
        });
        silent.collect()
    }
}
