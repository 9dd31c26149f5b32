//! Losses and pauses in the numbered stream of the mailbox.

use std::collections::BTreeMap;

use shoal_proto::{Span, Time};

/// A jump in the numbers beyond this is counted as lost at once, so that a hostile provider can't
/// make us remember each number.
const MAX_JUMP: u64 = 256;

/// What watching the stream found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamFinding {
    /// A number never came.
    Lost(u64),
    /// Nothing came for too long.
    Paused,
}

/// Watches the numbers of one generation's stream. Packets overtake each other in the mixnet, so
/// a number is missing only once `patience` has passed.
pub(super) struct StreamWatch {
    next: u64,
    missing: BTreeMap<u64, Time>,
    patience: Span,
    pause: Span,
    last: Option<Time>,
    paused: bool,
}

impl StreamWatch {
    pub(super) fn new(patience: Span, pause: Span) -> Self {
        Self {
            next: 0,
            missing: BTreeMap::new(),
            patience,
            pause,
            last: None,
            paused: false,
        }
    }

    /// After how long a silence the stream has paused. What was no silence by a slower clock is none: it
    /// counts from now.
    pub(super) fn set_pause(&mut self, now: Time, pause: Span) {
        if pause < self.pause
            && let Some(last) = &mut self.last
        {
            *last = now;
        }
        self.pause = pause;
    }

    /// Whether nothing came for too long, nor since.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// From here on the mailbox has reply blocks and silence means something.
    pub(super) fn expect_from(&mut self, now: Time) {
        self.last.get_or_insert(now);
    }

    /// A packet with this number came. Returns numbers lost at once; 0 but for absurd jumps.
    pub(super) fn note(&mut self, now: Time, number: u64) -> u64 {
        self.last = Some(now);
        self.paused = false;
        if number < self.next {
            self.missing.remove(&number);
            return 0;
        }
        let gap = number - self.next;
        let lost = gap.saturating_sub(MAX_JUMP);
        for absent in self.next.saturating_add(lost)..number {
            self.missing.insert(absent, now);
        }
        self.next = number.saturating_add(1);
        lost
    }

    /// What has become certain by now.
    pub(super) fn check(&mut self, now: Time) -> Option<StreamFinding> {
        let lost = self
            .missing
            .iter()
            .filter(|(_, since)| now.since(**since) > self.patience)
            .map(|(number, _)| *number)
            .collect::<Vec<_>>();
        for number in &lost {
            self.missing.remove(number);
        }
        if !lost.is_empty() {
            return Some(StreamFinding::Lost(lost.len() as u64));
        }
        let silent = now.since(self.last?);
        if silent > self.pause && !self.paused {
            self.paused = true;
            return Some(StreamFinding::Paused);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    fn watch() -> StreamWatch {
        StreamWatch::new(Span::from_secs(30), Span::from_secs(10))
    }

    #[test]
    fn overtaking_is_no_loss() {
        let mut watch = watch();
        for (second, number) in [(1, 0), (2, 3), (3, 1), (4, 2)] {
            assert_eq!(watch.note(at(second), number), 0);
        }
        watch.note(at(50), 4);
        assert_eq!(watch.check(at(50)), None);
    }

    #[test]
    fn what_never_comes_is_lost_once() {
        let mut watch = watch();
        watch.note(at(1), 2);
        assert_eq!(watch.check(at(1)), None);
        watch.note(at(40), 3);
        assert_eq!(watch.check(at(40)), Some(StreamFinding::Lost(2)));
        assert_eq!(watch.check(at(40)), None);
    }

    #[test]
    fn an_absurd_number_costs_no_memory() {
        let mut watch = watch();
        assert_eq!(watch.note(at(1), u64::MAX), u64::MAX - MAX_JUMP);
        assert_eq!(watch.missing.len() as u64, MAX_JUMP);
        assert_eq!(watch.note(at(2), u64::MAX), 0);
    }

    #[test]
    fn silence_is_told_once_and_again_after_a_packet() {
        let mut watch = watch();
        assert_eq!(watch.check(at(100)), None);
        watch.expect_from(at(100));
        assert_eq!(watch.check(at(110)), None);
        assert_eq!(watch.check(at(111)), Some(StreamFinding::Paused));
        assert_eq!(watch.check(at(112)), None);
        assert!(watch.is_paused());
        watch.note(at(113), 0);
        assert!(!watch.is_paused());
        assert!(watch.check(at(130)).is_some());
    }
}
