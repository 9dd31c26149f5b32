//! Real nodes that can't do their work: what they say, on standard output, at `/healthz`, in metrics, and to their
//! operator who asks them.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::e2e::{Daemon, LONG, Place, free_port};
use crate::node_doctor::{
    an_operator_comes_and_goes, does_not_run, has_a_wrong_clock, is_of_another_network, is_well,
    loses_its_disk, names_trouble, wrong_clock,
};

const NODES: [(&str, &str); 5] = [
    ("mix", "mix-1"),
    ("mix", "mix-2"),
    ("mix", "mix-3"),
    ("provider", "provider-4"),
    ("provider", "provider-5"),
];

/// A page of a node.
async fn page(port: u16, path: &str) -> String {
    let read = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let ask = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    timeout(LONG, read).await.expect("an answer")
}

/// Waits until a node says that this keeps it from its work.
async fn not_ready(node: &mut Daemon, wanted: &str) -> String {
    loop {
        let event = node.event("not_ready").await;
        let reasons = event["reasons"].as_str().unwrap();
        if reasons.contains(wanted) {
            return reasons.to_owned();
        }
    }
}

/// Its pages are on this port from its next start on.
fn show(place: &Place, name: &str, port: u16) {
    let file = place.file(&format!("{name}/shoal.toml"));
    let text = std::fs::read_to_string(&file).unwrap();
    let shown = text.replace("\"127.0.0.1:0\"", &format!("\"127.0.0.1:{port}\""));
    assert_ne!(shown, text);
    std::fs::write(&file, shown).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_can_not_work_say_why_and_heal() {
    let place = Place::new();
    let mut make = vec!["network", "new", "--name", "try", "--epoch", "30s"];
    // Who joins later does the work for real: once or twice some seconds of it, not a minute or five.
    make.extend(["--work", "1"]);
    make.extend(["--out", "network.toml", "--from-dir"]);
    let mut ports = Vec::new();
    for (role, dir) in NODES {
        let port = free_port();
        ports.push(port);
        place.init(role, dir, port, port).await;
        make.push(dir);
    }
    place.json(&make).await;
    let port = free_port();
    show(&place, "mix-1", port);
    let mut nodes: Vec<Daemon> = NODES
        .iter()
        .map(|(_, name)| place.start_node(name))
        .collect();
    for node in &mut nodes {
        node.event("ready").await;
    }
    assert!(page(port, "/healthz").await.starts_with("HTTP/1.1 200"));
    is_well(&place, "mix-1").await;
    let operator = tokio::spawn(an_operator_comes_and_goes(place.file("network.toml")));

    // A replay log is damaged while its node is down: the key has to go.
    let mix = nodes.remove(0);
    mix.interrupt();
    mix.stopped().await;
    does_not_run(&place, "mix-1", ports[0]).await;
    for entry in std::fs::read_dir(place.file("mix-1/replay")).unwrap() {
        std::fs::write(entry.unwrap().path(), b"damaged").unwrap();
    }
    let mut mix = place.start_node("mix-1");
    let reasons = not_ready(&mut mix, "the key of this node for epoch").await;
    assert!(reasons.contains("UTC, in "), "{reasons}");
    names_trouble(&place, "mix-1", "no_key").await;
    let health = page(port, "/healthz").await;
    assert!(health.starts_with("HTTP/1.1 503"), "{health}");
    assert!(health.contains("is lost"), "{health}");
    let metrics = page(port, "/metrics").await;
    let gauge = "shoal_node_trouble_reasons{kind=\"no_key\"} 1";
    assert!(metrics.contains(gauge), "{metrics}");
    // A document comes that names a key which it has.
    mix.event("ready").await;
    assert!(page(port, "/healthz").await.starts_with("HTTP/1.1 200"));

    loses_its_disk(&place, "provider-5").await;

    // A node whose parameters differ in one value.
    let text = std::fs::read_to_string(place.file("network.toml")).unwrap();
    let others = text.replace("\"try\"", "\"tri\"");
    assert_ne!(others, text);
    let late = free_port();
    place.init("mix", "late", late, late).await;
    std::fs::write(place.file("other.toml"), others).unwrap();
    let run = ["node", "run", "--network", "other.toml"];
    let mut late = place.start("late", &run);
    let reasons = not_ready(&mut late, "answer for another network").await;
    assert!(reasons.contains("of 5 first members"), "{reasons}");
    assert!(reasons.contains("compare network.toml"), "{reasons}");
    is_of_another_network(&place, "late", "other.toml").await;
    late.interrupt();
    late.stopped().await;

    // The others are told of a port at which nobody is.
    let port = free_port();
    place.init("mix", "lost", port, free_port()).await;
    let lost = place.start_node("lost");
    let status = names_trouble(&place, "lost", "unreachable").await;
    let of = |what: &str| status["reach"][what].as_u64().unwrap();
    let (watchers, missed) = (of("watchers"), of("missed_by"));
    // All that run; one of them may have begun a moment ago.
    assert!(watchers > 3 && 3 * missed > 2 * watchers, "{status:#}");
    let at = status["reach"]["missed_at"].as_object().unwrap().values();
    assert!(at.eq([missed]), "{status:#}");
    lost.interrupt();
    lost.stopped().await;

    // The right network, and another time.
    let library = wrong_clock(&place);
    let set = place.file("clock-is-set");
    let clock = [
        ("LD_PRELOAD", library.as_path()),
        ("CLOCK_IS_SET", set.as_path()),
    ];
    let mut late = place.start_with("late", &["node", "run"], &clock);
    has_a_wrong_clock(&place, "late", &library).await;
    // Its operator sets the clock, and does nothing else.
    std::fs::write(&set, "").unwrap();
    while late.event("not_ready").await["reasons"]
        .as_str()
        .unwrap()
        .contains("clock")
    {}

    operator.await.unwrap();
    nodes.extend([mix, late]);
    for node in &nodes {
        node.interrupt();
    }
    for node in nodes {
        assert_eq!(node.stopped().await.code(), Some(0));
    }
}
