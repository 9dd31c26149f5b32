//! What a session does not do in the loop that keeps a client's clocks: certificates and documents are
//! verified elsewhere, a signature for each seat and each member.

use std::sync::Arc;

use blake2::{Blake2s256, Digest as _};
use shoal_topology::{Answers, Looked, NetworkParameters, Trust, View};

/// Answers to be verified. Pure: it reads no clock and draws nothing.
pub struct SessionJob {
    pub(super) params: Arc<NetworkParameters>,
    pub(super) number: u64,
    pub(super) answers: Arc<Answers>,
    /// Whose signatures count so far.
    pub(super) trust: Trust,
    /// The documents that are known, of which others may be changes.
    pub(super) known: Arc<View>,
}

/// What came of a [`SessionJob`].
#[derive(Clone)]
pub struct SessionDone {
    pub(super) number: u64,
    pub(super) looked: Looked,
}

impl SessionJob {
    /// Does the work.
    #[must_use]
    pub fn run(self) -> SessionDone {
        SessionDone {
            number: self.number,
            looked: self.answers.look(&self.params, &self.trust, &self.known),
        }
    }

    /// A hash of all that the result depends on, so that who hosts thousands of clients of one
    /// network can do each distinct job once; [`SessionDone::answering`] makes it this one's.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        let mut hash = Blake2s256::new_with_prefix(self.params.hash().as_bytes());
        hash.update(self.answers.key());
        hash.update(self.trust.since().number().to_le_bytes());
        hash.update(self.trust.seats().hash());
        for document in self.known.documents.values() {
            hash.update(document.hash().as_bytes());
        }
        hash.finalize().into()
    }
}

impl SessionDone {
    /// The same result for another job with the same [`key`](SessionJob::key).
    #[must_use]
    pub fn answering(mut self, job: &SessionJob) -> Self {
        self.number = job.number;
        self
    }
}
