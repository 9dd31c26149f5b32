//! One connection that has the mailboxes: how it takes them, and what goes over it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{try_join, try_join_all};
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row, Statement};

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

/// A connection that has the mailboxes, until it breaks.
pub(super) struct Session {
    client: Client,
    driver: JoinHandle<()>,
    statements: BTreeMap<&'static str, Statement>,
    /// The number of our takeover.
    fence: i64,
    /// As of the last commit.
    pub(super) held: Held,
    /// A commit was asked for, and not answered.
    committing: Cell<bool>,
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
        let (client, driver) = dial(options).await?;
        let mut session = Self {
            client,
            driver,
            statements: BTreeMap::new(),
            fence: 0,
            held: Held::default(),
            committing: Cell::new(false),
        };
        // With the lock, a connection that this process had before has ended, and with it what it was committing.
        session.lock(options).await?;
        let client = &session.client;
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
        session.prepare().await?;
        Ok(session)
    }

    /// The number of our takeover.
    pub(super) const fn fence(&self) -> i64 {
        self.fence
    }

    /// One process has the mailboxes of a schema: for as long as its connection lasts.
    async fn lock(&self, options: &PostgresOptions) -> Result<(), StoreError> {
        let name = format!("shoal mailboxes {}", options.schema);
        let sql = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";
        let mut left = Duration::from(options.patience);
        loop {
            let row = self
                .client
                .query_one(sql, &[&name])
                .await
                .map_err(failure)?;
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

    async fn prepare(&mut self) -> Result<(), StoreError> {
        let all = [FENCE, FENCE_HELD, TOUCH]
            .into_iter()
            .chain(load::STATEMENTS)
            .chain(save::STATEMENTS)
            .chain(reads::STATEMENTS)
            .chain(expire::STATEMENTS);
        let client = &self.client;
        let prepared = all.map(|sql| async move {
            let statement = client.prepare(sql).await.map_err(failure)?;
            Ok::<_, StoreError>((sql, statement))
        });
        let statements = try_join_all(prepared).await?;
        self.statements = statements.into_iter().collect();
        Ok(())
    }

    fn statement(&self, sql: &'static str) -> Result<&Statement, StoreError> {
        let unknown = || StoreError::Bug("a statement was not prepared".to_owned());
        self.statements.get(sql).ok_or_else(unknown)
    }

    /// Begins a transaction, if the mailboxes are still ours.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another process has taken them over.
    pub(super) async fn begin(&self, writes: bool) -> Result<(), StoreError> {
        self.committing.set(false);
        let fence = if writes { FENCE_HELD } else { FENCE };
        let begin = async { self.client.batch_execute("BEGIN").await.map_err(failure) };
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
        let statement = self.statement(sql)?;
        self.client.query(statement, params).await.map_err(failure)
    }

    /// Writes, all in one round trip, with the commit if that is wanted.
    pub(super) async fn write(&self, writes: &[Write<'_>], commit: bool) -> Result<(), StoreError> {
        let all = writes.iter().filter(|write| !write.is_empty());
        // In this order: each is sent when it is polled first.
        let end = async { if commit { self.commit().await } else { Ok(()) } };
        let writes = try_join_all(all.map(|write| self.write_one(write)));
        try_join(writes, end).await.map(drop)
    }

    async fn write_one(&self, write: &Write<'_>) -> Result<(), StoreError> {
        let params: Vec<&(dyn ToSql + Sync)> =
            write.columns.iter().map(|column| &**column as _).collect();
        self.rows(write.sql, &params).await.map(drop)
    }

    /// Ends the transaction. On an error it is unknown whether it counts, if the connection is broken.
    pub(super) async fn commit(&self) -> Result<(), StoreError> {
        self.committing.set(true);
        self.client.batch_execute("COMMIT").await.map_err(failure)?;
        self.committing.set(false);
        Ok(())
    }

    /// Whether a deposit could be written now.
    pub(super) async fn touch(&self) -> Result<(), StoreError> {
        self.rows(TOUCH, &[]).await.map(drop)
    }

    /// Gives up the transaction.
    pub(super) async fn roll_back(&self) -> Result<(), StoreError> {
        self.client.batch_execute("ROLLBACK").await.map_err(failure)
    }

    /// Whether a commit was asked for, of which nobody knows how it ended.
    pub(super) const fn is_committing(&self) -> bool {
        self.committing.get()
    }
}

/// The server sees the connection's end, and lets the next process have the mailboxes.
impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
