//! What a directory has computed elsewhere: signatures to check, documents to verify and to form.
//! A job is a plain value, and what it finds out is told apart by what the job was made of, so that
//! nodes in one process may share it.

use std::fmt;
use std::sync::Arc;

use shoal_proto::{Epoch, NetworkHash};

use super::header::Header;
use super::read::Reading;
use crate::canonical::Canonical;
use crate::document::UnverifiedDocument;
use crate::rules::Rules;
use crate::{DescriptorError, Document, DocumentError, SignedDescriptor};

/// What a document is formed from.
#[derive(PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) epoch: Epoch,
    /// The document before; none for one that follows nothing.
    pub(super) base: Option<Arc<Document>>,
    pub(super) descriptors: Vec<SignedDescriptor>,
}

impl Recipe {
    /// What a document is formed from, if it is one that anybody would form.
    pub(super) fn of(document: &Document, base: Option<Arc<Document>>) -> Self {
        Self {
            epoch: document.epoch(),
            base,
            descriptors: document.descriptors().cloned().collect(),
        }
    }

    pub(super) fn form(&self, rules: &Rules) -> Result<Document, DocumentError> {
        Document::form_by(rules, self.epoch, self.base.as_deref(), &self.descriptors)
    }
}

pub(super) enum Task {
    /// Decode a descriptor and check its signature.
    Descriptor(Arc<[u8]>),
    /// Read a neighbour's answer.
    Answer(Arc<[u8]>),
    /// Decode a document, which is to be the one that its header says, and verify it by itself.
    Document(Arc<[u8]>, Header),
    /// Form a document.
    Form(Arc<Recipe>),
}

/// Something slow for another thread: a signature to check, a document to verify or to form.
pub struct DirectoryJob {
    rules: Arc<Rules>,
    task: Task,
}

impl DirectoryJob {
    pub(super) const fn new(rules: Arc<Rules>, task: Task) -> Self {
        Self { rules, task }
    }

    /// Does it. The same job finds out the same at any time and in any place.
    #[must_use]
    pub fn run(self) -> DirectoryDone {
        let Self { rules, task } = self;
        let found = match task {
            Task::Descriptor(bytes) => {
                let checked = SignedDescriptor::decode(&bytes, &rules);
                Found::Descriptor(bytes, checked)
            }
            Task::Answer(bytes) => {
                let reading = Reading::of(&bytes).map(Arc::new);
                Found::Answer(bytes, reading)
            }
            Task::Document(bytes, header) => {
                let verified = named(&rules, &bytes, &header).map(Arc::new);
                Found::Document(bytes, header, verified)
            }
            Task::Form(recipe) => {
                let formed = recipe.form(&rules).map(Arc::new);
                Found::Formed(recipe, formed)
            }
        };
        DirectoryDone {
            network: rules.network,
            found,
        }
    }

    /// BLAKE2b-256 of all that the job is made of, the network's parameters among it. A host of
    /// many nodes may run one job of each key and hand its result to all that asked.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        let key = Canonical::new("shoal directory job 1").bytes(self.rules.network.as_bytes());
        match &self.task {
            Task::Descriptor(bytes) => key.number(1).bytes(bytes),
            Task::Document(bytes, header) => key.number(2).bytes(bytes).bytes(&header.key()),
            Task::Answer(bytes) => key.number(4).bytes(bytes),
            Task::Form(recipe) => {
                let base = recipe.base.as_ref();
                let key = key
                    .number(3)
                    .number(recipe.epoch.number())
                    .bytes(base.map_or(&[], |base| base.hash().as_slice()));
                let descriptors = recipe.descriptors.iter();
                descriptors.fold(key, |key, signed| key.bytes(signed.digest()))
            }
        }
        .finish()
    }
}

/// Says what kind of job it is.
impl fmt::Debug for DirectoryJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Task::Descriptor(_) => f.write_str("Descriptor"),
            Task::Answer(_) => f.write_str("Answer"),
            Task::Document(..) => f.write_str("Document"),
            Task::Form(recipe) => write!(f, "Form({})", recipe.epoch),
        }
    }
}

/// Decodes and verifies the document that this header is of. What is cheap to see comes first: its size,
/// its hash, what it says of itself; then the signatures.
fn named(rules: &Rules, bytes: &Arc<[u8]>, header: &Header) -> Result<Document, DocumentError> {
    if Document::hash_of(rules, bytes)? != header.hash {
        return Err(DocumentError::NotAsNamed);
    }
    let unverified = UnverifiedDocument::read(bytes, rules)?;
    let genesis = unverified.ids().filter(|id| rules.is_genesis(id)).count();
    let same = unverified.epoch() == header.epoch
        && *unverified.previous() == header.previous
        && unverified.ids().count() == header.members
        && genesis == header.genesis;
    if !same {
        return Err(DocumentError::NotAsNamed);
    }
    unverified.verify(rules)
}

/// What a [`DirectoryJob`] has found out. Copies share their memory.
#[derive(Clone)]
pub struct DirectoryDone {
    pub(super) network: NetworkHash,
    pub(super) found: Found,
}

/// What was found out, with what it was found out about.
#[derive(Clone)]
pub(super) enum Found {
    Descriptor(Arc<[u8]>, Result<SignedDescriptor, DescriptorError>),
    Answer(Arc<[u8]>, Option<Arc<Reading>>),
    Document(Arc<[u8]>, Header, Result<Arc<Document>, DocumentError>),
    Formed(Arc<Recipe>, Result<Arc<Document>, DocumentError>),
}

/// Says what kind of job it was, and why it failed if it did.
impl fmt::Debug for DirectoryDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Found::Descriptor(_, checked) => {
                write!(f, "Descriptor({:?})", checked.as_ref().map(|_| ()))
            }
            Found::Answer(_, reading) => write!(f, "Answer({})", reading.is_some()),
            Found::Document(_, _, verified) => write!(f, "Document({verified:?})"),
            Found::Formed(_, formed) => write!(f, "Formed({formed:?})"),
        }
    }
}
