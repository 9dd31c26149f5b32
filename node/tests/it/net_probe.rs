//! Looking whether a node is there: what is dialled is what it advertises, and nothing of it disturbs who is linked.

use shoal_node::net::NetEvent;
use shoal_proto::NodeId;
use shoal_topology::{Address, Dialled};

use crate::net_support::{Node, QUIC, TCP};

/// What comes of dialling these.
async fn probed(node: &mut Node, id: NodeId, addresses: &[Address]) -> Vec<Dialled> {
    node.net.probe(id, addresses.to_vec());
    let said = node.event(|event| match event {
        NetEvent::Probed { peer, at } => Some((peer, at)),
        _ => None,
    });
    let (peer, at) = said.await;
    assert_eq!(peer, id);
    assert!(at.iter().map(|(address, _)| address).eq(addresses));
    at.into_iter().map(|(_, how)| how).collect()
}

fn addresses(node: &Node) -> Vec<Address> {
    let addresses = node.addresses.iter();
    addresses
        .map(|address| address.to_string().parse().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_address_is_dialled_by_itself_and_nobody_else_answers_for_it() {
    let mut a = Node::new(1, &[TCP, QUIC]).await;
    let mut b = Node::new(2, &[TCP, QUIC]).await;
    let c = Node::new(3, &[TCP, QUIC]).await;
    let there = addresses(&b);
    assert_eq!(there.len(), 2);
    assert_eq!(probed(&mut a, b.id, &there).await, [Dialled::Reached; 2]);
    // Nobody is at the second, and another node at the last two.
    let nobody: Address = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    let mut mixed = vec![there[0].clone(), nobody];
    mixed.extend(addresses(&c));
    let found = probed(&mut a, b.id, &mixed).await;
    let [reached, missed] = [Dialled::Reached, Dialled::Missed];
    assert_eq!(found, [reached, missed, missed, missed]);

    // Who is linked stays linked, by the connection that it had.
    a.packets(&[b.id]);
    b.packets(&[a.id]);
    a.members(&[&a, &b]);
    b.members(&[&a, &b]);
    a.link_up(b.id).await;
    b.link_up(a.id).await;
    for number in 0..3 {
        assert_eq!(probed(&mut a, b.id, &there).await, [Dialled::Reached; 2]);
        a.send(&b.id, number).await;
        assert_eq!(b.frame(a.id).await, number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_gone_is_missed() {
    let mut a = Node::new(1, &[TCP]).await;
    let mut b = Node::new(2, &[TCP, QUIC]).await;
    let there = addresses(&b);
    assert_eq!(probed(&mut a, b.id, &there).await, [Dialled::Reached; 2]);
    b.net.shutdown();
    while b.events.recv().await.is_some() {}
    assert_eq!(probed(&mut a, b.id, &there).await, [Dialled::Missed; 2]);
}
