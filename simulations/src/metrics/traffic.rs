//! Latency, overhead and loss by kind of traffic, from what the engine counts.
//!
//! Only packets that were sent in the measurement count. Nothing is inferred.

use super::sheet::{Sheet, count, share};
use crate::engine::{Counters, Kind, Loss, Outcome};
use crate::measure::Claim;
use crate::scenario::Latency;

/// Packets of Shoal, the only size there is: header and payload.
const PACKET_BYTES: usize = shoal_proto::size::PACKET_BYTES;

/// More of the packets than this share under way at the end, and latencies are called censored.
const CENSORED: f64 = 1e-3;

/// What may be claimed of the latencies and ends of packets of which so many were still under way
/// when the run ended: those that take long are missing.
pub(super) fn claim(counters: &Counters) -> Claim {
    let (under_way, sent) = (counters.under_way(), counters.sent);
    if share(under_way, sent).is_some_and(|share| share > CENSORED) {
        Claim::Censored { under_way, sent }
    } else {
        Claim::Counted
    }
}

/// The same of a quantile. If all that were under way take longer than all others, it is really one
/// of so much lower rank: that may be a tenth of what lies above it.
fn claim_of_quantile(quantile: f64, counters: &Counters) -> Claim {
    let (under_way, sent) = (counters.under_way(), counters.sent);
    let most = CENSORED.min(0.1 * (1.0 - quantile));
    if share(under_way, sent).is_some_and(|share| share > most) {
        Claim::Censored { under_way, sent }
    } else {
        Claim::Counted
    }
}

/// Mean, standard deviation and quantiles of the time from sending to the end, by kind; for
/// messages also from their making on, the wait in the buffer included.
pub(super) fn latency(asked: &Latency, outcome: &Outcome, sheet: &mut Sheet) {
    for kind in Kind::ALL {
        let name = kind.as_str();
        for (label, buffered) in [("latency", false), ("latency_with_buffer", true)] {
            if buffered && kind != Kind::Real {
                continue;
            }
            let histogram = outcome.latency(kind, buffered);
            let counters = outcome.measured(kind);
            let claim = claim(&counters);
            let none_ended = histogram.count() == 0 && claim == Claim::Counted;
            if none_ended && kind != Kind::Real {
                continue;
            }
            let mut put = |what: String, value, claim: &Claim| {
                sheet.put(None, (format!("{label}_{what}.{name}"), "s"), value, claim);
            };
            put("mean".to_owned(), histogram.mean(), &claim);
            let deviation = histogram.variance().map(f64::sqrt);
            put("deviation".to_owned(), deviation, &claim);
            for quantile in &asked.quantiles {
                let claim = claim_of_quantile(*quantile, &counters);
                put(
                    quantile_name(*quantile),
                    histogram.quantile(*quantile),
                    &claim,
                );
            }
        }
    }
}

/// `p99` for 0.99, `p99.9` for 0.999.
fn quantile_name(quantile: f64) -> String {
    // Ten digits: 0.29 * 100 is 28.999999999999996.
    let percent = (quantile * 1e12).round() / 1e10;
    format!("p{percent}")
}

/// Packets, link crossings and bytes for each message that was delivered, and losses, by kind.
pub(super) fn overhead(outcome: &Outcome, sheet: &mut Sheet) {
    let messages = outcome.measured(Kind::Real);
    let mut all = Counters::default();
    for kind in Kind::ALL {
        let counters = outcome.measured(kind);
        put_overhead(sheet, kind.as_str(), &counters, &messages);
        all.sent += counters.sent;
        all.delivered += counters.delivered;
        all.crossings += counters.crossings;
        for (sum, lost) in all.lost.iter_mut().zip(counters.lost) {
            *sum += lost;
        }
    }
    put_overhead(sheet, "all", &all, &messages);
    let refused = count(outcome.refused);
    sheet.put(
        None,
        ("messages_refused", "messages"),
        Some(refused),
        &Claim::Counted,
    );
}

fn put_overhead(sheet: &mut Sheet, kind: &str, counters: &Counters, messages: &Counters) {
    let mut put = |name: &str, unit: &str, value, claim: &Claim| {
        sheet.put(None, (format!("{name}.{kind}"), unit), value, claim);
    };
    // Where packets are cut off by the end of the run, so are the messages that these are for.
    let of_both = match (claim(messages), claim(counters)) {
        (cut @ Claim::Censored { .. }, _) | (_, cut) => cut,
    };
    let per_message = |number: u64| share(number, messages.delivered);
    let packets = per_message(counters.sent);
    put("packets_per_message", "packets", packets, &of_both);
    let hops = per_message(counters.crossings);
    put("hops_per_message", "packets", hops, &of_both);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a packet has a few thousand bytes"
    )]
    let bytes = hops.map(|hops| hops * PACKET_BYTES as f64);
    put("bytes_per_message", "bytes", bytes, &of_both);
    let own = claim(counters);
    let of_sent = |part: u64| share(part, counters.sent);
    put("delivered", "1", of_sent(counters.delivered), &own);
    put("lost", "1", of_sent(counters.lost_in_all()), &own);
    for (reason, lost) in Loss::ALL.iter().zip(counters.lost) {
        if lost > 0 {
            let name = format!("lost_{}", reason.as_str());
            put(&name, "1", of_sent(lost), &own);
        }
    }
    let under_way = of_sent(counters.under_way());
    put("under_way_at_end", "1", under_way, &Claim::Counted);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Flow;
    use crate::measure::Measured;

    fn value(rows: &[Measured], name: &str) -> Option<f64> {
        rows.iter().find(|row| row.name == name).unwrap().value
    }

    #[test]
    fn latencies_of_packets_that_were_cut_off_are_censored() {
        let flow = |sent, delivered| {
            let mut flow = Flow::default();
            flow.counters.sent = sent;
            flow.counters.delivered = delivered;
            (0..delivered).for_each(|_| flow.latency.add(1.0));
            flow
        };
        let none = Flow::default;
        let flows = [
            flow(2000, 1998),
            none(),
            flow(2001, 1998),
            flow(5, 0),
            none(),
        ];
        let outcome = Outcome {
            flows: vec![flows],
            ..Outcome::default()
        };
        let mut sheet = Sheet::default();
        let asked = Latency {
            quantiles: vec![0.5, 0.99, 0.999, 1.0],
        };
        latency(&asked, &outcome, &mut sheet);
        let rows = sheet.into_rows();
        let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
        let censored = |under_way, sent| Claim::Censored { under_way, sent };
        assert_eq!(row("latency_mean.real").claim, Claim::Counted);
        assert_eq!(row("latency_mean.loop").claim, censored(3, 2001));
        // Of 2000 two were under way: as many as there are above the quantile of 0.999.
        for (quantile, claim) in [
            ("p50", Claim::Counted),
            ("p99", Claim::Counted),
            ("p99.9", censored(2, 2000)),
            ("p100", censored(2, 2000)),
        ] {
            assert_eq!(row(&format!("latency_{quantile}.real")).claim, claim);
        }
        // None arrived: that is said, and not left out.
        let drop = row("latency_mean.drop");
        assert_eq!((drop.value, &drop.claim), (None, &censored(5, 5)));
    }

    #[test]
    fn a_run_of_three_packets() {
        let mut real = Flow {
            counters: Counters {
                sent: 2,
                delivered: 1,
                lost: [1, 0, 0],
                crossings: 6,
            },
            ..Flow::default()
        };
        real.latency.add(2.0);
        let mut cover = Flow {
            counters: Counters {
                sent: 1,
                delivered: 1,
                lost: [0; 3],
                crossings: 4,
            },
            ..Flow::default()
        };
        cover.latency.add(1.0);
        cover.latency.add(3.0);
        let outcome = Outcome {
            flows: vec![[
                real,
                Flow::default(),
                cover,
                Flow::default(),
                Flow::default(),
            ]],
            ..Outcome::default()
        };
        let mut sheet = Sheet::default();
        latency(&Latency::default(), &outcome, &mut sheet);
        overhead(&outcome, &mut sheet);
        let rows = sheet.into_rows();
        assert_eq!(value(&rows, "latency_mean.real"), Some(2.0));
        assert_eq!(value(&rows, "latency_mean.loop"), Some(2.0));
        assert_eq!(value(&rows, "latency_deviation.loop"), Some(1.0));
        assert!((value(&rows, "latency_p99.loop").unwrap() - 3.0).abs() < 0.003);
        assert_eq!(value(&rows, "packets_per_message.loop"), Some(1.0));
        assert_eq!(value(&rows, "hops_per_message.all"), Some(10.0));
        assert_eq!(value(&rows, "bytes_per_message.all"), Some(23_960.0));
        assert_eq!(value(&rows, "lost_link.real"), Some(0.5));
        assert_eq!(value(&rows, "delivered.all"), Some(2.0 / 3.0));
        assert_eq!(quantile_name(0.29), "p29");
        assert_eq!(quantile_name(0.999), "p99.9");
    }
}
