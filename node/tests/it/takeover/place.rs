//! The two places, and processes that have the state one after the other.

use std::sync::mpsc::{Receiver, sync_channel};

#[cfg(feature = "postgres")]
use shoal_node::state::Overtaken;
use shoal_node::state::{
    DirectoryFiles, DirectoryState, Durable, LoadedDirectory, ReplayLog, ReplayWriter, StateError,
};
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
pub(super) enum Damage {
    LogGone,
    LogChanged,
    LogOfAnother,
    KeyGone,
}

/// A process that has the state.
pub(super) struct Running {
    pub(super) state: Box<dyn DirectoryState>,
    pub(super) log: ReplayWriter,
    pub(super) told: Receiver<Durable>,
    next: u64,
    pub(super) loaded: LoadedDirectory,
    #[cfg(feature = "postgres")]
    pub(super) overtaken: Overtaken,
    /// Last, as its end lets the next process in. A directory of its own goes with each process.
    #[cfg(feature = "postgres")]
    _store: Option<(shoal_provider::PostgresStore, tempfile::TempDir)>,
}

/// All places that there are here.
pub(super) fn places() -> Vec<Place> {
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

    pub(super) fn damage(&self, damage: Damage) {
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
    pub(super) fn fails(&self, fails: bool) {
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

    pub(super) const fn is_files(&self) -> bool {
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

    pub(super) fn epochs(&self) -> Vec<u64> {
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

pub(super) fn no_key(epoch: u64) -> DirectoryChange {
    let epoch = Epoch::new(epoch);
    DirectoryChange::RemoveKey { epoch }
}

pub(super) fn record(number: u64, byte: u8) -> DirectoryChange {
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
