//! Epsilon and delta of the pairs of senders that a scenario names, from the masses of their
//! messages at the outputs.

use super::pairs::Pairs;
use super::sheet::{Sheet, count};
use crate::adversary::Adversary;
use crate::engine::Plan;
use crate::engine::mass::{Delivery, Mass, TRUNCATED};
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

/// Why a value is an approximation where many messages of the pair had not come out at the end.
const CUT: &str =
    "outputs after the end of the run are not compared, so those that came early count too much";

/// The values of all pairs; each name ends with the two clients' numbers.
///
/// More knowledge makes the hockey-stick divergence larger, so delta goes against the entropy;
/// epsilon, a mean of absolute values over challenges at which it is finite, goes neither way.
pub(super) fn put(
    adversary: &Adversary,
    claim: &Claim,
    (asked, plan): (&Epsilon, &Plan),
    mass: Option<&Mass>,
    sheet: &mut Sheet,
) {
    let deliveries = mass.map(Mass::deliveries).unwrap_or_default();
    for [a, b] in &asked.pairs {
        let place = |client: &u32| plan.groups.iter().position(|group| group == client);
        let mut claim = claim.clone();
        let pairs = match (place(a), place(b)) {
            (Some(first), Some(second)) => {
                let left = |place| mass.map_or(0.0, |mass| mass.residual_of_group(place));
                if left(first).max(left(second)) > TRUNCATED {
                    claim = claim.and(&Claim::Approximation(CUT.to_owned()));
                }
                compare(deliveries, first, second)
            }
            _ => Pairs::default(),
        };
        let (delta, epsilon) = (&claim.of_opposite(), &claim.of_unordered());
        let mut put = |name: String, unit: &str, value, claim: &Claim| {
            let name = format!("{name}.{a}_{b}");
            sheet.put(Some(adversary), (name, unit), value, claim);
        };
        put("epsilon".to_owned(), "1", pairs.epsilon(), epsilon);
        let high = pairs.epsilon_quantile(0.95);
        put("epsilon_p95".to_owned(), "1", high, epsilon);
        put("epsilon_zeros".to_owned(), "1", pairs.zeros(), epsilon);
        let compared = Some(count(pairs.compared() as u64));
        put("epsilon_outputs".to_owned(), "packets", compared, epsilon);
        for at in &asked.deltas_at {
            put(format!("delta_at_{at}"), "1", pairs.delta(*at), delta);
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
