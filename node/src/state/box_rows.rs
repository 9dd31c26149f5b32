//! What the message box asks to be kept, in an SQLite file of its own, under the client's passphrase as the client's rows
//! are.

use std::path::Path;

use zeroize::Zeroizing;

use super::error::StateError;
use super::rows::Rows;
use super::sealed_rows::{Place, SealedRows, Under};

const PLACE: Place = Place {
    file: "messagebox.db",
    // Grows with every change of a row of the message box's.
    layout: 2,
    advice: "restore it from a backup, or move it away to start with empty message boxes and another identity of the \
             daemon's",
};

/// Rows of message boxes, of tables that the message box names. As [`super::ClientDb`] keeps them.
pub struct BoxRows(SealedRows);

/// One change of a row; without a value, it is deleted. It may hold a text, so it has no Debug.
pub struct BoxChange {
    /// The table.
    pub table: &'static str,
    /// The row's key in it.
    pub key: Vec<u8>,
    /// What it holds from now on.
    pub value: Option<Zeroizing<Vec<u8>>>,
}

impl BoxRows {
    /// Whether there are any in this directory.
    #[must_use]
    pub fn are_in(dir: &Path) -> bool {
        dir.join(PLACE.file).exists()
    }

    /// Opens those in this directory, or makes a database for them.
    pub(super) fn open_under(dir: &Path, under: Under) -> Result<Self, StateError> {
        let counts = under.as_ref().map_or(0, |(id, _)| *id);
        // What a change of the passphrase has left, if nobody has settled it.
        Self::settle(dir, counts)?;
        SealedRows::open(dir, &PLACE, under).map(Self)
    }

    /// The key file of this id counts, as [`Rows::settle`] has it.
    pub(super) fn settle(dir: &Path, key_file: u32) -> Result<(), StateError> {
        Rows::settle(&dir.join(PLACE.file), key_file, PLACE.advice)
    }

    /// Plain ones, for tests of what is kept in them.
    #[cfg(test)]
    pub(crate) fn open(dir: &Path) -> Result<Self, StateError> {
        Self::open_under(dir, None)
    }

    /// Every row but those of these tables: its table, its key and its value.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], also with what `each` says is wrong with a row; [`StateError::Io`].
    pub fn load(
        &self,
        but: &[&str],
        each: impl FnMut(&str, Vec<u8>, Zeroizing<Vec<u8>>) -> Result<(), String>,
    ) -> Result<(), StateError> {
        self.0.load(but, each)
    }

    /// The value of one row, if there is one.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn get(&self, table: &str, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
        self.0.get(table, key)
    }

    /// Makes all changes or none. When it returns, they survive a crash.
    ///
    /// # Errors
    /// [`StateError::Io`], on a full disk for example: nothing was changed then.
    pub fn apply(&mut self, changes: &[BoxChange]) -> Result<(), StateError> {
        self.0.apply(changes.iter().map(|change| {
            let value = change.value.as_ref().map(|value| value.as_slice());
            (change.table, change.key.as_slice(), value)
        }))
    }

    /// Has what was deleted be nowhere in the files any more: until then it may be in the log.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn forget(&self) -> Result<(), StateError> {
        self.0.forget()
    }

    /// A row that should be there is not, or is another.
    #[must_use]
    pub fn corrupt(&self, what: &str) -> StateError {
        self.0.corrupt(what.to_owned())
    }

    /// Writes every row once more beside, as [`Rows::stage`] has it.
    pub(super) fn stage(&mut self, under: Under) -> Result<(), StateError> {
        self.0.stage(under)
    }
}
