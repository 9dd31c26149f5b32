//! The files that a run writes.

use std::path::Path;

use shoal_proto::Time;

use super::{Message, Report};
use crate::table::{Table, TableError, write_atomically};

impl Report {
    /// Every message, in the order of sending: number, sender and receiver by their numbers in the
    /// trace, and seconds since the start at which it was sent, accepted, stored, received and
    /// expired; empty where it was not.
    ///
    /// # Errors
    /// Never for a report of [`run`](super::run).
    pub fn messages_table(&self) -> Result<Table, TableError> {
        let since = |at: Time| at.since(self.start).as_secs_f64();
        let times = |of: &dyn Fn(&Message) -> Option<Time>| -> Vec<Option<f64>> {
            self.messages.iter().map(|m| of(m).map(since)).collect()
        };
        let numbers =
            |of: &dyn Fn(&Message) -> u64| -> Vec<u64> { self.messages.iter().map(of).collect() };
        Table::builder("messages")
            .metadata("version", self.summary.version)
            .metadata("seed", self.summary.seed)
            .metadata("trace_hash", &self.summary.trace_hash)
            .u64("message", numbers(&|m| m.number))
            .u64("from", numbers(&|m| u64::from(m.from.number())))
            .u64("to", numbers(&|m| u64::from(m.to.number())))
            .nullable("sent_s", times(&|m| Some(m.sent)))
            .nullable("accepted_s", times(&|m| m.accepted))
            .nullable("stored_s", times(&|m| m.stored))
            .nullable("received_s", times(&|m| m.received))
            .nullable("expired_s", times(&|m| m.expired))
            .u64("told", numbers(&|m| u64::from(m.told)))
            .build()
    }

    /// Writes `summary.json`, `messages.csv` and `messages.parquet` into a folder that exists.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), TableError> {
        self.messages_table()?.write_both(folder)?;
        let path = folder.join("summary.json");
        let mut json = self.summary.to_json();
        json.push('\n');
        write_atomically(&path, json.as_bytes()).map_err(|source| TableError::Io { path, source })
    }
}
