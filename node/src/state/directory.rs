//! The directory's state: documents, descriptors, the own sequence number.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shoal_packet::{ReplayTag, SphinxSecret};
use shoal_proto::{Epoch, NetworkHash};
use shoal_topology::{DirectoryChange, MAX_SUCCESSOR_BYTES, Restored, Successor};
use zeroize::Zeroizing;

use super::changes::{Row, load_row, row};
use super::dir::StateDir;
use super::error::StateError;
use super::files::{read_secret, remove_secret, sync_parent, write_atomic, write_secret};
use super::kept::{DirectoryState, LoadedDirectory, NotKept};
use super::keys::{decode, encode};
use super::replay::{ReplayError, ReplayWriter, TagLog};
use super::rows::{RowChange, Rows};

pub(super) const FILE: &str = "directory.db";
pub(super) const KEY_DIR: &str = "epoch-keys";
const KEY_KIND: &str = "shoal-epoch-key-1";
pub(super) const SEAT_DIR: &str = "seat-keys";
const SEAT_KIND: &str = "shoal-seat-key-1";
pub(super) const SUCCESSOR_DIR: &str = "successors";

/// Grows with every change of a row.
const LAYOUT: i64 = 4;

const ADVICE: &str = "move it away: the node gets documents and descriptors from the others again";

/// What the directory's state machine asks a node to keep: documents, descriptors and the own
/// sequence number in a database, the secret of each epoch in a file of its own beside it.
///
/// A secret is only ever on disk together with its replay log: the log is made before the secret
/// is kept, and a secret whose log is gone or damaged is forgotten.
#[derive(Debug)]
pub struct DirectoryFiles {
    rows: Rows,
    keys: PathBuf,
    /// The key for a seat: one file, named by the numbers of the oldest and the newest key that follow
    /// from it. The next is written before the one before is removed.
    seats: PathBuf,
    /// The files that follow on the network's, as they are.
    successors: PathBuf,
}

impl DirectoryFiles {
    /// Opens the database in a state directory, or makes it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        let keys = dir.join(KEY_DIR);
        let seats = dir.join(SEAT_DIR);
        let successors = dir.join(SUCCESSOR_DIR);
        for made in [&keys, &seats, &successors] {
            StateDir::create(made)?;
            sync_parent(made)?;
        }
        Ok(Self {
            rows: Rows::open(&dir.join(FILE), LAYOUT, ADVICE)?,
            keys,
            seats,
            successors,
        })
    }

    /// Everything that was kept. Opens the replay log of each secret for more tags, and removes
    /// secrets without a log and logs without a secret.
    ///
    /// # Errors
    /// [`StateError`]. Damage to a secret or to its log is none: it is told of in
    /// [`LoadedDirectory::forgotten`].
    pub fn load(&self, log: &mut dyn TagLog) -> Result<LoadedDirectory, StateError> {
        let mut loaded = LoadedDirectory::default();
        self.load_rows(&mut loaded.restored)?;
        loaded.restored.successors = texts(&self.successors)?;
        loaded.restored.seat_keys = self.load_seat_keys()?;
        for epoch in self.key_epochs()? {
            match self.load_key(epoch, log)? {
                Ok((secret, tags)) => {
                    loaded.restored.keys.push((epoch, secret));
                    loaded.tags.push((epoch, tags));
                }
                Err(why) => {
                    remove_secret(&self.key_path(epoch))?;
                    log.remove(epoch)?;
                    loaded.forgotten.push((epoch, why));
                }
            }
        }
        // A crash between the making of a log and the keeping of its key leaves these.
        for epoch in log.epochs()? {
            if !loaded.restored.keys.iter().any(|(kept, _)| *kept == epoch) {
                log.remove(epoch)?;
            }
        }
        Ok(loaded)
    }

    /// Keeps changes durably: each secret in its file, and all rows with one commit. It waits for the
    /// disk.
    ///
    /// # Errors
    /// [`NotKept`] has the changes that are not on disk, of which at most a replay log without a secret
    /// was made. The others are.
    pub fn apply(
        &mut self,
        changes: Vec<DirectoryChange>,
        log: &ReplayWriter,
    ) -> Result<(), NotKept> {
        let (mut rows, mut of_rows) = (Vec::new(), Vec::new());
        let (mut failed, mut why) = (Vec::new(), None);
        for change in changes {
            if let Some(row) = row(&change) {
                rows.push(row);
                of_rows.push(change);
            } else if let Err(error) = self.apply_file(&change, log) {
                failed.push(change);
                why.get_or_insert(error);
            }
        }
        if let Err(error) = self.apply_rows(&rows) {
            failed.extend(of_rows);
            why.get_or_insert(error);
        }
        match why {
            Some(why) => Err(NotKept {
                changes: failed,
                why,
            }),
            None => Ok(()),
        }
    }

    fn apply_file(&self, change: &DirectoryChange, log: &ReplayWriter) -> Result<(), StateError> {
        match change {
            DirectoryChange::Key { epoch, secret } => self.keep_key(*epoch, secret, log),
            DirectoryChange::RemoveKey { epoch } => {
                remove_secret(&self.key_path(*epoch))?;
                log.remove(*epoch)
            }
            DirectoryChange::SeatKeys { kept } => self.keep_seat_keys(kept),
            DirectoryChange::Successor { hash, text } => {
                write_atomic(&successor_path(&self.successors, hash), text, 0o644)
            }
            _ => Ok(()),
        }
    }

    fn keep_seat_keys(&self, kept: &[u8]) -> Result<(), StateError> {
        let Some((first, rest)) = kept.split_first_chunk() else {
            return Ok(());
        };
        let Some((named, secret)) = rest.split_first_chunk() else {
            return Ok(());
        };
        let secret: Zeroizing<[u8; 32]> = match secret.try_into() {
            Ok(secret) => Zeroizing::new(secret),
            Err(_) => return Ok(()),
        };
        let numbers = (u64::from_be_bytes(*first), u64::from_be_bytes(*named));
        let before = self.seat_files()?;
        write_secret(
            &self.seat_path(numbers),
            encode(SEAT_KIND, &secret).as_bytes(),
        )?;
        for old in before.into_iter().filter(|old| *old != numbers) {
            remove_secret(&self.seat_path(old))?;
        }
        Ok(())
    }

    /// As it was kept; none for a new node.
    fn load_seat_keys(&self) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
        let files = self.seat_files()?;
        // After a crash between writing and removing the newest counts.
        let Some(numbers) = files
            .into_iter()
            .max_by_key(|(first, named)| (*named, *first))
        else {
            return Ok(None);
        };
        let path = self.seat_path(numbers);
        let content = read_secret(&path, "the node makes it")?;
        // One that is damaged is made anew: the node sits again from the next term on.
        let Ok(secret) = decode(SEAT_KIND, &content) else {
            return Ok(None);
        };
        let (first, named) = numbers;
        let mut kept = Zeroizing::new(Vec::with_capacity(48));
        kept.extend_from_slice(&first.to_be_bytes());
        kept.extend_from_slice(&named.to_be_bytes());
        kept.extend_from_slice(secret.as_slice());
        Ok(Some(kept))
    }

    fn seat_files(&self) -> Result<Vec<(u64, u64)>, StateError> {
        let names = file_names(&self.seats)?;
        let numbers = |name: &String| {
            let (first, named) = name.strip_suffix(".key")?.split_once('-')?;
            Some((first.parse().ok()?, named.parse().ok()?))
        };
        Ok(names.iter().filter_map(numbers).collect())
    }

    fn seat_path(&self, (first, named): (u64, u64)) -> PathBuf {
        self.seats.join(format!("{first}-{named}.key"))
    }

    fn apply_rows(&mut self, rows: &[Row]) -> Result<(), StateError> {
        if rows.is_empty() {
            return Ok(());
        }
        let borrowed = rows.iter().map(|(kind, key, value)| RowChange {
            kind,
            key: key.as_slice().into(),
            value: value.as_deref().map(Into::into),
        });
        self.rows.apply(borrowed)
    }

    fn keep_key(
        &self,
        epoch: Epoch,
        secret: &Zeroizing<[u8; 32]>,
        log: &ReplayWriter,
    ) -> Result<(), StateError> {
        create_log(log, epoch, secret, &self.key_path(epoch))?;
        write_secret(&self.key_path(epoch), encode(KEY_KIND, secret).as_bytes())
    }

    fn load_rows(&self, restored: &mut Restored) -> Result<(), StateError> {
        self.rows.load(&[], |kind, key, value| {
            load_row(restored, kind, &key, value)
        })
    }

    /// Each row as it is.
    #[cfg(feature = "postgres")]
    pub(super) fn each_row(
        &self,
        each: impl FnMut(&str, Vec<u8>, Vec<u8>) -> Result<(), String>,
    ) -> Result<(), StateError> {
        self.rows.load(&[], each)
    }

    fn key_epochs(&self) -> Result<Vec<Epoch>, StateError> {
        let names = file_names(&self.keys)?;
        let number = |name: &String| name.strip_suffix(".key")?.parse().ok();
        let mut epochs: Vec<Epoch> = names.iter().filter_map(number).map(Epoch::new).collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    /// The secret and its tags; or why it must be forgotten.
    #[expect(clippy::type_complexity, reason = "used once")]
    fn load_key(
        &self,
        epoch: Epoch,
        log: &mut dyn TagLog,
    ) -> Result<Result<(Zeroizing<[u8; 32]>, Vec<ReplayTag>), String>, StateError> {
        let path = self.key_path(epoch);
        let content = read_secret(&path, "the node makes it")?;
        let secret = match decode(KEY_KIND, &content) {
            Ok(secret) => secret,
            Err(what) => return Ok(Err(format!("{} is damaged: {what}", path.display()))),
        };
        match log.load(epoch, &SphinxSecret::from_bytes(*secret).public()) {
            Ok(loaded) => Ok(Ok((secret, loaded.tags))),
            Err(ReplayError::Io(error)) => Err(error),
            Err(lost) => Ok(Err(lost.to_string())),
        }
    }

    fn key_path(&self, epoch: Epoch) -> PathBuf {
        self.keys.join(format!("{epoch}.key"))
    }
}

impl DirectoryState for DirectoryFiles {
    fn load(&mut self, log: &mut dyn TagLog) -> Result<LoadedDirectory, StateError> {
        Self::load(self, log)
    }

    fn apply(&mut self, changes: Vec<DirectoryChange>, log: &ReplayWriter) -> Result<(), NotKept> {
        Self::apply(self, changes, log)
    }
}

/// Makes the log of a secret, before that is kept.
pub(super) fn create_log(
    log: &ReplayWriter,
    epoch: Epoch,
    secret: &[u8; 32],
    beside: &Path,
) -> Result<(), StateError> {
    let public = SphinxSecret::from_bytes(*secret).public();
    log.create(epoch, &public).map_err(|error| match error {
        ReplayError::Io(error) => error,
        other => {
            let other = std::io::Error::other(other);
            StateError::io("make the replay log beside", beside)(other)
        }
    })
}

/// The files that follow on the network's, as a node accepted them: see [`NetworkParameters::at`]. One that can't be
/// read is fetched again.
///
/// # Errors
/// [`StateError`].
///
/// [`NetworkParameters::at`]: shoal_topology::NetworkParameters::at
pub fn successors(dir: &Path) -> Result<Vec<Successor>, StateError> {
    let folder = dir.join(SUCCESSOR_DIR);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let texts = texts(&folder)?;
    let read = texts.iter().filter_map(|text| Successor::parse(text).ok());
    Ok(read.collect())
}

/// Where such a file is kept, in their folder.
pub(super) fn successor_path(folder: &Path, hash: &NetworkHash) -> PathBuf {
    folder.join(format!("{hash}.toml"))
}

fn texts(folder: &Path) -> Result<Vec<Arc<[u8]>>, StateError> {
    let names = file_names(folder)?;
    let files = names.iter().filter(|name| name.ends_with(".toml"));
    let read = files.map(|name| {
        let (path, mut text) = (folder.join(name), Vec::new());
        let most = MAX_SUCCESSOR_BYTES as u64 + 1;
        let file = File::open(&path).map_err(StateError::io("open", &path))?;
        let mut file = file.take(most);
        file.read_to_end(&mut text)
            .map_err(StateError::io("read", &path))?;
        Ok(text.into())
    });
    read.collect()
}

/// Names of files in a directory, as far as they are text.
pub(super) fn file_names(dir: &Path) -> Result<Vec<String>, StateError> {
    let entries = std::fs::read_dir(dir).map_err(StateError::io("list", dir))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StateError::io("list", dir))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use shoal_proto::{DocumentHash, NodeId};
    use shoal_topology::agreement::Height;

    use super::*;
    use crate::state::ReplayLog;

    fn key(epoch: u64) -> DirectoryChange {
        let secret = Zeroizing::new([epoch.to_le_bytes()[0] + 1; 32]);
        DirectoryChange::Key {
            epoch: Epoch::new(epoch),
            secret,
        }
    }

    fn store(dir: &Path, changes: Vec<DirectoryChange>) {
        let mut store = DirectoryFiles::open(dir).unwrap();
        let mut log = ReplayLog::open(dir).unwrap();
        store.load(&mut log).unwrap();
        let writer = ReplayWriter::spawn(log, 16, |_| {}).unwrap();
        assert!(store.apply(changes, &writer).is_ok());
        assert!(writer.append(0, Epoch::new(1), ReplayTag::new([5; 32])));
    }

    fn load(dir: &Path) -> LoadedDirectory {
        let mut log = ReplayLog::open(dir).unwrap();
        DirectoryFiles::open(dir).unwrap().load(&mut log).unwrap()
    }

    fn epochs(loaded: &LoadedDirectory) -> Vec<u64> {
        loaded
            .restored
            .keys
            .iter()
            .map(|(epoch, _)| epoch.number())
            .collect()
    }

    #[test]
    fn changes_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let id = NodeId::new([3; 32]);
        let descriptor = |sequence, bytes: [u8; 1]| DirectoryChange::Descriptor {
            id,
            sequence,
            bytes: bytes.into(),
        };
        store(
            dir.path(),
            vec![
                key(1),
                key(2),
                DirectoryChange::Document {
                    epoch: Epoch::new(1),
                    bytes: [1].into(),
                },
                DirectoryChange::Document {
                    epoch: Epoch::new(2),
                    bytes: [2].into(),
                },
                descriptor(7, [7]),
                descriptor(8, [8]),
                DirectoryChange::Sequence(9),
                DirectoryChange::RemoveDocument {
                    epoch: Epoch::new(1),
                },
                DirectoryChange::RemoveDescriptor { id, sequence: 7 },
                DirectoryChange::RemoveKey {
                    epoch: Epoch::new(2),
                },
            ],
        );
        let loaded = load(dir.path());
        assert_eq!(epochs(&loaded), [1]);
        assert_eq!(loaded.restored.documents, [[2].into()]);
        assert_eq!(loaded.restored.descriptors, [[8].into()]);
        assert_eq!(loaded.restored.sequence, 9);
        assert_eq!(
            loaded.tags,
            [(Epoch::new(1), vec![ReplayTag::new([5; 32])])]
        );
        assert!(loaded.forgotten.is_empty());
    }

    #[test]
    fn what_a_seat_needs_is_kept_and_the_key_before_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let kept = |first: u64, named: u64, secret: u8| {
            let numbers = [first.to_be_bytes(), named.to_be_bytes()].concat();
            Zeroizing::new([numbers, vec![secret; 32]].concat())
        };
        let (height, hash) = (Height::new(7), DocumentHash::new([4; 32]));
        let record = |number, byte: u8| DirectoryChange::Record {
            height,
            number,
            bytes: [byte].into(),
        };
        let handover = |height, byte: u8| DirectoryChange::Handover {
            height: Height::new(height),
            bytes: [byte].into(),
        };
        let accused = |number| NodeId::new([number; 32]);
        let evidence = |number, byte: u8| DirectoryChange::Evidence {
            id: accused(number),
            bytes: [byte].into(),
        };
        let proposal = DirectoryChange::Proposal {
            hash,
            bytes: [9].into(),
        };
        store(
            dir.path(),
            vec![
                handover(300, 3),
                handover(1, 1),
                record(300, 2),
                record(2, 1),
                record(1, 0),
                proposal,
                evidence(3, 5),
                evidence(4, 6),
                DirectoryChange::SeatKeys {
                    kept: kept(0, 0, 5),
                },
            ],
        );
        let loaded = load(dir.path()).restored;
        assert_eq!(loaded.handovers, [[1].into(), [3].into()]);
        let records: Vec<_> = loaded.records.values().flatten().copied().collect();
        assert_eq!(records, [0, 1, 2]);
        assert_eq!(loaded.proposals, [[9].into()]);
        assert_eq!(loaded.seat_keys, Some(kept(0, 0, 5)));
        let second = DirectoryChange::SeatKeys {
            kept: kept(1, 1, 6),
        };
        let number = 1;
        let gone = DirectoryChange::RemoveRecord { height, number };
        store(
            dir.path(),
            vec![
                second,
                gone,
                DirectoryChange::RemoveProposal { hash },
                DirectoryChange::RemoveEvidence { id: accused(3) },
            ],
        );
        let loaded = load(dir.path()).restored;
        assert_eq!(loaded.seat_keys, Some(kept(1, 1, 6)));
        assert_eq!((loaded.records.len(), loaded.proposals.len()), (2, 0));
        assert!(loaded.evidence.into_iter().eq([(accused(4), [6].into())]));
        let files = file_names(&dir.path().join(SEAT_DIR)).unwrap();
        assert_eq!(files, ["1-1.key"]);
    }

    #[test]
    fn a_key_without_its_replay_log_is_forgotten() {
        for damage in ["remove", "flip", "other"] {
            let dir = tempfile::tempdir().unwrap();
            store(dir.path(), vec![key(1), key(2)]);
            let log = dir.path().join("replay/1.log");
            match damage {
                "remove" => std::fs::remove_file(&log).unwrap(),
                "flip" => {
                    let mut bytes = std::fs::read(&log).unwrap();
                    bytes[20] ^= 1;
                    std::fs::write(&log, bytes).unwrap();
                }
                _ => {
                    std::fs::copy(dir.path().join("replay/2.log"), &log).unwrap();
                }
            }
            let loaded = load(dir.path());
            assert_eq!(epochs(&loaded), [2], "{damage}");
            assert_eq!(loaded.forgotten.len(), 1, "{damage}");
            // For good: it is not on disk any more.
            assert_eq!(epochs(&load(dir.path())), [2]);
            assert!(load(dir.path()).forgotten.is_empty());
        }
    }

    #[test]
    fn a_log_without_its_key_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        store(dir.path(), vec![key(1), key(2)]);
        std::fs::remove_file(dir.path().join("epoch-keys/2.key")).unwrap();
        assert_eq!(epochs(&load(dir.path())), [1]);
        assert!(!dir.path().join("replay/2.log").exists());
    }
}
