//! Statistical disclosure: whom somebody writes to, from who receives when they send.
//!
//! Time is cut into rounds. Receipts are averaged over the rounds in which Alice sent and over
//! those in which she did not; whoever gains most between the two is taken for a contact.
//!
//! Sources: G. Danezis, "Statistical Disclosure Attacks", 2003; N. Mathewson and R. Dingledine,
//! "Practical Traffic Analysis: Extending and Resisting Statistical Disclosure", 2004 (the
//! background taken from rounds without Alice).

use std::collections::BTreeSet;

/// What the attack has added up so far. 16 bytes for each receiver.
#[derive(Clone, Debug)]
pub struct Disclosure {
    with: Vec<f64>,
    without: Vec<f64>,
    rounds_with: u64,
    rounds_without: u64,
}

/// How well the estimate separates the contacts from the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranking {
    /// The share of the contacts among the receivers with the best scores, as many as there are
    /// contacts; 0 to 1. A place shared with others counts in part.
    pub found: f64,
    /// [`found`](Self::found) beyond what guessing finds, over the most that could be beyond it:
    /// 0 for a guess, 1 for certainty.
    pub advantage: f64,
    /// Whether each contact scores higher than each other receiver.
    pub complete: bool,
}

impl Disclosure {
    /// An attack among so many receivers, numbered from 0.
    #[must_use]
    pub fn new(receivers: usize) -> Self {
        Self {
            with: vec![0.0; receivers],
            without: vec![0.0; receivers],
            rounds_with: 0,
            rounds_without: 0,
        }
    }

    /// One more round: whether Alice sent in it, and who received in it, once for each packet.
    /// Receivers that are out of range are left out.
    pub fn round(&mut self, alice_sent: bool, receipts: impl IntoIterator<Item = u32>) {
        let (sums, rounds) = if alice_sent {
            (&mut self.with, &mut self.rounds_with)
        } else {
            (&mut self.without, &mut self.rounds_without)
        };
        *rounds += 1;
        for receiver in receipts {
            if let Some(sum) = sums.get_mut(receiver as usize) {
                *sum += 1.0;
            }
        }
    }

    /// The rounds so far: with Alice and without.
    #[must_use]
    pub fn rounds(&self) -> (u64, u64) {
        (self.rounds_with, self.rounds_without)
    }

    /// Each receiver's score: receipts per round with Alice, less receipts per round without.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 rounds")]
    pub fn scores(&self) -> Vec<f64> {
        let with = self.rounds_with.max(1) as f64;
        let without = self.rounds_without.max(1) as f64;
        let pairs = self.with.iter().zip(&self.without);
        pairs.map(|(a, b)| a / with - b / without).collect()
    }

    /// Compares the estimate with the truth. `None` if there is no contact, nobody else, or no
    /// round with Alice yet.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 receivers")]
    pub fn rank(&self, contacts: &BTreeSet<u32>) -> Option<Ranking> {
        let mut scores: Vec<(f64, bool)> = (0_u32..)
            .zip(self.scores())
            .map(|(receiver, score)| (score, contacts.contains(&receiver)))
            .collect();
        let wanted = scores.iter().filter(|(_, contact)| *contact).count();
        if self.rounds_with == 0 || wanted == 0 || wanted == scores.len() {
            return None;
        }
        scores.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut places = wanted as f64;
        let mut found = 0.0;
        for tie in scores.chunk_by(|a, b| a.0 <= b.0) {
            let here = tie.len() as f64;
            let contacts = tie.iter().filter(|(_, contact)| *contact).count() as f64;
            found += contacts * (places / here).min(1.0);
            places -= here;
            if places <= 0.0 {
                break;
            }
        }
        let found = found / wanted as f64;
        let chance = wanted as f64 / scores.len() as f64;
        Some(Ranking {
            found,
            advantage: (found - chance) / (1.0 - chance),
            complete: found >= 1.0,
        })
    }
}

/// How many rounds with Alice it takes until her contacts stand out, if each round holds `batch`
/// packets of which one is hers, to one of `contacts` receivers, and the others go anywhere among
/// `receivers`: contacts stand `deviations` standard deviations of either count above the rest.
/// Danezis 2003, section 3: `[m l (sqrt((m-1)/m²) + sqrt((N-1)(b-1)/N²))]²`.
#[must_use]
pub fn rounds_needed(contacts: f64, receivers: f64, batch: f64, deviations: f64) -> f64 {
    let hers = ((contacts - 1.0).max(0.0)).sqrt() / contacts;
    let others = ((receivers - 1.0) * (batch - 1.0)).max(0.0).sqrt() / receivers;
    let root = contacts * deviations * (hers + others);
    root * root
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::seed;

    #[test]
    fn a_case_by_hand() {
        let mut attack = Disclosure::new(4);
        let contacts = BTreeSet::from([1]);
        assert_eq!(attack.rank(&contacts), None);
        attack.round(true, [1, 2]);
        // 1 and 2 share the first place.
        let ranking = attack.rank(&contacts).unwrap();
        assert!((ranking.found - 0.5).abs() < 1e-15);
        assert!((ranking.advantage - 1.0 / 3.0).abs() < 1e-15);
        assert!(!ranking.complete);
        attack.round(false, [2, 3]);
        attack.round(true, [1, 0, 99]);
        attack.round(false, [0]);
        assert_eq!(attack.rounds(), (2, 2));
        assert_eq!(attack.scores(), [0.0, 1.0, 0.0, -0.5]);
        let ranking = attack.rank(&contacts).unwrap();
        assert!(ranking.complete);
        assert!((ranking.advantage - 1.0).abs() < 1e-15);
        assert_eq!(attack.rank(&BTreeSet::new()), None);
    }

    /// Rounds of `batch` packets, one of them Alice's, until her contacts rank first.
    fn rounds_until_found(seed: u64, contacts: u32, receivers: u32, batch: u32) -> u64 {
        let mut rng = seed::generator(seed, 0, "disclosure test", 0);
        let mut attack = Disclosure::new(receivers as usize);
        let truth: BTreeSet<u32> = (0..contacts).collect();
        loop {
            let hers = rng.random_range(0..contacts);
            let others: Vec<u32> = (1..batch).map(|_| rng.random_range(0..receivers)).collect();
            attack.round(true, others.into_iter().chain([hers]));
            if attack.rank(&truth).is_some_and(|ranking| ranking.complete) {
                return attack.rounds().0;
            }
        }
    }

    #[test]
    fn rounds_are_of_the_size_that_danezis_derives() {
        let expected = rounds_needed(5.0, 100.0, 20.0, 2.0);
        assert!((expected - 69.506).abs() < 0.1, "{expected}");
        let runs = 20;
        let total: u64 = (0..runs)
            .map(|seed| rounds_until_found(seed, 5, 100, 20))
            .sum();
        let mean = total / runs;
        // A condition on typical fluctuations, not a law: within a factor of two.
        assert!((35..=140).contains(&mean), "{mean}");
    }
}
