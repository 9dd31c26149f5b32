//! What the reference's bare `process` takes, measured beside the mix: by the time of the processor and not
//! by the wall, in short turns all through a run, so that both have the machine in the same state.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sphinx_packet::SphinxPacket;
use x25519_dalek::StaticSecret;

use super::place::Place;
use super::stock::{Made, Maker};
use crate::Failure;

/// Packets of a turn.
const TURN: usize = 16;
/// Between turns.
const PAUSE: Duration = Duration::from_millis(100);

/// The thread that measures.
pub(super) struct Reference {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Option<f64>>,
}

impl Reference {
    pub(super) fn start(place: &Place) -> Result<Self, Failure> {
        let mut maker = Maker::new(place)?;
        let made = std::iter::from_fn(|| maker.make()).take(TURN);
        // Behind the epoch byte.
        let packet = |made: Made| made.frame.as_bytes().get(1..).map(<[u8]>::to_vec);
        let packets: Vec<Vec<u8>> = made.filter_map(packet).collect();
        let secret = StaticSecret::from(*place.secret.to_bytes());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let spawned: io::Result<_> = std::thread::Builder::new()
            .name("reference".to_owned())
            .spawn(move || run(&packets, &secret, &stopped));
        Ok(Self {
            stop,
            thread: spawned.map_err(Failure::failed)?,
        })
    }

    /// Ends it. The median of its turns, in microseconds of the processor for a packet.
    pub(super) fn stop(self) -> Result<f64, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let told = self.thread.join().ok().flatten();
        told.ok_or_else(|| Failure::failed(anyhow::anyhow!("the reference refuses our packets")))
    }
}

fn run(packets: &[Vec<u8>], secret: &StaticSecret, stop: &AtomicBool) -> Option<f64> {
    let mut turns = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let before = taken();
        for packet in packets {
            let packet = SphinxPacket::from_bytes(packet).ok()?;
            std::hint::black_box(packet.process(secret).ok()?);
        }
        turns.push((taken() - before) / packets.len() as f64);
        std::thread::sleep(PAUSE);
    }
    shoal_stats::quantile(&turns, 0.5)
}

/// Microseconds of the processor that this thread has taken.
fn taken() -> f64 {
    let at = clock_gettime(ClockId::ThreadCPUTime);
    at.tv_sec as f64 * 1e6 + at.tv_nsec as f64 / 1e3
}
