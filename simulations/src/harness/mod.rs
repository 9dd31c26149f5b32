//! The harness: a whole network of the real roles in virtual time.

mod audit;
mod builder;
mod client;
mod conditions;
mod disk;
mod dispatch;
mod error;
mod faults;
mod flow;
mod inspect;
mod ledger;
mod link;
mod network;
mod node;
mod observe;
mod party;
mod queue;
mod trace;
mod world;

pub use audit::{Audit, Imbalance};
pub use builder::NetworkBuilder;
pub use error::SimulationError;
pub use faults::{Fault, FaultCounts, LinkFault, Trouble};
pub use flow::{Flow, FlowEvent, PacketKind};
pub use ledger::Ledger;
pub use link::LinkDelay;
pub use network::{Happening, Network};
pub use observe::{Observation, Truth};
pub use party::Party;
pub use trace::{Kind, TraceEvent, TraceHash};
