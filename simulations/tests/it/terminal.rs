//! What the program prints: for a reader who goes away, for a shell, and for `man`.

use std::io::{Write, pipe};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn shoal_sim(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal-sim"));
    command.args(arguments);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_reader_who_goes_away_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("new.toml");
    let new = ["new", "single-mix", "-o", kept.to_str().unwrap()];
    for arguments in [&["new", "--list"][..], &["reproduce", "--list"], &new] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = shoal_sim(arguments).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let wrote = said(&output);
        assert!(wrote.is_empty() || wrote.starts_with("wrote "), "{wrote}");
    }
    assert!(kept.exists(), "the work was done all the same");
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let refused = shoal_sim(&["new", "none"]).stderr(writer).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn what_is_said_of_a_file_does_not_go_into_another() {
    let folder = tempfile::tempdir().unwrap();
    let new = |arguments: &[&str]| {
        let mut command = shoal_sim(&["new", "single-mix"]);
        let command = command.args(arguments).current_dir(folder.path());
        command.output().unwrap()
    };
    let output = new(&[]);
    assert_eq!(output.stdout, b"");
    assert_eq!(said(&output), "wrote single-mix.toml\n");
    let printed = new(&["-o", "-"]).stdout;
    let written = std::fs::read(folder.path().join("single-mix.toml")).unwrap();
    assert_eq!(printed, written);
}

#[test]
fn a_disk_that_is_full_is_a_failure() {
    let full = std::fs::File::create("/dev/full").unwrap();
    let output = shoal_sim(&["new", "--list"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("can't write to standard output"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_shell_takes_the_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = shoal_sim(&["completions", shell]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("reproduce"), "{shell}");
        // Of these, one is everywhere.
        if shell == "bash" {
            let mut bash = Command::new(shell)
                .arg("-n")
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            bash.stdin
                .take()
                .unwrap()
                .write_all(script.as_bytes())
                .unwrap();
            assert!(bash.wait().unwrap().success());
        }
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("man1");
    let output = shoal_sim(&["man", dir.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    for page in ["shoal-sim.1", "shoal-sim-run.1", "shoal-sim-network.1"] {
        check(&dir.join(page));
    }
    let first = shoal_sim(&["man"]).output().unwrap();
    assert!(first.stdout.starts_with(b".ie"), "it is a page");
}

/// What man says of a page, where there is one.
fn check(page: &Path) {
    assert!(
        std::fs::read_to_string(page).unwrap().contains(".TH"),
        "{}",
        page.display()
    );
    let mut man = Command::new("man");
    let man = man
        .args(["--warnings=mac", "-l"])
        .arg(page)
        .env("MANPAGER", "cat");
    if let Ok(output) = man.output() {
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn what_can_not_be_is_refused_at_once() {
    for (arguments, code, why) in [
        (&["check", "/dev/zero"][..], 2, "it is longer than"),
        // A sweep's file that can't be read is a failure of the disk's, as its other files are.
        (
            &["sweep", "/dev/zero", "--out", "x"],
            1,
            "it is longer than",
        ),
        (&["network", "/dev/zero"], 2, "it is longer than"),
        (
            &["run", "x.toml", "--threads", "100000"],
            2,
            "has to be 0 to 1024",
        ),
    ] {
        let output = shoal_sim(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(why), "{}", said(&output));
    }
}
