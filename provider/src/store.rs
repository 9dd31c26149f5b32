//! Where mailboxes are kept: the operations, their answers, and the trait that every engine has.

use shoal_packet::command::{Blob, DropChange};
use shoal_proto::size::BLOB_BYTES;
use shoal_proto::{DropId, MailboxId, MessageId, Time};

use crate::{Due, StoreError, Window};

/// The number of an entry within its mailbox, from 1. Never given twice, and it tells nothing of
/// other mailboxes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(u64);

impl EntryId {
    /// Before every entry: the cursor to list from the start.
    pub const START: Self = Self(0);

    /// The entry with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The cursor just before this entry.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// What a store keeps of a token that was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpentToken {
    /// What it is known by: [`Token::spent`](shoal_packet::token::Token::spent).
    pub name: [u8; 32],
    /// From when on it does not count any more, so that this may be forgotten: with its key.
    pub expires: Time,
}

/// Something of which only so much is given, each time for one request: [`StoreOp::Claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What it is given for, which has at most one: the same again is given nothing more.
    pub request: [u8; 32],
    /// The names of all there is, at most [`MOST_RIGHTS`](Self::MOST_RIGHTS).
    pub rights: Vec<[u8; 32]>,
    /// From when on it may be forgotten what was given.
    pub expires: Time,
}

impl Claim {
    /// Most that there is of one thing.
    pub const MOST_RIGHTS: usize = 16;

    /// The rows that are kept, as those of tokens are, if this right is given.
    pub(crate) fn rows(&self, right: &[u8; 32]) -> [SpentToken; 2] {
        [*right, self.request].map(|name| SpentToken {
            name,
            expires: self.expires,
        })
    }
}

/// Whether a command may open a mailbox that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// No.
    Closed,
    /// Yes, for nothing.
    Free,
    /// For a token that the caller has verified, if it was not spent before: it is then, in the same step.
    Token(SpentToken),
}

/// One operation on a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreOp {
    /// Store a blob, once per drop id and message id until `expires`, also after it was
    /// acknowledged. Answered by `Stored`, `Refused` or `Full`.
    Put {
        /// Where to: the mailbox that registered it, of which there is one at most.
        drop: DropId,
        /// Which message.
        message: MessageId,
        /// What is stored.
        blob: Box<Blob>,
        /// When it may be forgotten. It is kept as it is, and so says when it came as exactly as the caller has it say.
        expires: Time,
    },
    /// An owner's command, authenticated by the caller: passes the anti-replay window, then acks
    /// and changes are done. Opens the mailbox if it may; of one that is known, a token stays unspent. Answered by
    /// `Attended`, `Replayed`, `Refused` or `Spent`.
    Attend {
        /// Whose.
        mailbox: MailboxId,
        /// The owner's generation: an older one than known is a replay, a newer one starts a new
        /// window.
        generation: u64,
        /// Counts the owner's commands within the generation.
        counter: u64,
        /// How many stream packets of this generation were sent; the store keeps the maximum.
        stream: u64,
        /// Entries to delete. Those of other mailboxes can't be named.
        acks: Vec<EntryId>,
        /// Drop ids to register and revoke, or the end of all of them: a mailbox that is closed takes nothing more, for good.
        /// What waits in it is given out as before.
        changes: Vec<DropChange>,
        /// Whether the mailbox may be opened.
        opening: Opening,
    },
    /// Gives one of so many for a request, if any is left. Answered by `Claimed` or `Spent`.
    Claim(Claim),
    /// Which drop ids have entries that wait? Answered by `Waiting`.
    Waiting {
        /// Whose.
        mailbox: MailboxId,
    },
    /// The entries of a drop id after a cursor, oldest first. Answered by `Entries`.
    List {
        /// Whose.
        mailbox: MailboxId,
        /// Under which drop id.
        drop: DropId,
        /// Only entries with greater numbers.
        after: EntryId,
        /// At most so many.
        limit: u32,
    },
    /// How much expires from the hour that `from` is in up to the hour that `until` is in, which is left out: it takes as
    /// long as that is much, and no longer. Answered by `Inventory`.
    Inventory {
        /// From this hour on.
        from: Time,
        /// Up to this one; none for all that comes after.
        until: Option<Time>,
    },
    /// Remove what expired, a bounded number of rows. Answered by `Expired`.
    Expire,
    /// Whether a deposit could be written now, which is tried. Answered by `Writable`.
    Check,
}

impl StoreOp {
    /// Whether a store whose disk is full must refuse it: what owners free room with goes on.
    pub(crate) const fn needs_room(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Claim(_) | Self::Check)
    }
}

/// One entry as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its number in the mailbox.
    pub entry: EntryId,
    /// The message id that the sender chose.
    pub message: MessageId,
    /// The sealed blob.
    pub blob: Box<Blob>,
}

/// How an operation ended that the store could do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreOutcome {
    /// On disk. The entry is none if it was acknowledged before.
    Stored {
        /// Whose mailbox.
        mailbox: MailboxId,
        /// The entry, if it still waits.
        entry: Option<EntryId>,
    },
    /// Not accepted: a drop id that is unknown or revoked, or of a mailbox that is closed, or under which, or in whose
    /// mailbox, there is no room; on purpose not told apart. Or a mailbox that is not known and may not be opened, or for which there is no
    /// room.
    Refused,
    /// Not accepted: the mailbox is not known, and the token was spent before; or nothing is left that could be claimed.
    Spent,
    /// It is given.
    Claimed {
        /// It was before, for the same request.
        again: bool,
    },
    /// Not accepted: the store has no room, whomever it is for.
    Full,
    /// The command counts and was done.
    Attended {
        /// The generation is newer than every one before.
        fresh: bool,
        /// The window with this command, and whether its changes were refused.
        window: Window,
        /// The highest `stream` of this generation before this command.
        stream: u64,
        /// Changes that were not done: there are too many sets, the mailbox is closed, or nobody knows the id to revoke.
        refused: u32,
        /// The mailbox was opened by it.
        opened: bool,
        /// In which hour the mailbox was opened: its beginning, of the hours since the Unix epoch.
        created: Time,
        /// Entries that wait in it.
        waiting: u64,
    },
    /// The command was received before, is too old to tell, or is of an older generation.
    Replayed {
        /// The newest generation that was seen.
        generation: u64,
    },
    /// Drop ids with entries that wait, in order, each with its newest.
    Waiting(Vec<(DropId, EntryId)>),
    /// Entries, oldest first.
    Entries(Vec<StoredEntry>),
    /// What expires in these hours.
    Inventory(Due),
    /// There is room for deposits, and writing works.
    Writable,
    /// So many rows were removed.
    Expired {
        /// Rows.
        removed: u64,
        /// There may be more.
        more: bool,
    },
}

/// How an operation ended.
pub type StoreResult = Result<StoreOutcome, StoreError>;

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Mailboxes.
    pub mailboxes: u64,
    /// Entries that wait.
    pub entries: u64,
    /// Acknowledged entries that are remembered.
    pub remembered: u64,
}

impl Usage {
    /// What the quota in bytes counts.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.entries
            .saturating_mul(crate::limits::ENTRY_BYTES)
            .saturating_add(
                self.remembered
                    .saturating_mul(crate::limits::REMEMBERED_BYTES),
            )
    }

    /// Whether one more entry fits, when so many that were acknowledged still take up their room.
    pub(crate) const fn has_room(&self, freed: u64, most: u64) -> bool {
        let held = freed.saturating_mul(BLOB_BYTES as u64);
        self.bytes()
            .saturating_add(held)
            .saturating_add(crate::limits::ENTRY_BYTES)
            <= most
    }
}

/// Acknowledged entries whose room is not free yet.
///
/// Whoever can write to a mailbox can fill it and then try, again and again, whether something fits.
/// If room came free when the owner acknowledges, that would tell when the owner is there. So it
/// comes free in steps of [`StoreLimits::room_step`](crate::StoreLimits::room_step), the same for all
/// mailboxes: it tells that the owner was there at some time in the step before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Freed {
    step: u64,
    count: u64,
}

impl Freed {
    /// As it was saved.
    pub(crate) const fn from_parts(step: u64, count: u64) -> Self {
        Self { step, count }
    }

    /// As it is saved: the step and the count.
    pub(crate) const fn parts(self) -> (u64, u64) {
        (self.step, self.count)
    }

    /// The step that counts when the clock says this one. A clock that is set back over the end of a step does not free
    /// what was acknowledged before, to hold it again and free it once more: the step goes on, for two at most. One
    /// that was further ahead than that was wrong, and what was acknowledged by it is free at once, not in a year.
    pub(crate) const fn goes_on(&self, clock: u64) -> u64 {
        if self.step == clock.saturating_add(1) {
            self.step
        } else {
            clock
        }
    }

    /// One more entry was acknowledged in this step.
    pub(crate) const fn add(&mut self, step: u64) {
        self.count = self.held(step).saturating_add(1);
        self.step = step;
    }

    /// Entries that still take up their room in this step.
    pub(crate) const fn held(&self, step: u64) -> u64 {
        if self.step == step { self.count } else { 0 }
    }
}

/// A full disk must not keep owners from freeing room: does everything but what needs room, which is answered with the
/// error, in one group.
pub(crate) fn without_puts(
    ops: Vec<StoreOp>,
    full: &StoreError,
    group: impl FnOnce(&[StoreOp]) -> Result<Vec<StoreOutcome>, StoreError>,
) -> Vec<StoreResult> {
    let puts: Vec<bool> = ops.iter().map(StoreOp::needs_room).collect();
    let rest: Vec<StoreOp> = ops.into_iter().filter(|op| !op.needs_room()).collect();
    let results: Vec<StoreResult> = match group(&rest) {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error); rest.len()],
    };
    let mut results = results.into_iter();
    let answer = |put| match put {
        true => Err(full.clone()),
        false => results.next().unwrap_or_else(|| Err(full.clone())),
    };
    puts.into_iter().map(answer).collect()
}

/// Where mailboxes are kept. Every engine passes one conformance suite.
///
/// The caller runs a store on a thread of its own and gives it whatever operations have come in
/// since the last group.
pub trait Store: Send {
    /// Does the operations in order, as one durable group, and answers each in its place. When
    /// this returns, everything that was answered with success survives a crash; an operation
    /// answered with an error left no trace.
    fn apply(&mut self, now: Time, ops: Vec<StoreOp>) -> Vec<StoreResult>;

    /// How much is held now.
    fn usage(&self) -> Usage;
}
