//! `shoal node status` and `shoal node doctor` at real nodes, and the commands of docs/operators.md. The networks are
//! those of other tests: each is asked what it shows just then.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use shoal_roles::node::TroubleKind;
use tokio::time::timeout;

use crate::e2e::{LONG, Place, free_port, said, sh_blocks, shoal};

const OPERATORS: &str = include_str!("../../../docs/operators.md");

/// What a command prints with `--json`, and its exit code.
async fn told(place: &Place, arguments: &[&str]) -> (Value, Option<i32>) {
    read(&place.run(&[arguments, &["--json"]].concat()).await)
}

fn read(output: &Output) -> (Value, Option<i32>) {
    let value = serde_json::from_slice(&output.stdout);
    let value = value.unwrap_or_else(|_| panic!("no object: {}", said(output)));
    (value, output.status.code())
}

pub(crate) async fn status(place: &Place, name: &str) -> (Value, Option<i32>) {
    told(place, &["node", "status", "--dir", name]).await
}

/// Waits until a node says itself that this keeps it from its work; it has a minute.
pub(crate) async fn names_trouble(place: &Place, name: &str, kind: &str) -> Value {
    let asking = async {
        loop {
            let (status, code) = status(place, name).await;
            // Nobody answers before it has begun.
            let troubles = status["troubles"].as_array();
            if troubles
                .into_iter()
                .flatten()
                .any(|trouble| trouble["kind"] == kind)
            {
                assert_eq!((code, &status["ready"]), (Some(13), &Value::Bool(false)));
                return status;
            }
        }
    };
    let named = timeout(LONG, asking).await;
    named.unwrap_or_else(|_| panic!("{name} never says {kind}"))
}

/// What the doctor finds of this level and about this.
fn found<'a>(examined: &'a Value, level: &str, about: &str) -> Vec<&'a str> {
    let findings = examined["findings"].as_array().unwrap().iter();
    let findings = findings.filter(|one| one["level"] == level && one["about"] == about);
    findings.map(|one| one["what"].as_str().unwrap()).collect()
}

/// One finding of these has this in it.
fn finds(examined: &Value, level: &str, about: &str, wanted: &str) {
    let found = found(examined, level, about);
    let named = found.iter().any(|what| what.contains(wanted));
    assert!(named, "{about} {level} {wanted}: {examined:#}");
}

pub(crate) async fn doctor(place: &Place, name: &str) -> (Value, Option<i32>) {
    told(place, &["node", "doctor", "--dir", name]).await
}

/// A mix of five nodes that is ready says so, where it stands, and that nothing is wrong.
pub(crate) async fn is_well(place: &Place, name: &str) {
    let asking = async {
        loop {
            let (status, code) = status(place, name).await;
            // Neighbours are asked for the time, and link, within seconds.
            let linked = ["before", "after"].iter().all(|side| {
                let links = &status["links"][side];
                links["linked"] == links["members"]
            });
            if linked && status["clock"]["families"].as_u64().unwrap() >= 3 {
                assert_eq!(code, Some(0), "{status:#}");
                return status;
            }
        }
    };
    let status = timeout(LONG, asking)
        .await
        .expect("neighbours link and say the time");
    assert_eq!(
        (&status["ready"], &status["role"]),
        (&true.into(), &"mix".into())
    );
    assert_eq!(status["troubles"].as_array().unwrap().len(), 0);
    let layer = status["epoch"]["position"].as_u64().unwrap();
    // Of three layers with one mix each between two providers.
    let beside = |layer: u64| if layer.is_multiple_of(4) { 2 } else { 1 };
    for (side, layer) in [("before", layer - 1), ("after", layer + 1)] {
        let links = &status["links"][side];
        assert_eq!(links["members"], beside(layer), "{status:#}");
        assert_eq!(links["linked"], beside(layer), "{status:#}");
    }
    assert!(status["links"]["open"]["tcp_ip4"].as_u64().unwrap() > 0);
    assert!(status["clock"]["ahead_secs"].as_f64().unwrap().abs() < 1.0);
    assert!(status["disk"]["free_bytes"].as_u64().unwrap() > 0);
    assert!(!status["backend"].as_str().unwrap().is_empty());
    for arguments in [["node", "status"], ["node", "doctor"]] {
        let output = place
            .run(&[&arguments[..], &["--dir", name]].concat())
            .await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let words = String::from_utf8_lossy(&output.stdout);
        assert!(
            !words.contains("NOT READY") && !words.contains("error"),
            "{words}"
        );
    }
    let (examined, code) = doctor(place, name).await;
    assert_eq!(
        (code, &examined["errors"]),
        (Some(0), &0.into()),
        "{examined:#}"
    );
    finds(&examined, "ok", "members", "4 of 4 first members");
    finds(&examined, "ok", "members", "lists this node in layer");
    finds(&examined, "ok", "clock", "of 4 members");
    finds(&examined, "ok", "ports", "held by what runs");
    finds(
        &examined,
        "ok",
        "ports",
        "a node of this network answers at /ip4/127.0.0.1",
    );
    assert_eq!(examined["status"]["ready"], true);
}

/// A node that does not run is told from one that can't.
pub(crate) async fn does_not_run(place: &Place, name: &str, port: u16) {
    let (error, code) = status(place, name).await;
    assert_eq!((code, &error["error"]["code"]), (Some(3), &3.into()));
    let (examined, code) = doctor(place, name).await;
    assert_eq!(
        (code, &examined["well"]),
        (Some(0), &true.into()),
        "{examined:#}"
    );
    finds(&examined, "warning", "node", "no node runs for");
    finds(&examined, "ok", "ports", "are free");
    let held = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (examined, code) = doctor(place, name).await;
    drop(held);
    assert_eq!(
        (code, &examined["errors"]),
        (Some(13), &1.into()),
        "{examined:#}"
    );
    finds(
        &examined,
        "error",
        "ports",
        &format!("/ip4/127.0.0.1/tcp/{port}: the port is taken"),
    );
}

/// The folder of its keys is taken away under a node that runs, and comes back.
pub(crate) async fn loses_its_disk(place: &Place, name: &str) {
    let keys = place.file(&format!("{name}/epoch-keys"));
    let away = place.file("away");
    std::fs::rename(&keys, &away).unwrap();
    let status = names_trouble(place, name, "directory").await;
    assert!(status["disk"]["directory_failures"].as_u64().unwrap() > 0);
    let (examined, code) = doctor(place, name).await;
    std::fs::rename(&away, &keys).unwrap();
    assert_eq!(code, Some(13), "{examined:#}");
    finds(&examined, "error", "files", "epoch-keys is gone");
    finds(&examined, "error", "node", "can't be saved");
    let healing = async { while self::status(place, name).await.1 != Some(0) {} };
    timeout(2 * LONG, healing)
        .await
        .expect("it goes on by itself");
}

/// A node with the network's file of others.
pub(crate) async fn is_of_another_network(place: &Place, name: &str, file: &str) {
    let status = names_trouble(place, name, "other_network").await;
    let told = status["troubles"][0]["text"].as_str().unwrap();
    assert!(!told.contains("clock"), "all are of one machine: {told}");
    let arguments = ["node", "doctor", "--dir", name, "--network", file];
    let (examined, code) = self::told(place, &arguments).await;
    assert_eq!(code, Some(13), "{examined:#}");
    finds(
        &examined,
        "error",
        "network",
        "5 of 5 first members that were asked are of another network",
    );
    finds(&examined, "ok", "clock", "of 5 members");
}

/// What is preloaded to have the machine's clock ten minutes ahead, for one process.
pub(crate) fn wrong_clock(place: &Place) -> PathBuf {
    let (source, library) = (place.file("clock.c"), place.file("clock.so"));
    let text = "
        #define _GNU_SOURCE
        #include <stdlib.h>
        #include <sys/syscall.h>
        #include <time.h>
        #include <unistd.h>
        int clock_gettime(clockid_t id, struct timespec *at) {
            int done = (int)syscall(SYS_clock_gettime, id, at);
            const char *set = getenv(\"CLOCK_IS_SET\");
            int right = set && syscall(SYS_access, set, F_OK) == 0;
            if (done == 0 && id == CLOCK_REALTIME && !right) at->tv_sec += 600;
            return done;
        }";
    std::fs::write(&source, text).unwrap();
    let mut cc = std::process::Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source);
    assert!(cc.status().unwrap().success());
    library
}

/// A node, and a machine, whose clock is ten minutes ahead.
pub(crate) async fn has_a_wrong_clock(place: &Place, name: &str, library: &Path) {
    let status = names_trouble(place, name, "clock").await;
    let told = status["troubles"][0]["text"].as_str().unwrap();
    assert!(told.contains("10 min ahead of"), "{told}");
    let ahead = status["clock"]["ahead_secs"].as_f64().unwrap();
    assert!((590.0..610.0).contains(&ahead), "{ahead}");
    let mut doctor = shoal(&["node", "doctor", "--json", "--dir", name]);
    doctor.env("LD_PRELOAD", library).current_dir(place.path());
    let output = timeout(LONG, doctor.output())
        .await
        .expect("it ends")
        .unwrap();
    let (examined, code) = read(&output);
    assert_eq!(code, Some(13), "{examined:#}");
    finds(
        &examined,
        "error",
        "clock",
        "10 min ahead of that of most of 5 members",
    );
}

#[test]
fn the_operators_page_has_every_trouble_and_no_metric_that_is_not() {
    for kind in TroubleKind::ALL {
        assert!(OPERATORS.contains(&format!("`{kind}`")), "{kind}");
    }
    let metrics = include_str!("../../../docs/metrics.md");
    let of = |c: char| c.is_ascii_lowercase() || c == '_';
    let named = OPERATORS.split(|c| !of(c));
    let named = named.filter(|word| {
        ["mix", "node"]
            .iter()
            .any(|of| word.starts_with(&format!("shoal_{of}_")))
    });
    let mut count = 0;
    for name in named {
        assert!(metrics.contains(&format!("`{name}`")), "{name}");
        count += 1;
    }
    assert!(count > 2);
}

/// Somebody does what docs/operators.md says, from nothing to a member and away, in the network of this place. It takes
/// two to three epochs.
pub(crate) async fn an_operator_comes_and_goes(network: PathBuf) {
    let place = Place::new();
    std::fs::copy(network, place.file("network.toml")).unwrap();
    let script = sh_blocks(OPERATORS).concat();
    for mark in ["203.0.113.7", "0.0.0.0", "4140", "9464"] {
        assert!(script.contains(mark), "{mark}");
    }
    let script = script.replace("203.0.113.7", "127.0.0.1");
    let script = script.replace("0.0.0.0", "127.0.0.1");
    let script = script.replace("4140", &free_port().to_string());
    let script = script.replace("9464", &free_port().to_string());
    let output = place.paste(&script, 5 * LONG).await;
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(words.contains("ready      yes"), "{}", said(&output));
    assert!(
        words.contains("shoal_node_ready_nodes 1"),
        "{}",
        said(&output)
    );
}
