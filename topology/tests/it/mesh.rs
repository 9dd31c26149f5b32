//! Networks in which not everybody is linked with everybody: who is linked with whom, what gossip has
//! spread, the jobs of all nodes, and what it all costs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha20Rng;
use shoal_proto::{Span, Time};
use shoal_topology::{DirectoryDone, DirectoryJob};

/// How long copies of a piece of gossip are recognised.
const REMEMBERED: Span = Span::from_secs(120);

/// The first byte of gossip that is a descriptor: the number of that field, and that it has a length.
const DESCRIPTOR: u8 = 0x0a;

/// Links between some, and gossip as gossipsub spreads it: a node hears the first copy only.
pub(crate) struct Mesh {
    /// By node, those that it can be linked with.
    pub(crate) links: Vec<BTreeSet<usize>>,
    /// By what was said, when it comes to each node first.
    first: HashMap<u64, (Time, Vec<Time>)>,
    pruned_at: Time,
}

impl Mesh {
    /// Everybody has so many neighbours, or a few less: cycles through all, each drawn by itself, so that
    /// the graph is connected and as good as a random regular one.
    pub(crate) fn random(nodes: usize, degree: usize, rng: &mut ChaCha20Rng) -> Self {
        let mut links = vec![BTreeSet::new(); nodes];
        let mut order = Vec::from_iter(0..nodes);
        for _ in 0..degree / 2 {
            order.shuffle(rng);
            let next = order.iter().cycle().skip(1);
            for (one, other) in order.iter().zip(next) {
                links[*one].insert(*other);
                links[*other].insert(*one);
            }
        }
        Self {
            links,
            first: HashMap::new(),
            pruned_at: Time::default(),
        }
    }

    /// Somebody says something, or passes it on.
    pub(crate) fn begin(&mut self, now: Time, from: usize, bytes: &[u8]) {
        if now > self.pruned_at + REMEMBERED {
            self.pruned_at = now;
            self.first.retain(|_, (since, _)| *since + REMEMBERED > now);
        }
        let nodes = self.links.len();
        let first = self.first.entry(name(bytes));
        let (_, first) = first.or_insert_with(|| (now, vec![Time::MAX; nodes]));
        first[from] = first[from].min(now);
    }

    /// Whether a copy that comes then comes before all others that are on the way.
    pub(crate) fn comes_first(&mut self, to: usize, at: Time, bytes: &[u8]) -> bool {
        let Some((_, first)) = self.first.get_mut(&name(bytes)) else {
            return true;
        };
        let earlier = at < first[to];
        first[to] = first[to].min(at);
        earlier
    }

    /// Whether another copy came before.
    pub(crate) fn is_known(&self, to: usize, at: Time, bytes: &[u8]) -> bool {
        let first = self.first.get(&name(bytes));
        first.is_some_and(|(_, first)| first[to] < at)
    }
}

fn name(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// What jobs have found out, each run once for all: those of late, so that memory is bounded.
#[derive(Default)]
pub(crate) struct Done {
    new: BTreeMap<[u8; 32], (DirectoryDone, Duration)>,
    old: BTreeMap<[u8; 32], (DirectoryDone, Duration)>,
}

impl Done {
    const MOST: usize = 8192;

    pub(crate) fn of(&mut self, job: DirectoryJob, cost: &mut Cost) -> DirectoryDone {
        let kind = format!("{job:?}");
        // No two nodes get the same answer, as each says the time.
        let alone = kind == "Answer" || kind == "Chain";
        let key = if alone { [0; 32] } else { job.key() };
        let known = self.new.get(&key).or_else(|| self.old.get(&key));
        if let Some((done, took)) = known.filter(|_| !alone) {
            cost.jobs.add(*took);
            return done.clone();
        }
        let since = cost.clock.now();
        let done = job.run();
        let took = cost.clock.now() - since;
        cost.jobs.add(took);
        if !alone {
            self.new.insert(key, (done.clone(), took));
        }
        if self.new.len() > Self::MOST {
            self.old = std::mem::take(&mut self.new);
        }
        done
    }
}

/// The processor time that this thread has had, as Linux counts it: in steps of its scheduler, which even
/// out. None elsewhere.
#[derive(Default)]
struct Clock {
    /// Only where it is asked for: looking takes longer than most of what is looked at.
    runs: bool,
    file: Option<File>,
    /// What was to be timed, of which one in [`Clock::ONE_OF`] was.
    asked: u32,
}

impl Clock {
    const ONE_OF: u32 = 16;

    /// Whether this is one of those that are timed for all.
    fn is_turn(&mut self) -> bool {
        self.asked = self.asked.wrapping_add(1);
        self.runs && self.asked.is_multiple_of(Self::ONE_OF)
    }

    fn now(&mut self) -> Duration {
        if !self.runs {
            return Duration::ZERO;
        }
        let file = self.file.take();
        self.file = file.or_else(|| File::open("/proc/thread-self/schedstat").ok());
        let mut text = [0; 64];
        let read = self.file.as_ref().map(|file| file.read_at(&mut text, 0));
        let text = std::str::from_utf8(&text).ok().filter(|_| read.is_some());
        let nanos = text.and_then(|text| text.split(' ').next()?.parse().ok());
        Duration::from_nanos(nanos.unwrap_or(0))
    }
}

/// How many, and how many bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sent {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Sent {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }
}

/// Processor time.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spent(pub(crate) Duration);

impl Spent {
    fn add(&mut self, took: Duration) {
        self.0 += took;
    }
}

/// What all nodes have sent and computed together. What is computed once for all counts for each.
#[derive(Default)]
pub(crate) struct Cost {
    clock: Clock,
    pub(crate) descriptors: Sent,
    pub(crate) agreement: Sent,
    pub(crate) requests: Sent,
    pub(crate) responses: Sent,
    pub(crate) core: Spent,
    pub(crate) jobs: Spent,
}

impl Clone for Cost {
    fn clone(&self) -> Self {
        self.since(&Self::default())
    }
}

impl Cost {
    /// With processor time.
    pub(crate) fn measured() -> Self {
        let mut cost = Self::default();
        cost.clock.runs = true;
        cost
    }

    /// What was added since.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let sent = |now: Sent, then: Sent| Sent {
            messages: now.messages - then.messages,
            bytes: now.bytes - then.bytes,
        };
        let spent = |now: Spent, then: Spent| Spent(now.0 - then.0);
        Self {
            clock: Clock::default(),
            descriptors: sent(self.descriptors, before.descriptors),
            agreement: sent(self.agreement, before.agreement),
            requests: sent(self.requests, before.requests),
            responses: sent(self.responses, before.responses),
            core: spent(self.core, before.core),
            jobs: spent(self.jobs, before.jobs),
        }
    }

    /// Adds what this takes, by a sample.
    pub(crate) fn timed<T>(&mut self, work: impl FnOnce() -> T) -> T {
        if !self.clock.is_turn() {
            return work();
        }
        let since = self.clock.now();
        let done = work();
        self.core.add((self.clock.now() - since) * Clock::ONE_OF);
        done
    }

    /// A copy of a piece of gossip that leaves.
    pub(crate) fn gossip(&mut self, bytes: &Arc<[u8]>) {
        let is_descriptor = bytes.first() == Some(&DESCRIPTOR);
        match is_descriptor {
            true => self.descriptors.add(bytes.len()),
            false => self.agreement.add(bytes.len()),
        }
    }
}
