//! Ways that are cut without a word, and nodes of other networks.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use shoal_node::net::{Multiaddr, NetEvent};
use shoal_node::runtime::Clock;
use shoal_proto::{NetworkHash, NodeId, Span};
use shoal_roles::RequestKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::net_support::{Got, Node, QUIC, TCP, config, frame};

/// Far longer than anything takes here, and than it took before: a minute.
const LONG: Duration = Duration::from_secs(90);

/// Passes connections on, until it swallows everything without a word.
struct Way {
    port: u16,
    used: watch::Receiver<u32>,
    cut: watch::Sender<bool>,
}

impl Way {
    async fn to(far: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (count, used) = watch::channel(0);
        let (cut, is_cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut is_cut = is_cut.clone();
                let count = count.clone();
                tokio::spawn(async move {
                    if !*is_cut.borrow() {
                        let mut far = TcpStream::connect(far).await.unwrap();
                        count.send_modify(|count| *count += 1);
                        tokio::select! {
                            _ = copy_bidirectional(&mut near, &mut far) => return,
                            _ = is_cut.wait_for(|cut| *cut) => {}
                        }
                        std::mem::forget(far);
                    }
                    // Both ends stay open, and nothing passes.
                    std::mem::forget(near);
                });
            }
        });
        Self { port, used, cut }
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
    ways[carries].cut.send_replace(true);
    let clock = Clock::start();
    let cut = clock.now();
    // It goes on sending, as nodes do, and counts what does not arrive.
    let mut number = 1000;
    let arrived = async {
        loop {
            let _ = a.net.try_send(&b.id, frame(number));
            number += 1;
            tokio::select! {
                got = b.got.recv() => match got.unwrap() {
                    Got::Frame(_, number) if number >= 1000 => return number,
                    _ => {}
                },
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    };
    let first = timeout(LONG, arrived).await.expect("the other way carries");
    let took = clock.now().since(cut);
    let stats = a.net.stats();
    println!(
        "cut: {:.1} s until frame {first} arrived by the other way; {} of {} written were never read",
        took.as_secs_f64(),
        stats.unconfirmed,
        stats.written
    );
    assert!(took < Span::from_secs(25));
    assert_eq!(stats.dead_closed, 1);
    assert!(stats.unconfirmed > 0 && stats.unconfirmed < stats.written);
    assert_eq!(*ways[1 - carries].used.borrow(), 1);
}

/// Where members keep quiet because they have nothing to say, nothing is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_answer_keep_their_links_and_clients_are_not_asked() {
    let mut a = Node::new(1, &[TCP]).await;
    let mut b = Node::new(2, &[TCP]).await;
    a.members(&[&b]);
    b.members(&[&a]);
    a.packets(&[b.id]);
    b.packets(&[a.id]);
    a.link_up(b.id).await;
    b.link_up(a.id).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(
        (a.net.stats().dead_closed, b.net.stats().dead_closed),
        (0, 0)
    );
    a.send(&b.id, 7).await;
    assert_eq!(b.frame(a.id).await, 7);
}

async fn other_network(node: &mut Node, of: NodeId) -> NetworkHash {
    node.event(|event| match event {
        NetEvent::OtherNetwork { peer, network } if peer == of => Some(network),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_another_network_is_found_out() {
    let theirs = NetworkHash::new([9; 32]);
    let foreign = |seed, listen: &[&str]| shoal_node::net::NetConfig {
        network: theirs,
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
    let (agreed, hash) = answer.split_at(lines.len());
    assert_eq!(agreed, lines);
    assert_eq!(hash, crate::net_support::NETWORK.as_bytes());
}
