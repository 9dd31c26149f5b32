//! Rows in SQLite, sealed one by one if the client is under a passphrase.

use std::path::Path;

use zeroize::Zeroizing;

use super::error::StateError;
use super::rows::{RowChange, Rows};
use super::sealed::master::RowSeal;

/// A database in a client's directory: its name there, the layout of its rows, and what to do about another or damage.
pub(super) struct Place {
    pub(super) file: &'static str,
    pub(super) layout: i64,
    pub(super) advice: &'static str,
}

/// What rows are under: the id of the key file, and what seals them. None if they are plain.
pub(super) type Under = Option<(u32, RowSeal)>;

/// The rows of a client's database.
pub(super) struct SealedRows {
    rows: Rows,
    seal: Option<RowSeal>,
}

impl SealedRows {
    pub(super) fn open(dir: &Path, place: &Place, under: Under) -> Result<Self, StateError> {
        let (key_file, seal) = under.map_or((0, None), |(id, seal)| (id, Some(seal)));
        let path = dir.join(place.file);
        let rows = Rows::open_under(&path, place.layout, key_file, place.advice)?;
        Ok(Self { rows, seal })
    }

    /// The value of one row, if there is one.
    pub(super) fn get(
        &self,
        kind: &str,
        key: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
        let Some(seal) = &self.seal else {
            let found = self.rows.get(kind, key)?;
            return Ok(found.map(Zeroizing::new));
        };
        let name = seal.name(kind, key);
        let Some(found) = self.rows.get(kind, &name)? else {
            return Ok(None);
        };
        match seal.open(kind, &name, &found) {
            Some((_, value)) => Ok(Some(value)),
            None => Err(self.corrupt(not_as_written(kind))),
        }
    }

    pub(super) fn has(&self, kind: &str, key: &[u8]) -> Result<bool, StateError> {
        match &self.seal {
            None => self.rows.has(kind, key),
            Some(seal) => self.rows.has(kind, &seal.name(kind, key)),
        }
    }

    /// Every row but those of these kinds, by kind; sealed ones in no order within it.
    pub(super) fn load(
        &self,
        but: &[&str],
        mut each: impl FnMut(&str, Vec<u8>, Zeroizing<Vec<u8>>) -> Result<(), String>,
    ) -> Result<(), StateError> {
        let seal = self.seal.as_ref();
        self.rows.load(but, |kind, key, value| {
            let (key, value) = opened(seal, kind, key, value)?;
            each(kind, key, value)
        })
    }

    pub(super) const fn is_sealed(&self) -> bool {
        self.seal.is_some()
    }

    /// Makes all changes or none. When it returns, they survive a crash.
    pub(super) fn apply<'a>(
        &mut self,
        changes: impl IntoIterator<Item = (&'a str, &'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), StateError> {
        let changes = changes.into_iter();
        self.rows
            .apply(changes.map(|(kind, key, value)| stored(&mut self.seal, kind, key, value)))
    }

    /// Writes every row anew, as it is to be from now on: all at once or not at all.
    pub(super) fn reseal(&mut self, under: Under) -> Result<(), StateError> {
        let (key_file, mut seal) = under.map_or((0, None), |(id, seal)| (id, Some(seal)));
        let mut rows = Vec::new();
        self.load(&[], |kind, key, value| {
            rows.push((kind.to_owned(), key, value));
            Ok(())
        })?;
        let rows = rows
            .iter()
            .map(|(kind, key, value)| stored(&mut seal, kind, key, Some(value)));
        self.rows.rewrite(key_file, rows)?;
        self.seal = seal;
        Ok(())
    }

    /// Writes every row once more beside, as it is to be from when [`Rows::settle`] says so; what was beside is gone.
    pub(super) fn stage(&mut self, under: Under) -> Result<(), StateError> {
        let (key_file, mut seal) = under.map_or((0, None), |(id, seal)| (id, Some(seal)));
        let before = self.seal.as_ref();
        self.rows.stage(key_file, |kind, key, value| {
            let (key, value) = opened(before, kind, key, value)?;
            let row = stored(&mut seal, kind, &key, Some(&value));
            Ok((
                row.key.into_owned(),
                row.value.unwrap_or_default().into_owned(),
            ))
        })
    }

    /// What was deleted is nowhere in the files any more, as far as SQLite knows.
    pub(super) fn forget(&self) -> Result<(), StateError> {
        self.rows.empty_log()
    }

    pub(super) fn corrupt(&self, what: String) -> StateError {
        self.rows.corrupt(what)
    }
}

fn not_as_written(kind: &str) -> String {
    format!("a row of table `{kind}` is not as it was written")
}

fn opened(
    seal: Option<&RowSeal>,
    kind: &str,
    key: Vec<u8>,
    value: Vec<u8>,
) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), String> {
    match seal {
        None => Ok((key, Zeroizing::new(value))),
        Some(seal) => seal
            .open(kind, &key, &value)
            .ok_or_else(|| not_as_written(kind)),
    }
}

/// A row as it stands in the database, sealed or plain; without a value, one that is to be deleted.
fn stored<'a>(
    seal: &mut Option<RowSeal>,
    kind: &'a str,
    key: &'a [u8],
    value: Option<&'a [u8]>,
) -> RowChange<'a> {
    match seal {
        None => RowChange {
            kind,
            key: key.into(),
            value: value.map(Into::into),
        },
        Some(seal) => RowChange {
            kind,
            key: seal.name(kind, key).to_vec().into(),
            value: value.map(|value| seal.seal(kind, key, value).into()),
        },
    }
}
