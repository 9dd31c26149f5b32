//! The tables: how they are made, what makes them ours, and what is read when they are opened.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::failure::{failure, unreadable};
use super::work::Held;
use crate::store::{Freed, Usage};
use crate::{StoreError, StoreKey};

/// Marks a schema as ours: "Shol".
const APPLICATION: i64 = 0x5368_6f6c;
/// Grows with every change of the tables.
pub(super) const VERSION: i64 = 4;

/// As in SQLite, but for what PostgreSQL wants otherwise:
/// - Ids come from the process that has the lock, so no statement has to ask for them.
/// - Rows that are changed again and again (`mailboxes`, `drops`) have no index on what changes, and free
///   room in their pages, so that a change touches one page and no index.
/// - No two indexes suit one statement: while the tables are small the planner takes either, and keeps its
///   plan when they are large. So what is looked for in order has an index on `drop_id + 0`.
/// - A row that is deleted stays in its page until it is vacuumed, so that comes early.
pub(super) const TABLES: &str = "
CREATE TABLE meta (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    application bigint NOT NULL,
    version bigint NOT NULL,
    -- Grows with every process that takes the mailboxes over.
    fence bigint NOT NULL,
    -- What tells the key that all is sealed with from others. As in SQLite, a mailbox is found by a keyed hash of its
    -- owner's key, a drop id by one of itself, and what is sealed is so under the mailbox' own key.
    seal bytea NOT NULL
);
CREATE TABLE mailboxes (
    id bigint PRIMARY KEY,
    key bytea NOT NULL UNIQUE,
    -- Its own key, sealed under the store's, and its owner's key, sealed under that.
    sealed bytea NOT NULL,
    -- NULL until the owner's first command. Numbers of 64 bits are kept by their bits.
    generation bigint,
    window_highest bigint NOT NULL,
    window_bits bigint NOT NULL,
    window_refused bigint NOT NULL,
    stream bigint NOT NULL,
    -- Full hours.
    created_us bigint NOT NULL,
    used_us bigint NOT NULL,
    next_entry bigint NOT NULL,
    waiting bigint NOT NULL,
    remembered bigint NOT NULL,
    -- Acknowledged in this step: their room is not free before the next.
    freed bigint NOT NULL,
    freed_step bigint NOT NULL,
    sets bigint NOT NULL,
    -- By its owner, for good.
    closed boolean NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE TABLE sets (
    id bigint PRIMARY KEY,
    mailbox bigint NOT NULL,
    secret bytea NOT NULL,
    size bigint NOT NULL,
    UNIQUE (mailbox, secret)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);
-- Every drop id by a keyed hash of eight bytes. Whether it is the whole id, its set and number say.
CREATE TABLE names (
    tag bigint PRIMARY KEY,
    set_id bigint NOT NULL,
    number integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
-- Drop ids that were used, or revoked.
CREATE TABLE drops (
    id bigint PRIMARY KEY,
    set_id bigint NOT NULL,
    number integer NOT NULL,
    mailbox bigint NOT NULL,
    revoked boolean NOT NULL,
    waiting bigint NOT NULL,
    remembered bigint NOT NULL,
    freed bigint NOT NULL,
    freed_step bigint NOT NULL,
    UNIQUE (set_id, number)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX drops_mailbox ON drops (mailbox);
CREATE TABLE entries (
    id bigint PRIMARY KEY,
    mailbox bigint NOT NULL,
    entry bigint NOT NULL,
    drop_id bigint NOT NULL,
    message bytea NOT NULL,
    expires_us bigint NOT NULL,
    blob bytea NOT NULL,
    UNIQUE (drop_id, message),
    UNIQUE (mailbox, entry)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX entries_waiting ON entries ((drop_id + 0), entry);
CREATE INDEX entries_expiry ON entries (expires_us, id);
-- The names of acknowledged entries. The id and the number are the entry's.
CREATE TABLE remembered (
    id bigint PRIMARY KEY,
    mailbox bigint NOT NULL,
    entry bigint NOT NULL,
    drop_id bigint NOT NULL,
    message bytea NOT NULL,
    expires_us bigint NOT NULL,
    UNIQUE (drop_id, message)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE UNIQUE INDEX remembered_drop ON remembered ((drop_id + 0), entry);
CREATE INDEX remembered_expiry ON remembered (expires_us, id);
-- The names of tokens that were spent, until they would not count any more.
CREATE TABLE spent (
    name bytea PRIMARY KEY,
    expires_us bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX spent_expiry ON spent (expires_us, name);
-- What else a node keeps that changes while it runs. Each of its two connections for that writes in its lane: with the
-- number that it found there when it came, and as long as no later one, of this process or of one that took over, has
-- raised it.
CREATE TABLE turns (
    lane bigint PRIMARY KEY,
    writer bigint NOT NULL
);
INSERT INTO turns (lane, writer) VALUES (0, 0), (1, 0);
CREATE TABLE state_rows (
    kind text COLLATE \"C\" NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    -- A secret, sealed under a key that follows from the store's and the row's name.
    sealed boolean NOT NULL,
    PRIMARY KEY (kind, key)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50);
-- The replay log of an epoch's key, and its batches of tags: 32 bytes each. One whose log is gone is deleted by and by.
CREATE TABLE tag_logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    epoch bigint NOT NULL UNIQUE,
    key bytea NOT NULL
);
CREATE TABLE tag_batches (
    log bigint NOT NULL,
    number bigint NOT NULL,
    tags bytea NOT NULL,
    seal bytea NOT NULL,
    PRIMARY KEY (log, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
";

/// Makes the tables if the schema is empty or not there. The caller has the lock.
///
/// # Errors
/// [`StoreError`]: not ours, of another release, or the server refuses. What is not ours stays as it is.
pub(super) async fn prepare(
    client: &Client,
    schema: &str,
    key: &StoreKey,
) -> Result<(), StoreError> {
    if is_made(client, schema, key).await? {
        return Ok(());
    }
    let seal: String = key
        .check()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let sql = format!(
        "BEGIN; CREATE SCHEMA IF NOT EXISTS {schema}; SET LOCAL search_path TO {schema}; {TABLES} \
         INSERT INTO meta (application, version, fence, seal) \
         VALUES ({APPLICATION}, {VERSION}, 0, decode('{seal}', 'hex')); COMMIT;"
    );
    client.batch_execute(&sql).await.map_err(failure)
}

/// Whether the tables are there, and ours.
///
/// # Errors
/// As [`prepare`].
pub(super) async fn is_made(
    client: &Client,
    schema: &str,
    key: &StoreKey,
) -> Result<bool, StoreError> {
    let found = client
        .query_one(
            "SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace \
             WHERE nspname = $1",
            &[&schema],
        )
        .await
        .map_err(failure)?;
    if found.try_get::<_, i64>(0).map_err(unreadable)? == 0 {
        return Ok(false);
    }
    recognise(client, schema, key).await?;
    Ok(true)
}

async fn recognise(client: &Client, schema: &str, key: &StoreKey) -> Result<(), StoreError> {
    let foreign = || StoreError::Foreign(format!("schema {schema} is another program's"));
    let sql = format!("SELECT application, version, seal FROM {schema}.meta");
    let rows = client.query(&sql, &[]).await.map_err(|error| {
        let other = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN];
        match error.code() {
            Some(code) if other.contains(code) => foreign(),
            _ => failure(error),
        }
    })?;
    let [row] = rows.as_slice() else {
        return Err(foreign());
    };
    let number = |column| row.try_get::<_, i64>(column).map_err(|_| foreign());
    match (number(0)?, number(1)?) {
        (APPLICATION, VERSION) => {
            let seal: &[u8] = row.try_get(2).map_err(|_| foreign())?;
            match *seal == key.check() {
                true => Ok(()),
                false => Err(StoreError::Key),
            }
        }
        (APPLICATION, found) => Err(StoreError::Version {
            found,
            known: VERSION,
        }),
        _ => Err(foreign()),
    }
}

/// Takes the mailboxes over: whoever had them before can't go on. It waits for what they are committing. The number of
/// this takeover.
pub(super) async fn take_over(client: &Client) -> Result<i64, StoreError> {
    // In this order, in which a connection for the state takes its turn.
    client.batch_execute("BEGIN").await.map_err(failure)?;
    let row = client
        .query_one("UPDATE meta SET fence = fence + 1 RETURNING fence", &[])
        .await
        .map_err(failure)?;
    let end = "UPDATE turns SET writer = writer + 1; COMMIT";
    client.batch_execute(end).await.map_err(failure)?;
    row.try_get(0).map_err(unreadable)
}

/// The number of the last takeover.
///
/// # Errors
/// [`StoreError::Older`] if a later one is known of.
pub(super) async fn fence(client: &Client, known: i64) -> Result<i64, StoreError> {
    let row = client.query_one("SELECT fence FROM meta", &[]).await;
    match row.map_err(failure)?.try_get(0).map_err(unreadable)? {
        found if found < known => Err(StoreError::Older { found, known }),
        found => Ok(found),
    }
}

/// How much is held, with the highest id of all rows.
pub(super) async fn held(client: &Client) -> Result<Held, StoreError> {
    let row = client
        .query_one(
            "SELECT count(*), coalesce(sum(waiting), 0)::bigint, coalesce(sum(remembered), 0)::bigint, \
             greatest((SELECT max(id) FROM mailboxes), (SELECT max(id) FROM sets), \
             (SELECT max(id) FROM drops), (SELECT max(id) FROM entries), \
             (SELECT max(id) FROM remembered), 0) FROM mailboxes",
            &[],
        )
        .await
        .map_err(failure)?;
    let number = |column| row.try_get::<_, i64>(column).map_err(unreadable);
    let freed = client
        .query_opt(
            "SELECT freed_step, sum(freed)::bigint FROM mailboxes GROUP BY freed_step \
             ORDER BY freed_step DESC LIMIT 1",
            &[],
        )
        .await
        .map_err(failure)?;
    let freed = match freed {
        Some(row) => Freed::from_parts(
            row.try_get::<_, i64>(0)
                .map_err(unreadable)?
                .cast_unsigned(),
            row.try_get::<_, i64>(1)
                .map_err(unreadable)?
                .cast_unsigned(),
        ),
        None => Freed::default(),
    };
    Ok(Held {
        usage: Usage {
            mailboxes: number(0)?.cast_unsigned(),
            entries: number(1)?.cast_unsigned(),
            remembered: number(2)?.cast_unsigned(),
        },
        freed,
        last_id: number(3)?,
    })
}
