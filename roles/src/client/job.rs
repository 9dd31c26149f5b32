//! What a session does not do in the loop that keeps a client's clocks: certificates and documents are
//! verified elsewhere, a signature for each seat and each member.

use std::sync::Arc;

use blake2::{Blake2s256, Digest as _};
use shoal_topology::agreement::{CertifiedAmendment, Seats};
use shoal_topology::{Answers, Looked, NetworkParameters, Successor, Trust, View};

/// Something to be verified. Pure: it reads no clock and draws nothing.
pub struct SessionJob {
    pub(super) params: Arc<NetworkParameters>,
    pub(super) number: u64,
    pub(super) work: Work,
}

/// What is verified.
pub(super) enum Work {
    /// The answers of nodes.
    Answers {
        answers: Arc<Answers>,
        /// Whose signatures count so far.
        trust: Trust,
        /// The documents that are known, of which others may be changes.
        known: Arc<View>,
        /// The file that is to follow on the network's.
        next: Option<Box<Successor>>,
    },
    /// An amendment that the entry has shown, by the seats that it names.
    Amendment {
        certified: CertifiedAmendment,
        seats: Seats,
    },
}

/// What came of a [`SessionJob`].
#[derive(Clone)]
pub struct SessionDone {
    pub(super) number: u64,
    pub(super) found: Found,
}

/// What was found.
#[derive(Clone)]
pub(super) enum Found {
    Looked(Looked),
    /// None if its signatures are not right.
    Amendment(Option<CertifiedAmendment>),
}

impl SessionJob {
    /// Does the work.
    #[must_use]
    pub fn run(self) -> SessionDone {
        let found = match self.work {
            Work::Answers {
                answers,
                trust,
                known,
                next,
            } => Found::Looked(match &next {
                Some(next) => answers.look_before(next, &self.params, &trust, &known),
                None => answers.look(&self.params, &trust, &known),
            }),
            Work::Amendment { certified, seats } => {
                let is_sound = certified.verify(&seats).is_ok();
                Found::Amendment(is_sound.then_some(certified))
            }
        };
        SessionDone {
            number: self.number,
            found,
        }
    }

    /// A hash of all that the result depends on, so that who hosts thousands of clients of one
    /// network can do each distinct job once; [`SessionDone::answering`] makes it this one's.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        let mut hash = Blake2s256::new_with_prefix(self.params.hash().as_bytes());
        match &self.work {
            Work::Answers {
                answers,
                trust,
                known,
                next,
            } => {
                hash.update([1]);
                let next = next.as_ref().map(|next| next.hash());
                hash.update(next.map_or([0; 32], |next| *next.as_bytes()));
                hash.update(answers.key());
                hash.update(trust.since().number().to_le_bytes());
                hash.update(trust.seats().hash());
                for document in known.documents.values() {
                    hash.update(document.hash().as_bytes());
                }
            }
            Work::Amendment { certified, seats } => {
                hash.update([2]);
                hash.update(certified.encode());
                hash.update(seats.hash());
            }
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
