//! A provider whose mailboxes another process has: it waits, and does nothing else. Two nodes of one
//! identity would contradict each other.

use std::time::Duration;

use shoal_provider::{PostgresOptions, PostgresStore, StoreError};

use crate::Failure;
use crate::runtime::announce::{Announce, Announcer};
use crate::runtime::stop::Stops;

/// Between two tries, each of which waits for as long as its patience.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// Opens the store, once no other process has it. None if the node is asked to stop before.
///
/// # Errors
/// What else keeps it from opening; but once it waits, a server that does not answer is waited for too.
pub(super) async fn open(
    options: PostgresOptions,
    announcer: Announcer,
    stops: &mut Stops,
) -> Result<Option<PostgresStore>, Failure> {
    let mut told = None;
    loop {
        let options = options.clone();
        // The store has a runtime of its own, which can't be entered from within this one.
        let opened = tokio::task::spawn_blocking(|| PostgresStore::open(options));
        let opened = tokio::select! {
            opened = opened => opened.map_err(Failure::failed)?,
            _ = stops.next() => return Ok(None),
        };
        let error = match opened {
            Ok(store) => {
                if told.is_some() {
                    tracing::info!("the mailboxes are free: this process takes over");
                }
                return Ok(Some(store));
            }
            Err(error @ StoreError::Busy) => error,
            Err(error @ StoreError::Server(_)) if told.is_some() => error,
            Err(error) => return Err(Failure::failed(error)),
        };
        if told.as_ref() != Some(&error) {
            let reasons = match &error {
                StoreError::Busy => {
                    "another process has the mailboxes: this one takes over when it is gone"
                        .to_owned()
                }
                other => other.to_string(),
            };
            tracing::warn!("not ready: {reasons}");
            announcer.say(&Announce::NotReady { reasons });
            told = Some(error);
        }
        tokio::select! {
            () = tokio::time::sleep(TRY_AGAIN) => {}
            _ = stops.next() => return Ok(None),
        }
    }
}
