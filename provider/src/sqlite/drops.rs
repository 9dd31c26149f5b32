//! Drop ids: registered in sets, found by their first bytes, revoked.

use rusqlite::{OptionalExtension, Row, params};
use shoal_packet::command::{DropChange, DropSet, SetSize};
use shoal_proto::DropId;

use super::database::{CELLS, MOST_SETS, drop_id, failure, set_id, unsealed};
use super::work::Work;
use crate::seal::OwnKey;
use crate::{StoreError, StoreKey};

/// A drop id and the mailbox that registered it, as far as deciding needs them.
pub(super) struct DropRow {
    /// Its cell's.
    pub(super) id: i64,
    /// Something was put under it, or it is revoked.
    pub(super) is_used: bool,
    pub(super) mailbox: i64,
    pub(super) own: OwnKey,
    /// It is revoked, or its mailbox is closed.
    pub(super) refuses: bool,
    /// Entries that take up room.
    pub(super) occupied: u64,
    /// The same in the mailbox.
    pub(super) in_mailbox: u64,
    /// The number that the mailbox' next entry would have.
    pub(super) next_entry: i64,
}

/// What a name is found for: the set by its mailbox and secret, with the number of the id within it.
pub(super) fn named(store: &StoreKey, row: &Row<'_>) -> rusqlite::Result<DropId> {
    let own = own(store, row, 0)?;
    Ok(set_of(&own, row, 1, 2)?.id(own.owner(), number(row, 3)?))
}

/// A set as it is in a row: its secret and how many ids it has.
pub(super) fn set_of(
    own: &OwnKey,
    row: &Row<'_>,
    secret: usize,
    size: usize,
) -> rusqlite::Result<DropSet> {
    let size = match row.get::<_, i64>(size)? {
        64 => SetSize::Small,
        256 => SetSize::Large,
        other => return Err(rusqlite::Error::IntegralValueOutOfRange(size, other)),
    };
    let sealed = row.get_ref(secret)?.as_blob()?;
    let secret = own.open_secret(sealed).map_err(unsealed)?;
    Ok(DropSet::new(secret, size))
}

/// A number within a set.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u16> {
    let number = row.get::<_, i64>(column)?;
    u16::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// The own key of a mailbox, and its owner's.
pub(super) fn own(store: &StoreKey, row: &Row<'_>, column: usize) -> rusqlite::Result<OwnKey> {
    let sealed = row.get_ref(column)?.as_blob()?;
    store.open(sealed).map_err(unsealed)
}

impl Work<'_> {
    /// The mailbox that has registered a drop id, and what is known of the id.
    pub(super) fn drop_row(&self, drop: &DropId) -> Result<Option<DropRow>, StoreError> {
        let found = self
            .prepare(
                "SELECT sets.id, mailboxes.id, mailboxes.sealed, coalesce(drops.revoked, 0) OR mailboxes.closed, \
                 coalesce(drops.waiting + iif(drops.freed_step = ?2, drops.freed, 0), 0), \
                 mailboxes.waiting + iif(mailboxes.freed_step = ?2, mailboxes.freed, 0), \
                 drops.id IS NOT NULL, names.number, sets.secret, sets.size, mailboxes.next_entry \
                 FROM names JOIN sets ON sets.id = names.set_id \
                 JOIN cells AS mailboxes ON mailboxes.id = sets.mailbox \
                 LEFT JOIN cells AS drops ON drops.id = sets.mailbox + ((sets.id & 511) << 8) + names.number \
                 WHERE names.tag = ?1",
            )?
            .query_row(params![self.key().tag(drop), self.step()], |row| {
                let number = number(row, 7)?;
                let found = DropRow {
                    id: drop_id(row.get(0)?, number.into()),
                    is_used: row.get(6)?,
                    mailbox: row.get(1)?,
                    own: own(self.key(), row, 2)?,
                    refuses: row.get(3)?,
                    occupied: row.get::<_, i64>(4)?.cast_unsigned(),
                    in_mailbox: row.get::<_, i64>(5)?.cast_unsigned(),
                    next_entry: row.get(10)?,
                };
                let whole = set_of(&found.own, row, 8, 9)?.id(found.own.owner(), number);
                Ok((whole == *drop).then_some(found))
            })
            .optional()
            .map_err(failure)?;
        Ok(found.flatten())
    }

    /// Writes down that a drop id is revoked, or has one more entry that waits.
    pub(super) fn use_drop(&self, row: &DropRow, revoke: bool) -> Result<(), StoreError> {
        self.prepare(
            "INSERT INTO cells (id, revoked, waiting, remembered, freed, freed_step) \
             VALUES (?1, ?2, 1 - ?2, 0, 0, 0) \
             ON CONFLICT DO UPDATE SET revoked = max(revoked, ?2), waiting = waiting + 1 - ?2",
        )?
        .execute(params![row.id, revoke])
        .map_err(failure)?;
        Ok(())
    }

    /// Whether the change is done, or was.
    pub(super) fn change(&self, mailbox: i64, change: &DropChange) -> Result<bool, StoreError> {
        match change {
            DropChange::Register(set) => self.register(mailbox, set),
            DropChange::Revoke(drop) => self.revoke(mailbox, drop),
            DropChange::Close => self.close(mailbox),
        }
    }

    fn register(&self, mailbox: i64, set: &DropSet) -> Result<bool, StoreError> {
        if self.is_closed(mailbox)? {
            return Ok(false);
        }
        let own = self.own(mailbox)?;
        let secret = own.secret(set.secret());
        let known = self
            .prepare("SELECT size FROM sets WHERE mailbox = ?1 AND secret = ?2")?
            .query_row(params![mailbox, secret], |row| row.get::<_, i64>(0))
            .optional()
            .map_err(failure)?;
        if let Some(size) = known {
            return Ok(size == i64::from(set.size().count()));
        }
        let sets: i64 = self
            .prepare("SELECT sets FROM cells WHERE id = ?1")?
            .query_row([mailbox], |row| row.get(0))
            .map_err(failure)?;
        if sets.cast_unsigned() >= self.limits().sets_per_mailbox.min(MOST_SETS) {
            return Ok(false);
        }
        // None is removed before its mailbox is.
        let id = set_id(mailbox, sets + 1);
        self.prepare("INSERT INTO sets (id, mailbox, secret, size) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![id, mailbox, secret, set.size().count()])
            .map_err(failure)?;
        let mut insert =
            self.prepare("INSERT OR IGNORE INTO names (tag, set_id, number) VALUES (?1, ?2, ?3)")?;
        let mut tags: Vec<(i64, u16)> = set
            .ids(own.owner())
            .map(|(n, drop)| (self.key().tag(&drop), n))
            .collect();
        // In the order of the table.
        tags.sort_unstable();
        for (tag, number) in &tags {
            // Another id has the same eight bytes: whose owner looks for such secrets, or has
            // no luck once in a thousand million years, takes another secret.
            if insert.execute(params![tag, id, number]).map_err(failure)? == 0 {
                self.unregister(id, tags.iter().map(|(tag, _)| *tag))?;
                return Ok(false);
            }
        }
        self.run("UPDATE cells SET sets = sets + 1 WHERE id = ?1", mailbox)?;
        Ok(true)
    }

    fn unregister(&self, set: i64, tags: impl Iterator<Item = i64>) -> Result<(), StoreError> {
        let mut delete = self.prepare("DELETE FROM names WHERE tag = ?1 AND set_id = ?2")?;
        for tag in tags {
            delete.execute([tag, set]).map_err(failure)?;
        }
        self.run("DELETE FROM sets WHERE id = ?1", set)
    }

    fn revoke(&self, mailbox: i64, drop: &DropId) -> Result<bool, StoreError> {
        let Some(row) = self.drop_row(drop)?.filter(|row| row.mailbox == mailbox) else {
            return Ok(false);
        };
        self.use_drop(&row, true)?;
        Ok(true)
    }

    fn close(&self, mailbox: i64) -> Result<bool, StoreError> {
        self.run("UPDATE cells SET closed = 1 WHERE id = ?1", mailbox)?;
        Ok(true)
    }

    fn is_closed(&self, mailbox: i64) -> Result<bool, StoreError> {
        self.prepare("SELECT closed FROM cells WHERE id = ?1")?
            .query_row([mailbox], |row| row.get(0))
            .map_err(failure)
    }

    /// The own key of a mailbox.
    pub(super) fn own(&self, mailbox: i64) -> Result<OwnKey, StoreError> {
        self.prepare("SELECT sealed FROM cells WHERE id = ?1")?
            .query_row([mailbox], |row| own(self.key(), row, 0))
            .map_err(failure)
    }

    /// Removes a mailbox in which nothing waits, and of which no name is remembered, with its drop ids.
    pub(super) fn remove_mailbox(&self, mailbox: i64) -> Result<(), StoreError> {
        let own = self.own(mailbox)?;
        let sets: Vec<(i64, DropSet)> = self
            .prepare("SELECT id, secret, size FROM sets WHERE mailbox = ?1")?
            .query_map([mailbox], |row| Ok((row.get(0)?, set_of(&own, row, 1, 2)?)))
            .and_then(Iterator::collect)
            .map_err(failure)?;
        for (id, set) in sets {
            let tags = set.ids(own.owner());
            self.unregister(id, tags.map(|(_, drop)| self.key().tag(&drop)))?;
        }
        self.prepare("DELETE FROM owners WHERE key = ?1")?
            .execute([self.key().mailbox(own.owner())])
            .map_err(failure)?;
        self.prepare("DELETE FROM cells WHERE id >= ?1 AND id < ?2")?
            .execute([mailbox, mailbox.saturating_add(CELLS)])
            .map_err(failure)?;
        Ok(())
    }
}
