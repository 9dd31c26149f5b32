//! The core's words in the control protocol's.

use std::collections::BTreeMap;

use shoal_client::{Counters, HopTrace, SendError};
use shoal_topology::NetworkParameters;

use crate::control::protocol::{Hop, Refusal, RefusalCode};

/// A hop that this client chose.
pub(super) fn hop(trace: &HopTrace) -> Hop {
    Hop {
        node: trace.node.to_string(),
        layer: trace.layer,
        delay_us: trace.delay.as_micros(),
    }
}

/// Why a message was not accepted.
pub(super) fn refusal(reason: &SendError) -> Refusal {
    Refusal::new(RefusalCode::Invalid, reason.to_string())
}

/// The mean time until the receipt of a message's last fragment; 0 where it can't be told.
pub(super) fn expected_stored_ms(params: &NetworkParameters, profile: &str, fragments: u16) -> u64 {
    let Some(profile) = params.profile(profile) else {
        return 0;
    };
    let seconds = params.expected_stored(profile, fragments).mean();
    if seconds.is_infinite() {
        return 0;
    }
    shoal_proto::Span::from_secs_f64(seconds).as_micros() / 1000
}

/// Every counter by name.
pub(super) fn counters(counters: &Counters) -> BTreeMap<String, u64> {
    let fields = counters.fields();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
