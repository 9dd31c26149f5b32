//! Who offers packets to the mix, on a thread of its own: at moments of a Poisson process, or as fast as
//! the mix passes them on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha20Rng;
use shoal_proto::Span;
use shoal_topology::delay;

use super::ends::{Arrivals, Links};
use super::stock::{Made, Stock};
use crate::Failure;
use crate::runtime::Clock;
use crate::seed::seeded;

/// How long the thread sleeps at most: packets leave in groups of what is due in that time.
const NAP: Duration = Duration::from_micros(200);
/// Of what has not left after so long it is said that it could not be written.
const BEHIND: Span = Span::from_millis(50);
/// How often the window is set anew.
const LOOK: Span = Span::from_millis(100);
/// Packets under way at first.
const FIRST_WINDOW: f64 = 512.0;
/// What is under way, over what the mean delay alone makes of it: so much longer a packet stays in the mix
/// when that is busy.
const SLACK: f64 = 1.1;

/// How fast packets are offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// So many under way that the mix always has something to unwrap, and that nothing has to wait for much more than
    /// a tenth of the mean delay.
    Flat,
    /// So many a second, at moments of a Poisson process.
    Rate(f64),
}

/// What was offered so far.
#[derive(Default)]
pub(super) struct Offered {
    /// Handed to links.
    pub(super) sent: AtomicU64,
    /// Due, and not handed to a link, because the mix did not read or this process was too slow.
    pub(super) unwritten: AtomicU64,
    /// Those of the sent ones that the mix has dropped, as far as is known.
    pub(super) dropped: AtomicU64,
    stop: AtomicBool,
}

/// The thread.
pub(super) struct Load {
    pub(super) offered: Arc<Offered>,
    thread: JoinHandle<Stock>,
}

impl Load {
    pub(super) fn start(
        (stock, pace, mean): (Stock, Pace, Span),
        (links, arrivals, clock): (Links, Arc<Arrivals>, Clock),
    ) -> Result<Self, Failure> {
        let offered = Arc::new(Offered::default());
        let work = Work {
            rng: seeded()?,
            stock,
            links,
            base: arrivals.total(),
            arrivals,
            clock,
            offered: Arc::clone(&offered),
        };
        let spawned: io::Result<_> = std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || work.run(pace, mean));
        Ok(Self {
            offered,
            thread: spawned.map_err(Failure::failed)?,
        })
    }

    /// Ends it, and gives back what was not sent.
    pub(super) fn stop(self) -> Result<Stock, Failure> {
        self.offered.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| {
            Failure::failed(anyhow::anyhow!("the thread that offers packets panicked"))
        })
    }
}

struct Work {
    rng: ChaCha20Rng,
    stock: Stock,
    links: Links,
    arrivals: Arc<Arrivals>,
    /// Frames that had come before.
    base: u64,
    clock: Clock,
    offered: Arc<Offered>,
}

impl Work {
    fn run(mut self, pace: Pace, mean: Span) -> Stock {
        match pace {
            Pace::Flat => self.flat_out(mean),
            Pace::Rate(rate) => self.paced(rate),
        }
        self.stock
    }

    fn stopped(&self) -> bool {
        self.offered.stop.load(Ordering::Relaxed)
    }

    fn paced(&mut self, rate: f64) {
        let mut due = self.clock.now();
        while !self.stopped() {
            let now = self.clock.now();
            while due <= now {
                let peer = self.rng.random_range(0..self.links.count().max(1));
                let late = now.since(due) > BEHIND;
                if late || !self.send(peer) {
                    self.offered.unwritten.fetch_add(1, Ordering::Relaxed);
                }
                due += delay::gap(&mut self.rng, rate).map_or(Span::MAX, Span::from_secs_f64);
            }
            let wait: Duration = due.since(self.clock.now()).into();
            std::thread::sleep(wait.min(NAP));
        }
    }

    fn flat_out(&mut self, mean: Span) {
        let mut window = FIRST_WINDOW;
        let (mut looked, mut seen) = (self.clock.now(), self.arrivals.total());
        let mut turn = 0;
        while !self.stopped() {
            let now = self.clock.now();
            if now.since(looked) >= LOOK {
                let total = self.arrivals.total();
                let rate = (total - seen) as f64 / now.since(looked).as_secs_f64();
                // It follows slowly, or it would swing.
                let wanted = (rate * mean.as_secs_f64() * SLACK).max(FIRST_WINDOW);
                window = window
                    .mul_add(0.8, wanted * 0.2)
                    .max(wanted.min(window * SLACK));
                (looked, seen) = (now, total);
            }
            let mut room = window as u64;
            room = room.saturating_sub(self.under_way());
            let mut refused = 0;
            while room > 0 && refused < self.links.count() {
                turn = (turn + 1) % self.links.count().max(1);
                if self.send(turn) {
                    room -= 1;
                } else {
                    refused += 1;
                }
            }
            std::thread::sleep(NAP);
        }
    }

    fn under_way(&self) -> u64 {
        let sent = self.offered.sent.load(Ordering::Relaxed);
        let came = self.arrivals.total() - self.base;
        let dropped = self.offered.dropped.load(Ordering::Relaxed);
        sent.saturating_sub(came + dropped)
    }

    fn send(&mut self, peer: usize) -> bool {
        let Some(Made { frame, timed }) = self.stock.take() else {
            return false;
        };
        // Before it can come.
        if let Some((mark, asked)) = timed {
            self.arrivals.sent(mark, asked);
        }
        match self.links.try_send(peer, frame) {
            Ok(()) => {
                self.offered.sent.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(frame) => {
                self.stock.give_back(Made { frame, timed });
                false
            }
        }
    }
}

/// So long after their start packets are as many as they are going to be.
pub(super) fn warm_up(mean: Span, duration: Span) -> Span {
    (mean.scale(10, 1) + Span::from_secs(2)).min(duration)
}
