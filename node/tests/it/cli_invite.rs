//! A node that members invite, from its identity to its start, as a user does it.

use serde_json::Value;

use crate::cli::{INIT, Place, error_of};

/// A network of a mix and two providers, of which each is made anew. `mix` invites.
fn network(admission: &str) -> Place {
    let place = Place::new();
    let mut network = vec!["network", "new", "--name", "test", "--out", "network.toml"];
    network.extend(["--layers", "1", "--admission", admission, "--from-dir"]);
    for (number, (dir, role)) in (1..).zip([("mix", "mix"), ("p1", "provider"), ("p2", "provider")])
    {
        let address = format!("/ip4/192.0.2.1/tcp/4{number}00");
        place.json(&[
            "init",
            "--role",
            role,
            "--dir",
            dir,
            "--advertise",
            &address,
        ]);
        network.push(dir);
    }
    place.json(&network);
    place
}

fn id_of(made: &Value) -> &str {
    made["node"].as_str().unwrap()
}

#[test]
fn who_is_invited_starts_and_by_anothers_invitation_nobody_does() {
    let place = network("invitation");
    let node = place.json(&[&INIT[..], &["--network", "network.toml"]].concat());
    let id = id_of(&node);
    let next = node["next"].as_str().unwrap();
    assert!(
        next.contains(&format!("shoal node invite {id} --dir DIR")),
        "{next}"
    );

    let invite = [
        "node",
        "invite",
        id,
        "--dir",
        "mix",
        "--network",
        "network.toml",
    ];
    let signed = place.json(&invite);
    let output = place.run(&invite);
    let line = String::from_utf8(output.stdout).unwrap();
    assert_eq!(line, format!("invitation = {}\n", signed["invitation"]));
    let first = signed["last_epoch"].as_u64().unwrap();
    assert_eq!(first, 30 * 24, "{first}");
    let longer = place.json(&[&invite[..], &["--epochs", "1000"]].concat());
    assert_eq!(longer["last_epoch"], 1000);
    let until = longer["until"].as_u64().unwrap() - signed["until"].as_u64().unwrap();
    assert_eq!(until, (1000 - first) * 3600);

    let config = std::fs::read_to_string(place.path("node/shoal.toml")).unwrap();
    let with = config.replace("invitation = \"\"\n", &line);
    assert_ne!(with, config);
    std::fs::write(place.path("node/shoal.toml"), &with).unwrap();
    let doctor = [
        "node",
        "doctor",
        "--dir",
        "node",
        "--timeout",
        "1s",
        "--json",
    ];
    let found = |place: &Place| {
        let found: Value = serde_json::from_slice(&place.run(&doctor).stdout).unwrap();
        found["findings"].to_string()
    };
    assert!(!found(&place).contains("invitation"), "{}", found(&place));

    // Of another node, or no invitation at all: it does not start, and says what to do.
    let other = place.json(&[
        "init",
        "--role",
        "mix",
        "--dir",
        "x",
        "--advertise",
        "/ip4/192.0.2.1/tcp/1",
    ]);
    let theirs = [&["node", "invite", id_of(&other)], &invite[3..]].concat();
    let theirs = place.json(&theirs);
    for (value, told) in [
        (
            theirs["invitation"].as_str().unwrap(),
            "invitation: is for another node or another network",
        ),
        ("abc", "invitation: is no invitation"),
    ] {
        let run = ["node", "run", "--dir", "node", "--metrics", ""];
        let mut command = place.command(&run);
        let output = command.env("SHOAL_INVITATION", value).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let error = error_of(&output);
        assert!(
            error.contains(told) && error.contains("shoal node invite"),
            "{error}"
        );
    }
    let file = with.replace(&line, &format!("invitation = {}\n", theirs["invitation"]));
    std::fs::write(place.path("node/shoal.toml"), file).unwrap();
    assert!(
        found(&place).contains("is for another node"),
        "{}",
        found(&place)
    );
}

#[test]
fn nobody_is_invited_who_need_not_be() {
    let place = network("invitation");
    let refused = |arguments: &[&str], told: &str| {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(error_of(&output).contains(told), "{}", error_of(&output));
    };
    let stranger = place.json(&INIT);
    let stranger = id_of(&stranger);
    let by = |id| {
        [
            "node",
            "invite",
            id,
            "--dir",
            "mix",
            "--network",
            "network.toml",
        ]
    };
    let first = std::fs::read_to_string(place.path("network.toml")).unwrap();
    let first = first.lines().find_map(|line| line.strip_prefix("id = \""));
    refused(&by(first.unwrap().trim_end_matches('"')), "comes without");
    // By itself: the network's file does not have it.
    std::fs::copy(place.path("network.toml"), place.path("node/network.toml")).unwrap();
    refused(
        &["node", "invite", stranger, "--dir", "node"],
        "a member invites others",
    );
    refused(
        &["node", "invite", "x", "--dir", "mix"],
        "invalid value 'x'",
    );

    let open = network("open");
    let output = open.run(&by(stranger));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        error_of(&output).contains("nobody has to be invited"),
        "{output:?}"
    );
}
