//! Whose signatures count and which document is the newest that was seen, from one run to the next: one row.
//!
//! A client that forgot it with each run would believe whoever shows it an old state of the network after
//! a restart, or another history than before.

use shoal_client::{Change, ClientError, Row, Table};
use shoal_topology::{Kept, NetworkParameters};

/// Where it is on the disk.
const KEY: &[u8] = b"trust";

/// What of it is on the disk, or on the way there.
#[derive(Default)]
pub(super) struct Written(Option<Vec<u8>>);

impl Written {
    /// What the disk has.
    pub(super) fn of(rows: &[Row]) -> Self {
        Self(row(rows).map(|row| row.value.clone()))
    }

    /// The change that is to be written, if there is something new.
    pub(super) fn change(&mut self, kept: &Kept, params: &NetworkParameters) -> Option<Change> {
        let value = Some(kept.encode(params));
        if self.0 == value {
            return None;
        }
        self.0.clone_from(&value);
        Some(change(value))
    }

    /// It could not be written: it is tried again with what comes next.
    pub(super) fn failed(&mut self) {
        self.0 = None;
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

/// The change after which the client begins anew from the network's file.
#[must_use]
pub fn forget_trust() -> Change {
    change(None)
}

fn change(value: Option<Vec<u8>>) -> Change {
    Change {
        table: Table::Trust,
        key: KEY.to_vec(),
        value,
    }
}

fn row(rows: &[Row]) -> Option<&Row> {
    rows.iter().find(|row| row.table == Table::Trust)
}
