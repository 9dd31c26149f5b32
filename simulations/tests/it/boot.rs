use shoal_proto::Span;
use shoal_simulations::Network;

use crate::support::{START, received_at};

#[test]
fn boots() {
    let mut network = Network::builder(1).clients(2, "default").build().unwrap();
    let up = network.bring_up(START).unwrap();
    for node in network.nodes() {
        println!("{node} {:?} {:?}", network.view(node).map(|v| v.documents.keys().map(|e| e.number()).collect::<Vec<_>>()), network.directory_counters(node));
    }
    assert!(up);
    let clients: Vec<_> = network.clients().collect();
    println!("up at {:?}", network.now().since(network.params().genesis));
    network.send(clients[0], clients[1], "hello").unwrap();
    let got = network.run_until_done(Span::from_secs(60), |n| received_at(n, clients[1], "hello").is_some()).unwrap();
    println!("{:?}", network.happenings());
    println!("{:#?}", network.audit());
    for c in &clients { println!("{:?}", network.client_counters(*c)); }
    for c in network.providers() { println!("{:?}", network.provider_counters(c)); }
    network.check().unwrap();
    assert!(got);
}
