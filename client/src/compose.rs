//! From the user's text to fragments that wait to be saved; and notices, which tell a contact where this
//! client is.

use rand::CryptoRng;
use shoal_packet::Sites;
use shoal_packet::fragment::{Copies, Fragment, Kind, Shape};
use shoal_proto::{MessageId, Span, Time};
use zeroize::Zeroizing;

use crate::contacts::{Contacts, Plan};
use crate::error::SendError;
use crate::identity::{Identity, deposit_id};
use crate::keys::PeerKey;
use crate::note::Note;
use crate::outbox::{Outbox, Prepared};
use crate::places::Places;
use crate::rows::{Change, OutboxRow};
use crate::sessions::Sessions;
use crate::sets::DropName;

/// A message, and what it takes up until the host has answered: room in the outbox, and, if it is a text, a
/// number of its receiver's.
pub(crate) struct Composed {
    prepared: Prepared,
    to: PeerKey,
    plan: Plan,
    kind: Kind,
}

/// What the user sends, or is told in a notice.
pub(crate) struct Text<'a> {
    pub(crate) to: PeerKey,
    pub(crate) text: &'a [u8],
    /// How long it is worth anything, if that is shorter than the network keeps it.
    pub(crate) life: Option<Span>,
    pub(crate) kind: Kind,
}

/// What messages are made of.
pub(crate) struct Parts<'a> {
    pub(crate) owner: &'a Identity,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) contacts: &'a mut Contacts,
    pub(crate) sessions: &'a mut Sessions,
    pub(crate) places: &'a Places,
}

impl Parts<'_> {
    fn plan<R: CryptoRng>(&self, rng: &mut R, to: &PeerKey) -> Result<(Plan, Sites), SendError> {
        let revoked = self.places.revoked(None);
        let revoked = |number| revoked.contains(&DropName::Contact(number));
        let plan = self.contacts.plan(to, revoked, rng)?;
        if plan.prekey.is_none() && !self.sessions.is_with(to) {
            return Err(SendError::NoSession);
        }
        let answers = self.places.of_contact(plan.drop);
        Ok((plan, answers.ok_or(SendError::NoMailbox)?))
    }
}

impl Composed {
    /// Cuts a text, and what is to be saved for it. `again` is when its receiver is to be told where this
    /// client is, should that not be enough.
    pub(crate) fn text<R: CryptoRng>(
        (now, again): (Time, Time),
        rng: &mut R,
        mut parts: Parts<'_>,
        message: &Text<'_>,
    ) -> Result<(Self, Vec<Change>), SendError> {
        let (plan, answers) = parts.plan(rng, &message.to)?;
        let id = deposit_id(rng);
        let expires = message.life.map(|life| now + life);
        let kind = message.kind;
        let text = (message.text, parts.outbox.copies_to(&plan.sites));
        let fragments = Identity::cut(now, (kind, id), expires, (&plan, &answers), text)?;
        let whom = (message.to, plan, kind);
        let (composed, mut changes) =
            Self::prepare(now, rng, &mut parts, whom, (id, expires, &fragments))?;
        changes.extend(parts.contacts.use_up(&message.to, &plan, kind, again));
        Ok((composed, changes))
    }

    /// A notice to a contact, which tells this, and what is to be saved for it.
    pub(crate) fn notice<R: CryptoRng>(
        (now, again): (Time, Time),
        rng: &mut R,
        parts: Parts<'_>,
        to: PeerKey,
        note: &Note,
    ) -> Result<(Self, Vec<Change>), SendError> {
        let note = note.encode();
        let message = Text {
            to,
            text: &note,
            life: None,
            kind: Kind::Notice,
        };
        Self::text((now, again), rng, parts, &message)
    }

    /// Something of keys, which a session has sealed, and what is to be saved for it.
    pub(crate) fn keys<R: CryptoRng>(
        now: Time,
        rng: &mut R,
        parts: Parts<'_>,
        to: PeerKey,
        content: Zeroizing<Vec<u8>>,
    ) -> Result<(Self, Vec<Change>), SendError> {
        let (plan, _) = parts.plan(rng, &to)?;
        let kind = Kind::Notice;
        let row = OutboxRow {
            site: plan.sites.first,
            other: plan.sites.second,
            deposit: deposit_id(rng),
            content,
        };
        let whole = (deposit_id(rng), to, kind);
        let shape = Shape::of(0, Copies::One).map_err(|_| SendError::Seal)?;
        let prepared = parts
            .outbox
            .prepare((now, None), whole, vec![row], shape.into());
        let changes = prepared.changes();
        let composed = Self {
            prepared,
            to,
            plan,
            kind,
        };
        Ok((composed, changes))
    }

    fn prepare<R: CryptoRng>(
        now: Time,
        rng: &mut R,
        with: &mut Parts<'_>,
        (to, plan, kind): (PeerKey, Plan, Kind),
        (message, expires, fragments): (MessageId, Option<Time>, &[Fragment]),
    ) -> Result<(Self, Vec<Change>), SendError> {
        let shape = fragments.first().ok_or(SendError::Seal)?.shape;
        with.outbox.check_room(fragments.len())?;
        let (mut parts, mut session) = (Vec::new(), None);
        let mut prekey = plan.prekey;
        for fragment in fragments {
            let bytes = fragment.encode().map_err(|_| SendError::Seal)?;
            // The session that the first one begins is that of all.
            let begins = prekey.take();
            let whom = (&to, begins.as_ref());
            let sealed = with.sessions.seal(with.owner.keys(), whom, &bytes);
            let (content, change) = sealed.ok_or(SendError::Seal)?;
            parts.push(Identity::address(rng, &plan.sites, fragment, content));
            // The last one has moved on over all.
            session = Some(change);
        }
        let whole = (message, to, kind);
        let prepared = with
            .outbox
            .prepare((now, expires), whole, parts, shape.into());
        let mut changes = prepared.changes();
        changes.extend(session);
        let composed = Self {
            prepared,
            to,
            plan,
            kind,
        };
        Ok((composed, changes))
    }

    /// Whom it is for.
    pub(crate) const fn to(&self) -> PeerKey {
        self.to
    }

    /// Whether it is a text of the user's.
    pub(crate) fn is_text(&self) -> bool {
        self.kind == Kind::Text
    }

    /// The number of its receiver's that it has, or that the next text has.
    pub(crate) const fn number(&self) -> u64 {
        self.plan.number
    }

    /// Its receiver has got a drop id that another contact has as well.
    pub(crate) fn shares_drop(&self) -> bool {
        self.plan.shared
    }

    /// It is on disk: it will be sent.
    pub(crate) fn accept(self, now: Time, outbox: &mut Outbox) -> MessageId {
        outbox.accept(now, self.prepared)
    }

    /// It could not be saved: it will not be sent.
    pub(crate) fn forget(&self, outbox: &mut Outbox, contacts: &mut Contacts) {
        outbox.forget(&self.prepared);
        if self.kind == Kind::Text {
            contacts.free_number(&self.to, self.plan.number);
        }
    }
}
