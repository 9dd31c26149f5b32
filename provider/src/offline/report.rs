//! What looking at a store for damage finds.

use std::fmt;

use crate::store::Usage;
use crate::{StoreError, StoreLimits};

/// What is looked at, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The engine's own structure.
    Structure,
    /// Mailboxes and their counts.
    Mailboxes,
    /// Sets of drop ids, and the ids' names.
    Sets,
    /// Drop ids that were used, and their counts.
    Drops,
    /// Entries that wait.
    Entries,
    /// Names of acknowledged entries.
    Remembered,
    /// Names of tokens that were spent.
    Spent,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Structure,
        Self::Mailboxes,
        Self::Sets,
        Self::Drops,
        Self::Entries,
        Self::Remembered,
        Self::Spent,
    ];

    /// What it looks at.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Structure => "the database's structure",
            Self::Mailboxes => "mailboxes",
            Self::Sets => "sets of drop ids",
            Self::Drops => "drop ids",
            Self::Entries => "entries that wait",
            Self::Remembered => "names of acknowledged entries",
            Self::Spent => "tokens that were spent",
        }
    }
}

/// Something that is never so in a sound store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it was found.
    pub step: Step,
    /// A word for it, out of a fixed set.
    pub kind: &'static str,
    /// In words. It names no mailbox and no drop id.
    pub what: String,
    /// How many rows are so; 0 if it is not about rows.
    pub rows: u64,
    /// The number of the first such row, as the engine numbers them.
    pub first: Option<i64>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match (self.rows, self.first) {
            (0, _) => Ok(()),
            (rows, None) => write!(f, " (rows: {rows})"),
            (rows, Some(first)) => write!(f, " (rows: {rows}, the first has the number {first})"),
        }
    }
}

/// A quota that is exceeded: no damage, since a quota may be lowered, but nothing more is accepted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The quota's name among the limits of a store.
    pub quota: &'static str,
    /// What it allows.
    pub most: u64,
    /// The most that there is.
    pub found: u64,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "more than the configuration allows now ({}): {}, allowed are {}",
            self.quota, self.found, self.most
        )
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many rows there are, counted one by one.
    pub counted: Usage,
    /// Everything that should not be so.
    pub faults: Vec<Fault>,
    /// Quotas that are exceeded.
    pub exceeded: Vec<Exceeded>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// A statement of an engine's that gives how many rows are not as they should be, and the lowest of their numbers.
pub(crate) struct Rule {
    pub(crate) step: Step,
    pub(crate) kind: &'static str,
    pub(crate) what: &'static str,
    pub(crate) sql: &'static str,
}

impl Rule {
    /// What it tells, by what the statement gave.
    pub(crate) fn broken(&self, rows: i64, first: Option<i64>) -> Option<Fault> {
        (rows != 0).then(|| Fault {
            step: self.step,
            kind: self.kind,
            what: self.what.to_owned(),
            rows: rows.unsigned_abs(),
            first,
        })
    }
}

/// What the names of drop ids are, each looked at once and in any order. Two names of one number would be the same, so all are
/// there if they are as many as the sets have.
#[derive(Default)]
pub(crate) struct Names {
    good: u64,
    strange: u64,
    first: Option<i64>,
}

impl Names {
    /// There is this name, and it is the one that its set gives for its number, or not.
    pub(crate) fn saw(&mut self, name: i64, is_own: bool) {
        if is_own {
            self.good += 1;
        } else {
            self.strange += 1;
            self.first = Some(self.first.map_or(name, |first| first.min(name)));
        }
    }

    /// What is wrong, if the sets have so many drop ids.
    pub(crate) fn faults(self, drop_ids: i64) -> Vec<Fault> {
        let fault = |kind, what: &str, rows, first| Fault {
            step: Step::Sets,
            kind,
            what: what.to_owned(),
            rows,
            first,
        };
        let missing = drop_ids.cast_unsigned().saturating_sub(self.good);
        let faults = [
            fault(
                "name_strange",
                "a drop id is found under a name that is not its own",
                self.strange,
                self.first,
            ),
            fault(
                "name_missing",
                "a drop id of a set is not found by its name",
                missing,
                None,
            ),
        ];
        Vec::from_iter(faults.into_iter().filter(|fault| fault.rows > 0))
    }
}

/// Keeps what was found; damage that keeps us from looking is a fault itself.
pub(crate) fn keep(
    faults: &mut Vec<Fault>,
    step: Step,
    found: Result<Vec<Fault>, StoreError>,
) -> Result<(), StoreError> {
    match found {
        Ok(found) => faults.extend(found),
        Err(StoreError::Corrupt(what) | StoreError::Foreign(what) | StoreError::Bug(what)) => {
            faults.push(Fault {
                step,
                kind: "unreadable",
                what: format!("it can't be read ({what})"),
                rows: 0,
                first: None,
            })
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Which quotas are exceeded: `most` is what a mailbox has waiting, its sets, what a drop id has waiting, and what it
/// remembers, of that which has most of it.
pub(crate) fn exceeded(limits: &StoreLimits, counted: &Usage, most: [u64; 4]) -> Vec<Exceeded> {
    let [in_mailbox, sets, in_drop, remembered] = most;
    let found = [
        ("mailboxes", limits.mailboxes, counted.mailboxes),
        ("bytes", limits.bytes, counted.bytes()),
        (
            "entries_per_mailbox",
            limits.entries_per_mailbox,
            in_mailbox,
        ),
        ("sets_per_mailbox", limits.sets_per_mailbox, sets),
        ("entries_per_drop", limits.entries_per_drop, in_drop),
        (
            "remembered_per_drop",
            limits.remembered_per_drop,
            remembered,
        ),
    ];
    let exceeded = found.into_iter().filter(|(_, most, found)| found > most);
    exceeded
        .map(|(quota, most, found)| Exceeded { quota, most, found })
        .collect()
}
