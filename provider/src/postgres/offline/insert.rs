//! A page of a copy's rows: whose they are is looked up for all of them at once.

use std::collections::BTreeMap;

use shoal_proto::{DropId, MailboxId};
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use super::super::connection::Connection;
use super::super::failure::failure;
use super::super::load::{get, number, set};
use super::super::save::{self, Write};
use crate::offline::copy::CopyError;
use crate::offline::record::{DropRecord, EntryRecord, MailboxRecord, Record, SetRecord};
use crate::seal::OwnKey;
use crate::store::SpentToken;
use crate::times::micros;
use crate::window::Attended;
use crate::{StoreError, StoreKey};

pub(super) const OWNERS: &str = "SELECT id, sealed FROM mailboxes WHERE key = ANY($1::bytea[])";
/// Where drop ids are, and their rows, if there are any.
pub(super) const PLACES: &str = "
SELECT mailboxes.id, mailboxes.sealed, sets.secret, sets.size, names.number, names.set_id, drops.id
FROM names JOIN sets ON sets.id = names.set_id JOIN mailboxes ON mailboxes.id = sets.mailbox
LEFT JOIN drops ON drops.set_id = names.set_id AND drops.number = names.number
WHERE names.tag = ANY($1::bigint[])";

/// Where a drop id is.
struct Place {
    mailbox: i64,
    own: OwnKey,
    set: i64,
    number: u16,
    drop: Option<i64>,
}

/// Puts pages of rows in, all of a page of one kind.
pub(super) struct Insert<'a> {
    connection: &'a Connection,
    key: &'a mut StoreKey,
}

/// A row and its number in the copy, which becomes its id.
type Numbered<'a, T> = (i64, &'a T);

impl<'a> Insert<'a> {
    pub(super) const fn new(connection: &'a Connection, key: &'a mut StoreKey) -> Self {
        Self { connection, key }
    }

    pub(super) const fn key(&self) -> &StoreKey {
        self.key
    }

    pub(super) async fn page(&mut self, page: &[(i64, Record)]) -> Result<(), CopyError> {
        let (mut mailboxes, mut sets, mut drops) = (Vec::new(), Vec::new(), Vec::new());
        let (mut entries, mut spent) = (Vec::new(), Vec::new());
        for (row, record) in page {
            match record {
                Record::Mailbox(it) => mailboxes.push((*row, it)),
                Record::Set(it) => sets.push((*row, it)),
                Record::Drop(it) => drops.push((*row, it)),
                Record::Entry(it) => entries.push((*row, it)),
                Record::Spent(it) => spent.push(it),
            }
        }
        let mut writes = vec![self.mailboxes(&mailboxes), tokens(&spent)];
        if !sets.is_empty() {
            writes.push(self.sets(&sets).await?);
        }
        if !drops.is_empty() {
            writes.push(self.drops(&drops).await?);
        }
        if !entries.is_empty() {
            writes.extend(self.entries(&entries).await?);
        }
        let first = page.first().map_or(0, |(row, _)| *row);
        let last = page.last().map_or(0, |(row, _)| *row);
        for one in writes.iter().filter(|write| !write.is_empty()) {
            let of = format!("one of the rows {first} to {last}");
            write(self.connection, one, &of).await?;
        }
        Ok(())
    }

    fn mailboxes<'w>(&mut self, rows: &[Numbered<'w, MailboxRecord>]) -> Write<'w> {
        let owns: Vec<OwnKey> = (rows.iter())
            .map(|(_, row)| self.key.fresh(&row.key))
            .collect();
        let each = || rows.iter().map(|(_, row)| *row);
        let attended = |value: fn(&Attended) -> u64| {
            let of = move |row: &MailboxRecord| row.attended.as_ref().map(value);
            each().map(move |row| of(row).unwrap_or_default().cast_signed())
        };
        let generation = |row: &MailboxRecord| Some(row.attended?.generation.cast_signed());
        let nothing = || rows.iter().map(|_| 0_i64);
        Write::new(save::MAILBOXES, rows.len())
            .with(rows.iter().map(|(id, _)| *id))
            .with(each().map(|row| self.key.mailbox(&row.key).to_vec()))
            .with(owns.iter().map(|own| self.key.seal(own).to_vec()))
            .with(each().map(generation))
            .with(attended(|it| it.window.highest()))
            .with(attended(|it| it.window.bits()))
            .with(attended(|it| it.window.refused()))
            .with(attended(|it| it.stream))
            .with(each().map(|row| micros(row.used)))
            .with(each().map(|row| row.next_entry.number().cast_signed()))
            .with(nothing())
            .with(nothing())
            .with(each().map(|row| row.freed.parts().0.cast_signed()))
            .with(each().map(|row| row.freed.parts().1.cast_signed()))
            .with(nothing())
            .with(each().map(|row| micros(row.created)))
            .with(each().map(|row| row.closed))
    }

    async fn sets<'w>(&self, rows: &[Numbered<'w, SetRecord>]) -> Result<Write<'w>, CopyError> {
        let keys: Vec<Vec<u8>> = (rows.iter())
            .map(|(_, row)| self.key.mailbox(&row.mailbox).to_vec())
            .collect();
        let mut owners: BTreeMap<MailboxId, (i64, OwnKey)> = BTreeMap::new();
        for row in &self.connection.rows(OWNERS, &[&keys]).await? {
            let own = self.key.open(get(row, 1)?).map_err(StoreError::from)?;
            owners.insert(*own.owner(), (get(row, 0)?, own));
        }
        let (mut mailboxes, mut secrets) = (Vec::new(), Vec::new());
        for (row, set) in rows {
            let of_none = || CopyError::Contradiction(format!("row {row} is of no mailbox"));
            let (mailbox, own) = owners.get(&set.mailbox).ok_or_else(of_none)?;
            mailboxes.push(*mailbox);
            secrets.push(own.secret(set.set.secret()).to_vec());
        }
        Ok(Write::new(save::SETS, rows.len())
            .with(rows.iter().map(|(id, _)| *id))
            .with(mailboxes.into_iter())
            .with(secrets.into_iter())
            .with(
                rows.iter()
                    .map(|(_, row)| i64::from(row.set.size().count())),
            ))
    }

    /// Where these drop ids are. Each is whole, and of its mailbox.
    async fn places(&self, wanted: &[(i64, &MailboxId, &DropId)]) -> Result<Vec<Place>, CopyError> {
        let tags: Vec<i64> = (wanted.iter())
            .map(|(_, _, drop)| self.key.tag(drop))
            .collect();
        let mut found: BTreeMap<(MailboxId, DropId), Place> = BTreeMap::new();
        for row in &self.connection.rows(PLACES, &[&tags]).await? {
            let own = self.key.open(get(row, 1)?).map_err(StoreError::from)?;
            let number = number(row, 4)?;
            let drop = set(&own, row, 2)?.id(own.owner(), number);
            let place = Place {
                mailbox: get(row, 0)?,
                set: get(row, 5)?,
                number,
                drop: get(row, 6)?,
                own,
            };
            found.insert((*place.own.owner(), drop), place);
        }
        let place = |&(row, mailbox, drop): &(i64, &MailboxId, &DropId)| {
            let place = found.get(&(*mailbox, *drop));
            let place = place.map(|it| Place {
                own: it.own.clone(),
                ..*it
            });
            place.ok_or_else(|| {
                CopyError::Contradiction(format!("row {row} is of no set of its mailbox"))
            })
        };
        wanted.iter().map(place).collect()
    }

    async fn drops<'w>(&self, rows: &[Numbered<'w, DropRecord>]) -> Result<Write<'w>, CopyError> {
        let wanted: Vec<_> = (rows.iter())
            .map(|(row, it)| (*row, &it.mailbox, &it.key))
            .collect();
        let places = self.places(&wanted).await?;
        let each = || rows.iter().map(|(_, row)| *row);
        let nothing = || rows.iter().map(|_| 0_i64);
        Ok(Write::new(save::DROPS, rows.len())
            .with(rows.iter().map(|(id, _)| *id))
            .with(places.iter().map(|place| place.set))
            .with(places.iter().map(|place| i32::from(place.number)))
            .with(places.iter().map(|place| place.mailbox))
            .with(each().map(|row| row.revoked))
            .with(nothing())
            .with(nothing())
            .with(each().map(|row| row.freed.parts().0.cast_signed()))
            .with(each().map(|row| row.freed.parts().1.cast_signed())))
    }

    /// What waits, and the names of what was acknowledged.
    async fn entries<'w>(
        &self,
        rows: &[Numbered<'w, EntryRecord>],
    ) -> Result<[Write<'w>; 2], CopyError> {
        let wanted: Vec<_> = (rows.iter())
            .map(|(row, it)| (*row, &it.mailbox, &it.drop))
            .collect();
        let places = self.places(&wanted).await?;
        let mut all = Vec::with_capacity(rows.len());
        for ((row, entry), place) in rows.iter().zip(&places) {
            let unused = || {
                CopyError::Contradiction(format!("row {row} is under a drop id that was not used"))
            };
            all.push((*row, *entry, place, place.drop.ok_or_else(unused)?));
        }
        let (waiting, acknowledged): (Vec<_>, Vec<_>) =
            (all.into_iter()).partition(|(_, entry, ..)| entry.blob.is_some());
        let named = |sql, rows: &[(i64, &'w EntryRecord, &Place, i64)]| {
            Write::new(sql, rows.len())
                .with(rows.iter().map(|(id, ..)| *id))
                .with(rows.iter().map(|(_, _, place, _)| place.mailbox))
                .with((rows.iter()).map(|(_, it, ..)| it.entry.number().cast_signed()))
                .with(rows.iter().map(|(.., drop)| *drop))
                .with(
                    (rows.iter()).map(|(_, it, place, _)| place.own.message(&it.message).to_vec()),
                )
                .with(rows.iter().map(|(_, it, ..)| micros(it.expires)))
        };
        let blobs =
            (waiting.iter()).map(|(_, it, ..)| it.blob.as_ref().map(|it| &it.as_bytes()[..]));
        Ok([
            named(save::ENTRIES, &waiting).with(blobs),
            named(save::REMEMBERED, &acknowledged),
        ])
    }
}

fn tokens<'w>(rows: &[&'w SpentToken]) -> Write<'w> {
    Write::new(save::SPENT, rows.len())
        .with(rows.iter().map(|token| token.name.as_slice()))
        .with(rows.iter().map(|token| micros(token.expires)))
}

/// Writes rows of a copy, which the tables may not take.
pub(super) async fn write(
    connection: &Connection,
    write: &Write<'_>,
    what: &str,
) -> Result<(), CopyError> {
    let params: Vec<&(dyn ToSql + Sync)> =
        write.columns.iter().map(|column| &**column as _).collect();
    let statement = connection.statement(write.sql)?;
    let written = connection.client.execute(statement, &params).await;
    written.map(drop).map_err(refused(what))
}

/// A row of a copy that the tables do not take.
pub(super) fn refused(what: &str) -> impl Fn(Error) -> CopyError {
    move |error| match error.code() {
        // What a constraint forbids.
        Some(code) if code.code().starts_with("23") => {
            CopyError::Contradiction(format!("{what} is there twice"))
        }
        _ => CopyError::Store(failure(error)),
    }
}
