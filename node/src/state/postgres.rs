//! A provider's state in the PostgreSQL database of its mailboxes, so that another process with another directory goes on
//! where this one ends.
//!
//! What never changes is in files that both directories have alike; a row says of them which they are. Everything in
//! here waits for the server, and may not be called where tokio runs.

mod import;
mod owner;
mod tags;

use std::path::PathBuf;

use shoal_packet::SphinxSecret;
use shoal_proto::Epoch;
use shoal_provider::{PostgresState, StateChange, StateRow};
use shoal_topology::DirectoryChange;
use zeroize::Zeroizing;

use self::owner::{NODE, TOKENS};
pub use self::owner::{Opened, Owner, check_before, known_takeover, open_postgres};
use self::tags::PostgresTags;
use super::changes::{META, epoch_key, is_written_once, load_row, row};
use super::directory::{SUCCESSOR_DIR, create_log};
use super::error::StateError;
use super::files::write_atomic;
use super::kept::{DirectoryState, LoadedDirectory, NotKept, Overtaken};
use super::replay::{ReplayError, ReplayWriter, TagLog};

const KEY: &str = "key";
const SEAT: &str = "seat";
const SUCCESSOR: &str = "successor";

/// Rows in the database: documents, descriptors, numbers, votes, and secrets, which are sealed.
pub(super) struct PostgresDirectory {
    state: PostgresState,
    /// Where files that follow on the network's are put for those who look at the directory. They count in the database.
    successors: PathBuf,
    /// Rows that are written once, of a group of which nobody knows whether it was kept: nobody reckons with them.
    unsure: Vec<(&'static str, Vec<u8>)>,
    overtaken: Overtaken,
}

/// A change as a row.
struct Change {
    kind: &'static str,
    key: Vec<u8>,
    value: Option<Value>,
}

enum Value {
    Open(std::sync::Arc<[u8]>),
    Secret(Zeroizing<Vec<u8>>),
}

impl Change {
    fn of(change: &DirectoryChange) -> Self {
        let (kind, key, value) = match change {
            DirectoryChange::Key { epoch, secret } => {
                let secret = Zeroizing::new(secret.to_vec());
                (KEY, epoch_key(*epoch).to_vec(), Some(Value::Secret(secret)))
            }
            DirectoryChange::RemoveKey { epoch } => (KEY, epoch_key(*epoch).to_vec(), None),
            DirectoryChange::SeatKeys { kept } => {
                (SEAT, Vec::new(), Some(Value::Secret(kept.clone())))
            }
            DirectoryChange::Successor { hash, text } => {
                let key = hash.to_string().into_bytes();
                (SUCCESSOR, key, Some(Value::Open(text.clone())))
            }
            other => match row(other) {
                Some((kind, key, value)) => (kind, key, value.map(Value::Open)),
                // Every other change is a row in a file, too.
                None => (META, Vec::new(), None),
            },
        };
        Self { kind, key, value }
    }

    fn borrowed(&self) -> StateChange<'_> {
        StateChange {
            kind: self.kind,
            key: &self.key,
            value: self.value.as_ref().map(|value| match value {
                Value::Open(bytes) => &**bytes,
                Value::Secret(bytes) => bytes.as_slice(),
            }),
            secret: matches!(self.value, Some(Value::Secret(_))),
        }
    }
}

impl PostgresDirectory {
    fn write(&mut self, changes: &[Change]) -> Result<(), StateError> {
        if !self.unsure.is_empty() {
            let gone = self.unsure.iter().map(|(kind, key)| StateChange {
                kind,
                key,
                value: None,
                secret: false,
            });
            let gone: Vec<_> = gone.collect();
            self.state.change(&gone)?;
            self.unsure.clear();
        }
        let borrowed: Vec<_> = changes.iter().map(Change::borrowed).collect();
        let done = self.state.change(&borrowed);
        if done.is_err() && self.state.is_uncertain() {
            let once = changes
                .iter()
                .filter(|change| change.value.is_some() && is_written_once(change.kind));
            self.unsure = once.map(|it| (it.kind, it.key.clone())).collect();
        }
        Ok(done?)
    }

    /// Whoever looks at the directory from outside finds it there. It is no more than a copy.
    fn copy_successor(&self, hash: &str, text: &[u8]) {
        let path = self.successors.join(format!("{hash}.toml"));
        if path.exists() {
            return;
        }
        let made = super::StateDir::create(&self.successors);
        if let Err(error) = made.and_then(|()| write_atomic(&path, text, 0o644)) {
            tracing::warn!(%error, "a file that follows on the network's is in the database alone");
        }
    }

    /// The log and the key go together; the key first, so that none is ever without its log.
    fn forget(&mut self, epoch: Epoch, log: &mut dyn TagLog) -> Result<(), StateError> {
        self.write(&[Change::of(&DirectoryChange::RemoveKey { epoch })])?;
        log.remove(epoch)
    }

    fn load_all(&mut self, log: &mut dyn TagLog) -> Result<LoadedDirectory, StateError> {
        let mut loaded = LoadedDirectory::default();
        let mut keys = Vec::new();
        for StateRow { kind, key, value } in self.state.rows()? {
            match (kind.as_str(), value) {
                (KEY, value) => {
                    let epoch = key.as_slice().try_into().map(u64::from_be_bytes);
                    let epoch = epoch.map_err(|_| damaged("a key is of no epoch"))?;
                    keys.push((Epoch::new(epoch), value));
                }
                // One that is damaged is made anew: the node sits again from the next term on.
                (SEAT, value) => loaded.restored.seat_keys = value,
                (SUCCESSOR, Some(text)) => {
                    self.copy_successor(&String::from_utf8_lossy(&key), &text);
                    loaded.restored.successors.push(text.as_slice().into());
                }
                (META, _) if key == NODE || key == TOKENS => {}
                (kind, Some(value)) => {
                    let taken = load_row(&mut loaded.restored, kind, &key, value.to_vec());
                    taken.map_err(StateError::Rows)?;
                }
                (_, None) => return Err(damaged("a row is sealed that is no secret")),
            }
        }
        for (epoch, secret) in keys {
            match self.load_key(epoch, secret, log)? {
                Ok((secret, tags)) => {
                    loaded.restored.keys.push((epoch, secret));
                    loaded.tags.push((epoch, tags));
                }
                Err(why) => {
                    self.forget(epoch, log)?;
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

    #[expect(clippy::type_complexity, reason = "used once")]
    fn load_key(
        &self,
        epoch: Epoch,
        secret: Option<Zeroizing<Vec<u8>>>,
        log: &mut dyn TagLog,
    ) -> Result<Result<(Zeroizing<[u8; 32]>, Vec<shoal_packet::ReplayTag>), String>, StateError>
    {
        let secret = secret.and_then(|secret| {
            let secret: [u8; 32] = secret.as_slice().try_into().ok()?;
            Some(Zeroizing::new(secret))
        });
        let Some(secret) = secret else {
            return Ok(Err(format!(
                "the row of epoch {epoch}'s key can't be opened"
            )));
        };
        match log.load(epoch, &SphinxSecret::from_bytes(*secret).public()) {
            Ok(loaded) => Ok(Ok((secret, loaded.tags))),
            Err(ReplayError::Io(error)) => Err(error),
            Err(lost) => Ok(Err(lost.to_string())),
        }
    }

    fn apply_all(
        &mut self,
        changes: Vec<DirectoryChange>,
        log: &ReplayWriter,
    ) -> Result<(), NotKept> {
        let (mut failed, mut why) = (Vec::new(), None);
        let (mut rows, mut of_rows) = (Vec::new(), Vec::new());
        for change in changes {
            match &change {
                DirectoryChange::Key { epoch, secret } => {
                    let beside = PathBuf::from("the key's row in PostgreSQL");
                    if let Err(error) = create_log(log, *epoch, secret, &beside) {
                        why.get_or_insert(error);
                        failed.push(change);
                        continue;
                    }
                }
                DirectoryChange::Successor { hash, text } => {
                    self.copy_successor(&hash.to_string(), text);
                }
                _ => {}
            }
            rows.push(Change::of(&change));
            of_rows.push(change);
        }
        match self.write(&rows) {
            Err(error) => {
                failed.extend(of_rows);
                why.get_or_insert(error);
            }
            Ok(()) => {
                let removed = of_rows
                    .into_iter()
                    .filter(|change| matches!(change, DirectoryChange::RemoveKey { .. }));
                let mut removed_any = false;
                for change in removed {
                    let DirectoryChange::RemoveKey { epoch } = &change else {
                        continue;
                    };
                    removed_any = true;
                    if let Err(error) = log.remove(*epoch) {
                        why.get_or_insert(error);
                        failed.push(change);
                    }
                }
                if removed_any && let Err(error) = self.state.sweep() {
                    tracing::warn!(%error, "tags of epochs that are over stay in the database for now");
                }
            }
        }
        match why {
            Some(why) => Err(NotKept {
                changes: failed,
                why,
            }),
            None => Ok(()),
        }
    }
}

impl DirectoryState for PostgresDirectory {
    fn load(&mut self, log: &mut dyn TagLog) -> Result<LoadedDirectory, StateError> {
        noted(&self.overtaken.clone(), self.load_all(log))
    }

    fn apply(&mut self, changes: Vec<DirectoryChange>, log: &ReplayWriter) -> Result<(), NotKept> {
        let done = self.apply_all(changes, log);
        if let Err(NotKept {
            why: StateError::Overtaken,
            ..
        }) = &done
        {
            self.overtaken.note();
        }
        done
    }
}

/// Notes that another process has taken over, if that is why.
fn noted<T>(overtaken: &Overtaken, result: Result<T, StateError>) -> Result<T, StateError> {
    if matches!(result, Err(StateError::Overtaken)) {
        overtaken.note();
    }
    result
}

fn damaged(what: &str) -> StateError {
    StateError::Rows(what.to_owned())
}
