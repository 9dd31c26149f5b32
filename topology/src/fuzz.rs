//! Every decoder as a plain function that must not panic on any bytes. Compiled for tests, which
//! replay the corpus in `corpus/` (a folder for each function), and for fuzzing.

use std::sync::Arc;

use shoal_proto::{NodeId, Time};

use crate::agreement::{
    AmendmentVote, Certificate, CertifiedAmendment, Evidence, Height, Message, Seats,
};
use crate::chain::follow;
use crate::directory::Chain;
use crate::rules::Rules;
use crate::{
    Address, Certified, Directory, DirectoryAction, DirectoryInput, Document, DocumentHeader,
    GenesisMember, Handover, Identity, Invitation, Kept, NetworkFile, NetworkParameters,
    RecoveryFile, Report, Response, Restored, Role, SignedDescriptor, Ticket, Trust,
    adopt_documents,
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

/// A recovery's file: what was read is written as it was, but for comments and spaces.
pub fn fuzz_recovery(data: &[u8]) {
    let network = NetworkParameters::example().hash();
    let text = std::str::from_utf8(data).unwrap_or_default();
    if let Ok(file) = RecoveryFile::read(text, &network) {
        let _ = file.recovery.check(&network);
        assert_eq!(RecoveryFile::read(&file.to_toml(), &network), Ok(file));
    }
}

/// Addresses in descriptors.
pub fn fuzz_address(data: &[u8]) {
    let text = std::str::from_utf8(data).unwrap_or_default();
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string(), text, "one spelling for each address");
    }
}

/// What a newcomer shows of a member, in bytes and in text.
pub fn fuzz_invitation(data: &[u8]) {
    let (network, node) = (NetworkParameters::example().hash(), NodeId::new([7; 32]));
    if let Some(shown) = Invitation::read(data) {
        assert_eq!(shown.encode(), data, "one encoding for each invitation");
        assert_eq!(shown.to_string().parse(), Ok(shown));
        assert!(!shown.proves(&network, &node), "nobody has signed that");
    }
    let text = std::str::from_utf8(data).unwrap_or_default();
    if let Ok(shown) = text.parse::<Invitation>() {
        assert_eq!(shown.to_string(), text, "one text for each invitation");
    }
}

/// What seats say to each other: there is one encoding for each message.
pub fn fuzz_message(data: &[u8]) {
    if let Ok(message) = Message::decode(data) {
        assert_eq!(message.encode(), data, "one encoding for each message");
        let _ = seats().map(|seats| message.verify(&seats));
    }
    if let Ok(certificate) = Certificate::decode(data) {
        assert_eq!(
            certificate.encode(),
            data,
            "one encoding of each certificate"
        );
        let _ = seats().map(|seats| certificate.verify(&seats));
    }
}

/// That a seat has said two things.
pub fn fuzz_evidence(data: &[u8]) {
    if let Some(Ok(evidence)) = seats().map(|seats| Evidence::verify(data, &seats)) {
        assert_eq!(evidence.encode(), data, "one encoding for all evidence");
    }
}

/// What leads from the seats of one term to those of the next.
pub fn fuzz_handover(data: &[u8]) {
    let params = params();
    let rules = Rules::of(&params);
    if let Ok(handover) = Handover::decode(data, &rules) {
        assert_eq!(handover.encode(), data, "one encoding for each handover");
    }
    if let Ok(seats) = Seats::decode(params.hash(), data) {
        assert_eq!(seats.encode(), data, "one encoding for all seats");
    }
    if let Ok(trust) = Trust::first(&params) {
        let _ = follow(&rules, trust, &[data.to_vec()], &[], &[]);
    }
}

/// What a client has kept.
pub fn fuzz_kept(data: &[u8]) {
    let params = params();
    if let Ok(kept) = Kept::restore(&params, data) {
        // Where a recovery is gone the handovers are followed anew.
        let anew = kept.trust.since() == Height::default();
        assert!(
            anew || kept.encode(&params) == data,
            "one encoding for each"
        );
    }
}

/// What watchers say.
pub fn fuzz_report(data: &[u8]) {
    let network = NetworkParameters::example().hash();
    let key = Identity::from_bytes(&[1; 32]);
    if let Ok(report) = Report::read(data) {
        let bytes = report.sign(&network, &key);
        let body = bytes.len().saturating_sub(64);
        assert_eq!(
            bytes.get(..body),
            data.get(..body),
            "one encoding for each report"
        );
    }
    let _ = Report::verify(data, &network);
}

/// What seats sign of amendments, and those that are certified.
pub fn fuzz_amendment(data: &[u8]) {
    if let Ok(vote) = AmendmentVote::decode(data) {
        assert_eq!(vote.encode(), data, "one encoding for each vote");
    }
    if let Ok(certified) = CertifiedAmendment::decode(data) {
        assert_eq!(certified.encode(), data, "one encoding for each amendment");
        let sound = seats().is_some_and(|seats| certified.verify(&seats).is_ok());
        assert!(!sound, "nobody has signed that");
    }
}

/// Heads of documents.
pub fn fuzz_header(data: &[u8]) {
    if let Ok(header) = DocumentHeader::decode(data) {
        assert_eq!(header.encode(), data, "one encoding for each header");
    }
}

/// Answers to the question for the chain, and documents with their certificates.
pub fn fuzz_chain(data: &[u8]) {
    let params = params();
    let rules = Rules::of(&params);
    if let (Some(chain), Ok(trust)) = (Chain::of(data), Trust::first(&params)) {
        let _ = follow(&rules, trust, &chain.handovers, &chain.documents, &[]);
    }
    let _ = Certified::restore(data, &rules);
}

/// Gossip: one verdict for each piece, whatever is in it.
pub fn fuzz_gossip(data: &[u8]) {
    let params = Arc::new(NetworkParameters::example());
    let now = params.genesis + params.epoch;
    let from = NodeId::new([7; 32]);
    let mut directory = Directory::new(params, None, Counter(0), Restored::default(), now);
    directory.handle_input(now, DirectoryInput::PeerConnected(from));
    let verdicts = [1, 2].map(|number| {
        let (ticket, bytes) = (Ticket(number), data.to_vec());
        let gossip = DirectoryInput::Gossip {
            from,
            ticket,
            bytes,
        };
        directory.handle_input(now, gossip);
        let mut verdicts = 0;
        while let Some(action) = directory.poll_action(now) {
            match action {
                DirectoryAction::Job(job) => {
                    directory.handle_input(now, DirectoryInput::Done(job.run()));
                }
                DirectoryAction::Verdict { of, .. } => {
                    assert_eq!(of, ticket, "the verdict is of what was asked");
                    verdicts += 1;
                }
                _ => {}
            }
        }
        verdicts
    });
    assert_eq!(verdicts, [1, 1], "one verdict for each piece of gossip");
}

/// A network that somebody sits in: the example names no first members.
fn params() -> NetworkParameters {
    let first = |id| GenesisMember {
        id,
        role: Role::Mix,
        addresses: Vec::new(),
        family: None,
    };
    NetworkParameters {
        genesis_members: identities().map(first).into(),
        ..NetworkParameters::example()
    }
}

fn identities() -> [NodeId; 4] {
    [1, 2, 3, 4].map(|byte| Identity::from_bytes(&[byte; 32]).id())
}

/// The seats that those in the corpus are of; none if there can be none.
fn seats() -> Option<Seats> {
    let network = NetworkParameters::example().hash();
    Seats::first(network, identities()).ok()
}

/// Everything that a neighbour can send to a directory.
pub fn fuzz_directory(data: &[u8]) {
    let params = Arc::new(NetworkParameters::example());
    let now = params.genesis + params.epoch;
    let from = NodeId::new([7; 32]);
    let rng = Counter(0);
    let file = params.hash();
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
    let _ = directory.chain_response(Time::MAX, (height, height), &file);
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
    ("amendment", fuzz_amendment),
    ("chain", fuzz_chain),
    ("descriptor", fuzz_descriptor),
    ("directory", fuzz_directory),
    ("document", fuzz_document),
    ("evidence", fuzz_evidence),
    ("gossip", fuzz_gossip),
    ("handover", fuzz_handover),
    ("header", fuzz_header),
    ("invitation", fuzz_invitation),
    ("kept", fuzz_kept),
    ("message", fuzz_message),
    ("parameters", fuzz_parameters),
    ("recovery", fuzz_recovery),
    ("report", fuzz_report),
    ("response", fuzz_response),
];

#[cfg(test)]
mod seeds;
#[cfg(test)]
mod words;

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
