//! One replay log: opened, read, appended to, deleted.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use shoal_packet::{ReplayTag, SphinxPublic};
use shoal_proto::Epoch;
use thiserror::Error;

use super::format::{Fault, MAX_BATCH_TAGS, encode_batch, encode_header, read};
use crate::state::StateDir;
use crate::state::error::StateError;
use crate::state::files::{PRIVATE, sync_parent, write_new};

/// Why the tags of an epoch can't be had. After each of these but [`ReplayError::Io`], the epoch's
/// key must be forgotten: packets that it has unwrapped would be taken again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// There is no file.
    #[error("{path} is missing, so nobody knows which packets of epoch {epoch} were taken before; the epoch's key must not be used any more", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Its epoch.
        epoch: Epoch,
    },
    /// The file was made for another key.
    #[error("{path} belongs to another key than the one of epoch {epoch}; the epoch's key must not be used any more", path = path.display())]
    OtherKey {
        /// The file.
        path: PathBuf,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Tags are lost.
    #[error("{path} is damaged ({what}), so nobody knows which packets of epoch {epoch} were taken before; the epoch's key must not be used any more", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its epoch.
        epoch: Epoch,
        /// Where.
        what: String,
    },
    /// The system refused.
    #[error(transparent)]
    Io(StateError),
}

/// What a file held.
#[derive(Debug)]
pub struct Loaded {
    /// Every tag that was ever reported durable, and perhaps some that were not.
    pub tags: Vec<ReplayTag>,
    /// Bytes of a torn last batch that were cut off.
    pub torn_bytes: u64,
}

/// The log of all epochs whose keys are held. One writer only: the lock on the state directory
/// sees to that.
#[derive(Debug)]
pub struct ReplayLog {
    dir: PathBuf,
    open: BTreeMap<Epoch, Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Where the next batch goes: everything before is durable.
    end: u64,
    batches: u64,
}

/// Name of the folder in the state directory.
pub(in crate::state) const LOG_DIR: &str = "replay";

impl ReplayLog {
    /// The log in the directory `replay` of a state directory, which is made if it is not there.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn open(state: &Path) -> Result<Self, StateError> {
        let dir = state.join(LOG_DIR);
        StateDir::create(&dir)?;
        sync_parent(&dir)?;
        Ok(Self {
            dir,
            open: BTreeMap::new(),
        })
    }

    /// The epochs that have a file, in order.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn epochs(&self) -> Result<Vec<Epoch>, StateError> {
        let mut epochs = Vec::new();
        let entries = std::fs::read_dir(&self.dir).map_err(StateError::io("list", &self.dir))?;
        for entry in entries {
            let name = entry
                .map_err(StateError::io("list", &self.dir))?
                .file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_suffix(".log")?.parse().ok());
            epochs.extend(number.map(Epoch::new));
        }
        epochs.sort_unstable();
        Ok(epochs)
    }

    /// Makes the file of a new key. It is on disk before this returns, so the key may be kept and
    /// used from then on. Done before for the same key, it does nothing.
    ///
    /// # Errors
    /// [`ReplayError::OtherKey`] if there is a file of another key.
    pub fn create(&mut self, epoch: Epoch, key: &SphinxPublic) -> Result<(), ReplayError> {
        if self.open.contains_key(&epoch) {
            return Ok(());
        }
        let path = self.path(epoch);
        match write_new(&path, &encode_header(epoch, key.as_bytes()), PRIVATE) {
            Ok(()) | Err(StateError::Exists(_)) => self.load(epoch, key).map(drop),
            Err(error) => Err(ReplayError::Io(error)),
        }
    }

    /// Reads the tags of a key that was made before, cuts off a torn tail, and opens the file for
    /// more.
    ///
    /// # Errors
    /// [`ReplayError`]; see there what follows from it.
    pub fn load(&mut self, epoch: Epoch, key: &SphinxPublic) -> Result<Loaded, ReplayError> {
        let path = self.path(epoch);
        let io = |action| {
            let fail = StateError::io(action, &path);
            move |error| ReplayError::Io(fail(error))
        };
        let mut options = OpenOptions::new();
        let file = match options.read(true).write(true).mode(PRIVATE).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReplayError::Missing { path, epoch });
            }
            Err(error) => return Err(io("open")(error)),
        };
        let bytes = std::fs::read(&path).map_err(io("read"))?;
        let decoded = read(&bytes, epoch, key.as_bytes())
            .map_err(|fault| explain(fault, path.clone(), epoch))?;
        let (end, length) = (decoded.length as u64, bytes.len() as u64);
        if end < length {
            let cut = || {
                file.set_len(end)?;
                file.sync_all()
            };
            cut().map_err(io("cut the torn tail off"))?;
        }
        self.open.insert(
            epoch,
            Open {
                file,
                end,
                batches: decoded.batches,
            },
        );
        Ok(Loaded {
            tags: decoded.tags,
            torn_bytes: length - end,
        })
    }

    /// Writes tags and flushes them: when it returns, they survive a crash. The numbers beside
    /// them are the caller's and are not written.
    ///
    /// # Errors
    /// What the system said; [`io::ErrorKind::NotFound`] for an epoch whose file is not open. None
    /// of the tags may be taken for durable then, though some may be. The next call starts over.
    pub fn append_batch(&mut self, tags: &[(Epoch, ReplayTag, u64)]) -> io::Result<()> {
        let mut by_epoch: BTreeMap<Epoch, Vec<ReplayTag>> = BTreeMap::new();
        for (epoch, tag, _) in tags {
            by_epoch.entry(*epoch).or_default().push(*tag);
        }
        for (epoch, tags) in by_epoch {
            let open = self.open.get_mut(&epoch).ok_or(io::ErrorKind::NotFound)?;
            for tags in tags.chunks(MAX_BATCH_TAGS) {
                open.append(tags)?;
            }
        }
        Ok(())
    }

    /// Deletes the file of an epoch whose key was deleted. That there is none is no error.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn remove(&mut self, epoch: Epoch) -> Result<(), StateError> {
        self.open.remove(&epoch);
        let path = self.path(epoch);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StateError::io("remove", &path)(error))
            }
            _ => sync_parent(&path),
        }
    }

    fn path(&self, epoch: Epoch) -> PathBuf {
        self.dir.join(format!("{epoch}.log"))
    }
}

impl Open {
    fn append(&mut self, tags: &[ReplayTag]) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode_batch(self.batches, tags, &mut bytes);
        // Written at a place, not at the file's end: what a failed call left is written over.
        self.file.write_all_at(&bytes, self.end)?;
        self.file.sync_data()?;
        self.end += bytes.len() as u64;
        self.batches += 1;
        Ok(())
    }
}

fn explain(fault: Fault, path: PathBuf, epoch: Epoch) -> ReplayError {
    match fault {
        Fault::Key => ReplayError::OtherKey { path, epoch },
        Fault::Header => ReplayError::Damaged {
            path,
            epoch,
            what: "its header does not fit".to_owned(),
        },
        Fault::Batch { number } => ReplayError::Damaged {
            path,
            epoch,
            what: format!("in batch {number}"),
        },
    }
}
