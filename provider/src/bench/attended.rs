//! What a store has in memory while some of its mailboxes are attended: measured from outside, in a process that does
//! nothing else.

use super::measure::{NOW, key, perform};
use super::{GROUP, limits};
use crate::offline::StoreAt;
use crate::store::{StoreOp, StoreOutcome};
use crate::{StoreError, load};
use shoal_proto::Span;

/// Opens a store that [`bench`](super::bench) has left, and has so many of its mailboxes attended, spread over all, in so
/// many rounds: each gets a deposit, is looked through, and acknowledges. Gives how many mailboxes it has. The caller reads
/// from its system what the process holds.
///
/// # Errors
/// [`StoreError`]: it can't be opened, or is not such a store.
pub fn attend(at: &StoreAt, attended: u64, rounds: u64) -> Result<u64, StoreError> {
    let mut store = at.open(limits())?;
    let mailboxes = store.usage().mailboxes;
    let step = mailboxes.checked_div(attended).unwrap_or(0).max(1);
    let owners: Vec<u64> = (0..attended.min(mailboxes)).map(|n| n * step).collect();
    for round in 1..=rounds {
        for group in owners.chunks(GROUP as usize) {
            let number = |n: &u64| u64::MAX - n * rounds - round;
            let expires = NOW + Span::from_secs(14 * 24 * 3600);
            let put = |n: &u64| load::put(key(*n, mailboxes), 0, number(n), expires);
            let outcomes = perform(&mut *store, group.iter().map(put).collect())?;
            let look = |n: &u64| {
                let mailbox = key(*n, mailboxes);
                [StoreOp::Waiting { mailbox }, load::list(mailbox, 0, 0, 32)]
            };
            perform(&mut *store, group.iter().flat_map(look).collect())?;
            // Above what measuring has used.
            let counter = (1 << 40) + round;
            let acks = group.iter().zip(&outcomes).map(|(n, outcome)| {
                let entry = match outcome {
                    StoreOutcome::Stored {
                        entry: Some(entry), ..
                    } => vec![entry.number()],
                    _ => Vec::new(),
                };
                load::attend(key(*n, mailboxes), (1, counter), 0, &entry)
            });
            perform(&mut *store, acks.collect())?;
        }
        perform(&mut *store, vec![StoreOp::Expire])?;
    }
    Ok(mailboxes)
}
