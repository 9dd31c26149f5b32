//! Files between two daemons across the mixnet, whenever either of them dies.

use std::path::Path;

use serde_json::Value;
use shoal_node::control::ControlClient;
use shoal_node::control::protocol::{Event, FileState, FileStatus, Request, Response};
use tokio::time::timeout;

use crate::e2e::{LONG, Place, said, stop};
use crate::kills::{kill, network, pair};
use crate::local::{alice, serve};

/// More than three pieces, and less than four.
const BYTES: usize = 250_000;

fn content() -> Vec<u8> {
    (0..BYTES).map(|at| (at % 251) as u8).collect()
}

/// Waits until a file of this daemon's is as it should be.
async fn until(dir: &Path, is: impl Fn(&FileStatus) -> bool) -> FileStatus {
    let waiting = async {
        let mut control = ControlClient::connect(dir).await.unwrap();
        // Before the question, so that no change comes unseen after it.
        control.follow().await.unwrap();
        let mut asking = ControlClient::connect(dir).await.unwrap();
        let Response::Files(found) = asking.ask(Request::Files).await.unwrap() else {
            panic!("no files are told");
        };
        if let Some(status) = found.files.into_iter().find(|status| is(status)) {
            return status;
        }
        loop {
            if let Event::File(status) = control.event().await.unwrap()
                && is(&status)
            {
                return *status;
            }
        }
    };
    timeout(3 * LONG, waiting).await.expect("it comes to that")
}

/// The key of who has come by Bob's invitation, once she has.
async fn known_to_bob(place: &Place) -> String {
    let mut control = ControlClient::connect(&place.file("bob")).await.unwrap();
    control.follow().await.unwrap();
    loop {
        let list = place.json(&["contact", "list", "--dir", "bob"]).await;
        if let Some(contact) = list["contacts"].as_array().unwrap().first() {
            return contact["key"].as_str().unwrap().to_owned();
        }
        timeout(LONG, control.event())
            .await
            .expect("an event")
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_reaches_somebody_who_was_offline_over_kills_of_both() {
    let place = Place::new();
    let nodes = network(&place).await;
    let [alice, bob] = pair(&place).await;
    let met = known_to_bob(&place).await;
    // Who is written to is no newcomer any more.
    let write = ["client", "send", "--dir", "bob", &met, "Hello"];
    place.json(&write).await;
    stop(vec![bob]).await;
    std::fs::write(place.file("report.pdf"), content()).unwrap();
    let send = ["file", "send", "--dir", "alice", "bob", "report.pdf"];
    let accepted = place.json(&[&send[..], &["--wait", "none"]].concat()).await;
    assert_eq!(
        (&accepted["state"], &accepted["pieces"]),
        (&"sending".into(), &4.into())
    );
    let (at_alice, at_bob) = (place.file("alice"), place.file("bob"));
    until(&at_alice, |status| status.done >= 1).await;
    kill(alice, &place, "alice");
    let alice = place.start_client("alice").await;
    let sent = until(&at_alice, |status| status.state.is_final()).await;
    assert_eq!((sent.state, sent.done), (FileState::Stored, 4));

    let bob = place.start_client("bob").await;
    until(&at_bob, |status| status.done >= 1).await;
    kill(bob, &place, "bob");
    let bob = place.start_client("bob").await;
    let come = until(&at_bob, |status| status.state.is_final()).await;
    assert_eq!(come.state, FileState::Complete);
    assert_eq!(
        (&*come.name, come.size, come.incoming),
        ("report.pdf", BYTES as u64, true)
    );

    let save = ["file", "save", "--dir", "bob", &come.file, "--to"];
    let saved = place.json(&[&save[..], &["got.pdf"]].concat()).await;
    assert_eq!(saved["bytes"], BYTES);
    assert_eq!(std::fs::read(place.file("got.pdf")).unwrap(), content());
    let again = place.run(&[&save[..], &["got.pdf"]].concat()).await;
    assert_eq!(again.status.code(), Some(8), "{}", said(&again));
    // It has the same name here as there, where that one is.
    let again = place.run(&save[..5]).await;
    assert_eq!(again.status.code(), Some(8), "{}", said(&again));
    place
        .json(&["file", "remove", "--dir", "bob", &come.file])
        .await;
    let left = place.json(&["file", "list", "--dir", "bob"]).await;
    assert_eq!(left["files"].as_array().map(Vec::len), Some(0));
    stop(vec![alice, bob]).await;
    stop(nodes).await;
}

async fn exit(place: &Place, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = place.run(&[arguments, &["--json"]].concat()).await;
    let object = serde_json::from_slice(&output.stdout);
    (
        output.status.code(),
        object.unwrap_or_else(|error| panic!("{error}: {}", said(&output))),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_or_nobodys_is_refused_with_what_to_do() {
    let (place, _) = alice().await;
    let mut daemon = serve(&place).await;
    std::fs::write(place.file("large"), vec![0; (16 << 20) + 1]).unwrap();
    std::fs::write(place.file("small"), "small").unwrap();
    let send =
        |more: &'static [&'static str]| [&["file", "send", "--dir", "alice"][..], more].concat();
    for (arguments, words) in [
        (&["Bob", "large"][..], "split"),
        (&["Bob", "nothing"], "nothing"),
        (&["Nobody", "small"], "contact"),
        (&["Bob", "small", "--name", "../x"], "path"),
    ] {
        let (code, told) = exit(&place, &send(arguments)).await;
        assert_eq!(code, Some(2), "{told}");
        assert!(
            told["error"]["message"].as_str().unwrap().contains(words),
            "{told}"
        );
    }
    let (code, made) = exit(&place, &send(&["Bob", "small", "--wait", "none"])).await;
    assert_eq!(
        (code, &made["state"]),
        (Some(0), &"sending".into()),
        "{made}"
    );
    let id = made["file"].as_str().unwrap().to_owned();
    // What is accepted is not lost.
    kill(daemon, &place, "alice");
    daemon = serve(&place).await;
    let (_, list) = exit(&place, &["file", "list", "--dir", "alice"]).await;
    assert_eq!(list["files"][0]["file"], id);
    let (code, told) = exit(
        &place,
        &["file", "save", "--dir", "alice", &id, "--to", "x"],
    )
    .await;
    assert_eq!(code, Some(2), "{told}");
    let (code, _) = exit(&place, &["file", "remove", "--dir", "alice", &id]).await;
    assert_eq!(code, Some(0));
    let (code, told) = exit(&place, &["file", "remove", "--dir", "alice", &id]).await;
    assert_eq!(code, Some(2), "{told}");
    stop(vec![daemon]).await;
}
