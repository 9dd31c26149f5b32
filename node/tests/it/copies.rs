//! Two mailboxes at two providers, one of which dies.

use rustix::process::Signal;

use crate::e2e::{Place, free_port, stop};

const NODES: [(&str, &str); 7] = [
    ("mix-1", "mix"),
    ("mix-2", "mix"),
    ("mix-3", "mix"),
    ("entry-1", "provider"),
    ("entry-2", "provider"),
    ("first", "provider"),
    ("second", "provider"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_lay_at_two_providers_is_read_when_one_has_died() {
    let place = Place::new();
    let mut make = vec!["network", "new", "--name", "two", "--out", "network.toml"];
    let mut ids = Vec::new();
    for (dir, role) in NODES {
        let port = free_port();
        ids.push(place.init(role, dir, port, port).await);
        make.extend(["--from-dir", dir]);
    }
    place.json(&make).await;
    let mut nodes = Vec::new();
    for (name, _) in NODES {
        nodes.push(place.start_node(name));
    }
    for node in &mut nodes {
        node.event("ready").await;
    }
    let init = ["client", "init", "--network", "network.toml", "--dir"];
    let bobs = [
        "bob",
        "--entry",
        &ids[3],
        "--mailbox",
        &ids[5],
        "--mailbox",
        &ids[6],
    ];
    place.json(&[&init[..], &bobs[..]].concat()).await;
    place
        .json(&[&init[..], &["alice", "--entry", &ids[4]]].concat())
        .await;
    let bob = place.start_client("bob").await;
    let invitation = place.invitation("bob").await;
    // Both are open: each has its share of what comes.
    let both = async || {
        let status = place.json(&["client", "status", "--dir", "bob"]).await;
        status["counters"]["drops_unconfirmed"] == 0
    };
    while !both().await {
        // Each asks the daemon, which answers between two packets.
        tokio::task::yield_now().await;
    }
    stop(vec![bob]).await;

    let alice = place.start_client("alice").await;
    place.accept("alice", "Bob", &invitation).await;
    let send = [
        "client", "send", "--dir", "alice", "Bob", "--wait", "stored",
    ];
    for text in ["one", "two", "three"] {
        place.json(&[&send[..], &[text]].concat()).await;
    }
    // Both copies of each.
    let kept = async || {
        let status = place.json(&["client", "status", "--dir", "alice"]).await;
        status["on_the_way_packets"] == 0
    };
    while !kept().await {
        tokio::task::yield_now().await;
    }
    let first = nodes.remove(5);
    first.signal(Signal::KILL);

    let bob = place.start_client("bob").await;
    let receive = [
        "client",
        "receive",
        "--dir",
        "bob",
        "--wait",
        "--timeout",
        "2m",
    ];
    let mut texts = Vec::new();
    while texts.len() < 3 {
        let output = place.run(&[&receive[..], &["--json"]].concat()).await;
        assert!(output.status.success(), "{}", crate::e2e::said(&output));
        let lines = String::from_utf8(output.stdout).unwrap();
        let read = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        texts.extend(lines.lines().map(|line| read(line)["text"].clone()));
    }
    assert_eq!(texts, ["one", "two", "three"]);
    // And what is sent now comes too.
    place.json(&[&send[..], &["four"]].concat()).await;
    assert_eq!(place.json(&receive).await["text"], "four");
    let status = place.json(&["client", "status", "--dir", "bob"]).await;
    assert_eq!(status["mailboxes"].as_array().unwrap().len(), 2);
    stop(vec![alice, bob]).await;
    stop(nodes).await;
}
