//! What owners ask for: which drop ids have something, and what.

use futures::future::try_join_all;
use shoal_packet::command::Blob;
use shoal_proto::{DropId, MailboxId, Time};

use super::connection::Connection;
use super::failure::never_written;
use super::load::{get, number, set};
use super::session::Session;
use crate::inventory;
use crate::store::{EntryId, StoreOp, StoreOutcome, StoredEntry};
use crate::{Due, StoreError, StoreKey};

const WAITING: &str = "
SELECT sets.secret, sets.size, drops.number, newest.entry, mailboxes.sealed FROM mailboxes
JOIN drops ON drops.mailbox = mailboxes.id
JOIN sets ON sets.id = drops.set_id, LATERAL (
    SELECT entry FROM entries WHERE drop_id + 0 = drops.id AND expires_us > $2 ORDER BY entry DESC LIMIT 1
) AS newest
WHERE mailboxes.key = $1 AND drops.waiting > 0";
const LIST: &str = "
SELECT sets.secret, sets.size, names.number, found.entry, found.message, found.blob, mailboxes.sealed
FROM names
JOIN sets ON sets.id = names.set_id
JOIN mailboxes ON mailboxes.id = sets.mailbox
JOIN drops ON drops.set_id = names.set_id AND drops.number = names.number, LATERAL (
    SELECT * FROM entries WHERE drop_id + 0 = drops.id AND entry > $3 AND expires_us > $4
    ORDER BY entry LIMIT $5
) AS found
WHERE names.tag = $1 AND mailboxes.key = $2 ORDER BY found.entry";

/// What waits and what was acknowledged have an index by expiry each.
pub(super) const DUE: &str = "
SELECT due.entries, (SELECT count(*) FROM remembered WHERE expires_us BETWEEN $1 AND $2), due.mailboxes, least(
    (SELECT min(expires_us) FROM entries WHERE expires_us > $2),
    (SELECT min(expires_us) FROM remembered WHERE expires_us > $2)
) FROM (
    SELECT count(*) AS entries, count(DISTINCT mailbox) AS mailboxes FROM entries WHERE expires_us BETWEEN $1 AND $2
) AS due";

pub(super) const STATEMENTS: [&str; 3] = [WAITING, LIST, DUE];

/// Answers these, in one round trip.
pub(super) async fn read(
    session: &Session,
    store: &StoreKey,
    now: i64,
    ops: &[StoreOp],
) -> Result<Vec<StoreOutcome>, StoreError> {
    try_join_all(ops.iter().map(|op| answer(session, store, now, op))).await
}

async fn answer(
    session: &Session,
    store: &StoreKey,
    now: i64,
    op: &StoreOp,
) -> Result<StoreOutcome, StoreError> {
    match op {
        StoreOp::Waiting { mailbox } => waiting(session, store, now, mailbox).await,
        StoreOp::List {
            mailbox,
            drop,
            after,
            limit,
        } => {
            let entries = list(session, store, now, (mailbox, drop), *after, *limit).await;
            entries.map(StoreOutcome::Entries)
        }
        StoreOp::Inventory { from, until } => {
            let due = due(session.connection(), *from, *until).await;
            due.map(StoreOutcome::Inventory)
        }
        _ => Err(StoreError::Bug("not a question".to_owned())),
    }
}

/// How much expires in these hours.
pub(super) async fn due(
    connection: &Connection,
    from: Time,
    until: Option<Time>,
) -> Result<Due, StoreError> {
    let (first, last) = inventory::range(from, until);
    let rows = connection.rows(DUE, &[&first, &last]).await?;
    let nothing = || StoreError::Bug("counts without a row".to_owned());
    let row = rows.first().ok_or_else(nothing)?;
    let number = |column| get::<i64>(row, column).map(i64::cast_unsigned);
    Ok(Due {
        entries: number(0)?,
        remembered: number(1)?,
        mailboxes: number(2)?,
        next: get::<Option<i64>>(row, 3)?.map(inventory::hour),
    })
}

async fn waiting(
    session: &Session,
    store: &StoreKey,
    now: i64,
    mailbox: &MailboxId,
) -> Result<StoreOutcome, StoreError> {
    let key = store.mailbox(mailbox).to_vec();
    let rows = session.rows(WAITING, &[&key, &now]).await?;
    let drops = rows.iter().map(|row| {
        let own = store.open(get(row, 4)?)?;
        let drop = set(&own, row, 0)?.id(mailbox, number(row, 2)?);
        let newest: i64 = get(row, 3)?;
        Ok((drop, EntryId::new(newest.cast_unsigned())))
    });
    let mut drops: Vec<(DropId, EntryId)> = drops.collect::<Result<_, StoreError>>()?;
    drops.sort_unstable();
    Ok(StoreOutcome::Waiting(drops))
}

async fn list(
    session: &Session,
    store: &StoreKey,
    now: i64,
    (mailbox, drop): (&MailboxId, &DropId),
    after: EntryId,
    limit: u32,
) -> Result<Vec<StoredEntry>, StoreError> {
    let key = store.mailbox(mailbox).to_vec();
    let after = i64::try_from(after.number()).unwrap_or(i64::MAX);
    let (tag, limit) = (store.tag(drop), i64::from(limit));
    let rows = session
        .rows(LIST, &[&tag, &key, &after, &now, &limit])
        .await?;
    // All are under one id of one mailbox, which may only have the tag of the one that was asked for.
    let Some(first) = rows.first() else {
        return Ok(Vec::new());
    };
    let own = store.open(get(first, 6)?)?;
    if set(&own, first, 0)?.id(mailbox, number(first, 2)?) != *drop {
        return Ok(Vec::new());
    }
    rows.iter()
        .map(|row| {
            let blob = Blob::from_bytes(get(row, 5)?).map_err(never_written)?;
            Ok(StoredEntry {
                entry: EntryId::new(get::<i64>(row, 3)?.cast_unsigned()),
                message: own.open_message(get(row, 4)?)?,
                blob: Box::new(blob),
            })
        })
        .collect()
}
