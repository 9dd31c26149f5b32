//! Which of a client's connections its mailbox listens to: the newest, by a count that tells nothing
//! else.

use rand::{CryptoRng, RngExt as _};

/// A client without a generation starts with one of so many.
const START: u64 = 1 << 32;
/// Each generation is at most so far above the one before.
const STEP: u64 = 1 << 16;
/// How far above the own generation one that the mailbox names is believed. The connections of a
/// lifetime don't come as far; and a mailbox that lies would have to do so in millions of connections
/// to use all numbers up.
const REACH: u64 = 1 << 40;

/// The generation of this connection. It starts and steps by what is drawn, so that it is no reading
/// of a clock and does not tell how often the client has connected.
#[derive(Default)]
pub(crate) struct Generation {
    number: u64,
    /// It went on above what the mailbox knew, once in this connection.
    stepped: bool,
    /// The mailbox has listened to this client since it was made.
    heard: bool,
    /// Another copy has taken the mailbox over since.
    superseded: bool,
}

/// What follows when the mailbox says that it has seen a generation.
pub(crate) enum Seen {
    /// Nothing: it is an older one.
    Older,
    /// This client has gone on above it; the new number is to be saved.
    Above,
    /// The mailbox listened to this client, and now to a copy that came later.
    Superseded,
    /// It is so far above that it is not believed, or it is the second time in one connection.
    Absurd,
}

impl Generation {
    /// As it was saved; 0 for none.
    pub(crate) fn from_number(number: u64) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The mailbox listens to this generation.
    pub(crate) fn heard(&mut self) {
        self.heard = true;
    }

    /// Whether it has.
    pub(crate) fn is_heard(&self) -> bool {
        self.heard
    }

    /// Whether another copy has taken the mailbox over.
    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded
    }

    /// A new connection. Whether there is a new number to save; not of a client that was superseded, which
    /// must not take the mailbox back because its connection broke.
    pub(crate) fn advance<R: CryptoRng>(&mut self, rng: &mut R) -> bool {
        if self.superseded {
            return false;
        }
        let most = if self.number == 0 { START } else { STEP };
        self.stepped = false;
        self.step_above(self.number, most, rng);
        true
    }

    /// The mailbox has seen this generation. Of a client that it has not listened to yet: if it is not
    /// an older one, the client was restored from an old copy of its rows, or runs twice, and goes on
    /// above it, once in a connection at most. Of one that it has listened to: a newer one is of a copy
    /// that came later, and the own one of a command that was received or is too old, which anybody on
    /// its way can make of it. So it is of one that has lost another mailbox to a copy (`lost_another`), which leaves all
    /// of them to it.
    pub(crate) fn follow<R: CryptoRng>(
        &mut self,
        seen: u64,
        lost_another: bool,
        rng: &mut R,
    ) -> Seen {
        let Some(ahead) = seen.checked_sub(self.number) else {
            return Seen::Older;
        };
        if ahead > REACH {
            return Seen::Absurd;
        }
        if self.heard || lost_another {
            if ahead == 0 || self.superseded {
                return Seen::Older;
            }
            self.superseded = true;
            return Seen::Superseded;
        }
        if self.stepped {
            return Seen::Absurd;
        }
        self.stepped = true;
        self.step_above(seen, STEP, rng);
        Seen::Above
    }

    fn step_above<R: CryptoRng>(&mut self, number: u64, most: u64, rng: &mut R) {
        self.number = number.saturating_add(rng.random_range(1..=most));
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    #[test]
    fn it_starts_and_steps_at_random() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let mut starts = Vec::new();
        for _ in 0..50 {
            let mut generation = Generation::default();
            let _ = generation.advance(rng);
            assert!((1..=START).contains(&generation.number));
            starts.push(generation.number);
            let before = generation.number;
            let _ = generation.advance(rng);
            assert!((before + 1..=before + STEP).contains(&generation.number));
        }
        starts.sort_unstable();
        starts.dedup();
        assert!(starts.len() > 45 && starts[40] > START / 2);
    }

    #[test]
    fn a_mailbox_is_followed_so_far_and_once() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let mut generation = Generation::default();
        let _ = generation.advance(rng);
        let own = generation.number;
        assert!(matches!(
            generation.follow(own - 1, false, rng),
            Seen::Older
        ));
        let far = own + REACH + 1;
        assert!(matches!(generation.follow(far, false, rng), Seen::Absurd));
        assert!(matches!(
            generation.follow(u64::MAX, false, rng),
            Seen::Absurd
        ));
        assert_eq!(generation.number, own);
        // Also at the same one: two copies of one state draw the same.
        assert!(matches!(generation.follow(own, false, rng), Seen::Above));
        let above = generation.number;
        assert!((own + 1..=own + STEP).contains(&above));
        // Answers to what was said before change nothing, and no further step is made.
        assert!(matches!(generation.follow(own, false, rng), Seen::Older));
        assert!(matches!(generation.follow(above, false, rng), Seen::Absurd));
        let _ = generation.advance(rng);
        let seen = generation.number + REACH;
        assert!(matches!(generation.follow(seen, false, rng), Seen::Above));
        assert!(generation.number > seen);
    }
    #[test]
    fn who_was_heard_is_superseded_by_a_newer_one_and_stays_so() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let mut generation = Generation::default();
        let _ = generation.advance(rng);
        generation.heard();
        let own = generation.number;
        assert!(matches!(generation.follow(own, false, rng), Seen::Older));
        assert!(matches!(
            generation.follow(own - 1, false, rng),
            Seen::Older
        ));
        let far = own + REACH + 1;
        assert!(matches!(generation.follow(far, false, rng), Seen::Absurd));
        assert!(!generation.is_superseded());
        assert!(matches!(
            generation.follow(own + 1, false, rng),
            Seen::Superseded
        ));
        assert!(matches!(
            generation.follow(own + 1, false, rng),
            Seen::Older
        ));
        assert!(generation.is_superseded() && !generation.advance(rng));
        assert_eq!(generation.number, own, "no number above the copy's is used");
    }

    #[test]
    fn who_has_lost_another_mailbox_takes_none_back() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let mut generation = Generation::default();
        let _ = generation.advance(rng);
        let own = generation.number;
        let seen = generation.follow(own + 1, true, rng);
        assert!(matches!(seen, Seen::Superseded));
        assert_eq!(generation.number, own);
    }
}
