//! What the user asks for: texts, invitations, contacts; and who comes by an invitation.

use rand::CryptoRng;
use shoal_packet::fragment::{Envelope, Kind};
use shoal_proto::{MessageId, NetworkHash, Time};

use zeroize::Zeroizing;

use super::{Client, Follow};
use crate::compose::{Composed, Parts, Text};
use crate::contacts::ContactChange;
use crate::error::SendError;
use crate::event::{Alarm, ClientEvent, ContactStatus, InvitationStatus, UserRequest};
use crate::invitation::{Invitation, SeenDocument};
use crate::invitations::Terms;
use crate::keys::PeerKey;
use crate::note::Note;
use crate::rows::{Change, ContactRow, InboxKey, Label};
use crate::safety::safety_number;
use crate::sessions::{Control, Tag};

/// What the user has asked for, while it is being saved.
pub(super) struct Asked {
    request: u64,
    what: What,
}

impl Asked {
    /// Whether it holds here though it could not be saved: it is not taken back.
    pub(super) const fn holds(&self) -> bool {
        matches!(self.what, What::Change)
    }
}

enum What {
    /// A text to a contact.
    Text(Composed),
    /// An invitation that is accepted: what whose it is was before, and the first message to him, which is a text or not.
    Accept {
        before: Option<Box<ContactRow>>,
        message: Composed,
    },
    /// The number of an invitation.
    Invite(u32),
    /// A change of what is here.
    Change,
}

impl<R: CryptoRng> Client<R> {
    /// Does what the user asks for.
    pub(super) fn ask(&mut self, now: Time, request: u64, what: UserRequest) {
        let done = match what {
            UserRequest::Send { to, text, life } => {
                let text = Text {
                    to,
                    text: &text,
                    life,
                    kind: Kind::Text,
                };
                self.text(now, request, &text)
            }
            UserRequest::SendData { to, data } => {
                let text = Text {
                    to,
                    text: &data,
                    life: None,
                    kind: Kind::Data,
                };
                self.text(now, request, &text)
            }
            UserRequest::Invite { once, life, label } => {
                self.invite(now, request, Terms { once, life, label })
            }
            UserRequest::Revoke { invitation } => self.revoke(now, request, invitation),
            UserRequest::Accept {
                invitation,
                label,
                text,
            } => self.accept(now, request, &invitation, (&label, text.as_deref())),
            UserRequest::Change { contact, change } => self.change(now, request, &contact, change),
            UserRequest::Remove { contact } => self.remove(now, request, &contact),
        };
        if let Err(reason) = done {
            self.desk.event(ClientEvent::Refused { request, reason });
        }
    }

    /// All contacts, those who came first first.
    #[must_use]
    pub fn contacts(&self) -> Vec<ContactStatus> {
        self.contacts.all(&self.sessions)
    }

    /// A contact, if it is one.
    #[must_use]
    pub fn contact(&self, contact: &PeerKey) -> Option<ContactStatus> {
        self.contacts.status(contact, &self.sessions)
    }

    /// All own invitations that may still be good, those made first first. What [`ClientEvent::Invited`] has not told of
    /// may be lost with this process.
    #[must_use]
    pub fn invitations(&self) -> Vec<InvitationStatus> {
        let numbers = self.invitations.numbers().into_iter();
        numbers
            .filter_map(|number| self.invitation(number))
            .collect()
    }

    /// An own invitation, if it is one.
    #[must_use]
    pub fn invitation(&self, number: u32) -> Option<InvitationStatus> {
        let own = (self.public_key(), self.identity.network());
        let sites = |place, name| self.places.sites(place, name);
        self.invitations.status(number, own, &self.sessions, sites)
    }

    /// What this client and a contact see if nobody stands between them.
    #[must_use]
    pub fn safety_number(&self, contact: &PeerKey) -> String {
        let network: &NetworkHash = self.identity.network();
        safety_number(network, &self.public_key(), contact)
    }

    /// Nothing is promised in the name of a client that another copy has taken over.
    fn check_own(&self) -> Result<(), SendError> {
        match self.places.is_superseded() {
            true => Err(SendError::Superseded),
            false => Ok(()),
        }
    }

    /// Makes a message.
    pub(super) fn compose<F>(
        &mut self,
        now: Time,
        make: F,
    ) -> Result<(Composed, Vec<Change>), SendError>
    where
        F: FnOnce(Time, &mut R, Parts<'_>) -> Result<(Composed, Vec<Change>), SendError>,
    {
        let parts = Parts {
            owner: &self.identity,
            outbox: &mut self.outbox,
            contacts: &mut self.contacts,
            sessions: &mut self.sessions,
            places: &self.places,
        };
        make(now, self.traffic.rng(), parts)
    }

    fn persist(&mut self, changes: Vec<Change>, request: u64, what: What) {
        let asked = Follow::Asked(Box::new(Asked { request, what }));
        self.desk.persist(changes, asked);
    }

    fn text(&mut self, now: Time, request: u64, text: &Text<'_>) -> Result<(), SendError> {
        self.check_own()?;
        let again = self.places.tells_again(now);
        let (message, changes) = self.compose(now, |now, rng, parts| {
            Composed::text((now, again), rng, parts, text)
        })?;
        self.tell_shared(&message);
        self.persist(changes, request, What::Text(message));
        self.tell_keys(now, &text.to);
        Ok(())
    }

    fn tell_shared(&mut self, message: &Composed) {
        if message.shares_drop() {
            self.desk.raise(Alarm::DropIdsShared);
        } else if !self.contacts.share_drops() {
            self.desk.settle(Alarm::DropIdsShared);
        }
    }

    fn invite(&mut self, now: Time, request: u64, terms: Terms) -> Result<(), SendError> {
        self.check_own()?;
        let place = self.places.for_invitations().ok_or(SendError::NoMailbox)?;
        let revoked = self.places.revoked(Some(place));
        let seen = self.traffic.document(now);
        let seen = seen.map(|document| SeenDocument::of(&document));
        let sessions = &mut self.sessions;
        let rng = self.traffic.rng();
        let made = (self.invitations).make(now, rng, sessions, (place, &revoked), (terms, seen));
        let (number, change) = made.ok_or(SendError::NoInvitationLeft)?;
        self.persist(vec![change], request, What::Invite(number));
        Ok(())
    }

    fn revoke(&mut self, now: Time, request: u64, number: u32) -> Result<(), SendError> {
        let changes = self.end_invitation(now, number);
        let changes = changes.ok_or(SendError::NoSuchInvitation)?;
        self.persist(changes, request, What::Change);
        Ok(())
    }

    /// Nobody comes by an invitation any more. What is to be saved.
    fn end_invitation(&mut self, now: Time, number: u32) -> Option<Vec<Change>> {
        let (place, name, change) = self.invitations.remove(number, &mut self.sessions)?;
        let mut changes = self.places.revoke(now, place, name);
        changes.push(change);
        Some(changes)
    }

    /// Does what is due with invitations: the drop ids of those that have ended take nothing more, and those that nothing
    /// can come by any more are forgotten.
    pub(super) fn end_invitations(&mut self, now: Time) {
        let mut changes = Vec::new();
        for (place, name) in self.invitations.end(now) {
            changes.extend(self.places.revoke(now, place, name));
        }
        let places = &self.places;
        for number in self.invitations.over(now, |place| places.is_there(place)) {
            let over = self.invitations.remove(number, &mut self.sessions);
            changes.extend(over.map(|(_, _, change)| change));
        }
        self.desk.note(changes);
    }

    fn accept(
        &mut self,
        now: Time,
        request: u64,
        invitation: &Invitation,
        (label, text): (&Label, Option<&[u8]>),
    ) -> Result<(), SendError> {
        self.check_own()?;
        let own = self.public_key();
        let view = self.traffic.view();
        invitation.check(now, self.identity.network(), &own, view)?;
        let contact = invitation.key;
        if !self.contacts.is_known(&contact) && !self.contacts.has_room() {
            return Err(SendError::ContactsFull);
        }
        let newest = self.places.for_contacts();
        let before = self.contacts.accept(now, invitation, label, newest);
        let again = self.places.tells_again(now);
        let made = self.compose(now, |now, rng, parts| match text {
            Some(text) => {
                let text = Text {
                    to: contact,
                    text,
                    life: None,
                    kind: Kind::Text,
                };
                Composed::text((now, again), rng, parts, &text)
            }
            None => Composed::notice((now, again), rng, parts, contact, &Note::default()),
        });
        let (message, changes) = match made {
            Ok(made) => made,
            Err(reason) => {
                self.contacts.take_back(&contact, before);
                return Err(reason);
            }
        };
        self.tell_shared(&message);
        let what = What::Accept {
            before: before.map(Box::new),
            message,
        };
        self.persist(changes, request, what);
        Ok(())
    }

    fn change(
        &mut self,
        now: Time,
        request: u64,
        contact: &PeerKey,
        change: ContactChange,
    ) -> Result<(), SendError> {
        let blocks = change == ContactChange::Blocked(true);
        let changed = self.contacts.change(contact, change);
        let (change, revoked) = changed.ok_or(SendError::UnknownContact)?;
        let mut changes = vec![change];
        if blocks {
            self.give_up(contact, &mut changes);
            changes.extend(self.shut_out(now, contact, revoked));
            changes.extend(self.receipts.forget(contact));
        }
        self.persist(changes, request, What::Change);
        Ok(())
    }

    fn remove(&mut self, now: Time, request: u64, contact: &PeerKey) -> Result<(), SendError> {
        // Of nobody, nothing is ended either.
        let removed = self.contacts.remove(contact);
        let (change, drop) = removed.ok_or(SendError::UnknownContact)?;
        let mut changes = self.shut_out(now, contact, None);
        changes.push(change);
        changes.extend(
            drop.map(|drop| self.places.revoke_contact(now, drop))
                .unwrap_or_default(),
        );
        changes.extend(self.sessions.forget(contact));
        self.give_up(contact, &mut changes);
        changes.extend(self.inbox.forget_sender(contact));
        changes.extend(self.receipts.forget(contact));
        self.persist(changes, request, What::Change);
        Ok(())
    }

    /// What is under way to a contact is given up.
    fn give_up(&mut self, contact: &PeerKey, changes: &mut Vec<Change>) {
        let (given_up, more) = self.outbox.give_up(contact);
        changes.extend(more);
        for message in given_up {
            self.counters.expired += 1;
            self.desk.event(ClientEvent::Expired { message });
        }
    }

    /// Nothing more is taken under the drop ids that a contact alone has. What is to be saved.
    fn shut_out(&mut self, now: Time, contact: &PeerKey, drop: Option<u16>) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some(drop) = drop {
            changes.extend(self.places.revoke_contact(now, drop));
        }
        for number in self.invitations.of_guest(contact) {
            changes.extend(self.end_invitation(now, number).unwrap_or_default());
        }
        changes
    }

    /// Somebody comes by an own invitation, if he does. What is to be saved.
    pub(super) fn welcome(
        &mut self,
        now: Time,
        guest: Option<u32>,
        from: &PeerKey,
        envelope: &Envelope,
    ) -> Vec<Change> {
        let Some(invitation) = guest else {
            return Vec::new();
        };
        let once = self.invitations.is_for_one(invitation);
        let newest = self.places.for_contacts();
        let tell = once.then(|| self.places.tells(now));
        let label = match once {
            true => self.invitations.label(invitation),
            false => Label::default(),
        };
        let of = (invitation, label);
        let welcome = (self.contacts).welcome(now, *from, of, (newest, tell), envelope);
        let mut changes = vec![welcome];
        let patience = self.places.day();
        changes.extend(self.invitations.let_in(now, invitation, *from, patience));
        let contact = *from;
        self.desk.event(ClientEvent::Met {
            contact,
            invitation,
        });
        changes
    }

    /// A contact has begun a session anew, by an own invitation: it may have lost what it knew, and if the invitation is for
    /// one person, that is who came. What is to be saved.
    pub(super) fn met_again(
        &mut self,
        now: Time,
        invitation: Option<u32>,
        from: &PeerKey,
    ) -> Vec<Change> {
        let Some(number) = invitation else {
            return Vec::new();
        };
        let mut changes = Vec::new();
        let patience = self.places.day();
        let alone = self.invitations.is_for_one(number);
        if self.invitations.is_unused(number) {
            changes.extend(self.invitations.let_in(now, number, *from, patience));
        }
        changes.extend(self.contacts.met_again(from, alone));
        changes
    }

    /// The user has a message: it is here no more, and who wrote it is told that, if both want it.
    pub(super) fn read(&mut self, now: Time, message: &MessageId) {
        let writer = self.inbox.writer_of(message);
        let mut changes = self.inbox.read(message);
        if let Some(writer) = writer.filter(|writer| self.contacts.tells_reads(writer)) {
            let with = (now, self.traffic.rng());
            changes.extend(self.receipts.owe(with, &writer, *message, true));
        }
        self.desk.settle(Alarm::ShareFull);
        self.desk.note(changes);
    }

    /// A whole message is on disk: who wrote it is told that, should he be told such things.
    pub(super) fn tell_delivered(&mut self, now: Time, whole: Option<InboxKey>) {
        let told = |key: &InboxKey| {
            self.contacts.is_told_of_deliveries(&key.sender) && self.inbox.is_text(key)
        };
        let told = whole.filter(told);
        if let Some(InboxKey { sender, message }) = told {
            let with = (now, self.traffic.rng());
            let change = self.receipts.owe(with, &sender, message, false);
            self.desk.note(change);
        }
    }

    /// Tells a contact of its messages.
    pub(super) fn send_receipts(&mut self, now: Time, to: PeerKey) {
        let with = (now, self.traffic.rng());
        let (note, mut changes) = self.receipts.take(with, &to);
        let again = self.places.tells_again(now);
        let made = self.compose(now, |now, rng, parts| {
            Composed::notice((now, again), rng, parts, to, &note)
        });
        match made {
            Ok((message, more)) => {
                changes.extend(more);
                let message = Box::new(message);
                self.desk
                    .persist(changes, Follow::Receipts { to, message, note });
                self.tell_keys(now, &to);
            }
            // Blocked meanwhile, or gone: it is told nothing.
            Err(SendError::Blocked | SendError::UnknownContact | SendError::NoSession) => {
                self.desk.note(changes);
            }
            // No room now.
            Err(_) => {
                let with = (now, self.traffic.rng());
                let changes = self.receipts.put_back(with, &to, &note);
                self.desk.note(changes);
            }
        }
    }

    /// A contact tells of messages to it.
    pub(super) fn told(&mut self, from: &PeerKey, note: &Note) {
        let reads = self.contacts.tells_reads(from);
        let delivered = note.delivered.iter().map(|message| (message, false));
        let all = delivered.chain(note.read.iter().map(|message| (message, reads)));
        for (message, read) in all {
            if let Some(changes) = self.outbox.delivered(from, message, read) {
                self.desk.note(changes);
                let message = *message;
                self.desk.event(ClientEvent::Delivered { message, read });
            }
        }
    }

    /// Something is sent to a contact: what is to be told of keys goes with it. Never for itself, or because something came:
    /// whoever could bring that about would learn when we are online. Should there be no room, it is some other time.
    fn tell_keys(&mut self, now: Time, to: &PeerKey) {
        if !self.contacts.is_known(to) || self.outbox.check_room(1).is_err() {
            return;
        }
        let own = self.public_key();
        let with = (now, self.traffic.rng());
        let Some((content, change)) = self.sessions.tell_keys(with, &own, to) else {
            return;
        };
        let mut changes = vec![change];
        match self.keys(now, to, content, &mut changes) {
            Some(message) => self.desk.persist(changes, Follow::Keys { message }),
            None => self.desk.note(changes),
        }
    }

    /// A contact tells something of keys. What is to be saved.
    pub(super) fn control(
        &mut self,
        now: Time,
        from: &PeerKey,
        told: (&Tag, &Control),
    ) -> Option<Change> {
        if !self.contacts.is_known(from) {
            return None;
        }
        let own = self.public_key();
        let with = (now, self.traffic.rng());
        self.sessions.control(with, &own, told)
    }

    /// What was sealed of keys, as a message; it is to be saved together with the session that has sealed it.
    fn keys(
        &mut self,
        now: Time,
        to: &PeerKey,
        content: Zeroizing<Vec<u8>>,
        changes: &mut Vec<Change>,
    ) -> Option<Box<Composed>> {
        let message = self.compose(now, |now, rng, parts| {
            Composed::keys(now, rng, parts, *to, content)
        });
        let (message, more) = message.ok()?;
        changes.extend(more);
        Some(Box::new(message))
    }

    /// Another one came with an invitation that was for one person; told of the first time.
    pub(super) fn leaked(&mut self, now: Time, invitation: u32) {
        let Some((place, name, contact, change)) = self.invitations.leaked(invitation) else {
            return;
        };
        let mut changes = self.places.revoke(now, place, name);
        changes.push(change);
        self.desk.note(changes);
        self.desk.event(ClientEvent::Leaked {
            invitation,
            contact,
        });
    }

    /// What the user has asked for is on disk.
    pub(super) fn done(&mut self, now: Time, asked: Asked) {
        let Asked { request, what } = asked;
        let event = match what {
            What::Text(message) => self.accepted(now, request, message),
            What::Accept { message, .. } if message.is_text() => {
                self.accepted(now, request, message)
            }
            What::Accept { message, .. } => {
                message.accept(now, &mut self.outbox);
                ClientEvent::Done { request }
            }
            What::Invite(number) => match self.invitation(number) {
                Some(invitation) => ClientEvent::Invited {
                    request,
                    invitation: Box::new(invitation),
                },
                // It was revoked meanwhile.
                None => ClientEvent::Refused {
                    request,
                    reason: SendError::NoSuchInvitation,
                },
            },
            What::Change => ClientEvent::Done { request },
        };
        self.desk.event(event);
    }

    fn accepted(&mut self, now: Time, request: u64, message: Composed) -> ClientEvent {
        self.counters.accepted += 1;
        let message = message.accept(now, &mut self.outbox);
        ClientEvent::Accepted { request, message }
    }

    /// It could not be saved.
    pub(super) fn not_done(&mut self, asked: Asked, reason: String) {
        let Asked { request, what } = asked;
        match what {
            What::Text(message) => message.forget(&mut self.outbox, &mut self.contacts),
            What::Accept { before, message } => {
                let (contact, number) = (message.to(), message.number());
                message.forget(&mut self.outbox, &mut self.contacts);
                // What begins the session is there for the next try; but what was written since stays written.
                if self.contacts.number(&contact) == Some(number) {
                    self.contacts.take_back(&contact, before.map(|row| *row));
                }
            }
            What::Invite(number) => {
                let _ = self.invitations.remove(number, &mut self.sessions);
            }
            // It holds here, and is saved with what is saved next; the user is told that it may not outlive the process.
            What::Change => {}
        }
        let reason = SendError::Storage(reason);
        self.desk.event(ClientEvent::Refused { request, reason });
    }
}
