use std::collections::VecDeque;
use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{NodeId, Time};
use shoal_topology::NetworkParameters;

use crate::{Counters, Limits, ProviderAction, ProviderInput};

/// The core of the provider role: entry and mailboxes, without IO.
pub struct Provider<R> {
    #[allow(dead_code, reason = "in work")]
    params: Arc<NetworkParameters>,
    #[allow(dead_code, reason = "in work")]
    local: NodeId,
    #[allow(dead_code, reason = "in work")]
    limits: Limits,
    #[allow(dead_code, reason = "in work")]
    rng: R,
    counters: Counters,
    actions: VecDeque<ProviderAction>,
}

impl<R: CryptoRng> Provider<R> {
    /// A provider without clients.
    #[must_use]
    pub fn new(
        params: Arc<NetworkParameters>,
        local: NodeId,
        limits: Limits,
        rng: R,
        _now: Time,
    ) -> Self {
        Self {
            params,
            local,
            limits,
            rng,
            counters: Counters::default(),
            actions: VecDeque::new(),
        }
    }

    /// Takes an input.
    pub fn handle_input(&mut self, _now: Time, _input: ProviderInput) {}

    /// The next action.
    pub fn poll_action(&mut self, _now: Time) -> Option<ProviderAction> {
        self.actions.pop_front()
    }

    /// When to call again.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Time> {
        None
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }
}
