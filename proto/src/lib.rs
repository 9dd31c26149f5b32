//! What every crate of Shoal has to agree on: wire messages, sizes, identifiers, time, epochs and
//! protocol names; and how a part declares what it counts ([`counters!`], [`labels!`]).
//!
//! This crate does no cryptography and no IO. Messages between nodes are Protocol Buffers,
//! generated into [`wire`]; packets and the commands inside them have fixed layouts in
//! `shoal-packet`, and this crate fixes only their [`size`]s.
//!
//! ```
//! use shoal_proto::{Span, Time, Epoch};
//!
//! let start = Time::from_micros(1_000_000);
//! assert_eq!(start + Span::from_millis(500), Time::from_micros(1_500_000));
//! assert_eq!(Epoch::new(0x1_02).byte(), 2);
//! ```

mod epoch;
mod id;
mod length;
mod metric;
pub mod name;
pub mod size;
mod span;
mod time;

pub use epoch::Epoch;
pub use id::{
    ClientHandle, DocumentHash, DropId, FamilyId, IdError, MailboxId, MessageId, NetworkHash,
    NodeId, SurbId,
};
pub use length::{LengthError, WrittenLength};
pub use metric::{Metric, MetricKind, Sample};
pub use span::{HumanSpan, Span};
pub use time::Time;

/// Protocol Buffers messages, generated from `proto/shoal.proto`.
#[allow(missing_docs, reason = "generated; documented in proto/shoal.proto")]
#[allow(unreachable_pub, reason = "generated")]
pub mod wire {
    include!(concat!(env!("OUT_DIR"), "/shoal.v1.rs"));
}
