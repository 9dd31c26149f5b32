//! Which identities may ask, and which contact an identity is.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use shoal_client::PeerKey;

use super::super::auth::IdentityKey;
use super::{BoxDb, Outcome, identity, strange};
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
    pub(in crate::messagebox) fn allowed(&self) -> Result<Vec<(IdentityKey, bool)>, StateError> {
        let query = "SELECT identity, adopted FROM allowed ORDER BY identity";
        self.all(query, [], |row| Ok((identity(row, 0)?, row.get(1)?)))
    }

    /// Lets an identity ask. The first one is adopted if there is none: false if there is another one already, and
    /// nothing was changed then.
    pub(in crate::messagebox) fn allow(
        &mut self,
        identity: &IdentityKey,
        adopt: bool,
    ) -> Result<bool, StateError> {
        let change = |connection: &Connection, most: i64| {
            let there: i64 =
                connection.query_row("SELECT COUNT(*) FROM allowed", [], |row| row.get(0))?;
            let limit = if adopt { 1 } else { most };
            let known = "SELECT 1 FROM allowed WHERE identity = ?1";
            let known = connection
                .query_row(known, [identity.as_bytes()], |_| Ok(()))
                .optional()?;
            if known.is_none() && there >= limit {
                return Ok(false);
            }
            let insert = "INSERT INTO allowed VALUES (?1, ?2)
                ON CONFLICT (identity) DO UPDATE SET adopted = adopted AND excluded.adopted";
            connection.execute(insert, params![identity.as_bytes(), adopt])?;
            Ok(true)
        };
        change(&self.connection, self.bounds.identities).map_err(|error| self.explain(error))
    }

    /// Lets an identity ask no more; false if it could not anyway. What is in its boxes stays.
    pub(in crate::messagebox) fn disallow(
        &mut self,
        identity: &IdentityKey,
    ) -> Result<bool, StateError> {
        let gone = self.connection.execute(
            "DELETE FROM allowed WHERE identity = ?1",
            [identity.as_bytes()],
        );
        gone.map(|gone| gone > 0)
            .map_err(|error| self.explain(error))
    }

    /// What identities map to.
    pub(in crate::messagebox) fn mapped(&self) -> Result<Vec<Mapped>, StateError> {
        self.all(
            "SELECT identity, contact, by_user FROM mapped ORDER BY identity",
            [],
            mapped,
        )
    }

    /// The contact that an identity maps to.
    pub(in crate::messagebox) fn contact_of(
        &self,
        of: &IdentityKey,
    ) -> Result<Option<PeerKey>, StateError> {
        let query = "SELECT identity, contact, by_user FROM mapped WHERE identity = ?1";
        let found = self
            .connection
            .query_row(query, [of.as_bytes()], mapped)
            .optional();
        Ok(found
            .map_err(|error| self.explain(error))?
            .map(|it| it.contact))
    }

    /// The user says whose an identity is. False if there are too many.
    pub(in crate::messagebox) fn map(
        &mut self,
        identity: &IdentityKey,
        contact: &PeerKey,
    ) -> Result<bool, StateError> {
        let change = |connection: &Connection, most: i64| {
            let query = "SELECT COUNT(*) FROM mapped WHERE by_user AND identity <> ?1";
            let there: i64 =
                connection.query_row(query, [identity.as_bytes()], |row| row.get(0))?;
            if there >= most {
                return Ok(false);
            }
            let insert = "INSERT OR REPLACE INTO mapped VALUES (?1, ?2, 1)";
            connection.execute(insert, params![identity.as_bytes(), contact.as_bytes()])?;
            Ok(true)
        };
        change(&self.connection, self.bounds.identities).map_err(|error| self.explain(error))
    }

    /// An identity maps to nobody any more; false if it did not.
    pub(in crate::messagebox) fn unmap(
        &mut self,
        identity: &IdentityKey,
    ) -> Result<bool, StateError> {
        let gone = self.connection.execute(
            "DELETE FROM mapped WHERE identity = ?1",
            [identity.as_bytes()],
        );
        gone.map(|gone| gone > 0)
            .map_err(|error| self.explain(error))
    }

    fn all<T>(
        &self,
        query: &str,
        values: impl rusqlite::Params,
        row: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StateError> {
        let read = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.connection.prepare_cached(query)?;
            statement.query_map(values, row)?.collect()
        };
        read().map_err(|error| self.explain(error))
    }
}

/// Why a contact may not write so, if it may not. An identity that nobody has is the contact's from then on.
pub(super) fn claim(
    transaction: &Transaction<'_>,
    recipient: &IdentityKey,
    sender: &IdentityKey,
    contact: &PeerKey,
    most: i64,
) -> rusqlite::Result<Option<Outcome>> {
    let (any, to_own, by_own): (bool, bool, bool) = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM allowed), EXISTS (SELECT 1 FROM allowed WHERE identity = ?1),
            EXISTS (SELECT 1 FROM allowed WHERE identity = ?2)",
        params![recipient.as_bytes(), sender.as_bytes()],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    if by_own {
        return Ok(Some(Outcome::NotTheirs));
    }
    // With nobody allowed yet, it waits for who will be.
    if any && !to_own {
        return Ok(Some(Outcome::NobodyHere));
    }
    let query = "SELECT identity, contact, by_user FROM mapped WHERE identity = ?1";
    let known = transaction
        .query_row(query, [sender.as_bytes()], mapped)
        .optional()?;
    match known {
        Some(known) if known.contact == *contact => return Ok(None),
        Some(_) => return Ok(Some(Outcome::NotTheirs)),
        None => {}
    }
    let query = "SELECT COUNT(*) FROM mapped WHERE contact = ?1 AND NOT by_user";
    let claimed: i64 = transaction.query_row(query, [contact.as_bytes()], |row| row.get(0))?;
    if claimed >= most {
        return Ok(Some(Outcome::NotTheirs));
    }
    let insert = "INSERT INTO mapped VALUES (?1, ?2, 0)";
    transaction.execute(insert, params![sender.as_bytes(), contact.as_bytes()])?;
    Ok(None)
}

fn mapped(row: &rusqlite::Row<'_>) -> rusqlite::Result<Mapped> {
    let contact: [u8; 32] = row.get(1)?;
    Ok(Mapped {
        identity: identity(row, 0)?,
        contact: PeerKey::parse(contact).map_err(|_| strange(1))?,
        by_user: row.get(2)?,
    })
}
