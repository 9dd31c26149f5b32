//! The arithmetic of intersection under churn.

/// The expected number of candidates, the sender included, after messages at these instants
/// (seconds, ascending), among `clients` that are each online for an exponential time of mean
/// `online` and offline for one of mean `offline` (seconds), independently and in equilibrium.
///
/// `1 + (n-1) p Π (p + (1-p) exp(-(1/online + 1/offline) gap))`, with `p = online / (online +
/// offline)`: the chance that somebody who was online a gap ago is online now.
#[must_use]
pub fn expected_candidates(clients: f64, online: f64, offline: f64, instants: &[f64]) -> f64 {
    let share = online / (online + offline);
    let speed = 1.0 / online + 1.0 / offline;
    let Some(first) = instants.first() else {
        return clients;
    };
    let mut others = (clients - 1.0) * share;
    let mut before = first;
    for instant in instants.iter().skip(1) {
        others *= share + (1.0 - share) * crate::math::exp(-speed * (instant - before));
        before = instant;
    }
    1.0 + others
}

#[cfg(test)]
mod tests {
    use super::expected_candidates;

    #[test]
    fn limits_are_right() {
        // Far apart: independent; at once: the same people.
        let far = expected_candidates(101.0, 1.0, 3.0, &[0.0, 1e6, 2e6]);
        assert!((far - (1.0 + 100.0 / 64.0)).abs() < 1e-9);
        let near = expected_candidates(101.0, 1.0, 3.0, &[5.0, 5.0, 5.0]);
        assert!((near - 26.0).abs() < 1e-9);
        assert!((expected_candidates(7.0, 1.0, 1.0, &[]) - 7.0).abs() < 1e-12);
    }
}
