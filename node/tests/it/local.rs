//! A client's daemon and the commands that speak to it, without any network: nobody answers at the
//! addresses of its first members.

use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use shoal_node::Exit;
use shoal_node::control::protocol::Request;
use shoal_node::control::{ControlClient, SOCKET_FILE};
use shoal_node::state::StateDir;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::e2e::{Daemon, LONG, Place, said, shoal, signal};

/// A place with Alice's directory in it, and Bob's address.
pub(crate) async fn alice() -> (Place, String) {
    let place = Place::new();
    let mut new = vec![
        "network",
        "new",
        "--name",
        "nobody",
        "--out",
        "network.toml",
    ];
    let members = ["mix", "mix", "mix", "provider", "provider"];
    let members: Vec<String> = (1u8..)
        .zip(members)
        .map(|(number, role)| {
            let id = shoal_topology::Identity::from_bytes(&[number; 32]).id();
            format!("{id},{role},/ip4/127.0.0.1/tcp/{number}")
        })
        .collect();
    members
        .iter()
        .for_each(|member| new.extend(["--member", member]));
    place.json(&new).await;
    let init = ["client", "init", "--network", "network.toml", "--dir"];
    // Named, because nobody is there to tell which there are.
    let named = shoal_topology::Identity::from_bytes(&[4; 32]).id();
    let named = ["alice", "--mailbox", &named.to_string()];
    place.json(&[&init[..], &named[..]].concat()).await;
    (place, "Bob".to_owned())
}

pub(crate) async fn serve(place: &Place) -> Daemon {
    let mut daemon = place.start("alice", &["daemon"]);
    daemon.event("serving").await;
    let known = place.json(&["contact", "list", "--dir", "alice"]).await;
    if known["contacts"].as_array().unwrap().is_empty() {
        let invitation = place.nobodys_invitation();
        place.accept("alice", "Bob", &invitation).await;
    }
    daemon
}

/// What a command prints with `--json`: one object, whatever became of it.
async fn outcome(place: &Place, arguments: &[&str]) -> (u8, Value) {
    let output = place.run(&[arguments, &["--json"]].concat()).await;
    outcome_of(&output)
}

fn outcome_of(output: &Output) -> (u8, Value) {
    let object = serde_json::from_slice(&output.stdout);
    let code = output
        .status
        .code()
        .and_then(|code| u8::try_from(code).ok());
    (
        code.unwrap_or_else(|| panic!("{}", said(output))),
        object.unwrap_or_else(|error| panic!("{error}: {}", said(output))),
    )
}

fn send<'a>(to: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["client", "send", "--dir", "alice", to][..], more].concat()
}

fn command(place: &Place, arguments: &[&str]) -> Child {
    let mut command: Command = shoal(arguments);
    command.current_dir(place.path());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

async fn ended(child: Child) -> Output {
    let output = timeout(LONG, child.wait_with_output()).await;
    output.expect("it ends").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_a_key_is_sent_once_through_crashes() {
    let (place, bob) = alice().await;
    let daemon = serve(&place).await;
    let keyed = |text| send(&bob, &[text, "--idempotency-key", "k-1", "--wait", "none"]);
    let same = keyed("first");
    let many = (0..8).map(|_| command(&place, &[&same[..], &["--json"]].concat()));
    let many: Vec<Child> = many.collect();
    let mut ids = std::collections::BTreeSet::new();
    let mut new = 0;
    for child in many {
        let (code, sent) = outcome_of(&ended(child).await);
        assert_eq!(code, 0, "{sent}");
        ids.insert(sent["message"].as_str().unwrap().to_owned());
        new += usize::from(sent["repeated"] == false);
    }
    assert_eq!((ids.len(), new), (1, 1));
    let (code, other) = outcome(&place, &keyed("second")).await;
    assert_eq!(code, Exit::Exists.code());
    assert_eq!(other["error"]["kind"], "exists");

    // Killed, it has the key if it has the message.
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(daemon.id().try_into().unwrap()).unwrap(),
        Signal::KILL,
    )
    .unwrap();
    drop(daemon);
    StateDir::wait_until_free(&place.file("alice")).unwrap();
    let _daemon = serve(&place).await;
    let (code, again) = outcome(&place, &same).await;
    assert_eq!((code, &again["repeated"]), (0, &json!(true)));
    assert!(ids.contains(again["message"].as_str().unwrap()));
    let list = place.json(&["client", "outgoing", "--dir", "alice"]).await;
    assert_eq!(list["total"], 1);
    let other_key = send(
        &bob,
        &["first", "--idempotency-key", "k-2", "--wait", "none"],
    );
    let (_, other) = outcome(&place, &other_key).await;
    assert_eq!(other["repeated"], false);
    let status = place.json(&["client", "status", "--dir", "alice"]).await;
    assert_eq!(
        (&status["on_the_way"], &status["on_the_way_packets"]),
        // And that she has accepted his invitation.
        (&json!(2), &json!(3))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_outcome_of_a_send_is_an_object_with_a_code_of_its_own() {
    let (place, bob) = alice().await;
    let now = send(&bob, &["text", "--timeout", "1s"]);
    let kind = |told: &Value| told["error"]["kind"].as_str().unwrap().to_owned();

    let (code, none) = outcome(&place, &now).await;
    assert_eq!((code, kind(&none)), (3, "unreachable".to_owned()));
    assert_eq!(
        (none["error"]["code"].as_u64(), none.get("message")),
        (Some(3), None)
    );
    // It is waited for, for as long as was said.
    let patient = send(&bob, &["text", "--timeout", "1s", "--wait", "stored"]);
    let (code, none) = outcome(&place, &patient).await;
    assert_eq!(code, Exit::Unreachable.code(), "{none}");

    let daemon = serve(&place).await;
    let (code, accepted) = outcome(&place, &now).await;
    assert_eq!((code, kind(&accepted)), (4, "accepted".to_owned()));
    let id = accepted["message"].as_str().unwrap();
    let list = place.json(&["client", "outgoing", "--dir", "alice"]).await;
    assert_eq!(list["messages"][0]["message"], id);

    let (code, wrong) = outcome(&place, &send("Nobody", &["text"])).await;
    assert_eq!((code, kind(&wrong)), (2, "usage".to_owned()));
    let (code, wrong) = outcome(&place, &send(&bob, &["text", "--no-such-flag"])).await;
    assert_eq!((code, kind(&wrong)), (2, "usage".to_owned()));
    let words = wrong["error"]["message"].as_str().unwrap();
    assert!(
        words.contains("--no-such-flag") && !words.contains('\u{1b}'),
        "{words}"
    );
    let (code, wrong) = outcome(&place, &send(&bob, &["text", "--idempotency-key", "a b"])).await;
    assert_eq!((code, kind(&wrong)), (2, "usage".to_owned()));

    // It has the request, and says nothing.
    let process = rustix::process::Pid::from_raw(daemon.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(process, Signal::STOP).unwrap();
    let (code, silent) = outcome(&place, &now).await;
    assert_eq!((code, kind(&silent)), (9, "uncertain".to_owned()));
    assert!(
        silent["error"]["message"]
            .as_str()
            .unwrap()
            .contains("--idempotency-key")
    );
    let status = ["client", "status", "--dir", "alice", "--timeout", "1s"];
    assert_eq!(outcome(&place, &status).await.0, Exit::Late.code());
    rustix::process::kill_process(process, Signal::CONT).unwrap();
    let (code, _) = outcome(&place, &status[..4]).await;
    assert_eq!(code, 0);

    // An interrupted wait names the message, too.
    let wait = send(&bob, &["text", "--wait", "stored", "--json"]);
    let mut events = ControlClient::connect(&place.file("alice")).await.unwrap();
    events.follow().await.unwrap();
    let waiting = command(&place, &wait);
    timeout(LONG, events.event())
        .await
        .expect("it is accepted")
        .unwrap();
    signal(&waiting, Signal::INT);
    let output = ended(waiting).await;
    // The signal may come before the answer: then nobody knows, and no id is told.
    let (code, interrupted) = outcome_of(&output);
    assert_eq!((code, kind(&interrupted)), (130, "interrupted".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_and_waiting_ones_keep_nobody_out() {
    let (place, bob) = alice().await;
    let _daemon = serve(&place).await;
    let socket = place.file("alice").join(SOCKET_FILE);
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(UnixStream::connect(&socket).await.unwrap());
    }
    let (code, _) = outcome(&place, &["client", "status", "--dir", "alice"]).await;
    assert_eq!(code, 0);
    let many = send(&bob, &["text", "--timeout", "15s", "--json"]);
    let senders: Vec<Child> = (0..50).map(|_| command(&place, &many)).collect();
    let all = futures::future::join_all(senders.into_iter().map(ended));
    for output in all.await {
        let (code, accepted) = outcome_of(&output);
        assert_eq!(code, Exit::Accepted.code(), "{accepted}");
    }
    let status = place.json(&["client", "status", "--dir", "alice"]).await;
    assert_eq!(status["on_the_way"], 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_free_when_stop_returns() {
    let (place, _) = alice().await;
    let stop = ["client", "stop", "--dir", "alice"];
    for _ in 0..3 {
        let daemon = serve(&place).await;
        let (code, told) = outcome(&place, &stop).await;
        assert_eq!(code, 0, "{told}");
        drop(StateDir::open(&place.file("alice")).expect("it is free"));
        assert_eq!(daemon.stopped().await.code(), Some(0));
    }
    assert_eq!(outcome(&place, &stop).await.0, Exit::Unreachable.code());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_wait_find_a_daemon_that_comes_later() {
    let (place, bob) = alice().await;
    // She knows Bob.
    crate::e2e::stop(vec![serve(&place).await]).await;
    // What a killed daemon has left is no daemon.
    drop(std::os::unix::net::UnixListener::bind(place.file("alice").join(SOCKET_FILE)).unwrap());
    let waits = [
        vec!["client", "wait", "--dir", "alice", "--for", "serving"],
        send(&bob, &["text", "--wait", "none"]),
        vec![
            "client",
            "receive",
            "--dir",
            "alice",
            "--wait",
            "--timeout",
            "5s",
        ],
    ];
    let mut waiting: Vec<Child> = waits.iter().map(|it| command(&place, it)).collect();
    for child in &mut waiting {
        use tokio::io::AsyncBufReadExt as _;
        let mut said = tokio::io::BufReader::new(child.stderr.as_mut().unwrap()).lines();
        let line = timeout(LONG, said.next_line()).await.expect("it says so");
        assert!(
            line.unwrap()
                .unwrap()
                .contains("waiting: no client daemon runs")
        );
    }
    let _daemon = serve(&place).await;
    let mut codes = Vec::new();
    for child in waiting {
        codes.push(ended(child).await.status.code());
    }
    // Nobody writes to Alice: that is another code than that there is no daemon.
    assert_eq!(codes, [Some(0), Some(0), Some(5)]);
    // There is nothing to wait for where no client is.
    let lost = ["client", "wait", "--dir", "elsewhere"];
    assert_eq!(outcome(&place, &lost).await.0, Exit::Usage.code());
}

/// A request that asks for what is there already, read and gone, must not be answered in a loop.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_over_says_so() {
    let (place, _) = alice().await;
    let _daemon = serve(&place).await;
    let mut control = ControlClient::connect(&place.file("alice")).await.unwrap();
    let wait = Request::Messages {
        after: 0,
        limit: 1,
        wait_ms: 50,
    };
    let page = timeout(LONG, control.ask(wait))
        .await
        .expect("it ends")
        .unwrap();
    assert!(format!("{page:?}").contains("messages: []"));
    let none = Request::Progress {
        message: "11111111111111111111".to_owned(),
        wait_ms: 50,
    };
    assert!(
        timeout(Duration::from_secs(10), control.ask(none))
            .await
            .unwrap()
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_too_long_is_told_so_before_its_encoding_is() {
    use tokio::io::AsyncWriteExt as _;
    let (place, bob) = alice().await;
    let _daemon = serve(&place).await;
    let said_of = async |text: &[u8]| {
        let arguments = send(&bob, &["-", "--wait", "none"]);
        let mut command: Command = shoal(&arguments);
        command.current_dir(place.path()).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // It may stop reading when it has seen enough.
        let _ = stdin.write_all(text).await;
        drop(stdin);
        ended(child).await
    };
    let long = said_of("é".repeat(45_000).as_bytes()).await;
    assert_eq!(long.status.code(), Some(2));
    let words = said(&long);
    let limit = shoal_client::MAX_TEXT_BYTES.to_string();
    assert!(
        words.contains("too long") && words.contains(&limit),
        "{words}"
    );
    let wrong = said_of(b"\xe9t\xe9").await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        said(&wrong).contains("not valid UTF-8: byte 0"),
        "{}",
        said(&wrong)
    );
    assert_eq!(said_of("été".as_bytes()).await.status.code(), Some(0));
}
