//! What a session does not do in the loop that keeps a client's clocks: documents are verified
//! elsewhere, a signature for each member.

use std::sync::Arc;

use blake2::{Blake2s256, Digest as _};
use shoal_topology::{Document, DocumentError, NetworkParameters};

/// Documents to be verified. Pure: it reads no clock and draws nothing.
pub struct SessionJob {
    pub(super) params: Arc<NetworkParameters>,
    pub(super) number: u64,
    pub(super) documents: Vec<Vec<u8>>,
}

/// What came of a [`SessionJob`].
#[derive(Clone)]
pub struct SessionDone {
    pub(super) number: u64,
    pub(super) verified: Vec<Result<Arc<Document>, DocumentError>>,
}

impl SessionJob {
    /// Does the work.
    #[must_use]
    pub fn run(self) -> SessionDone {
        let Self {
            params,
            number,
            documents,
        } = self;
        let verify = |bytes: Vec<u8>| Document::decode_verified(&bytes, &params).map(Arc::new);
        let verified = documents.into_iter().map(verify).collect();
        SessionDone { number, verified }
    }

    /// A hash of all that the result depends on, so that who hosts thousands of clients of one
    /// network can do each distinct job once; [`SessionDone::answering`] makes it this one's.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        let mut hash = Blake2s256::new_with_prefix(self.params.hash().as_bytes());
        for document in &self.documents {
            hash.update((document.len() as u64).to_le_bytes());
            hash.update(document);
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
