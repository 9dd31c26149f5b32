//! What the tests of whole networks share.

use std::collections::BTreeMap;

use shoal_client::ClientEvent;
use shoal_harness::{Happening, Network, Party};
use shoal_proto::{MessageId, Span, Time};
use shoal_topology::Profile;

/// Long enough for any of the tests' networks to come up.
pub(crate) const START: Span = Span::from_secs(60);

/// Rates for tests that promise nothing about time: few packets.
pub(crate) const QUIET: Profile = Profile {
    real: 0.5,
    loops: 0.1,
    drops: 0.05,
    mailbox: 0.2,
    mailbox_clock: 0.6,
    downlink: 2.0,
    copies: 2,
};

pub(crate) fn secs(seconds: u64) -> Span {
    Span::from_secs(seconds)
}

/// The texts that clients received, with how often.
pub(crate) fn received(happenings: &[Happening]) -> BTreeMap<(Party, String), usize> {
    let mut counts = BTreeMap::new();
    for happening in happenings {
        if let Some(ClientEvent::Received { text, .. }) = happening.client_event() {
            let text = String::from_utf8(text.to_vec()).unwrap();
            *counts.entry((happening.client, text)).or_default() += 1;
        }
    }
    counts
}

/// How often each message was reported stored to its sender.
pub(crate) fn stored(happenings: &[Happening]) -> BTreeMap<(Party, MessageId), usize> {
    let mut counts = BTreeMap::new();
    for happening in happenings {
        if let Some(ClientEvent::Stored { message }) = happening.client_event() {
            *counts.entry((happening.client, *message)).or_default() += 1;
        }
    }
    counts
}

/// When this client was told something that `wanted` picks.
pub(crate) fn told(
    network: &Network,
    client: Party,
    wanted: impl Fn(&ClientEvent) -> bool,
) -> Option<Time> {
    let mut happenings = network.happenings().iter();
    happenings
        .find(|h| h.client == client && h.client_event().is_some_and(&wanted))
        .map(|h| h.at)
}

/// Whether an event says that this text was received.
pub(crate) fn brings(wanted: &str) -> impl Fn(&ClientEvent) -> bool {
    move |event| matches!(event, ClientEvent::Received { text, .. } if text.as_slice() == wanted.as_bytes())
}

/// Runs for a while, and checks the books of the whole network after every second.
pub(crate) fn run_checked(network: &mut Network, seconds: u64) {
    for _ in 0..seconds {
        network.run_for(secs(1)).unwrap();
        network.check().unwrap();
    }
}

/// Ends everything, and checks that nothing is left anywhere.
pub(crate) fn close_books(network: &mut Network) {
    network.stop().unwrap();
    let audit = network.check().unwrap();
    let frames = audit.frames();
    assert_eq!((frames.in_flight, audit.inside), (0, 0));
    assert_eq!(
        frames.sent,
        frames.received + frames.lost + frames.unclaimed
    );
}
