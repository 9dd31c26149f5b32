//! SIGHUP, terminals that are closed, and readers who go away.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, pipe};
use std::process::{Child, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::cli::{Place, error_of};

/// A mix of a network whose other members never come.
const NODE: [&str; 10] = [
    "node",
    "run",
    "--dir",
    "n0",
    "--network",
    "network.toml",
    "--listen",
    "/ip4/127.0.0.1/tcp/0",
    "--advertise",
    "/ip4/127.0.0.1/tcp/4200",
];
const CLIENT: [&str; 3] = ["daemon", "--dir", "alice"];

fn place() -> Place {
    let place = Place::new();
    place.network();
    let init = [
        "client",
        "init",
        "--dir",
        "alice",
        "--network",
        "network.toml",
    ];
    place.json(&init);
    place
}

/// Starts a daemon by a command that runs another, and waits until it says these words.
fn start(place: &Place, by: &[&str], arguments: &[&str], stdin: Stdio, words: &str) -> Daemon {
    let daemon = place.command(arguments);
    // Whoever started the tests may have had them ignore it.
    let mut command = Command::new("env");
    command
        .arg("--default-signal=HUP")
        .args(by)
        .arg(daemon.get_program())
        .args(arguments);
    command.current_dir(daemon.get_current_dir().unwrap());
    for (name, _) in daemon.get_envs() {
        command.env_remove(name);
    }
    command.env("SHOAL_METRICS_LISTEN", "").stdin(stdin);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let mut said = BufReader::new(child.stdout.take().unwrap());
    await_line(&mut said, words);
    Daemon {
        child,
        log,
        _said: said,
    }
}

struct Daemon {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    _said: BufReader<std::process::ChildStdout>,
}

impl Daemon {
    fn signal(&self, name: &str) {
        let number = self.child.id().to_string();
        let killed = Command::new("kill").args(["-s", name, &number]).status();
        assert!(killed.unwrap().success());
    }

    /// Ends in good order, having said these words.
    fn ended(mut self, words: &str) {
        await_line(&mut self.log, words);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// Reads up to the first line that has these words.
fn await_line(stream: &mut impl BufRead, words: &str) {
    let mut all = String::new();
    while !all.lines().last().is_some_and(|line| line.contains(words)) {
        let length = stream.read_line(&mut all).unwrap();
        assert!(length > 0, "{words} never came:\n{all}");
    }
}

/// A daemon without a terminal takes up the level of its log, and nothing that is wrong.
#[test]
fn a_hangup_reloads_what_can_be_reloaded() {
    let place = place();
    for (arguments, config, words) in [
        (&NODE[..], "n0/shoal.toml", "listening on"),
        (&CLIENT, "alice/client.toml", "messages to send are taken"),
    ] {
        let mut daemon = start(&place, &["setsid"], arguments, Stdio::null(), words);
        let text = std::fs::read_to_string(place.path(config)).unwrap();
        for (level, said) in [
            ("debug", "level=\"debug\""),
            ("loud", "SIGHUP: all stays as it is"),
            ("warn", ""),
            ("info", "level=\"info\""),
        ] {
            let text = text.replace("level = \"info\"", &format!("level = \"{level}\""));
            std::fs::write(place.path(config), text).unwrap();
            daemon.signal("HUP");
            if said.is_empty() {
                continue; // Its own line is below the new level.
            }
            await_line(&mut daemon.log, said);
        }
        daemon.signal("TERM");
        daemon.ended("SIGTERM: stopping");
    }
}

#[test]
fn a_terminal_that_is_closed_stops_a_daemon_in_good_order() {
    let place = place();
    for (arguments, words) in [
        (&NODE[..], "listening on"),
        (&CLIENT, "messages to send are taken"),
    ] {
        let terminal =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let end: File = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let by = ["setsid", "--ctty"];
        let daemon = start(&place, &by, arguments, Stdio::from(end), words);
        drop(terminal);
        daemon.ended("the terminal was closed: stopping");
    }
}

#[test]
fn what_nohup_started_does_not_hear_of_it() {
    let place = place();
    let daemon = start(
        &place,
        &["setsid", "nohup"],
        &NODE,
        Stdio::null(),
        "listening on",
    );
    daemon.signal("HUP");
    daemon.signal("TERM");
    daemon.ended("SIGTERM: stopping");
}

#[test]
fn a_reader_who_goes_away_is_told_by_the_exit_code_alone() {
    let place = place();
    for arguments in [
        &["network", "show", "network.toml"][..],
        &["completions", "bash"],
    ] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = place.command(arguments).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(141), "{}", error_of(&output));
        assert_eq!(error_of(&output), "");
    }
    let full = File::create("/dev/full").unwrap();
    let show = ["network", "show", "network.toml"];
    let output = place.command(&show).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = error_of(&output);
    assert!(error.contains("can't write to standard output"), "{error}");
}
