//! The peers of the mix, within the benching process: each has links of its own, and takes what comes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use shoal_packet::Frame;
use shoal_proto::{NodeId, Span, Time};
use shoal_topology::Verdict;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::place::{Peer, Place};
use super::stock::Mark;
use crate::Failure;
use crate::net::{
    FrameSink, Mode, Names, NetConfig, NetEvent, NetHandle, NetLimits, SendError, multiaddr, spawn,
};
use crate::runtime::Clock;

/// How long a link may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Frames that wait for the mix to read them, for each peer.
const RING: usize = 1024;

/// When packets that are timed were sent, and when they came.
#[derive(Default)]
struct Times {
    sent: HashMap<Mark, (Time, Span)>,
    /// What was asked for, and what came of it.
    came: Vec<(Span, Span)>,
}

/// What comes from the mix.
pub(super) struct Arrivals {
    clock: Clock,
    by_peer: Vec<AtomicU64>,
    times: Mutex<Times>,
}

impl Arrivals {
    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A timed packet is sent now.
    pub(super) fn sent(&self, mark: Mark, asked: Span) {
        let now = self.clock.now();
        self.times().sent.insert(mark, (now, asked));
    }

    /// Frames that each peer had.
    pub(super) fn by_peer(&self) -> Vec<u64> {
        let counts = self.by_peer.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).collect()
    }

    pub(super) fn total(&self) -> u64 {
        self.by_peer().iter().sum()
    }

    /// Of the timed packets that came since it was asked last: delays asked for, and those that came of it.
    pub(super) fn take_times(&self) -> Vec<(Span, Span)> {
        let mut times = self.times();
        times.sent.clear();
        std::mem::take(&mut times.came)
    }
}

/// Whether a peer reads what the mix sends it.
#[derive(Default)]
struct Reading {
    /// Asked for each frame, so without a lock.
    stalled: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Reading {
    fn set(&self, stalled: bool) {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.stalled.store(stalled, Ordering::Release);
        drop(guard);
        self.changed.notify_all();
    }

    /// Keeps the reader of the link, and nobody else.
    fn wait(&self) {
        if self.stalled.load(Ordering::Acquire) {
            tokio::task::block_in_place(|| {
                let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
                let stalled = |(): &mut ()| self.stalled.load(Ordering::Acquire);
                drop(self.changed.wait_while(guard, stalled));
            });
        }
    }
}

struct Sink {
    index: usize,
    arrivals: Arc<Arrivals>,
    reading: Arc<Reading>,
}

impl FrameSink for Sink {
    fn frame(&self, _: NodeId, frame: Frame) {
        self.reading.wait();
        if let Some(count) = self.arrivals.by_peer.get(self.index) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let now = self.arrivals.clock.now();
        let mut times = self.arrivals.times();
        if let Some((sent, asked)) = times.sent.remove(&Mark::of(&frame)) {
            times.came.push((asked, now.since(sent)));
        }
    }

    fn malformed(&self, _: NodeId) {}
}

struct End {
    net: NetHandle,
    events: mpsc::Receiver<NetEvent>,
    reading: Arc<Reading>,
}

/// All peers.
pub(super) struct Ends {
    ends: Vec<End>,
    mix: NodeId,
    pub(super) arrivals: Arc<Arrivals>,
}

impl Ends {
    /// Has all peers listen, and dial the mix as long as they have no link with it.
    pub(super) fn start(place: &mut Place, clock: Clock) -> Result<Self, Failure> {
        let peers = std::mem::take(&mut place.peers);
        let arrivals = Arc::new(Arrivals {
            clock,
            by_peer: peers.iter().map(|_| AtomicU64::new(0)).collect(),
            times: Mutex::default(),
        });
        let start = |(index, peer): (usize, Peer)| {
            let reading = Arc::new(Reading::default());
            let sink = Sink {
                index,
                arrivals: Arc::clone(&arrivals),
                reading: Arc::clone(&reading),
            };
            let (net, events) = spawn(net_config(place, &peer, clock), Arc::new(sink))?;
            let mix = (place.mix, vec![multiaddr(&place.address)]);
            net.set_peers(BTreeMap::from([mix]));
            net.set_packet_peers(BTreeSet::from([place.mix]));
            Ok(End {
                net,
                events,
                reading,
            })
        };
        let ends: Result<Vec<End>, Failure> = peers.into_iter().enumerate().map(start).collect();
        Ok(Self {
            ends: ends?,
            mix: place.mix,
            arrivals,
        })
    }

    /// Waits until frames can be sent on every link, and lets what else is said come and go from then on.
    pub(super) async fn linked(&mut self) -> Result<(), Failure> {
        for end in &mut self.ends {
            let up = async {
                loop {
                    match end.events.recv().await {
                        Some(NetEvent::PacketLinkUp { .. }) => return true,
                        Some(event) => pass_over(&end.net, event),
                        None => return false,
                    }
                }
            };
            if timeout(PATIENCE, up).await != Ok(true) {
                return Err(Failure::failed(anyhow!("a peer has no link with the mix")));
            }
            let (_, nothing) = mpsc::channel(1);
            let mut events = std::mem::replace(&mut end.events, nothing);
            let net = end.net.clone();
            tokio::spawn(async move {
                while let Some(event) = events.recv().await {
                    pass_over(&net, event);
                }
            });
        }
        Ok(())
    }

    /// Has so many of the peers read nothing from now on, or read again.
    pub(super) fn stall(&self, count: usize) {
        for (index, end) in self.ends.iter().enumerate() {
            end.reading.set(index < count);
        }
    }

    pub(super) fn links(&self) -> Links {
        Links {
            nets: self.ends.iter().map(|end| end.net.clone()).collect(),
            mix: self.mix,
        }
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.stall(0);
        for end in &self.ends {
            end.net.shutdown();
        }
    }
}

/// The ways to the mix, one for each peer.
pub(super) struct Links {
    nets: Vec<NetHandle>,
    mix: NodeId,
}

impl Links {
    pub(super) const fn count(&self) -> usize {
        self.nets.len()
    }

    /// Puts a frame into the ring of this peer's link; gives it back if there is no room.
    pub(super) fn try_send(&self, index: usize, frame: Frame) -> Result<(), Frame> {
        let Some(net) = self.nets.get(index) else {
            return Err(frame);
        };
        net.try_send(&self.mix, frame).map_err(|error| match error {
            SendError::Full(frame) | SendError::NotConnected(frame) => frame,
        })
    }
}

/// The mix is no part of a network that would want to know, and nothing depends on what it says.
fn pass_over(net: &NetHandle, event: NetEvent) {
    if let NetEvent::Gossip { token, .. } = event {
        net.report_gossip(token, Verdict::Ignore);
    }
}

fn net_config(place: &Place, peer: &Peer, clock: Clock) -> NetConfig {
    NetConfig {
        secret: peer.identity.to_bytes(),
        names: Names::of(&place.params, clock.now()),
        reach: place.params.reach(),
        clock,
        mode: Mode::Node,
        listen: vec![multiaddr(&peer.address)],
        limits: NetLimits {
            ring_frames: RING,
            // The packets that are ready are in this process, too.
            memory_bytes: usize::MAX,
            ..NetLimits::default()
        },
    }
}
