//! A row, and the change of one.

use std::fmt;

use zeroize::Zeroizing;

use super::codec::Fault;
use crate::error::ClientError;
use crate::table::Table;

/// A stored row, as given back at a restart.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// The table.
    pub table: Table,
    /// The key, unique in its table.
    pub key: Vec<u8>,
    /// The value, which may hold keys and texts.
    pub value: Zeroizing<Vec<u8>>,
}

/// A change of one row. Those of one [`Persist`](crate::ClientAction::Persist) are stored
/// together or not at all.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub table: Table,
    /// The key.
    pub key: Vec<u8>,
    /// The new value; `None` deletes the row.
    pub value: Option<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({}, ..)", self.table)
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.value.is_some() {
            "put"
        } else {
            "delete"
        };
        write!(f, "Change({what} {}, ..)", self.table)
    }
}

impl Row {
    /// The error for this row.
    pub(crate) fn fault(&self, reason: Fault) -> ClientError {
        let key = bs58::encode(&self.key).into_string();
        ClientError::Row {
            table: self.table,
            key,
            reason,
        }
    }
}

impl Change {
    /// The row of this key has this value.
    #[must_use]
    pub fn put(table: Table, key: Vec<u8>, value: Zeroizing<Vec<u8>>) -> Self {
        Self {
            table,
            key,
            value: Some(value),
        }
    }

    /// There is no row of this key.
    #[must_use]
    pub fn delete(table: Table, key: Vec<u8>) -> Self {
        Self {
            table,
            key,
            value: None,
        }
    }
}
