//! The clock of networking.

use tokio::time::Instant;

/// The clock of timers and deadlines of connections. Nothing that the roles decide depends on it. It
/// stands still while the machine is suspended, which is right here: a peer has the same time to answer
/// whether or not the machine slept meanwhile.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place for it in networking"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}
