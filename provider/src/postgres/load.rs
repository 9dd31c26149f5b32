//! Which rows a run of deposits and commands needs, and how they are fetched: in one round trip, or in
//! two if there are deposits, whose names only the keys of their mailboxes find, or new sets of drop ids, or a drop id
//! remembers as much as it may.

use std::collections::BTreeSet;

use futures::future::{try_join, try_join3, try_join5};
use shoal_packet::command::{DropChange, DropSet, SetSize};
use shoal_proto::{DropId, MailboxId, MessageId};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::failure::{never_written, unreadable};
use super::session::Session;
use super::sheet::{DropRow, EntryRow, MailboxRow, Place, SetRow, Sheet};
use crate::memory::tally::Tally;
use crate::seal::OwnKey;
use crate::store::{Freed, Opening, StoreOp};
use crate::window::Attended;
use crate::{StoreError, StoreKey, StoreLimits, Window};

const MAILBOXES: &str = "
WITH wanted AS (
    SELECT id FROM mailboxes WHERE key = ANY($1::bytea[])
    UNION SELECT sets.mailbox FROM names JOIN sets ON sets.id = names.set_id
    WHERE names.tag = ANY($2::bigint[])
)
SELECT id, sealed, generation, window_highest, window_bits, window_refused, stream, used_us, next_entry,
    waiting, remembered, freed_step, freed, sets, created_us, closed
FROM wanted JOIN mailboxes USING (id)";
/// Those that the drop ids are in, and all of the mailboxes that register some.
const SETS: &str = "
SELECT sets.id, sets.mailbox, sets.secret, sets.size FROM names JOIN sets ON sets.id = names.set_id
WHERE names.tag = ANY($1::bigint[])
UNION SELECT sets.id, sets.mailbox, sets.secret, sets.size FROM mailboxes
JOIN sets ON sets.mailbox = mailboxes.id WHERE mailboxes.key = ANY($2::bytea[])";
const NAMES: &str = "SELECT tag, set_id, number FROM names WHERE tag = ANY($1::bigint[])";
/// Those that are named, and those of what is acknowledged.
const DROPS: &str = "
WITH wanted AS (
    SELECT drops.id FROM names JOIN drops ON drops.set_id = names.set_id AND drops.number = names.number
    WHERE names.tag = ANY($1::bigint[])
    UNION SELECT e.drop_id FROM unnest($2::bytea[], $3::bigint[]) AS acked (key, entry)
    JOIN mailboxes ON mailboxes.key = acked.key, LATERAL (
        SELECT drop_id FROM entries WHERE mailbox = mailboxes.id AND entry = acked.entry OFFSET 0
    ) AS e
)
SELECT id, set_id, number, mailbox, revoked, waiting, remembered, freed_step, freed
FROM wanted JOIN drops USING (id)";
/// Those that are acknowledged. `OFFSET 0` has the planner look for each by all columns of the index.
const ENTRIES: &str = "
SELECT e.id, e.mailbox, e.entry, e.drop_id, e.message, e.expires_us, true
FROM unnest($1::bytea[], $2::bigint[]) AS acked (key, entry)
JOIN mailboxes ON mailboxes.key = acked.key, LATERAL (
    SELECT * FROM entries WHERE mailbox = mailboxes.id AND entry = acked.entry OFFSET 0
) AS e";
/// Those that are put, acknowledged ones too. They are found by what only the key of their mailbox makes of their names.
const PUT: &str = "
SELECT e.id, e.mailbox, e.entry, e.drop_id, e.message, e.expires_us, true
FROM unnest($1::bigint[], $2::bytea[]) AS put (drop_id, message), LATERAL (
    SELECT * FROM entries WHERE drop_id = put.drop_id AND message = put.message OFFSET 0
) AS e
UNION ALL
SELECT r.id, r.mailbox, r.entry, r.drop_id, r.message, r.expires_us, false
FROM unnest($1::bigint[], $2::bytea[]) AS put (drop_id, message), LATERAL (
    SELECT * FROM remembered WHERE drop_id = put.drop_id AND message = put.message OFFSET 0
) AS r";
/// The first of what these drop ids remember.
const OLDEST: &str = "
SELECT r.id, r.mailbox, r.entry, r.drop_id, r.message, r.expires_us, false
FROM unnest($1::bigint[]) AS wanted (drop_id), LATERAL (
    SELECT * FROM remembered WHERE drop_id + 0 = wanted.drop_id ORDER BY entry LIMIT $2
) AS r";

/// Of the tokens that are brought, those that were spent.
const SPENT: &str = "SELECT name FROM spent WHERE name = ANY($1::bytea[])";

pub(super) const STATEMENTS: [&str; 8] =
    [MAILBOXES, SETS, NAMES, DROPS, ENTRIES, PUT, OLDEST, SPENT];

/// What a run of operations names.
#[derive(Default)]
struct Wanted<'a> {
    keys: BTreeSet<[u8; 32]>,
    registering: BTreeSet<[u8; 32]>,
    new_sets: Vec<(&'a MailboxId, &'a DropSet)>,
    tags: BTreeSet<i64>,
    acked: Vec<([u8; 32], i64)>,
    put: BTreeSet<(&'a DropId, &'a MessageId)>,
    tokens: BTreeSet<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    fn new(store: &StoreKey, ops: &'a [StoreOp]) -> Self {
        let mut wanted = Self::default();
        for op in ops {
            match op {
                StoreOp::Put { drop, message, .. } => {
                    wanted.tags.insert(store.tag(drop));
                    wanted.put.insert((drop, message));
                }
                StoreOp::Attend {
                    mailbox,
                    acks,
                    changes,
                    opening,
                    ..
                } => {
                    if let Opening::Token(token) = opening {
                        wanted.tokens.insert(token.name.as_slice());
                    }
                    let key = store.mailbox(mailbox);
                    wanted.keys.insert(key);
                    let numbers = acks.iter().filter_map(|ack| ack.number().try_into().ok());
                    wanted.acked.extend(numbers.map(|number| (key, number)));
                    for change in changes {
                        match change {
                            DropChange::Register(set) => {
                                wanted.registering.insert(key);
                                wanted.new_sets.push((mailbox, set));
                            }
                            DropChange::Revoke(drop) => {
                                wanted.tags.insert(store.tag(drop));
                            }
                            DropChange::Close => {}
                        }
                    }
                }
                StoreOp::Claim(claim) => {
                    let names = claim.rights.iter().chain([&claim.request]);
                    wanted.tokens.extend(names.map(<[u8; 32]>::as_slice));
                }
                _ => {}
            }
        }
        wanted
    }
}

/// Fetches the rows that these deposits and commands need.
pub(super) async fn load<'a>(
    session: &Session,
    store: &StoreKey,
    limits: &StoreLimits,
    ops: &'a [StoreOp],
) -> Result<Sheet<'a>, StoreError> {
    let wanted = Wanted::new(store, ops);
    let keys: Vec<&[u8]> = wanted.keys.iter().map(<[u8; 32]>::as_slice).collect();
    let registering: Vec<&[u8]> = wanted
        .registering
        .iter()
        .map(<[u8; 32]>::as_slice)
        .collect();
    let tags: Vec<i64> = wanted.tags.iter().copied().collect();
    let (acked_keys, acked): (Vec<&[u8]>, Vec<i64>) = wanted
        .acked
        .iter()
        .map(|(key, entry)| (key.as_slice(), *entry))
        .unzip();
    let tokens: Vec<&[u8]> = wanted.tokens.iter().copied().collect();
    // Most runs bring none.
    let spent = async {
        match tokens.is_empty() {
            true => Ok(Vec::new()),
            false => session.rows(SPENT, &[&tokens]).await,
        }
    };
    let ((mailboxes, sets, names, drops, entries), spent) = try_join(
        try_join5(
            session.rows(MAILBOXES, &[&keys, &tags]),
            session.rows(SETS, &[&tags, &registering]),
            session.rows(NAMES, &[&tags]),
            session.rows(DROPS, &[&tags, &acked_keys, &acked]),
            session.rows(ENTRIES, &[&acked_keys, &acked]),
        ),
        spent,
    )
    .await?;
    let mut sheet = Sheet::default();
    for row in &mailboxes {
        sheet.add_mailbox(get(row, 0)?, mailbox(store, row)?);
    }
    for row in &sets {
        let mailbox = get(row, 1)?;
        let set = set(&sheet.mailbox_row(mailbox)?.own, row, 2)?;
        sheet.sets.insert(get(row, 0)?, SetRow { mailbox, set });
    }
    for row in &names {
        let found = (get(row, 1)?, number(row, 2)?);
        sheet.names.insert(get(row, 0)?, found);
    }
    for row in &drops {
        sheet.add_drop(get(row, 0)?, drop_row(row)?);
    }
    for row in &entries {
        let found = entry(row, &sheet)?;
        sheet.add_entry(get(row, 0)?, found);
    }
    for row in &spent {
        let name = get::<&[u8]>(row, 0)?.try_into().map_err(never_written)?;
        sheet.spent.insert(name);
    }
    more(session, store, limits, ops.len(), &wanted, &mut sheet).await?;
    Ok(sheet)
}

/// What only the first rows tell to be needed.
async fn more(
    session: &Session,
    store: &StoreKey,
    limits: &StoreLimits,
    ops: usize,
    wanted: &Wanted<'_>,
    sheet: &mut Sheet<'_>,
) -> Result<(), StoreError> {
    let mut tags: Vec<i64> = Vec::new();
    for (key, set) in &wanted.new_sets {
        let mailbox = sheet.mailbox(key);
        let known = mailbox.and_then(|mailbox| sheet.set_of(mailbox, set.secret()));
        if known.is_none() {
            tags.extend(set.ids(key).map(|(_, drop)| store.tag(&drop)));
        }
    }
    // At most so many more may be remembered, or lose a name that has expired.
    let most = (wanted.acked.len() + ops) as u64;
    let may_overflow = |row: &DropRow| {
        let after = row.tally.remembered().saturating_add(most);
        !wanted.acked.is_empty() && after > limits.remembered_per_drop
    };
    let full: Vec<i64> = (sheet.drops.iter())
        .filter(|(_, row)| may_overflow(row))
        .map(|(id, _)| *id)
        .collect();
    let (mut put_drops, mut put): (Vec<i64>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    for (drop, message) in &wanted.put {
        if let Some(under) = sheet.under(store, drop)?
            && let Some(drop) = under.drop
        {
            let own = &sheet.mailbox_row(under.mailbox)?.own;
            put_drops.push(drop);
            put.push(own.message(message).to_vec());
        }
    }
    if tags.is_empty() && full.is_empty() && put.is_empty() {
        return Ok(());
    }
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let (taken, oldest, put) = try_join3(
        session.rows(NAMES, &[&tags]),
        session.rows(OLDEST, &[&full, &most]),
        session.rows(PUT, &[&put_drops, &put]),
    )
    .await?;
    for row in &taken {
        sheet.taken.insert(get(row, 0)?);
    }
    for row in oldest.iter().chain(&put) {
        let found = entry(row, sheet)?;
        sheet.add_entry(get(row, 0)?, found);
    }
    Ok(())
}

/// A column of one row.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<T, StoreError> {
    row.try_get(column).map_err(unreadable)
}

/// A number that was kept by its bits.
fn unsigned(row: &Row, column: usize) -> Result<u64, StoreError> {
    get(row, column).map(i64::cast_unsigned)
}

/// The secret of a set and, in the next column, how many ids it has.
pub(super) fn set(own: &OwnKey, row: &Row, column: usize) -> Result<DropSet, StoreError> {
    let size = match get::<i64>(row, column + 1)? {
        64 => SetSize::Small,
        256 => SetSize::Large,
        other => return Err(never_written(other)),
    };
    Ok(DropSet::new(own.open_secret(get(row, column)?)?, size))
}

/// A number within a set.
pub(super) fn number(row: &Row, column: usize) -> Result<u16, StoreError> {
    u16::try_from(get::<i32>(row, column)?).map_err(never_written)
}

/// Four columns.
fn tally(row: &Row, first: usize) -> Result<Tally, StoreError> {
    let freed = Freed::from_parts(unsigned(row, first + 2)?, unsigned(row, first + 3)?);
    Ok(Tally::from_parts(
        unsigned(row, first)?,
        unsigned(row, first + 1)?,
        freed,
    ))
}

/// Columns in the order of [`MAILBOXES`], the id first.
pub(super) fn mailbox(store: &StoreKey, row: &Row) -> Result<MailboxRow, StoreError> {
    let attended = match get::<Option<i64>>(row, 2)? {
        Some(generation) => Some(Attended {
            generation: generation.cast_unsigned(),
            window: Window::from_parts(unsigned(row, 3)?, unsigned(row, 4)?, unsigned(row, 5)?),
            stream: unsigned(row, 6)?,
        }),
        None => None,
    };
    Ok(MailboxRow {
        own: store.open(get(row, 1)?)?,
        attended,
        closed: get(row, 15)?,
        created: get(row, 14)?,
        used: get(row, 7)?,
        next_entry: get(row, 8)?,
        tally: tally(row, 9)?,
        sets: get(row, 13)?,
    })
}

fn drop_row(row: &Row) -> Result<DropRow, StoreError> {
    Ok(DropRow {
        set: get(row, 1)?,
        number: number(row, 2)?,
        mailbox: get(row, 3)?,
        revoked: get(row, 4)?,
        tally: tally(row, 5)?,
    })
}

fn entry<'a>(row: &Row, sheet: &Sheet<'_>) -> Result<EntryRow<'a>, StoreError> {
    let mailbox = get(row, 1)?;
    let own = &sheet.mailbox_row(mailbox)?.own;
    let place = if get(row, 6)? {
        Place::Waiting
    } else {
        Place::Remembered
    };
    Ok(EntryRow {
        mailbox,
        entry: get(row, 2)?,
        drop: get(row, 3)?,
        message: own.open_message(get(row, 4)?)?,
        expires: get(row, 5)?,
        was: place,
        is: place,
        blob: None,
    })
}
