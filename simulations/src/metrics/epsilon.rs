//! Epsilon and delta of the pairs of senders that a scenario names, from the masses of their
//! messages at the outputs.

use super::pairs::Pairs;
use super::sheet::{Sheet, count};
use crate::adversary::Adversary;
use crate::engine::{Plan, mass::Delivery};
use crate::measure::Claim;
use crate::scenario::Epsilon;

/// What outputs say of two senders, by their places in the plan's groups: every output that is a
/// message of one of them is a challenge.
#[must_use]
pub fn compare(deliveries: &[Delivery], first: usize, second: usize) -> Pairs {
    let mut pairs = Pairs::default();
    for delivery in deliveries {
        let mass = |group: usize| delivery.masses.get(group).copied().unwrap_or(0.0);
        let truth = delivery.group as usize;
        if truth == first {
            pairs.add(mass(first), mass(second));
        } else if truth == second {
            pairs.add(mass(second), mass(first));
        }
    }
    pairs
}

/// The values of all pairs; each name ends with the two clients' numbers.
pub(super) fn put(
    adversary: &Adversary,
    claim: &Claim,
    (asked, plan): (&Epsilon, &Plan),
    deliveries: &[Delivery],
    sheet: &mut Sheet,
) {
    for [a, b] in &asked.pairs {
        let place = |client: &u32| plan.groups.iter().position(|group| group == client);
        let pairs = match (place(a), place(b)) {
            (Some(first), Some(second)) => compare(deliveries, first, second),
            _ => Pairs::default(),
        };
        let mut put = |name: String, unit: &str, value| {
            let name = format!("{name}.{a}_{b}");
            sheet.put(Some(adversary), (name, unit), value, claim);
        };
        put("epsilon".to_owned(), "1", pairs.epsilon());
        put("epsilon_p95".to_owned(), "1", pairs.epsilon_quantile(0.95));
        put("epsilon_zeros".to_owned(), "1", pairs.zeros());
        let compared = count(pairs.compared() as u64);
        put("epsilon_outputs".to_owned(), "packets", Some(compared));
        for epsilon in &asked.deltas_at {
            put(format!("delta_at_{epsilon}"), "1", pairs.delta(*epsilon));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::NONE;
    use crate::math;

    #[test]
    fn only_the_outputs_of_the_pair_are_challenges() {
        let delivery = |group, masses: [f64; 3]| Delivery {
            time: 0.0,
            receiver: NONE,
            group,
            masses: masses.to_vec(),
        };
        let deliveries = [
            delivery(0, [0.4, 0.9, 0.1]),
            delivery(2, [0.2, 0.9, 0.1]),
            delivery(1, [0.1, 0.9, 0.0]),
            delivery(NONE, [0.1, 0.1, 0.1]),
        ];
        let pairs = compare(&deliveries, 0, 2);
        assert_eq!(pairs.compared(), 2);
        let expected = (math::ln(4.0) + math::ln(2.0)) / 2.0;
        assert!((pairs.epsilon().unwrap() - expected).abs() < 1e-12);
        // The true one first: 1 - 1/4 and, as the other one is likelier, 0.
        assert!((pairs.delta(0.0).unwrap() - 0.375).abs() < 1e-12);
    }
}
