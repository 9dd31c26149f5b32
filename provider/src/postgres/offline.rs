//! A schema that no node has.

mod cursor;
mod fill;
mod insert;
mod read;
mod structure;
mod verify;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use shoal_proto::Time;

use self::cursor::one;
use super::connection::Connection;
use super::failure::failure;
use super::load::get;
use super::options::PostgresOptions;
use super::session::{dial, enter, lock};
use super::{ANSWER, no_answer, reads, schema};
use crate::offline::copy::CopyError;
use crate::offline::record::Record;
use crate::offline::report::{Report, Step};
use crate::offline::{OfflineStore, StoreStats};
use crate::{Due, StoreError, StoreLimits};

/// Unlike a provider's: what reads all of it takes long, and waits for the disk that a copy goes to.
const UNHURRIED: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
/// A server that is busy for us notices when we are gone. Not on each system does it know how to look.
const WATCH_US: &str = "SET client_connection_check_interval = '2s'";

/// A schema that no node has, as long as this does: its connection has the lock that a node's would have.
///
/// No call may be made where tokio runs.
///
/// Memory: a page of rows, two while it is filled.
pub(crate) struct OfflinePostgres {
    /// Some until it is dropped.
    runtime: Option<Runtime>,
    connection: Connection,
    options: PostgresOptions,
}

impl OfflinePostgres {
    /// Takes a schema that is there, and changes nothing. Whoever had it before goes on with it afterwards.
    pub(crate) fn look(options: &PostgresOptions) -> Result<Self, StoreError> {
        Self::open(options, false)
    }

    /// Takes a schema as a provider does, and makes it if there is none.
    pub(crate) fn to_fill(options: &PostgresOptions) -> Result<Self, StoreError> {
        Self::open(options, true)
    }

    fn open(options: &PostgresOptions, make: bool) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Io(error.to_string()))?;
        let late = ANSWER.saturating_add(options.patience.into());
        let connection = runtime.block_on(async {
            timeout(late, take(options, make))
                .await
                .unwrap_or_else(|_| Err(no_answer()))
        })?;
        Ok(Self {
            runtime: Some(runtime),
            connection,
            options: options.clone(),
        })
    }

    fn wait<T, E: From<StoreError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => Err(StoreError::Bug("the store was closed".to_owned()).into()),
        }
    }
}

async fn take(options: &PostgresOptions, make: bool) -> Result<Connection, StoreError> {
    let mut connection = Connection::new(dial(options).await?);
    let client = &connection.client;
    client.batch_execute(UNHURRIED).await.map_err(failure)?;
    // Best effort: without it the server notices at the end of a statement.
    let _ = client.batch_execute(WATCH_US).await;
    lock(client, options).await?;
    let schema = &options.schema;
    if make {
        schema::prepare(client, schema, &options.key).await?;
    } else if !schema::is_made(client, schema, &options.key).await? {
        let error = format!("there is nothing in the schema {schema}");
        return Err(StoreError::Foreign(error));
    }
    enter(client, options).await?;
    let all = [reads::DUE].into_iter().chain(fill::STATEMENTS);
    connection.prepare(all).await?;
    Ok(connection)
}

const STATS: &str = "
SELECT (SELECT count(*) FROM sets), (SELECT coalesce(sum(size), 0)::bigint FROM sets),
    (SELECT count(*) FROM mailboxes WHERE closed), (SELECT count(*) FROM drops WHERE revoked),
    (SELECT min(expires_us) FROM entries), tables.bytes, tables.indexes
FROM (
    SELECT coalesce(sum(pg_table_size(oid)), 0)::bigint AS bytes, coalesce(sum(pg_indexes_size(oid)), 0)::bigint AS indexes
    FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind = 'r'
    AND relname IN ('mailboxes', 'sets', 'names', 'drops', 'entries', 'remembered', 'spent')
) AS tables";

async fn stats(connection: &Connection, schema: &str) -> Result<StoreStats, StoreError> {
    let client = &connection.client;
    let held = schema::held(client).await?;
    let row = one(client, STATS, &[&schema]).await?;
    let number = |column| get::<i64>(&row, column).map(|it| it.max(0).cast_unsigned());
    let oldest: Option<i64> = get(&row, 4)?;
    Ok(StoreStats {
        usage: held.usage,
        sets: number(0)?,
        drops: number(1)?,
        closed: number(2)?,
        revoked: number(3)?,
        oldest_expires: oldest.map(|micros| Time::from_micros(micros.max(0).cast_unsigned())),
        files: vec![("tables", number(5)?), ("indexes", number(6)?)],
        // The server knows, and tells its administrators alone.
        free_within: None,
        free_on_disk: None,
        schema: schema::VERSION,
    })
}

impl OfflineStore for OfflinePostgres {
    fn stats(&self) -> Result<StoreStats, StoreError> {
        self.wait(stats(&self.connection, &self.options.schema))
    }

    fn inventory(&self, from: Time, until: Option<Time>) -> Result<Due, StoreError> {
        self.wait(reads::due(&self.connection, from, until))
    }

    fn verify(
        &self,
        limits: &StoreLimits,
        step: &mut dyn FnMut(Step),
    ) -> Result<Report, StoreError> {
        let (client, options) = (&self.connection.client, &self.options);
        self.wait(verify::whole(client, options, limits, step))
    }

    fn read(
        &self,
        each: &mut dyn FnMut(&Record) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        self.wait(read::all(&self.connection.client, &self.options.key, each))
    }

    fn fill(
        &mut self,
        next: &mut dyn FnMut() -> Result<Option<Record>, CopyError>,
    ) -> Result<(), CopyError> {
        // New mailboxes' keys are drawn from its generator.
        let mut key = self.options.key.clone();
        let done = self.wait(fill::all(&self.connection, &mut key, next));
        self.options.key = key;
        done
    }
}

/// Closes the connection without waiting, so that it may be dropped anywhere.
impl Drop for OfflinePostgres {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
