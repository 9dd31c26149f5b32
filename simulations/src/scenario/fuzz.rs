//! Any bytes as a scenario. `simulations/fuzz` runs this under libFuzzer, the tests with the presets.

use super::{Scenario, estimate};

/// Reads bytes as a scenario, in TOML and in JSON. What is accepted is written and read again, and
/// planned.
///
/// # Panics
/// If a scenario that was accepted is another one after it was written and read.
pub fn fuzz_scenario(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let read = [Scenario::parse_alone(text), Scenario::parse_json(text)];
    for scenario in read.into_iter().flatten() {
        let written = scenario.to_toml().unwrap_or_default();
        let again = Scenario::parse_alone(&written).map(|scenario| scenario.hash());
        assert_eq!(again.as_deref(), Ok(&*scenario.hash()));
        assert!(estimate(&scenario, 4).seconds.is_finite());
        assert!(scenario.plan(1).validate().is_ok());
    }
}
