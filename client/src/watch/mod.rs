//! Losses, watched apart: loops, receipts, and the numbered stream of the mailbox.

mod meter;
mod stream;

use shoal_proto::{Span, Time};
use shoal_topology::Profile;

use self::meter::LossMeter;
use self::stream::{StreamFinding, StreamWatch};
use crate::clock::ClockStep;
use crate::config::ClientConfig;
use crate::event::Alarm;
use crate::replies::Purpose;

/// How often losses are looked for.
const EVERY: Span = Span::from_secs(1);

/// What watching found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Packets of the mailbox's stream that did not come.
    pub(crate) lost: u64,
    /// What the user is told.
    pub(crate) alarm: Option<Alarm>,
}

/// The meters, and the watch over the stream of this connection.
pub(crate) struct Watch {
    loops: LossMeter,
    receipts: LossMeter,
    items: LossMeter,
    stream: Option<StreamWatch>,
    /// How long a number may be missing in the stream.
    patience: Span,
    /// After how long a silence the stream has paused.
    pause: Span,
    next: Time,
}

impl Watch {
    pub(crate) fn new(config: &ClientConfig, profile: &Profile, now: Time) -> Self {
        let clock = profile.mailbox_clock;
        let pause = match clock > 0.0 {
            true => Span::from_secs_f64(f64::from(config.pause_gaps) / clock),
            false => Span::MAX,
        };
        Self {
            loops: LossMeter::default(),
            receipts: LossMeter::default(),
            items: LossMeter::default(),
            stream: None,
            patience: config.reply_timeout,
            pause,
            next: now,
        }
    }

    /// A connection begins: the mailbox's stream starts anew.
    pub(crate) fn start(&mut self) {
        self.stream = Some(StreamWatch::new(self.patience, self.pause));
    }

    /// The connection is gone.
    pub(crate) fn stop(&mut self) {
        self.stream = None;
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
    pub(crate) fn outcome(&mut self, of: Purpose, lost: bool) -> Option<Alarm> {
        match of {
            Purpose::Loop => self
                .loops
                .note(lost)
                .then(|| Alarm::LoopsLost(self.loops.losses())),
            Purpose::Deposit { .. } | Purpose::Dummy => self
                .receipts
                .note(lost)
                .then(|| Alarm::ReceiptsLost(self.receipts.losses())),
            Purpose::Stock => None,
        }
    }

    /// From here on the mailbox has reply blocks and silence means something.
    pub(crate) fn expect_stream(&mut self, now: Time) {
        if let Some(stream) = &mut self.stream {
            stream.expect_from(now);
        }
    }

    /// A packet of the stream came.
    pub(crate) fn stream_item(&mut self, now: Time, number: u64) -> Finding {
        let Some(stream) = &mut self.stream else {
            return Finding::default();
        };
        let lost = stream.note(now, number);
        let alarm = self.items_lost(lost);
        Finding {
            lost,
            alarm: self.item_outcome(false).or(alarm),
        }
    }

    /// The next thing that has become certain about the stream.
    pub(crate) fn check_stream(&mut self, now: Time) -> Option<Finding> {
        Some(match self.stream.as_mut()?.check(now)? {
            StreamFinding::Lost(lost) => Finding {
                lost,
                alarm: self.items_lost(lost),
            },
            StreamFinding::Paused(silent) => Finding {
                lost: 0,
                alarm: Some(Alarm::StreamPaused(silent)),
            },
        })
    }

    /// While nothing is attached to: the next look is as far away as before.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        self.next = step.apply(self.next);
    }

    fn items_lost(&mut self, lost: u64) -> Option<Alarm> {
        // More than the meter remembers change nothing.
        (0..lost.min(64)).fold(None, |alarm, _| self.item_outcome(true).or(alarm))
    }

    fn item_outcome(&mut self, lost: bool) -> Option<Alarm> {
        let raised = self.items.note(lost);
        raised.then(|| Alarm::StreamLost(self.items.losses()))
    }
}

#[cfg(test)]
mod tests {
    use shoal_proto::NodeId;
    use shoal_topology::NetworkParameters;

    use super::*;

    fn at(secs: u64) -> Time {
        Time::from_micros(secs * 1_000_000)
    }

    fn watch() -> Watch {
        let params = NetworkParameters::example();
        let profile = params.profiles.values().next().unwrap();
        Watch::new(&ClientConfig::new(NodeId::new([1; 32])), profile, at(1000))
    }

    #[test]
    fn the_next_look_is_as_far_away_when_the_clock_moves() {
        for ahead in [true, false] {
            let mut watch = watch();
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
        let mut watch = watch();
        assert_eq!(watch.stream_item(at(1000), 500).lost, 0);
        watch.start();
        // An absurd jump is lost at once, and so many losses raise the alarm.
        let finding = watch.stream_item(at(1000), 1000);
        assert_eq!(finding.lost, 1000 - 256);
        assert!(matches!(finding.alarm, Some(Alarm::StreamLost(_))));
        watch.stop();
        assert_eq!(watch.check_stream(at(9999)), None);
    }
}
