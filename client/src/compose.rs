//! From the user's text to fragments that wait to be saved; and notices, which tell a contact where this
//! client is.

use rand::CryptoRng;
use shoal_packet::fragment::{Fragment, Kind};
use shoal_proto::{MessageId, Span, Time};

use crate::address::Address;
use crate::contacts::{Contacts, Plan};
use crate::error::SendError;
use crate::identity::{Identity, deposit_id};
use crate::keys::PeerKey;
use crate::outbox::{Outbox, Prepared};
use crate::places::Places;
use crate::rows::Change;
use crate::sessions::Sessions;

/// A message, and what it takes up until the host has answered: room in the outbox, and, if it is a text, a
/// number of its receiver's.
pub(crate) struct Composed {
    prepared: Prepared,
    to: PeerKey,
    plan: Plan,
    kind: Kind,
}

/// What the user sends.
pub(crate) struct Text<'a> {
    pub(crate) to: &'a Address,
    pub(crate) text: &'a [u8],
    /// How long it is worth anything, if that is shorter than the network keeps it.
    pub(crate) life: Option<Span>,
}

impl Composed {
    /// Cuts a text, and what is to be saved for it. `again` is when its receiver is to be told where this
    /// client is, should that not be enough.
    pub(crate) fn text<R: CryptoRng>(
        (now, again): (Time, Time),
        rng: &mut R,
        (owner, outbox, contacts, sessions): (&Identity, &mut Outbox, &mut Contacts, &mut Sessions),
        places: &Places,
        message: &Text<'_>,
    ) -> Result<(Self, Vec<Change>), SendError> {
        let to = message.to;
        owner.check(to)?;
        if to.key == owner.keys().public() {
            return Err(SendError::Own);
        }
        if to.prekey.is_none() && !sessions.is_with(&to.key) {
            return Err(SendError::NoPrekey);
        }
        let plan = contacts.plan(&to.key, &to.sites, rng);
        let answers = places.of_contact(plan.drop).ok_or(SendError::NoMailbox)?;
        let id = deposit_id(rng);
        let expires = message.life.map(|life| now + life);
        let kind = Kind::Text;
        let text = (message.text, outbox.copies_to(&plan.sites));
        let fragments = Identity::cut(now, (kind, id), expires, (&plan, &answers), text)?;
        let whom = (to.key, to.prekey, plan, kind);
        let parts = (owner, outbox, sessions);
        let (composed, mut changes) =
            Self::prepare(now, rng, parts, whom, (id, expires, &fragments))?;
        let newest = places.for_contacts();
        changes.push(contacts.use_up(to.key, &plan, &to.sites, (again, newest)));
        Ok((composed, changes))
    }

    /// A notice to a contact, and what is to be saved for it.
    pub(crate) fn notice<R: CryptoRng>(
        now: Time,
        rng: &mut R,
        (owner, outbox, contacts, sessions): (&Identity, &mut Outbox, &Contacts, &mut Sessions),
        places: &Places,
        to: PeerKey,
    ) -> Result<(Self, Vec<Change>), SendError> {
        let plan = contacts.plan_notice(&to).ok_or(SendError::NoMailbox)?;
        let answers = places.of_contact(plan.drop).ok_or(SendError::NoMailbox)?;
        let (id, kind) = (deposit_id(rng), Kind::Notice);
        let nothing: (&[u8], _) = (&[], outbox.copies_to(&plan.sites));
        let fragments = Identity::cut(now, (kind, id), None, (&plan, &answers), nothing)?;
        let parts = (owner, outbox, sessions);
        Self::prepare(
            now,
            rng,
            parts,
            (to, None, plan, kind),
            (id, None, &fragments),
        )
    }

    fn prepare<R: CryptoRng>(
        now: Time,
        rng: &mut R,
        (owner, outbox, sessions): (&Identity, &mut Outbox, &mut Sessions),
        (to, prekey, plan, kind): (PeerKey, Option<PeerKey>, Plan, Kind),
        (message, expires, fragments): (MessageId, Option<Time>, &[Fragment]),
    ) -> Result<(Self, Vec<Change>), SendError> {
        let shape = fragments.first().ok_or(SendError::Seal)?.shape;
        outbox.check_room(fragments.len())?;
        let (mut parts, mut session) = (Vec::new(), None);
        for fragment in fragments {
            let bytes = fragment.encode().map_err(|_| SendError::Seal)?;
            let whom = (&to, prekey.as_ref());
            let sealed = sessions.seal(owner.keys(), whom, &bytes);
            let (content, change) = sealed.ok_or(SendError::Seal)?;
            parts.push(Identity::address(rng, &plan.sites, fragment, content));
            // The last one has moved on over all.
            session = Some(change);
        }
        let notice = kind == Kind::Notice;
        let whole = (message, to, notice);
        let prepared = outbox.prepare((now, expires), whole, parts, shape.into());
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
