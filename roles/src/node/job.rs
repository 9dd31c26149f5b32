//! What a node does not do in the loop that moves packets: signatures and documents.

use shoal_packet::Delivery;
use shoal_provider::{Checked, Checker};
use shoal_topology::{DirectoryDone, DirectoryJob};

/// Work of the processor that leaves the loop. Pure: it reads no clock and draws nothing.
#[non_exhaustive]
pub enum NodeJob {
    /// Signatures of descriptors and documents, and documents to be formed.
    Directory(DirectoryJob),
    /// A command for the provider role: its layout and its signatures.
    Command(Checker, Box<Delivery>),
}

/// What came of a [`NodeJob`].
#[non_exhaustive]
pub enum NodeDone {
    /// Of the directory's.
    Directory(DirectoryDone),
    /// Of a command.
    Command(Box<Checked>),
}

impl NodeJob {
    /// Whether it takes seconds, and must keep no others waiting: see [`DirectoryJob::is_long`].
    #[must_use]
    pub const fn is_long(&self) -> bool {
        match self {
            Self::Directory(job) => job.is_long(),
            Self::Command(..) => false,
        }
    }

    /// Does the work.
    #[must_use]
    pub fn run(self) -> NodeDone {
        match self {
            Self::Directory(job) => NodeDone::Directory(job.run()),
            Self::Command(checker, delivery) => {
                NodeDone::Command(Box::new(checker.check(*delivery)))
            }
        }
    }
}
