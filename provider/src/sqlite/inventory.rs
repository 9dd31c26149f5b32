//! How much expires when: of a store that a provider has open, and of one that nobody has.

use rusqlite::Connection;
use shoal_proto::Time;

use super::database::failure;
use super::work::Work;
use crate::inventory;
use crate::{Due, StoreError};

/// By the index of names, which are of what waits and of what was acknowledged: whether it waits, `cells` says. What is
/// told apart by SQLite itself are mailboxes, of which it keeps a number each meanwhile.
const DUE: &str = "SELECT count(waits.id), count(*) - count(waits.id), count(DISTINCT waits.id >> 32) \
    FROM messages LEFT JOIN cells AS waits ON waits.id = messages.mailbox + 16777216 + messages.entry \
    WHERE messages.expires_us >= ?1 AND messages.expires_us <= ?2";
const NEXT: &str = "SELECT min(expires_us) FROM messages WHERE expires_us > ?1";

/// How much expires in these hours.
pub(super) fn due(
    connection: &Connection,
    from: Time,
    until: Option<Time>,
) -> Result<Due, StoreError> {
    let (first, last) = inventory::range(from, until);
    let mut due = connection
        .prepare_cached(DUE)
        .and_then(|mut due| {
            due.query_row([first, last], |row| {
                let number = |column| row.get(column).map(i64::cast_unsigned);
                Ok(Due {
                    entries: number(0)?,
                    remembered: number(1)?,
                    mailboxes: number(2)?,
                    next: None,
                })
            })
        })
        .map_err(failure)?;
    let next: Option<i64> = connection
        .prepare_cached(NEXT)
        .and_then(|mut next| next.query_row([last], |row| row.get(0)))
        .map_err(failure)?;
    due.next = next.map(inventory::hour);
    Ok(due)
}

impl Work<'_> {
    pub(super) fn inventory(&self, from: Time, until: Option<Time>) -> Result<Due, StoreError> {
        due(self.connection(), from, until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a million entries, those of one day are looked at.
    #[test]
    fn what_expires_is_counted_by_indexes() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(super::super::database::SCHEMA)
            .unwrap();
        for (sql, numbers) in [(DUE, 2), (NEXT, 1)] {
            let mut plan = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let numbers = rusqlite::params_from_iter(std::iter::repeat_n(1, numbers));
            let steps = plan.query_map(numbers, |row| row.get::<_, String>(3));
            let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
            let by_time = |step: &String| step.contains("INDEX messages_expiry");
            assert!(steps.iter().any(by_time), "{steps:?}");
            assert!(
                steps.iter().all(|step| !step.starts_with("SCAN")),
                "{sql}: {steps:?}"
            );
        }
    }
}
