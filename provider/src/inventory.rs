//! What waits by when it expires, in whole hours: the one question about a store's contents that every engine answers
//! without naming anybody, and the table by days that is made of it.

use shoal_proto::{Span, Time};

use crate::StoreError;
use crate::times::{self, HOUR, micros};

/// Days that a table tells apart; what expires after them is one row more. Longer than messages live in any network that
/// is meant to be used.
pub const INVENTORY_DAYS: u64 = 31;

const DAY: Span = Span::from_secs(24 * 3600);

/// What expires within some hours. It tells of no mailbox, and of nothing finer than an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Entries that wait.
    pub entries: u64,
    /// Acknowledged entries that are remembered until then.
    pub remembered: u64,
    /// Mailboxes in which these entries wait.
    pub mailboxes: u64,
    /// The hour in which the first that comes after these hours expires, an entry or a name that is remembered; none if
    /// nothing does.
    pub next: Option<Time>,
}

/// From which microsecond on and up to which one: of whole hours, however finely it was asked for. Both count, since the
/// end of time does too. Without an end, all that comes after.
pub(crate) fn range(from: Time, until: Option<Time>) -> (i64, i64) {
    // Before the first hour there is nothing.
    let last = |until| micros(times::hour(until)) - 1;
    (micros(times::hour(from)), until.map_or(i64::MAX, last))
}

/// The hour of a time as databases have it.
pub(crate) fn hour(micros: i64) -> Time {
    times::hour(Time::from_micros(micros.max(0).cast_unsigned()))
}

/// One row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueRow {
    /// From this hour on; none before all time.
    pub from: Option<Time>,
    /// Up to this hour, which is left out; none for what has no end.
    pub until: Option<Time>,
    /// What expires then.
    pub due: Due,
}

/// The table as of now: what expired in the hours before this one, then day by day from this hour on, and all that comes
/// after [`INVENTORY_DAYS`]. Days on which nothing expires are left out. `ask` is asked once for each row,
/// and once for what is over.
///
/// # Errors
/// What `ask` says.
pub fn by_day(
    now: Time,
    mut ask: impl FnMut(Time, Option<Time>) -> Result<Due, StoreError>,
) -> Result<Vec<DueRow>, StoreError> {
    let hour = times::hour(now);
    let overdue = ask(Time::default(), Some(hour))?;
    let mut rows = vec![DueRow {
        from: None,
        until: Some(hour),
        due: overdue,
    }];
    let mut next = overdue.next;
    while let Some(found) = next {
        let day = found.since(hour).as_micros() / DAY.as_micros();
        let from = hour + DAY.scale(day.min(INVENTORY_DAYS), 1);
        let until = (day < INVENTORY_DAYS).then(|| from + DAY);
        let due = ask(from, until)?;
        rows.push(DueRow {
            from: Some(from),
            until,
            due,
        });
        // A store that names no later hour would be asked for ever.
        next = due.next.filter(|later| *later > found);
    }
    rows.retain(|row| row.due.entries > 0 || row.due.remembered > 0);
    Ok(rows)
}

const _: () = assert!(DAY.as_micros().is_multiple_of(HOUR.as_micros()));

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: u64) -> Time {
        Time::from_micros((500_000 + hours) * HOUR.as_micros())
    }

    /// Answers out of these hours, one entry in each.
    fn table(hours: &[Time], now: Time) -> (Vec<DueRow>, u32) {
        let mut asked = 0;
        let rows = by_day(now, |from, until| {
            asked += 1;
            let (first, last) = range(from, until);
            let within = |time: &&Time| (first..=last).contains(&micros(**time));
            let after = hours.iter().filter(|time| micros(**time) > last);
            Ok(Due {
                entries: hours.iter().filter(within).count() as u64,
                next: after.min().map(|time| hour(micros(*time))),
                ..Due::default()
            })
        });
        (rows.unwrap(), asked)
    }

    #[test]
    fn a_table_has_all_in_bounded_rows() {
        let now = at(0) + Span::from_secs(1234);
        let (rows, asked) = table(&[], now);
        assert_eq!((rows.len(), asked), (0, 1));
        // One of every hour for a hundred days, three that are over, and the end of time.
        let mut hours: Vec<Time> = (0..2400).map(at).collect();
        hours.extend([Time::default(), at(0) - HOUR, at(0) - Span::from_micros(1)]);
        hours.push(Time::MAX);
        let (rows, asked) = table(&hours, now);
        let counts: Vec<u64> = rows.iter().map(|row| row.due.entries).collect();
        assert_eq!(rows.len() as u64, 1 + INVENTORY_DAYS + 1);
        assert_eq!(u64::from(asked), 1 + INVENTORY_DAYS + 1);
        assert_eq!((counts[0], counts[1], counts[31]), (3, 24, 24));
        assert_eq!(counts[32], 2400 - 24 * INVENTORY_DAYS + 1);
        assert_eq!(rows[1].from, Some(at(0)));
        assert_eq!(rows[1].until, Some(at(24)));
        assert_eq!(rows[32].until, None);
        // Days without any are neither asked for nor told.
        let (rows, asked) = table(&[at(5), at(24 * 13 + 1)], now);
        assert_eq!((rows.len(), asked), (2, 3));
        assert_eq!(rows[1].from, Some(at(24 * 13)));
    }

    #[test]
    fn nothing_finer_than_an_hour_can_be_asked_for() {
        let second = Span::from_secs(1);
        let whole = range(at(3), Some(at(4)));
        assert_eq!(range(at(3) + second, Some(at(5) - second)), whole);
        assert_eq!(
            range(at(3) + second, Some(at(3) + second + second)).0,
            whole.0
        );
        // Less than an hour is nothing at all.
        let (first, last) = range(at(3) + second, Some(at(3) + second + second));
        assert!(last < first);
        assert_eq!(range(Time::default(), None), (0, i64::MAX));
    }
}
