//! What the machine can do, measured when a node starts: so that its operator knows before its traffic tells.

use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::anyhow;
use rand::CryptoRng;
use shoal_mix::RelayLimits;
use shoal_packet::{Batch, Engine, Hop, Packet, SphinxSecret};
use shoal_proto::{NodeId, Span};
use shoal_topology::NetworkParameters;

use crate::Failure;
use crate::metrics::MachineFigures;
use crate::runtime::clock::Clock;

/// For how long it is measured what is unwrapped.
const UNWRAPS: Span = Span::from_millis(40);
/// Writes that are measured, of which the median counts.
const WRITES: usize = 5;
/// Bytes of such a write: some hundred tags.
const WRITE_BYTES: usize = 4096;
/// What each packet in the queue and the pool takes.
const HELD_BYTES: u64 = 2_600;

/// Measures this machine, in less than a tenth of a second on most.
///
/// # Errors
/// If packets can't be made or the disk can't be written.
pub(super) fn measure<R: CryptoRng>(
    clock: Clock,
    rng: &mut R,
    (engine, threads): (Engine, NonZeroUsize),
    dir: &Path,
) -> Result<MachineFigures, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let each = unwraps(clock, rng, engine)?;
    let flush = flush(clock, dir).map_err(|error| {
        Failure::failed(anyhow!(
            "{}: can't write to the disk: {error}",
            dir.display()
        ))
    })?;
    let busy = u64::try_from(threads.get().min(cores)).unwrap_or(1);
    Ok(MachineFigures {
        unwrappable: each.saturating_mul(busy),
        flushable: 1_000_000 / flush.as_micros().max(1),
        free: available_bytes().unwrap_or_default(),
    })
}

/// Packets that one thread unwraps in a second, in batches.
fn unwraps<R: CryptoRng>(clock: Clock, rng: &mut R, engine: Engine) -> Result<u64, Failure> {
    let secret = SphinxSecret::generate(rng);
    let hop = |number| Hop {
        node: NodeId::new([number; 32]),
        key: secret.public(),
        delay: Span::ZERO,
    };
    let route = [hop(1), hop(2)];
    let packet = engine
        .build_forward(rng, &route, b"")
        .map_err(Failure::failed)?;
    let batch = || Batch::fill(&mut (0..Engine::LANES).map(|_| (&secret, Packet::clone(&packet))));
    let (start, mut count) = (clock.now(), 0);
    loop {
        let outcomes = engine.unwrap_batch(batch(), |_, _| true);
        count += outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let taken = clock.now().since(start);
        if taken >= UNWRAPS {
            let count = u64::try_from(count).unwrap_or_default();
            return Ok(count * 1_000_000 / taken.as_micros().max(1));
        }
    }
}

/// How long a write takes until it is on disk, in a file of its own that nothing else sees.
fn flush(clock: Clock, dir: &Path) -> io::Result<Span> {
    let mut file = tempfile::tempfile_in(dir)?;
    let mut times = [Span::ZERO; WRITES];
    for time in &mut times {
        let start = clock.now();
        file.write_all(&[0; WRITE_BYTES])?;
        file.sync_data()?;
        *time = clock.now().since(start);
    }
    times.sort_unstable();
    Ok(times[WRITES / 2])
}

/// Memory that could be had, as Linux says it.
fn available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

/// What the node is told to do and the machine can't, a line each.
pub(super) fn too_much(
    found: &MachineFigures,
    limits: &RelayLimits,
    params: &NetworkParameters,
) -> Vec<String> {
    let mut lines = Vec::new();
    let rate = u64::from(limits.packets_per_second);
    if found.unwrappable < rate {
        lines.push(format!(
            "this machine unwraps {} packets a second, and queues.packets_per_second is {rate}: what is more \
             will be dropped; set it to less, or give the node more cores",
            found.unwrappable
        ));
    }
    let held = u64::try_from(limits.queue.saturating_add(limits.pool)).unwrap_or(u64::MAX);
    let memory = held
        .saturating_mul(HELD_BYTES)
        .saturating_add(limits.replay_bytes(params));
    if found.free > 0 && found.free < memory {
        lines.push(format!(
            "this machine has {} MiB of memory to give, and the queues and replay filters may take {} MiB: lower \
             queues.packets_per_second or queues.pool_packets",
            found.free >> 20,
            memory >> 20
        ));
    }
    let flush = Span::from_micros(1_000_000 / found.flushable.max(1));
    if flush > params.mean_delay.scale(1, 4) {
        lines.push(format!(
            "the disk of the state directory takes {flush} for a write, where delays have a mean of {}: many packets \
             will miss their moments; move the directory to a faster disk",
            params.mean_delay
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::seed::seeded;

    #[test]
    fn a_machine_is_measured_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::best();
        let with = (engine, NonZeroUsize::MIN);
        let found = measure(Clock::start(), &mut seeded().unwrap(), with, dir.path()).unwrap();
        assert!(found.unwrappable > 0, "{found:?}");
        assert!(cfg!(not(target_os = "linux")) || found.free > 1 << 20);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let gone = dir.path().join("gone");
        assert!(measure(Clock::start(), &mut seeded().unwrap(), with, &gone).is_err());
    }

    #[test]
    fn what_a_machine_cannot_do_is_said_before_it_has_to() {
        let (limits, params) = (RelayLimits::default(), NetworkParameters::example());
        let enough = MachineFigures {
            unwrappable: 1_500,
            flushable: 40,
            free: 1 << 30,
        };
        assert!(too_much(&enough, &limits, &params).is_empty());
        let told = |found: MachineFigures| {
            let [line] = &too_much(&found, &limits, &params)[..] else {
                return String::new();
            };
            line.clone()
        };
        let slow = told(MachineFigures {
            unwrappable: 1_499,
            ..enough
        });
        assert!(slow.contains("1499 packets a second"), "{slow}");
        let small = told(MachineFigures {
            free: 400 << 20,
            ..enough
        });
        assert!(small.contains("400 MiB of memory"), "{small}");
        let disk = told(MachineFigures {
            flushable: 39,
            ..enough
        });
        assert!(disk.contains("faster disk"), "{disk}");
        // Where the system does not say, nobody is warned.
        assert!(too_much(&MachineFigures { free: 0, ..enough }, &limits, &params).is_empty());
    }
}
