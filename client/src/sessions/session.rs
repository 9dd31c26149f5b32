//! One session: its ratchet, and what is kept so that a message which comes late still opens.
//!
//! Olm keeps the keys of 40 messages that were skipped in a chain, and of five chains. Here more comes out of order than
//! that: a message lies in two mailboxes, of which one gives out four times as fast as the other, and one that
//! was lost in the first may come hundreds after its neighbours. So before a key would be dropped that a message may still
//! need, the ratchet is kept as it is, and what the ratchet itself does not open is tried with what was kept. That never
//! moves, so it opens each message for as long as it is kept: that none is told twice is for the inbox to see to.
//!
//! What it costs: who steals the rows reads, beside what is to come until the next exchange, the chains that what is kept
//! reaches, though their messages were read: [`MOST_LATE`] turns of the conversation at most, and those of two
//! times to live.

use std::collections::BTreeMap;

use shoal_proto::{Span, Time};
use zeroize::Zeroizing;

use super::far::MOST_CHAINS;
use super::outer::Outer;
use super::ratchet::{Ratchet, RatchetError, Sealed};
use super::tag::Tag;
use crate::clock::ClockStep;
use crate::keys::PeerKey;
use crate::rows::{ChainRow, Change, LateRow, SessionRow};
use crate::table::Table;

/// Skipped keys that the ratchet keeps of a chain.
const MOST_SKIPPED: u64 = 40;
/// How far ahead in a chain a ratchet opens messages: short of the library's 2,000.
const REACH: u64 = 1_900;
/// Ratchets kept for late messages of a peer that was written to.
pub(super) const MOST_LATE: usize = 8;
/// The same of one that was not, who could make us keep many: as many as a long text may need.
pub(super) const MOST_LATE_OF_STRANGER: usize = 1;

pub(super) struct Session {
    pub(super) peer: PeerKey,
    /// Grows with each use of any session.
    pub(super) used: u64,
    ratchet: Ratchet,
    pub(super) outer: Outer,
    chains: Vec<ChainRow>,
    /// By number; the newest last.
    late: BTreeMap<u64, (Time, Ratchet)>,
}

/// What a message makes of a session, if it is taken.
pub(super) struct Step {
    ratchet: Ratchet,
    chains: Vec<ChainRow>,
    /// What was before is kept.
    keeps: bool,
    /// It is of a chain that is new: the other end goes on with this session.
    pub(super) turns: bool,
}

impl Session {
    /// One that we begin, or that `first` of theirs has begun.
    pub(super) fn new(peer: PeerKey, ratchet: Ratchet, first: Option<&Sealed>) -> Self {
        let chain = first.map(|message| {
            let (key, index) = message.place();
            ChainRow {
                key,
                next: index.saturating_add(1),
                missing: index,
                kept: None,
            }
        });
        Self {
            peer,
            used: 0,
            ratchet,
            outer: Outer::default(),
            chains: chain.into_iter().collect(),
            late: BTreeMap::new(),
        }
    }

    /// From its row.
    pub(super) fn from_row(row: &SessionRow) -> Option<Self> {
        Some(Self {
            peer: row.peer,
            used: row.used,
            ratchet: Ratchet::from_bytes(&row.ratchet)?,
            outer: Outer::from_bytes(&row.outer)?,
            chains: row.chains.clone(),
            late: BTreeMap::new(),
        })
    }

    /// With a row of what was kept for late messages.
    pub(super) fn with_late(&mut self, number: u64, row: &LateRow) -> Option<()> {
        let ratchet = Ratchet::from_bytes(&row.ratchet)?;
        self.late.insert(number, (row.at, ratchet));
        Some(())
    }

    /// Seals a fragment. The session has moved on: it is to be saved before the fragment leaves.
    pub(super) fn seal(&mut self, fragment: &[u8]) -> Option<(bool, Vec<u8>)> {
        self.outer.count();
        self.ratchet.seal(fragment)
    }

    /// Whether something has come in it from the other end, which has it then.
    pub(super) fn is_whole(&self) -> bool {
        !self.chains.is_empty()
    }

    /// Opens a message, and says what follows for the session: nothing if what was kept for late ones opened it. The
    /// session is as it was until [`Session::take`].
    pub(super) fn open(
        &self,
        message: &Sealed,
    ) -> Result<(Zeroizing<Vec<u8>>, Option<Step>), RatchetError> {
        let mut ratchet = self.ratchet.copy();
        let error = match ratchet.open(message) {
            Ok(fragment) => {
                let step = self.step(ratchet, message.place());
                return Ok((fragment, Some(step)));
            }
            Err(error) => error,
        };
        let late = self.late.values().rev();
        let mut late = late.filter_map(|(_, kept)| kept.copy().open(message).ok());
        late.next().map(|fragment| (fragment, None)).ok_or(error)
    }

    fn step(&self, ratchet: Ratchet, (key, index): ([u8; 32], u64)) -> Step {
        let mut chains = self.chains.clone();
        let mut keeps = false;
        let known = chains.iter().position(|chain| chain.key == key);
        let at = known.unwrap_or_else(|| {
            if chains.len() >= MOST_CHAINS {
                // Who knows what is still to come of it?
                chains.remove(0);
                keeps = true;
            }
            chains.push(ChainRow {
                key,
                next: 0,
                missing: 0,
                kept: None,
            });
            chains.len() - 1
        });
        if let Some(chain) = chains.get_mut(at) {
            if index < chain.next {
                chain.missing = chain.missing.saturating_sub(1);
            } else {
                let before = chain.next;
                chain.missing = chain.missing.saturating_add(index - before);
                chain.next = index.saturating_add(1);
                let reached = chain
                    .kept
                    .is_some_and(|from| index - from.min(index) < REACH);
                if chain.missing > MOST_SKIPPED && !reached {
                    keeps = true;
                    chain.kept = Some(before);
                }
            }
        }
        Step {
            ratchet,
            chains,
            keeps,
            turns: known.is_none(),
        }
    }

    /// The message is taken. So many ratchets are kept for late ones at most, each for so long. Returns what is to be
    /// saved beside the session's own row.
    pub(super) fn take(
        &mut self,
        tag: &Tag,
        step: Step,
        (now, keep_for, most): (Time, Span, usize),
    ) -> Vec<Change> {
        self.outer.count();
        let before = std::mem::replace(&mut self.ratchet, step.ratchet);
        self.chains = step.chains;
        let mut changes = Vec::new();
        if step.keeps {
            let number = self
                .late
                .last_key_value()
                .map_or(0, |(number, _)| number + 1);
            let row = LateRow {
                at: now,
                ratchet: before.to_bytes(),
            };
            let key = LateRow::key(tag.as_bytes(), number);
            changes.push(Change::put(Table::Late, key, row.encode()));
            self.late.insert(number, (now, before));
        }
        let old = self.late.len().saturating_sub(most);
        let late = (0..).zip(&self.late);
        let gone = late.filter(|(at, (_, (kept, _)))| *at < old || now.since(*kept) > keep_for);
        let gone: Vec<u64> = gone.map(|(_, (number, _))| *number).collect();
        for number in gone {
            self.late.remove(&number);
            let key = LateRow::key(tag.as_bytes(), number);
            changes.push(Change::delete(Table::Late, key));
            // Which chains it stood for is not known: the next that needs one keeps another.
            for chain in &mut self.chains {
                chain.kept = None;
            }
        }
        changes
    }

    /// All of its rows to save, should a change before not have been.
    pub(super) fn saved_whole(&self, tag: &Tag) -> Vec<Change> {
        let late = self.late.iter().map(|(number, (at, ratchet))| {
            let row = LateRow {
                at: *at,
                ratchet: ratchet.to_bytes(),
            };
            Change::put(
                Table::Late,
                LateRow::key(tag.as_bytes(), *number),
                row.encode(),
            )
        });
        late.chain([self.saved(tag)]).collect()
    }

    /// What is kept is as old as before.
    pub(super) fn clock_moved(&mut self, step: ClockStep) {
        self.outer.clock_moved(step);
        for (at, _) in self.late.values_mut() {
            *at = step.apply(*at);
        }
    }

    /// Its row to save.
    pub(super) fn saved(&self, tag: &Tag) -> Change {
        let row = SessionRow {
            peer: self.peer,
            used: self.used,
            chains: self.chains.clone(),
            outer: self.outer.to_bytes(),
            ratchet: self.ratchet.to_bytes(),
        };
        Change::put(Table::Session, tag.as_bytes().to_vec(), row.encode())
    }

    /// All of its rows are to go.
    pub(super) fn forgotten(&self, tag: &Tag) -> Vec<Change> {
        let late = self.late.keys();
        let late =
            late.map(|number| Change::delete(Table::Late, LateRow::key(tag.as_bytes(), *number)));
        let own = Change::delete(Table::Session, tag.as_bytes().to_vec());
        late.chain([own]).collect()
    }
}
