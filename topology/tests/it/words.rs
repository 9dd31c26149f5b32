//! What a lying seat says: messages of the first term that no honest one would make, byte by byte, and
//! documents of its own.

use std::sync::Arc;

use prost::Message as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use shoal_packet::SphinxSecret;
use shoal_proto::{DocumentHash, Epoch, NodeId, wire};
use shoal_topology::agreement::{Height, Reveal, Seats, VoteKind};
use shoal_topology::{
    Descriptor, Document, Identity, NetworkParameters, Offences, PACKET_VERSION, Place, Role,
    SignedDescriptor,
};

use crate::harness::{Harness, loopback};

/// The seats of the first term, after its first document.
pub(crate) fn seats(net: &Harness) -> Seats {
    let members = net.params.genesis_members.iter().map(|member| member.id);
    let seats = Seats::first(net.params.hash(), members).unwrap();
    let key = |id: &NodeId| {
        let node = net.nodes.iter().find(|node| node.id == *id)?;
        // Who was down until now is not in the first document, which has the keys.
        (node.disk.sequence > 0).then_some(())?;
        Some(node.identity.vrf_key().public())
    };
    seats.with_proofs(key)
}

/// Whose turn it is in a round after this document.
pub(crate) fn proposer(net: &Harness, base: &Document, round: u32) -> usize {
    let seats = seats(net);
    let order = seats.proposers(base.seed());
    let seat = order[usize::try_from(round).unwrap() % order.len()];
    let id = seats.holder(seat).unwrap().id;
    net.nodes.iter().position(|node| node.id == id).unwrap()
}

/// What whoever has the turn in that round makes a document of.
pub(crate) fn place(net: &Harness, base: &Arc<Document>, round: u32) -> Place<Arc<Document>> {
    let key = net.nodes[proposer(net, base, round)].identity.vrf_key();
    let place = (base.height().next(), round);
    Place {
        epoch: base.epoch().next(),
        base: Some(Arc::clone(base)),
        seats: seats(net),
        reveal: Some(Reveal::new(&key, base.seed(), place)),
        offences: Offences::default(),
    }
}

fn seat(net: &Harness, index: usize) -> [u8; 2] {
    let seats = seats(net);
    let own = seats.of(&net.nodes[index].id).expect("it sits");
    let number = seats.all().position(|seat| seat == own).unwrap();
    u16::try_from(number).unwrap().to_be_bytes()
}

/// What a mix says of itself at the start of an epoch, for that and the next one.
pub(crate) fn describe(
    identity: &Identity,
    params: &NetworkParameters,
    epoch: Epoch,
    rng: &mut ChaCha20Rng,
) -> Descriptor {
    let key = |_| SphinxSecret::generate(rng).public();
    Descriptor {
        identity: identity.id(),
        role: Role::Mix,
        sequence: 1,
        issued_at: params.start_of(epoch),
        expires_at: params.start_of(epoch.next().next()),
        first_epoch: epoch,
        keys: (0..2).map(key).collect(),
        addresses: vec![loopback(4000)],
        versions: vec![PACKET_VERSION],
        capacity_class: 0,
        storage_mib: 0,
        family: None,
        admission: Vec::new(),
        vrf_key: identity.vrf_key().public(),
        seat_key: identity.id(),
        leaving: false,
        tokens: None,
    }
}

/// A descriptor as gossip.
pub(crate) fn gossip(bytes: &[u8]) -> Vec<u8> {
    let what = Some(wire::gossip::What::Descriptor(bytes.to_vec()));
    wire::Gossip { what, again: 0 }.encode_to_vec()
}

/// Signs what a seat says, and makes gossip of it that nobody has seen.
fn spoken(net: &Harness, index: usize, body: &[u8], again: u32) -> Vec<u8> {
    let (network, seats) = (net.params.hash(), seats(net).hash());
    let signed = [&b"shoal agreement 2"[..], network.as_bytes(), &seats, body].concat();
    let signature = net.nodes[index].identity.sign(&signed);
    let what = wire::gossip::What::Agreement([body, &signature].concat());
    let what = Some(what);
    wire::Gossip { what, again }.encode_to_vec()
}

/// That a seat proposes this, under that lock.
pub(crate) fn proposal(
    net: &Harness,
    index: usize,
    (height, round): (Height, u32),
    (document, locked): (DocumentHash, Option<u32>),
) -> Vec<u8> {
    let body = [
        &[1, 1][..],
        &height.number().to_be_bytes(),
        &round.to_be_bytes(),
        document.as_bytes(),
        &[1],
        &locked.unwrap_or(u32::MAX).to_be_bytes(),
        &seat(net, index),
    ];
    spoken(net, index, &body.concat(), 7)
}

/// That a seat votes for this, or against all.
pub(crate) fn vote(
    net: &Harness,
    index: usize,
    (kind, height, round): (VoteKind, Height, u32),
    document: Option<DocumentHash>,
) -> Vec<u8> {
    let kind = match kind {
        VoteKind::Prevote => 2,
        VoteKind::Precommit => 3,
    };
    let body = [
        &[1, kind][..],
        &height.number().to_be_bytes(),
        &round.to_be_bytes(),
        &document.map_or([0; 32], |document| *document.as_bytes()),
        &[u8::from(document.is_some())],
        &seat(net, index),
    ];
    spoken(net, index, &body.concat(), 7)
}

/// The same gossip in bytes that nobody has seen.
pub(crate) fn again(bytes: &[u8], again: u32) -> Vec<u8> {
    let mut gossip = wire::Gossip::decode(bytes).unwrap();
    gossip.again = again;
    gossip.encode_to_vec()
}

/// A document of this node's, made of these descriptors without anybody else, as far as it can tell.
pub(crate) fn foretell(
    net: &Harness,
    base: &Arc<Document>,
    key: &Identity,
    descriptors: &[SignedDescriptor],
) -> Arc<Document> {
    let (id, vrf) = (key.id(), Some(key.vrf_key().public()));
    let holder = shoal_topology::agreement::Holder { id, key: id, vrf };
    let place = Place {
        epoch: base.epoch().next(),
        base: Some(Arc::clone(base)),
        offences: Offences::default(),
        seats: Seats::new(net.params.hash(), [holder]).unwrap(),
        reveal: Some(Reveal::new(
            &key.vrf_key(),
            base.seed(),
            (base.height().next(), 0),
        )),
    };
    let formed = Document::form(&net.params, &place, descriptors);
    Arc::new(formed.unwrap().0)
}

/// These nodes as if they had issued a descriptor in the epoch of a document.
pub(crate) fn issued(
    net: &Harness,
    document: &Document,
    others: &[&Identity],
) -> Vec<SignedDescriptor> {
    let known = net.nodes.iter().map(|node| (&*node.identity, node.role));
    let others = others.iter().map(|it| (*it, shoal_topology::Role::Mix));
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let sign = |(index, (identity, role)): (usize, (&Identity, _))| {
        let start = net.params.start_of(document.epoch());
        let mut key = || SphinxSecret::generate(&mut rng).public();
        let descriptor = shoal_topology::Descriptor {
            identity: identity.id(),
            role,
            sequence: 1000,
            issued_at: start,
            expires_at: net.params.start_of(document.epoch().next().next()),
            first_epoch: document.epoch(),
            keys: vec![key(), key()],
            addresses: vec![crate::harness::loopback(4000 + index)],
            versions: vec![shoal_topology::PACKET_VERSION],
            capacity_class: 0,
            storage_mib: 0,
            family: None,
            admission: Vec::new(),
            vrf_key: identity.vrf_key().public(),
            seat_key: identity.id(),
            leaving: false,
            tokens: None,
        };
        SignedDescriptor::sign(identity, &net.params, descriptor).unwrap()
    };
    known.chain(others).enumerate().map(sign).collect()
}
