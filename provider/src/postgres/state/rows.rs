//! Rows: all changes of a call in one transaction of two round trips.

use std::collections::BTreeMap;

use futures::future::try_join4;
use tokio_postgres::{Client, Row};
use zeroize::Zeroizing;

use super::super::failure::{failure, unreadable};
use super::{PostgresState, StateChange, StateRow};
use crate::{StoreError, StoreKey};

const ALL: &str = "SELECT kind, key, value, sealed FROM state_rows ORDER BY kind, key";
const OF_KIND: &str =
    "SELECT kind, key, value, sealed FROM state_rows WHERE kind = $1 ORDER BY key";
const REMOVE: &str = "DELETE FROM state_rows USING unnest($1::text[], $2::bytea[]) AS gone(kind, key) \
     WHERE state_rows.kind = gone.kind AND state_rows.key = gone.key";
const PUT: &str = "INSERT INTO state_rows (kind, key, value, sealed) \
     SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::boolean[]) \
     ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, sealed = excluded.sealed";
/// The first of the batches of the logs behind this one.
const NEXT_LOG: &str =
    "SELECT log, number FROM tag_batches WHERE log > $1 ORDER BY log, number LIMIT 1";
const FIRST: &str =
    "SELECT log, number FROM tag_batches WHERE log = $1 ORDER BY log, number LIMIT 1";
const HAS_LOG: &str = "SELECT 1 FROM tag_logs WHERE id = $1";
const SWEEP: &str = "WITH turn AS MATERIALIZED (SELECT 1 FROM turns WHERE lane = $1 AND writer = $2 FOR SHARE) \
     DELETE FROM tag_batches USING turn WHERE log = $3 AND number < $4";

pub(super) const STATEMENTS: [&str; 7] = [ALL, REMOVE, PUT, NEXT_LOG, FIRST, HAS_LOG, SWEEP];

/// Batches that are deleted by one transaction.
const PIECE: i64 = 5000;

impl PostgresState {
    /// All rows, by kind and key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rows(&mut self) -> Result<Vec<StateRow>, StoreError> {
        self.with(async |link, options| {
            let rows = link.query(ALL, &[]).await?;
            rows.iter().map(|row| read(row, &options.key)).collect()
        })
    }

    /// Makes all changes or none: when it returns, they survive a crash. Of two of one row the later counts.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has changed then, or it is unknown ([`Self::is_uncertain`]).
    pub fn change(&mut self, changes: &[StateChange<'_>]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut last = BTreeMap::new();
        for change in changes {
            last.insert((change.kind, change.key), change);
        }
        self.with(async |link, options| {
            let (mut gone_kinds, mut gone_keys) = (Vec::new(), Vec::new());
            let (mut kinds, mut keys) = (Vec::new(), Vec::new());
            let (mut values, mut sealed) = (Vec::new(), Vec::new());
            for (&(kind, key), change) in &last {
                let Some(value) = change.value else {
                    gone_kinds.push(kind);
                    gone_keys.push(key);
                    continue;
                };
                values.push(match change.secret {
                    true => options
                        .key
                        .seal_row(kind, key, value)
                        .ok_or_else(too_long)?,
                    false => value.to_vec(),
                });
                kinds.push(kind);
                keys.push(key);
                sealed.push(change.secret);
            }
            let remove = async {
                match gone_kinds.is_empty() {
                    true => Ok(Vec::new()),
                    false => link.query(REMOVE, &[&gone_kinds, &gone_keys]).await,
                }
            };
            let put = async {
                match kinds.is_empty() {
                    true => Ok(Vec::new()),
                    false => link.query(PUT, &[&kinds, &keys, &values, &sealed]).await,
                }
            };
            // In this order: each is sent when it is polled first.
            let connection = link.connection();
            try_join4(connection.begin(), link.has_turn(), remove, put).await?;
            connection.commit().await
        })
    }

    /// Deletes the batches of logs that are gone, in pieces.
    ///
    /// # Errors
    /// [`StoreError`]; what is left is deleted another time.
    pub fn sweep(&mut self) -> Result<(), StoreError> {
        self.with(async |link, _| {
            let mut log = i64::MIN;
            while let Some(row) = link.query(NEXT_LOG, &[&log]).await?.first() {
                log = row.try_get(0).map_err(unreadable)?;
                if !link.query(HAS_LOG, &[&log]).await?.is_empty() {
                    continue;
                }
                while let Some(row) = link.query(FIRST, &[&log]).await?.first() {
                    let first: i64 = row.try_get(1).map_err(unreadable)?;
                    link.has_turn().await?;
                    let end = first.saturating_add(PIECE);
                    link.alone(SWEEP, &[&log, &end]).await?;
                }
            }
            Ok(())
        })
    }
}

/// The rows of a kind, over any connection.
pub(super) async fn of_kind(
    client: &Client,
    key: &StoreKey,
    kind: &str,
) -> Result<Vec<StateRow>, StoreError> {
    let rows = client.query(OF_KIND, &[&kind]).await.map_err(failure)?;
    rows.iter().map(|row| read(row, key)).collect()
}

fn read(row: &Row, store: &StoreKey) -> Result<StateRow, StoreError> {
    let kind: String = row.try_get(0).map_err(unreadable)?;
    let key: Vec<u8> = row.try_get(1).map_err(unreadable)?;
    let value: &[u8] = row.try_get(2).map_err(unreadable)?;
    let value = match row.try_get(3).map_err(unreadable)? {
        true => store.open_row(&kind, &key, value).ok(),
        false => Some(Zeroizing::new(value.to_vec())),
    };
    Ok(StateRow { kind, key, value })
}

fn too_long() -> StoreError {
    StoreError::Bug("a secret has more than 64 bytes".to_owned())
}
