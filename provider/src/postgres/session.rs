//! One connection that has the mailboxes: how it takes them, and what goes over it.

use std::time::Duration;

use futures::future::{try_join, try_join_all};
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

use super::connection::Connection;
use super::failure::{failure, unreadable};
use super::options::PostgresOptions;
use super::save::Write;
use super::work::Held;
use super::{expire, load, reads, save, schema};
use crate::StoreError;

/// Between two tries to take the mailboxes from another process.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// Read in a transaction that only reads, and held to its end in one that writes: whoever takes the
/// mailboxes over waits for its commit.
const FENCE: &str = "SELECT fence FROM meta";
const FENCE_HELD: &str = "SELECT fence FROM meta FOR SHARE";
/// Writes a row, and changes nothing.
const TOUCH: &str = "UPDATE meta SET fence = fence";

/// Connects as every connection of ours does.
pub(super) async fn dial(
    options: &PostgresOptions,
) -> Result<(Client, JoinHandle<()>), StoreError> {
    let config = options.config()?;
    let (client, connection) = config.connect(NoTls).await.map_err(failure)?;
    let driver = tokio::spawn(async {
        // Whoever waits for an answer is told why there is none.
        let _ = connection.await;
    });
    match configure(&client).await {
        Ok(()) => Ok((client, driver)),
        Err(error) => {
            driver.abort();
            Err(error)
        }
    }
}

async fn configure(client: &Client) -> Result<(), StoreError> {
    // Every statement finds a few rows by an index, and in its order, whatever the planner thinks of tables that it has
    // not yet looked at. A server that waits for a client that is gone keeps the mailboxes from the next.
    let settings = "SET synchronous_commit = on; SET enable_seqscan = off; SET enable_hashjoin = off; \
         SET enable_mergejoin = off; SET enable_bitmapscan = off; SET enable_sort = off; \
         SET jit = off; SET client_min_messages = error; \
         SET lock_timeout = '10s'; SET statement_timeout = '25s'; \
         SET idle_in_transaction_session_timeout = '5s'; SET tcp_keepalives_idle = 3; \
         SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 4; SET tcp_user_timeout = '7s'";
    client.batch_execute(settings).await.map_err(failure)?;
    let row = client.query_one("SHOW fsync", &[]).await;
    let fsync: String = row.and_then(|row| row.try_get(0)).map_err(failure)?;
    if fsync == "off" {
        return Err(StoreError::Setting(
            "the server runs with fsync = off, and would lose what was answered as stored: turn it on".to_owned(),
        ));
    }
    Ok(())
}

/// Names of tables are those of the schema from now on.
pub(super) async fn enter(client: &Client, options: &PostgresOptions) -> Result<(), StoreError> {
    let path = format!("SET search_path TO {}", options.schema);
    client.batch_execute(&path).await.map_err(failure)
}

/// One process has the mailboxes of a schema: for as long as its connection lasts.
pub(super) async fn lock(client: &Client, options: &PostgresOptions) -> Result<(), StoreError> {
    let name = format!("shoal mailboxes {}", options.schema);
    let sql = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";
    let mut left = Duration::from(options.patience);
    loop {
        let row = client.query_one(sql, &[&name]).await.map_err(failure)?;
        if row.try_get(0).map_err(unreadable)? {
            return Ok(());
        }
        if left.is_zero() {
            return Err(StoreError::Busy);
        }
        tokio::time::sleep(TRY_AGAIN.min(left)).await;
        left = left.saturating_sub(TRY_AGAIN);
    }
}

/// A connection that has the mailboxes, until it breaks.
pub(super) struct Session {
    connection: Connection,
    /// The number of our takeover.
    fence: i64,
    /// As of the last commit.
    pub(super) held: Held,
}

impl Session {
    /// Connects, takes the mailboxes, and reads how much they hold. With the number of a takeover it goes on with that one.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process has them for longer than the patience, or had them since that
    /// takeover; or what else [`StoreError`] has.
    pub(super) async fn open(
        options: &PostgresOptions,
        fence: Option<i64>,
    ) -> Result<Self, StoreError> {
        let mut session = Self {
            connection: Connection::new(dial(options).await?),
            fence: 0,
            held: Held::default(),
        };
        // With the lock, a connection that this process had before has ended, and with it what it was committing.
        let client = &session.connection.client;
        lock(client, options).await?;
        schema::prepare(client, &options.schema, &options.key).await?;
        enter(client, options).await?;
        // It is not raised if it is refused: else it would pass at last, after many tries.
        let found = schema::fence(client, options.known_takeover).await?;
        session.fence = match fence {
            None => schema::take_over(client).await?,
            Some(ours) if found == ours => ours,
            Some(_) => return Err(StoreError::Busy),
        };
        session.held = schema::held(client).await?;
        let all = [FENCE, FENCE_HELD, TOUCH]
            .into_iter()
            .chain(load::STATEMENTS)
            .chain(save::STATEMENTS)
            .chain(reads::STATEMENTS)
            .chain(expire::STATEMENTS);
        session.connection.prepare(all).await?;
        Ok(session)
    }

    /// The number of our takeover.
    pub(super) const fn fence(&self) -> i64 {
        self.fence
    }

    /// Begins a transaction, if the mailboxes are still ours.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process has taken them over.
    pub(super) async fn begin(&self, writes: bool) -> Result<(), StoreError> {
        let fence = if writes { FENCE_HELD } else { FENCE };
        let begin = self.connection.begin();
        let ((), rows) = try_join(begin, self.rows(fence, &[])).await?;
        let found = rows.first().map(|row| row.try_get::<_, i64>(0));
        match found.transpose().map_err(unreadable)? {
            Some(fence) if fence == self.fence => Ok(()),
            _ => Err(StoreError::Busy),
        }
    }

    /// What a statement finds. Statements that are polled together share one round trip.
    pub(super) async fn rows(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        self.connection.rows(sql, params).await
    }

    /// Writes, all in one round trip, with the commit if that is wanted.
    pub(super) async fn write(&self, writes: &[Write<'_>], commit: bool) -> Result<(), StoreError> {
        let all = writes.iter().filter(|write| !write.is_empty());
        // In this order: each is sent when it is polled first.
        let end = async {
            if commit {
                self.connection.commit().await
            } else {
                Ok(())
            }
        };
        let writes = try_join_all(all.map(|write| self.write_one(write)));
        try_join(writes, end).await.map(drop)
    }

    async fn write_one(&self, write: &Write<'_>) -> Result<(), StoreError> {
        let params: Vec<&(dyn ToSql + Sync)> =
            write.columns.iter().map(|column| &**column as _).collect();
        self.rows(write.sql, &params).await.map(drop)
    }

    /// Whether a deposit could be written now.
    pub(super) async fn touch(&self) -> Result<(), StoreError> {
        self.rows(TOUCH, &[]).await.map(drop)
    }

    /// What it goes over.
    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }
}
