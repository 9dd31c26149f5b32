//! Sphinx packets, single-use reply blocks, and the fixed layouts of what travels inside them.
//!
//! The wire format is that of the crate `sphinx-packet` 0.8, version 260 only, which is the
//! reference: what it builds is accepted here with the same result, and what is built here it
//! accepts. Sizes are fixed in [`shoal_proto::size`]: a packet has 2396 bytes, a frame 2397, a
//! plaintext 2031.
//!
//! This crate does no IO, asks no clock, and never panics on bytes that somebody else chose.
//! Randomness is an argument, all of it: the same generator gives the same packets.
//!
//! - [`build_forward`] makes a packet that the last hop can read, [`build_surb`] a reply block
//!   whose reply only its creator reads; [`unwrap`] does a hop's work on both. [`Engine`] does the
//!   same with a back end of one's choice, and unwraps a [`Batch`] together.
//! - [`Frame`], [`Packet`] and [`Payload`] are bytes of one size each.
//! - [`command`] is what a provider is told and answers, [`fragment`] what the receiver of a
//!   message finds in a blob, [`token`] what opening a mailbox costs.
//!
//! ```
//! use rand_chacha::rand_core::SeedableRng;
//! use shoal_packet::{Hop, SphinxSecret, Unwrapped, build_forward, unwrap};
//! use shoal_proto::{NodeId, Span};
//!
//! let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
//! let (mix, provider) = (SphinxSecret::generate(&mut rng), SphinxSecret::generate(&mut rng));
//! let route = [
//!     Hop { node: NodeId::new([1; 32]), key: mix.public(), delay: Span::from_millis(80) },
//!     Hop { node: NodeId::new([2; 32]), key: provider.public(), delay: Span::ZERO },
//! ];
//! let packet = build_forward(&mut rng, &route, b"to the provider")?;
//!
//! let Unwrapped::Forward { next, delay, packet } = unwrap(&mix, packet, |_tag| true)? else {
//!     return Err("the first hop forwards".into());
//! };
//! assert_eq!((next, delay), (route[1].node, Span::from_millis(80)));
//! let Unwrapped::Final { payload, .. } = unwrap(&provider, packet, |_tag| true)? else {
//!     return Err("the last hop delivers".into());
//! };
//! assert_eq!(payload.plaintext().ok_or("readable")?.as_slice(), b"to the provider");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sources: G. Danezis and I. Goldberg, "Sphinx", 2009; C. Kuhn et al., "Breaking and
//! (Partially) Fixing Provably Secure Onion Routing", 2020 (the random padding); RFC 7748.

mod agreement;
mod backend;
mod batch;
mod buffer;
mod build;
mod bytes;
pub mod command;
mod delivery;
mod engine;
mod erasure;
mod error;
pub mod fragment;
mod frame;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod header;
mod hop;
mod kdf;
#[allow(unsafe_code, reason = "vector instructions and a C library")]
mod kernels;
mod key;
mod keys;
mod layer;
mod lioness;
mod notice;
mod packet;
mod replay;
mod route;
mod seal;
mod site;
mod surb;
pub mod token;
mod x25519;

pub use backend::{Backend, UnknownBackend};
pub use batch::Batch;
pub use build::build_forward;
pub use delivery::Delivery;
pub use engine::{Engine, Unwrapped, unwrap};
pub use error::{BackendMissing, KeyFault, PacketError, UnwrapError};
pub use frame::Frame;
pub use header::Routing;
pub use hop::Job;
pub use key::{SphinxPublic, SphinxSecret};
pub use notice::{MAX_NOTICE_BYTES, NoticePiece, NoticePieces};
pub use packet::{Packet, Payload};
pub use replay::ReplayTag;
pub use route::Hop;
pub use site::{DropSite, Sites};
pub use surb::{Surb, SurbKeys, build_surb};
