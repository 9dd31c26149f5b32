//! The clock of networking.

use tokio::time::Instant;

/// The clock of timers and deadlines of connections. Nothing that the roles decide depends on it.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place for it in networking"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}
