//! What is removed because its time is over: entries, and mailboxes that nobody uses.

use std::collections::BTreeMap;

use shoal_proto::{Span, Time};

use super::load::{get, set};
use super::save::{DELETE_ENTRIES, DELETE_REMEMBERED, Write};
use super::session::Session;
use super::work::Held;
use crate::limits::{IDLE_BATCH, TRIAL};
use crate::store::StoreOutcome;
use crate::times::{self, HOUR, micros};
use crate::{StoreError, StoreKey, StoreLimits};

const EXPIRED: &str = "
SELECT * FROM (
    (SELECT id, mailbox, drop_id, true, expires_us FROM entries
    WHERE expires_us <= $1 ORDER BY expires_us, id LIMIT $2)
    UNION ALL
    (SELECT id, mailbox, drop_id, false, expires_us FROM remembered
    WHERE expires_us <= $1 ORDER BY expires_us, id LIMIT $2)
) AS expired ORDER BY expires_us, id LIMIT $2";
const LESS_IN_MAILBOXES: &str = "
UPDATE mailboxes SET waiting = mailboxes.waiting - gone.waiting,
    remembered = mailboxes.remembered - gone.remembered
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS gone (id, waiting, remembered)
WHERE mailboxes.id = gone.id";
const LESS_IN_DROPS: &str = "
UPDATE drops SET waiting = drops.waiting - gone.waiting, remembered = drops.remembered - gone.remembered
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS gone (id, waiting, remembered)
WHERE drops.id = gone.id";
/// There is no index for it: it is asked for once a minute, and there are some thousand mailboxes.
const IDLE: &str = "
SELECT id FROM mailboxes WHERE used_us <= $1 AND waiting = 0 AND remembered = 0 ORDER BY id LIMIT $2";
/// Those that nothing was ever put into, and whose owner has not come back after an hour. Subtracted, since sums have no
/// room at the end of time, and the server would refuse the whole statement.
const UNUSED: &str = "
SELECT id FROM mailboxes WHERE used_us <= $1 AND next_entry = 1 AND used_us - 7200000000 < created_us
ORDER BY id LIMIT $2";
/// No deposit uses it any more, so its owner has used it last.
const CLOSED: &str = "
SELECT id FROM mailboxes WHERE used_us <= $1 AND closed AND waiting = 0 ORDER BY id LIMIT $2";
const CLOSED_AND_EMPTY: &str = "
SELECT id FROM mailboxes WHERE used_us <= $1 AND closed AND waiting = 0 AND remembered = 0 ORDER BY id LIMIT $2";
/// What a mailbox remembers, so many.
const NAMES_OF: &str = "
SELECT r.id, r.mailbox, r.drop_id FROM drops, LATERAL (
    SELECT * FROM remembered WHERE drop_id + 0 = drops.id ORDER BY entry LIMIT $2
) AS r WHERE drops.mailbox = $1 LIMIT $2";
const _: () = assert!(TRIAL.as_micros() + HOUR.as_micros() == 7_200_000_000);
const FORGET_SPENT: &str = "
DELETE FROM spent WHERE name IN (
    SELECT name FROM spent WHERE expires_us <= $1 ORDER BY expires_us, name LIMIT $2
) RETURNING expires_us";
const SETS: &str = "
SELECT sets.id, mailboxes.sealed, sets.secret, sets.size FROM sets
JOIN mailboxes ON mailboxes.id = sets.mailbox WHERE sets.mailbox = ANY($1::bigint[])";
const DELETE_NAMES: &str = "
DELETE FROM names USING unnest($1::bigint[], $2::bigint[]) AS gone (tag, set_id)
WHERE names.tag = gone.tag AND names.set_id = gone.set_id";
const DELETE_SETS: &str = "DELETE FROM sets WHERE mailbox = ANY($1::bigint[])";
const DELETE_DROPS: &str = "DELETE FROM drops WHERE mailbox = ANY($1::bigint[])";
const DELETE_MAILBOXES: &str = "DELETE FROM mailboxes WHERE id = ANY($1::bigint[])";

pub(super) const STATEMENTS: [&str; 14] = [
    EXPIRED,
    LESS_IN_MAILBOXES,
    LESS_IN_DROPS,
    IDLE,
    UNUSED,
    CLOSED,
    CLOSED_AND_EMPTY,
    NAMES_OF,
    FORGET_SPENT,
    SETS,
    DELETE_NAMES,
    DELETE_SETS,
    DELETE_DROPS,
    DELETE_MAILBOXES,
];

/// By row: how many that waited are gone, and how many that were remembered.
type Less = BTreeMap<i64, (i64, i64)>;

/// Removes what has expired: a bounded number of rows.
pub(super) async fn expire(
    session: &Session,
    key: &StoreKey,
    limits: &StoreLimits,
    held: &mut Held,
    now: Time,
) -> Result<StoreOutcome, StoreError> {
    let (at, batch) = (micros(now), i64::from(limits.expire_batch));
    let rows = session.rows(EXPIRED, &[&at, &batch]).await?;
    let (mut entries, mut remembered) = (Vec::new(), Vec::new());
    let (mut mailboxes, mut drops) = (Less::new(), Less::new());
    for row in &rows {
        let waited: bool = get(row, 3)?;
        let gone = if waited {
            &mut entries
        } else {
            &mut remembered
        };
        gone.push(get::<i64>(row, 0)?);
        for (less, column) in [(&mut mailboxes, 1), (&mut drops, 2)] {
            let (waiting, remembered) = less.entry(get(row, column)?).or_default();
            *waiting += i64::from(waited);
            *remembered += i64::from(!waited);
        }
    }
    let usage = &mut held.usage;
    usage.entries = usage.entries.saturating_sub(entries.len() as u64);
    usage.remembered = usage.remembered.saturating_sub(remembered.len() as u64);
    let writes = [
        Write::new(DELETE_ENTRIES, entries.len()).with(entries.into_iter()),
        Write::new(DELETE_REMEMBERED, remembered.len()).with(remembered.into_iter()),
        less(LESS_IN_MAILBOXES, &mailboxes),
        less(LESS_IN_DROPS, &drops),
    ];
    session.write(&writes, false).await?;
    let spent = session.rows(FORGET_SPENT, &[&at, &batch]).await?.len() as u64;
    let (names, idle) = give_up(session, key, limits, held, now).await?;
    let removed = rows.len() as u64;
    let batch = u64::from(limits.expire_batch);
    Ok(StoreOutcome::Expired {
        removed: removed + names + idle + spent,
        more: [removed, names, spent].contains(&batch) || idle == u64::from(IDLE_BATCH),
    })
}

fn less<'a>(sql: &'static str, less: &Less) -> Write<'a> {
    Write::new(sql, less.len())
        .with(less.keys().copied())
        .with(less.values().map(|(waiting, _)| *waiting))
        .with(less.values().map(|(_, remembered)| *remembered))
}

/// Gives up mailboxes that their owners have closed, then those that nobody uses, then those that nobody has ever used.
/// Says how many names of acknowledged entries went before them, and how many mailboxes.
async fn give_up(
    session: &Session,
    key: &StoreKey,
    limits: &StoreLimits,
    held: &mut Held,
    now: Time,
) -> Result<(u64, u64), StoreError> {
    // Before all time if it is that long ago.
    let ago = |span: Span| times::unused_for(now, span).map_or(-1, micros);
    let most = u64::from(IDLE_BATCH);
    let before = ago(limits.mailbox_closed);
    let names = forget_closed(session, limits, held, before).await?;
    let mut gone = give_up_by(session, key, CLOSED_AND_EMPTY, before, most, held).await?;
    let before = ago(limits.mailbox_idle);
    gone += give_up_by(session, key, IDLE, before, most - gone, held).await?;
    let before = ago(limits.mailbox_trial);
    gone += give_up_by(session, key, UNUSED, before, most - gone, held).await?;
    Ok((names, gone))
}

/// Forgets what is remembered of mailboxes that their owners have closed and left, a bounded number of names, and says
/// how many.
async fn forget_closed(
    session: &Session,
    limits: &StoreLimits,
    held: &mut Held,
    before: i64,
) -> Result<u64, StoreError> {
    let mut names: Vec<i64> = Vec::new();
    let (mut mailboxes, mut drops) = (Less::new(), Less::new());
    for mailbox in some(session, CLOSED, before, IDLE_BATCH.into()).await? {
        let left = i64::from(limits.expire_batch) - i64::try_from(names.len()).unwrap_or(i64::MAX);
        for row in &session.rows(NAMES_OF, &[&mailbox, &left]).await? {
            names.push(get(row, 0)?);
            for (less, column) in [(&mut mailboxes, 1), (&mut drops, 2)] {
                less.entry(get(row, column)?).or_default().1 += 1;
            }
        }
    }
    if names.is_empty() {
        return Ok(0);
    }
    let forgotten = names.len() as u64;
    held.usage.remembered = held.usage.remembered.saturating_sub(forgotten);
    let writes = [
        Write::new(DELETE_REMEMBERED, names.len()).with(names.into_iter()),
        less(LESS_IN_MAILBOXES, &mailboxes),
        less(LESS_IN_DROPS, &drops),
    ];
    session.write(&writes, false).await?;
    Ok(forgotten)
}

/// The mailboxes that a statement finds of before a time, at most so many.
async fn some(
    session: &Session,
    sql: &'static str,
    before: i64,
    most: u64,
) -> Result<Vec<i64>, StoreError> {
    let rows = session.rows(sql, &[&before, &most.cast_signed()]).await?;
    rows.iter().map(|row| get(row, 0)).collect()
}

/// Those that a statement finds of before a time, at most so many.
async fn give_up_by(
    session: &Session,
    key: &StoreKey,
    sql: &'static str,
    before: i64,
    most: u64,
    held: &mut Held,
) -> Result<u64, StoreError> {
    let ids = some(session, sql, before, most).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let mut names: Vec<(i64, i64)> = Vec::new();
    for row in &session.rows(SETS, &[&ids]).await? {
        let (id, own) = (get::<i64>(row, 0)?, key.open(get(row, 1)?)?);
        let set = set(&own, row, 2)?;
        let ids = set.ids(own.owner());
        names.extend(ids.map(|(_, drop)| (key.tag(&drop), id)));
    }
    let of = |sql| Write::new(sql, ids.len()).with(ids.iter().copied());
    let writes = [
        Write::new(DELETE_NAMES, names.len())
            .with(names.iter().map(|(tag, _)| *tag))
            .with(names.iter().map(|(_, set)| *set)),
        of(DELETE_SETS),
        of(DELETE_DROPS),
        of(DELETE_MAILBOXES),
    ];
    session.write(&writes, false).await?;
    let given_up = ids.len() as u64;
    held.usage.mailboxes = held.usage.mailboxes.saturating_sub(given_up);
    Ok(given_up)
}
