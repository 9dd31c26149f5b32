//! Replay tags in the database.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use shoal_packet::{ReplayTag, SphinxPublic};
use shoal_proto::Epoch;
use shoal_provider::{LoadedTags, PostgresState, TagBatch};

use crate::state::error::StateError;
use crate::state::kept::Overtaken;
use crate::state::replay::{Loaded, MAX_BATCH_TAGS, ReplayError, TagLog};

/// The logs of all epochs whose keys are held.
pub(in crate::state) struct PostgresTags {
    state: PostgresState,
    open: BTreeMap<Epoch, Open>,
    /// A batch failed, so that nobody knows whether its number was used.
    unsure: bool,
    overtaken: Overtaken,
}

struct Open {
    log: i64,
    /// The number of the next batch.
    next: i64,
}

impl PostgresTags {
    pub(super) const fn new(state: PostgresState, overtaken: Overtaken) -> Self {
        Self {
            state,
            open: BTreeMap::new(),
            unsure: false,
            overtaken,
        }
    }

    fn note(&self, error: StateError) -> StateError {
        if matches!(error, StateError::Overtaken) {
            self.overtaken.note();
        }
        error
    }

    /// Has a connection, and knows the next number of each log. After a new connection nothing of the one before comes any
    /// more.
    fn settle(&mut self) -> Result<(), StateError> {
        let unsure = self.unsure || self.state.is_broken();
        self.state.reach()?;
        if unsure {
            self.unsure = true;
            let epochs: Vec<Epoch> = self.open.keys().copied().collect();
            for epoch in epochs {
                match self.state.log(epoch.number(), false)? {
                    Some(found) if Some(found.log) == self.open.get(&epoch).map(|it| it.log) => {
                        let (log, next) = (found.log, found.next);
                        self.open.insert(epoch, Open { log, next });
                    }
                    _ => {
                        self.open.remove(&epoch);
                    }
                }
            }
            self.unsure = false;
        }
        Ok(())
    }

    /// Once more if the connection breaks: tags that are there twice are no more than those.
    fn append(&mut self, tags: &[(Epoch, ReplayTag, u64)]) -> io::Result<()> {
        match self.append_once(tags) {
            Err(_) if self.state.is_broken() && !self.overtaken.is_so() => self.append_once(tags),
            done => done,
        }
    }

    fn append_once(&mut self, tags: &[(Epoch, ReplayTag, u64)]) -> io::Result<()> {
        self.settle()
            .map_err(|error| io::Error::other(self.note(error)))?;
        let mut by_epoch: BTreeMap<Epoch, Vec<u8>> = BTreeMap::new();
        for (epoch, tag, _) in tags {
            by_epoch.entry(*epoch).or_default().extend(tag.as_bytes());
        }
        let mut batches = Vec::new();
        for (epoch, tags) in by_epoch {
            let open = self.open.get(&epoch).ok_or(io::ErrorKind::NotFound)?;
            for (number, tags) in (open.next..).zip(tags.chunks(MAX_BATCH_TAGS * 32)) {
                let (log, tags) = (open.log, tags.to_vec());
                batches.push((epoch, TagBatch { log, number, tags }));
            }
        }
        let (epochs, batches): (Vec<Epoch>, Vec<TagBatch>) = batches.into_iter().unzip();
        if let Err(error) = self.state.append(&batches) {
            self.unsure = true;
            return Err(io::Error::other(self.note(error.into())));
        }
        for (epoch, batch) in epochs.iter().zip(&batches) {
            if let Some(open) = self.open.get_mut(epoch) {
                open.next = batch.number.saturating_add(1);
            }
        }
        Ok(())
    }

    fn find(
        &mut self,
        epoch: Epoch,
        key: &SphinxPublic,
        with_tags: bool,
    ) -> Result<LoadedTags, ReplayError> {
        let path = PathBuf::from("the replay log in PostgreSQL");
        let found = self.state.log(epoch.number(), with_tags);
        let found = found.map_err(|error| ReplayError::Io(self.note(error.into())))?;
        let Some(found) = found else {
            return Err(ReplayError::Missing { path, epoch });
        };
        if found.key != key.as_bytes() {
            return Err(ReplayError::OtherKey { path, epoch });
        }
        if let Some(batch) = found.damaged {
            let what = format!("in batch {batch}");
            return Err(ReplayError::Damaged { path, epoch, what });
        }
        let (log, next) = (found.log, found.next);
        self.open.insert(epoch, Open { log, next });
        Ok(found)
    }
}

impl TagLog for PostgresTags {
    fn epochs(&mut self) -> Result<Vec<Epoch>, StateError> {
        let epochs = self.state.logs();
        let epochs = epochs.map_err(|error| self.note(error.into()))?;
        Ok(epochs.into_iter().map(Epoch::new).collect())
    }

    fn create(&mut self, epoch: Epoch, key: &SphinxPublic) -> Result<(), ReplayError> {
        if self.open.contains_key(&epoch) {
            return Ok(());
        }
        let made = self.state.make_log(epoch.number(), key.as_bytes());
        made.map_err(|error| ReplayError::Io(self.note(error.into())))?;
        self.find(epoch, key, false).map(drop)
    }

    fn load(&mut self, epoch: Epoch, key: &SphinxPublic) -> Result<Loaded, ReplayError> {
        let found = self.find(epoch, key, true)?;
        Ok(Loaded {
            tags: found.tags.into_iter().map(ReplayTag::new).collect(),
            torn_bytes: 0,
        })
    }

    fn append_batch(&mut self, tags: &[(Epoch, ReplayTag, u64)]) -> io::Result<()> {
        self.append(tags)
    }

    fn remove(&mut self, epoch: Epoch) -> Result<(), StateError> {
        self.open.remove(&epoch);
        let removed = self.state.remove_log(epoch.number());
        removed.map_err(|error| self.note(error.into()))
    }
}
