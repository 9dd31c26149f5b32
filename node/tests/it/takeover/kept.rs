//! The same cases in both places.

use std::sync::mpsc::{Receiver, sync_channel};

use shoal_node::state::{
    DirectoryFiles, DirectoryState, Durable, LoadedDirectory, ReplayLog, ReplayWriter, StateError,
};
#[cfg(feature = "postgres")]
use shoal_node::state::{NotKept, Overtaken};
use shoal_packet::ReplayTag;
use shoal_proto::{DocumentHash, Epoch, NetworkHash, NodeId};
use shoal_topology::DirectoryChange;
use shoal_topology::agreement::Height;
use zeroize::Zeroizing;

#[cfg(feature = "postgres")]
use super::server::{Server, owner};

/// Where a state is, from one process to the next.
pub(super) enum Place {
    Files(tempfile::TempDir),
    #[cfg(feature = "postgres")]
    Postgres(Server),
}

/// What goes wrong with a place.
#[derive(Clone, Copy, Debug)]
enum Damage {
    LogGone,
    LogChanged,
    LogOfAnother,
    KeyGone,
}

/// A process that has the state.
pub(super) struct Running {
    state: Box<dyn DirectoryState>,
    log: ReplayWriter,
    told: Receiver<Durable>,
    next: u64,
    pub(super) loaded: LoadedDirectory,
    #[cfg(feature = "postgres")]
    pub(super) overtaken: Overtaken,
    /// Last, as its end lets the next process in. A directory of its own goes with each process.
    #[cfg(feature = "postgres")]
    _store: Option<(shoal_provider::PostgresStore, tempfile::TempDir)>,
}

/// All places that there are here.
fn places() -> Vec<Place> {
    let files = Place::Files(tempfile::tempdir().unwrap());
    #[cfg(feature = "postgres")]
    if let Some(server) = Server::new() {
        return vec![files, Place::Postgres(server)];
    }
    vec![files]
}

impl Place {
    /// The next process, in another directory if that is not the place.
    pub(super) fn start(&self) -> Running {
        match self {
            Self::Files(dir) => {
                let mut log = ReplayLog::open(dir.path()).unwrap();
                let files = DirectoryFiles::open(dir.path()).unwrap();
                let loaded = files.load(&mut log).unwrap();
                Running::new(Box::new(files), loaded, |told| {
                    ReplayWriter::spawn(log, 10_000, told)
                })
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => {
                let dir = tempfile::tempdir().unwrap();
                let (store, opened) = server.take_over(&owner(dir.path())).unwrap();
                let mut running = Running::new(opened.state, opened.loaded, |told| {
                    ReplayWriter::spawn(opened.log, 10_000, told)
                });
                running.overtaken = opened.overtaken;
                running._store = Some((store, dir));
                running
            }
        }
    }

    fn damage(&self, damage: Damage) {
        match self {
            Self::Files(dir) => {
                let log = dir.path().join("replay/1.log");
                match damage {
                    Damage::LogGone => std::fs::remove_file(log).unwrap(),
                    Damage::LogChanged => {
                        let mut bytes = std::fs::read(&log).unwrap();
                        // In the first of two batches.
                        bytes[60] ^= 1;
                        std::fs::write(&log, bytes).unwrap();
                    }
                    Damage::LogOfAnother => {
                        std::fs::copy(dir.path().join("replay/2.log"), &log).unwrap();
                    }
                    Damage::KeyGone => {
                        std::fs::remove_file(dir.path().join("epoch-keys/1.key")).unwrap();
                    }
                }
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => {
                let sql = match damage {
                    Damage::LogGone => "DELETE FROM @.tag_logs WHERE epoch = 1",
                    Damage::LogChanged => {
                        "UPDATE @.tag_batches SET tags = set_byte(tags, 0, get_byte(tags, 0) # 1) WHERE number = 0 \
                         AND log = (SELECT id FROM @.tag_logs WHERE epoch = 1)"
                    }
                    Damage::LogOfAnother => {
                        "UPDATE @.tag_logs SET key = (SELECT key FROM @.tag_logs WHERE epoch = 2) WHERE epoch = 1"
                    }
                    Damage::KeyGone => {
                        r"DELETE FROM @.state_rows WHERE kind = 'key' AND key = '\x0000000000000001'"
                    }
                };
                server.sql(sql);
            }
        }
    }

    /// Keys can't be kept from now on, or can again.
    fn fails(&self, fails: bool) {
        match self {
            Self::Files(dir) => {
                let (keys, away) = (dir.path().join("epoch-keys"), dir.path().join("away"));
                let (from, to) = if fails { (keys, away) } else { (away, keys) };
                std::fs::rename(from, to).unwrap();
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => {
                server.sql(if fails {
                    "CREATE FUNCTION @.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                     RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
                     CREATE TRIGGER full_disk BEFORE INSERT ON @.state_rows FOR EACH ROW WHEN (NEW.kind = 'key') \
                     EXECUTE FUNCTION @.full_disk()"
                } else {
                    "DROP TRIGGER full_disk ON @.state_rows"
                });
            }
        }
    }

    const fn is_files(&self) -> bool {
        matches!(self, Self::Files(_))
    }
}

impl Running {
    fn new(
        state: Box<dyn DirectoryState>,
        loaded: LoadedDirectory,
        log: impl FnOnce(Box<dyn FnMut(Durable) + Send>) -> std::io::Result<ReplayWriter>,
    ) -> Self {
        let (tell, told) = sync_channel(10_000);
        let notify = Box::new(move |durable| {
            let _ = tell.send(durable);
        });
        Self {
            state,
            log: log(notify).unwrap(),
            told,
            next: 0,
            loaded,
            #[cfg(feature = "postgres")]
            overtaken: Overtaken::default(),
            #[cfg(feature = "postgres")]
            _store: None,
        }
    }

    pub(super) fn keep(&mut self, changes: Vec<DirectoryChange>) {
        if let Err(failed) = self.state.apply(changes, &self.log) {
            panic!("{}", failed.why);
        }
    }

    /// Why changes are not kept, and how many are not.
    pub(super) fn fails(&mut self, changes: Vec<DirectoryChange>) -> (usize, StateError) {
        match self.state.apply(changes, &self.log) {
            Ok(()) => panic!("they are kept"),
            Err(failed) => (failed.changes.len(), failed.why),
        }
    }

    /// Whether this tag was told to be durable.
    pub(super) fn tag(&mut self, epoch: u64, tag: u8) -> bool {
        let number = self.next;
        self.next += 1;
        let tag = ReplayTag::new([tag; 32]);
        assert!(self.log.append(number, Epoch::new(epoch), tag));
        match self.told.recv().unwrap() {
            Durable::UpTo(upto) => upto == number,
            _ => false,
        }
    }

    fn epochs(&self) -> Vec<u64> {
        let keys = self.loaded.restored.keys.iter();
        keys.map(|(epoch, _)| epoch.number()).collect()
    }

    pub(super) fn tags(&self, epoch: u64) -> Vec<u8> {
        let mut of = self.loaded.tags.iter();
        let found = of.find(|(it, _)| it.number() == epoch);
        let tags = found.map(|(_, tags)| tags.as_slice()).unwrap_or_default();
        tags.iter().map(|tag| tag.as_bytes()[0]).collect()
    }
}

pub(super) fn key(epoch: u64, secret: u8) -> DirectoryChange {
    DirectoryChange::Key {
        epoch: Epoch::new(epoch),
        secret: Zeroizing::new([secret; 32]),
    }
}

fn no_key(epoch: u64) -> DirectoryChange {
    let epoch = Epoch::new(epoch);
    DirectoryChange::RemoveKey { epoch }
}

fn record(number: u64, byte: u8) -> DirectoryChange {
    DirectoryChange::Record {
        height: Height::new(3),
        number,
        bytes: [byte].into(),
    }
}

/// One of each.
pub(super) fn all_kinds() -> Vec<DirectoryChange> {
    let numbers = [1_u64.to_be_bytes(), 2_u64.to_be_bytes()].concat();
    let id = NodeId::new([7; 32]);
    vec![
        key(1, 1),
        key(2, 2),
        DirectoryChange::Document {
            epoch: Epoch::new(1),
            bytes: [1].into(),
        },
        DirectoryChange::Descriptor {
            id,
            sequence: 4,
            bytes: [2].into(),
        },
        DirectoryChange::Sequence(9),
        DirectoryChange::Handover {
            height: Height::new(1),
            bytes: [3].into(),
        },
        record(0, 4),
        record(1, 5),
        DirectoryChange::Proposal {
            hash: DocumentHash::new([6; 32]),
            bytes: [6].into(),
        },
        DirectoryChange::Evidence {
            id,
            bytes: [7].into(),
        },
        DirectoryChange::SeatKeys {
            kept: Zeroizing::new([numbers, vec![8; 32]].concat()),
        },
        DirectoryChange::Successor {
            hash: NetworkHash::new([9; 32]),
            text: [9].into(),
        },
    ]
}

/// That what [`all_kinds`] keeps is there.
pub(super) fn is_all_there(loaded: &LoadedDirectory) {
    let restored = &loaded.restored;
    let keys: Vec<_> = restored
        .keys
        .iter()
        .map(|(it, key)| (it.number(), key[0]))
        .collect();
    assert_eq!(keys, [(1, 1), (2, 2)]);
    assert_eq!(restored.documents, [[1].into()]);
    assert_eq!(restored.descriptors, [[2].into()]);
    assert_eq!(restored.sequence, 9);
    assert_eq!(restored.handovers, [[3].into()]);
    let records: Vec<_> = restored.records.values().flatten().copied().collect();
    assert_eq!(records, [4, 5]);
    assert_eq!(restored.proposals, [[6].into()]);
    assert_eq!(restored.evidence.len(), 1);
    let seat = restored.seat_keys.as_ref().unwrap();
    assert_eq!((seat.len(), seat[15], seat[47]), (48, 2, 8));
    assert_eq!(restored.successors, [[9].into()]);
    assert!(loaded.forgotten.is_empty());
}

#[test]
fn the_next_process_has_all_that_was_kept() {
    for place in places() {
        let mut first = place.start();
        assert!(first.epochs().is_empty() && first.loaded.restored.sequence == 0);
        first.keep(all_kinds());
        for tag in 0..50 {
            assert!(first.tag(1 + u64::from(tag) % 2, tag));
        }
        drop(first);
        let second = place.start();
        is_all_there(&second.loaded);
        assert!(second.tags(1).into_iter().eq((0..50).step_by(2)));
        assert!(second.tags(2).into_iter().eq((1..50).step_by(2)));
    }
}

#[test]
fn tags_of_several_processes_add_up() {
    for place in places() {
        place.start().keep(vec![key(1, 1)]);
        for tag in 0..4 {
            let mut next = place.start();
            assert!(next.tags(1).into_iter().eq(0..tag), "{tag}");
            assert!(next.tag(1, tag));
        }
    }
}

#[test]
fn of_two_changes_the_later_counts_and_what_is_removed_is_gone() {
    for place in places() {
        let mut first = place.start();
        first.keep(all_kinds());
        assert!(first.tag(2, 1));
        let id = NodeId::new([7; 32]);
        let height = Height::new(3);
        let hash = DocumentHash::new([6; 32]);
        let epoch = Epoch::new(1);
        first.keep(vec![
            DirectoryChange::Sequence(10),
            DirectoryChange::Sequence(11),
            no_key(2),
            DirectoryChange::RemoveDocument { epoch },
            DirectoryChange::RemoveDescriptor { id, sequence: 4 },
            DirectoryChange::RemoveRecord { height, number: 0 },
            DirectoryChange::RemoveProposal { hash },
            DirectoryChange::RemoveEvidence { id },
        ]);
        assert!(!first.tag(2, 2), "its log is gone");
        // A key of the same epoch is another, with tags of its own.
        first.keep(vec![key(2, 7)]);
        assert!(first.tag(2, 3));
        drop(first);
        let second = place.start();
        let restored = &second.loaded.restored;
        assert_eq!(restored.sequence, 11);
        assert_eq!((second.epochs(), restored.keys[1].1[0]), (vec![1, 2], 7));
        assert_eq!(second.tags(2), [3]);
        assert!(restored.documents.is_empty() && restored.descriptors.is_empty());
        assert!(restored.proposals.is_empty() && restored.evidence.is_empty());
        assert_eq!(restored.records.len(), 1);
        drop(second);
        #[cfg(feature = "postgres")]
        if let Place::Postgres(server) = &place {
            assert_eq!(server.sql("SELECT count(*) FROM @.tag_batches"), "1");
        }
    }
}

#[test]
fn a_key_without_its_tags_is_forgotten_for_good() {
    for damage in [Damage::LogGone, Damage::LogChanged, Damage::LogOfAnother] {
        for place in places() {
            let mut first = place.start();
            first.keep(all_kinds());
            assert!(first.tag(1, 1) && first.tag(1, 2) && first.tag(2, 3));
            drop(first);
            place.damage(damage);
            let second = place.start();
            assert_eq!(second.epochs(), [2], "{damage:?}");
            assert_eq!(second.loaded.forgotten.len(), 1, "{damage:?}");
            assert_eq!(second.tags(2), [3]);
            drop(second);
            let third = place.start();
            assert_eq!(third.epochs(), [2], "{damage:?}");
            assert!(third.loaded.forgotten.is_empty());
        }
    }
}

#[test]
fn a_log_without_its_key_is_removed() {
    for place in places() {
        let mut first = place.start();
        first.keep(vec![key(1, 1), key(2, 2)]);
        assert!(first.tag(1, 1));
        drop(first);
        place.damage(Damage::KeyGone);
        let mut second = place.start();
        assert_eq!(second.epochs(), [2]);
        // The next key of that epoch begins with none.
        second.keep(vec![key(1, 3)]);
        assert!(second.tag(1, 2));
        drop(second);
        assert_eq!(place.start().tags(1), [2]);
    }
}

#[test]
fn what_failed_comes_back_and_is_kept_later() {
    for place in places() {
        let mut first = place.start();
        first.keep(vec![DirectoryChange::Sequence(1)]);
        place.fails(true);
        let (failed, why) = first.fails(vec![key(1, 1), DirectoryChange::Sequence(2)]);
        // Each file is one of its own; a transaction is whole.
        assert_eq!(failed, if place.is_files() { 1 } else { 2 }, "{why}");
        place.fails(false);
        // Nothing of a half: no key without its log, and none of which nobody was told.
        drop(first);
        let mut second = place.start();
        assert!(second.epochs().is_empty());
        let expected = if place.is_files() { 2 } else { 1 };
        assert_eq!(second.loaded.restored.sequence, expected);
        second.keep(vec![key(1, 1), DirectoryChange::Sequence(2)]);
        assert!(second.tag(1, 1));
        drop(second);
        let third = place.start();
        assert_eq!((third.epochs(), third.tags(1)), (vec![1], vec![1]));
        assert_eq!(third.loaded.restored.sequence, 2);
    }
}

#[test]
fn tags_of_an_epoch_without_a_log_fail_and_others_go_on() {
    for place in places() {
        let mut first = place.start();
        first.keep(vec![key(1, 1)]);
        assert!(first.tag(1, 1) && !first.tag(2, 2) && first.tag(1, 3));
        drop(first);
        assert_eq!(place.start().tags(1), [1, 3]);
    }
}

#[cfg(feature = "postgres")]
#[test]
fn a_batch_that_failed_is_not_durable_and_the_next_is() {
    let Some(server) = Server::new() else { return };
    let place = Place::Postgres(server);
    let Place::Postgres(server) = &place else {
        unreachable!()
    };
    let mut first = place.start();
    first.keep(vec![key(1, 1)]);
    assert!(first.tag(1, 1));
    server.sql(
        "CREATE FUNCTION @.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON @.tag_batches EXECUTE FUNCTION @.full_disk()",
    );
    assert!(!first.tag(1, 2));
    server.sql("DROP TRIGGER full_disk ON @.tag_batches");
    assert!(first.tag(1, 3));
    drop(first);
    assert_eq!(place.start().tags(1), [1, 3]);
}

/// The connections break, and nobody comes between: the same process goes on.
#[cfg(feature = "postgres")]
#[test]
fn a_process_goes_on_over_new_connections_if_nobody_came_between() {
    let Some(server) = Server::new() else { return };
    let place = Place::Postgres(server);
    let Place::Postgres(server) = &place else {
        unreachable!()
    };
    let mut first = place.start();
    first.keep(vec![key(1, 1), DirectoryChange::Sequence(1)]);
    let mut durable = Vec::new();
    for round in 0..3_u8 {
        server.cut(false);
        server.cut(true);
        for tag in [round * 10, round * 10 + 1, round * 10 + 2] {
            // The first may be what notices that the connection has broken.
            if first.tag(1, tag) {
                durable.push(tag);
            }
        }
        let number = || DirectoryChange::Sequence(u64::from(round) + 2);
        if let Err(NotKept { changes, .. }) = first.state.apply(vec![number()], &first.log) {
            first.keep(changes);
        }
        assert!(durable.contains(&(round * 10 + 2)));
    }
    assert!(!first.overtaken.is_so());
    drop(first);
    let second = place.start();
    assert_eq!(second.loaded.restored.sequence, 4);
    for tag in durable {
        assert!(
            second.tags(1).contains(&tag),
            "{tag} was told to be durable"
        );
    }
}

/// A process that hangs is overtaken, and comes to itself: what it was about to write is not written.
#[cfg(feature = "postgres")]
#[test]
fn who_was_overtaken_keeps_nothing_more_and_notices() {
    let Some(server) = Server::new() else { return };
    let place = Place::Postgres(server);
    let Place::Postgres(server) = &place else {
        unreachable!()
    };
    let mut old = place.start();
    old.keep(all_kinds());
    assert!(old.tag(1, 1));
    server.cut(true);
    let mut new = place.start();
    is_all_there(&new.loaded);
    assert_eq!(new.tags(1), [1], "what was told to be durable");
    assert!(!old.overtaken.is_so(), "it has not looked");
    for also_cut in [false, true] {
        if also_cut {
            // It makes new connections, and finds out so, too.
            server.sql(&format!(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = '@' \
                 AND pid <> ALL (ARRAY[{}])",
                server.sql("SELECT coalesce(string_agg(pid::text, ','), '0') FROM pg_locks WHERE locktype = 'advisory'")
            ));
        }
        assert!(
            !old.tag(1, 2),
            "a packet that the new one has taken may come again"
        );
        for change in [
            DirectoryChange::Sequence(10),
            record(2, 6),
            key(3, 3),
            no_key(1),
        ] {
            let (failed, why) = old.fails(vec![change]);
            assert_eq!(failed, 1);
            let tells = matches!(why, StateError::Overtaken);
            assert!(tells || why.to_string().contains("terminat"), "{why}");
        }
        assert!(old.overtaken.is_so());
    }
    // The new one goes on, with the same numbers; the first may notice that its connections were cut.
    let _ = new.tag(1, 7);
    assert!(new.tag(1, 8));
    let number = || vec![DirectoryChange::Sequence(10)];
    if new.state.apply(number(), &new.log).is_err() {
        new.keep(number());
    }
    drop((old, new));
    let third = place.start();
    assert_eq!(third.loaded.restored.sequence, 10);
    assert_eq!(third.epochs(), [1, 2]);
    assert_eq!(third.loaded.restored.records.len(), 2);
    assert!(third.tags(1).starts_with(&[1]) && third.tags(1).ends_with(&[8]));
    assert!(!third.tags(1).contains(&2));
}
