//! The client role of Shoal: cover traffic, messages that are sent again until they are stored,
//! reply blocks for the own mailbox, and sealing from end to end.
//!
//! [`Client`] is a core without sockets, clocks or randomness of its own. It never sends because
//! the user does something: four Poisson processes (real, loop, drop, mailbox) say when a frame leaves, and
//! what the user does changes only what is inside.
//!
//! # How to drive it
//! Give it what happens with [`Client::handle_input`], then call [`Client::poll_action`] until it
//! gives none; do so again at [`Client::poll_deadline`]. Answer every [`ClientAction::Persist`]
//! once the changes are on disk: until then a message is not accepted, and nothing received is
//! acknowledged or told. After a restart, give [`Client::new`] the rows.
//!
//! # What it promises
//! - An accepted message is not lost: its fragments are sent again, over fresh routes, until as many
//!   as it takes are stored at the receiver's mailbox or the time to live has passed. Of a message of
//!   several that is any as many as have text, of these and some of parity.
//! - A message is told of at least once and, within one run, at most once; it is written by whom
//!   it says, who is a contact: nobody else can write to a client.
//! - What was read can't be read again by who takes everything afterwards, but for the last turns of a conversation
//!   (see `docs/sessions.md`).
//! - A first wait, exponential with the mean [`ClientConfig::first_contact_mean`], lies between
//!   attaching and the first mailbox packet.
//!
//! # What it does not promise yet
//! - Sessions are begun by X25519 alone: who records today and has a quantum computer later reads what was written until
//!   the outer layer was agreed on, with the first answers. Against one that is there meanwhile nothing holds.
//! - A message that is stored says nothing of being read.
//!
//! ```
//! use std::sync::Arc;
//!
//! use rand::SeedableRng;
//! use rand_chacha::ChaCha20Rng;
//! use shoal_client::{Client, ClientConfig, ClientInput, ClientKeys, Label, UserRequest};
//! use shoal_proto::{NodeId, Span, Time};
//! use shoal_topology::NetworkParameters;
//!
//! let params = Arc::new(NetworkParameters::example());
//! let now = Time::from_micros(1_760_000_400_000_000);
//! let mut rng = ChaCha20Rng::seed_from_u64(1);
//! let config = ClientConfig::new(NodeId::new([7; 32]));
//! let keys = ClientKeys::generate(&mut rng);
//! let mut bob = Client::new(params.clone(), config.clone(), keys, rng.clone(), &[], now)?;
//! let (label, life) = (Label::default(), Span::from_secs(86_400));
//! let what = UserRequest::Invite { once: true, life, label };
//! bob.handle_input(now, ClientInput::Ask { request: 1, what });
//! // To be handed out once it is on disk.
//! let invitation = bob.invitations().remove(0).invitation;
//!
//! let keys = ClientKeys::generate(&mut rng);
//! let mut alice = Client::new(params, config, keys, rng, &[], now)?;
//! let (invitation, label) = (Box::new(invitation), "Bob".parse()?);
//! let what = UserRequest::Accept { invitation, label, text: Some(b"hello".to_vec()) };
//! alice.handle_input(now, ClientInput::Ask { request: 1, what });
//! // First to disk; nothing is sent before Alice is attached, and then on her clock.
//! let actions = std::iter::from_fn(|| alice.poll_action(now));
//! assert!(actions.count() > 0 && alice.contacts().len() == 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sources: "The Loopix Anonymity System" (2017), section 4; the Noise Protocol Framework,
//! revision 34, pattern N; "Olm: A Cryptographic Ratchet", version 1.

mod answer;
mod client;
mod clock;
mod compose;
mod config;
mod contacts;
mod counters;
mod desk;
mod era;
mod error;
mod event;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod generation;
mod identity;
mod inbox;
mod invitation;
mod invitations;
mod keys;
mod mailbox;
mod note;
mod outbox;
mod pace;
mod packets;
mod places;
mod receipts;
mod replies;
mod rows;
mod safety;
mod saved;
mod schedule;
mod seal;
mod sessions;
mod sets;
mod table;
mod ticket;
mod traffic;
mod walk;
mod watch;

pub use client::Client;
pub use config::{ClientConfig, Limits};
pub use contacts::ContactChange;
pub use counters::Counters;
pub use error::{ClientError, SealError, SendError};
pub use event::{
    Alarm, ClientAction, ClientEvent, ClientInput, ContactStatus, HopTrace, InvitationStatus,
    Plain, UserRequest,
};
pub use invitation::{Invitation, InvitationError, SeenDocument};
pub use keys::{ClientKeys, PeerKey};
pub use outbox::{Hindrance, MessageStatus};
pub use places::{PlaceAudience, PlaceMailbox, PlaceStage, PlaceStatus, SeenMailbox};
pub use rows::{Change, Label, LabelError, MessageState, Row};
pub use safety::safety_number;
pub use saved::{SavedContact, restored_rows, saved_contacts};
pub use shoal_packet::fragment::MAX_TEXT_BYTES;
pub use shoal_packet::{DropSite, Sites};
pub use table::{Table, UnknownTable};
pub use ticket::Labour;
pub use walk::PlaceWalk;
