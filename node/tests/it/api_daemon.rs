//! The local API of a daemon that is a process of its own: what was accepted survives it, and thousands may wait.

use std::time::Duration;

use futures::future::join_all;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, setrlimit};
use serde_json::{Value, json};
use shoal_node::Exit;
use shoal_node::control::{SOCKET_FILE, TOKEN_FILE};
use shoal_node::state::StateDir;
use tokio::net::UnixStream;

use crate::api_support::{Answer, Raw, get, post};
use crate::e2e::{Daemon, Place, said, sh_blocks};
use crate::local::{alice, serve};

fn send(to: &str, text: &str, key: Option<&str>) -> String {
    let body = json!({ "to": to, "text": text }).to_string();
    let key: Vec<_> = key
        .map(|key| ("Idempotency-Key", key))
        .into_iter()
        .collect();
    post("/v1/messages", &key, &body)
}

async fn unix(place: &Place) -> Raw<UnixStream> {
    Raw::unix(&place.file("alice")).await
}

async fn ask(place: &Place, request: impl AsRef<[u8]>) -> Answer {
    unix(place).await.ask(request).await.expect("an answer")
}

fn kill(daemon: Daemon, place: &Place) {
    let process = Pid::from_raw(daemon.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(process, Signal::KILL).unwrap();
    drop(daemon);
    StateDir::wait_until_free(&place.file("alice")).unwrap();
}

/// The ids of all messages that are remembered.
async fn outgoing(place: &Place) -> Vec<String> {
    let list = ask(place, get("/v1/outgoing", &[])).await.json();
    let messages = list["messages"].as_array().unwrap().iter();
    let ids = messages.map(|it| it["message"].as_str().unwrap().to_owned());
    ids.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_over_http_survives_a_kill() {
    let (place, bob) = alice().await;
    let mut accepted: Vec<(String, String)> = Vec::new();
    for round in 0..3 {
        let daemon = serve(&place).await;
        for (_, id) in &accepted {
            assert!(outgoing(&place).await.contains(id), "{id} is lost");
        }
        // Many at once, and the end comes in the middle of them: what was answered is kept, and of the rest nobody
        // knows.
        let keys: Vec<String> = (0..40)
            .map(|number| format!("k-{round}-{number}"))
            .collect();
        let mut sending = Vec::new();
        for key in &keys {
            let mut raw = unix(&place).await;
            raw.write(send(&bob, key, Some(key))).await;
            sending.push(raw);
        }
        let answered = async |at: usize| {
            let mut raw = Raw::unix(&place.file("alice")).await;
            let answer = raw.ask(send(&bob, &keys[at], Some(&keys[at]))).await;
            answer.expect("an answer").json()
        };
        let first = answered(round).await;
        kill(daemon, &place);
        accepted.push((
            keys[round].clone(),
            first["message"].as_str().unwrap().to_owned(),
        ));
        for (key, mut raw) in keys.iter().zip(sending) {
            if let Some(answer) = raw.answer().await {
                assert_eq!(answer.status, 202);
                let id = answer.json()["message"].as_str().unwrap().to_owned();
                accepted.push((key.clone(), id));
            }
        }
    }
    assert!(accepted.len() > 3, "some were answered before the end");
    // Asked again with its key, each is what it was, and nothing more is sent.
    let daemon = serve(&place).await;
    let before = outgoing(&place).await.len();
    for (key, id) in &accepted {
        let again = ask(&place, send(&bob, key, Some(key))).await;
        assert_eq!(again.status, 202);
        let again = again.json();
        assert_eq!(
            (&again["message"], &again["repeated"]),
            (&json!(id), &json!(true))
        );
    }
    assert_eq!(outgoing(&place).await.len(), before);
    let other = ask(&place, send(&bob, "another", Some(&accepted[0].0))).await;
    assert_eq!((other.status, &*other.code()), (409, "conflict"));
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_message_however_many_ask_at_once() {
    let (place, bob) = alice().await;
    let _daemon = serve(&place).await;
    let asked = (0..32).map(|_| ask(&place, send(&bob, "once", Some("key"))));
    let answers = join_all(asked).await;
    let ids = answers.iter().map(|answer| {
        assert_eq!(answer.status, 202);
        answer.json()["message"].as_str().unwrap().to_owned()
    });
    let ids = std::collections::BTreeSet::from_iter(ids);
    assert_eq!(ids.len(), 1);
    let new = answers
        .iter()
        .filter(|answer| answer.json()["repeated"] == false);
    assert_eq!(new.count(), 1);
    assert_eq!(Vec::from_iter(ids), outgoing(&place).await);
}

/// Bytes that a process has in memory.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kilobytes = line.split_whitespace().next().unwrap();
    kilobytes.parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_waits_hold_up_nobody_and_take_little() {
    const WAITS: usize = 1000;
    // This process has the other ends of all of them.
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, most).unwrap();
    if limit.maximum.is_some_and(|most| most < 3 * WAITS as u64) {
        println!(
            "skipped: the system lets a process have {:?} files",
            limit.maximum
        );
        return;
    }
    let (place, bob) = alice().await;
    let daemon = serve(&place).await;
    let first = ask(&place, send(&bob, "first", None)).await.json();
    let path = format!(
        "/v1/outgoing/{}?wait_ms=600000",
        first["message"].as_str().unwrap()
    );
    let waits = [get("/v1/messages?wait_ms=600000", &[]), get(&path, &[])];
    let before = resident(daemon.id());
    let mut waiting = Vec::new();
    for number in 0..WAITS {
        let mut raw = unix(&place).await;
        raw.write(&waits[number % 2]).await;
        waiting.push(raw);
    }
    // All of them are there: whoever asks is answered all the while.
    let senders = (0..50).map(async |number: usize| {
        let answer = ask(&place, send(&bob, &format!("{number}"), None)).await;
        assert_eq!(answer.status, 202);
    });
    join_all(senders).await;
    for _ in 0..300 {
        assert_eq!(ask(&place, get("/v1/status", &[])).await.status, 200);
    }
    let each = resident(daemon.id()).saturating_sub(before) / WAITS as u64;
    println!("{each} bytes for each wait");
    assert!(each < 64 << 10, "{each} bytes for each wait");
    for raw in &mut waiting {
        let over = tokio::time::timeout(Duration::ZERO, raw.answer()).await;
        assert!(over.is_err(), "it waits: {over:?}");
    }
    // Those that wait are told when it ends, or cut off.
    assert_eq!(ask(&place, post("/v1/stop", &[], "")).await.status, 204);
    assert_eq!(daemon.stopped().await.code(), Some(0));
    let mut told = 0;
    for raw in &mut waiting {
        if let Some(answer) = raw.answer().await {
            assert!(matches!(answer.status, 200 | 429 | 503), "{answer:?}");
            told += 1;
        }
    }
    assert!(told > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_the_daemon_says_where_and_never_the_token() {
    let (place, _) = alice().await;
    let mut daemon = place.start(
        "alice",
        &["daemon", "--api", "127.0.0.1:0", "--log-level", "trace"],
    );
    let told = daemon.event("api").await;
    daemon.event("serving").await;
    let token = std::fs::read_to_string(place.file("alice").join(TOKEN_FILE)).unwrap();
    let token = token.trim_end();
    assert!(!told.to_string().contains(token));
    assert!(told["socket"].as_str().unwrap().ends_with(SOCKET_FILE));
    assert!(told["token_file"].as_str().unwrap().ends_with(TOKEN_FILE));
    let address = told["http"]
        .as_str()
        .unwrap()
        .strip_prefix("http://")
        .unwrap();
    let mut raw = Raw::tcp(address).await;
    let bearer = format!("Bearer {token}");
    let shown = [("Host", address), ("Authorization", &*bearer)];
    let asked = raw.ask(get("/v1/status", &shown)).await.unwrap();
    assert_eq!(asked.json()["network"], "nobody");
    let health = raw.ask(get("/v1/health", &shown)).await.unwrap();
    assert_eq!(
        (health.status, &health.json()["well"]),
        (503, &json!(false))
    );
    assert_eq!(
        raw.ask(get("/v1/status", &shown[..1]))
            .await
            .unwrap()
            .status,
        401
    );
    daemon.interrupt();
    daemon.stopped().await;
    assert!(!place.log("alice").contains(token), "it is in the log");

    // The next one has the same, and the socket alone needs none.
    let mut daemon = place.start("alice", &["daemon", "--api", "none"]);
    let told = daemon.event("api").await;
    assert_eq!((told.get("http"), told.get("token_file")), (None, None));
    let kept = std::fs::read_to_string(place.file("alice").join(TOKEN_FILE)).unwrap();
    assert_eq!(kept.trim_end(), token);
    drop(daemon);

    for wrong in ["0.0.0.0:0", "192.0.2.1:80", "here"] {
        let output = place
            .run(&["daemon", "--dir", "alice", "--api", wrong])
            .await;
        assert_eq!(output.status.code(), Some(i32::from(Exit::Usage.code())));
        assert!(said(&output).contains("api.listen"), "{}", said(&output));
    }
    let output = place
        .run(&["client", "run", "--dir", "alice", "--stop-with-stdin"])
        .await;
    assert_eq!(output.status.code(), Some(2));
    let words = said(&output);
    assert!(
        words.contains("`shoal client run` is `shoal daemon` now"),
        "{words}"
    );
}

/// What docs/api.md says to paste, pasted: beside a daemon that nobody answers.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_documentation_work_pasted_whole() {
    let page = include_str!("../../../docs/api.md");
    let (place, _bob) = alice().await;
    let script = sh_blocks(page).concat();
    let port = crate::e2e::free_port().to_string();
    let script = script
        .replace("4150", &port)
        .replace("shoal:…", &place.nobodys_invitation());
    let output = place.paste(&script, Duration::from_secs(120)).await;
    let words = String::from_utf8_lossy(&output.stdout);
    let objects = words
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let objects: Vec<Value> = objects.collect();
    let has = |name: &str| objects.iter().any(|object| object.get(name).is_some());
    for name in ["network", "repeated", "messages", "total", "state", "well"] {
        assert!(has(name), "{name}: {}", said(&output));
    }
    let repeated = objects.iter().filter(|object| object["repeated"] == true);
    assert_eq!(repeated.count(), 1, "{words}");
    assert!(words.contains("data: {\"id\":"), "{words}");
    assert!(words.contains("\"code\":\"unauthorized\""), "{words}");
}
