//! Every decoder as a plain function that must not panic on any bytes. Compiled for tests, which
//! replay the corpus in `corpus/` (a folder for each function), and for fuzzing.

use std::sync::Arc;

use shoal_proto::{NodeId, Time};

use crate::{
    Address, Directory, DirectoryAction, DirectoryInput, Document, NetworkFile, NetworkParameters,
    Response, Restored, SignedDescriptor, Ticket, adopt_documents,
};

/// Descriptors from anybody.
pub fn fuzz_descriptor(data: &[u8]) {
    let params = NetworkParameters::example();
    let _ = SignedDescriptor::decode_verified(data, &params, params.genesis);
}

/// Documents from anybody.
pub fn fuzz_document(data: &[u8]) {
    let _ = Document::decode_verified(data, &NetworkParameters::example());
}

/// Answers to a client.
pub fn fuzz_response(data: &[u8]) {
    let params = NetworkParameters::example();
    let now = params.genesis + params.epoch;
    let response = |from: u8, came: Time| Response {
        from: NodeId::new([from; 32]),
        came,
        bytes: data.to_vec(),
    };
    let _ = adopt_documents(&params, &[response(1, now), response(2, now)], now);
    let _ = adopt_documents(&params, &[response(1, Time::MAX)], Time::MAX);
}

/// Parameter files.
pub fn fuzz_parameters(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = NetworkParameters::from_toml(text).map(|params| params.hash());
        let _ = NetworkFile::read(text).startable();
    }
}

/// Addresses in descriptors.
pub fn fuzz_address(data: &[u8]) {
    let text = std::str::from_utf8(data).unwrap_or_default();
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string(), text, "one spelling for each address");
    }
}

/// Everything that a neighbour can send to a directory.
pub fn fuzz_directory(data: &[u8]) {
    let params = Arc::new(NetworkParameters::example());
    let now = params.genesis + params.epoch;
    let from = NodeId::new([7; 32]);
    let rng = Counter(0);
    let mut directory = Directory::new(params, None, rng, Restored::default(), now);
    directory.handle_input(now, DirectoryInput::PeerConnected(from));
    let ticket = Ticket(1);
    let bytes = data.to_vec();
    directory.handle_input(
        now,
        DirectoryInput::Gossip {
            from,
            ticket,
            bytes,
        },
    );
    let request = data.to_vec();
    directory.handle_input(
        now,
        DirectoryInput::SyncRequest {
            from: Ticket(1),
            request,
        },
    );
    let response = data.to_vec();
    directory.handle_input(now, DirectoryInput::SyncResponse { from, response });
    // What has come must not leave it without an end to what it wants done.
    let (mut actions, mut verdicts) = (0, 0);
    while let Some(action) = directory.poll_action(now) {
        actions += 1;
        assert!(actions < 10_000, "the directory never comes to rest");
        match action {
            DirectoryAction::Job(job) => {
                directory.handle_input(now, DirectoryInput::Done(job.run()));
            }
            DirectoryAction::Verdict { .. } => verdicts += 1,
            _ => {}
        }
    }
    assert_eq!(verdicts, 1, "one verdict for each piece of gossip");
    let height = crate::agreement::Height::default();
    let _ = directory.chain_response(Time::MAX, height, height);
}

/// Numbers without secrets, good enough for jitter.
struct Counter(u64);

impl rand::TryRng for Counter {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let [a, b, c, d, ..] = self.try_next_u64()?.to_be_bytes();
        Ok(u32::from_be_bytes([a, b, c, d]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for byte in bytes {
            *byte = self.try_next_u64()?.to_be_bytes()[0];
        }
        Ok(())
    }
}

impl rand::TryCryptoRng for Counter {}

#[cfg(test)]
#[path = "../../fuzz/check.rs"]
mod check;

#[cfg(test)]
const TARGETS: &[check::Target] = &[
    ("address", fuzz_address),
    ("descriptor", fuzz_descriptor),
    ("directory", fuzz_directory),
    ("document", fuzz_document),
    ("parameters", fuzz_parameters),
    ("response", fuzz_response),
];

#[cfg(test)]
mod seeds;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for (_, target) in TARGETS {
                target(&bytes);
            }
        }

        #[test]
        fn addresses_have_one_spelling(
            text in "/(ip4|ip6)/[0-9a-f.:]{1,8}/(tcp/[0-9]{1,5}|udp/[0-9]{1,5}/quic-v1)",
        ) {
            fuzz_address(text.as_bytes());
        }
    }
}
