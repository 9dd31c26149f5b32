//! The sizes on the wire, in bytes. Everything that travels is one size, so that nothing can be
//! told apart by its length.

/// Most hops a packet can take (Sphinx's `r`).
pub const MAX_HOPS: usize = 5;
/// A Sphinx header: group element 32, MAC 16, routing information 300.
pub const HEADER_BYTES: usize = 348;
/// A Sphinx payload, for every packet of the network.
pub const PAYLOAD_BYTES: usize = 2048;
/// Payload bytes taken by the integrity zeros (16) and the padding marker (1).
pub const PAYLOAD_OVERHEAD_BYTES: usize = 17;
/// What a sender can say in one packet.
pub const PLAINTEXT_BYTES: usize = PAYLOAD_BYTES - PAYLOAD_OVERHEAD_BYTES;
/// A Sphinx packet.
pub const PACKET_BYTES: usize = HEADER_BYTES + PAYLOAD_BYTES;
/// What crosses a link: an epoch byte and a packet.
pub const FRAME_BYTES: usize = 1 + PACKET_BYTES;
/// A single-use reply block: header 348, first hop 32, payload key seed 16.
pub const SURB_BYTES: usize = 396;
/// Single-use reply blocks in one mailbox packet.
pub const SURBS_PER_MAILBOX_PACKET: usize = 4;
/// The sealed part of a deposit: what only the receiver can read.
pub const BLOB_BYTES: usize = 1572;
/// Text that fits one packet: bounded by the first message of a ratcheted session, so that first
/// and later messages look alike.
pub const TEXT_BYTES_PER_PACKET: usize = 1169;
/// What opens a mailbox: number of the issuer's key 4, nonce 32, output 64.
pub const TOKEN_BYTES: usize = 100;
/// Most bytes of an encoded, signed descriptor.
pub const MAX_DESCRIPTOR_BYTES: usize = 1024;

const _: () = assert!(PACKET_BYTES == 2396 && FRAME_BYTES == 2397 && PLAINTEXT_BYTES == 2031);
