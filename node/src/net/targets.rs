//! How often one machine or network is dialled, however many descriptors name it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::address::network_of;

/// Dials of one machine at once, and how long each counts: one a minute in the long run.
const MACHINE: (u32, Duration) = (16, Duration::from_secs(60));
/// Dials of one network at once, an IPv4 /24 or an IPv6 /64, and how long each counts: three a minute in the
/// long run.
const NETWORK: (u32, Duration) = (64, Duration::from_secs(20));

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Machine(IpAddr),
    /// By its first address.
    Network(IpAddr),
}

impl Target {
    /// What a dial of this address is counted under.
    fn of(ip: IpAddr) -> [Self; 2] {
        [Self::Machine(ip), Self::Network(network_of(ip, 24, 64))]
    }

    const fn bound(self) -> (u32, Duration) {
        match self {
            Self::Machine(_) => MACHINE,
            Self::Network(_) => NETWORK,
        }
    }
}

/// What has been dialled how often. A dial that found who it was for does not count: who is named is
/// there. Loopback is not counted, because it is ourselves.
///
/// Memory: two entries for each dial of the last 21 minutes, and each member has a wait of its own.
#[derive(Default)]
pub(super) struct Targets {
    /// When all of a target's dials will have been forgotten.
    spent: BTreeMap<Target, Instant>,
}

impl Targets {
    /// Counts a dial of this address.
    ///
    /// # Errors
    /// If it was dialled too often: when it may be dialled again.
    pub(super) fn dial(&mut self, now: Instant, ip: IpAddr) -> Result<(), Instant> {
        if ip.is_loopback() {
            return Ok(());
        }
        let targets = Target::of(ip);
        let room = targets.map(|target| self.room(now, target));
        if let Some(later) = room.into_iter().max().filter(|later| *later > now) {
            return Err(later);
        }
        for target in targets {
            let spent = self.spent.entry(target).or_insert(now);
            *spent = (*spent).max(now) + target.bound().1;
        }
        Ok(())
    }

    /// The dial found who it was for.
    pub(super) fn found(&mut self, ip: IpAddr) {
        for target in Target::of(ip) {
            if let Some(spent) = self.spent.get_mut(&target) {
                let earlier = spent.checked_sub(target.bound().1);
                *spent = earlier.unwrap_or(*spent);
            }
        }
    }

    /// Forgets what does not count any more.
    pub(super) fn prune(&mut self, now: Instant) {
        self.spent.retain(|_, spent| *spent > now);
    }

    /// When there is room for one more dial of the target; now or before if there is.
    fn room(&self, now: Instant, target: Target) -> Instant {
        let (most, each) = target.bound();
        let spent = self.spent.get(&target).copied().unwrap_or(now);
        let full = each * (most - 1);
        spent.checked_sub(full).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::net::clock::now;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many of these dials go out, a round of them every second for so long.
    fn dials(ips: &[&str], seconds: u32) -> usize {
        let (mut targets, start) = (Targets::default(), now());
        let ips: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        let mut dialled = 0;
        for second in 0..seconds {
            let now = start + second * SECOND;
            dialled += ips
                .iter()
                .filter(|ip| targets.dial(now, **ip).is_ok())
                .count();
            targets.prune(now);
        }
        dialled
    }

    #[test]
    fn a_target_is_dialled_only_so_often_however_often_it_is_named() {
        let hour = 3600;
        assert_eq!(dials(&["203.0.113.9"; 100], hour), 16 + 59);
        // A network, by other machines each time.
        let network: Vec<String> = (0..250).map(|n| format!("203.0.113.{n}")).collect();
        let network: Vec<&str> = network.iter().map(String::as_str).collect();
        assert_eq!(dials(&network, hour), 64 + 179);
        let network: Vec<String> = (0..250).map(|n| format!("2001:db8::{n:x}")).collect();
        let network: Vec<&str> = network.iter().map(String::as_str).collect();
        assert_eq!(dials(&network, hour), 64 + 179);
        // Others are no part of it.
        let others: Vec<String> = (0..50).map(|n| format!("203.0.{n}.1")).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        assert_eq!(dials(&others, 10), 500);
        assert_eq!(dials(&["127.0.0.1"; 10], 100), 1000, "loopback stays easy");
    }

    #[test]
    fn who_is_there_does_not_count_and_who_waits_is_told_how_long() {
        let (mut targets, now) = (Targets::default(), now());
        let ip = "203.0.113.9".parse().unwrap();
        for _ in 0..1000 {
            assert_eq!(targets.dial(now, ip), Ok(()));
            targets.found(ip);
        }
        for _ in 0..16 {
            assert_eq!(targets.dial(now, ip), Ok(()));
        }
        let later = targets.dial(now, ip).unwrap_err();
        assert_eq!(later, now + 60 * SECOND);
        assert_eq!(targets.dial(later, ip), Ok(()));
        targets.prune(now + 1800 * SECOND);
        assert!(targets.spent.is_empty());
    }
}
