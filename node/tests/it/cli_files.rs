//! What users give the commands: files that are none, numbers that no machine has, addresses in another
//! spelling. Each is refused at once with what to do.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use rustix::fs::{CWD, FileType, Mode};

use crate::cli::{INIT, Place, error_of};

fn refused(output: &Output, expected: &[&str]) {
    let error = error_of(output);
    assert_eq!(output.status.code(), Some(2), "{error}");
    for part in expected {
        assert!(error.contains(part), "{part} is not in\n{error}");
    }
}

#[test]
fn the_network_file_goes_where_the_daemon_reads_it() {
    let place = Place::new();
    let made = place.network();
    std::fs::create_dir(place.path("home")).unwrap();
    std::fs::rename(place.path("network.toml"), place.path("home/network.toml")).unwrap();
    let at = ["--listen", "/ip4/127.0.0.1/tcp/4210"];
    let init = [
        "init",
        "--role",
        "mix",
        "--dir",
        "new",
        "--network",
        "home/network.toml",
    ];
    place.json(&[&init[..], &at].concat());
    let client = [
        "client",
        "init",
        "--dir",
        "alice",
        "--network",
        "home/network.toml",
    ];
    place.json(&client);
    for (dir, config) in [("new", "shoal.toml"), ("alice", "client.toml")] {
        let copy = format!("{dir}/network.toml");
        assert_eq!(
            place.json(&["network", "show", &copy])["hash"],
            made["hash"]
        );
        let config = std::fs::read_to_string(place.path(&format!("{dir}/{config}"))).unwrap();
        assert!(
            config.contains("\nnetwork = \"network.toml\"\n"),
            "{config}"
        );
        let mode = std::fs::metadata(place.path(&copy)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o7777, 0o600);
    }
    // One that is in the directory already stays as it is.
    std::fs::create_dir(place.path("there")).unwrap();
    std::fs::set_permissions(place.path("there"), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::copy(
        place.path("home/network.toml"),
        place.path("there/network.toml"),
    )
    .unwrap();
    place.json(&[&["init", "--role", "mix", "--dir", "there"][..], &at].concat());
    // And one that is to come is looked for where it was said to be.
    let later = [
        "init",
        "--role",
        "mix",
        "--dir",
        "later",
        "--network",
        "later.toml",
    ];
    place.json(&[&later[..], &at].concat());
    let config = std::fs::read_to_string(place.path("later/shoal.toml")).unwrap();
    let whole = place.path("later.toml");
    assert!(
        config.contains(&format!("network = \"{}\"", whole.display())),
        "{config}"
    );
}

#[test]
fn a_node_that_nobody_could_dial_is_not_made() {
    let place = Place::new();
    let output = place.run(&["init", "--role", "mix", "--dir", "node"]);
    refused(
        &output,
        &["/ip4/0.0.0.0/tcp/4140", "--advertise /ip4/ADDRESS/tcp/4140"],
    );
    assert!(!place.path("node").exists());
}

#[test]
fn what_exists_already_has_one_exit_code() {
    let place = Place::new();
    place.network();
    let client = [
        "client",
        "init",
        "--dir",
        "alice",
        "--network",
        "network.toml",
    ];
    place.json(&client);
    place.json(&INIT);
    let new = [
        "network",
        "new",
        "--name",
        "a",
        "--out",
        "network.toml",
        "--from-dir",
    ];
    let dirs = ["n0", "n1", "n2", "n6", "n7"];
    for command in [&INIT[..], &client, &[&new[..], &dirs].concat()] {
        let output = place.run(command);
        let error = error_of(&output);
        assert_eq!(output.status.code(), Some(8), "{error}");
        assert!(
            error.contains("exists already, and is not overwritten"),
            "{error}"
        );
    }
}

#[test]
fn files_that_are_none_are_refused_at_once() {
    let place = Place::new();
    place.network();
    rustix::fs::mknodat(CWD, place.path("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    std::fs::write(place.path("latin"), b"# a\n# \xe4\n").unwrap();
    std::fs::copy(place.path("network.toml"), place.path("open")).unwrap();
    std::fs::set_permissions(place.path("open"), PermissionsExt::from_mode(0o666)).unwrap();
    for (file, why) in [
        ("/dev/zero", "is not a regular file"),
        ("fifo", "is not a regular file"),
        ("n0", "is not a regular file"),
        ("latin", "line 2 has the byte 0xe4"),
        ("open", "run `chmod go-w` on it"),
    ] {
        for command in [
            &["network", "show", file][..],
            &["node", "run", "--dir", "n0", "--config", file],
            &["node", "run", "--dir", "n0", "--network", file],
            &["client", "entries", "--dir", "n0", "--config", file],
            &["client", "init", "--dir", "new", "--network", file],
        ] {
            refused(&place.run(command), &[file, why]);
        }
    }
}

#[test]
fn values_that_can_not_be_are_told_with_their_place() {
    let place = Place::new();
    place.network();
    let mut run = place.command(&["node", "run", "--dir", "n0"]);
    let output = run.env("SHOAL_THREADS_UNWRAP", "100000").output().unwrap();
    let told = "SHOAL_THREADS_UNWRAP: threads.unwrap: is 100000; it has to be 0 to 128";
    refused(&output, &[told]);
    let mut run = place.command(&["node", "run", "--dir", "n0"]);
    let output = run
        .env("SHOAL_FAMILY", OsStr::from_bytes(b"\xff"))
        .output()
        .unwrap();
    refused(&output, &["SHOAL_FAMILY", "UTF-8"]);
    let output = place.run(&[
        "init",
        "--role",
        "mix",
        "--dir",
        "x",
        "--listen",
        "[::1]:4140",
    ]);
    refused(&output, &["/ip6/::1/tcp/4140 or /ip6/::1/udp/4140/quic-v1"]);
    let member = format!("{},mix,[::1]:4140", shoal_proto::NodeId::new([1; 32]));
    let new = [
        "network", "new", "--name", "a", "--out", "a.toml", "--member", &member,
    ];
    refused(&place.run(&new), &["--member", "write /ip6/::1/tcp/4140"]);
}
