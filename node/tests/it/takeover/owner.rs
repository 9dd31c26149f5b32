//! Which directories may use a database, and what is done where there are two states.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use shoal_node::state::keys::token_seed;
use shoal_node::state::{
    DirectoryFiles, Owner, ReplayLog, ReplayWriter, StateError, check_before, check_is_in_files,
};
use shoal_packet::ReplayTag;
use shoal_proto::{Epoch, NodeId};

use super::place::{all_kinds, is_all_there};
use super::server::{Server, owner, refusal};

struct Dirs(tempfile::TempDir);

impl Dirs {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn dir(&self, name: &str) -> PathBuf {
        let dir = self.0.path().join(name);
        if !dir.exists() {
            fs::create_dir(&dir).unwrap();
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        }
        dir
    }
}

/// A node that has run with its state in files.
fn in_files(dir: &Path) {
    let mut log = ReplayLog::open(dir).unwrap();
    let mut files = DirectoryFiles::open(dir).unwrap();
    files.load(&mut log).unwrap();
    let writer = ReplayWriter::spawn(log, 16, |_| {}).unwrap();
    assert!(files.apply(all_kinds(), &writer).is_ok());
    assert!(writer.append(0, Epoch::new(1), ReplayTag::new([5; 32])));
}

fn has_secrets(dir: &Path) -> bool {
    ["epoch-keys", "seat-keys", "replay"].iter().any(|folder| {
        let entries = fs::read_dir(dir.join(folder));
        entries.is_ok_and(|entries| entries.count() > 0)
    }) || dir.join("directory.db").exists()
}

#[test]
fn what_was_in_files_is_brought_along_and_is_not_used_there_again() {
    let Some(server) = Server::new() else { return };
    let dirs = Dirs::new();
    let first = dirs.dir("first");
    in_files(&first);
    let (store, opened) = server.take_over(&owner(&first)).unwrap();
    let restored = &opened.loaded.restored;
    assert_eq!((restored.keys.len(), restored.sequence), (2, 9));
    assert_eq!(restored.records.len(), 2);
    assert!(restored.seat_keys.is_some());
    assert_eq!(opened.loaded.tags[0].1, [ReplayTag::new([5; 32])]);
    assert!(!has_secrets(&first));
    let error = check_is_in_files(&first).unwrap_err().to_string();
    assert!(
        error.contains("storage.engine") && error.contains("no way back"),
        "{error}"
    );
    drop((opened, store));
    // In the other directory is nothing of it but what says so.
    let second = dirs.dir("second");
    check_is_in_files(&second).unwrap();
    let (_store, opened) = server.take_over(&owner(&second)).unwrap();
    assert_eq!(opened.loaded.restored.sequence, 9);
    assert!(check_is_in_files(&second).is_err());
}

/// Crashes while files are brought to the database: before that counts, and after it.
#[test]
fn files_that_were_half_brought_along_count_until_all_are() {
    let Some(server) = Server::new() else { return };
    let dirs = Dirs::new();
    let dir = dirs.dir("first");
    in_files(&dir);
    let kept = dirs.dir("kept");
    let copy = |from: &Path, to: &Path| {
        let status = std::process::Command::new("cp")
            .args(["-a", "-T"])
            .args([from, to])
            .status();
        assert!(status.unwrap().success());
    };
    copy(&dir, &kept);
    // The database refuses the last of it.
    drop(server.take_over(&owner(&dirs.dir("made"))).unwrap());
    server.sql("DELETE FROM @.state_rows");
    server.sql(
        "CREATE FUNCTION @.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON @.state_rows EXECUTE FUNCTION @.full_disk()",
    );
    assert!(server.take_over(&owner(&dir)).is_err());
    assert!(has_secrets(&dir), "they count still");
    check_is_in_files(&dir).unwrap_err();
    server.sql("DROP TRIGGER full_disk ON @.state_rows");
    let (store, opened) = server.take_over(&owner(&dir)).unwrap();
    assert_eq!(opened.loaded.restored.sequence, 9);
    assert_eq!(opened.loaded.tags[0].1.len(), 1);
    drop((opened, store));
    // Killed before the files were removed: the note is of before.
    fs::write(
        kept.join("state-in-postgres"),
        format!("{} begun\n", server.schema),
    )
    .unwrap();
    let (_store, opened) = server.take_over(&owner(&kept)).unwrap();
    assert_eq!(opened.loaded.restored.sequence, 9);
    assert!(!has_secrets(&kept));
}

#[test]
fn two_states_are_never_used_in_silence() {
    let Some(server) = Server::new() else { return };
    let dirs = Dirs::new();
    let first = dirs.dir("first");
    let (store, opened) = server.take_over(&owner(&first)).unwrap();
    drop((opened, store));
    // A directory that ran by itself.
    let alone = dirs.dir("alone");
    in_files(&alone);
    let error = refusal(server.take_over(&owner(&alone)));
    assert!(error.contains("only one can be true"), "{error}");
    assert!(has_secrets(&alone));
    // Another node of the same key, and another schema of the same node.
    let other = Owner {
        node: NodeId::new([6; 32]),
        ..owner(&dirs.dir("other"))
    };
    let error = refusal(server.take_over(&other));
    assert!(error.contains("another node"), "{error}");
    let elsewhere = Server::new().unwrap();
    let error = refusal(elsewhere.take_over(&owner(&first)));
    assert!(
        error.contains("postgres_schema") && error.contains(&server.schema),
        "{error}"
    );
    // Nothing was made there.
    let made = elsewhere.sql("SELECT count(*) FROM pg_namespace WHERE nspname = '@'");
    assert_eq!(made, "0");
}

#[test]
fn a_database_that_was_put_back_is_refused_however_often_it_is_tried() {
    let Some(server) = Server::new() else { return };
    let dirs = Dirs::new();
    let first = dirs.dir("first");
    for _ in 0..3 {
        server.take_over(&owner(&first)).unwrap();
    }
    server.sql("UPDATE @.meta SET fence = 1");
    for _ in 0..4 {
        let error = refusal(server.take_over(&owner(&first)));
        assert!(
            error.contains("backup") && error.contains("operators.md"),
            "{error}"
        );
    }
    // Lost altogether.
    server.sql("DROP SCHEMA @ CASCADE");
    let error = refusal(server.take_over(&owner(&first)));
    assert!(error.contains("nothing of it is there"), "{error}");
    // Mailboxes were restored, without the state.
    drop(server.take_over(&owner(&dirs.dir("made"))).unwrap());
    server.sql("DELETE FROM @.state_rows; UPDATE @.meta SET fence = 9");
    let error = refusal(server.take_over(&owner(&first)));
    assert!(error.contains("nothing of it is there"), "{error}");
    fs::remove_file(first.join("state-in-postgres")).unwrap();
    let (_store, opened) = server.take_over(&owner(&first)).unwrap();
    assert!(opened.loaded.restored.keys.is_empty());
}

#[test]
fn a_standby_needs_the_same_seed_for_tokens() {
    let Some(server) = Server::new() else { return };
    let dirs = Dirs::new();
    let issues = |name: &str| Owner {
        issues_tokens: true,
        ..owner(&dirs.dir(name))
    };
    let seed = |name: &str| {
        let rng = &mut shoal_node::seeded().unwrap();
        token_seed(&dirs.dir(name), rng).unwrap()
    };
    seed("first");
    drop(server.take_over(&issues("first")).unwrap());
    let error = refusal(server.take_over(&issues("second")));
    assert!(
        error.contains("tokens.key") && error.contains("copy it"),
        "{error}"
    );
    assert!(!dirs.dir("second").join("tokens.key").exists());
    seed("third");
    let error = refusal(server.take_over(&issues("third")));
    assert!(error.contains("tokens.key"), "{error}");
    fs::copy(
        dirs.dir("first").join("tokens.key"),
        dirs.dir("second").join("tokens.key"),
    )
    .unwrap();
    server.take_over(&issues("second")).unwrap();
    // Before it waits for anything: while another process has the mailboxes.
    let _held = server.take_over(&issues("first")).unwrap();
    let waits = check_before(&server.options(1), &issues("third"));
    assert!(matches!(waits, Err(StateError::Place(_))));
    check_before(&server.options(1), &issues("second")).unwrap();
}

#[test]
fn each_takeover_is_noted_in_its_directory() {
    let Some(server) = Server::new() else { return };
    let dirs = Dirs::new();
    for (number, name) in ["a", "b", "a", "b"].into_iter().enumerate() {
        let (_store, mut opened) = server.take_over(&owner(&dirs.dir(name))).unwrap();
        let note = fs::read_to_string(dirs.dir(name).join("state-in-postgres")).unwrap();
        assert_eq!(note, format!("{} {}\n", server.schema, number + 1));
        if number == 0 {
            let writer = ReplayWriter::spawn(opened.log, 16, |_| {}).unwrap();
            assert!(opened.state.apply(all_kinds(), &writer).is_ok());
        } else {
            is_all_there(&opened.loaded);
        }
    }
    // What follows on the network's file is there for those who look at a directory.
    let copies = fs::read_dir(dirs.dir("b").join("successors")).unwrap();
    assert_eq!(copies.count(), 1);
}
