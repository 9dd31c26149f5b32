//! The commands that need no network, run as a user runs them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) struct Place(tempfile::TempDir);

/// Makes a mix.
pub(crate) const INIT: [&str; 7] = [
    "init",
    "--role",
    "mix",
    "--dir",
    "node",
    "--advertise",
    "/ip4/192.0.2.1/tcp/4140",
];

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        command.args(arguments).current_dir(self.0.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SHOAL_")) {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments).arg("--json").output().unwrap();
        assert!(output.status.success(), "{}", error_of(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Six mixes and three providers, and the network of them.
    pub(crate) fn network(&self) -> Value {
        let names: Vec<String> = (0..9).map(|number| format!("n{number}")).collect();
        for (name, port) in names.iter().zip(4200..) {
            let role = if port < 4206 { "mix" } else { "provider" };
            let listen = format!("/ip4/127.0.0.1/tcp/{port}");
            self.json(&["init", "--role", role, "--dir", name, "--listen", &listen]);
        }
        let mut arguments = vec!["network", "new", "--name", "test", "--out", "network.toml"];
        arguments.extend(["--genesis-in", "5", "--epoch", "10m", "--from-dir"]);
        arguments.extend(names.iter().map(String::as_str));
        self.json(&arguments)
    }
}

pub(crate) fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn init_makes_private_files_once() {
    let place = Place::new();
    let made = place.json(&INIT);
    assert!(
        made["node"]
            .as_str()
            .unwrap()
            .parse::<shoal_proto::NodeId>()
            .is_ok()
    );
    let identity = place.path("node/identity.key");
    assert_eq!(mode(&identity), 0o600);
    assert_eq!(mode(&place.path("node")), 0o700);
    let before = (
        std::fs::read(&identity).unwrap(),
        std::fs::read(place.path("node/shoal.toml")).unwrap(),
    );
    let again = place.run(&["init", "--role", "provider", "--dir", "node"]);
    assert_eq!(again.status.code(), Some(8));
    assert!(
        error_of(&again).contains("is not overwritten"),
        "{}",
        error_of(&again)
    );
    // Also if only one of the two is left.
    std::fs::remove_file(place.path("node/shoal.toml")).unwrap();
    assert_eq!(place.run(&INIT).status.code(), Some(8));
    assert_eq!(std::fs::read(&identity).unwrap(), before.0);
    let text = String::from_utf8(before.1).unwrap();
    assert!(text.contains("role = \"mix\"") && text.contains("# Where the node listens"));
}

#[test]
fn init_refuses_what_a_node_would_refuse() {
    let place = Place::new();
    let output = place.run(&[
        "init",
        "--role",
        "mix",
        "--dir",
        "node",
        "--listen",
        "/ip4/1.2.3.4",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!place.path("node").exists());
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest() {
    let place = Place::new();
    place.json(&INIT);
    let path = place.path("node/shoal.toml");
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("family = ", "famly = ");
    let line = 1 + text
        .lines()
        .position(|line| line.starts_with("famly"))
        .unwrap();
    std::fs::write(&path, text).unwrap();
    let output = place.run(&["node", "run", "--dir", "node"]);
    assert_eq!(output.status.code(), Some(2));
    let expected = format!("node/shoal.toml:{line}: unknown key `famly`; did you mean `family`?");
    assert!(
        error_of(&output).contains(&expected),
        "{}",
        error_of(&output)
    );
}

/// The refusal of a public metrics address names the address, and so tells which source won.
#[test]
fn defaults_file_environment_flags() {
    let place = Place::new();
    place.json(&INIT);
    let path = place.path("node/shoal.toml");
    let defaults = place.run(&["node", "run", "--dir", "node"]);
    assert!(
        error_of(&defaults).contains("network.toml"),
        "{}",
        error_of(&defaults)
    );

    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("127.0.0.1:9464", "192.0.2.1:1")).unwrap();
    let said = |command: &mut Command| error_of(&command.output().unwrap());
    let file = said(&mut place.command(&["node", "run", "--dir", "node"]));
    assert!(file.contains("192.0.2.1:1 can be reached"), "{file}");

    let mut command = place.command(&["node", "run", "--dir", "node"]);
    let environment = said(command.env("SHOAL_METRICS_LISTEN", "192.0.2.2:2"));
    assert!(
        environment.contains("192.0.2.2:2 can be reached"),
        "{environment}"
    );

    let mut command = place.command(&["node", "run", "--dir", "node", "--metrics", "192.0.2.3:3"]);
    let flag = said(command.env("SHOAL_METRICS_LISTEN", "192.0.2.2:2"));
    assert!(flag.contains("192.0.2.3:3 can be reached"), "{flag}");
}

#[test]
fn a_network_is_made_and_shown() {
    let place = Place::new();
    let made = place.network();
    assert_eq!(made["members"], 9);
    let shown = place.json(&["network", "show", "network.toml"]);
    assert_eq!(shown["hash"], made["hash"]);
    assert_eq!(
        (&shown["mixes"], &shown["providers"]),
        (&6.into(), &3.into())
    );
    assert_eq!(shown["epoch"], "10m");
    assert_eq!(shown["epoch_now"], 0);
    let cost = &shown["profiles"]["default"];
    assert!(cost["p99_secs"].as_f64().unwrap() < 5.0);
    let words = place.run(&["network", "show", "network.toml"]);
    assert!(String::from_utf8_lossy(&words.stdout).contains("mobile"));
    // The file is what the hash names: it is never replaced.
    let again = place.run(&[
        "network",
        "new",
        "--name",
        "test",
        "--from-dir",
        "n0",
        "n1",
        "n2",
        "n6",
        "n7",
        "--out",
        "network.toml",
    ]);
    assert_eq!(again.status.code(), Some(8));
}

/// An operator hears of an address that nobody would dial from each command that is given it.
#[test]
fn addresses_of_another_kind_than_the_networks_are_refused_with_the_reason() {
    let place = Place::new();
    place.network();
    let public = "/ip4/9.9.9.9/tcp/4140";
    let why = "is a public address, and this network's first members have loopback ones";
    let init = [
        "init",
        "--role",
        "mix",
        "--dir",
        "new",
        "--network",
        "network.toml",
    ];
    let run = [
        "node",
        "run",
        "--role",
        "mix",
        "--dir",
        "n0",
        "--network",
        "network.toml",
    ];
    for command in [init.as_slice(), &run] {
        let refused = place.run(&[command, &["--advertise", public]].concat());
        assert_eq!(refused.status.code(), Some(2), "{command:?}");
        let error = error_of(&refused);
        assert!(error.contains(why) && error.contains(public), "{error}");
    }
    assert!(!place.path("new").exists());
    let name = "/dns/node.example/tcp/4140";
    let refused = place.run(&[init.as_slice(), &["--advertise", name]].concat());
    assert!(
        error_of(&refused).contains("a name"),
        "{}",
        error_of(&refused)
    );
    let member = format!("{},mix,{public}", shoal_proto::NodeId::new([1; 32]));
    let mut mixed = vec!["network", "new", "--name", "mixed", "--out", "mixed.toml"];
    mixed.extend(["--member", &member]);
    mixed.extend(["--from-dir", "n0", "n1", "n2", "n6", "n7"]);
    let refused = place.run(&mixed);
    assert_eq!(refused.status.code(), Some(2));
    let error = error_of(&refused);
    assert!(error.contains("127.0.0.1 is a loopback address"), "{error}");
}

#[test]
fn members_can_be_named() {
    let place = Place::new();
    let member = |byte: u8, role: &str| {
        let id = shoal_topology::Identity::from_bytes(&[byte; 32]).id();
        format!("{id},{role},/ip4/192.0.2.{byte}/tcp/4140")
    };
    let members: Vec<String> = (1..=5u8)
        .map(|byte| member(byte, if byte <= 3 { "mix" } else { "provider" }))
        .collect();
    let new = |out: &str, members: &[String]| {
        let mut arguments = vec!["network", "new", "--name", "test", "--out", out];
        members
            .iter()
            .for_each(|member| arguments.extend(["--member", member.as_str()]));
        place.run(&arguments)
    };
    assert!(new("a.toml", &members).status.success());
    let too_few = new("b.toml", &members[..4]);
    assert_eq!(too_few.status.code(), Some(2));
    assert!(
        error_of(&too_few).contains("2 providers"),
        "{}",
        error_of(&too_few)
    );
    let strange = shoal_proto::NodeId::new([2; 32]);
    let mut unsound = members.clone();
    unsound[0] = format!("{strange},mix,/ip4/192.0.2.1/tcp/4140");
    let unsound = error_of(&new("b.toml", &unsound));
    let named = format!("{strange}.id is not the identity of any node");
    assert!(unsound.contains(&named), "{unsound}");
    let id = shoal_topology::Identity::from_bytes(&[1; 32]).id();
    let address = "/ip4/1.2.3.4/tcp/1";
    for wrong in [
        format!("x,mix,{address}"),
        "nonsense".to_owned(),
        format!("{id},exit,{address}"),
        format!("{id},mix"),
    ] {
        let mut members = members.clone();
        members[0] = wrong.clone();
        let output = new("c.toml", &members);
        assert_eq!(output.status.code(), Some(2));
        let named = format!("--member {wrong}: ");
        assert!(error_of(&output).contains(&named), "{}", error_of(&output));
    }
}

#[test]
fn a_client_is_made_once_and_says_how_others_are_invited() {
    let place = Place::new();
    place.network();
    let made = place.json(&[
        "client",
        "init",
        "--dir",
        "bob",
        "--network",
        "network.toml",
    ]);
    assert_eq!(mode(&place.path("bob/client.key")), 0o600);
    assert!(made["mailboxes"].as_array().unwrap().is_empty());
    let output = place.run(&["contact", "invite", "--dir", "bob"]);
    assert_eq!(output.status.code(), Some(3));
    let error = error_of(&output);
    assert!(error.contains("shoal daemon --dir bob"), "{error}");
    // What was before there were invitations says so.
    let output = place.run(&["client", "address", "--dir", "bob"]);
    assert_eq!(output.status.code(), Some(2));
    let error = error_of(&output);
    assert!(error.contains("shoal contact invite"), "{error}");
    let again = place.run(&[
        "client",
        "init",
        "--dir",
        "bob",
        "--network",
        "network.toml",
    ]);
    assert_eq!(again.status.code(), Some(8));
    let profile = [
        "client",
        "init",
        "--dir",
        "x",
        "--network",
        "network.toml",
        "--profile",
        "y",
    ];
    let output = place.run(&profile);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        error_of(&output).contains("it has: default, mobile"),
        "{}",
        error_of(&output)
    );
}

#[test]
fn a_mailbox_and_an_entry_are_of_different_families() {
    let place = Place::new();
    let mut arguments = vec!["network", "new", "--name", "test", "--out", "network.toml"];
    arguments.push("--from-dir");
    let mut providers = Vec::new();
    let nodes = [("m1", "mix", ""), ("m2", "mix", ""), ("m3", "mix", "")];
    let family = |name: &str| {
        let made = place.json(&["family", "create", name]);
        made["family"].as_str().unwrap().to_owned()
    };
    let (crew, other) = (family("crew.key"), family("other.key"));
    let crew = [("p1", "provider", &crew[..]), ("p2", "provider", &crew[..])];
    let other = [("p3", "provider", &other[..])];
    for ((dir, role, family), port) in nodes.into_iter().chain(crew).chain(other).zip(4300..) {
        let listen = format!("/ip4/127.0.0.1/tcp/{port}");
        let init = ["init", "--dir", dir, "--role", role, "--listen", &listen];
        let made = place.json(&[&init[..], &["--family", family]].concat());
        if role == "provider" {
            providers.push(made["node"].as_str().unwrap().to_owned());
        }
        arguments.push(dir);
    }
    place.json(&arguments);
    let client = ["client", "init", "--network", "network.toml", "--entry"];
    let apart = [&providers[0], "--mailbox", &providers[2], "--dir", "c"];
    let made = place.json(&[&client[..], &apart[..]].concat());
    assert_eq!(made["mailboxes"][0], providers[2]);
    let two = [&providers[2], "--mailbox", &providers[0]];
    let two = [&two[..], &["--mailbox", &providers[1], "--dir", "x"]].concat();
    let error = error_of(&place.run(&[&client[..], &two[..]].concat()));
    assert!(
        error.contains("--mailbox and --mailbox are of one"),
        "{error}"
    );
    let both = [&providers[0], "--mailbox", &providers[1], "--dir", "x"];
    let output = place.run(&[&client[..], &both[..]].concat());
    assert_eq!(output.status.code(), Some(2));
    let error = error_of(&output);
    assert!(error.contains("are of one family"), "{error}");
    assert!(!place.path("x").exists());
}

/// A family from its key to a node that starts with it: as the help tells it.
#[test]
fn a_familys_key_signs_for_nodes_and_stays_where_it_is() {
    let place = Place::new();
    let made = place.json(&["family", "create", "family.key"]);
    assert_eq!(mode(&place.path("family.key")), 0o600);
    let again = place.run(&["family", "create", "family.key"]);
    assert_eq!(again.status.code(), Some(8), "{}", error_of(&again));
    let key = made["family"].as_str().unwrap();
    let init = [&INIT[..], &["--family", key]].concat();
    let node = place.json(&init);
    let id = node["node"].as_str().unwrap();
    let next = node["next"].as_str().unwrap();
    assert!(
        next.contains(&format!(
            "shoal family sign --key FILE --network node/network.toml {id}"
        )),
        "{next}"
    );
    let mut network = vec![
        "network",
        "new",
        "--name",
        "test",
        "--out",
        "node/network.toml",
    ];
    network.extend(["--layers", "1", "--from-dir", "node"]);
    for (number, role) in [("1", "provider"), ("2", "provider")] {
        let address = format!("/ip4/192.0.2.2/tcp/414{number}");
        place.json(&[
            "init",
            "--role",
            role,
            "--dir",
            number,
            "--advertise",
            &address,
        ]);
        network.push(number);
    }
    place.json(&network);
    let file = std::fs::read_to_string(place.path("node/network.toml")).unwrap();
    assert!(file.contains(&format!("family = \"{key}\"")), "{file}");

    // Before the key has signed, the node says what is missing and does not start.
    let run = ["node", "run", "--dir", "node"];
    let output = place.run(&run);
    assert_eq!(output.status.code(), Some(2));
    let error = error_of(&output);
    assert!(
        error.contains("family: is a public key without its signature"),
        "{error}"
    );
    let sign = [
        "family",
        "sign",
        "--key",
        "family.key",
        "--network",
        "node/network.toml",
        id,
    ];
    let output = place.run(&sign);
    let line = String::from_utf8(output.stdout).unwrap();
    let config = std::fs::read_to_string(place.path("node/shoal.toml")).unwrap();
    let config = config.replace(&format!("family = \"{key}\"\n"), &line);
    assert!(config.contains(&line), "{line}");
    std::fs::write(place.path("node/shoal.toml"), &config).unwrap();
    let signed = place.json(&sign);
    assert_eq!(line, format!("family = {}\n", signed["family"]));
    // Of another node it is refused; the key stays where it is.
    let other = place.json(&[
        "init",
        "--role",
        "mix",
        "--dir",
        "x",
        "--advertise",
        "/ip4/192.0.2.1/tcp/1",
    ]);
    let other = other["node"].as_str().unwrap();
    let theirs = place.json(&[&sign[..6], &[other]].concat());
    let run = ["node", "run", "--dir", "node", "--metrics", ""];
    let mut command = place.command(&run);
    let output = command
        .env("SHOAL_FAMILY", theirs["family"].as_str().unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = error_of(&output);
    assert!(
        error.contains("is signed for another node or another network"),
        "{error}"
    );

    for (arguments, told) in [
        (
            &[
                "family",
                "sign",
                "--key",
                "none",
                "--network",
                "node/network.toml",
                id,
            ][..],
            "`shoal family create` makes it",
        ),
        (
            &[
                "family",
                "sign",
                "--key",
                "node/identity.key",
                "--network",
                "node/network.toml",
                id,
            ],
            "another kind of file",
        ),
        (
            &[
                "family",
                "sign",
                "--key",
                "family.key",
                "--network",
                "node/network.toml",
                "x",
            ],
            "expected 32 bytes",
        ),
    ] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{}", error_of(&output));
        assert!(error_of(&output).contains(told), "{}", error_of(&output));
    }
}

#[test]
fn without_a_daemon_the_commands_say_how_to_start_one() {
    let place = Place::new();
    place.network();
    place.json(&[
        "client",
        "init",
        "--dir",
        "bob",
        "--network",
        "network.toml",
    ]);
    for arguments in [
        &["client", "send", "--dir", "bob", "Alice", "hello"][..],
        &["client", "receive", "--dir", "bob"],
        &["client", "status", "--dir", "bob"],
    ] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(3));
        assert!(
            error_of(&output).contains("shoal daemon --dir bob"),
            "{}",
            error_of(&output)
        );
    }
}

#[test]
fn mistakes_on_the_command_line_are_2_and_help_is_0() {
    let place = Place::new();
    assert_eq!(place.run(&["sing"]).status.code(), Some(2));
    assert_eq!(place.run(&["init"]).status.code(), Some(2));
    for arguments in [
        &["--help"][..],
        &["client", "send", "--help"],
        &["demo", "--help"],
    ] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains("Usage"));
    }
}

#[test]
fn a_key_that_others_can_read_keeps_a_node_from_starting() {
    let place = Place::new();
    place.network();
    let key = place.path("n0/identity.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let arguments = [
        "node",
        "run",
        "--dir",
        "n0",
        "--network",
        "network.toml",
        "--metrics",
        "",
    ];
    let output = place.run(&arguments);
    assert!(!output.status.success());
    assert!(
        error_of(&output).contains("chmod 600"),
        "{}",
        error_of(&output)
    );
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&key, b"shoal-identity-1:3mJr7AoUXx2Wqd\n").unwrap();
    let output = place.run(&arguments);
    assert!(
        error_of(&output).contains("is damaged"),
        "{}",
        error_of(&output)
    );
}
