//! What nodes say of the directory, asked for by hand and verified: the question is the one that clients ask,
//! every handover is followed from the network's parameters on, and nothing is taken on anybody's word.
//!
//! * [`Source`]: whom to ask. [`Asked`]: a node, and what it has shown so far.
//! * [`Chain`]: what follows from one node's answers. [`clashes`]: what two nodes can't both be right about.
//! * [`Watch`]: what is new, of one round of questions after the other.

mod ask;
mod chain;
mod clash;
mod source;
mod watch;

pub use ask::{Asked, Unheard, ask_all};
pub use chain::{Chain, Term};
pub use clash::{Clash, clashes};
pub use source::{Source, SourceError};
pub use watch::{Move, Told, Watch};
