//! Files that follow on the network's: taken from an operator or from neighbours, kept, and given on.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::CryptoRng;
use shoal_proto::{NetworkHash, Time};

use super::jobs::Task;
use super::{Directory, DirectoryChange, DirectoryWarning};
use crate::{SuccessionError, Successor};

/// Files that were accepted, in TOML, by the hash of the file that each follows on.
#[derive(Default)]
pub(super) struct Successors(BTreeMap<NetworkHash, Arc<[u8]>>);

impl<R: CryptoRng> Directory<R> {
    /// Takes what was accepted before. What led to the file that counts now is for those who have an older one.
    pub(super) fn restore_successors(&mut self, texts: &[Arc<[u8]>]) {
        for text in texts {
            if let Ok(successor) = Successor::parse(text) {
                self.take_successor(&successor);
            }
        }
    }

    /// The file that follows on the network's, if there is one that was accepted.
    #[must_use]
    pub fn successor(&self) -> Option<&Successor> {
        self.rules.successor()
    }

    /// Whether the file that follows counts by now. Then this directory is to be started anew with it.
    #[must_use]
    pub fn is_succeeded(&self, now: Time) -> bool {
        self.successor().is_some_and(|it| it.begins() <= now)
    }

    /// The newest file that is here.
    pub(super) fn newest_file(&self) -> NetworkHash {
        self.successor().map_or(self.rules.hash, Successor::hash)
    }

    /// The file that follows on this one.
    pub(super) fn successor_of(&self, file: &NetworkHash) -> Option<&[u8]> {
        self.successors.0.get(file).map(AsRef::as_ref)
    }

    /// Whether a neighbour has a newer file, as it says: none that is here, or led to what is here.
    pub(super) fn lacks_file(&self, theirs: Option<NetworkHash>) -> bool {
        let follows = self.rules.params.succession.as_ref().map(|it| it.follows);
        let known = |file: &NetworkHash| {
            *file == self.newest_file()
                || follows == Some(*file)
                || self.successors.0.contains_key(file)
        };
        self.successor().is_none() && theirs.is_some_and(|file| !known(&file))
    }

    /// An operator has one. Those who sit now, or sat in the term before, have to have signed it.
    pub(super) fn look_at_successor(&mut self, text: Arc<[u8]>) {
        let seats = [self.archive.seats(), self.archive.before()];
        let seats = seats.into_iter().flatten().cloned().collect();
        self.job(Task::Successor(text, seats));
    }

    pub(super) fn successor_checked(&mut self, checked: Result<Successor, SuccessionError>) {
        match checked {
            Ok(successor) => self.accept(&successor),
            Err(error) => self.warn(DirectoryWarning::NotFollowing(error)),
        }
    }

    /// Those who sit have signed it. The first that is accepted stays.
    pub(super) fn accept(&mut self, successor: &Successor) {
        if successor.succession().follows != self.rules.hash || self.successor().is_some() {
            return;
        }
        let height = successor.succession().height;
        let known = self.archive.seats_after(&self.rules, height);
        if let Err(error) = successor.check_root(self.archive.since(), known) {
            return self.warn(DirectoryWarning::NotFollowing(error));
        }
        self.take_successor(successor);
        let (hash, text) = (successor.hash(), Arc::clone(successor.text()));
        self.persist(DirectoryChange::Successor { hash, text });
        let (epoch, hash) = (successor.succession().epoch, successor.hash());
        self.warn(DirectoryWarning::Follows { epoch, hash });
    }

    fn take_successor(&mut self, successor: &Successor) {
        let follows = successor.succession().follows;
        self.successors
            .0
            .insert(follows, Arc::clone(successor.text()));
        if follows == self.rules.hash {
            self.rules = Arc::new(self.rules.followed_by(successor.clone()));
        }
    }
}
