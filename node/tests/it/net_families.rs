//! Members on machines of their own, with a router between them: two families of addresses of which one is
//! cut, and addresses that change.

use std::collections::{BTreeMap, BTreeSet};

use shoal_node::net::Multiaddr;
use shoal_node::runtime::Clock;
use shoal_proto::{NodeId, Span};
use tokio::time::{interval, timeout};

use crate::namespaces::{Space, Threads, can_be_had};
use crate::net_support::{Got, Node, config, frame};

/// How long it may take until frames pass again: what members are promised.
const PROMISED: Span = Span::from_secs(10);
/// Far longer than that.
const LONG: std::time::Duration = std::time::Duration::from_secs(60);
/// How often each side sends.
const PACE: std::time::Duration = std::time::Duration::from_millis(10);

/// The outside's addresses of two machines, a family each.
const A: [&str; 2] = ["10.77.1.2", "fd77:1::2"];
const B: [&str; 2] = ["10.77.2.2", "fd77:2::2"];
/// Where B is after it has moved.
const MOVED: [&str; 2] = ["10.77.2.3", "fd77:2::3"];

/// A member, and the machine that it is on.
struct Member {
    node: Node,
    space: Space,
    _threads: Threads,
}

/// Two members that are linked, and the router between them.
struct Two {
    a: Member,
    b: Member,
    router: Space,
}

fn addresses(ips: &[&str], transport: &str) -> Vec<Multiaddr> {
    let all = ips.iter().map(|ip| {
        let family = if ip.contains(':') { "ip6" } else { "ip4" };
        format!("/{family}/{ip}/{transport}").parse().unwrap()
    });
    all.collect()
}

fn only(peer: NodeId, addresses: Vec<Multiaddr>) -> BTreeMap<NodeId, Vec<Multiaddr>> {
    BTreeMap::from([(peer, addresses)])
}

impl Two {
    /// Members with these identities and addresses, by this transport.
    async fn new(seeds: [u8; 2], ips: [&[&str]; 2], transport: &'static str) -> Self {
        let router = Space::router();
        let mut members = Vec::new();
        for (side, (seed, [v4, v6])) in (1..).zip(seeds.into_iter().zip([A, B])) {
            let space = Space::new();
            let gates = [format!("10.77.{side}.1"), format!("fd77:{side}::1")];
            let (device, ends) = (format!("down{side}"), |ip: &str, gate: &str, bits| {
                [format!("{ip}/{bits}"), format!("{gate}/{bits}")]
            });
            let ends = [ends(v4, &gates[0], 24), ends(v6, &gates[1], 64)];
            space.cable(&router, ("out", &device), &ends);
            routes(&space, &gates);
            let threads = space.runtime();
            let listen = addresses(&["0.0.0.0", "::"], transport);
            let start = async move {
                let listen: Vec<String> = listen.iter().map(ToString::to_string).collect();
                let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
                Node::start(config(seed, &listen)).await.unwrap()
            };
            let node = threads.run(start).await;
            let _threads = threads;
            members.push(Member {
                node,
                space,
                _threads,
            });
        }
        let (mut b, mut a) = (members.pop().unwrap(), members.pop().unwrap());
        a.node.packets(&[b.node.id]);
        b.node.packets(&[a.node.id]);
        let [of_a, of_b] = ips.map(|ips| addresses(ips, transport));
        b.node.net.set_peers(only(a.node.id, of_a));
        a.node.net.set_peers(only(b.node.id, of_b));
        a.node.link_up(b.node.id).await;
        b.node.link_up(a.node.id).await;
        let two = Self { a, b, router };
        // Two that dialled each other at once agree on one of two connections.
        let settled = async {
            let mut pace = interval(PACE);
            while two.connections() != [1, 1] {
                pace.tick().await;
            }
        };
        timeout(LONG, settled).await.expect("one is left");
        two
    }

    fn connections(&self) -> [u64; 2] {
        [&self.a, &self.b].map(|member| member.node.net.open_connections().total())
    }

    /// Nothing of this family passes the router any more, and nobody is told so.
    fn cut(&self, family: usize) {
        let flag = ["-4", "-6"][family];
        for ip in [A[family], B[family]] {
            self.router.ip(&format!("{flag} route add blackhole {ip}"));
        }
    }

    /// B has other addresses from now on, and its old ones are nobody's.
    fn move_b(&self) {
        let Member { space, .. } = &self.b;
        for (family, bits) in [(0, 24), (1, 64)] {
            space.ip(&format!("addr del {}/{bits} dev out", B[family]));
            space.ip(&format!("addr add {}/{bits} dev out", MOVED[family]));
        }
        // The system forgets the ways of an address with it.
        space.ip("route replace default via 10.77.2.1");
        space.ip("-6 route replace default via fd77:2::1");
    }

    fn nodes(&mut self) -> [&mut Node; 2] {
        [&mut self.a.node, &mut self.b.node]
    }
}

fn routes(space: &Space, [v4, v6]: &[String; 2]) {
    space.ip(&format!("route add default via {v4}"));
    space.ip(&format!("-6 route add default via {v6}"));
}

/// What one side sent, and what of it arrived.
#[derive(Default)]
struct Sent {
    taken: u64,
    arrived: BTreeSet<u64>,
    /// Frames that it counted as lost when it began.
    counted: u64,
}

fn counted(node: &Node) -> u64 {
    let stats = node.net.stats();
    stats.unconfirmed + stats.abandoned
}

/// Sends both ways, as nodes do, until frames that are sent from now on arrive on both sides, and everything that
/// was taken has arrived or is lost. `do_at` is done at each moment. Gives what each side sent, and how long it took until
/// frames arrived.
async fn carried(two: &mut Two, mut do_at: impl FnMut(&Two, Span)) -> ([Sent; 2], Span) {
    let clock = Clock::start();
    let start = clock.now();
    let mut sent = [Sent::default(), Sent::default()];
    for (side, node) in sent.iter_mut().zip(two.nodes()) {
        side.counted = counted(node);
    }
    let carrying = async {
        let mut pace = interval(PACE);
        while sent.iter().any(|side| side.arrived.is_empty()) {
            pace.tick().await;
            do_at(two, clock.now().since(start));
            pass(two, &mut sent, true);
        }
    };
    timeout(LONG, carrying).await.expect("another way carries");
    let took = clock.now().since(start);
    // Frames arrive in order, so the last one tells that the others did or never will.
    let ending = async {
        let mut pace = interval(PACE);
        let last = |side: &Sent| side.taken.checked_sub(1) == side.arrived.last().copied();
        while !sent.iter().all(last) {
            pace.tick().await;
            pass(two, &mut sent, false);
        }
    };
    timeout(LONG, ending).await.expect("the last ones arrive");
    (sent, took)
}

/// Sends a frame each way, and takes what has come.
fn pass(two: &mut Two, sent: &mut [Sent; 2], send: bool) {
    let nodes = two.nodes();
    for (from, to) in [(0, 1), (1, 0)] {
        let (side, peer) = (&mut sent[from], nodes[to].id);
        // Who has no link, or one whose ring is full, loses the frame itself, and knows it.
        if send && nodes[from].net.try_send(&peer, frame(side.taken)).is_ok() {
            side.taken += 1;
        }
        let peer = nodes[from].id;
        while let Ok(got) = nodes[to].got.try_recv() {
            match got {
                Got::Frame(from, number) if from == peer => side.arrived.insert(number),
                _ => panic!("that was not sent"),
            };
        }
    }
}

/// What was taken and did not arrive is counted as lost. What arrived just before and could not be confirmed any
/// more is counted too; questions come every second.
#[allow(clippy::print_stdout, reason = "what was measured is worth reading")]
fn losses_are_counted(two: &mut Two, sent: &[Sent; 2], took: Span) {
    for (side, node) in sent.iter().zip(two.nodes()) {
        let lost = side.taken - u64::try_from(side.arrived.len()).unwrap();
        let counted = counted(node) - side.counted;
        println!(
            "{:.1} s until frames passed: {lost} of {} lost, {counted} counted",
            took.as_secs_f64(),
            side.taken
        );
        assert!(lost > 0, "it was cut");
        assert!((lost..lost + 300).contains(&counted));
    }
    assert!(took < PROMISED, "{took:?}");
}

/// One that is linked by this family alone, until both know the other's addresses of both.
async fn one_of_two_families_is_cut(transport: &'static str, family: usize) {
    if !can_be_had(&[]) {
        return;
    }
    let first = family..=family;
    let mut two = Two::new([1, 2], [&A[first.clone()], &B[first]], transport).await;
    let [a, b] = [&two.a.node, &two.b.node];
    a.net.set_peers(only(b.id, addresses(&B, transport)));
    b.net.set_peers(only(a.id, addresses(&A, transport)));
    let (before, _) = carried(&mut two, |_, _| {}).await;
    let whole = |side: &Sent| side.taken == side.arrived.len() as u64;
    assert!(before.iter().all(whole), "nothing is lost before");
    two.cut(family);
    let (sent, took) = carried(&mut two, |_, _| {}).await;
    losses_are_counted(&mut two, &sent, took);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ip4_is_cut_and_ip6_carries_over_tcp() {
    one_of_two_families_is_cut("tcp/4140", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ip6_is_cut_and_ip4_carries_over_tcp() {
    one_of_two_families_is_cut("tcp/4140", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ip4_is_cut_and_ip6_carries_over_quic() {
    one_of_two_families_is_cut("udp/4140/quic-v1", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ip6_is_cut_and_ip4_carries_over_quic() {
    one_of_two_families_is_cut("udp/4140/quic-v1", 1).await;
}

/// The one that has moved knows where the others are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_other_addresses_reaches_the_others_by_itself() {
    if !can_be_had(&[]) {
        return;
    }
    for seeds in [[1, 2], [2, 1]] {
        let mut two = Two::new(seeds, [&A, &B], "tcp/4140").await;
        two.move_b();
        let (sent, took) = carried(&mut two, |_, _| {}).await;
        losses_are_counted(&mut two, &sent, took);
    }
}

/// The one that has moved can't dial the other, which hears so long after it where it is now: before and after the
/// old connection was found dead.
async fn who_has_moved_is_reached(announced: Span, transport: &'static str) {
    if !can_be_had(&[]) {
        return;
    }
    for seeds in [[1, 2], [2, 1]] {
        let mut two = Two::new(seeds, [&[], &B], transport).await;
        let mut told = false;
        two.move_b();
        let announce = |two: &Two, since| {
            if !told && since >= announced {
                told = true;
                let moved = addresses(&MOVED, transport);
                two.a.node.net.set_peers(only(two.b.node.id, moved));
            }
        };
        let (sent, took) = carried(&mut two, announce).await;
        losses_are_counted(&mut two, &sent, took);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_moved_and_said_so_at_once_is_reached() {
    who_has_moved_is_reached(Span::from_secs(1), "tcp/4140").await;
    who_has_moved_is_reached(Span::from_secs(1), "udp/4140/quic-v1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_moved_and_said_so_late_is_reached_at_once() {
    who_has_moved_is_reached(Span::from_secs(6), "tcp/4140").await;
    who_has_moved_is_reached(Span::from_secs(6), "udp/4140/quic-v1").await;
}
