//! Places as they concern the other parts: what is made is saved before it is written to, contacts are told
//! where this client is, and what they say of where they are moves what waits for them.

use rand::CryptoRng;
use shoal_packet::command::TokenAnswer;
use shoal_packet::fragment::Envelope;
use shoal_proto::{DropId, Time};

use super::{Client, Follow};
use crate::compose::Composed;
use crate::event::ClientAction;
use crate::keys::PeerKey;
use crate::note::Note;
use crate::places::Made;
use crate::rows::{BoxId, Change};
use crate::ticket::Got;

impl<R: CryptoRng> Client<R> {
    /// Makes the places that are missing, as far as it is known where they may be.
    pub(super) fn make_mailboxes(&mut self, now: Time) {
        let before = self.places.for_contacts();
        let document = self.traffic.document(now);
        let made = self
            .places
            .make(now, self.traffic.rng(), document.as_deref());
        for made in made {
            self.save_place(made);
        }
        self.tell_if_moved(now, before);
        self.prepare_tokens(now);
    }

    /// Makes ready to ask for the tokens that are missing.
    pub(super) fn prepare_tokens(&mut self, now: Time) {
        if let Some(document) = self.traffic.document(now) {
            self.places.see(&document);
        }
        let (changes, labour) = self.places.prepare(self.traffic.rng());
        self.desk.note(changes);
        if let Some(labour) = labour {
            self.desk.act(ClientAction::Work(labour));
        }
    }

    /// The issuer of a token has answered.
    pub(super) fn token_answered(&mut self, of: BoxId, answer: &TokenAnswer) {
        let (got, change) = self.places.answered(of, answer);
        self.desk.note(change);
        match got {
            Got::Token => self.counters.tokens += 1,
            Got::Forged => self.counters.tokens_forged += 1,
            Got::Nothing => {}
        }
    }

    /// Not written to before it is saved: who forgot its key could not read what comes.
    fn save_place(&mut self, made: Made) {
        let Made { changes, boxes: of } = made;
        self.desk.persist(changes, Follow::Mailboxes { of });
    }

    /// Contacts know another place than the present one.
    fn tell_if_moved(&mut self, now: Time, before: u32) {
        let newest = self.places.for_contacts();
        if newest != before {
            let places = &mut self.places;
            let changes = self.contacts.moved(newest, || places.tells(now));
            self.desk.note(changes);
        }
    }

    /// When a place is to be looked at, or a contact told, while that can be done.
    pub(super) fn moving_deadline(&self) -> Option<Time> {
        if !self.traffic.is_running() {
            return None;
        }
        let tells = self.contacts.next_to_tell().map(|(at, _)| at);
        let ends = self.invitations.deadline();
        let receipts = self.receipts.next().map(|(at, _)| at);
        let all = [self.places.deadline(), tells, ends, receipts];
        all.into_iter().flatten().min()
    }

    /// Does what is due with places, and tells who is to be told.
    pub(super) fn move_on(&mut self, now: Time) {
        if self.moving_deadline().is_none_or(|at| at > now) {
            return;
        }
        let Some(document) = self.traffic.document(now) else {
            return;
        };
        if self.places.deadline().is_some_and(|at| at <= now) {
            let before = self.places.for_contacts();
            let all_use = self.contacts.all_use(before);
            let moves = self
                .places
                .step(now, self.traffic.rng(), &document, all_use);
            self.desk.note(moves.changes);
            for made in moves.made {
                self.save_place(made);
                self.counters.places_made += 1;
            }
            self.tell_if_moved(now, before);
            self.prepare_tokens(now);
        }
        self.end_invitations(now);
        while let Some((_, contact)) = self.contacts.next_to_tell().filter(|(at, _)| *at <= now) {
            self.notify(now, contact);
        }
        while let Some((_, contact)) = self.receipts.next().filter(|(at, _)| *at <= now) {
            self.send_receipts(now, contact);
        }
    }

    /// Tells a contact where this client is.
    fn notify(&mut self, now: Time, to: PeerKey) {
        let again = self.places.tells_again(now);
        match self.compose(now, |now, rng, parts| {
            Composed::notice((now, again), rng, parts, to, &Note::default())
        }) {
            Ok((message, mut changes)) => {
                changes.extend(self.contacts.told(&to, again, true));
                let message = Box::new(message);
                self.desk.persist(changes, Follow::Notice { to, message });
            }
            // No room now.
            Err(_) => self.not_told(now, &to),
        }
    }

    /// A contact could not be told: some other time.
    pub(super) fn not_told(&mut self, now: Time, to: &PeerKey) {
        let again = self.places.tells(now);
        let change = self.contacts.told(to, again, false);
        self.desk.note(change);
    }

    /// Somebody has written to a mailbox: what is to be saved for what it says of where it is. All that is known of him,
    /// if it comes `again` because it could not be saved.
    pub(super) fn heard(
        &mut self,
        now: Time,
        (of, drop): (BoxId, DropId),
        (from, again): (&PeerKey, bool),
        envelope: &Envelope,
    ) -> Vec<Change> {
        // Who uses an invitation's drop id, at a place for all, does not know his own there.
        let own = self.contacts.drop(from);
        let uses_own = own.is_some_and(|own| self.places.is_of_contact(of, own, &drop));
        let place = self.places.known_to_contacts(of).filter(|_| uses_own);
        let newest = self.places.for_contacts();
        let mut changes = Vec::new();
        if again {
            changes.extend(self.contacts.saved(from));
            let via = self.contacts.via(from);
            changes.extend(via.and_then(|via| self.invitations.saved(via)));
        }
        let Some(news) = self.contacts.hear(from, place, newest, envelope) else {
            return changes;
        };
        changes.push(news.change);
        if let Some((place, name)) = news.left.and_then(|via| self.invitations.left(via, from)) {
            // Nobody else has it.
            changes.extend(self.places.revoke(now, place, name));
        }
        if let Some(sites) = news.moved {
            changes.extend(self.outbox.redirect(self.traffic.rng(), from, &sites));
        }
        changes
    }

    /// New invitations are to lead elsewhere.
    pub(super) fn renew_invitations(&mut self, now: Time) {
        let Some(document) = self.traffic.document(now) else {
            return;
        };
        if let Some(made) = self.places.renew(now, self.traffic.rng(), &document) {
            self.save_place(made);
            self.prepare_tokens(now);
        }
    }
}
