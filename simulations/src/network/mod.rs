//! Scenarios for the real roles in virtual time: clients that send each other messages through
//! real mixes and providers, while links lose packets, the network is cut in two, clients come and
//! go, and processes end without warning.
//!
//! [`run`] simulates a [`Scenario`] and holds the network to its promises: the books balance after
//! every second, an accepted message arrives once and whole or is reported expired, and after
//! everything has ended nothing is left anywhere. The first promise that does not hold ends the
//! run as a [`Failure`], which the same seed brings about again. A run that ends before it could be
//! told whether a message arrives is [`Unsettled`], which breaks no promise.
//!
//! ```
//! use shoal_simulations::network::{self, Scenario};
//!
//! let scenario = Scenario::parse("[run]\nduration = \"5s\"\n[[clients]]\ncount = 2")?;
//! let report = network::run(&scenario, 1, |_| {})?;
//! assert!(report.failure.is_none());
//! # Ok::<(), network::NetworkError>(())
//! ```

mod drive;
mod error;
mod file;
mod judge;
mod output;
mod places;
mod range;
mod scenario;
mod size;
mod summary;
mod who;

pub use drive::{Failure, Phase, Progress, Report, Unsettled, run};
pub use error::NetworkError;
pub use judge::Message;
pub use places::{Linked, Linking, Movers, MoversError, link_places};
pub use scenario::{Crashes, FaultKind, PRESET, PlannedFault, Receivers, Scenario, Workload};
pub use size::{Size, size};
pub use summary::{FrameTotals, Quantiles, Summary};
pub use who::Who;
