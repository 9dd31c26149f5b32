//! What the crate promises, from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_docs_in_private_items,
    reason = "tests"
)]

mod batches;
mod bits;
mod build;
mod command;
mod curve;
mod differential;
mod fragment;
mod frame;
mod key;
mod layer;
mod mailboxes;
mod path;
mod reference;
mod statistics;
mod surb;
mod token;
mod vectors;

use rand::CryptoRng;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_packet::{
    Backend, Batch, Engine, Hop, Packet, ReplayTag, SphinxSecret, UnwrapError, Unwrapped, unwrap,
};
use shoal_proto::{NodeId, Span};

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// One of every back end that this machine has.
fn engines() -> Vec<Engine> {
    let engines = Backend::ALL.into_iter().map(Engine::with);
    engines.filter_map(Result::ok).collect()
}

/// These things, cut into batches.
fn batches<T>(things: impl Iterator<Item = T>) -> impl Iterator<Item = Batch<T>> {
    let mut things = things.peekable();
    std::iter::from_fn(move || {
        things.peek()?;
        Some(Batch::fill(&mut things))
    })
}

/// Nodes with their keys, and the route over them.
fn route<R: CryptoRng>(rng: &mut R, hops: u8) -> (Vec<SphinxSecret>, Vec<Hop>) {
    (0..hops)
        .map(|index| {
            let secret = SphinxSecret::generate(rng);
            let node = NodeId::new([index + 1; 32]);
            let delay = Span::from_micros(1_000 * u64::from(index) + 7);
            let key = secret.public();
            (secret, Hop { node, key, delay })
        })
        .unzip()
}

fn open(secret: &SphinxSecret, packet: Packet) -> Result<Unwrapped, UnwrapError> {
    unwrap(secret, packet, |_: &ReplayTag| true)
}

/// A packet at its final hop, having passed all others as its route says.
fn travel(secrets: &[SphinxSecret], route: &[Hop], mut packet: Packet) -> Unwrapped {
    let (last, forward) = secrets.split_last().unwrap();
    for (index, secret) in forward.iter().enumerate() {
        let Unwrapped::Forward {
            next,
            delay,
            packet: inner,
        } = open(secret, packet).unwrap()
        else {
            panic!("final at hop {index}");
        };
        assert_eq!(next, route[index + 1].node);
        assert_eq!(delay, route[index].delay);
        packet = inner;
    }
    open(last, packet).unwrap()
}
