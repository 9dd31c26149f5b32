//! Whose signatures count, which document is the newest that was seen, and which files follow on the network's, from
//! one run to the next: a row for the first two, and one for each file.
//!
//! A client that forgot it with each run would believe whoever shows it an old state of the network after
//! a restart, or another history than before.

use shoal_client::{Change, ClientError, Row, Table};
use shoal_proto::Epoch;
use shoal_topology::{Kept, NetworkParameters, Successor};

/// Where it is on the disk.
const KEY: &[u8] = b"trust";
/// And where the files are, by the hash of each.
const FILE: &[u8] = b"file ";

/// What of it is on the disk, or on the way there.
#[derive(Default)]
pub(super) struct Written {
    kept: Option<Vec<u8>>,
    next: bool,
}

impl Written {
    /// What the disk has.
    pub(super) fn of(rows: &[Row], next: Option<&Successor>) -> Self {
        Self {
            kept: row(rows).map(|row| row.value.to_vec()),
            next: next.is_some(),
        }
    }

    /// The changes that are to be written, if there is something new.
    pub(super) fn changes(
        &mut self,
        kept: &Kept,
        next: Option<&Successor>,
        params: &NetworkParameters,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let value = Some(kept.encode(params));
        if self.kept != value {
            self.kept.clone_from(&value);
            changes.push(change(KEY.to_vec(), value));
        }
        if let Some(next) = next.filter(|_| !self.next) {
            self.next = true;
            let key = [FILE, next.hash().as_bytes()].concat();
            changes.push(change(key, Some(next.text().to_vec())));
        }
        changes
    }

    /// It could not be written: it is tried again with what comes next.
    pub(super) fn failed(&mut self) {
        *self = Self::default();
    }
}

/// What a client's rows have of the directory; none before it was online.
///
/// # Errors
/// [`ClientError::Kept`] when it can't be gone on from.
pub fn kept_trust(params: &NetworkParameters, rows: &[Row]) -> Result<Option<Kept>, ClientError> {
    let restore = |row: &Row| {
        let table = row.table;
        let kept = Kept::restore(params, &row.value);
        kept.map_err(|error| ClientError::Kept { table, error })
    };
    row(rows).map(restore).transpose()
}

/// The files that follow on the network's, as they were fetched and accepted. See [`NetworkParameters::at`].
#[must_use]
pub fn kept_successors(rows: &[Row]) -> Vec<Successor> {
    let files = rows
        .iter()
        .filter(|row| row.table == Table::Trust && row.key.starts_with(FILE));
    let read = files.filter_map(|row| Successor::parse(&row.value).ok());
    read.collect()
}

/// The epoch of the newest document that was seen, whatever the clock says.
#[must_use]
pub fn newest_seen(rows: &[Row]) -> Option<Epoch> {
    Kept::epoch(&row(rows)?.value)
}

/// The changes after which the client begins anew from the network's file.
#[must_use]
pub fn forget_trust(rows: &[Row]) -> Vec<Change> {
    let all = rows.iter().filter(|row| row.table == Table::Trust);
    all.map(|row| change(row.key.clone(), None)).collect()
}

fn change(key: Vec<u8>, value: Option<Vec<u8>>) -> Change {
    Change {
        table: Table::Trust,
        key,
        value: value.map(Into::into),
    }
}

fn row(rows: &[Row]) -> Option<&Row> {
    let mut rows = rows.iter();
    rows.find(|row| row.table == Table::Trust && row.key == KEY)
}
