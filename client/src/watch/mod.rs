//! Losses, watched apart: loops, receipts, and the numbered stream of each mailbox.

mod meter;
mod stream;

use shoal_proto::{Span, Time};

use self::meter::LossMeter;
use self::stream::{StreamFinding, StreamWatch};
use crate::clock::ClockStep;
use crate::event::Alarm;
use crate::replies::Purpose;

/// How often losses are looked for.
const EVERY: Span = Span::from_secs(1);

/// What has become certain about the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// So many of its packets did not come.
    Lost(u64),
    /// It has paused.
    Paused,
}

/// The meters of what comes back.
pub(crate) struct Watch {
    loops: LossMeter,
    receipts: LossMeter,
    next: Time,
}

/// The watch over one mailbox's stream, as far as this connection has one.
pub(crate) struct BoxWatch {
    items: LossMeter,
    stream: Option<StreamWatch>,
    /// How long a number may be missing in the stream.
    patience: Span,
    /// After how long a silence the stream has paused.
    pause: Span,
}

impl BoxWatch {
    /// A number may be missing for `patience`; after `pause` without a packet the stream has paused.
    pub(crate) fn new(patience: Span, pause: Span) -> Self {
        Self {
            items: LossMeter::default(),
            stream: None,
            patience,
            pause,
        }
    }

    /// The mailbox's stream starts anew, at its number 0.
    pub(crate) fn start(&mut self) {
        self.stream = Some(StreamWatch::new(self.patience, self.pause));
    }

    /// The connection is gone.
    pub(crate) fn stop(&mut self) {
        self.stream = None;
    }

    /// After how long a silence it has paused, from now on.
    pub(crate) fn set_pause(&mut self, now: Time, pause: Span) {
        self.pause = pause;
        if let Some(stream) = &mut self.stream {
            stream.set_pause(now, pause);
        }
    }

    /// From here on the mailbox has reply blocks and silence means something: whether it was opened before this
    /// connection began or within it.
    pub(crate) fn expect_stream(&mut self, now: Time) {
        let new = || StreamWatch::new(self.patience, self.pause);
        self.stream.get_or_insert_with(new).expect_from(now);
    }

    /// A packet of the stream came. Returns how many did not, as far as its number makes that certain.
    pub(crate) fn stream_item(&mut self, now: Time, number: u64) -> u64 {
        let Some(stream) = &mut self.stream else {
            return 0;
        };
        let lost = stream.note(now, number);
        self.items_lost(lost);
        self.items.note(false);
        lost
    }

    /// The next thing that has become certain about the stream.
    pub(crate) fn check_stream(&mut self, now: Time) -> Option<Finding> {
        Some(match self.stream.as_mut()?.check(now)? {
            StreamFinding::Lost(lost) => {
                self.items_lost(lost);
                Finding::Lost(lost)
            }
            StreamFinding::Paused => Finding::Paused,
        })
    }

    fn items_lost(&mut self, lost: u64) {
        // More than the meter remembers change nothing.
        (0..lost.min(64)).for_each(|_| self.items.note(true));
    }

    /// Of the last packets of the stream, so many did not come; none while that is nothing to speak of.
    pub(crate) fn losses(&self) -> Option<u32> {
        self.items.is_alarmed().then(|| self.items.losses())
    }

    /// The stream has paused: nothing came for longer than this.
    pub(crate) fn paused(&self) -> Option<Span> {
        let paused = self.stream.as_ref().is_some_and(StreamWatch::is_paused);
        paused.then_some(self.pause)
    }

    /// Whether the mailbox can't be relied on now.
    pub(crate) fn is_alarmed(&self) -> bool {
        self.losses().is_some() || self.paused().is_some()
    }
}

impl Watch {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            loops: LossMeter::default(),
            receipts: LossMeter::default(),
            next: now,
        }
    }

    /// Whether it is time to look for losses; true once for each time.
    pub(crate) fn is_due(&mut self, now: Time) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + EVERY;
        }
        due
    }

    /// Something came back, or is overdue. The stock has a stream to be watched by.
    pub(crate) fn outcome(&mut self, of: Purpose, lost: bool) {
        match of {
            Purpose::Loop => self.loops.note(lost),
            Purpose::Deposit { .. } | Purpose::Dummy | Purpose::Token(_) => {
                self.receipts.note(lost);
            }
            Purpose::Stock(_) => {}
        }
    }

    /// Whether packets are lost that no mailbox has to do with.
    pub(crate) fn loses_loops(&self) -> bool {
        self.loops.is_alarmed()
    }

    /// What can be wrong, and whether it is.
    pub(crate) fn alarms(&self) -> [(Alarm, bool); 2] {
        let lost =
            |of: fn(u32) -> Alarm, meter: LossMeter| (of(meter.losses()), meter.is_alarmed());
        [
            lost(Alarm::LoopsLost, self.loops),
            lost(Alarm::ReceiptsLost, self.receipts),
        ]
    }

    /// While nothing is attached to: the next look is as far away as before.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        self.next = step.apply(self.next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    #[test]
    fn the_next_look_is_as_far_away_when_the_clock_moves() {
        for ahead in [true, false] {
            let mut watch = Watch::new(at(1000));
            assert!(watch.is_due(at(1000)));
            assert!(!watch.is_due(at(1000)));
            watch.clock_moved(ClockStep::new(ahead, Span::from_secs(500)));
            let now = if ahead { 1500 } else { 500 };
            assert!(!watch.is_due(at(now)));
            assert!(watch.is_due(at(now + 1)));
        }
    }

    #[test]
    fn the_stream_is_watched_while_there_is_a_connection() {
        let mut watch = BoxWatch::new(Span::from_secs(30), Span::from_secs(10));
        assert_eq!(watch.stream_item(at(1000), 500), 0);
        watch.start();
        // An absurd jump is lost at once, and so many losses raise the alarm.
        assert_eq!(watch.stream_item(at(1000), 1000), 1000 - 256);
        assert!(watch.losses().is_some() && watch.is_alarmed());
        assert!((1001..1100).all(|number| watch.stream_item(at(1000), number) == 0));
        assert!(!watch.is_alarmed(), "it ends when they come again");
        watch.stop();
        assert_eq!(watch.check_stream(at(9999)), None);
    }

    #[test]
    fn a_pause_is_as_long_as_the_clock_is_slow() {
        let mut watch = BoxWatch::new(Span::from_secs(30), Span::from_secs(10));
        watch.start();
        watch.stream_item(at(1000), 0);
        watch.set_pause(at(1000), Span::from_secs(40));
        assert_eq!(watch.check_stream(at(1030)), None);
        // A faster clock: what was silence by the slower one is none yet.
        watch.set_pause(at(1030), Span::from_secs(20));
        watch.set_pause(at(1040), Span::from_secs(20));
        assert_eq!(watch.check_stream(at(1041)), None);
        assert_eq!(watch.check_stream(at(1051)), Some(Finding::Paused));
        assert_eq!(watch.paused(), Some(Span::from_secs(20)));
    }
}
