//! Invitations and contacts, as the local API has them.

use shoal_client::{
    ContactChange, ContactStatus, Invitation, InvitationStatus, Label, PeerKey, UserRequest,
};
use shoal_proto::Span;
use shoal_roles::client::SessionInput;

use super::daemon::Daemon;
use super::sending::{Answer, Wanted};
use crate::control::protocol::{
    Accept, ChangeOfContact, Contact, Contacts, Invite, OwnInvitation, OwnInvitations, Refusal,
    RefusalCode, Response,
};

/// The longest that an invitation is good.
const YEAR_MS: u64 = 365 * 86_400_000;

/// What is to be asked of the session, and what its answer is told as.
type Asks = (UserRequest, Wanted);

impl Daemon {
    pub(super) fn invite(&mut self, invite: &Invite, answer: Answer) {
        let asks = (|| {
            let Invite {
                once,
                life_ms,
                label: name,
            } = invite;
            if !(60_000..=YEAR_MS).contains(life_ms) {
                let words = "an invitation is good for a minute at least and a year at most";
                return Err(Refusal::new(RefusalCode::Invalid, words));
            }
            let what = UserRequest::Invite {
                once: *once,
                life: Span::from_millis(*life_ms),
                label: label(name)?,
            };
            Ok((what, Wanted::Nothing))
        })();
        self.ask(asks, answer);
    }

    pub(super) fn revoke(&mut self, id: &str, answer: Answer) {
        let asks = u32::from_str_radix(id, 16)
            .ok()
            .filter(|_| id.len() == ID_DIGITS);
        let asks = asks.map(|invitation| (UserRequest::Revoke { invitation }, Wanted::Nothing));
        let none = || Refusal::new(RefusalCode::NotFound, "there is no invitation of this id");
        self.ask(asks.ok_or_else(none), answer);
    }

    pub(super) fn accept(&mut self, accept: &Accept, answer: Answer) {
        let asks = (|| {
            let invalid = |words: String| Refusal::new(RefusalCode::Invalid, words);
            let invitation: Invitation = (accept.invitation.parse())
                .map_err(|error: shoal_client::InvitationError| invalid(error.to_string()))?;
            let wanted = Wanted::Contact(invitation.key);
            let what = UserRequest::Accept {
                invitation: Box::new(invitation),
                label: label(&accept.label)?,
                text: None,
            };
            Ok((what, wanted))
        })();
        self.ask(asks, answer);
    }

    /// One change after the other, each saved with what was before: if one can't be, those before it hold.
    pub(super) fn change_contact(
        &mut self,
        contact: &str,
        change: &ChangeOfContact,
        answer: Answer,
    ) {
        let asks = (|| {
            let contact = self.find_contact(contact)?;
            let mut changes = Vec::new();
            if let Some(name) = &change.label {
                changes.push(ContactChange::Label(label(name)?));
            }
            changes.extend(change.verified.map(ContactChange::Verified));
            changes.extend(change.blocked.map(ContactChange::Blocked));
            changes.extend(change.reads.map(ContactChange::Reads));
            Ok((contact, changes))
        })();
        let (contact, changes) = match asks {
            Ok(asks) => asks,
            Err(refusal) => return reply(answer, Err(refusal)),
        };
        let Some((last, first)) = changes.split_last() else {
            let told = self.told_contact(&contact);
            return reply(answer, told.map(Response::Contact));
        };
        for change in first.iter().cloned() {
            let what = UserRequest::Change { contact, change };
            let request = self.sending.ask(Wanted::Nothing, None);
            self.tell_session(SessionInput::Ask { request, what });
        }
        let change = last.clone();
        let what = UserRequest::Change { contact, change };
        self.ask(Ok((what, Wanted::Contact(contact))), answer);
    }

    pub(super) fn remove_contact(&mut self, contact: &str, answer: Answer) {
        let asks = self.find_contact(contact);
        let asks =
            asks.map(|contact| (UserRequest::Remove { contact }, Wanted::Forgotten(contact)));
        self.ask(asks, answer);
    }

    pub(super) fn renew_invitations(&mut self) -> Result<Response, Refusal> {
        let refused = |why: &str| Err(Refusal::new(RefusalCode::Invalid, why));
        if self.session.names_mailboxes() {
            return refused(
                "this client's mailboxes are where its configuration says, so invitations lead there: take other \
                 providers in `mailboxes`, or none",
            );
        }
        if !self.session.is_online() {
            return refused("this client is not online yet: wait with `shoal client wait`");
        }
        self.tell_session(SessionInput::RenewInvitations);
        Ok(Response::Done)
    }

    fn ask(&mut self, asks: Result<Asks, Refusal>, answer: Answer) {
        match asks {
            Ok((what, wanted)) => {
                let request = self.sending.ask(wanted, Some(answer));
                self.tell_session(SessionInput::Ask { request, what });
            }
            Err(refusal) => reply(answer, Err(refusal)),
        }
    }

    /// What was asked for is done.
    pub(super) fn done(&mut self, request: u64) {
        let Some((wanted, answer)) = self.sending.done(request) else {
            return;
        };
        // Who is blocked or removed now may be written to again before the next look.
        self.settle_files();
        let outcome = match wanted {
            Wanted::Nothing => Ok(Response::Done),
            Wanted::Contact(key) => self.told_contact(&key).map(Response::Contact),
            Wanted::Forgotten(key) => return self.forget_lines(&key, answer),
        };
        if let Some(answer) = answer {
            reply(answer, outcome);
        }
    }

    /// An invitation is on disk.
    pub(super) fn invited(&mut self, request: u64, invitation: &InvitationStatus) {
        if let Some((_, Some(answer))) = self.sending.done(request) {
            reply(answer, Ok(Response::Invited(told_invitation(invitation))));
        }
    }

    pub(super) fn invitations(&self) -> OwnInvitations {
        let all = self.session.client().invitations();
        OwnInvitations {
            invitations: all.iter().map(told_invitation).collect(),
        }
    }

    pub(super) fn contacts(&self) -> Contacts {
        let all = self.session.client().contacts();
        Contacts {
            contacts: all.iter().map(|contact| self.in_the_api(contact)).collect(),
        }
    }

    pub(super) fn told_contact(&self, key: &PeerKey) -> Result<Contact, Refusal> {
        let contact = self.session.client().contact(key);
        contact
            .map(|contact| self.in_the_api(&contact))
            .ok_or_else(|| Refusal::new(RefusalCode::NotFound, "there is no such contact"))
    }

    fn in_the_api(&self, contact: &ContactStatus) -> Contact {
        Contact {
            key: contact.key.to_string(),
            label: contact.label.to_string(),
            known: contact.known,
            verified: contact.verified,
            blocked: contact.blocked,
            reads: contact.reads,
            since_us: contact.since.as_micros(),
            needs_invitation: contact.needs_invitation,
            safety_number: self.session.client().safety_number(&contact.key),
        }
    }

    /// The contact of this key, or who is called so and nobody else is.
    pub(super) fn find_contact(&self, text: &str) -> Result<PeerKey, Refusal> {
        let all = self.session.client().contacts();
        let mut bytes = [0; 32];
        let whole = bs58::decode(text).onto(&mut bytes) == Ok(32);
        let asked = |contact: &&ContactStatus| whole && *contact.key.as_bytes() == bytes;
        if let Some(contact) = all.iter().find(asked) {
            return Ok(contact.key);
        }
        if text.to_ascii_lowercase().starts_with("shoal") {
            let words = "this is no contact: accept the invitation first (`shoal contact accept`)";
            return Err(Refusal::new(RefusalCode::NotFound, words));
        }
        let mut named = all
            .iter()
            .filter(|contact| !text.is_empty() && contact.label.as_str() == text.trim());
        match (named.next(), named.next()) {
            (Some(contact), None) => Ok(contact.key),
            (Some(_), Some(_)) => {
                let words =
                    "more than one contact is called so: say the key (`shoal contact list`)";
                Err(Refusal::new(RefusalCode::Invalid, words))
            }
            (None, _) => {
                let words = "there is no contact of this key or name: `shoal contact list` shows all, \
                             `shoal contact accept` adds one";
                Err(Refusal::new(RefusalCode::NotFound, words))
            }
        }
    }
}

/// Digits of an invitation's id.
const ID_DIGITS: usize = 8;

/// The id of an invitation in the API.
pub(super) fn invitation_id(number: u32) -> String {
    format!("{number:08x}")
}

fn told_invitation(status: &InvitationStatus) -> OwnInvitation {
    OwnInvitation {
        id: invitation_id(status.number),
        invitation: status.invitation.to_string(),
        label: status.label.to_string(),
        once: status.invitation.once,
        made_at_us: status.made.as_micros(),
        expires_at_us: status.invitation.expires.as_micros(),
        guest: status.guest.map(|guest| guest.to_string()),
        leaked: status.leaked,
    }
}

fn label(text: &str) -> Result<Label, Refusal> {
    text.parse().map_err(|error: shoal_client::LabelError| {
        Refusal::new(RefusalCode::Invalid, error.to_string())
    })
}

/// Who asked may be gone.
fn reply(answer: Answer, outcome: Result<Response, Refusal>) {
    drop(answer.send(outcome));
}
