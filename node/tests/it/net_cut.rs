//! Ways that are cut without a word, and nodes of other networks.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use shoal_node::net::{Multiaddr, NetEvent, hello_at};
use shoal_node::runtime::Clock;
use shoal_proto::{NetworkHash, NodeId, Span};
use shoal_roles::RequestKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{interval, timeout};

use crate::net_support::{Got, Node, QUIC, TCP, config, frame};

/// Far longer than anything takes here, and than it took before: a minute.
const LONG: Duration = Duration::from_secs(90);

/// How long the other way may take to carry what is sent; far more than it does.
const SECONDS: Span = Span::from_secs(20);

/// Passes connections on, until it swallows everything without a word.
struct Way {
    port: u16,
    /// Connections that came, and those of them that were passed on.
    came: watch::Receiver<u32>,
    used: watch::Receiver<u32>,
    /// How many pass something on now.
    passing: watch::Receiver<u32>,
    /// Whether connections are passed on.
    open: watch::Sender<bool>,
    is_cut: watch::Sender<bool>,
}

/// Passes a connection on; if it is slow, at 40 kB a second, but for what comes back.
async fn pass(near: &mut TcpStream, far: &mut TcpStream, slow: bool) -> std::io::Result<()> {
    if !slow {
        return copy_bidirectional(near, far).await.map(drop);
    }
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) =
        (near.split(), far.split());
    let there = async {
        let (mut bytes, mut pace) = ([0; 2000], interval(Duration::from_millis(50)));
        loop {
            pace.tick().await;
            let read = near_read.read(&mut bytes).await?;
            if read == 0 {
                return Ok(());
            }
            far_write.write_all(&bytes[..read]).await?;
        }
    };
    tokio::select! {
        done = there => done,
        done = copy(&mut far_read, &mut near_write) => done.map(drop),
    }
}

impl Way {
    async fn to(far: SocketAddr) -> Self {
        Self::new(far, false).await
    }

    async fn new(far: SocketAddr, slow: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (count, used) = watch::channel(0);
        let (counts_all, came) = watch::channel(0);
        let (counts_passing, passing) = watch::channel(0);
        let (open, is_open) = watch::channel(true);
        let (cuts, is_cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                counts_all.send_modify(|count| *count += 1);
                let (mut is_cut, mut is_open) = (is_cut.clone(), is_open.clone());
                let (count, counts_passing) = (count.clone(), counts_passing.clone());
                tokio::spawn(async move {
                    let _ = is_open.wait_for(|open| *open).await;
                    counts_passing.send_modify(|passing| *passing += 1);
                    let mut ended = false;
                    if !*is_cut.borrow() {
                        let mut far = TcpStream::connect(far).await.unwrap();
                        count.send_modify(|count| *count += 1);
                        tokio::select! {
                            biased;
                            _ = is_cut.wait_for(|cut| *cut) => {}
                            _ = pass(&mut near, &mut far, slow) => ended = true,
                        }
                        if !ended {
                            std::mem::forget(far);
                        }
                    }
                    counts_passing.send_modify(|passing| *passing -= 1);
                    if ended {
                        return;
                    }
                    // Both ends stay open, and nothing passes.
                    std::mem::forget(near);
                });
            }
        });
        Self {
            port,
            came,
            used,
            passing,
            open,
            is_cut: cuts,
        }
    }

    /// Swallows everything from now on: when this returns, nothing is passed on any more.
    async fn cut(&self) {
        self.is_cut.send_replace(true);
        let mut passing = self.passing.clone();
        let silent = passing.wait_for(|passing| *passing == 0);
        timeout(LONG, silent).await.expect("it is cut").unwrap();
    }

    /// Waits until so many connections came here.
    async fn reached(&self, connections: u32) {
        let mut came = self.came.clone();
        let reached = came.wait_for(|count| *count >= connections);
        timeout(LONG, reached)
            .await
            .expect("it is dialled")
            .unwrap();
    }

    fn address(&self) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{}", self.port).parse().unwrap()
    }
}

fn socket(address: &Multiaddr) -> SocketAddr {
    let text = address.to_string();
    let port = text.rsplit('/').next().unwrap();
    SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().unwrap()))
}

fn only(peer: NodeId, addresses: Vec<Multiaddr>) -> BTreeMap<NodeId, Vec<Multiaddr>> {
    BTreeMap::from([(peer, addresses)])
}

/// How long it takes until frames that are sent from now on arrive. It goes on sending, as nodes do, with
/// numbers from `number` on, which no frame before had.
#[allow(
    clippy::print_stdout,
    reason = "how long it took is worth reading, and asserted loosely only"
)]
async fn carried(a: &Node, b: &mut Node, mut number: u64) -> Span {
    let clock = Clock::start();
    let cut = clock.now();
    let from = number;
    let arrived = async {
        loop {
            let _ = a.net.try_send(&b.id, frame(number));
            number += 1;
            tokio::select! {
                got = b.got.recv() => match got.unwrap() {
                    // What had passed before it was cut may still arrive.
                    Got::Frame(_, number) if number >= from => return number,
                    _ => {}
                },
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    };
    let first = timeout(LONG, arrived).await.expect("another way carries");
    let took = clock.now().since(cut);
    println!(
        "cut: {:.1} s until frame {first} arrived by another way",
        took.as_secs_f64()
    );
    took
}

/// Two members that have dialled each other at once, so that two connections stand: the lower one, the other
/// one, and the way that each has dialled.
async fn two_connections() -> ([Node; 2], [Way; 2]) {
    let (one, other) = (Node::new(1, &[TCP]).await, Node::new(2, &[TCP]).await);
    let [mut a, mut b] = match one.id < other.id {
        true => [one, other],
        false => [other, one],
    };
    let ways = [
        Way::to(socket(&b.addresses[0])).await,
        Way::to(socket(&a.addresses[0])).await,
    ];
    for way in &ways {
        way.open.send_replace(false);
    }
    a.packets(&[b.id]);
    b.packets(&[a.id]);
    a.net.set_peers(only(b.id, vec![ways[0].address()]));
    b.net.set_peers(only(a.id, vec![ways[1].address()]));
    for way in &ways {
        way.reached(1).await;
    }
    for way in &ways {
        way.open.send_replace(true);
    }
    a.link_up(b.id).await;
    b.link_up(a.id).await;
    ([a, b], ways)
}

fn connections(node: &Node) -> u64 {
    node.net.open_connections().total()
}

/// Waits until a node has so many connections.
async fn until_connections(node: &Node, wanted: u64) {
    let settled = async {
        while connections(node) != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, settled).await.expect("so many are left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_connections_both_ends_keep_the_same_and_a_cut_of_it_is_found() {
    let ([a, mut b], ways) = two_connections().await;
    for node in [&a, &b] {
        until_connections(node, 1).await;
    }
    // It is that of the lower identity: the other way is not needed.
    ways[1].cut().await;
    // What was on the other one when it was closed is lost, as on any link.
    assert!(carried(&a, &mut b, 1000).await < SECONDS);
    assert_eq!(
        (a.net.stats().dead_closed, b.net.stats().dead_closed),
        (0, 0)
    );
    let spare = Way::to(socket(&b.addresses[0])).await;
    let addresses = vec![ways[0].address(), spare.address()];
    a.net.set_peers(only(b.id, addresses));
    ways[0].cut().await;
    assert!(carried(&a, &mut b, 1_000_000).await < SECONDS);
    assert!(*spare.used.borrow() > 0);
}

/// Whichever it is: the node is never left with the one that was cut.
async fn one_of_two_is_cut(which: usize) {
    let ([a, mut b], ways) = two_connections().await;
    let spare = Way::to(socket(&b.addresses[0])).await;
    a.net.set_peers(only(b.id, vec![spare.address()]));
    ways[which].cut().await;
    assert!(carried(&a, &mut b, 1000).await < SECONDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_preferred_of_two_live_connections_is_cut() {
    one_of_two_is_cut(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_of_two_live_connections_is_cut() {
    one_of_two_is_cut(1).await;
}

/// A question waits behind the frames that were sent before it, for longer than an answer may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_is_slow_is_not_taken_for_one_that_is_cut() {
    let a = Node::new(1, &[TCP]).await;
    let mut b = Node::new(2, &[TCP]).await;
    let way = Way::new(socket(&b.addresses[0]), true).await;
    a.packets(&[b.id]);
    b.packets(&[a.id]);
    b.net.set_peers(only(a.id, Vec::new()));
    a.net.set_peers(only(b.id, vec![way.address()]));
    b.link_up(a.id).await;
    // At least twelve seconds, and all of them arrive in order.
    for wanted in 0..200 {
        let arrived = async {
            loop {
                let _ = a.net.try_send(&b.id, frame(0));
                tokio::select! {
                    got = b.got.recv() => break assert!(got.unwrap() == Got::Frame(a.id, 0)),
                    () = tokio::time::sleep(Duration::from_millis(1)) => {}
                }
            }
        };
        let arrived = timeout(LONG, arrived).await;
        assert!(arrived.is_ok(), "after {wanted}");
    }
    assert_eq!(
        (a.net.stats().dead_closed, b.net.stats().dead_closed),
        (0, 0)
    );
    assert_eq!(*way.used.borrow(), 1);
}

/// A node that has two ways to another, of which one is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_is_cut_without_a_word_is_left_for_the_other_in_seconds() {
    let mut a = Node::new(1, &[TCP]).await;
    let mut b = Node::new(2, &[TCP]).await;
    let far = socket(&b.addresses[0]);
    let ways = [Way::to(far).await, Way::to(far).await];
    a.packets(&[b.id]);
    b.packets(&[a.id]);
    b.net.set_peers(only(a.id, Vec::new()));
    let addresses = ways.iter().map(Way::address).collect();
    a.net.set_peers(only(b.id, addresses));
    a.link_up(b.id).await;
    b.link_up(a.id).await;
    // Frames pass, and answers say that they do.
    for number in 0..20 {
        a.send(&b.id, number).await;
        assert_eq!(b.frame(a.id).await, number);
    }
    let carries = usize::from(*ways[0].used.borrow() == 0);
    ways[carries].cut().await;
    let took = carried(&a, &mut b, 1000).await;
    let stats = a.net.stats();
    println!(
        "{} of {} written were never read",
        stats.unconfirmed, stats.written
    );
    assert!(took < SECONDS);
    assert_eq!(stats.dead_closed, 1);
    assert!(stats.unconfirmed > 0 && stats.unconfirmed < stats.written);
    assert_eq!(*ways[1 - carries].used.borrow(), 1);
}

/// A member that comes back from elsewhere before its silence was noticed: what was written to where it was is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_on_a_connection_that_is_replaced_is_counted() {
    const LOST: u64 = 40;
    let mut nodes = [
        (1, Node::new(1, &[TCP]).await),
        (2, Node::new(2, &[TCP]).await),
    ];
    // The lower one dials at once.
    nodes.sort_by_key(|(_, node)| node.id);
    let [(seed, mut b), (_, mut a)] = nodes;
    let way = Way::to(socket(&b.addresses[0])).await;
    a.packets(&[b.id]);
    b.packets(&[a.id]);
    b.net.set_peers(only(a.id, Vec::new()));
    a.net.set_peers(only(b.id, vec![way.address()]));
    a.link_up(b.id).await;
    b.link_up(a.id).await;
    // Of two connections that come up within five seconds neither replaces the other.
    tokio::time::sleep(Duration::from_millis(5500)).await;
    a.send(&b.id, 0).await;
    assert_eq!(b.frame(a.id).await, 0);
    way.cut().await;
    for number in 1..=LOST {
        a.send(&b.id, number).await;
    }
    let mut again = Node::new(seed, &[TCP]).await;
    again.packets(&[a.id]);
    again.net.set_peers(only(a.id, a.addresses.clone()));
    a.link_up(b.id).await;
    again.link_up(a.id).await;
    a.send(&b.id, 1000).await;
    // What was still in the ring comes before.
    let mut arrived = 0;
    while again.frame(a.id).await != 1000 {
        arrived += 1;
    }
    let stats = a.net.stats();
    let counted = stats.unconfirmed + stats.abandoned;
    assert!(counted >= LOST - arrived, "{counted} and {arrived}");
    assert_eq!(stats.dead_closed, 0, "it was not noticed by itself");
}

/// Where members keep quiet because they have nothing to say, nothing is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_answer_keep_their_links() {
    let mut a = Node::new(1, &[TCP]).await;
    let mut b = Node::new(2, &[TCP]).await;
    a.members(&[&b]);
    b.members(&[&a]);
    a.packets(&[b.id]);
    b.packets(&[a.id]);
    a.link_up(b.id).await;
    b.link_up(a.id).await;
    // A question and an answer are some forty bytes a second, and nothing else is said. If they did not
    // count, the connection would be closed after six seconds.
    for node in [&a, &b] {
        let before = node.net.stats().received;
        let asked = async {
            while node.net.stats().received < before + 500 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LONG, asked).await.expect("they ask and answer");
    }
    assert_eq!(
        (a.net.stats().dead_closed, b.net.stats().dead_closed),
        (0, 0)
    );
    a.send(&b.id, 7).await;
    assert_eq!(b.frame(a.id).await, 7);
}

async fn other_network(node: &mut Node, of: NodeId) -> NetworkHash {
    node.event(|event| match event {
        NetEvent::OtherNetwork {
            peer,
            network,
            ahead_secs,
        } if peer == of => {
            assert!(ahead_secs.abs() <= 1, "one machine: {ahead_secs}");
            Some(network)
        }
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_another_network_is_found_out() {
    let theirs = NetworkHash::new([9; 32]);
    let foreign = |seed, listen: &[&str]| shoal_node::net::NetConfig {
        names: theirs.into(),
        ..config(seed, listen)
    };
    let mut a = Node::new(1, &[TCP]).await;
    let tcp = Node::start(foreign(2, &[TCP])).await.unwrap();
    a.net.set_peers(only(tcp.id, tcp.addresses.clone()));
    assert_eq!(other_network(&mut a, tcp.id).await, theirs);
    // Over QUIC the two are connected, and understand nothing.
    let both = Node::start(foreign(3, &[QUIC, TCP])).await.unwrap();
    a.net.set_peers(only(both.id, both.addresses.clone()));
    assert_eq!(a.connected(both.id).await, "quic");
    let asked = a.net.request(both.id, RequestKind::Directory, Vec::new());
    assert!(asked.is_ok());
    assert_eq!(other_network(&mut a, both.id).await, theirs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_the_network_is_told_that_and_nothing_else() {
    let node = Node::new(1, &[TCP]).await;
    let mut stream = TcpStream::connect(socket(&node.addresses[0]))
        .await
        .unwrap();
    let lines = b"\x13/multistream/1.0.0\n\x0f/shoal/hello/1\n";
    stream.write_all(lines).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(LONG, stream.read_to_end(&mut answer)).await;
    read.expect("it is closed").unwrap();
    let (agreed, told) = answer.split_at(lines.len());
    assert_eq!(agreed, lines);
    let (hash, seconds) = told.split_at(32);
    assert_eq!(hash, crate::net_support::NETWORK.as_bytes());
    let seconds = u64::from_be_bytes(seconds.try_into().expect("eight bytes"));
    let now = Clock::start().now().as_secs();
    assert!((now - 60..=now).contains(&seconds), "{seconds} at {now}");
    let hello = hello_at(socket(&node.addresses[0]), Clock::start()).await;
    let hello = hello.expect("it answers again");
    assert_eq!(hello.network, crate::net_support::NETWORK);
    assert!(hello.ahead_secs.abs() <= 1, "{hello:?}");
}
