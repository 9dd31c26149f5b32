//! `shoal network successor`: a network's values change while messages pass, and nobody is lost by it.

use rustix::process::Signal;
use serde_json::Value;

use crate::e2e::{Daemon, LONG, Place, free_port, said};

/// Long enough for nodes to agree while tests run beside them.
const EPOCH: &str = "15s";
const NETWORK: [&str; 2] = ["--network", "network.toml"];
const NODES: [&str; 5] = ["mix-1", "mix-2", "mix-3", "prov-1", "prov-2"];

/// Three mixes in one layer and two providers, in terms of two documents: of five seats four decide.
async fn running(place: &Place) -> Vec<Daemon> {
    for name in NODES {
        let role = match name.starts_with("mix") {
            true => "mix",
            false => "provider",
        };
        let port = free_port();
        place.init(role, name, port, port).await;
    }
    let mut make = vec!["network", "new", "--name", "old", "--out", "network.toml"];
    make.extend(["--layers", "1", "--epoch", EPOCH, "--from-dir"]);
    make.extend(NODES);
    place.json(&make).await;
    changed(
        place,
        "network.toml",
        "network.toml",
        ("term = 24", "term = 2"),
    );
    let mut nodes = Vec::from_iter(NODES.map(|name| place.start_node(name)));
    for node in &mut nodes {
        node.event("ready").await;
    }
    nodes
}

/// A copy of a file with something else in the place of this.
fn changed(place: &Place, from: &str, to: &str, (this, that): (&str, &str)) {
    let text = std::fs::read_to_string(place.file(from)).unwrap();
    assert!(text.contains(this), "{from} has no {this}");
    std::fs::write(place.file(to), text.replace(this, that)).unwrap();
}

async fn successor(place: &Place, command: &str, arguments: &[&str]) -> std::process::Output {
    let all = [&["network", "successor", command][..], &NETWORK, arguments].concat();
    place.run(&all).await
}

async fn object(place: &Place, command: &str, arguments: &[&str]) -> Value {
    let all = [&["network", "successor", command][..], &NETWORK, arguments].concat();
    place.json(&all).await
}

async fn status(place: &Place, name: &str) -> Value {
    place.json(&["client", "status", "--dir", name]).await
}

async fn send(place: &Place, to: &str, text: &str) -> Value {
    let send = [
        "client", "send", "--dir", "alice", to, text, "--wait", "stored",
    ];
    place.json(&send).await
}

#[tokio::test(flavor = "multi_thread")]
async fn values_change_while_messages_pass() {
    let place = Place::new();
    let mut nodes = running(&place).await;
    for name in ["alice", "bob"] {
        place
            .json(&["client", "init", "--dir", name, "--network", "network.toml"])
            .await;
    }
    let mut alice = place.start_client("alice").await;
    let bob = place.start_client("bob").await;
    place.befriend("alice", "bob").await;
    let bobs = "bob";
    assert_eq!(send(&place, bobs, "before").await["state"], "stored");
    let old = status(&place, "alice").await["network_hash"].clone();
    place.json(&["client", "stop", "--dir", "bob"]).await;
    assert!(bob.stopped().await.success());

    // What would split the network is refused, and so is what changes nothing.
    changed(
        &place,
        "network.toml",
        "values.toml",
        ("name = \"old\"", "name = \"new\""),
    );
    let make = ["--values", "values.toml", "--out", "next.toml"];
    let refused = said(&successor(&place, "new", &make).await);
    assert!(refused.contains("name can't change"), "{refused}");
    let same = ["--values", "network.toml", "--out", "next.toml"];
    let refused = said(&successor(&place, "new", &same).await);
    assert!(refused.contains("changes nothing"), "{refused}");
    changed(
        &place,
        "network.toml",
        "values.toml",
        ("mean_delay = \"100ms\"", "mean_delay = \"50ms\""),
    );
    let made = object(&place, "new", &make).await;
    assert_eq!((&made["signed"], &made["needed"]), (&0.into(), &4.into()));
    assert_eq!(made["follows"], old);
    let delay =
        serde_json::json!({ "key": "mean_delay", "before": "\"100ms\"", "after": "\"50ms\"" });
    assert_eq!(made["changes"], serde_json::json!([delay]));

    // Who has signed it signs no other that follows on the same file.
    object(&place, "sign", &["--dir", "prov-2", "next.toml"]).await;
    changed(&place, "values.toml", "others.toml", ("50ms", "60ms"));
    let other = ["--values", "others.toml", "--out", "other.toml"];
    object(&place, "new", &other).await;
    let twice = said(&successor(&place, "sign", &["--dir", "prov-2", "other.toml"]).await);
    assert!(twice.contains("another file that follows"), "{twice}");
    std::fs::remove_file(place.file("next.toml")).unwrap();
    object(&place, "new", &make).await;

    // Three sign one copy, and one another: alone neither is enough.
    std::fs::copy(place.file("next.toml"), place.file("copy.toml")).unwrap();
    for (dir, file) in NODES
        .iter()
        .zip(["next.toml", "next.toml", "next.toml", "copy.toml"])
    {
        object(&place, "sign", &["--dir", dir, file]).await;
    }
    let short = said(&successor(&place, "add", &["--dir", "mix-1", "next.toml"]).await);
    assert!(
        short.contains("3 of those who sit have signed it, and 4 have to"),
        "{short}"
    );
    let added = object(&place, "add", &["--dir", "mix-1", "next.toml", "copy.toml"]).await;
    assert_eq!(added["signed"], 4);
    let new = added["hash"].clone();
    let show = [
        "network",
        "show",
        "mix-1/successor.toml",
        "--before",
        "network.toml",
    ];
    let shown = said(&place.run(&show).await);
    assert!(
        shown.contains("mean_delay: \"100ms\" -> \"50ms\""),
        "{shown}"
    );
    nodes[0].signal(Signal::HUP);
    // One node has it, and all others fetch it.
    for name in NODES {
        let known = async {
            loop {
                let status = place.json(&["node", "status", "--dir", name]).await;
                // On a slow machine its moment has come.
                if status["successor"]["hash"] == new || status["network_hash"] == new {
                    break;
                }
            }
        };
        let known = tokio::time::timeout(LONG, known).await;
        known.unwrap_or_else(|_| panic!("{name} knows nothing of it: {}", place.log("mix-1")));
    }

    // All begin anew at one moment, with what they have, and so do clients.
    for node in &mut nodes {
        node.event_within("ready", 2 * LONG).await;
    }
    let doctor = place.run(&["node", "doctor", "--dir", "mix-2"]).await;
    assert_eq!(doctor.status.code(), Some(0), "{}", said(&doctor));
    alice.event("online").await;
    assert_eq!(status(&place, "alice").await["network_hash"], new);
    assert_eq!(send(&place, bobs, "after").await["state"], "stored");
    // Who was away has the old file, and asks by it.
    let bob = place.start_client("bob").await;
    let receive = [
        "client",
        "receive",
        "--wait",
        "--timeout",
        "4m",
        "--dir",
        "bob",
    ];
    for text in ["before", "after"] {
        assert_eq!(place.json(&receive).await["text"], text);
    }
    assert_eq!(status(&place, "bob").await["network_hash"], new);
    let trust = ["client", "status", "--dir", "bob"];
    assert_eq!(place.json(&trust).await["online"], true);

    // From the disk it is the new one at once.
    place.json(&["client", "stop", "--dir", "bob"]).await;
    assert!(bob.stopped().await.success());
    let bob = place.start_client("bob").await;
    assert_eq!(status(&place, "bob").await["network_hash"], new);
    nodes[3].interrupt();
    assert!(nodes.remove(3).stopped().await.success());
    place.start_node("prov-1").event("ready").await;
    drop((alice, bob));
}
