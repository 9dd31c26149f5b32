//! A thread that does what the loop gives it, in order. How much that can be is the composition's to
//! bound.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::queue::Queue;

/// The way to the thread. It ends when it has done all that was given, once this is gone.
pub(super) struct Worker<T> {
    queue: Arc<Queue<VecDeque<T>>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Worker<T> {
    /// Starts a thread of this name that does `work` until its queue is closed and empty.
    pub(super) fn spawn(
        name: &str,
        work: impl FnOnce(&Queue<VecDeque<T>>) + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(VecDeque::new()));
        let taken = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&taken))?;
        Ok(Self {
            queue,
            thread: Some(thread),
        })
    }

    /// Queues an item, behind those that were queued before.
    pub(super) fn give(&self, item: T) {
        self.queue.put(|items| {
            items.push_back(item);
            true
        });
    }

    /// Lets the thread do what is queued, and waits for it.
    pub(super) fn stop(mut self) {
        self.queue.close();
        let Some(thread) = self.thread.take() else {
            return;
        };
        let name = thread.thread().name().unwrap_or_default().to_owned();
        if thread.join().is_err() {
            tracing::error!(thread = name, "a thread panicked");
        }
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.queue.close();
    }
}
