use std::time::Duration;

use shoal_node::net::{
    DialFailure, Mode, NetError, NetEvent, RequestError, RequestFailure, SendError, Way,
};
use shoal_proto::NetworkHash;
use shoal_proto::size::FRAME_BYTES;
use shoal_roles::RequestKind;
use shoal_topology::Verdict;
use tokio::time::timeout;

use crate::net_support::{Node, QUIC, TCP, config, frame, pair};

async fn frames_cross(listen: &str, transport: &str) {
    let (mut a, mut b) = (Node::new(1, &[listen]).await, Node::new(2, &[listen]).await);
    a.packets(&[b.id]);
    b.packets(&[a.id]);
    assert!(matches!(
        a.net.try_send(&b.id, frame(0)),
        Err(SendError::NotConnected(_))
    ));
    a.members(&[&a, &b]);
    b.members(&[&a, &b]);
    assert_eq!(a.connected(b.id).await, transport);
    a.link_up(b.id).await;
    b.link_up(a.id).await;
    for number in 0..3 {
        a.send(&b.id, number).await;
        b.send(&a.id, 100 + number).await;
        assert_eq!(b.frame(a.id).await, number);
        assert_eq!(a.frame(b.id).await, 100 + number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_cross_both_ways_over_tcp() {
    frames_cross(TCP, "tcp").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_cross_both_ways_over_quic() {
    frames_cross(QUIC, "quic").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_offers_both_transports_is_reached_over_quic() {
    // QUIC has a head start, no more: on a busy machine TCP may win a race, but not all of them.
    let b = Node::new(2, &[TCP, QUIC]).await;
    for seed in 10..20 {
        let mut a = Node::new(seed, &[]).await;
        a.net.dial(b.id, b.addresses.clone());
        if a.connected(b.id).await == "quic" {
            return;
        }
    }
    panic!("never over QUIC");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_frames_come_in_order_and_are_coalesced() {
    const FRAMES: u64 = 6_000;
    for listen in [TCP, QUIC] {
        let (a, mut b) = pair(listen).await;
        let (from, to, net) = (a.id, b.id, a.net.clone());
        let sending = tokio::spawn(async move {
            for number in 0..FRAMES {
                a.send(&to, number).await;
            }
            a
        });
        for number in 0..FRAMES {
            assert_eq!(b.frame(from).await, number);
        }
        let _a = sending.await.unwrap();
        assert_eq!(b.net.stats().read, FRAMES);
        let stats = net.stats();
        assert!(stats.coalesced * 2 < FRAMES, "{} writes", stats.coalesced);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_dial_each_other_at_once_have_links_both_ways() {
    for listen in [&[TCP][..], &[QUIC], &[TCP, QUIC]] {
        let (mut a, mut b) = (Node::new(1, listen).await, Node::new(2, listen).await);
        a.packets(&[b.id]);
        b.packets(&[a.id]);
        a.net.dial(b.id, b.addresses.clone());
        b.net.dial(a.id, a.addresses.clone());
        a.link_up(b.id).await;
        b.link_up(a.id).await;
        for number in 0..500 {
            a.send(&b.id, number).await;
            b.send(&a.id, number).await;
        }
        for number in 0..500 {
            assert_eq!(b.frame(a.id).await, number);
            assert_eq!(a.frame(b.id).await, number);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_restarts_is_connected_again() {
    let mut a = Node::new(1, &[TCP]).await;
    let mut b = Node::new(2, &[TCP]).await;
    for node in [&a, &b] {
        node.packets(&[a.id, b.id]);
        node.members(&[&a, &b]);
    }
    a.link_up(b.id).await;
    let address = b.addresses[0].to_string();
    b.net.shutdown();
    while b.events.recv().await.is_some() {}
    a.link_down(b.id).await;
    assert!(matches!(
        a.net.try_send(&b.id, frame(0)),
        Err(SendError::NotConnected(_))
    ));

    // Only the one that stayed dials: it noticed by itself.
    let mut b = Node::new(2, &[&address]).await;
    b.packets(&[a.id]);
    a.link_up(b.id).await;
    b.link_up(a.id).await;
    a.send(&b.id, 7).await;
    assert_eq!(b.frame(a.id).await, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_stop_empties_the_rings_first() {
    let (mut a, mut b) = pair(TCP).await;
    for number in 0..200 {
        a.send(&b.id, number).await;
    }
    a.net.shutdown();
    for number in 0..200 {
        assert_eq!(b.frame(a.id).await, number);
    }
    b.until_ended(1).await;
    assert!(b.got.try_recv().is_err(), "and nothing is cut");
    let ended = async { while a.events.recv().await.is_some() {} };
    timeout(Duration::from_secs(10), ended)
        .await
        .expect("it ends");
    assert!(matches!(
        a.net.try_send(&b.id, frame(0)),
        Err(SendError::NotConnected(_))
    ));
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    for listen in [TCP, QUIC] {
        let a = Node::new(1, &[listen]).await;
        let taken = a.addresses[0].to_string();
        match Node::start(config(2, &[&taken])).await.err() {
            Some(NetError::PortTaken(address)) => assert_eq!(address.to_string(), taken),
            other => panic!("{other:?}"),
        }
    }
    let other = Node::start(config(2, &["/ip4/127.0.0.1/udp/0"]))
        .await
        .err();
    assert!(
        matches!(other, Some(NetError::ListenAddress(_))),
        "{other:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_and_open_connections_are_counted() {
    for (listen, way) in [
        (TCP, Way::Tcp4),
        (QUIC, Way::Quic4),
        ("/ip6/::1/tcp/0", Way::Tcp6),
        ("/ip6/::1/udp/0/quic-v1", Way::Quic6),
    ] {
        let (mut a, mut b) = pair(listen).await;
        let (sent, received) = (a.net.stats().sent, b.net.stats().received);
        for number in 0..10 {
            a.send(&b.id, number).await;
            assert_eq!(b.frame(a.id).await, number);
        }
        // What comes back comes after what was sent has been counted.
        b.send(&a.id, 10).await;
        assert_eq!(a.frame(b.id).await, 10);
        let frames = 10 * u64::try_from(FRAME_BYTES).unwrap();
        for counted in [a.net.stats().sent - sent, b.net.stats().received - received] {
            assert!((frames..2 * frames).contains(&counted), "{counted}");
        }
        for node in [&a, &b] {
            let open = node.net.open_connections();
            assert_eq!((open.of(way), open.total()), (1, 1), "{way}");
        }
        a.net.disconnect(b.id);
        a.event(|event| matches!(event, NetEvent::Disconnected { .. }).then_some(()))
            .await;
        assert_eq!(a.net.open_connections().total(), 0);
    }
}

/// A port of each family that is free now, the same in both.
fn free_port() -> u16 {
    let held = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    held.local_addr().unwrap().port()
}

/// Listens on a port in both families, is reached in both, and keeps others from either.
async fn shared(v4: &str, kind: &str, v4_first: bool) {
    let kind = kind.replace("PORT", &free_port().to_string());
    let mut listen = [format!("/ip4/{v4}/{kind}"), format!("/ip6/::/{kind}")];
    if !v4_first {
        listen.reverse();
    }
    let listen = listen.each_ref().map(String::as_str);
    let node = Node::start(config(1, &listen)).await.unwrap();
    for (seed, family) in [(2, "/ip4/127.0.0.1"), (3, "/ip6/::1")] {
        let mut dialler = Node::new(seed, &[]).await;
        let address = format!("{family}/{kind}").parse().unwrap();
        dialler.net.dial(node.id, vec![address]);
        dialler.connected(node.id).await;
    }
    for taken in listen {
        let other = Node::start(config(4, &[taken])).await.err();
        assert!(matches!(other, Some(NetError::PortTaken(_))), "{other:?}");
    }
}

#[tokio::test]
async fn both_families_share_a_port() {
    for kind in ["tcp/PORT", "udp/PORT/quic-v1"] {
        for v4 in ["0.0.0.0", "127.0.0.1"] {
            shared(v4, kind, true).await;
            shared(v4, kind, false).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_else_at_the_address_is_refused() {
    let (mut a, b) = (Node::new(1, &[]).await, Node::new(2, &[TCP, QUIC]).await);
    let c = Node::new(3, &[]).await;
    for address in &b.addresses {
        a.net.dial(c.id, vec![address.clone()]);
        let failed = a
            .event(|event| match event {
                NetEvent::DialFailed { peer, why } if peer == c.id => Some(why),
                NetEvent::Connected { .. } => panic!("connected to an impostor"),
                _ => None,
            })
            .await;
        assert_eq!(failed, DialFailure::WrongPeer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_network_is_never_linked() {
    let mut b = Node::new(2, &[TCP, QUIC]).await;
    let mut other = config(1, &[TCP]);
    other.names = NetworkHash::new([2; 32]).into();
    let mut a = Node::start(other).await.unwrap();
    a.packets(&[b.id]);
    b.packets(&[a.id]);

    // Over TCP the handshake fails already; over QUIC no protocol is understood.
    a.net.dial(b.id, vec![b.addresses[0].clone()]);
    let dialled = |event| match event {
        NetEvent::DialFailed { why, .. } => Some(Err(why)),
        NetEvent::Connected { .. } => Some(Ok(())),
        _ => None,
    };
    assert_eq!(a.event(dialled).await, Err(DialFailure::Unreachable));
    a.net.dial(b.id, vec![b.addresses[1].clone()]);
    a.connected(b.id).await;
    let id = a
        .net
        .request(b.id, RequestKind::Directory, vec![1])
        .unwrap();
    let why = a
        .event(|event| match event {
            NetEvent::RequestFailed {
                id: failed, why, ..
            } if failed == id => Some(why),
            NetEvent::PacketLinkUp { .. } => panic!("a link to another network"),
            _ => None,
        })
        .await;
    assert_eq!(why, RequestFailure::Unsupported);
    assert!(matches!(
        a.net.try_send(&b.id, frame(0)),
        Err(SendError::NotConnected(_))
    ));
    assert!(matches!(
        b.net.try_send(&a.id, frame(0)),
        Err(SendError::NotConnected(_))
    ));
    while let Ok(event) = b.events.try_recv() {
        assert!(!matches!(
            event,
            NetEvent::PacketLinkUp { .. } | NetEvent::GossipPeerSubscribed
        ));
    }
    assert!(b.got.try_recv().is_err());
}

enum Answer {
    Bytes(Vec<u8>),
    Failed(RequestFailure),
}

async fn ask(a: &mut Node, b: &mut Node, bytes: Vec<u8>, answer: Option<Vec<u8>>) -> Answer {
    let (asked, kind) = (bytes.clone(), RequestKind::Directory);
    let id = a.net.request(b.id, kind, bytes).unwrap();
    let ticket = b
        .event(|event| match event {
            NetEvent::Request {
                from,
                kind: RequestKind::Directory,
                channel,
                bytes,
            } => {
                assert!(from == a.id && bytes == asked);
                Some(channel)
            }
            _ => None,
        })
        .await;
    match answer {
        Some(bytes) => b.net.respond(ticket, bytes),
        None => drop(ticket),
    }
    a.event(|event| match event {
        NetEvent::Response {
            from,
            id: of,
            bytes,
        } if of == id => {
            assert!(from == b.id);
            Some(Answer::Bytes(bytes))
        }
        NetEvent::RequestFailed { id: of, why, .. } if of == id => Some(Answer::Failed(why)),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_within_their_limits() {
    let (mut a, mut b) = pair(TCP).await;
    for (asked, answered) in [(0, 0), (5, 7), (64 * 1024, 4 * 1024 * 1024)] {
        let answer = ask(&mut a, &mut b, vec![3; asked], Some(vec![4; answered])).await;
        assert!(matches!(answer, Answer::Bytes(bytes) if bytes == vec![4; answered]));
    }
    let long = ask(&mut a, &mut b, vec![3], Some(vec![4; 4 * 1024 * 1024 + 1])).await;
    assert!(matches!(long, Answer::Failed(RequestFailure::Malformed)));
    assert_eq!(b.net.stats().lost, 1);
    let refused = ask(&mut a, &mut b, vec![3], None).await;
    assert!(matches!(refused, Answer::Failed(RequestFailure::Malformed)));

    let error = a
        .net
        .request(b.id, RequestKind::Directory, vec![0; 64 * 1024 + 1])
        .unwrap_err();
    assert!(matches!(error, RequestError::TooLarge { .. }));
    let error = a
        .net
        .request(b.id, RequestKind::Attach, vec![0; 513])
        .unwrap_err();
    assert_eq!(
        error,
        RequestError::TooLarge {
            bytes: 513,
            most: 512
        }
    );
    let c = Node::new(3, &[]).await;
    let id = a.net.request(c.id, RequestKind::Attach, vec![]).unwrap();
    let why = a
        .event(|event| match event {
            NetEvent::RequestFailed {
                id: failed, why, ..
            } if failed == id => Some(why),
            _ => None,
        })
        .await;
    assert_eq!(why, RequestFailure::NotConnected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_requests_are_bounded() {
    let mut small = config(2, &[TCP]);
    small.limits.waiting_requests = 2;
    let (mut a, mut b) = (Node::new(1, &[]).await, Node::start(small).await.unwrap());
    a.net.dial(b.id, b.addresses.clone());
    a.connected(b.id).await;
    let ids: Vec<_> = (0..3)
        .map(|_| a.net.request(b.id, RequestKind::Attach, vec![1]).unwrap())
        .collect();
    let mut tickets = Vec::new();
    for _ in 0..2 {
        let ticket = |event| match event {
            NetEvent::Request { channel, .. } => Some(channel),
            _ => None,
        };
        tickets.push(b.event(ticket).await);
    }
    let failed = |event| match event {
        NetEvent::RequestFailed { id, .. } => Some(id),
        _ => None,
    };
    assert!(
        ids.contains(&a.event(failed).await),
        "the third is refused at once"
    );
    assert_eq!(b.net.stats().unanswered, 1);
    for ticket in tickets {
        b.net.respond(ticket, vec![2]);
        let answered = |event| matches!(event, NetEvent::Response { .. }).then_some(());
        a.event(answered).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gossip_is_passed_on_after_its_verdict_only() {
    // a - b - c: what reaches c went through b.
    let mut a = Node::new(1, &[TCP]).await;
    let mut b = Node::new(2, &[TCP]).await;
    let mut c = Node::new(3, &[TCP]).await;
    a.net.publish(b"nobody hears".to_vec());
    a.event(|event| matches!(event, NetEvent::PublishFailed).then_some(()))
        .await;
    a.members(&[&b]);
    b.members(&[&a, &c]);
    c.members(&[&b]);
    for _ in 0..2 {
        b.event(|event| matches!(event, NetEvent::GossipPeerSubscribed).then_some(()))
            .await;
    }
    a.event(|event| matches!(event, NetEvent::GossipPeerSubscribed).then_some(()))
        .await;
    c.event(|event| matches!(event, NetEvent::GossipPeerSubscribed).then_some(()))
        .await;

    let gossip = |event| match event {
        NetEvent::Gossip { token, bytes, .. } => Some((token, bytes)),
        _ => None,
    };
    let verdicts = [Verdict::Reject, Verdict::Ignore, Verdict::Accept];
    for (number, verdict) in (0..).zip(verdicts) {
        a.net.publish(vec![number; 900]);
        let (token, bytes) = b.event(gossip).await;
        assert_eq!(bytes, vec![number; 900]);
        b.net.report_gossip(token, verdict);
    }
    let (_, bytes) = c.event(gossip).await;
    assert_eq!(bytes, vec![2; 900], "only the one that was accepted");
    a.net.publish(vec![9; 27_000]);
    a.event(|event| matches!(event, NetEvent::PublishFailed).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_attaches_and_exchanges_packets() {
    let mut provider = Node::new(1, &[TCP, QUIC]).await;
    let mut client = config(2, &[TCP]);
    client.mode = Mode::Client;
    let mut client = Node::start(client).await.unwrap();
    // The client opens its substream before it is attached: it waits at the provider.
    client.packets(&[provider.id]);
    client.net.dial(provider.id, provider.addresses.clone());
    client.link_up(provider.id).await;
    client.send(&provider.id, 1).await;
    client
        .net
        .request(provider.id, RequestKind::Attach, vec![8; 40])
        .unwrap();
    let ticket = provider
        .event(|event| match event {
            NetEvent::Request {
                kind: RequestKind::Attach,
                channel,
                ..
            } => Some(channel),
            NetEvent::GossipPeerSubscribed => panic!("clients do not gossip"),
            _ => None,
        })
        .await;
    assert!(provider.got.try_recv().is_err(), "nothing is read before");
    provider.packets(&[client.id]);
    provider.net.respond(ticket, vec![9; 40]);
    assert_eq!(provider.frame(client.id).await, 1);
    provider.link_up(client.id).await;
    provider.send(&client.id, 2).await;
    assert_eq!(client.frame(provider.id).await, 2);

    provider.packets(&[]);
    provider.link_down(client.id).await;
    provider.until_ended(1).await;
    client.until_ended(1).await;
    client.link_down(provider.id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_silent_is_closed_unless_it_is_a_member() {
    let mut short = config(1, &[TCP]);
    short.limits.idle_deadline = Duration::from_millis(400);
    let mut a = Node::start(short).await.unwrap();
    let (mut member, mut other) = (Node::new(2, &[TCP]).await, Node::new(3, &[TCP]).await);
    a.members(&[&member]);
    a.packets(&[member.id, other.id]);
    for node in [&mut member, &mut other] {
        node.packets(&[a.id]);
        node.net.dial(a.id, a.addresses.clone());
        node.link_up(a.id).await;
    }
    other
        .event(|event| matches!(event, NetEvent::Disconnected { .. }).then_some(()))
        .await;
    assert_eq!(a.net.stats().idle_closed, 1);
    member.send(&a.id, 5).await;
    assert_eq!(a.frame(member.id).await, 5);
}
