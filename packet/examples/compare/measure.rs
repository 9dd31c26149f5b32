//! One measurement for each row, ours and the reference's in turns.

use crate::setup::{Forwarded, Network, Outcome, TEXT, reference_travel, reference_unwrap};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use shoal_packet::{
    Backend, Batch, Engine, Job, Packet, ReplayTag, Routing, UnwrapError, Unwrapped,
};
use shoal_proto::size::{HEADER_BYTES, PAYLOAD_BYTES};
use sphinx_packet::SphinxPacket;
use std::collections::HashSet;
use std::hint::black_box;
use std::time::Duration;

const LARGE_PAYLOAD_BYTES: usize = 32 * 1024;
/// Rounds that are not counted: caches, branch predictors and clocks settle.
const WARM_UP: usize = 5;

/// A line of the table.
pub(crate) struct Row {
    /// What is measured.
    pub(crate) name: &'static str,
    /// The median of this crate, per packet.
    pub(crate) ours_us: f64,
    /// The median of the reference, per packet.
    pub(crate) reference_us: f64,
    /// What this crate used.
    pub(crate) backend: Backend,
}

impl Row {
    /// How many times as fast this crate is.
    pub(crate) fn ratio(&self) -> f64 {
        self.reference_us / self.ours_us
    }
}

/// All rows, in the order of the table.
pub(crate) fn rows(forced: Option<Backend>) -> Outcome<Vec<Row>> {
    let wide = forced.unwrap_or_else(Backend::best);
    let scalar = forced.unwrap_or_else(best_scalar);
    let mut network = Network::new(1);
    Ok(vec![
        unwrap_batches(
            &mut network,
            "unwrap a forward hop, batches of 32",
            wide,
            32,
            160,
        )?,
        unwrap_batches(
            &mut network,
            "unwrap a forward hop, batches of 8",
            wide,
            8,
            600,
        )?,
        unwrap_single(&mut network, "unwrap a forward hop, single packet", scalar)?,
        build(&mut network, "build a 5-hop packet", wide)?,
        unwrap_large(
            &mut network,
            "unwrap a forward hop at 32 KiB payload, batches of 32",
            wide,
        )?,
    ])
}

fn best_scalar() -> Backend {
    if Backend::Scalar.is_available() {
        Backend::Scalar
    } else {
        Backend::Portable
    }
}

/// Times of rounds, per packet.
#[derive(Default)]
struct Times {
    ours: Vec<f64>,
    reference: Vec<f64>,
}

impl Times {
    /// Runs both sides of a round, each first in every other round, and keeps the times unless
    /// it is still warming up. Checks are up to the caller, afterwards.
    fn round<A, B>(
        &mut self,
        round: usize,
        packets: usize,
        ours: impl FnOnce() -> A,
        reference: impl FnOnce() -> B,
    ) -> (A, B) {
        let (a, b) = if round.is_multiple_of(2) {
            let a = timed(ours);
            (a, timed(reference))
        } else {
            let b = timed(reference);
            (timed(ours), b)
        };
        if round >= WARM_UP {
            let per_packet = |time: Duration| time.as_secs_f64() * 1e6 / packets as f64;
            self.ours.push(per_packet(a.1));
            self.reference.push(per_packet(b.1));
        }
        (a.0, b.0)
    }

    fn row(self, name: &'static str, backend: Backend) -> Row {
        Row {
            name,
            ours_us: median(self.ours),
            reference_us: median(self.reference),
            backend,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = std::time::Instant::now();
    let result = black_box(work());
    (result, start.elapsed())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    let middle = times.len() / 2;
    if times.len().is_multiple_of(2) {
        (times[middle - 1] + times[middle]) / 2.0
    } else {
        times[middle]
    }
}

/// Remembers tags as a node does that has room for all of them: the plain cost of a decision.
fn filter(packets: usize) -> HashSet<ReplayTag> {
    HashSet::with_capacity(packets)
}

/// Bytes to bytes on both sides, although a node of ours has its packets in their buffers.
fn unwrap_batches(
    network: &mut Network,
    name: &'static str,
    backend: Backend,
    size: usize,
    rounds: usize,
) -> Outcome<Row> {
    let engine = Engine::with(backend)?;
    let packets = network.packets((WARM_UP + rounds) * size, PAYLOAD_BYTES)?;
    let copies = packets.clone();
    let (secret, reference_secret) = (&network.secrets[0], network.static_secret());
    let mut seen = filter(packets.len());
    let mut times = Times::default();
    for (round, (wire, copy)) in packets.chunks(size).zip(copies.chunks(size)).enumerate() {
        let mut ours = Vec::with_capacity(size);
        let mut theirs = Vec::with_capacity(size);
        times.round(
            round,
            size,
            || {
                let packets = wire
                    .iter()
                    .filter_map(|bytes| Packet::from_bytes(bytes).ok());
                let batch = Batch::fill(&mut packets.map(|packet| (secret, packet)));
                ours.extend(engine.unwrap_batch(batch, |_, tag| seen.insert(*tag)));
            },
            || {
                theirs.extend(
                    copy.iter()
                        .map(|bytes| reference_unwrap(&reference_secret, bytes)),
                )
            },
        );
        compare(ours, theirs)?;
    }
    Ok(times.row(name, backend))
}

fn unwrap_single(network: &mut Network, name: &'static str, backend: Backend) -> Outcome<Row> {
    const SIZE: usize = 4;
    const ROUNDS: usize = 1_000;
    let engine = Engine::with(backend)?;
    let packets = network.packets((WARM_UP + ROUNDS) * SIZE, PAYLOAD_BYTES)?;
    let copies = packets.clone();
    let (secret, reference_secret) = (&network.secrets[0], network.static_secret());
    let mut seen = filter(packets.len());
    let mut times = Times::default();
    for (round, (wire, copy)) in packets.chunks(SIZE).zip(copies.chunks(SIZE)).enumerate() {
        let mut ours = Vec::with_capacity(SIZE);
        let mut theirs = Vec::with_capacity(SIZE);
        times.round(
            round,
            SIZE,
            || {
                for packet in wire
                    .iter()
                    .filter_map(|bytes| Packet::from_bytes(bytes).ok())
                {
                    ours.push(engine.unwrap(secret, packet, |tag| seen.insert(*tag)));
                }
            },
            || {
                theirs.extend(
                    copy.iter()
                        .map(|bytes| reference_unwrap(&reference_secret, bytes)),
                )
            },
        );
        compare(ours, theirs)?;
    }
    Ok(times.row(name, backend))
}

fn compare(
    ours: Vec<Result<Unwrapped, UnwrapError>>,
    theirs: Vec<Outcome<Forwarded>>,
) -> Outcome<()> {
    if ours.len() != theirs.len() {
        return Err("packets were lost".into());
    }
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        let Unwrapped::Forward {
            next,
            delay,
            packet,
        } = ours?
        else {
            return Err("a packet to be forwarded was delivered".into());
        };
        let ours = Forwarded {
            packet: packet.as_bytes().to_vec(),
            next: *next.as_bytes(),
            micros: delay.as_micros(),
        };
        if ours != theirs? {
            return Err("the outputs differ".into());
        }
    }
    Ok(())
}

/// In the buffers that the packets arrived in.
fn unwrap_large(network: &mut Network, name: &'static str, backend: Backend) -> Outcome<Row> {
    const SIZE: usize = 32;
    const ROUNDS: usize = 60;
    let engine = Engine::with(backend)?;
    let mut packets = network.packets((WARM_UP + ROUNDS) * SIZE, LARGE_PAYLOAD_BYTES)?;
    let copies = packets.clone();
    let (secret, reference_secret) = (&network.secrets[0], network.static_secret());
    let mut seen = filter(packets.len());
    let mut times = Times::default();
    for (round, (wire, copy)) in packets
        .chunks_mut(SIZE)
        .zip(copies.chunks(SIZE))
        .enumerate()
    {
        let mut outcomes = Vec::with_capacity(SIZE);
        let mut theirs = Vec::with_capacity(SIZE);
        times.round(
            round,
            SIZE,
            || {
                let jobs = wire.iter_mut().map(|bytes| Job::new(secret, bytes));
                let mut jobs: Vec<_> = jobs.collect();
                engine.unwrap_in_place(HEADER_BYTES + LARGE_PAYLOAD_BYTES, &mut jobs, |_, tag| {
                    seen.insert(*tag)
                });
                outcomes.extend(jobs.iter().map(Job::outcome));
            },
            || {
                theirs.extend(
                    copy.iter()
                        .map(|bytes| reference_unwrap(&reference_secret, bytes)),
                )
            },
        );
        for ((packet, outcome), theirs) in wire.iter().zip(outcomes).zip(theirs) {
            let theirs = theirs?;
            let Routing::Forward { next, delay } = outcome? else {
                return Err("a packet to be forwarded was delivered".into());
            };
            let same = (next.as_bytes(), delay.as_micros()) == (&theirs.next, theirs.micros);
            if !same || *packet != theirs.packet {
                return Err("the outputs differ".into());
            }
        }
    }
    Ok(times.row(name, backend))
}

/// The padding of a header is random on both sides, so the packets themselves differ: what
/// arrives of each at the end of its path is compared, and who is told what on the way.
fn build(network: &mut Network, name: &'static str, backend: Backend) -> Outcome<Row> {
    const ROUNDS: usize = 500;
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let engine = Engine::with(backend)?;
    let mut times = Times::default();
    for round in 0..WARM_UP + ROUNDS {
        let initial = network.initial_secret();
        let (ours, theirs) = times.round(
            round,
            1,
            || engine.build_forward(&mut rng, &network.route, TEXT),
            || network.reference_build(&initial, 5, PAYLOAD_BYTES),
        );
        let ours = SphinxPacket::from_bytes(ours?.as_bytes())?;
        for packet in [ours, theirs?] {
            if reference_travel(network, packet)? != TEXT {
                return Err("another text arrives".into());
            }
        }
    }
    Ok(times.row(name, backend))
}
