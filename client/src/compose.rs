//! From the user's text to sealed fragments that wait to be saved.

use rand::CryptoRng;
use shoal_proto::{MessageId, Time};

use crate::address::Address;
use crate::contacts::{Contacts, Plan};
use crate::error::SendError;
use crate::identity::Identity;
use crate::keys::PeerKey;
use crate::outbox::{Outbox, Prepared};
use crate::places::Places;
use crate::rows::Change;

/// A sealed message, and what it takes up until the host has answered: room in the outbox, and a
/// number of its receiver's.
pub(crate) struct Composed {
    prepared: Prepared,
    to: PeerKey,
    plan: Plan,
}

impl Composed {
    /// Cuts and seals a text, and what is to be saved for it.
    pub(crate) fn new<R: CryptoRng>(
        now: Time,
        rng: &mut R,
        (owner, outbox, contacts): (&Identity, &mut Outbox, &mut Contacts),
        places: &Places,
        to: &Address,
        text: &[u8],
    ) -> Result<(Self, Vec<Change>), SendError> {
        let mut message = [0; MessageId::BYTES];
        rng.fill_bytes(&mut message);
        let message = MessageId::new(message);
        let plan = contacts.plan(&to.key, rng);
        let answers = places.of_contact(plan.drop).ok_or(SendError::NoMailbox)?;
        let fragments = owner.cut(now, to, message, (&plan, &answers), text)?;
        let first = fragments.first().ok_or(SendError::Seal)?;
        let shape = first.shape;
        outbox.check_room(fragments.len())?;
        let seal = |fragment| owner.seal(rng, to, fragment);
        let parts = fragments.iter().map(seal).collect::<Result<_, _>>()?;
        let prepared = outbox.prepare(now, message, parts, shape.into())?;
        let mut changes = prepared.changes();
        changes.push(contacts.use_up(to.key, &plan));
        let composed = Self {
            prepared,
            to: to.key,
            plan,
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
        contacts.free_number(&self.to, self.plan.number);
    }
}
