//! Work of the processor that many parties would do alike: each distinct job is done once.

use std::collections::{BTreeMap, VecDeque};

use shoal_roles::client::{SessionDone, SessionJob};
use shoal_roles::node::{NodeDone, NodeJob};
use shoal_topology::DirectoryDone;

/// Results of nodes that are remembered: a thousand nodes hear of each of a thousand descriptors
/// within a few seconds. What a result holds, the nodes hold as well.
const NODES_JOBS: usize = 8192;
/// Results of clients that are remembered: few documents are asked for at a time.
const CLIENTS_JOBS: usize = 64;

/// Results by what they follow from, the latest so many.
struct Memo<V> {
    known: BTreeMap<[u8; 32], V>,
    order: VecDeque<[u8; 32]>,
    most: usize,
}

impl<V: Clone> Memo<V> {
    const fn new(most: usize) -> Self {
        Self {
            known: BTreeMap::new(),
            order: VecDeque::new(),
            most,
        }
    }

    fn get(&self, key: &[u8; 32]) -> Option<V> {
        self.known.get(key).cloned()
    }

    fn put(&mut self, key: [u8; 32], value: V) {
        if self.known.insert(key, value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// Does the parties' jobs, at once.
pub(crate) struct Workshop {
    nodes: Memo<DirectoryDone>,
    clients: Memo<SessionDone>,
    /// Jobs that were asked for, and those that were done.
    pub(crate) jobs: (u64, u64),
}

impl Workshop {
    pub(crate) const fn new() -> Self {
        Self {
            nodes: Memo::new(NODES_JOBS),
            clients: Memo::new(CLIENTS_JOBS),
            jobs: (0, 0),
        }
    }

    /// A node's job. Commands differ from each other.
    pub(crate) fn node(&mut self, job: NodeJob) -> NodeDone {
        let NodeJob::Directory(job) = job else {
            return job.run();
        };
        self.jobs.0 += 1;
        let key = job.key();
        if let Some(known) = self.nodes.get(&key) {
            return NodeDone::Directory(known);
        }
        self.jobs.1 += 1;
        let done = job.run();
        self.nodes.put(key, done.clone());
        NodeDone::Directory(done)
    }

    /// A client's job.
    pub(crate) fn client(&mut self, job: SessionJob) -> SessionDone {
        self.jobs.0 += 1;
        let key = job.key();
        if let Some(known) = self.clients.get(&key) {
            return known.answering(&job);
        }
        self.jobs.1 += 1;
        let done = job.run();
        self.clients.put(key, done.clone());
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered() {
        let mut memo = Memo::new(2);
        let key = |number: u8| [number; 32];
        memo.put(key(1), "one");
        memo.put(key(2), "two");
        memo.put(key(1), "one");
        assert_eq!(
            (memo.get(&key(1)), memo.get(&key(2))),
            (Some("one"), Some("two"))
        );
        memo.put(key(3), "three");
        assert_eq!((memo.get(&key(1)), memo.get(&key(2))), (None, Some("two")));
        assert_eq!(memo.get(&key(3)), Some("three"));
    }
}
