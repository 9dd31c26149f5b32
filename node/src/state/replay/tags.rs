//! What a replay log does, wherever it is.

use std::io;

use shoal_packet::{ReplayTag, SphinxPublic};
use shoal_proto::Epoch;

use super::log::{Loaded, ReplayError, ReplayLog};
use crate::state::error::StateError;

/// The log of all epochs whose keys are held, with one writer.
pub trait TagLog: Send {
    /// The epochs that have a log, in order.
    ///
    /// # Errors
    /// [`StateError`].
    fn epochs(&mut self) -> Result<Vec<Epoch>, StateError>;

    /// Makes the log of a new key. It is there for good before this returns, so the key may be kept and used from then
    /// on. Done before for the same key, it does nothing.
    ///
    /// # Errors
    /// [`ReplayError::OtherKey`] if there is a log of another key.
    fn create(&mut self, epoch: Epoch, key: &SphinxPublic) -> Result<(), ReplayError>;

    /// Reads the tags of a key that was made before, and opens its log for more.
    ///
    /// # Errors
    /// [`ReplayError`]; see there what follows from it.
    fn load(&mut self, epoch: Epoch, key: &SphinxPublic) -> Result<Loaded, ReplayError>;

    /// Writes tags: when it returns, they survive a crash. The numbers beside them are the caller's and are not written.
    ///
    /// # Errors
    /// What the system said; [`io::ErrorKind::NotFound`] for an epoch whose log is not open. None of the tags may be
    /// taken for durable then, though some may be. The next call starts over.
    fn append_batch(&mut self, tags: &[(Epoch, ReplayTag, u64)]) -> io::Result<()>;

    /// Deletes the log of an epoch whose key was deleted. That there is none is no error.
    ///
    /// # Errors
    /// [`StateError`].
    fn remove(&mut self, epoch: Epoch) -> Result<(), StateError>;
}

impl TagLog for ReplayLog {
    fn epochs(&mut self) -> Result<Vec<Epoch>, StateError> {
        Self::epochs(self)
    }

    fn create(&mut self, epoch: Epoch, key: &SphinxPublic) -> Result<(), ReplayError> {
        Self::create(self, epoch, key)
    }

    fn load(&mut self, epoch: Epoch, key: &SphinxPublic) -> Result<Loaded, ReplayError> {
        Self::load(self, epoch, key)
    }

    fn append_batch(&mut self, tags: &[(Epoch, ReplayTag, u64)]) -> io::Result<()> {
        Self::append_batch(self, tags)
    }

    fn remove(&mut self, epoch: Epoch) -> Result<(), StateError> {
        Self::remove(self, epoch)
    }
}

impl<L: TagLog + ?Sized> TagLog for Box<L> {
    fn epochs(&mut self) -> Result<Vec<Epoch>, StateError> {
        (**self).epochs()
    }

    fn create(&mut self, epoch: Epoch, key: &SphinxPublic) -> Result<(), ReplayError> {
        (**self).create(epoch, key)
    }

    fn load(&mut self, epoch: Epoch, key: &SphinxPublic) -> Result<Loaded, ReplayError> {
        (**self).load(epoch, key)
    }

    fn append_batch(&mut self, tags: &[(Epoch, ReplayTag, u64)]) -> io::Result<()> {
        (**self).append_batch(tags)
    }

    fn remove(&mut self, epoch: Epoch) -> Result<(), StateError> {
        (**self).remove(epoch)
    }
}
