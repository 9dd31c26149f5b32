//! The standing of neighbours in gossip.

use std::time::Duration;

use shoal_node::net::NetEvent;
use shoal_topology::Verdict;
use tokio::time::timeout;

use crate::net_support::{Node, QUIC, TCP};

/// What begins with this is invalid.
const BAD: u8 = 0xbd;

/// A message of about a descriptor's length.
fn message(first: u8, number: u8) -> Vec<u8> {
    [vec![first, number], vec![0x5a; 398]].concat()
}

async fn subscribed(node: &mut Node, peers: usize) {
    for _ in 0..peers {
        node.event(|event| matches!(event, NetEvent::GossipPeerSubscribed).then_some(()))
            .await;
    }
}

/// The next message; judged as a node does.
async fn judged(node: &mut Node) -> Vec<u8> {
    let (token, bytes) = node
        .event(|event| match event {
            NetEvent::Gossip { token, bytes, .. } => Some((token, bytes)),
            _ => None,
        })
        .await;
    let verdict = match bytes.first() {
        Some(&BAD) => Verdict::Reject,
        _ => Verdict::Accept,
    };
    node.net.report_gossip(token, verdict);
    bytes
}

/// Waits until so many peers are out of the mesh, and so many of them not heard.
async fn fallen(node: &Node, pruned: u64, graylisted: u64) {
    let falls = async {
        loop {
            let stats = node.net.stats();
            if (stats.gossip_pruned, stats.gossip_graylisted) == (pruned, graylisted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), falls)
        .await
        .expect("in time");
}

/// hostile - near - far: what the hostile one says reaches only the near one, who passes on what is valid.
async fn who_says_what_is_invalid_is_not_heard(listen: &str) {
    let mut hostile = Node::new(1, &[listen]).await;
    let mut near = Node::new(2, &[listen]).await;
    let mut far = Node::new(3, &[listen]).await;
    hostile.members(&[&near]);
    near.members(&[&hostile, &far]);
    far.members(&[&near]);
    subscribed(&mut hostile, 1).await;
    subscribed(&mut near, 2).await;
    subscribed(&mut far, 1).await;

    hostile.net.publish(message(1, 0));
    assert_eq!(judged(&mut near).await, message(1, 0));
    assert_eq!(
        judged(&mut far).await,
        message(1, 0),
        "it is heard at first"
    );
    for number in 0..5 {
        hostile.net.publish(message(BAD, number));
        assert_eq!(judged(&mut near).await, message(BAD, number));
        let graylisted = u64::from(number == 4);
        fallen(&near, 1, graylisted).await;
    }
    // Nobody hears anything from it any more, as valid as it may be, and everybody hears the others.
    for number in 1..20 {
        hostile.net.publish(message(1, number));
        far.net.publish(message(3, number));
        assert_eq!(judged(&mut near).await, message(3, number));
        near.net.publish(message(2, number));
        assert_eq!(judged(&mut far).await, message(2, number));
    }
    // Who passed on nothing invalid has its standing, whomever it stands next to.
    fallen(&near, 1, 1).await;
    fallen(&far, 0, 0).await;
    // It wins nothing by leaving and coming back.
    near.net.disconnect(hostile.id);
    near.event(|event| matches!(event, NetEvent::Disconnected { .. }).then_some(()))
        .await;
    subscribed(&mut near, 1).await;
    subscribed(&mut hostile, 1).await;
    fallen(&near, 1, 1).await;
    hostile.net.publish(message(1, 100));
    far.net.publish(message(3, 100));
    assert_eq!(judged(&mut near).await, message(3, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_what_is_invalid_is_not_heard_over_tcp() {
    who_says_what_is_invalid_is_not_heard(TCP).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_what_is_invalid_is_not_heard_over_quic() {
    who_says_what_is_invalid_is_not_heard(QUIC).await;
}
