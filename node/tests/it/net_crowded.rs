//! Crowds that connect and do nothing keep nobody else out. On loopback every address of 127/8 is a place
//! of its own: the crowds come from 127.7.7.0/24, who wants in from 127.0.0.1.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use libp2p::multiaddr::Protocol;
use shoal_node::net::{DialFailure, Mode, Multiaddr, NetEvent};
use shoal_proto::NodeId;
use shoal_roles::RequestKind;
use shoal_topology::Reach;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use crate::net_support::{Node, TCP, config};

/// Fifty a second.
const PACE: Duration = Duration::from_millis(20);
/// How long a newcomer may take.
const SOON: Duration = Duration::from_secs(5);
/// Connections that a crowd holds at most; the node has fewer places.
const HELD: usize = 300;

fn socket_of(address: &Multiaddr) -> SocketAddr {
    let mut parts = address.iter();
    match (parts.next(), parts.next()) {
        (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) => (ip, port).into(),
        other => panic!("{other:?}"),
    }
}

/// A connection from somewhere in the crowds' network.
async fn from_the_crowd(number: u64, to: SocketAddr) -> std::io::Result<TcpStream> {
    let host = u8::try_from(number % 250).unwrap() + 1;
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 7, 7, host), 0).into())?;
    socket.connect(to).await
}

/// Opens connections and is silent on them, as many at once as the node has places, and then at the pace
/// of a crowd.
fn silent_crowd(to: SocketAddr, at_once: u64) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (mut held, mut pace) = (VecDeque::new(), interval(PACE));
        for number in 0.. {
            if number >= at_once {
                pace.tick().await;
            }
            // The node's backlog may be full for a moment.
            held.extend(from_the_crowd(number, to).await.ok());
            if held.len() > HELD {
                held.pop_front();
            }
        }
    })
}

/// Carries connections to the node so that they come from the crowds' network.
async fn detour(to: SocketAddr) -> Multiaddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut near, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                if let Ok(mut far) = from_the_crowd(number, to).await {
                    // Either end may close it.
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
    format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
}

async fn stranger(seed: u8) -> Node {
    let mut stranger = config(seed, &[TCP]);
    stranger.mode = Mode::Client;
    Node::start(stranger).await.unwrap()
}

/// Finishes handshakes at the pace of a crowd, and is silent then.
fn idle_crowd(node: NodeId, by: Multiaddr) -> JoinHandle<()> {
    tokio::spawn(async move {
        let (mut held, mut pace) = (Vec::new(), interval(PACE));
        for seed in 10..=250 {
            pace.tick().await;
            let idle = stranger(seed).await;
            idle.net.dial(node, vec![by.clone()]);
            held.push(idle);
        }
        std::future::pending::<()>().await;
    })
}

/// A client attaches: it connects, is answered, and frames pass both ways.
async fn attach(provider: &mut Node) -> Node {
    let mut client = stranger(2).await;
    client.packets(&[provider.id]);
    client.net.dial(provider.id, provider.addresses.clone());
    let failed = |event| matches!(event, NetEvent::DialFailed { .. });
    client
        .event(|event| match event {
            NetEvent::Connected { .. } => Some(()),
            event => {
                assert!(!failed(event), "it is let in");
                None
            }
        })
        .await;
    let asked = client
        .net
        .request(provider.id, RequestKind::Attach, vec![8; 40]);
    asked.unwrap();
    let channel = provider
        .event(|event| match event {
            NetEvent::Request { from, channel, .. } if from == client.id => Some(channel),
            _ => None,
        })
        .await;
    provider.packets(&[client.id]);
    provider.net.respond(channel, vec![9; 40]);
    provider.link_up(client.id).await;
    client.send(&provider.id, 1).await;
    assert_eq!(provider.frame(client.id).await, 1);
    provider.send(&client.id, 2).await;
    assert_eq!(client.frame(provider.id).await, 2);
    client
}

/// Waits until this many were closed to make room.
async fn until(node: &mut Node, crowded: impl Fn(&Node) -> bool) {
    let waiting = async {
        while !crowded(node) {
            // What the crowd does is no news; only time shows it.
            tokio::time::sleep(Duration::from_millis(10)).await;
            while node.events.try_recv().is_ok() {}
        }
    };
    timeout(Duration::from_secs(30), waiting)
        .await
        .expect("the places are taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_keep_no_newcomer_out() {
    let mut provider = Node::new(1, &[TCP]).await;
    let crowd = silent_crowd(socket_of(&provider.addresses[0]), 128);
    until(&mut provider, |node| {
        node.net.stats().handshakes_crowded >= 20
    })
    .await;
    assert!(node_is_full(&provider));
    let client = timeout(SOON, attach(&mut provider)).await;
    drop(client.expect("soon"));
    // The crowd has not let up.
    assert!(!crowd.is_finished() && node_is_full(&provider));
    crowd.abort();
}

fn node_is_full(node: &Node) -> bool {
    (120..=128).contains(&node.net.stats().handshaking)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finished_handshakes_and_silence_keep_no_newcomer_out() {
    let mut few = config(1, &[TCP]);
    (few.limits.strangers, few.limits.connections) = (32, 32);
    let mut provider = Node::start(few).await.unwrap();
    let by = detour(socket_of(&provider.addresses[0])).await;
    let crowd = idle_crowd(provider.id, by);
    until(&mut provider, |node| {
        node.net.stats().strangers_crowded >= 20
    })
    .await;
    assert_eq!(provider.net.stats().strangers, 32);
    let client = timeout(SOON, attach(&mut provider)).await.expect("soon");
    // The client has a place of its own now, which no stranger takes.
    let before = provider.net.stats().strangers_crowded;
    until(&mut provider, |node| {
        node.net.stats().strangers_crowded >= before + 40
    })
    .await;
    assert_eq!(provider.net.stats().read, 1);
    assert_eq!(
        provider.net.stats().ended,
        0,
        "the client is still attached"
    );
    drop(client);
    crowd.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_does_nothing_is_closed_and_others_are_not() {
    let mut short = config(1, &[TCP]);
    short.limits.stranger_deadline = Duration::from_millis(700);
    let mut a = Node::start(short).await.unwrap();
    let mut member = Node::new(3, &[TCP]).await;
    a.members(&[&member]);
    let client = attach(&mut a).await;
    let mut idle = stranger(4).await;
    idle.net.dial(a.id, a.addresses.clone());
    idle.connected(a.id).await;
    let gone = |event| matches!(event, NetEvent::Disconnected { .. }).then_some(());
    idle.event(gone).await;
    assert_eq!(a.net.stats().strangers_silent, 1);
    member.net.dial(a.id, a.addresses.clone());
    member.connected(a.id).await;
    // Both have done nothing for as long.
    tokio::time::sleep(Duration::from_secs(2)).await;
    client.send(&a.id, 7).await;
    assert_eq!(a.frame(client.id).await, 7);
    assert_eq!(a.net.stats().strangers_silent, 1);
    drop(member);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_of_the_networks_kind_is_not_dialled() {
    let b = Node::new(2, &[TCP]).await;
    let mut public = config(1, &[TCP]);
    public.reach = Reach::of([Ipv4Addr::new(9, 9, 9, 9).into()]);
    let mut a = Node::start(public).await.unwrap();
    a.members(&[&b]);
    let why = a
        .event(|event| match event {
            NetEvent::DialFailed { why, .. } => Some(why),
            NetEvent::Connected { .. } => panic!("it is dialled"),
            _ => None,
        })
        .await;
    assert_eq!(why, DialFailure::NoAddress);
}
