//! `shoal network check`, and what it has in common with the commands that take a network's file.

use serde_json::Value;
use shoal_proto::{Span, Time};
use shoal_topology::{
    Admission, FamilyKey, GenesisMember, Identity, NetworkParameters, Profile, Role,
};

use crate::cli::{Place, error_of};

/// A network of so many mixes and providers on the internet, each in a place of its own, that has just started.
fn network(mixes: u8, providers: u8) -> NetworkParameters {
    let member = |number: u8| GenesisMember {
        id: Identity::from_bytes(&[number; 32]).id(),
        role: if number <= mixes {
            Role::Mix
        } else {
            Role::Provider
        },
        addresses: vec![
            format!("/ip4/5.9.{number}.1/tcp/4140").parse().unwrap(),
            format!("/ip4/5.9.{number}.1/udp/4140/quic-v1")
                .parse()
                .unwrap(),
        ],
        family: None,
    };
    NetworkParameters {
        genesis: Time::from_micros(now() * 1_000_000),
        newcomers: 0.02,
        work: 6,
        seat_age: 7,
        genesis_members: (1..=mixes + providers).map(member).collect(),
        ..NetworkParameters::example()
    }
}

fn now() -> u64 {
    let clock = shoal_node::runtime::Clock::start();
    clock.now().as_secs()
}

/// Its exit code and its object.
fn checked(place: &Place, text: &str, flags: &[&str]) -> (i32, Value) {
    std::fs::write(place.path("network.toml"), text).unwrap();
    let arguments = [&["network", "check", "network.toml", "--json"], flags].concat();
    let output = place.run(&arguments);
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert!(output.stderr.is_empty(), "{}", error_of(&output));
    (output.status.code().unwrap(), value)
}

/// The findings of this level: the line, and what.
fn found(value: &Value, level: &str) -> Vec<(Option<u64>, String)> {
    let findings = value["findings"].as_array().unwrap().iter();
    let level = findings.filter(|finding| finding["level"] == level);
    let what = level.map(|finding| {
        assert!(
            finding["level"] == "ok" || finding["advice"].is_string(),
            "{finding}"
        );
        (
            finding["line"].as_u64(),
            finding["what"].as_str().unwrap().to_owned(),
        )
    });
    what.collect()
}

#[test]
fn a_good_network_has_nothing_to_be_warned_of() {
    let place = Place::new();
    let params = network(6, 3);
    let (code, value) = checked(&place, &params.to_toml(), &["--strict"]);
    assert_eq!((code, &value["runs"]), (0, &true.into()), "{value:#}");
    assert_eq!(
        (&value["errors"], &value["warnings"]),
        (&0.into(), &0.into()),
        "{value:#}"
    );
    assert_eq!(value["hash"], params.hash().to_string());
    let month = value["profiles"]["default"]["gigabytes_per_month"].as_f64();
    assert!((month.unwrap() - 80.15).abs() < 0.1, "{month:?}");
    let ok = found(&value, "ok");
    let all = ok
        .iter()
        .any(|(_, what)| what.starts_with("9 members: 2 may be missing"));
    assert!(all, "{ok:?}");
    let words = place.run(&["network", "check", "network.toml"]);
    let words = String::from_utf8(words.stdout).unwrap();
    for part in [
        "0 errors, 0 warnings: a network can run with it",
        "GB/month",
        "ok  ",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
}

const MEMBER: &str = "[[genesis_members]]";

type Change = fn(&mut NetworkParameters);

/// What is unwise: how it comes about, what is said of it, and how the line begins that it is about.
const UNWISE: [(Change, &str, &str); 20] = [
    (
        |p| p.genesis += Span::from_secs(30 * 86_400),
        "30.0 days ahead: until three epochs before",
        "genesis_time =",
    ),
    (
        |p| p.genesis = Time::default(),
        "years ago",
        "genesis_time =",
    ),
    (|p| p.epoch = secs(60), "one for tests", "epoch ="),
    (
        |p| (p.mean_delay, p.epoch) = (secs(10), secs(1000)),
        "short for a mean delay of 10s",
        "epoch =",
    ),
    (
        |p| p.newcomers = 0.5,
        "newcomers = 0.5: in one term somebody can bring",
        "newcomers =",
    ),
    (
        |p| (p.admission, p.newcomers) = (Admission::Invitation, 0.5),
        "newcomers = 0.5: each member brings in at most one in 2 terms",
        "newcomers =",
    ),
    (
        |p| (p.admission, p.seat_age) = (Admission::Invitation, 0),
        "seat_age = 0: who has just been brought in",
        "seat_age =",
    ),
    (
        |p| p.work = 0,
        "whoever joins pays nothing for it",
        "work =",
    ),
    (
        |p| p.loop_rate = 0.0,
        "loop_rate = 0: nodes send no loops",
        "loop_rate =",
    ),
    (
        |p| p.loop_rate = 50.0,
        "loop_rate = 50 is far from",
        "loop_rate =",
    ),
    (
        |p| profile(p).loops = 0.0,
        "profiles.default.loops = 0",
        "loops = 0.0",
    ),
    (
        |p| profile(p).drops = 0.0,
        "profiles.default.drops = 0",
        "drops = 0.0",
    ),
    (
        |p| profile(p).real = 0.4,
        "real = 0.4 is far from",
        "[profiles.default]",
    ),
    (
        |p| profile(p).mailbox = 0.4,
        "don't suffice",
        "mailbox = 0.4",
    ),
    (
        |p| _ = p.profiles.insert("x".into(), p.profiles["default"]),
        "3 profiles divide",
        "[profiles.",
    ),
    (|p| families(p, &[0, 1, 2]), "a third of all", MEMBER),
    (
        |p| p.genesis_members[1].addresses.clear(),
        "without an address: nobody can dial",
        MEMBER,
    ),
    (
        |p| p.genesis_members[1].addresses = vec!["/ip6/2a00:1450::1/tcp/1".parse().unwrap()],
        "can't meet",
        MEMBER,
    ),
    (
        |p| p.genesis_members[1].addresses = vec!["/ip4/5.9.1.7/tcp/1".parse().unwrap()],
        "are in 5.9.1.0/24",
        MEMBER,
    ),
    (|p| p.genesis_members.truncate(8), "one copy", MEMBER),
];

fn secs(secs: u64) -> Span {
    Span::from_secs(secs)
}

fn profile(params: &mut NetworkParameters) -> &mut Profile {
    params.profiles.get_mut("default").unwrap()
}

fn families(params: &mut NetworkParameters, members: &[usize]) {
    for member in members {
        params.genesis_members[*member].family = Some(FamilyKey::from_bytes(&[7; 32]).id());
    }
}

#[test]
fn a_family_with_a_mix_and_a_provider_has_no_place() {
    let place = Place::new();
    let mut params = network(6, 3);
    families(&mut params, &[0, 6]);
    let (code, value) = checked(&place, &params.to_toml(), &[]);
    assert_eq!(code, 2, "{value:#}");
    let errors = found(&value, "error");
    let told = |(_, what): &(_, String)| what.contains("a family in common with a");
    assert!(errors.iter().any(told), "{errors:?}");
}

#[test]
fn what_is_unwise_is_a_warning_with_its_line() {
    let place = Place::new();
    for (change, what, at) in UNWISE {
        let mut params = network(6, 3);
        change(&mut params);
        let text = params.to_toml();
        let (code, value) = checked(&place, &text, &[]);
        assert_eq!(code, 0, "{value:#}");
        let warnings = found(&value, "warning");
        let Some((line, _)) = warnings.iter().find(|(_, told)| told.contains(what)) else {
            panic!("{what}: {warnings:?}");
        };
        let line = usize::try_from(line.expect("a line")).unwrap();
        let line = text.lines().nth(line - 1).unwrap();
        assert!(line.starts_with(at), "{what}: {line}");
        assert_eq!(checked(&place, &text, &["--strict"]).0, 11, "{what}");
    }
    let small = NetworkParameters {
        layers: 1,
        ..network(1, 2)
    };
    let (_, small) = checked(&place, &small.to_toml(), &[]);
    let warnings = found(&small, "warning");
    for part in [
        "3 members: none may be missing",
        "some layer is one operator's",
    ] {
        let told = warnings.iter().any(|(_, what)| what.contains(part));
        assert!(told, "{part}: {warnings:?}");
    }
}

/// What no network can run with is an error of the check, and no node and no client starts with it.
#[test]
fn what_no_network_can_run_with_is_refused_everywhere() {
    let place = Place::new();
    let base = network(6, 3).to_toml();
    let few = network(2, 1).to_toml();
    let init = [
        "init",
        "--role",
        "mix",
        "--advertise",
        "/ip4/5.9.200.1/tcp/1",
        "--network",
        "network.toml",
        "--dir",
    ];
    let client = ["client", "init", "--network", "network.toml", "--dir"];
    for (text, whats) in [
        (
            few,
            [
                "layers starts with mixes of 3 families",
                "2 providers or more",
            ]
            .as_slice(),
        ),
        (
            base.replacen("real = 2.0", "real = 0.0", 1),
            &["profiles.default.real = 0: no message"],
        ),
        (
            base.replacen("downlink = 9.0", "downlink = 4.5", 1),
            &["profiles.default.downlink = 4.5: not more"],
        ),
        (
            base.replacen("layers = 3", "layers = 9", 1).replacen(
                "/ip4/5.9.2.1/tcp/4140",
                "/dns4/mix.example/tcp/1",
                1,
            ),
            &[
                "layers = 9 is out of range",
                "/dns4/mix.example/tcp/1\": a name, which nobody looks up",
            ],
        ),
        ("name =\n[[".to_owned(), &[]),
    ] {
        let (code, value) = checked(&place, &text, &[]);
        assert_eq!((code, &value["runs"]), (2, &false.into()), "{value:#}");
        let errors = found(&value, "error");
        assert!(!errors.is_empty());
        let shown = place.run(&["network", "show", "network.toml"]);
        let node = place.run(&[&init[..], &["node"]].concat());
        let client = place.run(&[&client[..], &["client"]].concat());
        for what in whats {
            assert!(
                errors.iter().any(|(_, told)| told.contains(what)),
                "{what}: {errors:?}"
            );
            for refused in [&shown, &node, &client] {
                assert_eq!(refused.status.code(), Some(2));
                assert!(
                    error_of(refused).contains(what),
                    "{what}: {}",
                    error_of(refused)
                );
            }
        }
        let located = errors.iter().filter(|(line, _)| line.is_some()).count();
        assert!(located >= 1, "{errors:?}");
        assert!(!place.path("node").exists() && !place.path("client").exists());
    }
    // For people the table is on standard output, and the sum beside it.
    let output = place.run(&["network", "check", "network.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(error_of(&output).contains("no network can run with it"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("error"));
}

#[test]
fn a_start_that_nobody_waits_for_is_refused_when_a_network_is_made() {
    let place = Place::new();
    let mut far = network(6, 3);
    far.genesis += Span::from_secs(400 * 86_400);
    let (code, value) = checked(&place, &far.to_toml(), &[]);
    assert_eq!(code, 2);
    assert!(
        found(&value, "error")[0].1.contains("nobody waits so long"),
        "{value:#}"
    );
    let new = [
        "network", "new", "--name", "x", "--out", "x.toml", "--member", "x",
    ];
    let output = place.run(&[&new[..], &["--genesis-in", "31622401"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(
        error_of(&output).contains("31622400"),
        "{}",
        error_of(&output)
    );
}

#[test]
fn a_file_that_can_not_be_read_is_a_mistake() {
    let place = Place::new();
    let output = place.run(&["network", "check", "none.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        error_of(&output).contains("none.toml can't be read"),
        "{}",
        error_of(&output)
    );
    std::fs::write(place.path("long"), vec![b'#'; (1 << 20) + 1]).unwrap();
    let output = place.run(&["network", "check", "long"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        error_of(&output).contains("more than"),
        "{}",
        error_of(&output)
    );
    // What somebody else wrote does not command the terminal.
    let evil = "name = \"\\u001b[2J\"\n";
    std::fs::write(place.path("evil"), evil).unwrap();
    let output = place.run(&["network", "check", "evil"]);
    assert!(!output.stdout.contains(&0x1b), "{output:?}");
}
