//! Scenarios for the real roles.

use std::path::Path;
use std::process::{Command, Output};

use shoal_proto::Span;
use shoal_simulations::network::{self, NetworkError, PRESET, Report, Scenario};
use shoal_simulations::table::Table;

/// Few packets, and something of everything that goes wrong.
const SMALL: &str = r#"
[run]
duration = "60s"
settle = "10m"
[network]
width = 1
epoch = "20s"
[client]
retry_max = "15s"
[[clients]]
count = 4
profile = "quiet"
[profiles.quiet]
real = 0.5
loops = 0.1
drops = 0.05
mailbox = 0.3
mailbox_clock = 0.6
downlink = 1.5
[workload]
messages_per_minute = 4.0
[churn]
online = "40s"
offline = "10s"
[crashes]
clients = { up = "30s", down = "3s" }
[[faults]]
kind = "partition"
who = ["provider 0", "clients 0-1"]
at = "5s"
for = "30s"
[[faults]]
kind = "crash"
who = ["mix 1", "provider 1"]
at = "20s"
for = "5s"
[[faults]]
kind = "loss"
who = ["clients"]
loss = 0.2
at = "40s"
"#;

fn run(text: &str, seed: u64) -> Report {
    let scenario = Scenario::parse(text).unwrap();
    network::run(&scenario, seed, |_| {}).unwrap()
}

#[test]
fn promises_hold_in_trouble_and_a_seed_repeats_it() {
    let report = run(SMALL, 1);
    let summary = &report.summary;
    println!("{}", summary.to_json());
    assert_eq!(report.failure, None);
    let count = |name| summary.messages[name];
    assert!(count("accepted") > 5);
    assert_eq!(count("accepted"), count("received") + count("expired"));
    assert_eq!(summary.books, "balanced");
    // It did go wrong.
    assert_eq!(summary.faults["scheduled"], 3);
    assert!(summary.faults["crashes"] > 3 && summary.faults["offline"] > 1);
    assert!(summary.frames_cut > 5 && summary.frames["members"].lost > summary.frames_cut / 2);
    assert!(summary.documents >= summary.epochs && summary.epochs > 3);

    let again = run(SMALL, 1);
    assert_eq!(again.summary, report.summary);
    assert_eq!(again.messages, report.messages);
    let other = run(SMALL, 2);
    assert_eq!(other.failure, None);
    assert_ne!(other.summary.trace_hash, report.summary.trace_hash);
}

#[test]
fn the_preset_keeps_its_promises() {
    let report = run(PRESET, 1);
    assert_eq!(report.failure, None);
    assert_eq!(report.summary.faults["scheduled"], 5);
}

#[test]
fn the_preset_shows_the_defaults() {
    let preset = Scenario::parse(PRESET).unwrap();
    let mut bare = Scenario::parse("[[clients]]\ncount = 6\nprofile = \"default\"").unwrap();
    bare.clients.clone_from(&preset.clients);
    bare.profiles.clone_from(&preset.profiles);
    bare.faults.clone_from(&preset.faults);
    (bare.churn, bare.crashes) = (preset.churn, preset.crashes);
    assert_eq!(bare, preset);
}

#[test]
fn senseless_scenarios_are_refused_by_key_value_and_range() {
    let clients = "[[clients]]\ncount = 3\n";
    let fault = |lines: &str| format!("{clients}[[faults]]\nat = \"1s\"\n{lines}");
    let cases = [
        (
            format!("{clients}[run]\nduration = \"0s\""),
            "run.duration",
            "1s to 30d",
        ),
        (
            format!("{clients}[run]\nduration = \"5\""),
            "run.duration",
            "`5` is not a duration",
        ),
        (
            format!("{clients}[network]\nlayers = 4"),
            "network.layers = 4",
            "1 to 3",
        ),
        (
            format!("{clients}[network]\nmean_delay = \"1s\""),
            "network.mean_delay",
            "hundredth",
        ),
        (
            format!("{clients}[links]\nloss = nan"),
            "links.loss = NaN",
            "0 to 0.9",
        ),
        (
            format!("{clients}[workload]\nbytes = 3"),
            "workload.bytes = 3",
            "16 to",
        ),
        (
            format!("{clients}[client]\nretry_max = \"0s\""),
            "client.retry_max",
            "1ms",
        ),
        ("[[clients]]\ncount = 1".to_owned(), "clients", "2 to 10000"),
        (
            "[[clients]]\ncount = 2\nprofile = \"x\"".to_owned(),
            "clients[0].profile = \"x\"",
            "profiles",
        ),
        (
            format!(
                "{clients}[profiles.silent]\nreal = 0.0\nloops = 1.0\ndrops = 1.0\nmailbox = 1.0\nmailbox_clock = 1.0\ndownlink = 1.0\n[[clients]]\ncount = 1\nprofile = \"silent\""
            ),
            "profiles.silent.real = 0",
            "above 0",
        ),
        (
            fault("kind = \"crash\"\nwho = [\"mix 6\"]"),
            "faults[0].who = \"mix 6\"",
            "mix 0",
        ),
        (
            fault("kind = \"offline\"\nwho = [\"mixes\"]"),
            "faults[0].who",
            "clients",
        ),
        (
            fault("kind = \"crash\"\nwho = [\"mixes\"]\nloss = 0.1"),
            "faults[0].loss",
            "remove",
        ),
        (
            fault("kind = \"loss\"\nwho = [\"mixes\"]\nloss = 1.5"),
            "faults[0].loss = 1.5",
            "0 to 1",
        ),
    ];
    for (text, key, allowed) in cases {
        let error = Scenario::parse(&text).unwrap_err().to_string();
        assert!(
            error.contains(key) && error.contains(allowed),
            "{text}: {error}"
        );
    }
    let unknown = Scenario::parse(&format!("{clients}[links]\nspeed = 1"));
    assert!(matches!(unknown, Err(NetworkError::Toml(text)) if text.contains("links.speed")));
}

/// All that is wrong is told at once, a line for each.
#[test]
fn a_scenario_tells_every_fault_at_once() {
    let text = "[run]\nduration = \"0.5s\"\n[network]\nlayers = 4\nwidth = 0\n[[clients]]\ncount = 1\n\
                [[faults]]\nkind = \"crash\"\nwho = [\"mix 99\"]\nat = \"1m\"\nloss = 0.5";
    let error = Scenario::parse(text).unwrap_err().to_string();
    let keys: Vec<&str> = error
        .lines()
        .filter_map(|line| line.split([' ', ':']).next())
        .collect();
    assert_eq!(
        keys,
        [
            "run.duration",
            "network.layers",
            "network.width",
            "clients.count,",
            "faults[0].loss",
            "faults[0].who",
            "faults[0].at",
        ],
        "{error}"
    );
}

#[test]
fn lengths_of_time_are_written_as_everywhere() {
    let text = "[run]\nduration = \"1.5s\"\nsettle = \"0.5h\"\n[[clients]]\ncount = 2";
    let scenario = Scenario::parse(text).unwrap();
    assert_eq!(scenario.duration, Span::from_millis(1500));
    assert_eq!(scenario.settle, Span::from_secs(1800));
}

fn shoal_sim(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shoal-sim"))
        .arg("network")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

#[test]
fn too_early_to_tell_is_no_broken_promise_and_is_replayed_by_what_it_prints() {
    // Nothing comes through until the faults are over, and then clients wait long before they try again.
    let text = "[run]\nduration = \"2m\"\nsettle = \"1s\"\n[[clients]]\ncount = 2\n[workload]\n\
                messages_per_minute = 10.0\n[client]\nretry_max = \"1h\"\n[[faults]]\nkind = \"loss\"\n\
                who = [\"clients\"]\nloss = 1.0\nat = \"1s\"";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.toml"), text).unwrap();
    let first = shoal_sim(folder.path(), &["broken.toml", "--seed", "7", "--out", "o"]);
    assert_eq!(first.status.code(), Some(1));
    let complaint = String::from_utf8(first.stderr.clone()).unwrap();
    for what in [
        "warning: run.settle = 1s is short",
        "too early to tell",
        "accepted messages have not arrived",
        "no promise is broken: run.settle = 1s",
        "seed: 7",
    ] {
        assert!(complaint.contains(what), "{what}: {complaint}");
    }
    let replay = complaint
        .lines()
        .find_map(|line| line.trim().strip_prefix("replay: "));
    let words: Vec<&str> = replay.unwrap().split(' ').skip(2).collect();
    let again = shoal_sim(folder.path(), &words);
    assert_eq!(again.stderr, first.stderr);
    let messages = Table::read(&folder.path().join("o/messages.csv")).unwrap();
    assert!(messages.rows() > 5);
    assert_eq!(
        messages,
        Table::read(&folder.path().join("o/messages.parquet")).unwrap()
    );
    let summary = std::fs::read_to_string(folder.path().join("o/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert!(summary["failure"].is_null() && summary["unsettled"].is_string());
    // The books were still looked at, and ending everything is no crash.
    assert_eq!(summary["books"], "balanced");
    assert_eq!(summary["faults"]["crashes"], 0);
    assert_eq!(summary["faults"]["scheduled"], 1);
}

#[test]
fn what_is_waited_for_follows_from_the_scenario() {
    let patience = |more: &str| {
        let text = format!("[[clients]]\ncount = 2\n{more}");
        Scenario::parse(&text).unwrap()
    };
    // Eight tries of 30 x 50 ms and half a second, two of 30 s, three epochs of a minute.
    let usual = patience("");
    assert_eq!(usual.patience(), Span::from_secs(16 + 60 + 180));
    assert_eq!(usual.warnings(), Vec::<String>::new());
    let slow = patience("[network]\nepoch = \"10m\"");
    assert_eq!(slow.patience(), Span::from_secs(16 + 60 + 1800));
    assert!(slow.warnings()[0].contains("run.settle = 15m"));
}

#[test]
fn the_command_tells_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let code = |arguments: &[&str]| shoal_sim(folder.path(), arguments).status.code();
    assert_eq!(code(&["none.toml"]), Some(2));
    assert_eq!(code(&["--new", "new.toml"]), Some(0));
    let new = std::fs::read_to_string(folder.path().join("new.toml")).unwrap();
    assert_eq!(new, PRESET);
    assert_eq!(code(&["--new", "new.toml"]), Some(2));
    std::fs::write(folder.path().join("bad.toml"), "[[clients]]\ncount = 0").unwrap();
    assert_eq!(code(&["bad.toml"]), Some(2));
    let short = "[run]\nduration = \"1s\"\n[[clients]]\ncount = 2";
    std::fs::write(folder.path().join("short.toml"), short).unwrap();
    let output = shoal_sim(folder.path(), &["short.toml", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["books"], "balanced");
    assert_eq!(summary["faults"]["crashes"], 0);
    assert!(summary.get("unsettled").is_none());
}
