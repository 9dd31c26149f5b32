//! Who is in the network, where, and which way packets go: network parameters, signed
//! descriptors, epochs and their documents, layers, path choice, and the gossip state machine
//! that lets every node arrive at the same document without a directory authority.
//!
//! This crate opens no socket, reads no clock and draws no ambient randomness: time and bytes go
//! in, actions come out. It never looks at packets.
//!
//! - [`NetworkParameters`]: the one file that defines a network; its hash names it everywhere.
//! - [`Ways`], [`Latency`]: what follows from the parameters, how long messages take and what they cost.
//! - [`Identity`], [`Descriptor`], [`SignedDescriptor`], [`KeyRing`]: what a node says about itself.
//! - [`Document`], [`View`]: the members of one epoch, and the documents that count at a time.
//! - [`TokenTerms`], [`TokenWork`]: what providers ask for the tokens that open mailboxes.
//! - [`path`], [`delay`], [`PoissonClock`]: routes, delays and instants for every kind of packet.
//! - [`agreement`]: who sits in a term, and how its seats agree on one document for an epoch.
//! - [`Directory`]: the state machine that nodes run; [`Answers`] is what clients take documents from
//!   ([`adopt_documents`] does all of it at once).
//!
//! ```
//! use shoal_proto::{Epoch, Time};
//! use shoal_topology::NetworkParameters;
//!
//! let params = NetworkParameters::example();
//! let text = params.to_toml();
//! assert_eq!(NetworkParameters::from_toml(&text)?.hash(), params.hash());
//! let start = params.start_of(Epoch::new(3));
//! assert_eq!(params.epoch_at(start), Epoch::new(3));
//! # Ok::<(), shoal_topology::ParameterError>(())
//! ```
//!
//! Sources: the stratified topology and the path distribution of "The Loopix Anonymity System"
//! (2017), sections 3 and 4; Ed25519 with strict verification, RFC 8032 and "Taming the many
//! EdDSAs" (2020); verifiable random functions, RFC 9381, in a chain as in "Algorand: Scaling Byzantine
//! Agreements for Cryptocurrencies" (2017), section 5.2.

mod address;
mod adopt;
pub mod agreement;
mod amended;
mod apart;
mod bounded;
mod canonical;
pub mod capacity;
mod chain;
pub mod delay;
mod delta;
mod descriptor;
mod directory;
mod document;
mod error;
mod expected;
mod expelled;
mod family;
mod file;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod header;
mod identity;
mod invitation;
mod inviters;
mod kept;
mod keyring;
mod latency;
mod layers;
mod member;
mod mending;
mod network_file;
mod newcomers;
mod parameters;
mod parameters_toml;
pub mod path;
mod poisson;
mod position;
mod reach;
mod recovery;
mod report;
mod rules;
pub mod sample;
mod slot;
mod startable;
mod succession;
mod term;
mod ties;
mod tokens;
mod view;
mod watchers;
mod work;

pub use address::{Address, Transport};
pub use adopt::{Answers, ClientDirectory, Looked, Response, adopt_documents, middle};
pub use amended::Amendments;
pub use chain::{Certified, Followed, Handover, Link, Mark, Trust};
pub use descriptor::{Descriptor, MAX_ADDRESSES, MAX_KEYS, PACKET_VERSION, Role, SignedDescriptor};
pub use directory::{
    Dialled, Directory, DirectoryAction, DirectoryChange, DirectoryCounters, DirectoryDone,
    DirectoryInput, DirectoryJob, DirectoryWarning, Invited, LocalNode, MAX_DESCRIPTORS, MAX_JOBS,
    MAX_SYNC_REQUEST_BYTES, MAX_SYNC_RESPONSE_BYTES, Restored, Ticket, Verdict, Waiting, Watched,
    answer_time, chain_request,
};
pub use document::{Document, MAX_DOCUMENT_BYTES, MAX_MEMBERS, Place};
pub use error::{
    AddressError, AdoptError, DescriptorError, DocumentError, ParameterError, PathError, Refusal,
    Refusals,
};
pub use expected::{TYPICAL_LINK, Waits, Ways};
pub use expelled::{Expulsion, MAX_EXPELLED, Offences, contents_hash};
pub use family::{Family, FamilyKey, FamilyProof};
pub use file::read_toml;
pub use header::DocumentHeader;
pub use identity::Identity;
pub use invitation::Invitation;
pub use kept::{Kept, KeptError, MAX_KEPT_BYTES};
pub use keyring::KeyRing;
pub use latency::Latency;
pub use member::{MAX_EXTRACT_BYTES, Member};
pub use network_file::NetworkFile;
pub use parameters::{Admission, Families, GenesisMember, NetworkParameters, Profile};
pub use poisson::{MISSED_AFTER, PoissonClock, Tick};
pub use reach::{Misfit, Reach, Scope};
pub use recovery::{
    MAX_RECOVERIES, MAX_RECOVERY_BYTES, Recoverer, Recovery, RecoveryError, RecoveryFile,
};
pub use report::{Found, MAX_REPORT_BYTES, MAX_REPORTED, Report, ReportError};
pub use slot::Slot;
pub use succession::{MAX_SUCCESSOR_BYTES, Succession, SuccessionError, Successor};
pub use term::Terms;
pub use ties::{NoPlace, TieKind, Ties};
pub use tokens::{
    MAX_TOKEN_WORK, TOKEN_PERIOD, TokenDemand, TokenTerms, TokenWork, token_period, tokens_expire,
};
pub use view::{MAX_STALE_EPOCHS, View};
pub use watchers::WATCHERS;
