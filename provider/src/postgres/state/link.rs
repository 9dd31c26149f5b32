//! A connection of one lane, and its turn.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::connection::Connection;
use super::super::failure::{failure, unreadable};
use super::super::options::PostgresOptions;
use super::super::session::{dial, enter};
use super::{StateLane, Takeover};
use crate::StoreError;

/// The takeover's number stays locked, so that who takes over comes before this or waits until it is done.
const TAKE: &str = "WITH ours AS MATERIALIZED (SELECT 1 FROM meta WHERE fence = $2 FOR SHARE) \
     UPDATE turns SET writer = writer + 1 FROM ours WHERE lane = $1 RETURNING writer";
/// Nobody has come after this connection, nor does before it has committed.
const TURN: &str = "SELECT 1 FROM turns WHERE lane = $1 AND writer = $2 FOR SHARE";

pub(super) struct Link {
    connection: Connection,
    lane: i64,
    /// The number that we raised the lane's to.
    writer: i64,
}

impl Link {
    /// Connects, takes the turn, and prepares these statements.
    pub(super) async fn open(
        options: &PostgresOptions,
        (takeover, lane): (Takeover, StateLane),
        statements: impl Iterator<Item = &'static str>,
    ) -> Result<Self, StoreError> {
        let mut link = Self {
            connection: Connection::new(dial(options).await?),
            lane: lane.number(),
            writer: 0,
        };
        let client = &link.connection.client;
        enter(client, options).await?;
        let params: [&(dyn ToSql + Sync); 2] = [&link.lane, &takeover.number()];
        let taken = client.query_opt(TAKE, &params).await;
        let taken = taken.map_err(failure)?.ok_or(StoreError::Busy)?;
        link.writer = taken.try_get(0).map_err(unreadable)?;
        let all = statements.chain([TURN]);
        link.connection.prepare(all).await?;
        Ok(link)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.connection.client.is_closed()
    }

    pub(super) async fn query(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        self.connection.rows(sql, params).await
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
        self.connection.committing(self.query(sql, &all)).await
    }

    /// A statement that has the turn in it, and did nothing: was that for want of the turn?
    pub(super) async fn has_turn(&self) -> Result<(), StoreError> {
        let rows = self.query(TURN, &[&self.lane, &self.writer]).await?;
        match rows.is_empty() {
            true => Err(StoreError::Busy),
            false => Ok(()),
        }
    }

    /// What it goes over.
    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }
}
