//! Which identities may ask, and which contact an identity is.

use shoal_client::PeerKey;

use super::super::auth::IdentityKey;
use super::rows::{self, Contact};
use super::{Batch, BoxDb, Outcome};
use crate::state::StateError;

/// An identity and the contact that it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::messagebox) struct Mapped {
    pub(in crate::messagebox) identity: IdentityKey,
    pub(in crate::messagebox) contact: PeerKey,
    pub(in crate::messagebox) by_user: bool,
}

impl BoxDb {
    /// The identities that may ask, and whether each was adopted and not named by the user.
    pub(in crate::messagebox) fn allowed(&self) -> Vec<(IdentityKey, bool)> {
        self.allowed
            .iter()
            .map(|(key, adopted)| (*key, *adopted))
            .collect()
    }

    /// Lets an identity ask. The first one is adopted if there is none: false if there is another one already, and
    /// nothing was changed then.
    pub(in crate::messagebox) fn allow(
        &mut self,
        identity: &IdentityKey,
        adopt: bool,
    ) -> Result<bool, StateError> {
        let limit = if adopt { 1 } else { self.bounds.identities };
        let known = self.allowed.get(identity).copied();
        if known.is_none() && self.allowed.len() >= limit {
            return Ok(false);
        }
        // Whom the user has named is not adopted any more.
        let adopted = known.unwrap_or(true) && adopt;
        self.rows.apply(&[rows::allowed(identity, adopted)])?;
        self.allowed.insert(*identity, adopted);
        Ok(true)
    }

    /// Lets an identity ask no more; false if it could not anyway. What is in its boxes stays.
    pub(in crate::messagebox) fn disallow(
        &mut self,
        identity: &IdentityKey,
    ) -> Result<bool, StateError> {
        if !self.allowed.contains_key(identity) {
            return Ok(false);
        }
        self.rows.apply(&[rows::not_allowed(identity)])?;
        self.allowed.remove(identity);
        Ok(true)
    }

    /// What identities map to.
    pub(in crate::messagebox) fn mapped(&self) -> Vec<Mapped> {
        let all = self.mapped.iter().map(|(identity, contact)| Mapped {
            identity: *identity,
            contact: contact.key,
            by_user: contact.by_user,
        });
        all.collect()
    }

    /// The contact that an identity maps to.
    pub(in crate::messagebox) fn contact_of(&self, of: &IdentityKey) -> Option<PeerKey> {
        self.mapped.get(of).map(|contact| contact.key)
    }

    /// The user says whose an identity is. False if there are too many.
    pub(in crate::messagebox) fn map(
        &mut self,
        identity: &IdentityKey,
        contact: &PeerKey,
    ) -> Result<bool, StateError> {
        let others = self.mapped.iter();
        let others = others.filter(|(other, it)| it.by_user && *other != identity);
        if others.count() >= self.bounds.identities {
            return Ok(false);
        }
        let contact = Contact {
            key: *contact,
            by_user: true,
        };
        self.rows.apply(&[rows::mapped(identity, &contact)])?;
        self.mapped.insert(*identity, contact);
        Ok(true)
    }

    /// An identity maps to nobody any more; false if it did not.
    pub(in crate::messagebox) fn unmap(
        &mut self,
        identity: &IdentityKey,
    ) -> Result<bool, StateError> {
        if !self.mapped.contains_key(identity) {
            return Ok(false);
        }
        self.rows.apply(&[rows::not_mapped(identity)])?;
        self.mapped.remove(identity);
        Ok(true)
    }

    /// Why a contact may not write so, if it may not. An identity that nobody has is the contact's from then on.
    pub(super) fn claim(
        &self,
        batch: &mut Batch,
        (recipient, sender): (&IdentityKey, &IdentityKey),
        contact: &PeerKey,
    ) -> Option<Outcome> {
        if self.allowed.contains_key(sender) {
            return Some(Outcome::NotTheirs);
        }
        // With nobody allowed yet, it waits for who will be.
        if !self.allowed.is_empty() && !self.allowed.contains_key(recipient) {
            return Some(Outcome::NobodyHere);
        }
        match self.mapped.get(sender) {
            Some(known) if known.key == *contact => return None,
            Some(_) => return Some(Outcome::NotTheirs),
            None => {}
        }
        let claimed = self.mapped.values();
        let claimed = claimed.filter(|it| it.key == *contact && !it.by_user);
        if claimed.count() >= self.bounds.claims {
            return Some(Outcome::NotTheirs);
        }
        let contact = Contact {
            key: *contact,
            by_user: false,
        };
        batch.changes.push(rows::mapped(sender, &contact));
        batch.claimed = Some((*sender, contact));
        None
    }
}
