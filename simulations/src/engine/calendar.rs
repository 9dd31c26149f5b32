//! Events by window of time, and their order within a window.

/// Something that happens to a packet at a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) time: f64,
    pub(super) slot: u32,
    /// Counted within the stage; the top bits may carry a mark.
    pub(super) node: u32,
}

impl Event {
    fn before(&self, other: &Self) -> bool {
        self.time < other.time || (self.time == other.time && self.slot < other.slot)
    }
}

/// Windows that have a list of their own; what is further off waits in one list.
const RING: u64 = 256;

/// Events that are still to come, by window.
pub(super) struct Calendar {
    ring: Vec<Vec<Event>>,
    far: Vec<Event>,
    per_second: f64,
    now: u64,
}

impl Calendar {
    /// For windows of this length in seconds.
    pub(super) fn new(length: f64) -> Self {
        Self {
            ring: vec![Vec::new(); RING as usize],
            far: Vec::new(),
            per_second: 1.0 / length,
            now: 0,
        }
    }

    /// Adds an event, in its window or in `earliest` if that comes later.
    #[inline]
    pub(super) fn push(&mut self, event: Event, earliest: u64) {
        let window = ((event.time * self.per_second) as u64).max(earliest);
        if window - self.now < RING {
            self.ring[(window % RING) as usize].push(event);
        } else {
            self.far.push(event);
        }
    }

    /// Goes on to a window, each in turn.
    pub(super) fn enter(&mut self, window: u64) {
        self.now = window;
        if window.is_multiple_of(RING) {
            for event in std::mem::take(&mut self.far) {
                self.push(event, window);
            }
        }
    }

    /// Whether the present window has no events.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.ring[(self.now % RING) as usize].is_empty()
    }

    /// The events of the present window, which are then gone. The other list, emptied, is kept
    /// for its memory.
    pub(super) fn take(&mut self, emptied: &mut Vec<Event>) {
        emptied.clear();
        let list = &mut self.ring[(self.now % RING) as usize];
        std::mem::swap(list, emptied);
    }
}

/// A bucket with more events than this is sorted by comparison first.
const CROWDED: u32 = 24;

/// Sorts events by node and time, with buckets of time for each node: a few steps per event as
/// long as they are spread over the window.
#[derive(Default)]
pub(super) struct Sorter {
    /// Of each bucket where it starts, then where it ends.
    places: Vec<u32>,
    /// Of each node where its events start, and the end of all.
    bounds: Vec<usize>,
    sorted: Vec<Event>,
}

impl Sorter {
    /// Sorts what is in `events`, which all belong to nodes below `nodes` and, but for rounding,
    /// to the window from `start` that is `length` long.
    pub(super) fn sort(&mut self, events: &[Event], nodes: usize, start: f64, length: f64) {
        let each = (events.len() / nodes.max(1)).next_power_of_two();
        let scale = each as f64 / length;
        let bucket = |event: &Event| {
            let time = ((event.time - start) * scale) as usize;
            event.node as usize * each + time.min(each - 1)
        };
        self.places.clear();
        self.places.resize(nodes * each + 1, 0);
        for event in events {
            self.places[bucket(event)] += 1;
        }
        let mut next = 0;
        let mut crowded = false;
        for place in &mut self.places {
            let count = *place;
            crowded |= count > CROWDED;
            *place = next;
            next += count;
        }
        self.bounds.clear();
        self.bounds
            .extend((0..=nodes).map(|node| self.places[node * each] as usize));
        let nothing = Event {
            time: 0.0,
            slot: 0,
            node: 0,
        };
        self.sorted.resize(events.len(), nothing);
        for event in events {
            let place = &mut self.places[bucket(event)];
            self.sorted[*place as usize] = *event;
            *place += 1;
        }
        if crowded {
            self.sort_crowded();
        }
        for pair in self.bounds.windows(2) {
            insertion_sort(&mut self.sorted[pair[0]..pair[1]]);
        }
    }

    /// After the events are in their buckets, when each place is its bucket's end.
    fn sort_crowded(&mut self) {
        let mut start = 0;
        for end in &self.places {
            if end - start > CROWDED {
                let bucket = &mut self.sorted[start as usize..*end as usize];
                bucket.sort_unstable_by(|a, b| a.time.total_cmp(&b.time).then(a.slot.cmp(&b.slot)));
            }
            start = *end;
        }
    }

    /// Where a node's events are.
    pub(super) fn bounds(&self, node: usize) -> std::ops::Range<usize> {
        self.bounds[node]..self.bounds[node + 1]
    }

    /// All events, node by node.
    pub(super) fn sorted(&self) -> &[Event] {
        &self.sorted
    }

    /// The same, to be marked.
    pub(super) fn sorted_mut(&mut self) -> &mut [Event] {
        &mut self.sorted
    }
}

fn insertion_sort(events: &mut [Event]) {
    for end in 1..events.len() {
        let event = events[end];
        let mut place = end;
        while place > 0 && event.before(&events[place - 1]) {
            events[place] = events[place - 1];
            place -= 1;
        }
        events[place] = event;
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    fn events(count: usize, nodes: u32, clumped: bool) -> Vec<Event> {
        let mut rng = crate::seed::generator(1, 0, "events", count as u64);
        let mut event = |slot: usize| Event {
            time: if clumped && slot.is_multiple_of(2) {
                7.25
            } else {
                rng.random_range(7.0..8.0)
            },
            slot: slot as u32,
            node: rng.random_range(0..nodes),
        };
        (0..count).map(&mut event).rev().collect()
    }

    #[test]
    fn events_are_in_order_by_node_time_and_slot() {
        let mut sorter = Sorter::default();
        for (count, nodes, clumped) in [
            (0, 3, false),
            (1, 1, false),
            (1000, 7, false),
            (1000, 7, true),
            (999, 1, true),
            (20, 1, true),
        ] {
            let events = events(count, nodes, clumped);
            sorter.sort(&events, nodes as usize, 7.0, 1.0);
            let mut expected = events.clone();
            expected.sort_by(|a, b| {
                (a.node.cmp(&b.node))
                    .then(a.time.total_cmp(&b.time))
                    .then(a.slot.cmp(&b.slot))
            });
            assert_eq!(sorter.sorted(), expected);
            for node in 0..nodes {
                assert!(
                    sorter.sorted()[sorter.bounds(node as usize)]
                        .iter()
                        .all(|e| e.node == node)
                );
            }
        }
    }

    #[test]
    fn an_event_comes_in_its_window_however_far() {
        let mut calendar = Calendar::new(0.5);
        let times = [0.2, 0.5, 1.6, 127.9, 128.0, 500.3, 10_000.0];
        for (slot, time) in (0..).zip(times) {
            calendar.push(
                Event {
                    time,
                    slot,
                    node: 0,
                },
                0,
            );
        }
        let (mut seen, mut list) = (Vec::new(), Vec::new());
        for window in 0..=20_000 {
            calendar.enter(window);
            calendar.take(&mut list);
            assert!(list.iter().all(|event| (event.time / 0.5) as u64 == window));
            seen.extend(list.iter().map(|event| event.slot));
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
    }
}
