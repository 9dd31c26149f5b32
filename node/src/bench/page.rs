//! The mix's metrics, read as an operator's Prometheus would read them.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use shoal_mix::{DropReason, Excess};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the mix may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of a page.
const MOST: u64 = 4 << 20;

/// All series of a page, by their names with labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Page(BTreeMap<String, f64>);

/// What became of packets between two moments, or since the mix began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accounts {
    /// Frames that the mix read.
    pub received: u64,
    /// Handed to the link of the next hop.
    pub forwarded: u64,
    /// Ended at the mix.
    pub delivered: u64,
    /// Dropped, for any reason.
    pub dropped: u64,
    /// Neither yet.
    pub inside: u64,
}

impl Accounts {
    /// Whether each packet is in one of them.
    #[must_use]
    pub const fn balanced(&self) -> bool {
        self.received == self.forwarded + self.delivered + self.dropped + self.inside
    }
}

impl Page {
    /// Asks the mix.
    pub(super) async fn of(port: u16) -> io::Result<Self> {
        let asked = async {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
            let question = b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
            stream.write_all(question).await?;
            let mut answer = String::new();
            stream.take(MOST).read_to_string(&mut answer).await?;
            Ok::<String, io::Error>(answer)
        };
        let answer = timeout(PATIENCE, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.contains(" 200 ") => Ok(Self::read(body)),
            _ => Err(io::Error::other("not a page of metrics")),
        }
    }

    fn read(body: &str) -> Self {
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(series.collect())
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are whole and far below 2^52"
    )]
    pub(super) fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default() as u64
    }

    /// All series of this family, whatever their labels.
    fn sum(&self, family: &str) -> u64 {
        let of = |name: &&String| name.split('{').next() == Some(family);
        self.0.keys().filter(of).map(|name| self.count(name)).sum()
    }

    pub(super) fn accounts(&self) -> Accounts {
        Accounts {
            received: self.count("shoal_mix_received_packets_total"),
            forwarded: self.count("shoal_mix_forwarded_packets_total"),
            delivered: self.count("shoal_mix_delivered_packets_total")
                + self.count("shoal_mix_loops_returned_packets_total"),
            dropped: self.sum("shoal_mix_dropped_packets_total"),
            inside: self.sum("shoal_mix_inside_packets"),
        }
    }

    /// Drops since, by reason; those that were none are left out.
    pub(super) fn drops_since(&self, before: &Self) -> BTreeMap<&'static str, u64> {
        let since = |reason: &DropReason| {
            let reason = reason.as_str();
            let name = format!("shoal_mix_dropped_packets_total{{reason=\"{reason}\"}}");
            (reason, self.count(&name) - before.count(&name))
        };
        let drops = DropReason::ALL.iter().map(since);
        drops.filter(|(_, count)| *count > 0).collect()
    }

    /// What the mix unwraps with.
    pub(super) fn backend(&self) -> Option<String> {
        let of = |name: &String| {
            let rest = name.strip_prefix("shoal_node_build_info{")?;
            let (_, rest) = rest.split_once("backend=\"")?;
            Some(rest.split('"').next()?.to_owned())
        };
        self.0.keys().find_map(of)
    }

    /// The bound in milliseconds of the bucket in which this quantile of the excess since lies: it is at most
    /// that. None of nothing, and above all bounds.
    pub(super) fn excess_at_most(&self, before: &Self, q: f64) -> Option<u64> {
        let family = "shoal_mix_delay_excess_seconds";
        let since = |le: &str| {
            let name = format!("{family}_bucket{{le=\"{le}\"}}");
            self.count(&name) - before.count(&name)
        };
        let rank = since("+Inf") as f64 * q;
        let at_most = |bound: &&u64| {
            let le = **bound as f64 / 1e3;
            rank > 0.0 && since(&le.to_string()) as f64 >= rank
        };
        Excess::BOUNDS_MS.iter().find(at_most).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_a_page_is_read_and_accounted_for() {
        let page = |received: u64| {
            Page::read(&format!(
                "# HELP shoal_mix_received_packets_total x\n\
                 shoal_mix_received_packets_total {received}\n\
                 shoal_mix_forwarded_packets_total 4\n\
                 shoal_mix_dropped_packets_total{{reason=\"mac\"}} 2\n\
                 shoal_mix_dropped_packets_total{{reason=\"overload\"}} 3\n\
                 shoal_mix_inside_packets{{stage=\"pooled\"}} 1\n\
                 shoal_mix_delay_excess_seconds_bucket{{le=\"0.001\"}} 90\n\
                 shoal_mix_delay_excess_seconds_bucket{{le=\"0.002\"}} 99\n\
                 shoal_mix_delay_excess_seconds_bucket{{le=\"+Inf\"}} 100\n"
            ))
        };
        let whole = page(10);
        assert!(whole.accounts().balanced());
        assert_eq!(whole.accounts().dropped, 5);
        assert!(!page(11).accounts().balanced());
        let nothing = Page::default();
        let drops = whole.drops_since(&nothing);
        assert_eq!(drops, BTreeMap::from([("mac", 2), ("overload", 3)]));
        assert!(whole.drops_since(&whole).is_empty());
        let at_most = [0.5, 0.9, 0.99, 0.999].map(|q| whole.excess_at_most(&nothing, q));
        assert_eq!(at_most, [Some(1), Some(1), Some(2), None]);
        assert_eq!(whole.excess_at_most(&whole, 0.5), None);
    }
}
