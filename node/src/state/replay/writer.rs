//! The thread that writes replay logs.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

use shoal_packet::{ReplayTag, SphinxPublic};
use shoal_proto::Epoch;

use super::format::MAX_BATCH_TAGS;
use super::log::ReplayError;
use super::tags::TagLog;
use crate::state::error::StateError;

/// What became of tags.
#[derive(Debug)]
#[non_exhaustive]
pub enum Durable {
    /// All tags up to this number, itself included, are on disk, save those that were told of as
    /// failed.
    UpTo(u64),
    /// These tags are not on disk, or may not be: their packets must be dropped.
    Failed {
        /// The first of them.
        from: u64,
        /// The last of them.
        upto: u64,
        /// Why.
        error: io::Error,
    },
}

enum Command {
    Append(Epoch, ReplayTag, u64),
    Create(
        Epoch,
        Box<SphinxPublic>,
        SyncSender<Result<(), ReplayError>>,
    ),
    Remove(Epoch, SyncSender<Result<(), StateError>>),
}

/// The replay log on a thread of its own: takes what waits, writes it with one flush, tells, and
/// takes what has come meanwhile.
#[derive(Debug)]
pub struct ReplayWriter {
    commands: SyncSender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl ReplayWriter {
    /// Starts the thread. `queue` bounds the tags that wait; `notify` is called on the thread, in
    /// the order of the tags, and should be quick.
    ///
    /// # Errors
    /// If the system gives us no thread.
    pub fn spawn(
        log: impl TagLog + 'static,
        queue: usize,
        notify: impl FnMut(Durable) + Send + 'static,
    ) -> io::Result<Self> {
        let (commands, receiver) = sync_channel(queue);
        let thread = std::thread::Builder::new()
            .name("replay-log".to_owned())
            .spawn(move || run(log, &receiver, notify))?;
        Ok(Self {
            commands,
            thread: Some(thread),
        })
    }

    /// Gives one tag to the writer; numbers must grow. False if as many as allowed wait for the
    /// disk already, or the thread is gone: the packet must be dropped then.
    #[must_use = "a tag that was not taken is not durable"]
    pub fn append(&self, sequence: u64, epoch: Epoch, tag: ReplayTag) -> bool {
        self.commands
            .try_send(Command::Append(epoch, tag, sequence))
            .is_ok()
    }

    /// [`TagLog::create`], after the tags given before. Waits for the disk.
    ///
    /// # Errors
    /// As there.
    pub fn create(&self, epoch: Epoch, key: &SphinxPublic) -> Result<(), ReplayError> {
        let (reply, answer) = sync_channel(1);
        let sent = self
            .commands
            .send(Command::Create(epoch, Box::new(*key), reply));
        let answer = sent.ok().and_then(|()| answer.recv().ok());
        answer.unwrap_or_else(|| Err(ReplayError::Io(gone())))
    }

    /// [`TagLog::remove`], after the tags given before. Waits for the disk.
    ///
    /// # Errors
    /// As there.
    pub fn remove(&self, epoch: Epoch) -> Result<(), StateError> {
        let (reply, answer) = sync_channel(1);
        let sent = self.commands.send(Command::Remove(epoch, reply));
        sent.ok()
            .and_then(|()| answer.recv().ok())
            .unwrap_or_else(|| Err(gone()))
    }

    /// Writes what waits, and ends the thread.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for ReplayWriter {
    fn drop(&mut self) {
        // The thread ends when nobody can send any more.
        let (closed, _) = sync_channel(1);
        drop(std::mem::replace(&mut self.commands, closed));
        if let Some(thread) = self.thread.take() {
            // If it panicked, that was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn gone() -> StateError {
    let error = io::Error::other("its thread has ended");
    StateError::io("write", std::path::Path::new("the replay log"))(error)
}

fn run(mut log: impl TagLog, commands: &Receiver<Command>, mut notify: impl FnMut(Durable)) {
    let mut batch = Vec::new();
    while let Ok(command) = commands.recv() {
        let mut next = Some(command);
        while let Some(command) = next.take() {
            match command {
                Command::Append(epoch, tag, sequence) => {
                    batch.push((epoch, tag, sequence));
                    next = match commands.try_recv() {
                        Ok(command) if batch.len() < MAX_BATCH_TAGS => Some(command),
                        Ok(command) => {
                            flush(&mut log, &mut batch, &mut notify);
                            Some(command)
                        }
                        Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
                    };
                }
                Command::Create(epoch, key, reply) => {
                    flush(&mut log, &mut batch, &mut notify);
                    let _ = reply.send(log.create(epoch, &key));
                }
                Command::Remove(epoch, reply) => {
                    flush(&mut log, &mut batch, &mut notify);
                    let _ = reply.send(log.remove(epoch));
                }
            }
        }
        flush(&mut log, &mut batch, &mut notify);
    }
}

fn flush(
    log: &mut impl TagLog,
    batch: &mut Vec<(Epoch, ReplayTag, u64)>,
    notify: &mut impl FnMut(Durable),
) {
    let (Some((_, _, from)), Some((_, _, upto))) = (batch.first(), batch.last()) else {
        return;
    };
    let (from, upto) = (*from, *upto);
    match log.append_batch(batch) {
        Ok(()) => notify(Durable::UpTo(upto)),
        Err(error) => notify(Durable::Failed { from, upto, error }),
    }
    batch.clear();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    use shoal_packet::SphinxSecret;

    use super::*;
    use crate::state::ReplayLog;

    fn key() -> SphinxPublic {
        SphinxSecret::generate(&mut ChaCha20Rng::seed_from_u64(1)).public()
    }

    #[test]
    fn tags_are_told_of_in_order_and_are_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (told, durable) = sync_channel(1024);
        let log = ReplayLog::open(dir.path()).unwrap();
        let notify = move |what| told.send(what).unwrap();
        let writer = ReplayWriter::spawn(log, 10_000, notify).unwrap();
        let epoch = Epoch::new(3);
        writer.create(epoch, &key()).unwrap();
        for number in 0..10_000u64 {
            let mut tag = [0; 32];
            tag[..8].copy_from_slice(&number.to_le_bytes());
            while !writer.append(number, epoch, ReplayTag::new(tag)) {
                std::thread::yield_now();
            }
        }
        writer.close();
        let told: Vec<u64> = durable
            .iter()
            .map(|what| match what {
                Durable::UpTo(number) => number,
                Durable::Failed { error, .. } => panic!("{error}"),
            })
            .collect();
        assert!(told.is_sorted());
        assert_eq!(told.last(), Some(&9_999));
        let loaded = ReplayLog::open(dir.path())
            .unwrap()
            .load(epoch, &key())
            .unwrap();
        assert_eq!(loaded.tags.len(), 10_000);
        assert_eq!(loaded.torn_bytes, 0);
    }

    #[test]
    fn an_epoch_without_a_file_fails_and_others_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let (told, durable) = sync_channel(1024);
        let log = ReplayLog::open(dir.path()).unwrap();
        let writer = ReplayWriter::spawn(log, 10, move |what| told.send(what).unwrap()).unwrap();
        assert!(writer.append(0, Epoch::new(1), ReplayTag::new([1; 32])));
        writer.create(Epoch::new(2), &key()).unwrap();
        assert!(writer.append(1, Epoch::new(2), ReplayTag::new([2; 32])));
        writer.remove(Epoch::new(2)).unwrap();
        assert!(writer.append(2, Epoch::new(2), ReplayTag::new([3; 32])));
        writer.close();
        let told: Vec<Durable> = durable.iter().collect();
        assert!(matches!(
            told.as_slice(),
            [
                Durable::Failed {
                    from: 0,
                    upto: 0,
                    ..
                },
                Durable::UpTo(1),
                Durable::Failed {
                    from: 2,
                    upto: 2,
                    ..
                },
            ]
        ));
    }
}
