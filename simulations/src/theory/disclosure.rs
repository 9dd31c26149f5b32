//! How many messages it takes until long watching tells who talks to whom.

use crate::math;

/// Rounds after which the statistical disclosure attack tells a user's contacts from everybody
/// else (Danezis, "Statistical Disclosure Attacks", 2003): the user sends one message a round to
/// one of `contacts` (m), among `batch` messages in all (b) to `users` receivers (N), each as
/// likely; `confidence` is how many standard deviations apart the counts are to be (2 for 95%, 3
/// for 99%). (m l (sqrt(v) + sqrt(v + (m-1)/m^2)))^2 with v = (N-1)/N^2 (b-1).
///
/// It holds for an adversary who sees in which rounds the user sends a message, so it says nothing
/// of users whose cover traffic hides that.
#[must_use]
pub fn statistical_disclosure_rounds(
    users: f64,
    batch: f64,
    contacts: f64,
    confidence: f64,
) -> f64 {
    let other = (users - 1.0) / (users * users) * (batch - 1.0).max(0.0);
    let own = (contacts - 1.0) / (contacts * contacts);
    let root = contacts * confidence * (other.sqrt() + (other + own).sqrt());
    root * root
}

/// Messages of one user to one receiver after which the user is expected to be the only one left
/// who was online every time, but for `others` others: the intersection attack (Berthold, Pfitzmann
/// and Standtke, 2000), when each of the other users is online at each message with probability
/// `online`, independently. ln((N-1)/others) / ln(1/online); infinite if everybody is always
/// online.
///
/// It holds for an adversary who knows which messages belong to one conversation.
#[must_use]
pub fn intersection_messages(users: f64, online: f64, others: f64) -> f64 {
    if online >= 1.0 {
        return f64::INFINITY;
    }
    (math::ln((users - 1.0) / others) / -math::ln(online)).max(0.0)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::seed;

    #[test]
    fn rounds_of_statistical_disclosure() {
        // b = 1: nobody else sends, and only the choice among the contacts is noise.
        let alone = statistical_disclosure_rounds(100.0, 1.0, 5.0, 2.0);
        assert!((alone - 16.0).abs() < 1e-9, "{alone}");
        // For large b it is 4 m^2 l^2 (b - 1) / N.
        let crowd = statistical_disclosure_rounds(1e6, 1e8, 10.0, 3.0);
        assert!(
            (crowd / (4.0 * 900.0 * 100.0) - 1.0).abs() < 0.01,
            "{crowd}"
        );
    }

    #[test]
    fn the_intersection_shrinks_geometrically() {
        assert!(intersection_messages(1000.0, 1.0, 1.0).is_infinite());
        let expected = intersection_messages(1025.0, 0.5, 1.0);
        assert!((expected - 10.0).abs() < 1e-9);
        // By drawing: after ten messages one other of 1024 is left on average.
        let mut rng = seed::generator(1, 0, "intersection", 0);
        let mut left = 0;
        for _ in 0..400 * 1024 {
            left += u32::from((0..10).all(|_| rng.random::<bool>()));
        }
        let mean = f64::from(left) / 400.0;
        assert!((mean - 1.0).abs() < 0.2, "{mean}");
    }
}
