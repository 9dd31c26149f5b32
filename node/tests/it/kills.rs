//! Texts that are queued reach the other end once and in order, whenever the process that has them dies.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use shoal_node::control::ControlClient;
use shoal_node::control::protocol::{IdempotencyKey, Request, Response};
use shoal_node::state::StateDir;

use crate::e2e::{Daemon, Place, free_port, stop};

const NODES: [&str; 5] = ["mix-1", "mix-2", "mix-3", "one", "two"];

/// A network whose clients send thirty times as often as by default, or a thousand texts would take twenty minutes.
pub(crate) async fn network(place: &Place) -> Vec<Daemon> {
    for name in NODES {
        let role = match name.starts_with("mix") {
            true => "mix",
            false => "provider",
        };
        let port = free_port();
        place.init(role, name, port, port).await;
    }
    let mut make = vec!["network", "new", "--name", "fast", "--out", "network.toml"];
    make.push("--from-dir");
    make.extend(NODES);
    place.json(&make).await;
    let file = place.file("network.toml");
    let mut text = std::fs::read_to_string(&file).unwrap();
    let at = text.find("[profiles.default]").unwrap();
    let rest = text.split_off(at);
    let rest = rest
        .replacen("real = 2.0", "real = 60.0", 1)
        .replacen("mailbox = 0.9", "mailbox = 20.0", 1)
        .replacen("mailbox_clock = 2.0", "mailbox_clock = 60.0", 1)
        .replacen("downlink = 9.0", "downlink = 200.0", 1);
    std::fs::write(&file, text + &rest).unwrap();
    let mut nodes = Vec::from_iter(NODES.map(|name| place.start_node(name)));
    for node in &mut nodes {
        node.event("ready").await;
    }
    nodes
}

/// The daemon in this directory dies.
pub(crate) fn kill(daemon: Daemon, place: &Place, name: &str) {
    let process = Pid::from_raw(daemon.id().try_into().unwrap()).unwrap();
    kill_process(process, Signal::KILL).unwrap();
    drop(daemon);
    StateDir::wait_until_free(&place.file(name)).unwrap();
}

/// Alice and Bob, each with an entry and a mailbox of their own, who know each other.
pub(crate) async fn pair(place: &Place) -> [Daemon; 2] {
    for (name, entry, mailbox) in [("alice", "one", "two"), ("bob", "two", "one")] {
        let id = async |node: &str| {
            let status = place.json(&["node", "status", "--dir", node]).await;
            status["node"].as_str().unwrap().to_owned()
        };
        let init = ["client", "init", "--network", "network.toml", "--dir", name];
        let at = ["--entry", &id(entry).await, "--mailbox", &id(mailbox).await];
        place.json(&[&init[..], &at[..]].concat()).await;
    }
    let alice = place.start_client("alice").await;
    let bob = place.start_client("bob").await;
    place.befriend("alice", "bob").await;
    [alice, bob]
}

/// Texts are handed over, each with a key of its own and once more if there was no answer.
async fn queue(place: &Place, from: usize, to: usize) -> usize {
    for number in from..to {
        let Ok(mut control) = ControlClient::connect(&place.file("alice")).await else {
            return number;
        };
        let key: IdempotencyKey = format!("text-{number}").parse().unwrap();
        let request = Request::Send {
            to: "bob".to_owned(),
            text: format!("{number}"),
            life_ms: None,
            idempotency_key: Some(key),
        };
        match control.ask(request).await {
            Ok(Response::Accepted(_)) => {}
            _ => return number,
        }
    }
    to
}

/// So many texts, and the process dies so often while they are handed over and sent.
async fn survives(texts: usize, kills: usize) {
    let place = Place::new();
    let nodes = network(&place).await;
    let [mut alice, bob] = pair(&place).await;
    let mut rng = ChaCha20Rng::seed_from_u64(texts as u64);
    let (mut queued, mut killed) = (0, 0);
    while queued < texts || killed < kills {
        let most = texts.min(queued + texts.div_ceil(kills + 1));
        let wait = Duration::from_millis(rng.random_range(100..900));
        tokio::select! {
            reached = queue(&place, queued, most) => queued = reached,
            () = tokio::time::sleep(wait) => {}
        }
        if killed < kills {
            kill(alice, &place, "alice");
            killed += 1;
            alice = place.start_client("alice").await;
        }
    }
    let mut come = Vec::new();
    let mut quiet = 0;
    while come.len() < texts {
        let receive = ["client", "receive", "--dir", "bob", "--wait"];
        let output = place
            .run(&[&receive[..], &["--timeout", "90s", "--json"]].concat())
            .await;
        if output.status.code() == Some(5) {
            quiet += 1;
            assert!(quiet < 10, "{} have come", come.len());
            continue;
        }
        assert!(output.status.success(), "{}", crate::e2e::said(&output));
        let lines = String::from_utf8(output.stdout).unwrap();
        come.extend(lines.lines().map(|line| {
            let message: Value = serde_json::from_str(line).unwrap();
            message["text"].as_str().unwrap().parse::<usize>().unwrap()
        }));
    }
    let expected: Vec<usize> = (0..texts).collect();
    let mut once = come.clone();
    once.sort_unstable();
    assert_eq!(once, expected, "all, once");
    let late = come.windows(2).filter(|pair| pair[1] < pair[0]).count();
    #[expect(clippy::print_stdout, reason = "the figure of the long form")]
    {
        println!(
            "{texts} texts and {kills} kills: all, once; {late} times one came after a later one"
        );
    }
    assert_eq!(come, expected, "in order");
    stop(vec![alice, bob]).await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_delivered_once_and_in_order_over_kills() {
    survives(60, 3).await;
}

/// `cargo test -p shoal-node --test it kills -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "some minutes"]
async fn a_thousand_texts_are_delivered_once_and_in_order_over_twenty_kills() {
    survives(1000, 20).await;
}
