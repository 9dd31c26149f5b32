//! What a session does not do in the loop that keeps a client's clocks: documents are verified
//! elsewhere, a signature for each member, and formed anew from the document before.

use std::sync::Arc;

use blake2::{Blake2s256, Digest as _};
use shoal_topology::{Document, DocumentError, NetworkParameters, View, verify_documents};

/// Documents to be verified. Pure: it reads no clock and draws nothing.
pub struct SessionJob {
    pub(super) params: Arc<NetworkParameters>,
    pub(super) number: u64,
    pub(super) documents: Vec<Vec<u8>>,
    /// What is known, for those that follow from it.
    pub(super) known: Arc<View>,
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
            known,
        } = self;
        let documents = documents.iter().map(Vec::as_slice);
        let verified = verify_documents(&params, documents, &known);
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
        for document in self.known.documents.values() {
            hash.update(document.hash());
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
