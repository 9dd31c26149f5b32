//! What somebody sees who watches a client's link.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Exp1};
use shoal_client::ClientEvent;
use shoal_harness::{Network, Party};
use shoal_packet::Frame;
use shoal_proto::size::FRAME_BYTES;
use shoal_proto::{Span, Time};

use crate::support::{QUIET, START, close_books, received, secs};

/// What the client does meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Idle,
    Busy,
    /// Busy, and broken on purpose: what the user sends leaves at once.
    Impatient,
}

struct Watched {
    up: Vec<Time>,
    down: Vec<Time>,
}

/// Watches the link of the first of two clients for so long.
fn watch(seed: u64, life: Life, seconds: u64) -> Watched {
    let mut network = Network::builder(seed)
        .profile("quiet", QUIET)
        .client("default", 0, 1)
        .client("quiet", 1, 2)
        .loop_rate(0.1)
        .keep_trace()
        .build()
        .unwrap();
    assert!(network.bring_up(START).unwrap());
    network.run_for(secs(5)).unwrap();
    let clients: Vec<Party> = network.clients().collect();
    let (watched, other) = (clients[0], clients[1]);
    let from = network.now();
    if life == Life::Idle {
        network.run_for(secs(seconds)).unwrap();
    } else {
        live(&mut network, watched, other, life, seconds);
        let texts = received(network.happenings());
        let count = |client| texts.keys().filter(|(to, _)| *to == client).count();
        assert!(count(watched) > 5 && count(other) > 5);
    }
    let entry = network.entry(watched).unwrap();
    let window = from..from + secs(seconds);
    let within = |mut instants: Vec<Time>| {
        instants.retain(|at| window.contains(at));
        instants
    };
    let up = network.sent_at(watched, entry);
    let down = network.sent_at(entry, watched);
    assert_eq!(
        network.bytes(watched, entry),
        (up.len() * FRAME_BYTES) as u64
    );
    assert_eq!(
        network.bytes(entry, watched),
        (down.len() * FRAME_BYTES) as u64
    );
    let (up, down) = (within(up), within(down));
    close_books(&mut network);
    Watched { up, down }
}

/// Every four seconds, four messages one way and one the other.
fn live(network: &mut Network, watched: Party, other: Party, life: Life, seconds: u64) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    for round in 0..seconds / 4 {
        network
            .send(other, watched, format!("answer {round}"))
            .unwrap();
        for number in 0..4 {
            network
                .send(watched, other, format!("question {round} {number}"))
                .unwrap();
            network.take_accepted(watched, life, &mut rng);
        }
        network.run_for(secs(4)).unwrap();
    }
}

trait Impatience {
    fn take_accepted(&mut self, client: Party, life: Life, rng: &mut ChaCha20Rng);
}

impl Impatience for Network {
    /// Waits until the message is taken; a broken client sends a frame at that moment, and skips
    /// its next turn, so that it sends as often as before.
    fn take_accepted(&mut self, client: Party, life: Life, rng: &mut ChaCha20Rng) {
        let accepted = |network: &Self| {
            let taken = |h: &&shoal_harness::Happening| {
                h.client == client && matches!(h.client_event(), Some(ClientEvent::Accepted { .. }))
            };
            network.happenings().iter().filter(taken).count()
        };
        let before = accepted(self);
        let taken = self.run_until_done(Span::from_millis(100), |n| accepted(n) > before);
        assert!(taken.unwrap());
        if life == Life::Impatient {
            let byte = self.epoch().byte();
            assert!(self.send_at_once(client, Frame::filler(rng, byte)).unwrap());
        }
    }
}

#[test]
fn a_link_shows_nothing_of_what_the_user_does() {
    let idle = watch(10, Life::Idle, 60);
    let busy = watch(10, Life::Busy, 60);
    assert!(idle.up.len() > 150 && idle.down.len() > 350);
    assert_eq!(idle.up, busy.up);
    assert_eq!(idle.down, busy.down);
}

fn exponential(rate: f64) -> Vec<f64> {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let unit = || -> f64 { Exp1.sample(&mut rng) };
    std::iter::repeat_with(unit)
        .take(50_000)
        .map(|x| x / rate)
        .collect()
}

#[test]
fn two_sample_tests_find_a_client_that_sends_at_once_and_no_other() {
    // Other seeds than each other's, as somebody on the link would have it.
    let idle = watch(11, Life::Idle, 100);
    let busy = watch(12, Life::Busy, 100);
    let impatient = watch(12, Life::Impatient, 100);
    assert!(idle.up.len() > 300 && impatient.up.len() > 300);
    let compare = |a: &[Time], b: &[Time]| {
        shoal_stats::ks_two_sample(&shoal_stats::intervals(a), &shoal_stats::intervals(b)).unwrap()
    };
    let (up, down) = (compare(&idle.up, &busy.up), compare(&idle.down, &busy.down));
    // Merged, the four processes of the default profile are one of 3.6 a second.
    let memoryless = [
        (&idle.up, 3.6),
        (&busy.up, 3.6),
        (&idle.down, 8.0),
        (&busy.down, 8.0),
    ];
    for (instants, rate) in memoryless {
        let exact = exponential(rate);
        let ks = shoal_stats::ks_two_sample(&shoal_stats::intervals(instants), &exact).unwrap();
        assert!(
            ks.p_value > 0.001,
            "not a Poisson process of {rate}/s: {ks:?}"
        );
    }
    let broken = compare(&idle.up, &impatient.up);
    println!(
        "p-values: up {:.3}, down {:.3}, broken {:.2e}",
        up.p_value, down.p_value, broken.p_value
    );
    assert!(up.p_value > 0.001 && down.p_value > 0.001);
    assert!(broken.p_value < 1e-4);
}
