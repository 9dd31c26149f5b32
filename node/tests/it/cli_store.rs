//! `shoal provider store` and `shoal bench store`, as an operator runs them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::Value;
use shoal_node::state::keys::store_secret;
use shoal_proto::{MailboxId, Span, Time};
use shoal_provider::{Store, StoreAt, StoreKey, StoreLimits, load};

use crate::cli::{Place, error_of};

const OPERATORS: &str = include_str!("../../../docs/operators.md");
const NOW: Time = Time::from_micros(1_800_000_000_000_000);

/// A provider's directory by this name with mailboxes in it: three, with five entries and one that is remembered.
fn provider(place: &Place, name: &str) {
    let init = ["init", "--role", "provider", "--dir", name];
    place.json(&[&init[..], &["--listen", "/ip4/127.0.0.1/tcp/4200"]].concat());
    drop(opened(&place.path(&format!("{name}/mailboxes.db"))));
}

fn opened(path: &Path) -> Box<dyn Store> {
    let rng = &mut ChaCha20Rng::seed_from_u64(7);
    let secret = store_secret(path.parent().unwrap(), rng).unwrap();
    let at = StoreAt::Sqlite(path.to_owned(), StoreKey::new(secret, rng.clone()));
    let mut store = at.open(StoreLimits::default()).unwrap();
    if store.usage().mailboxes > 0 {
        return store;
    }
    let key = |n: u64| MailboxId::new([u8::try_from(n % 3).unwrap(); 32]);
    let later = NOW + Span::from_secs(1000);
    let mut ops: Vec<_> = (0..3).map(|n| load::open(key(n), 1)).collect();
    ops.extend((0..6).map(|n| load::put(key(n), 1, n, later)));
    ops.push(load::attend(key(0), (1, 2), 0, &[1]));
    for result in store.apply(NOW, ops) {
        result.unwrap();
    }
    store
}

fn store<'a>(command: &'a str, place: &[&'a str]) -> Vec<&'a str> {
    [&["provider", "store", command], place].concat()
}

/// The command ends with this code, and says these things.
fn fails(output: &Output, code: i32, words: &[&str]) {
    let error = error_of(output);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for part in words {
        assert!(error.contains(part), "{part} is not in\n{error}");
    }
}

fn object(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_store_is_looked_at_verified_and_copied() {
    let place = Place::new();
    provider(&place, "prov1");
    let stats = place.json(&store("stats", &["--dir", "prov1"]));
    for (name, expected) in [
        ("mailboxes", 3),
        ("sets", 3),
        ("drops", 192),
        ("entries", 5),
        ("remembered", 1),
        ("oldest_expires", 1_800_001_000),
    ] {
        assert_eq!(stats[name], expected, "{name}: {stats:#}");
    }
    assert_eq!(stats["allowed"]["mailboxes"], 10_000);
    // All expires in one hour, whatever day that is by this machine's clock.
    let expiring = stats["expiring"].as_array().unwrap();
    assert_eq!(expiring.len(), 1, "{stats:#}");
    for (name, expected) in [("entries", 5), ("mailboxes", 3), ("remembered", 1)] {
        assert_eq!(expiring[0][name], expected, "{name}: {stats:#}");
    }
    for end in ["from", "until"] {
        let hours = expiring[0][end].as_u64().map(|secs| secs % 3600);
        assert!(hours.is_none_or(|rest| rest == 0), "{end}: {stats:#}");
    }
    assert!(stats["files"]["database"].as_u64().unwrap() > 5 * 1572);
    let words = place.run(&store("stats", &["--config", "prov1/shoal.toml"]));
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(words.contains("mailboxes  3 of 10000 allowed"), "{words}");
    assert!(words.contains("5 wait in       3 mailboxes"), "{words}");

    let verified = place.json(&store("verify", &["--dir", "prov1"]));
    assert_eq!(
        (&verified["sound"], &verified["entries"]),
        (&true.into(), &5.into())
    );

    let copied = place.json(&store("export", &["--dir", "prov1", "copy"]));
    assert_eq!(
        (&copied["entries"], &copied["remembered"]),
        (&5.into(), &1.into())
    );
    let mode = fs::metadata(place.path("copy"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    let again = place.run(&store("export", &["--dir", "prov1", "copy"]));
    fails(&again, 8, &["copy exists already"]);

    let filled = place.json(&store("import", &["--database", "other.db", "copy"]));
    assert_eq!(filled["mailboxes"], 3);
    place.json(&store("export", &["--database", "other.db", "again"]));
    let bytes = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(bytes("copy") == bytes("again"));
    let twice = place.run(&store("import", &["--database", "other.db", "copy"]));
    fails(&twice, 8, &["not empty", "another database"]);
    // Nothing else was left behind.
    let mut names: Vec<_> = fs::read_dir(place.path(""))
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["again", "copy", "other.db", "prov1", "store.key"]);
}

#[test]
fn what_is_in_the_way_is_said_plainly() {
    let place = Place::new();
    provider(&place, "prov1");
    let at = ["--dir", "prov1"];
    let held = opened(&place.path("prov1/mailboxes.db"));
    for command in ["stats", "verify"] {
        fails(&place.run(&store(command, &at)), 6, &["stop it first"]);
    }
    let export = store("export", &["--dir", "prov1", "copy"]);
    fails(&place.run(&export), 6, &["stop it first"]);
    assert!(!place.path("copy").exists());
    drop(held);

    let missing = place.run(&store("stats", &["--database", "no.db"]));
    fails(&missing, 2, &["no.db", "there is no mailbox database"]);
    assert!(!place.path("no.db").exists());
    fs::write(place.path("letter"), "Dear all").unwrap();
    let letter = place.run(&store("verify", &["--database", "letter"]));
    fails(&letter, 2, &["store.key does not exist", "beside it"]);
    let letter = place.run(&store("import", &["--database", "new.db", "letter"]));
    fails(&letter, 2, &["letter", "no copy of a mailbox store"]);
    let letter = place.run(&store("verify", &["--database", "letter"]));
    fails(&letter, 2, &["letter", "not a mailbox database"]);
    // With the key of another provider nothing can be read, and nothing is taken for damage.
    provider(&place, "other");
    fs::copy(place.path("store.key"), place.path("other/store.key")).unwrap();
    let sealed = place.run(&store("verify", &["--dir", "other"]));
    fails(&sealed, 2, &["sealed with another key", "store.key"]);
    let mix = [
        "init",
        "--role",
        "mix",
        "--dir",
        "mix1",
        "--listen",
        "/ip4/127.0.0.1/tcp/4201",
    ];
    place.json(&mix);
    fails(
        &place.run(&store("stats", &["--dir", "mix1"])),
        2,
        &["a mix"],
    );
    fails(&place.run(&store("stats", &[])), 2, &["--dir"]);

    // A copy of another version says what to do.
    place.json(&export);
    let mut bytes = fs::read(place.path("copy")).unwrap();
    bytes[17] = 9;
    fs::write(place.path("copy"), bytes).unwrap();
    let other = place.run(&store("import", &["--database", "new.db", "copy"]));
    fails(&other, 2, &["version 9", "the release that wrote it"]);
}

#[test]
fn a_damaged_store_is_told_with_what_to_do() {
    let place = Place::new();
    provider(&place, "prov1");
    let path = place.path("prov1/mailboxes.db");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("UPDATE cells SET waiting = 7 WHERE id = 2 << 32")
        .unwrap();
    let verify = store("verify", &["--dir", "prov1"]);
    let output = place.run(&verify);
    fails(&output, 14, &["damaged", "restore a backup"]);
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(
        words.contains("fault    mailboxes: a mailbox counts other entries"),
        "{words}"
    );
    let output = place.run(&[&verify[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(14));
    let told = object(&output);
    assert_eq!(
        (&told["sound"], &told["faults"][0]["kind"]),
        (&false.into(), &"mailbox_waiting".into())
    );

    // A quota that was lowered is told, and is no fault.
    provider(&place, "prov2");
    let verify = store("verify", &["--dir", "prov2", "--json"]);
    let mut lowered = place.command(&verify);
    let output = lowered.env("SHOAL_STORAGE_ENTRIES_PER_DROP", "1").output();
    let told = object(&output.unwrap());
    assert_eq!(told["sound"], true);
    assert_eq!(told["exceeded"][0]["quota"], "entries_per_drop");
}

#[test]
fn a_disk_is_measured_and_left_as_it_was() {
    let place = Place::new();
    let bench = ["bench", "store", "--mailboxes", "300", "--rounds", "2"];
    let output = place.run(&[&bench[..], &["--json"]].concat());
    if output.status.code() == Some(2) && error_of(&output).is_empty() {
        let told = object(&output);
        let message = told["error"]["message"].as_str().unwrap();
        assert!(message.contains("tmpfs"), "{message}");
        return;
    }
    assert!(output.status.success(), "{}", error_of(&output));
    let told = object(&output);
    assert_eq!(
        (&told["few"]["mailboxes"], &told["many"]["mailboxes"]),
        (&300.into(), &300.into())
    );
    for store in ["few", "many"] {
        for what in ["puts", "puts_alone", "lists", "acks", "expiries"] {
            let rate = &told[store][what];
            assert!(rate["per_second"].as_f64().unwrap() > 0.0, "{rate}");
            assert!(rate["p99_ms"].as_f64() >= rate["p50_ms"].as_f64(), "{rate}");
        }
        assert!(told[store]["bytes_per_message"].as_u64().unwrap() > 1472);
    }
    let left = fs::read_dir(place.path("")).unwrap().count();
    assert_eq!(left, 0);
    let words = place.run(&bench);
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(
        words.contains("one each") && words.contains("per message"),
        "{words}"
    );
    if Path::new("/dev/shm").is_dir() && cfg!(target_os = "linux") {
        fails(
            &place.run(&[&bench[..], &["--in", "/dev/shm"]].concat()),
            2,
            &["tmpfs", "--in"],
        );
    }
}

/// The commands of the section on mailboxes in docs/operators.md, as they stand.
#[test]
fn an_operator_does_what_the_page_says() {
    let place = Place::new();
    provider(&place, "prov1");
    let from = OPERATORS
        .find("## A provider's mailboxes")
        .expect("the section");
    let section = OPERATORS[from..].split("\n## ").next().unwrap();
    let blocks = section.split("```bash\n").skip(1);
    let script: String = blocks
        .map(|block| block.split("```").next().unwrap())
        .collect();
    assert!(
        script.contains("export") && script.contains("import"),
        "{script}"
    );
    let path = std::env::var("PATH").unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_shoal"))
        .parent()
        .unwrap()
        .display()
        .to_string();
    let output = std::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(place.path(""))
        .env("PATH", format!("{binary}:{path}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", error_of(&output));
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(
        words.contains("sound    moved") && words.contains("filled moved"),
        "{words}"
    );
}

/// From the file to a schema and back again, and what is in the way there.
#[cfg(feature = "postgres")]
#[test]
fn mailboxes_go_to_postgresql_and_back() {
    use shoal_provider::{PostgresOptions, PostgresStore};

    let Ok(connection) = std::env::var("SHOAL_POSTGRES") else {
        let demanded = std::env::var("SHOAL_POSTGRES_DEMANDED").is_ok_and(|it| it == "yes");
        assert!(!demanded, "run the tests by .ci/postgres");
        return;
    };
    let schema = format!("cli_{}", std::process::id());
    let place = Place::new();
    provider(&place, "prov1");
    let there = |command: &str, more: &[&str]| {
        let mut command = place.command(&store(command, &[&["--dir", "prov1"], more].concat()));
        command.env("SHOAL_STORAGE_ENGINE", "postgres");
        command.env("SHOAL_STORAGE_POSTGRES", &connection);
        command.env("SHOAL_STORAGE_POSTGRES_SCHEMA", &schema);
        command.output().unwrap()
    };
    let told = |output: Output| {
        assert!(output.status.success(), "{}", error_of(&output));
        object(&output)
    };
    place.json(&store("export", &["--dir", "prov1", "copy"]));
    let nothing = there("stats", &[]);
    fails(&nothing, 2, &["nothing in the schema", &schema]);

    let filled = told(there("import", &["copy", "--json"]));
    assert_eq!(filled["entries"], 5);
    fails(&there("import", &["copy"]), 8, &["not empty"]);
    let stats = told(there("stats", &["--json"]));
    for (name, expected) in [("mailboxes", 3), ("entries", 5), ("remembered", 1)] {
        assert_eq!(stats[name], expected, "{name}: {stats:#}");
    }
    assert_eq!(stats["engine"], "postgres");
    assert!(stats["free_within"].is_null(), "{stats:#}");
    let words = String::from_utf8(there("stats", &[]).stdout).unwrap();
    assert!(words.contains("files      indexes"), "{words}");
    assert_eq!(told(there("verify", &["--json"]))["sound"], true);

    // A process that has the mailboxes.
    let rng = ChaCha20Rng::seed_from_u64(7);
    let secret = shoal_node::state::keys::load_store_secret(&place.path("prov1")).unwrap();
    let options = PostgresOptions {
        schema: schema.clone(),
        ..PostgresOptions::new(
            &connection,
            StoreKey::new(secret, rng),
            StoreLimits::default(),
        )
    };
    let held = PostgresStore::open(options).unwrap();
    for (command, more) in [
        ("stats", &[][..]),
        ("verify", &[]),
        ("export", &["back"]),
        ("import", &["copy"]),
    ] {
        let output = there(command, more);
        fails(&output, 6, &["stop it first", "standby"]);
    }
    assert!(!place.path("back").exists());
    drop(held);

    told(there("export", &["back", "--json"]));
    let bytes = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(bytes("copy") == bytes("back"));
    place.json(&store("import", &["--database", "moved.db", "back"]));
    // Without its key nothing is made in its place.
    let key = place.path("prov1/store.key");
    fs::rename(&key, place.path("kept.key")).unwrap();
    fails(&there("import", &["copy"]), 2, &["store.key"]);
    assert!(!key.exists());

    let control = std::env::var("SHOAL_POSTGRES_CONTROL").unwrap();
    let sql = format!("SET client_min_messages = error; DROP SCHEMA {schema} CASCADE");
    let dropped = std::process::Command::new(control)
        .args(["sql", &sql])
        .status();
    assert!(dropped.unwrap().success());
}
