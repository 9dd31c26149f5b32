//! The demo, run as a user runs it.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use shoal_proto::size::TEXT_BYTES_PER_PACKET;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::e2e::{LONG, said, shoal, signal};

/// Longer than the demo's own patience.
const PATIENCE: Duration = Duration::from_secs(200);
/// How often the list of processes is looked at.
const GLANCE: Duration = Duration::from_millis(50);
/// Six mixes, three providers, Alice.
const CHILDREN: usize = 10;

fn demo(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = shoal(&["demo", "--json", "--dir", dir.to_str().unwrap()]);
    command.args(arguments);
    command
}

/// How many processes were given a path below this directory. The demo itself was given the
/// directory, its children have a slash behind it.
fn children(dir: &Path) -> usize {
    let below = format!("{}/", dir.canonicalize().unwrap().display());
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(&below))
        .count()
}

/// Waits until no child is left.
async fn no_child_is_left(dir: &Path) {
    let gone = async {
        while children(dir) > 0 {
            sleep(GLANCE).await;
        }
    };
    assert!(
        timeout(LONG, gone).await.is_ok(),
        "{} children are left",
        children(dir)
    );
}

fn check(output: &Output, text: &str) -> Value {
    assert!(output.status.success(), "{}", said(output));
    // One object and nothing else, or this fails.
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["delivered"], true);
    assert_eq!(told["received"], text);
    assert_eq!(told["reply_received"], true);
    assert_eq!(told["hops"], 9);
    assert_eq!(told["trace"]["to_mailbox"].as_array().unwrap().len(), 5);
    assert_eq!(told["trace"]["from_mailbox"].as_array().unwrap().len(), 4);
    assert_eq!(told["balanced"], true);
    assert!(told["drops"].is_object());
    for kind in [
        "client_dummy",
        "client_loop",
        "client_drop",
        "client_mailbox",
        "node_loop",
    ] {
        assert!(
            told["packets"][kind].as_u64().unwrap() > 0,
            "{kind}: {told}"
        );
    }
    let (stored, read) = (told["stored_ms"].as_u64(), told["latency_ms"].as_u64());
    assert!(stored.unwrap() > 0 && stored <= read);
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_deliver_a_short_and_a_long_text() {
    let short = "Grüße 🐟, \"quoted\"\n\tand {not} a template";
    let long = "all work and no play ".repeat(TEXT_BYTES_PER_PACKET * 7 / 2 / 21);
    let fragments = long.len().div_ceil(TEXT_BYTES_PER_PACKET);
    assert_eq!(fragments, 4);
    let [first, second] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    let mut one = demo(first.path(), &["--message", short]);
    let mut other = demo(second.path(), &["--message", &long]);
    let both = async { tokio::join!(one.output(), other.output()) };
    let (one, other) = timeout(PATIENCE, both).await.expect("both end");
    let told = check(&one.unwrap(), short);
    // Alice's text and Bob's answer; more if one had to be sent again.
    assert!(told["packets"]["client_real"].as_u64().unwrap() >= 2);
    let told = check(&other.unwrap(), &long);
    assert!(told["packets"]["client_real"].as_u64().unwrap() > fragments as u64);
    no_child_is_left(first.path()).await;
    no_child_is_left(second.path()).await;
}

/// A demo in the middle of its story: Alice's message is accepted, all her network runs.
async fn in_the_middle(dir: &Path) -> Child {
    let mut command = demo(dir, &["--message", "never mind"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut demo = command.spawn().unwrap();
    let mut lines = BufReader::new(demo.stderr.take().unwrap()).lines();
    let accepted = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("message is accepted") {
                return;
            }
        }
        panic!("it ended before");
    };
    timeout(LONG, accepted)
        .await
        .expect("the message is accepted");
    assert!(children(dir) >= CHILDREN, "the search finds children");
    // What it says from now on has nobody to read it, and must not block it.
    drop(lines);
    demo
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_demo_stops_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = in_the_middle(dir.path()).await;
    signal(&demo, Signal::INT);
    let status = timeout(LONG, demo.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(130));
    assert_eq!(children(dir.path()), 0, "they end before the demo does");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_demo_leaves_no_child() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = in_the_middle(dir.path()).await;
    demo.kill().await.unwrap();
    no_child_is_left(dir.path()).await;
}
