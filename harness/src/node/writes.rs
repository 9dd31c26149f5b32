//! What a process has given its disk, and how that ends.

use shoal_packet::ReplayTag;
use shoal_proto::{Epoch, Time};
use shoal_provider::{Store, StoreError, StoreOp};
use shoal_roles::node::NodeInput;
use shoal_topology::DirectoryChange;

use crate::disk::{NodeDisk, Writer};
use crate::event::DiskJob;
use crate::party::Party;
use crate::trace::Kind;
use crate::world::World;

/// What a disk that fails says.
const FAULT: &str = "the disk fails";

/// Three writers: each keeps its order, and they overtake each other.
pub(super) struct Writes {
    tags: Writer<(u64, Epoch, ReplayTag)>,
    store: Writer<(u64, StoreOp)>,
    state: Writer<(u64, Vec<DirectoryChange>)>,
}

impl Writes {
    pub(super) const fn new() -> Self {
        Self {
            tags: Writer::new(),
            store: Writer::new(),
            state: Writer::new(),
        }
    }

    pub(super) fn tag(&mut self, sequence: u64, epoch: Epoch, tag: ReplayTag) {
        self.tags.push((sequence, epoch, tag));
    }

    pub(super) fn operation(&mut self, ticket: u64, op: StoreOp) {
        self.store.push((ticket, op));
    }

    pub(super) fn changes(&mut self, ticket: u64, changes: Vec<DirectoryChange>) {
        self.state.push((ticket, changes));
    }

    /// Has the disk begin with what waits, if it is free.
    pub(super) fn begin(&mut self, party: Party, incarnation: u64, world: &mut World) {
        for (begun, job) in [
            (self.tags.begin(), DiskJob::Tags),
            (self.store.begin(), DiskJob::Store),
            (self.state.begin(), DiskJob::State),
        ] {
            if begun {
                world.write(party, incarnation, job);
            }
        }
    }

    /// The disk has done a job. Gives what the node is told.
    pub(super) fn apply(
        &mut self,
        job: DiskJob,
        now: Time,
        disk: &mut NodeDisk,
    ) -> (Kind, u64, Vec<NodeInput>) {
        match job {
            DiskJob::Tags => {
                let mut upto = 0;
                for (sequence, epoch, tag) in self.tags.end() {
                    disk.write_tag(epoch, tag);
                    upto = sequence;
                }
                (
                    Kind::TagsDurable,
                    upto,
                    vec![NodeInput::TagsDurable { upto }],
                )
            }
            DiskJob::Store => {
                let (tickets, ops): (Vec<u64>, Vec<StoreOp>) = self.store.end().into_iter().unzip();
                let results = tickets.into_iter().zip(disk.store.apply(now, ops));
                let told = results.map(|(ticket, result)| NodeInput::Stored { ticket, result });
                let told: Vec<NodeInput> = told.collect();
                (Kind::StoreDone, told.len() as u64, told)
            }
            DiskJob::State | DiskJob::Rows => {
                let persisted = |(ticket, changes): (u64, Vec<DirectoryChange>)| {
                    changes.into_iter().for_each(|change| disk.change(change));
                    NodeInput::Persisted { ticket }
                };
                let told: Vec<NodeInput> = self.state.end().into_iter().map(persisted).collect();
                (Kind::StateSaved, told.len() as u64, told)
            }
        }
    }

    /// The disk could not do a job. Gives what the node is told.
    pub(super) fn fail(&mut self, job: DiskJob) -> Vec<NodeInput> {
        match job {
            DiskJob::Tags => {
                self.tags.end();
                let why = FAULT.to_owned();
                vec![NodeInput::TagsFailed { why }]
            }
            DiskJob::Store => {
                let failed = |(ticket, _)| NodeInput::Stored {
                    ticket,
                    result: Err(StoreError::Io(FAULT.to_owned())),
                };
                self.store.end().into_iter().map(failed).collect()
            }
            DiskJob::State | DiskJob::Rows => {
                let failed = |(ticket, changes)| NodeInput::PersistFailed {
                    ticket,
                    changes,
                    why: FAULT.to_owned(),
                };
                self.state.end().into_iter().map(failed).collect()
            }
        }
    }
}
