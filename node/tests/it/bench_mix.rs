//! `shoal bench mix`, as an operator runs it.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::cli::{Place, error_of};

fn bench(place: &Place, options: &[&str]) -> Output {
    let begin = ["bench", "mix", "--duration", "1s", "--peers", "3"];
    place.run(&[&begin[..], options].concat())
}

/// What it measured. None where the directory of tests is kept in memory, which it refuses.
fn measured(output: &Output) -> Option<Value> {
    if output.status.code() == Some(2) {
        let told = String::from_utf8_lossy(&output.stdout).into_owned() + &error_of(output);
        assert!(told.contains("tmpfs"), "{told}");
        return None;
    }
    assert!(output.status.success(), "{}", error_of(output));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn count(of: &Value, name: &str) -> u64 {
    of[name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name} in {of}"))
}

/// Every packet that the mix read is in its books, once.
fn adds_up(told: &Value) {
    let accounts = &told["accounts"];
    let ended: u64 = ["forwarded", "delivered", "dropped", "inside"]
        .iter()
        .map(|part| count(accounts, part))
        .sum();
    assert_eq!(count(accounts, "received"), ended, "{accounts}");
    assert_eq!(accounts["balanced"], true);
    assert_eq!(count(accounts, "inside"), 0);
    let parts = [&told["before"], &told["measured"]];
    let drops = parts.iter().filter_map(|part| part["drops"].as_object());
    let by_reason: u64 = drops
        .flat_map(|of| of.values())
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(count(accounts, "dropped"), by_reason, "each under a reason");
}

#[test]
fn a_mix_is_measured_and_nothing_is_left() {
    let place = Place::new();
    let output = bench(&place, &["--rate", "200", "--json"]);
    let Some(told) = measured(&output) else {
        return;
    };
    adds_up(&told);
    let part = &told["measured"];
    assert_eq!(told["before"], Value::Null);
    assert_eq!(part["offered_per_second"], 200.0);
    assert!(part["forwarded_per_second"].as_f64() > Some(0.0), "{part}");
    assert!(part["timed"].as_u64() > Some(0), "{part}");
    assert!(part["ratio"].as_f64() > Some(0.0), "{part}");
    let excess = &part["excess_outside_ms"];
    assert!(excess["p50"].as_f64() <= excess["p99"].as_f64(), "{excess}");
    for of in ["links", "unwrap", "core", "replay_log", "other"] {
        assert!(part["cpu_micros_by_part"][of].is_f64(), "{of} in {part}");
    }
    // Nothing was lost on the way: what the mix has read is what it has passed on.
    assert_eq!(told["accounts"]["received"], told["accounts"]["forwarded"]);
    let left = fs::read_dir(place.path("")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn peers_that_read_nothing_and_too_much_are_told_apart() {
    let place = Place::new();
    let options = ["--quic", "--rate", "600", "--stall", "1", "--json"];
    let Some(told) = measured(&bench(&place, &options)) else {
        return;
    };
    adds_up(&told);
    assert_eq!(
        (&told["transport"], &told["stalled"]),
        (&"quic".into(), &1.into())
    );
    let rates = ["before", "measured"].map(|part| told[part]["readers_per_second"].as_f64());
    assert!(rates.iter().all(|rate| *rate > Some(0.0)), "{rates:?}");

    let words = bench(&place, &["--overload", "2"]);
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(words.contains("With more offered than passes"), "{words}");
    assert!(words.contains("could not be written"), "{words}");
    assert!(!words.contains("ADD UP"), "{words}");

    let refused = bench(&place, &["--stall", "3"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(error_of(&refused).contains("at least one has to read"));
    let refused = bench(&place, &["--duration", "1h"]);
    assert_eq!(refused.status.code(), Some(2));
}
