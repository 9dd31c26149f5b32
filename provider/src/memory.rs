//! The store in memory: mailboxes, drop ids and what is decided about them.

mod drops;
mod entries;
pub(crate) mod tally;

use std::collections::{BTreeMap, BTreeSet};

use shoal_packet::command::{Blob, DropChange};
use shoal_proto::{DropId, MailboxId, MessageId, Time};

use self::drops::Drops;
use self::entries::{DropKey, Entries};
use self::tally::Tally;
use crate::StoreLimits;
use crate::limits::{IDLE_BATCH, TRIAL};
use crate::store::{
    Claim, EntryId, Freed, Opening, SpentToken, Store, StoreOp, StoreOutcome, StoreResult, Usage,
};
use crate::times::{self, HOUR};
use crate::window::Attended;

/// A store in memory: for virtual time and tests. What it holds is gone with it.
#[derive(Debug)]
pub struct MemoryStore {
    limits: StoreLimits,
    mailboxes: BTreeMap<MailboxId, MailboxRow>,
    drops: Drops,
    entries: Entries,
    freed: Freed,
    spent: Spent,
    next_row: u64,
}

/// Tokens that were spent, by name, and when they may be forgotten.
#[derive(Debug, Default)]
struct Spent {
    names: BTreeSet<[u8; 32]>,
    by_expiry: BTreeSet<(Time, [u8; 32])>,
}

impl Spent {
    /// Whether it was not spent before.
    fn spend(&mut self, token: SpentToken) -> bool {
        let new = self.names.insert(token.name);
        if new {
            self.by_expiry.insert((token.expires, token.name));
        }
        new
    }

    /// Gives one of what there is.
    fn claim(&mut self, claim: &Claim) -> StoreOutcome {
        if self.names.contains(&claim.request) {
            return StoreOutcome::Claimed { again: true };
        }
        let is_left = |right: &&[u8; 32]| !self.names.contains(*right);
        let Some(right) = claim.rights.iter().find(is_left) else {
            return StoreOutcome::Spent;
        };
        for row in claim.rows(right) {
            self.spend(row);
        }
        StoreOutcome::Claimed { again: false }
    }

    /// Forgets at most so many that have expired, and says how many.
    fn expire(&mut self, now: Time, most: usize) -> usize {
        let over = |(expires, _): &&(Time, [u8; 32])| *expires <= now;
        let gone: Vec<_> = self
            .by_expiry
            .iter()
            .take_while(over)
            .take(most)
            .copied()
            .collect();
        for one in &gone {
            self.by_expiry.remove(one);
            self.names.remove(&one.1);
        }
        gone.len()
    }
}

#[derive(Debug)]
struct MailboxRow {
    /// Counts mailboxes in the order in which they were opened.
    row: u64,
    attended: Option<Attended>,
    closed: bool,
    created: Time,
    used: Time,
    next_entry: EntryId,
    tally: Tally,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub const fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            mailboxes: BTreeMap::new(),
            drops: Drops::new(),
            entries: Entries::new(),
            freed: Freed::from_parts(0, 0),
            spent: Spent {
                names: BTreeSet::new(),
                by_expiry: BTreeSet::new(),
            },
            next_row: 0,
        }
    }

    /// The step in which what is acknowledged takes up its room.
    const fn step(&self, now: Time) -> u64 {
        self.freed.goes_on(self.limits.step(now))
    }

    fn perform(&mut self, now: Time, op: StoreOp) -> StoreOutcome {
        match op {
            StoreOp::Put {
                drop,
                message,
                blob,
                expires,
            } => self.put(now, drop, message, blob, expires),
            StoreOp::Attend {
                mailbox,
                generation,
                counter,
                stream,
                acks,
                changes,
                opening,
            } => {
                let known = self.mailboxes.contains_key(&mailbox);
                if !known && let Err(refused) = self.open(now, mailbox, opening) {
                    return refused;
                }
                let row = self.mailboxes.get(&mailbox);
                let before = row.and_then(|row| row.attended);
                match Attended::next(before, generation, counter, stream) {
                    Ok(counts) => self.attend(now, mailbox, !known, counter, counts, acks, changes),
                    Err(generation) => StoreOutcome::Replayed { generation },
                }
            }
            StoreOp::Claim(claim) => self.spent.claim(&claim),
            StoreOp::Waiting { mailbox } => {
                StoreOutcome::Waiting(self.entries.newest(now, mailbox))
            }
            StoreOp::List {
                mailbox,
                drop,
                after,
                limit,
            } => StoreOutcome::Entries(self.entries.list(
                now,
                DropKey { mailbox, drop },
                after,
                limit,
            )),
            StoreOp::Inventory { from, until } => {
                StoreOutcome::Inventory(self.entries.due(from, until))
            }
            StoreOp::Expire => self.expire(now),
            StoreOp::Check => StoreOutcome::Writable,
        }
    }

    fn put(
        &mut self,
        now: Time,
        drop: DropId,
        message: MessageId,
        blob: Box<Blob>,
        expires: Time,
    ) -> StoreOutcome {
        let under = self.under(drop);
        if let Some(under) = under
            && let Some((row, until, entry)) = self.entries.find(under, message)
        {
            if until > now {
                let mailbox = under.mailbox;
                return StoreOutcome::Stored { mailbox, entry };
            }
            self.remove(row);
        }
        let freed = self.freed.held(self.step(now));
        if !self.usage().has_room(freed, self.limits.bytes) {
            return StoreOutcome::Full;
        }
        let Some(under) = under.filter(|under| self.has_room(now, *under)) else {
            return StoreOutcome::Refused;
        };
        if expires <= now {
            return StoreOutcome::Refused;
        }
        let entry = self.number(now, under);
        if let Some(entry) = entry {
            self.entries.insert(under, entry, message, expires, blob);
        }
        StoreOutcome::Stored {
            mailbox: under.mailbox,
            entry,
        }
    }

    /// Where a deposit goes; none if nobody takes it.
    fn under(&self, drop: DropId) -> Option<DropKey> {
        let row = self.drops.get(drop).filter(|row| !row.revoked)?;
        let mailbox = row.mailbox;
        let closed = self.mailboxes.get(&mailbox).is_none_or(|row| row.closed);
        (!closed).then_some(DropKey { mailbox, drop })
    }

    fn open(
        &mut self,
        now: Time,
        mailbox: MailboxId,
        opening: Opening,
    ) -> Result<(), StoreOutcome> {
        match opening {
            Opening::Closed => return Err(StoreOutcome::Refused),
            Opening::Token(token) if self.spent.names.contains(&token.name) => {
                return Err(StoreOutcome::Spent);
            }
            Opening::Free | Opening::Token(_) => {}
        }
        if self.mailboxes.len() as u64 >= self.limits.mailboxes {
            return Err(StoreOutcome::Refused);
        }
        if let Opening::Token(token) = opening {
            self.spent.spend(token);
        }
        self.create(now, mailbox);
        Ok(())
    }

    fn has_room(&self, now: Time, under: DropKey) -> bool {
        let (limits, step) = (&self.limits, self.step(now));
        let drop = self.drops.get(under.drop).map(|row| &row.tally);
        let mailbox = self.mailboxes.get(&under.mailbox).map(|row| &row.tally);
        let taken = |tally: Option<&Tally>| tally.map_or(0, |tally| tally.occupied(step));
        taken(drop) < limits.entries_per_drop && taken(mailbox) < limits.entries_per_mailbox
    }

    fn create(&mut self, now: Time, mailbox: MailboxId) {
        let row = self.next_row;
        self.next_row += 1;
        self.mailboxes.entry(mailbox).or_insert(MailboxRow {
            row,
            attended: None,
            closed: false,
            created: times::hour(now),
            used: times::hour(now),
            next_entry: EntryId::new(1),
            tally: Tally::default(),
        });
    }

    /// The number of one more entry in a mailbox, under a drop id.
    fn number(&mut self, now: Time, under: DropKey) -> Option<EntryId> {
        let owner = self.mailboxes.get_mut(&under.mailbox)?;
        let row = self.drops.get_mut(under.drop)?;
        let entry = owner.next_entry;
        owner.next_entry = EntryId::new(entry.number().saturating_add(1));
        owner.tally.added();
        owner.used = owner.used.max(times::hour(now));
        row.tally.added();
        Some(entry)
    }

    /// Does a command that counts.
    #[expect(clippy::too_many_arguments, reason = "what the command says")]
    fn attend(
        &mut self,
        now: Time,
        mailbox: MailboxId,
        opened: bool,
        counter: u64,
        (fresh, mut attended): (bool, Attended),
        acks: Vec<EntryId>,
        changes: Vec<DropChange>,
    ) -> StoreOutcome {
        for entry in acks {
            self.ack(now, mailbox, entry);
        }
        let undone = |change| !self.change(mailbox, change);
        let refused = changes.into_iter().map(undone).map(u32::from).sum();
        if refused > 0 {
            attended.window = attended.window.refuse(counter);
        }
        let (mut created, mut waiting) = (times::hour(now), 0);
        if let Some(row) = self.mailboxes.get_mut(&mailbox) {
            row.used = row.used.max(times::hour(now));
            row.attended = Some(attended);
            (created, waiting) = (row.created, row.tally.waiting());
        }
        StoreOutcome::Attended {
            fresh,
            window: attended.window,
            stream: attended.stream,
            refused,
            opened,
            created,
            waiting,
        }
    }

    fn ack(&mut self, now: Time, mailbox: MailboxId, entry: EntryId) {
        let Some(under) = self.entries.acknowledge(mailbox, entry) else {
            return;
        };
        let step = self.step(now);
        self.freed.add(step);
        if let Some(owner) = self.mailboxes.get_mut(&mailbox) {
            owner.tally.acknowledged(step);
        }
        let Some(row) = self.drops.get_mut(under.drop) else {
            return;
        };
        row.tally.acknowledged(step);
        if row.tally.remembered() > self.limits.remembered_per_drop
            && let Some(oldest) = self.entries.oldest_remembered(under)
        {
            self.remove(oldest);
        }
    }

    /// Whether the change is done, or was.
    fn change(&mut self, mailbox: MailboxId, change: DropChange) -> bool {
        match change {
            DropChange::Register(set) => {
                let closed = self.mailboxes.get(&mailbox).is_none_or(|row| row.closed);
                if closed {
                    return false;
                }
                let most = self.limits.sets_per_mailbox;
                self.drops.register(mailbox, &set, most)
            }
            DropChange::Revoke(drop) => {
                let own = self.drops.get_mut(drop);
                let own = own.filter(|row| row.mailbox == mailbox);
                own.map(|row| row.revoked = true).is_some()
            }
            DropChange::Close => {
                let own = self.mailboxes.get_mut(&mailbox);
                own.map(|row| row.closed = true).is_some()
            }
        }
    }

    fn expire(&mut self, now: Time) -> StoreOutcome {
        let batch = usize::try_from(self.limits.expire_batch).unwrap_or(usize::MAX);
        let rows = self.entries.expired(now, batch);
        for row in &rows {
            self.remove(*row);
        }
        let spent = self.spent.expire(now, batch);
        let limits = &self.limits;
        let unused = |span| {
            let before = times::unused_for(now, span);
            move |row: &MailboxRow| before.is_some_and(|before| row.used <= before)
        };
        let closed = unused(limits.mailbox_closed);
        let is_over = move |row: &MailboxRow| row.closed && row.tally.waiting() == 0 && closed(row);
        let (idle, trial) = (unused(limits.mailbox_idle), unused(limits.mailbox_trial));
        let is_idle = move |row: &MailboxRow| row.tally.is_empty() && idle(row);
        let is_unused = move |row: &MailboxRow| {
            row.next_entry == EntryId::new(1) && row.used < row.created + TRIAL + HOUR && trial(row)
        };
        let most = IDLE_BATCH as usize;
        let names = self.forget_all(most, batch, is_over);
        let mut gone = self.give_up(most, |row| is_over(row) && row.tally.is_empty());
        gone += self.give_up(most - gone, is_idle);
        gone += self.give_up(most - gone, is_unused);
        StoreOutcome::Expired {
            removed: (rows.len() + names + gone + spent) as u64,
            more: [rows.len(), names, spent].contains(&batch) || gone == most,
        }
    }

    fn some(&self, most: usize, over: impl Fn(&MailboxRow) -> bool) -> Vec<MailboxId> {
        let over = self.mailboxes.iter().filter(|(_, row)| over(row));
        let mut by_row: Vec<_> = over.map(|(mailbox, row)| (row.row, *mailbox)).collect();
        by_row.sort_unstable();
        let mailboxes = by_row.into_iter().map(|(_, mailbox)| mailbox);
        mailboxes.take(most).collect()
    }

    /// Forgets names of acknowledged entries of these mailboxes, at most so many, and says how many.
    fn forget_all(
        &mut self,
        mailboxes: usize,
        most: usize,
        over: impl Fn(&MailboxRow) -> bool,
    ) -> usize {
        let mut forgotten = 0;
        for mailbox in self.some(mailboxes, over) {
            let names = self.entries.remembered_of(mailbox, most - forgotten);
            forgotten += names.len();
            names.into_iter().for_each(|row| self.remove(row));
        }
        forgotten
    }

    fn give_up(&mut self, most: usize, over: impl Fn(&MailboxRow) -> bool) -> usize {
        let idle = self.some(most, over);
        for mailbox in &idle {
            self.mailboxes.remove(mailbox);
            self.drops.remove_all(*mailbox);
        }
        idle.len()
    }

    /// Removes an entry of which only the name is left, or that expired.
    fn remove(&mut self, row: u64) {
        let Some((under, waited)) = self.entries.remove(row) else {
            return;
        };
        if let Some(owner) = self.mailboxes.get_mut(&under.mailbox) {
            owner.tally.removed(waited);
        }
        if let Some(row) = self.drops.get_mut(under.drop) {
            row.tally.removed(waited);
        }
    }
}

impl Store for MemoryStore {
    fn apply(&mut self, now: Time, ops: Vec<StoreOp>) -> Vec<StoreResult> {
        ops.into_iter()
            .map(|op| Ok(self.perform(now, op)))
            .collect()
    }

    fn usage(&self) -> Usage {
        Usage {
            mailboxes: self.mailboxes.len() as u64,
            entries: self.entries.waiting(),
            remembered: self.entries.remembered(),
        }
    }
}
