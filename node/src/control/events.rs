//! What happened, for whoever follows: the latest events, each with an id by which one goes on where one was.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::protocol::Event;

/// Events that are kept for who falls behind, or was away.
const EVENTS: usize = 1024;
/// Bytes that they take at most, about: those of texts are what is long. The last one is kept whatever it takes.
const BYTES: usize = 4 << 20;
/// What an event takes besides texts.
const EVENT_BYTES: usize = 1024;

/// Which event, of which run of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    run: u64,
    number: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.run, self.number)
    }
}

impl FromStr for EventId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let (run, number) = text.split_once('-')?;
            let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let run = (run.len() == 16 && plain(run)).then_some(run)?;
            Some(Self {
                run: u64::from_str_radix(run, 16).ok()?,
                number: plain(number).then_some(number)?.parse().ok()?,
            })
        };
        parsed().ok_or("is no event's id: take one as it came, or none")
    }
}

/// The events of a daemon. What it holds is bounded by `EVENTS` and `BYTES`, however many follow.
pub struct Events {
    /// Tells this run of the daemon from others.
    run: u64,
    ring: Mutex<Ring>,
    /// The number of the next event; none once there are no more.
    news: watch::Sender<Option<u64>>,
}

#[derive(Default)]
struct Ring {
    /// The number of the first one that is kept.
    first: u64,
    kept: VecDeque<(Arc<Event>, usize)>,
    bytes: usize,
}

impl Events {
    /// None yet. `run` is drawn at random, once for each run of the daemon.
    #[must_use]
    pub fn new(run: u64) -> Arc<Self> {
        Arc::new(Self {
            run,
            ring: Mutex::default(),
            news: watch::Sender::new(Some(0)),
        })
    }

    /// Something happened.
    pub fn tell(&self, event: Event) {
        let bytes = EVENT_BYTES
            + match &event {
                Event::Received(it) => it.text.len() + it.bytes.as_ref().map_or(0, String::len),
                _ => 0,
            };
        let mut ring = self.ring();
        ring.kept.push_back((Arc::new(event), bytes));
        ring.bytes += bytes;
        while ring.kept.len() > EVENTS || (ring.bytes > BYTES && ring.kept.len() > 1) {
            if let Some((_, bytes)) = ring.kept.pop_front() {
                ring.bytes -= bytes;
                ring.first += 1;
            }
        }
        let next = ring.next();
        drop(ring);
        self.news.send_if_modified(|news| {
            let goes_on = news.is_some();
            *news = news.map(|_| next);
            goes_on
        });
    }

    /// There are no more: who follows is told the rest, and then that it is over.
    pub fn close(&self) {
        self.news.send_replace(None);
    }

    /// Those after this one, or from now on. Who names one that is kept no more is told how many it has missed.
    #[must_use]
    pub fn follow(self: &Arc<Self>, after: Option<EventId>) -> Follower {
        let end = self.ring().next();
        let (next, unknown) = match after {
            None => (end, false),
            Some(id) if id.run == self.run && id.number < end => (id.number + 1, false),
            // Of an earlier run, or of none at all.
            Some(_) => (end, true),
        };
        Follower {
            events: Arc::clone(self),
            news: self.news.subscribe(),
            next,
            unknown,
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Nothing in here panics.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn next(&self) -> u64 {
        self.first + self.kept.len() as u64
    }
}

/// One who follows. It holds no event: who reads slowly costs a place in a list.
pub struct Follower {
    events: Arc<Events>,
    news: watch::Receiver<Option<u64>>,
    next: u64,
    /// It named an event that is not known.
    unknown: bool,
}

impl Follower {
    /// Waits for the next one; none once there are no more. If the wait is given up, nothing is lost.
    pub async fn next(&mut self) -> Option<(EventId, Arc<Event>)> {
        loop {
            // Before it is looked, so that nothing comes unseen after it.
            let over = self.news.borrow_and_update().is_none();
            if let Some(event) = self.look() {
                return Some(event);
            }
            if over || self.news.changed().await.is_err() {
                return None;
            }
        }
    }

    fn look(&mut self) -> Option<(EventId, Arc<Event>)> {
        let run = self.events.run;
        let id = |number: u64| EventId { run, number };
        let ring = self.events.ring();
        if std::mem::take(&mut self.unknown) {
            // Its id is that of the last one, after which it goes on; before the first there is none to name.
            let id = EventId {
                run: if self.next == 0 { !run } else { run },
                number: self.next.saturating_sub(1),
            };
            return Some((id, Arc::new(Event::Missed { events: None })));
        }
        if self.next < ring.first {
            let missed = ring.first - self.next;
            self.next = ring.first;
            let events = Some(missed);
            return Some((id(ring.first - 1), Arc::new(Event::Missed { events })));
        }
        let at = usize::try_from(self.next - ring.first).ok()?;
        let (event, _) = ring.kept.get(at)?;
        let told = (id(self.next), Arc::clone(event));
        self.next += 1;
        Some(told)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures::FutureExt as _;

    use super::super::protocol::Received;
    use super::*;

    fn alarm(number: u64) -> Event {
        let text = number.to_string();
        Event::Alarm { text }
    }

    fn now(follower: &mut Follower) -> Option<(EventId, Event)> {
        let told = follower.next().now_or_never().flatten();
        told.map(|(id, event)| (id, Event::clone(&event)))
    }

    #[test]
    fn who_was_away_goes_on_where_it_was() {
        let events = Events::new(7);
        let mut all = events.follow(None);
        (0..3).for_each(|number| events.tell(alarm(number)));
        let (first, event) = now(&mut all).unwrap();
        assert_eq!(event, alarm(0));
        let mut again = events.follow(Some(first.to_string().parse().unwrap()));
        assert_eq!(now(&mut again).unwrap().1, alarm(1));
        assert_eq!(now(&mut again).unwrap().1, alarm(2));
        assert_eq!(now(&mut again), None);
        events.close();
        assert_eq!(now(&mut all).unwrap().1, alarm(1));
        assert_eq!(now(&mut all).unwrap().1, alarm(2));
        assert!(all.next().now_or_never().unwrap().is_none());
    }

    #[test]
    fn what_was_missed_is_told_once() {
        let events = Events::new(7);
        let mut slow = events.follow(None);
        (0..EVENTS as u64 + 5).for_each(|number| events.tell(alarm(number)));
        let missed = |events| Event::Missed { events };
        let (id, event) = now(&mut slow).unwrap();
        assert_eq!(event, missed(Some(5)));
        assert_eq!(now(&mut slow).unwrap().1, alarm(5));
        assert_eq!(now(&mut events.follow(Some(id))).unwrap().1, alarm(5));

        // Of another run nobody knows how many there were.
        let other = EventId { run: 8, number: 1 };
        let mut lost = events.follow(Some(other));
        let (id, event) = now(&mut lost).unwrap();
        assert_eq!(event, missed(None));
        events.tell(alarm(0));
        assert_eq!(now(&mut lost).unwrap().1, alarm(0));
        assert_eq!(now(&mut events.follow(Some(id))).unwrap().1, alarm(0));
        let fresh = Events::new(7);
        assert_eq!(
            now(&mut fresh.follow(Some(other))).unwrap().1,
            missed(None),
            "nor before the first"
        );
    }

    #[test]
    fn texts_take_no_more_memory_than_they_may() {
        let events = Events::new(7);
        for _ in 0..100 {
            let text = "x".repeat(80_000);
            events.tell(Event::Received(Box::new(Received::of_text(0, text))));
        }
        let ring = events.ring();
        assert!(
            ring.bytes <= BYTES && ring.kept.len() > 40,
            "{}",
            ring.bytes
        );
        assert_eq!(ring.next(), 100);
    }

    #[test]
    fn only_ids_are_ids() {
        let id = EventId { run: 1, number: 2 };
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in [
            "",
            "1",
            "-",
            "0-1",
            "+000000000000001-2",
            "0000000000000001-+2",
            "é-1",
        ] {
            assert!(wrong.parse::<EventId>().is_err(), "{wrong}");
        }
    }
}
