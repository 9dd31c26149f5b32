//! Messages that wait at their senders.

use super::NONE;

/// A message in a buffer.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    pub(super) created: f64,
    pub(super) receiver: u32,
    next: u32,
}

/// One queue for each client, first in, first out; their messages share one store.
pub(super) struct Buffers {
    /// Of each client its oldest message, its newest one, and how many it has.
    queues: Vec<(u32, u32, u32)>,
    store: Vec<Waiting>,
    free: Vec<u32>,
}

impl Buffers {
    pub(super) fn new(clients: u32) -> Self {
        Self {
            queues: vec![(NONE, NONE, 0); clients as usize],
            store: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Whether the message fits below the limit.
    pub(super) fn push(&mut self, client: u32, created: f64, receiver: u32, limit: u32) -> bool {
        let Some(queue) = self
            .queues
            .get_mut(client as usize)
            .filter(|queue| queue.2 < limit)
        else {
            return false;
        };
        let message = Waiting {
            created,
            receiver,
            next: NONE,
        };
        let place = if let Some(place) = self.free.pop() {
            self.store[place as usize] = message;
            place
        } else {
            self.store.push(message);
            self.store.len() as u32 - 1
        };
        if queue.2 == 0 {
            queue.0 = place;
        } else {
            self.store[queue.1 as usize].next = place;
        }
        queue.1 = place;
        queue.2 += 1;
        true
    }

    /// The client's oldest message.
    pub(super) fn pop(&mut self, client: u32) -> Option<Waiting> {
        let queue = self
            .queues
            .get_mut(client as usize)
            .filter(|queue| queue.2 > 0)?;
        let place = queue.0;
        let message = self.store[place as usize];
        queue.0 = message.next;
        queue.2 -= 1;
        self.free.push(place);
        Some(message)
    }

    /// Reads what `push` and `pop` will need first.
    pub(super) fn peek(&self, client: u32) -> u32 {
        self.queues.get(client as usize).map_or(0, |queue| queue.0)
    }

    /// Reads what `pop` will need next.
    pub(super) fn peek_first(&self, client: u32) -> u32 {
        self.store
            .get(self.peek(client) as usize)
            .map_or(0, |message| message.next)
    }

    /// Messages of all clients.
    pub(super) fn waiting(&self) -> u64 {
        (self.store.len() - self.free.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_first_in_first_out_and_bounded() {
        let mut buffers = Buffers::new(2);
        assert!(buffers.pop(0).is_none());
        for i in 0..5 {
            assert_eq!(buffers.push(0, f64::from(i), i, 4), i < 4);
            assert!(buffers.push(1, 0.0, 9, 100));
        }
        for i in 0..3 {
            assert_eq!(buffers.pop(0).map(|m| m.receiver), Some(i));
        }
        assert!(buffers.push(0, 7.0, 7, 4));
        assert_eq!(buffers.pop(0).map(|m| m.receiver), Some(3));
        assert_eq!(buffers.pop(0).map(|m| m.receiver), Some(7));
        assert!(buffers.pop(0).is_none());
        assert_eq!(buffers.waiting(), 5);
    }
}
