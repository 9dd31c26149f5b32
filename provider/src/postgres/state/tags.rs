//! Replay tags: a log for each epoch's key, which only grows, by batches of one statement and one round trip.

use tokio_postgres::types::ToSql;

use super::super::failure::unreadable;
use super::link::Link;
use super::{PostgresOptions, PostgresState};
use crate::StoreError;

/// Bytes of a tag.
const TAG: usize = 32;

const LOGS: &str = "SELECT epoch FROM tag_logs ORDER BY epoch";
const LOG: &str = "SELECT id, key FROM tag_logs WHERE epoch = $1";
const MAKE: &str = "WITH turn AS MATERIALIZED (SELECT 1 FROM turns WHERE lane = $1 AND writer = $2 FOR SHARE) \
     INSERT INTO tag_logs (epoch, key) SELECT $3::bigint, $4::bytea FROM turn \
     ON CONFLICT (epoch) DO NOTHING RETURNING id";
const REMOVE: &str = "WITH turn AS MATERIALIZED (SELECT 1 FROM turns WHERE lane = $1 AND writer = $2 FOR SHARE) \
     DELETE FROM tag_logs USING turn WHERE epoch = $3";
const LAST: &str =
    "SELECT log, number FROM tag_batches WHERE log = $1 ORDER BY log DESC, number DESC LIMIT 1";
const READ: &str = "SELECT log, number, tags, seal FROM tag_batches WHERE log = $1 AND number >= $2 \
     ORDER BY log, number LIMIT 128";
const APPEND: &str = "WITH turn AS MATERIALIZED (SELECT 1 FROM turns WHERE lane = $1 AND writer = $2 FOR SHARE) \
     INSERT INTO tag_batches (log, number, tags, seal) \
     SELECT batch.log, batch.number, batch.tags, batch.seal \
     FROM turn, unnest($3::bigint[], $4::bigint[], $5::bytea[], $6::bytea[]) AS batch(log, number, tags, seal), \
     tag_logs WHERE tag_logs.id = batch.log RETURNING number";

pub(super) const STATEMENTS: [&str; 7] = [LOGS, LOG, MAKE, REMOVE, LAST, READ, APPEND];

/// What a log holds.
pub struct LoadedTags {
    /// What names it in batches.
    pub log: i64,
    /// The key that it belongs to.
    pub key: Vec<u8>,
    /// The number of the next batch.
    pub next: i64,
    /// All tags, one after the other.
    pub tags: Vec<[u8; TAG]>,
    /// A batch is missing, or is not what was written: tags are lost.
    pub damaged: Option<i64>,
}

/// Tags that go to one log together.
pub struct TagBatch {
    /// The log.
    pub log: i64,
    /// Its number in there.
    pub number: i64,
    /// The tags, of 32 bytes each.
    pub tags: Vec<u8>,
}

impl PostgresState {
    /// The epochs that have a log, ascending.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn logs(&mut self) -> Result<Vec<u64>, StoreError> {
        self.with(async |link, _| {
            let rows = link.query(LOGS, &[]).await?;
            let epochs = rows.iter().map(|row| row.try_get::<_, i64>(0));
            epochs
                .map(|epoch| epoch.map(i64::cast_unsigned).map_err(unreadable))
                .collect()
        })
    }

    /// Makes the log of a new key, unless the epoch has one. It is there for good when this returns: what names it, and
    /// the key that it is of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn make_log(&mut self, epoch: u64, key: &[u8]) -> Result<(i64, Vec<u8>), StoreError> {
        let epoch = epoch.cast_signed();
        self.with(async |link, _| {
            let made = link.alone(MAKE, &[&epoch, &key]).await?;
            if let Some(row) = made.first() {
                return Ok((row.try_get(0).map_err(unreadable)?, key.to_vec()));
            }
            link.has_turn().await?;
            let there = log(link, epoch).await?;
            there.ok_or_else(|| StoreError::Bug("a log was made, and is not there".to_owned()))
        })
    }

    /// What the log of an epoch holds; none if there is none. Without its tags if only the next number is wanted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn log(&mut self, epoch: u64, with_tags: bool) -> Result<Option<LoadedTags>, StoreError> {
        let epoch = epoch.cast_signed();
        self.with(async |link, options| {
            let Some((log, key)) = log(link, epoch).await? else {
                return Ok(None);
            };
            let mut loaded = LoadedTags {
                log,
                key,
                next: 0,
                tags: Vec::new(),
                damaged: None,
            };
            if !with_tags {
                if let Some(row) = link.query(LAST, &[&log]).await?.first() {
                    let last: i64 = row.try_get(1).map_err(unreadable)?;
                    loaded.next = last.saturating_add(1);
                }
                return Ok(Some(loaded));
            }
            loop {
                let rows = link.query(READ, &[&log, &loaded.next]).await?;
                if rows.is_empty() {
                    return Ok(Some(loaded));
                }
                for row in rows {
                    let number: i64 = row.try_get(1).map_err(unreadable)?;
                    let tags: &[u8] = row.try_get(2).map_err(unreadable)?;
                    let seal: &[u8] = row.try_get(3).map_err(unreadable)?;
                    let (whole, rest) = tags.as_chunks::<TAG>();
                    let sound = options.key.check_batch(log, number, tags) == seal;
                    if number != loaded.next || !rest.is_empty() || !sound {
                        loaded.damaged = Some(loaded.next);
                        return Ok(Some(loaded));
                    }
                    loaded.tags.extend_from_slice(whole);
                    loaded.next = number.saturating_add(1);
                }
            }
        })
    }

    /// Writes batches, in one transaction: when it returns, they survive a crash.
    ///
    /// # Errors
    /// [`StoreError`]. None of the tags may be taken for durable then, though some may be: the numbers that follow are
    /// to be read again.
    pub fn append(&mut self, batches: &[TagBatch]) -> Result<(), StoreError> {
        // Not twice: if it counts already, its numbers are taken.
        self.once(&async |link: &Link, options: &PostgresOptions| {
            let logs: Vec<i64> = batches.iter().map(|batch| batch.log).collect();
            let numbers: Vec<i64> = batches.iter().map(|batch| batch.number).collect();
            let tags: Vec<&[u8]> = batches.iter().map(|batch| &*batch.tags).collect();
            let seals = batches.iter().map(|it| {
                options
                    .key
                    .check_batch(it.log, it.number, &it.tags)
                    .to_vec()
            });
            let seals: Vec<Vec<u8>> = seals.collect();
            let params: [&(dyn ToSql + Sync); 4] = [&logs, &numbers, &tags, &seals];
            if link.alone(APPEND, &params).await?.len() == batches.len() {
                return Ok(());
            }
            link.has_turn().await?;
            Err(StoreError::Corrupt("a log of tags is gone".to_owned()))
        })
    }

    /// Removes the log of an epoch. Its batches go with [`Self::sweep`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove_log(&mut self, epoch: u64) -> Result<(), StoreError> {
        let epoch = epoch.cast_signed();
        self.with(async |link, _| {
            link.alone(REMOVE, &[&epoch]).await?;
            // It was not there, or this is no longer ours to say.
            link.has_turn().await
        })
    }
}

async fn log(link: &Link, epoch: i64) -> Result<Option<(i64, Vec<u8>)>, StoreError> {
    let rows = link.query(LOG, &[&epoch]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let id = row.try_get(0).map_err(unreadable)?;
    Ok(Some((id, row.try_get(1).map_err(unreadable)?)))
}
