#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests"
)]
//! Tests of the crate as a whole, in one binary.

mod addresses;
mod agreement;
mod attacks;
mod codecs;
mod directory;
mod documents;
mod expelled;
mod families;
mod harness;
mod invitations;
mod jobs;
mod joining;
mod large;
mod liars;
mod mesh;
mod places;
mod recovery;
mod seats;
mod statistics;
mod succession;
mod tokens;
mod vectors;
mod watching;
mod words;

/// Changes what an encoded document says of a member.
pub(crate) fn change_extract(
    bytes: &mut Vec<u8>,
    change: impl FnOnce(&mut shoal_proto::wire::Extract),
) {
    use prost::Message;
    let mut extract = shoal_proto::wire::Extract::decode(bytes.as_slice()).unwrap();
    change(&mut extract);
    *bytes = extract.encode_to_vec();
}

/// The layer in which an encoded document has a member.
pub(crate) fn layer_of(bytes: &[u8]) -> u32 {
    use prost::Message;
    shoal_proto::wire::Extract::decode(bytes).unwrap().layer
}
