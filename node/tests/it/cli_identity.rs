//! A client's key as words and in an export, and clients that are made of them.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::cli::{Place, error_of};
use crate::cli_passphrase::{init, place, without_terminal};

/// The client of these words.
fn restore(place: &Place, dir: &str, words: &str, more: &[&str]) -> Output {
    let arguments = [
        "identity",
        "restore",
        "--network",
        "network.toml",
        "--json",
        "--dir",
        dir,
    ];
    let mut command = place.command(&[&arguments[..], more].concat());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have refused already.
    let _ = child.stdin.take().unwrap().write_all(words.as_bytes());
    child.wait_with_output().unwrap()
}

fn words(backup: &Value) -> Vec<String> {
    serde_json::from_value(backup["words"].clone()).unwrap()
}

fn message(output: &Output) -> String {
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    told["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn the_words_of_a_client_make_it_anew_and_a_wrong_one_is_told_by_its_place() {
    let place = place();
    init(&place, "alice", &["--passphrase-file", "right"]);
    let backup = ["identity", "backup", "--dir", "alice", "--passphrase-file"];
    let wrong = without_terminal(&place, &[&backup[..], &["wrong"]].concat());
    assert_eq!(wrong.status.code(), Some(15));
    let told = place.json(&[&backup[..], &["right"]].concat());
    let words = words(&told);
    assert_eq!((words.len(), &told["version"]), (24, &1.into()));
    // In words, what they are not comes beside them.
    let shown = place.run(&[&backup[..], &["right"]].concat());
    let plain = String::from_utf8(shown.stdout.clone()).unwrap();
    assert_eq!(Vec::from_iter(plain.split_whitespace()), words);
    assert!(error_of(&shown).contains("do not bring back contacts"));
    let made = restore(&place, "again", &plain, &["--passphrase-file", "other"]);
    assert!(made.status.success(), "{}", error_of(&made));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(
        (&made["key"], &made["sealed"]),
        (&told["key"], &true.into())
    );
    let backup = [
        "identity",
        "backup",
        "--dir",
        "again",
        "--passphrase-file",
        "other",
    ];
    assert_eq!(place.json(&backup), told);
    // Nothing is overwritten, and nothing is half made.
    assert_eq!(restore(&place, "alice", &plain, &[]).status.code(), Some(8));
    let mut typo = words.clone();
    typo[16] = "abandonn".to_owned();
    let refused = restore(&place, "none", &typo.join(" "), &[]);
    assert_eq!(refused.status.code(), Some(2));
    let why = message(&refused);
    assert!(
        why.contains("word 17 is") && !why.contains("abandon"),
        "{why}"
    );
    assert!(!place.path("none").exists());
    let few = restore(&place, "none", &words[..12].join(" "), &[]);
    assert!(message(&few).contains("12 words"), "{}", message(&few));
}

#[test]
fn an_export_makes_the_client_anew_in_its_network_under_its_passphrase() {
    let place = place();
    let made = init(
        &place,
        "alice",
        &["--profile", "mobile", "--passphrase-file", "right"],
    );
    let arguments = ["identity", "export", "--dir", "alice", "-o", "export"];
    let by = [
        "--export-passphrase-file",
        "other",
        "--passphrase-file",
        "right",
    ];
    let told = place.json(&[&arguments[..], &by].concat());
    assert_eq!((&told["key"], &told["contacts"]), (&made["key"], &0.into()));
    assert_eq!(told["message_boxes_left_out"], false, "there are none");
    let mode = std::fs::metadata(place.path("export"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = place.run(&[&arguments[..], &by].concat());
    assert_eq!(again.status.code(), Some(8), "it stays");
    let import = |dir: &str, network: &str, file: &str| {
        let arguments = [
            "identity",
            "import",
            "export",
            "--json",
            "--dir",
            dir,
            "--network",
            network,
        ];
        without_terminal(
            &place,
            &[&arguments[..], &["--export-passphrase-file", file]].concat(),
        )
    };
    assert_eq!(
        import("bob", "network.toml", "right").status.code(),
        Some(15)
    );
    let back = import("bob", "network.toml", "other");
    assert!(back.status.success(), "{}", error_of(&back));
    let back: Value = serde_json::from_slice(&back.stdout).unwrap();
    assert_eq!(
        (&back["key"], &back["profile"]),
        (&made["key"], &"mobile".into())
    );
    assert_eq!(back["sealed"], false);
    let entries = place.run(&["client", "entries", "--dir", "bob"]);
    assert!(entries.status.success(), "{}", error_of(&entries));
    // Another network's people are other people.
    let network = std::fs::read_to_string(place.path("network.toml")).unwrap();
    std::fs::write(
        place.path("other.toml"),
        network.replace("name = \"test\"", "name = \"else\""),
    )
    .unwrap();
    let elsewhere = import("carol", "other.toml", "other");
    assert_eq!(elsewhere.status.code(), Some(2));
    assert!(
        message(&elsewhere).contains("another network"),
        "{}",
        message(&elsewhere)
    );
    assert!(!place.path("carol").exists());
}
