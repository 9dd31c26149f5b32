//! Scenarios for the real roles.

use shoal_simulations::network::{self, PRESET, Report, Scenario};

fn run(text: &str, seed: u64) -> Report {
    let scenario = Scenario::parse(text).unwrap();
    network::run(&scenario, seed, |_| {}).unwrap()
}

#[test]
fn the_preset_keeps_its_promises() {
    let report = run(PRESET, 1);
    println!("{}", serde_json::to_string_pretty(&report.summary).unwrap());
    assert_eq!(report.failure, None);
}
