//! Why limits are refused.

use shoal_proto::Span;
use thiserror::Error;

/// Why limits are refused. Packets that are dropped are no errors of this crate: they carry a
/// [`DropReason`](crate::DropReason).
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum LimitError {
    /// A bound of zero would drop everything.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// The two ratios of the loop alarm must satisfy 0 <= alarm <= recovery <= 1.
    #[error("loop ratios must be 0 <= alarm <= recovery <= 1, found {alarm} and {recovery}")]
    Ratios {
        /// [`RelayLimits::loop_alarm_ratio`](crate::RelayLimits::loop_alarm_ratio).
        alarm: f64,
        /// [`RelayLimits::loop_recovery_ratio`](crate::RelayLimits::loop_recovery_ratio).
        recovery: f64,
    },
    /// The alarm wants more finished loops than the window remembers.
    #[error("loop_minimum ({minimum}) is more than loop_window ({window})")]
    Window {
        /// [`RelayLimits::loop_minimum`](crate::RelayLimits::loop_minimum).
        minimum: usize,
        /// [`RelayLimits::loop_window`](crate::RelayLimits::loop_window).
        window: usize,
    },
    /// The replay filters can't hold what comes at the stated rate.
    #[error(
        "packets_per_second is {rate} and epochs last {epoch}, so the replay filters can take \
         {needed_mib} MiB; replay_memory allows {memory_mib} MiB: raise it if the machine has the \
         memory, or set packets_per_second to {rate_that_fits} or less"
    )]
    ReplayMemory {
        /// [`RelayLimits::packets_per_second`](crate::RelayLimits::packets_per_second).
        rate: u32,
        /// The network's.
        epoch: Span,
        /// What the filters need.
        needed_mib: u64,
        /// [`RelayLimits::replay_memory`](crate::RelayLimits::replay_memory).
        memory_mib: u64,
        /// A rate for which it suffices.
        rate_that_fits: u64,
    },
}
