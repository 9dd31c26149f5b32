//! What the tests of whole networks share.

use std::collections::BTreeMap;

use shoal_client::ClientEvent;
use shoal_proto::{Span, Time};
use shoal_simulations::{Happening, Network, Party};

/// Long enough for any of the tests' networks to come up.
pub(crate) const START: Span = Span::from_secs(30);

/// The texts that clients received, with how often.
pub(crate) fn received(happenings: &[Happening]) -> BTreeMap<(Party, String), usize> {
    let mut counts = BTreeMap::new();
    for happening in happenings {
        if let ClientEvent::Received { text, .. } = &happening.event {
            let text = String::from_utf8(text.to_vec()).unwrap();
            *counts.entry((happening.client, text)).or_default() += 1;
        }
    }
    counts
}

/// When a client received this text.
pub(crate) fn received_at(network: &Network, client: Party, wanted: &str) -> Option<Time> {
    network.happenings().iter().find_map(|happening| match &happening.event {
        ClientEvent::Received { text, .. }
            if happening.client == client && text.as_slice() == wanted.as_bytes() =>
        {
            Some(happening.at)
        }
        _ => None,
    })
}

/// How many messages were reported stored.
pub(crate) fn stored(network: &Network) -> usize {
    let stored = |h: &&Happening| matches!(h.event, ClientEvent::Stored { .. });
    network.happenings().iter().filter(stored).count()
}

pub(crate) fn seconds(from: Time, to: Time) -> f64 {
    to.since(from).as_secs_f64()
}
