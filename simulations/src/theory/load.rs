//! The load of mixes. How long a packet takes is [`shoal_topology::Latency`].

/// Packets per second at each mix of a layer of `width`, from `clients` that send `rate` packets
/// per second each, without the mixes' own loops (the load of the Loopix paper's figure 8).
#[must_use]
pub fn load_per_mix(clients: f64, rate: f64, width: f64) -> f64 {
    clients * rate / width
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() < tolerance, "{a} is not {b}");
    }

    #[test]
    fn figure_8_of_loopix_has_this_load() {
        // 500 clients, lambda per minute, two mixes a layer: 500 lambda / 120.
        let lambda = 54.0;
        near(
            load_per_mix(500.0, lambda / 60.0, 2.0),
            500.0 * lambda / 120.0,
            1e-12,
        );
    }
}
