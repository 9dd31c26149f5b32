//! What a session does not do in the loop that keeps a client's clocks: certificates and documents are
//! verified elsewhere, a signature for each seat and each member, and work for tokens takes seconds.

use std::sync::Arc;

use blake2::{Blake2s256, Digest as _};
use shoal_client::Labour;
use shoal_packet::command::TOKEN_WORK_BYTES;
use shoal_topology::agreement::{CertifiedAmendment, Seats};
use shoal_topology::{Answers, Looked, NetworkParameters, Successor, TokenWork, Trust, View};

/// Something to be verified or worked for. Pure: it reads no clock and draws nothing.
pub struct SessionJob {
    pub(super) params: Arc<NetworkParameters>,
    pub(super) number: u64,
    pub(super) work: Work,
}

/// What is done.
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
    /// What a provider asks for a token.
    Token(Labour),
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
    /// The proof; none if there is none for all nonces.
    Token(TokenWork, Option<Box<[u8; TOKEN_WORK_BYTES]>>),
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
            Work::Token(Labour { work, bits }) => {
                let proof = (0..=u32::MAX).find_map(|nonce| work.seek(nonce, bits));
                Found::Token(work, proof)
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
            Work::Token(Labour { work, bits }) => {
                hash.update([3, *bits]);
                hash.update(work.network.as_bytes());
                hash.update(work.provider.as_bytes());
                hash.update(work.number.to_be_bytes());
                hash.update(work.blinded);
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
