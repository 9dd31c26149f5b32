//! `shoal network recovery`: a network of which too many are gone, until those who are left go on by a recovery.

use std::process::Output;

use serde_json::Value;

use crate::e2e::{Daemon, Place, free_port, said};

/// Long enough for nodes to agree while tests run beside them.
const EPOCH: &str = "20s";
const NETWORK: [&str; 2] = ["--network", "network.toml"];
const RECOVERY: [&str; 2] = ["network", "recovery"];

/// Three mixes in one layer and three providers: of six seats five decide.
async fn running(place: &Place) -> Vec<(&'static str, String, Daemon)> {
    let names = ["mix-1", "mix-2", "mix-3", "prov-1", "prov-2", "prov-3"];
    let mut ids = Vec::new();
    for name in names {
        let role = if name.starts_with("mix") {
            "mix"
        } else {
            "provider"
        };
        let port = free_port();
        ids.push(place.init(role, name, port, port).await);
    }
    let mut make = vec!["network", "new", "--name", "lost", "--out", "network.toml"];
    make.extend(["--layers", "1", "--epoch", EPOCH, "--from-dir"]);
    make.extend(names);
    place.json(&make).await;
    let mut nodes = Vec::from_iter(names.iter().map(|name| place.start_node(name)));
    for node in &mut nodes {
        node.event("ready").await;
    }
    let named = names.into_iter().zip(ids).zip(nodes);
    named.map(|((name, id), node)| (name, id, node)).collect()
}

async fn ask(place: &Place, command: &str, arguments: &[&str]) -> Output {
    let all = [&RECOVERY[..], &[command], &NETWORK, arguments].concat();
    place.run(&all).await
}

async fn object(place: &Place, command: &str, arguments: &[&str]) -> Value {
    place
        .json(&[&RECOVERY[..], &[command], &NETWORK, arguments].concat())
        .await
}

/// Stops a node, and starts it again from what it kept.
async fn again(place: &Place, name: &str, node: Daemon) -> Daemon {
    node.interrupt();
    assert!(node.stopped().await.success(), "{name}");
    place.start_node(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_of_six_go_on_by_a_recovery() {
    let place = Place::new();
    let mut nodes = running(&place).await;
    // One of each kind is lost with all that it had.
    let lost = Vec::from([nodes.remove(5), nodes.remove(2)].map(|(_, id, node)| {
        node.interrupt();
        id
    }));
    let without = ["--without", &lost[0], "--without", &lost[1]];
    let out = ["--out", "recovery.toml", "--timeout", "3s"];

    let output = ask(&place, "new", &[&["--without", "2nLm"][..], &out].concat()).await;
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let made = object(&place, "new", &[&without[..], &out].concat()).await;
    let height = made["height"].as_u64().unwrap();
    assert_eq!((&made["signed"], &made["needed"]), (&0.into(), &3.into()));
    assert_eq!(made["members"].as_array().unwrap().len(), 4);
    let output = ask(&place, "new", &[&without[..], &out].concat()).await;
    assert!(!output.status.success(), "it overwrites nothing");

    // Two sign one copy, and one another.
    let copied = std::fs::copy(place.file("recovery.toml"), place.file("copy.toml"));
    copied.unwrap();
    let unsigned = ask(&place, "add", &["recovery.toml"]).await;
    assert_eq!(unsigned.status.code(), Some(2));
    let told = said(&unsigned);
    assert!(
        told.contains("0 of those that it names have signed, and 3 have to"),
        "{told}"
    );
    for (dir, file, signed) in [
        ("mix-1", "recovery.toml", 1),
        ("mix-2", "recovery.toml", 2),
        ("prov-1", "copy.toml", 1),
    ] {
        let signing = object(&place, "sign", &["--dir", dir, file]).await;
        assert_eq!(signing["signed"], signed);
    }
    let stranger = ask(&place, "sign", &["--dir", "mix-3", "recovery.toml"]).await;
    let told = said(&stranger);
    assert!(
        told.contains(&format!("it does not name {}", lost[1])),
        "{told}"
    );
    let before = std::fs::read_to_string(place.file("network.toml")).unwrap();
    let added = object(&place, "add", &["recovery.toml", "copy.toml"]).await;
    assert_eq!(
        (&added["signed"], &added["height"]),
        (&3.into(), &height.into())
    );
    let text = std::fs::read_to_string(place.file("network.toml")).unwrap();
    assert!(
        text.starts_with(before.trim_end()),
        "the rest of the file stays"
    );
    let show = ["network", "show", "network.toml"];
    let shown = place.json(&show).await;
    assert_eq!(shown["recoveries"], serde_json::json!([height]));
    assert_eq!(shown["hash"], added["network"]);
    let words = said(&place.run(&show).await);
    assert!(
        words.contains(&format!("recovered  after height {height}")),
        "{words}"
    );
    let checked = place.json(&["network", "check", "network.toml"]).await;
    assert_eq!(checked["runs"], true);
    let twice = said(&ask(&place, "add", &["recovery.toml", "copy.toml"]).await);
    assert!(twice.contains("already"), "{twice}");

    let mut left = Vec::new();
    for (name, _, node) in nodes {
        left.push(again(&place, name, node).await);
    }
    // What comes next is agreed on by the four, of whom three are enough; with the third one of it is in force.
    let arguments = ["--json", "--count", "3"];
    let watch = [&["directory", "watch"][..], &NETWORK, &arguments].concat();
    let output = place.run(&watch).await;
    let lines = String::from_utf8(output.stdout).unwrap();
    let events = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let events = Vec::<Value>::from_iter(events);
    let documents = events.iter().filter(|it| it["event"] == "document");
    let newest = documents.filter_map(|it| it["height"].as_u64()).max();
    assert!(newest > Some(height), "{events:?}");
    let shown = place
        .json(&[&["directory", "show"][..], &NETWORK].concat())
        .await;
    assert_eq!(shown["certificate"]["seats"], 4, "{shown:#}");

    // Who has the file of before is told, and follows nobody.
    std::fs::write(place.file("old.toml"), before).unwrap();
    let old = ["directory", "show", "--network", "old.toml"];
    let output = place.run(&old).await;
    let told = said(&output);
    assert_eq!(output.status.code(), Some(12), "{told}");
    assert!(
        told.contains("if the network was recovered, get its file anew"),
        "{told}"
    );
    drop(left);
}
