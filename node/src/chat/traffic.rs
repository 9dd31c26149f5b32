//! What moves at this client's link each second: what is somebody's, and the cover that there is whether or not anybody
//! writes. It is the difference between two looks at the daemon's counters.

use std::collections::BTreeMap;

use shoal_proto::Time;

/// Packets with parts of messages that were written here.
const OUT_REAL: [&str; 1] = ["sent_real"];
/// Those that leave anyway.
const OUT_COVER: [&str; 5] = [
    "sent_dummy",
    "sent_token",
    "sent_loop",
    "sent_drop",
    "sent_mailbox",
];
/// Packets with parts of messages for here, and those that tell of one's own. The page counts the same.
const IN_REAL: [&str; 2] = ["stream_entries", "receipts_stored"];
/// All that come.
const IN_ALL: [&str; 8] = [
    "filler",
    "loops_returned",
    "receipts_stored",
    "receipts_refused",
    "answers_dummy",
    "stream_items",
    "late",
    "corrupted",
];

/// Packets a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) out_real: f64,
    pub(super) out_cover: f64,
    pub(super) in_real: f64,
    pub(super) in_cover: f64,
}

/// So many packets of each kind, up to now.
#[derive(Clone, Copy)]
struct Counted {
    at: Time,
    out_real: u64,
    out_cover: u64,
    in_real: u64,
    in_all: u64,
}

/// Looks at the counters again and again.
#[derive(Default)]
pub(super) struct Meter {
    last: Option<Counted>,
    rates: Option<Rates>,
}

impl Meter {
    /// The counters as they are now. Those of a daemon that was started again begin anew.
    pub(super) fn look(&mut self, now: Time, counters: &BTreeMap<String, u64>) {
        let sum = |names: &[&str]| {
            let counts = names.iter().filter_map(|name| counters.get(*name));
            counts.fold(0u64, |sum, count| sum.saturating_add(*count))
        };
        let counted = Counted {
            at: now,
            out_real: sum(&OUT_REAL),
            out_cover: sum(&OUT_COVER),
            in_real: sum(&IN_REAL),
            in_all: sum(&IN_ALL),
        };
        self.rates = self.last.and_then(|last| rates(last, counted));
        self.last = Some(counted);
    }

    /// What was is of no use any more: the daemon is gone.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Between the last two looks; none before there were two.
    pub(super) const fn rates(&self) -> Option<Rates> {
        self.rates
    }
}

fn rates(last: Counted, now: Counted) -> Option<Rates> {
    let secs = now.at.since(last.at).as_secs_f64();
    if secs < 0.1 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "packets of a second")]
    let rate = |before: u64, after: u64| Some(after.checked_sub(before)? as f64 / secs);
    let all = rate(last.in_all, now.in_all)?;
    let in_real = rate(last.in_real, now.in_real)?;
    Some(Rates {
        out_real: rate(last.out_real, now.out_real)?,
        out_cover: rate(last.out_cover, now.out_cover)?,
        in_real,
        in_cover: (all - in_real).max(0.0),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn counters(all: &[(&str, u64)]) -> BTreeMap<String, u64> {
        all.iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    #[test]
    fn the_difference_of_two_looks_is_the_traffic() {
        let mut meter = Meter::default();
        let at = |secs: u64| Time::from_micros(secs * 1_000_000);
        meter.look(
            at(10),
            &counters(&[("sent_real", 5), ("sent_loop", 7), ("filler", 100)]),
        );
        assert_eq!(meter.rates(), None);
        let later = [
            ("sent_real", 7),
            ("sent_loop", 9),
            ("sent_drop", 2),
            ("filler", 112),
            ("stream_items", 5),
            ("stream_entries", 1),
            ("receipts_stored", 1),
        ];
        meter.look(at(12), &counters(&later));
        let rates = meter.rates().unwrap();
        assert_eq!((rates.out_real, rates.out_cover), (1.0, 2.0));
        assert_eq!((rates.in_real, rates.in_cover), (1.0, 8.0));
        // A daemon that was started again.
        meter.look(at(13), &counters(&[("sent_real", 1)]));
        assert_eq!(meter.rates(), None);
    }

    /// A counter that has another name would be counted as nothing.
    #[test]
    fn all_that_is_counted_has_its_name() {
        let counters = shoal_client::Counters::default();
        let names: Vec<&str> = counters.fields().map(|(name, _)| name).collect();
        for name in [&OUT_REAL[..], &OUT_COVER, &IN_REAL, &IN_ALL].concat() {
            assert!(names.contains(&name), "{name}");
        }
        let sent = names
            .iter()
            .filter(|name| name.starts_with("sent_"))
            .count();
        assert_eq!(sent, OUT_REAL.len() + OUT_COVER.len());
        let page = include_str!("../../web/traffic.js");
        let of_page = |list: &str| {
            let begins = format!("const {list} = [");
            let (_, rest) = page.split_once(&begins).unwrap();
            let (names, _) = rest.split_once("];").unwrap();
            let names = names
                .split(", ")
                .map(|name| name.trim_matches('\'').to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(of_page("REAL_IN"), IN_REAL);
        assert_eq!(of_page("IN"), IN_ALL);
        assert_eq!(of_page("REAL_OUT"), OUT_REAL);
    }
}
