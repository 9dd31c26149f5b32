//! A connection with its statements, and whether a commit over it was answered.

use std::cell::Cell;
use std::collections::BTreeMap;

use futures::future::try_join_all;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::failure::failure;
use crate::StoreError;

/// Over which each statement is prepared once. The server sees its end when it is dropped.
pub(super) struct Connection {
    pub(super) client: Client,
    driver: JoinHandle<()>,
    statements: BTreeMap<&'static str, Statement>,
    /// A commit was asked for, and not answered.
    committing: Cell<bool>,
}

impl Connection {
    pub(super) fn new((client, driver): (Client, JoinHandle<()>)) -> Self {
        Self {
            client,
            driver,
            statements: BTreeMap::new(),
            committing: Cell::new(false),
        }
    }

    /// Prepares statements, all in one round trip.
    pub(super) async fn prepare(
        &mut self,
        all: impl IntoIterator<Item = &'static str>,
    ) -> Result<(), StoreError> {
        let client = &self.client;
        let prepared = all.into_iter().map(|sql| async move {
            let statement = client.prepare(sql).await.map_err(failure)?;
            Ok::<_, StoreError>((sql, statement))
        });
        self.statements = try_join_all(prepared).await?.into_iter().collect();
        Ok(())
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

    /// A statement that was prepared.
    pub(super) fn statement(&self, sql: &'static str) -> Result<&Statement, StoreError> {
        let unknown = || StoreError::Bug("a statement was not prepared".to_owned());
        self.statements.get(sql).ok_or_else(unknown)
    }

    pub(super) async fn begin(&self) -> Result<(), StoreError> {
        self.settled();
        self.client.batch_execute("BEGIN").await.map_err(failure)
    }

    /// Ends the transaction. On an error it is unknown whether it counts, if the connection is broken.
    pub(super) async fn commit(&self) -> Result<(), StoreError> {
        let end = async { self.client.batch_execute("COMMIT").await.map_err(failure) };
        self.committing(end).await
    }

    /// Does what commits.
    pub(super) async fn committing<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.committing.set(true);
        let done = work.await?;
        self.settled();
        Ok(done)
    }

    /// Nothing is being committed.
    pub(super) fn settled(&self) {
        self.committing.set(false);
    }

    /// Whether a commit was asked for, of which nobody knows how it ended.
    pub(super) const fn is_committing(&self) -> bool {
        self.committing.get()
    }

    /// Gives up the transaction.
    pub(super) async fn roll_back(&self) -> Result<(), StoreError> {
        self.client.batch_execute("ROLLBACK").await.map_err(failure)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
