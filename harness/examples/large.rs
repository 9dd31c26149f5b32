//! What a network of a given size takes: wall time, events and peak memory.
//!
//! ```sh
//! cargo run -p shoal-harness --example large -- NODES CLIENTS SECONDS EPOCH
//! ```
//!
//! The last two are lengths of time, in virtual seconds. A tenth of the nodes are providers, the rest are mixes in three layers. Clients send few packets.
#![expect(clippy::print_stdout, reason = "it is what it is for")]

use std::error::Error;
use std::time::Instant;

use shoal_harness::{Network, NetworkBuilder};
use shoal_proto::Span;
use shoal_topology::Profile;

/// Few packets.
const QUIET: Profile = Profile {
    real: 0.02,
    loops: 0.01,
    drops: 0.01,
    mailbox: 0.02,
    mailbox_clock: 0.05,
    downlink: 0.1,
    copies: 2,
};
/// Long enough for any network to come up.
const START: Span = Span::from_secs(1800);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |usual: u64| match arguments.next() {
        Some(text) => text.parse().map_err(|_| format!("{text} is no number")),
        None => Ok(usual),
    };
    let (nodes, clients, seconds) = (number(1000)?, number(2000)?, number(120)?);
    let epoch = Span::from_secs(number(3600)?);
    let clock = start();
    let builder = builder(usize::try_from(nodes)?, usize::try_from(clients)?);
    let mut network = builder.epoch(epoch).build()?;
    report(&network, clock, "built");
    let up = network.bring_up(START)?;
    report(&network, clock, if up { "up" } else { "not up in time" });
    network.run_for(Span::from_secs(seconds))?;
    report(&network, clock, "at the end");
    network.check()?;
    Ok(())
}

fn builder(nodes: usize, clients: usize) -> NetworkBuilder {
    let providers = (nodes / 10).max(2);
    Network::builder(1)
        .mixes(3, nodes.saturating_sub(providers) / 3)
        .providers(providers)
        .loop_rate(0.01)
        .profile("quiet", QUIET)
        .clients(clients, "quiet")
}

#[expect(clippy::disallowed_methods, reason = "it measures the wall clock")]
fn start() -> Instant {
    Instant::now()
}

fn report(network: &Network, clock: Instant, state: &str) {
    let virtual_s = network.now().since(network.params().genesis).as_secs_f64();
    let (asked, done) = network.jobs();
    let nodes = network.nodes().count();
    println!(
        "{nodes} nodes and {} clients {state}: {virtual_s:.1} s of virtual time in {:.1} s, {} \
         events, {done} jobs done for {asked}, {} MiB at most",
        network.clients().count(),
        clock.elapsed().as_secs_f64(),
        network.events(),
        peak_mib().map_or("?".to_owned(), |mib| mib.to_string()),
    );
}

/// The most memory that this process has had resident (`VmHWM` of Linux).
fn peak_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024)
}
