//! What a node keeps that changes while it runs, wherever that is.
//!
//! There are two places: files of the node's directory ([`DirectoryFiles`](super::DirectoryFiles) with
//! [`ReplayLog`](super::ReplayLog)), and a provider's database (with the feature `postgres`). In both the rule is that a
//! secret is only ever there together with the log of its replay tags: the log is made before the secret is kept, and a
//! secret whose log is gone, or damaged, or of another key, is forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shoal_packet::ReplayTag;
use shoal_proto::Epoch;
use shoal_topology::{DirectoryChange, Restored};

use super::error::StateError;
use super::replay::{ReplayWriter, TagLog};

/// What the directory's state machine asks a node to keep.
pub trait DirectoryState: Send {
    /// Everything that was kept. Opens the replay log of each secret for more tags, and removes secrets without a log
    /// and logs without a secret.
    ///
    /// # Errors
    /// [`StateError`]. Damage to a secret or to its log is none: it is told of in [`LoadedDirectory::forgotten`].
    fn load(&mut self, log: &mut dyn TagLog) -> Result<LoadedDirectory, StateError>;

    /// Keeps changes durably. It waits for the disk or the server.
    ///
    /// # Errors
    /// [`NotKept`] has the changes that are not kept, of which at most a replay log without a secret was made. The others
    /// are. (Of what was sent to a server that then fell silent nobody knows: it counts as not kept.)
    fn apply(&mut self, changes: Vec<DirectoryChange>, log: &ReplayWriter) -> Result<(), NotKept>;
}

/// Changes that are not kept, and why.
pub struct NotKept {
    /// All that are not.
    pub changes: Vec<DirectoryChange>,
    /// Why the first of them is not.
    pub why: StateError,
}

/// What was kept.
#[derive(Default)]
pub struct LoadedDirectory {
    /// For [`shoal_topology::Directory::new`].
    pub restored: Restored,
    /// For the replay filter: the tags of each secret that was restored.
    pub tags: Vec<(Epoch, Vec<ReplayTag>)>,
    /// Secrets that had to be forgotten, and why, for the operator.
    pub forgotten: Vec<(Epoch, String)>,
}

/// Whether another process of this node has taken over what this one keeps, as far as this one has noticed.
#[derive(Clone, Debug, Default)]
pub struct Overtaken(Arc<AtomicBool>);

impl Overtaken {
    /// It has.
    pub fn note(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has.
    #[must_use]
    pub fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
