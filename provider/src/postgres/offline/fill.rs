//! Rows into tables that are empty, in one transaction.

use tokio_postgres::Client;

use super::super::connection::Connection;
use super::super::failure::failure;
use super::super::load::{get, set};
use super::super::save::{self, Write};
use super::cursor::{Cursor, PAGE, one};
use super::insert::{self, Insert};
use super::verify;
use crate::offline::copy::CopyError;
use crate::offline::record::Record;
use crate::{StoreError, StoreKey};

/// Whoever had the mailboxes before can't go on, as after a node's takeover; if nothing is filled, he can.
const BEGIN: &str =
    "BEGIN; UPDATE meta SET fence = fence + 1; UPDATE turns SET writer = writer + 1";
const HELD: &str = "SELECT EXISTS (SELECT 1 FROM mailboxes) OR EXISTS (SELECT 1 FROM sets) OR EXISTS (SELECT 1 FROM names) \
    OR EXISTS (SELECT 1 FROM drops) OR EXISTS (SELECT 1 FROM entries) OR EXISTS (SELECT 1 FROM remembered) \
    OR EXISTS (SELECT 1 FROM spent)";
/// Names go to random places of their index, which is made at once when all are there.
const WITHOUT_NAMES: &str = "ALTER TABLE names DROP CONSTRAINT names_pkey";
const WITH_NAMES: &str = "ALTER TABLE names ADD CONSTRAINT names_pkey PRIMARY KEY (tag)";
const SETS: &str = "SELECT sets.id, sealed, secret, size FROM sets JOIN mailboxes ON mailboxes.id = sets.mailbox \
    ORDER BY sets.id";
/// The server knows nothing yet of tables that it is to join.
const ANALYSE: &str =
    "ANALYZE mailboxes; ANALYZE sets; ANALYZE drops; ANALYZE entries; ANALYZE remembered";
/// What rows do not say: how many entries there are.
const COUNTS: [&str; 4] = [
    "UPDATE drops SET waiting = counted.rows FROM \
     (SELECT drop_id, count(*) AS rows FROM entries GROUP BY drop_id) AS counted WHERE drops.id = counted.drop_id",
    "UPDATE drops SET remembered = counted.rows FROM \
     (SELECT drop_id, count(*) AS rows FROM remembered GROUP BY drop_id) AS counted WHERE drops.id = counted.drop_id",
    "UPDATE mailboxes SET sets = counted.rows FROM \
     (SELECT mailbox, count(*) AS rows FROM sets GROUP BY mailbox) AS counted WHERE mailboxes.id = counted.mailbox",
    "UPDATE mailboxes SET waiting = counted.waiting, remembered = counted.remembered FROM \
     (SELECT mailbox, sum(waiting)::bigint AS waiting, sum(remembered)::bigint AS remembered \
     FROM drops GROUP BY mailbox) AS counted WHERE mailboxes.id = counted.mailbox",
];

pub(super) const STATEMENTS: [&str; 9] = [
    insert::OWNERS,
    insert::PLACES,
    save::MAILBOXES,
    save::SETS,
    save::NAMES,
    save::DROPS,
    save::ENTRIES,
    save::REMEMBERED,
    save::SPENT,
];

pub(super) async fn all(
    connection: &Connection,
    key: &mut StoreKey,
    next: &mut dyn FnMut() -> Result<Option<Record>, CopyError>,
) -> Result<(), CopyError> {
    let client = &connection.client;
    let begun = client.batch_execute(BEGIN).await.map_err(failure);
    let filled = async {
        begun?;
        rows(connection, key, next).await
    };
    if let Err(error) = filled.await {
        // If it can't be given up, the connection is broken, and the server gives it up.
        let _ = connection.roll_back().await;
        return Err(error);
    }
    connection.commit().await.map_err(|error| {
        CopyError::Store(match error {
            StoreError::Server(text) => StoreError::Server(format!(
                "{text}; whether the copy is in the store, `shoal provider store stats` says"
            )),
            other => other,
        })
    })
}

async fn rows(
    connection: &Connection,
    key: &mut StoreKey,
    next: &mut dyn FnMut() -> Result<Option<Record>, CopyError>,
) -> Result<(), CopyError> {
    let client = &connection.client;
    let held = one(client, HELD, &[]).await?;
    if get(&held, 0)? {
        return Err(CopyError::NotEmpty);
    }
    run(client, WITHOUT_NAMES).await?;
    let mut named = false;
    let mut page: Vec<(i64, Record)> = Vec::with_capacity(PAGE);
    let mut insert = Insert::new(connection, key);
    let mut row = 0;
    loop {
        let record = next()?;
        let is_last = record.is_none();
        let other = |(_, first): &(i64, Record)| {
            record
                .as_ref()
                .is_none_or(|it| std::mem::discriminant(it) != std::mem::discriminant(first))
        };
        if page.len() == PAGE || page.first().is_some_and(other) {
            insert.page(&page).await?;
            page.clear();
        }
        // From here on rows say which drop ids they are of.
        let needs_names = matches!(&record, None | Some(Record::Drop(_) | Record::Entry(_)));
        if needs_names && !named {
            names(connection, insert.key()).await?;
            named = true;
        }
        if is_last {
            break;
        }
        row += 1;
        page.extend(record.map(|record| (row, record)));
    }
    run(client, ANALYSE).await?;
    verify::may_join(client).await?;
    for sql in COUNTS {
        run(client, sql).await?;
    }
    match verify::rows(client).await?.into_iter().next() {
        Some(fault) => Err(CopyError::Contradiction(fault.to_string())),
        None => Ok(()),
    }
}

async fn run(client: &Client, sql: &str) -> Result<(), CopyError> {
    client
        .batch_execute(sql)
        .await
        .map_err(insert::refused("a row"))
}

/// The names of all sets, and then their index.
async fn names(connection: &Connection, key: &StoreKey) -> Result<(), CopyError> {
    let client = &connection.client;
    let cursor = Cursor::open(client, SETS).await?;
    loop {
        let sets = cursor.page().await?;
        if sets.is_empty() {
            break;
        }
        // As many names as a page has rows, and those of a set more.
        for some in sets.chunks(PAGE / 64) {
            let mut names: Vec<(i64, i64, i32)> = Vec::new();
            for row in some {
                let own = key.open(get(row, 1)?).map_err(StoreError::from)?;
                let id: i64 = get(row, 0)?;
                let ids = set(&own, row, 2)?;
                let ids = ids.ids(own.owner());
                names.extend(ids.map(|(number, drop)| (key.tag(&drop), id, number.into())));
            }
            let write = Write::new(save::NAMES, names.len())
                .with(names.iter().map(|(tag, ..)| *tag))
                .with(names.iter().map(|(_, set, _)| *set))
                .with(names.iter().map(|(.., number)| *number));
            insert::write(connection, &write, "a name").await?;
        }
    }
    cursor.close().await?;
    run(client, WITH_NAMES).await
}
