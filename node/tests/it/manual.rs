//! Completions and manual pages.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::cli::{Place, error_of};

#[test]
fn a_shell_takes_the_completions() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = place.run(&["completions", shell]);
        assert!(output.status.success(), "{}", error_of(&output));
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("receive"), "{shell}");
        // Of these, one is everywhere.
        if shell == "bash" {
            let mut bash = Command::new(shell);
            let mut bash = bash.arg("-n").stdin(Stdio::piped()).spawn().unwrap();
            bash.stdin
                .take()
                .unwrap()
                .write_all(script.as_bytes())
                .unwrap();
            assert!(bash.wait().unwrap().success());
        }
    }
    assert_eq!(place.run(&["completions", "tsch"]).status.code(), Some(2));
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let place = Place::new();
    let output = place.run(&["man", "man1"]);
    assert!(output.status.success(), "{}", error_of(&output));
    for page in [
        "shoal",
        "shoal-node-run",
        "shoal-node-doctor",
        "shoal-client-send",
        "shoal-daemon",
        "shoal-init",
        "shoal-provider-store-export",
        "shoal-bench-store",
        "shoal-bench-mix",
        "shoal-directory-watch",
    ] {
        let file = place.path(&format!("man1/{page}.1"));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(".TH"), "{page}");
        let mut man = Command::new("man");
        man.args(["--warnings=mac", "-l"])
            .arg(&file)
            .env("MANPAGER", "cat");
        // Where there is no `man`, that is all.
        if let Ok(output) = man.output() {
            let fine = output.status.success() && output.stderr.is_empty();
            assert!(fine, "{page}: {}", error_of(&output));
        }
    }
    assert!(
        !place.path("man1/shoal-client-run.1").exists(),
        "what it was called"
    );
    let first = place.run(&["man"]);
    let text = String::from_utf8(first.stdout).unwrap();
    assert!(
        text.contains(".SH") && text.contains("Exit codes"),
        "{text}"
    );
}
