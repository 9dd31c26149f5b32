//! A client under a passphrase, run as a user runs it: from files, on a terminal, and killed in between.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::cli::{Place, error_of};

const WORDS: &str = "correct horse battery";

/// A place with a network, and files with passphrases.
pub(crate) fn place() -> Place {
    let place = Place::new();
    place.network();
    for (name, words) in [
        ("right", WORDS),
        ("wrong", "correct horse batterz"),
        ("other", "other words here"),
    ] {
        secret(&place, name, words);
    }
    place
}

fn secret(place: &Place, name: &str, words: &str) {
    let path = place.path(name);
    std::fs::write(&path, format!("{words}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
}

pub(crate) fn init(place: &Place, dir: &str, more: &[&str]) -> serde_json::Value {
    let arguments = ["client", "init", "--network", "network.toml", "--dir", dir];
    place.json(&[&arguments[..], more].concat())
}

/// Runs it without a terminal, whatever the tests have.
pub(crate) fn without_terminal(place: &Place, arguments: &[&str]) -> Output {
    let mut command = detached(place, &["--wait"], arguments);
    command.stdin(Stdio::null()).output().unwrap()
}

fn detached(place: &Place, how: &[&str], arguments: &[&str]) -> Command {
    let own = place.command(arguments);
    let mut command = Command::new("setsid");
    command
        .args(how)
        .arg(own.get_program())
        .args(own.get_args());
    command.current_dir(place.path("."));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SHOAL_")) {
        command.env_remove(name);
    }
    command
}

fn entries(place: &Place, dir: &str, file: Option<&str>) -> Output {
    let mut arguments = vec!["client", "entries", "--dir", dir];
    arguments.extend(file.iter().flat_map(|file| ["--passphrase-file", file]));
    without_terminal(place, &arguments)
}

#[test]
fn the_passphrase_opens_a_client_and_nothing_else_does() {
    let place = place();
    let made = init(&place, "alice", &["--passphrase-file", "right"]);
    assert_eq!(made["sealed"], true);
    assert!(entries(&place, "alice", Some("right")).status.success());
    let wrong = entries(&place, "alice", Some("wrong"));
    assert_eq!(wrong.status.code(), Some(15), "{}", error_of(&wrong));
    assert!(!error_of(&wrong).contains("horse"));
    // Nothing to ask on: it says which ways there are.
    let missing = entries(&place, "alice", None);
    assert_eq!(missing.status.code(), Some(15));
    for way in [
        "terminal",
        "--passphrase-file",
        "SHOAL_PASSPHRASE_FILE",
        "systemd",
    ] {
        assert!(
            error_of(&missing).contains(way),
            "{way}: {}",
            error_of(&missing)
        );
    }
    // The others of those ways.
    let arguments = ["client", "entries", "--dir", "alice"];
    let by_variable = place
        .command(&arguments)
        .env("SHOAL_PASSPHRASE_FILE", "right")
        .output();
    assert!(by_variable.unwrap().status.success());
    std::fs::create_dir(place.path("credentials")).unwrap();
    std::fs::copy(
        place.path("right"),
        place.path("credentials/shoal-passphrase"),
    )
    .unwrap();
    let folder = place.path("credentials");
    let by_systemd = place
        .command(&arguments)
        .env("CREDENTIALS_DIRECTORY", folder)
        .output();
    assert!(by_systemd.unwrap().status.success());
    // A file that others can read is none of them.
    std::fs::set_permissions(place.path("right"), PermissionsExt::from_mode(0o644)).unwrap();
    let readable = entries(&place, "alice", Some("right"));
    assert_eq!(readable.status.code(), Some(2));
    assert!(
        error_of(&readable).contains("chmod 600"),
        "{}",
        error_of(&readable)
    );
}

#[test]
fn a_passphrase_is_set_changed_and_removed_by_files() {
    let place = place();
    assert_eq!(init(&place, "bob", &[])["sealed"], false);
    let given = entries(&place, "bob", Some("right"));
    assert_eq!(given.status.code(), Some(2), "{}", error_of(&given));
    let passphrase = |more: &[&str]| {
        let arguments = ["client", "passphrase", "--dir", "bob"];
        without_terminal(&place, &[&arguments[..], more].concat())
    };
    let opens = |file| entries(&place, "bob", file).status.success();
    assert_eq!(
        passphrase(&["--remove"]).status.code(),
        Some(2),
        "there is none"
    );
    secret(&place, "short", "1234567");
    let short = passphrase(&["--new-passphrase-file", "short"]);
    assert_eq!(short.status.code(), Some(2));
    assert!(opens(None));
    assert!(
        passphrase(&["--new-passphrase-file", "right"])
            .status
            .success()
    );
    assert!(opens(Some("right")) && !opens(None));
    let wrong = passphrase(&[
        "--passphrase-file",
        "wrong",
        "--new-passphrase-file",
        "other",
    ]);
    assert_eq!(wrong.status.code(), Some(15));
    assert!(opens(Some("right")));
    let changed = passphrase(&[
        "--passphrase-file",
        "right",
        "--new-passphrase-file",
        "other",
    ]);
    assert!(changed.status.success(), "{}", error_of(&changed));
    assert!(opens(Some("other")) && !opens(Some("right")));
    assert!(
        passphrase(&["--passphrase-file", "other", "--remove"])
            .status
            .success()
    );
    assert!(opens(None));
}

#[test]
fn the_daemon_runs_under_it_and_shows_it_to_nobody() {
    let place = place();
    init(&place, "alice", &["--passphrase-file", "right"]);
    let arguments = ["daemon", "--dir", "alice", "--passphrase-file"];
    let wrong = without_terminal(&place, &[&arguments[..], &["wrong"]].concat());
    assert_eq!(wrong.status.code(), Some(15), "{}", error_of(&wrong));
    let mut command = place.command(&[&arguments[..], &["right", "--log-level", "trace"]].concat());
    let daemon = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut daemon = Stopped(daemon);
    let mut out = BufReader::new(daemon.0.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("messages to send are taken") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended");
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.0.id())).unwrap();
    let cores = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    assert!(
        cores
            .unwrap()
            .split_whitespace()
            .filter(|word| *word == "0")
            .count()
            == 2
    );
    // A change has to wait until it has stopped.
    let busy = without_terminal(
        &place,
        &[
            "client",
            "passphrase",
            "--dir",
            "alice",
            "--passphrase-file",
            "right",
        ],
    );
    assert!(
        !busy.status.success() && error_of(&busy).contains("in use"),
        "{}",
        error_of(&busy)
    );
    assert!(
        place
            .run(&["client", "stop", "--dir", "alice"])
            .status
            .success()
    );
    let mut log = String::new();
    daemon
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert!(!log.contains("horse"));
    assert!(daemon.0.wait().unwrap().success(), "{log}");
}

/// A daemon that does not outlive its test.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A terminal of its own for a command: what it shows, and whether it did well, after these answers to its questions.
fn on_terminal(
    place: &Place,
    arguments: &[&str],
    answers: &[(&str, &str)],
) -> (String, Option<i32>) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = || {
        let path = name.to_str().unwrap();
        File::options().read(true).write(true).open(path).unwrap()
    };
    let held = slave();
    let mut command = detached(place, &["--ctty", "--wait"], arguments);
    command.stdin(slave()).stdout(slave()).stderr(slave());
    let mut child = command.spawn().unwrap();
    let mut terminal = File::from(master);
    let mut shown = String::new();
    for (question, answer) in answers {
        let mut bytes = [0; 256];
        while !shown.contains(question) {
            let length = terminal.read(&mut bytes).unwrap();
            shown.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        terminal.write_all(answer.as_bytes()).unwrap();
    }
    let status = child.wait().unwrap();
    // Nothing is shown any more once nobody has it open.
    drop((command, held));
    let mut rest = Vec::new();
    let _ = terminal.read_to_end(&mut rest);
    shown.push_str(&String::from_utf8_lossy(&rest));
    (shown, status.code())
}

#[test]
fn on_a_terminal_it_is_asked_for_and_not_shown() {
    let place = place();
    init(&place, "bob", &[]);
    let change = ["client", "passphrase", "--dir", "bob"];
    let (first, again) = ("New passphrase of this client: ", "The same again: ");
    let line = format!("{WORDS}\r");
    let (shown, code) = on_terminal(
        &place,
        &change,
        &[(first, &line), (again, "something else\r")],
    );
    assert_eq!(code, Some(2), "{shown}");
    assert!(
        entries(&place, "bob", None).status.success(),
        "nothing was changed"
    );
    let (shown, code) = on_terminal(&place, &change, &[(first, &line), (again, &line)]);
    assert!(code == Some(0) && !shown.contains("horse"), "{shown}");
    assert!(entries(&place, "bob", Some("right")).status.success());
    let ask = ["client", "entries", "--dir", "bob"];
    // Mended on the way.
    let mended = format!("x\x15{WORDS}z\x7f\r");
    let (shown, code) = on_terminal(&place, &ask, &[("Passphrase: ", &mended)]);
    assert!(code == Some(0) && !shown.contains("horse"), "{shown}");
    let (shown, code) = on_terminal(&place, &ask, &[("Passphrase: ", "another one\r")]);
    assert_eq!(code, Some(15), "{shown}");
    let (shown, code) = on_terminal(&place, &ask, &[("Passphrase: ", "anoth\x03")]);
    assert_eq!(code, Some(130), "{shown}");
}

/// Killed at any moment, the old passphrase opens all of it, or the new one.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test that measures how long a change takes"
)]
fn killed_while_it_changes_the_old_one_or_the_new_one_opens_it() {
    let place = place();
    init(&place, "bob", &["--passphrase-file", "right"]);
    assert!(entries(&place, "bob", Some("right")).status.success());
    let identity = messagebox_identity(&place, "right");
    let (mut now, mut next) = ("right", "other");
    let whole = std::time::Instant::now();
    let change = |now: &str, next: &str| {
        let arguments = [
            "client",
            "passphrase",
            "--dir",
            "bob",
            "--passphrase-file",
            now,
        ];
        place.command(&[&arguments[..], &["--new-passphrase-file", next]].concat())
    };
    assert!(change(now, next).output().unwrap().status.success());
    std::mem::swap(&mut now, &mut next);
    let whole = whole.elapsed();
    let (mut cut, mut changed) = (0, 0);
    for part in 0..6 {
        let mut command = change(now, next);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // No event says how far it is: that is the point. Most of it is the two keys; the last quarter is files.
        // The first one is early, so that one is cut off on a busy machine, too.
        let share = [0.2, 0.8, 0.85, 0.9, 0.95, 1.0][part];
        std::thread::sleep(whole.mul_f64(share).max(Duration::from_millis(1)));
        let _ = child.kill();
        cut += u32::from(!child.wait().unwrap().success());
        let [old, new] =
            [now, next].map(|file| entries(&place, "bob", Some(file)).status.success());
        assert!(old != new, "part {part}: {old} {new}");
        if new {
            changed += 1;
            std::mem::swap(&mut now, &mut next);
        }
    }
    assert!(cut > 0, "{changed} changes, and none was cut off");
    assert_eq!(messagebox_identity(&place, now), identity);
    // An export says that they are not in it.
    let export = ["identity", "export", "--dir", "bob", "-o", "export"];
    let by = [
        "--export-passphrase-file",
        "other",
        "--passphrase-file",
        now,
    ];
    let told = place.json(&[&export[..], &by].concat());
    assert_eq!(told["message_boxes_left_out"], true);
}

/// Runs bob's daemon with a message box for a moment: the key by which programs know it lies among the boxes' rows.
fn messagebox_identity(place: &Place, file: &str) -> serde_json::Value {
    let arguments = ["daemon", "--dir", "bob", "--messagebox", "127.0.0.1:0"];
    let mut command = place.command(&[&arguments[..], &["--passphrase-file", file]].concat());
    let daemon = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut daemon = Stopped(daemon);
    let mut out = BufReader::new(daemon.0.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("messages to send are taken") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended");
    }
    let status = place.json(&["messagebox", "status", "--dir", "bob"]);
    let stop = place.run(&["client", "stop", "--dir", "bob"]);
    assert!(stop.status.success());
    assert!(daemon.0.wait().unwrap().success());
    status["identity"].clone()
}
