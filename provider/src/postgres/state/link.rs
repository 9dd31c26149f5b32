//! A connection of one lane, and its turn.

use std::cell::Cell;
use std::collections::BTreeMap;

use futures::future::try_join_all;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::super::failure::{failure, unreadable};
use super::super::options::PostgresOptions;
use super::super::session::{dial, enter};
use super::{StateLane, Takeover, rows, tags};
use crate::StoreError;

/// The takeover's number stays locked, so that who takes over comes before this or waits until it is done.
const TAKE: &str = "WITH ours AS MATERIALIZED (SELECT 1 FROM meta WHERE fence = $2 FOR SHARE) \
     UPDATE turns SET writer = writer + 1 FROM ours WHERE lane = $1 RETURNING writer";
/// Nobody has come after this connection, nor does before it has committed.
pub(super) const TURN: &str = "SELECT 1 FROM turns WHERE lane = $1 AND writer = $2 FOR SHARE";

pub(super) struct Link {
    client: Client,
    driver: JoinHandle<()>,
    statements: BTreeMap<&'static str, Statement>,
    lane: i64,
    /// The number that we raised the lane's to.
    writer: i64,
    committing: Cell<bool>,
}

impl Link {
    pub(super) async fn open(
        options: &PostgresOptions,
        takeover: Takeover,
        lane: StateLane,
    ) -> Result<Self, StoreError> {
        let (client, driver) = dial(options).await?;
        let mut link = Self {
            client,
            driver,
            statements: BTreeMap::new(),
            lane: lane.number(),
            writer: 0,
            committing: Cell::new(false),
        };
        enter(&link.client, options).await?;
        let params: [&(dyn ToSql + Sync); 2] = [&link.lane, &takeover.number()];
        let taken = link.client.query_opt(TAKE, &params).await;
        let taken = taken.map_err(failure)?.ok_or(StoreError::Busy)?;
        link.writer = taken.try_get(0).map_err(unreadable)?;
        let sql = [TURN]
            .into_iter()
            .chain(rows::STATEMENTS)
            .chain(tags::STATEMENTS);
        let client = &link.client;
        let prepared = sql.map(|sql| async move {
            let statement = client.prepare(sql).await.map_err(failure)?;
            Ok::<_, StoreError>((sql, statement))
        });
        link.statements = try_join_all(prepared).await?.into_iter().collect();
        Ok(link)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.client.is_closed()
    }

    fn statement(&self, sql: &'static str) -> Result<&Statement, StoreError> {
        let unknown = || StoreError::Bug("a statement was not prepared".to_owned());
        self.statements.get(sql).ok_or_else(unknown)
    }

    pub(super) async fn query(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let statement = self.statement(sql)?;
        self.client.query(statement, params).await.map_err(failure)
    }

    /// What a statement that has the turn in it changes, all in one transaction: its first two parameters are the
    /// turn's.
    pub(super) async fn alone(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let mut all: Vec<&(dyn ToSql + Sync)> = vec![&self.lane, &self.writer];
        all.extend(params);
        self.committing.set(true);
        let rows = self.query(sql, &all).await?;
        self.committing.set(false);
        Ok(rows)
    }

    /// A statement that has the turn in it, and did nothing: was that for want of the turn?
    pub(super) async fn has_turn(&self) -> Result<(), StoreError> {
        let rows = self.query(TURN, &[&self.lane, &self.writer]).await?;
        match rows.is_empty() {
            true => Err(StoreError::Busy),
            false => Ok(()),
        }
    }

    /// Nothing is being committed.
    pub(super) fn settled(&self) {
        self.committing.set(false);
    }

    pub(super) async fn begin(&self) -> Result<(), StoreError> {
        self.committing.set(false);
        self.client.batch_execute("BEGIN").await.map_err(failure)
    }

    pub(super) async fn commit(&self) -> Result<(), StoreError> {
        self.committing.set(true);
        self.client.batch_execute("COMMIT").await.map_err(failure)?;
        self.committing.set(false);
        Ok(())
    }

    pub(super) async fn roll_back(&self) -> Result<(), StoreError> {
        self.client.batch_execute("ROLLBACK").await.map_err(failure)
    }

    pub(super) const fn is_committing(&self) -> bool {
        self.committing.get()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
