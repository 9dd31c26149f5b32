//! What the driver's errors mean.

use std::error::Error as _;
use std::io;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::StoreError;

/// What an error of the driver means. Its text has what the server says and its code, never the
/// details, in which there may be what is stored.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn failure(error: Error) -> StoreError {
    match error.as_db_error() {
        Some(told) => meaning(told),
        None => StoreError::Server(match io_error(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        }),
    }
}

fn io_error(error: &Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}

fn meaning(told: &DbError) -> StoreError {
    let code = told.code();
    let text = format!("{}, SQLSTATE {}", told.message(), code.code());
    if *code == SqlState::DISK_FULL {
        return StoreError::DiskFull;
    }
    if *code == SqlState::INSUFFICIENT_PRIVILEGE || *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        return StoreError::Rights(text);
    }
    match code.code().get(..2) {
        // Nobody of that name, or a wrong password.
        Some("28") => StoreError::Rights(text),
        // Connections, deadlocks and what was cancelled, resources, objects in use, the operator, the system.
        Some("08" | "40" | "53" | "55" | "57" | "58" | "3D") => StoreError::Server(text),
        Some("XX") if *code != SqlState::INTERNAL_ERROR => StoreError::Corrupt(text),
        _ => StoreError::Bug(text),
    }
}

/// A column that does not hold what we write.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn unreadable(error: Error) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

/// A value that we never wrote.
pub(super) fn never_written<E>(_: E) -> StoreError {
    StoreError::Corrupt("a column holds what was never written".to_owned())
}
