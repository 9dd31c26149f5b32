//! What looking at a store for damage finds.

use std::fmt;

use crate::store::Usage;

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
