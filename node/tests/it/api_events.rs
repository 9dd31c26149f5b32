//! The local API's events, by either way of following: what comes, in what order, and to whom it does not.

use std::path::Path;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use shoal_node::control::protocol::Event;
use shoal_node::control::{ControlClient, Limits, SOCKET_FILE};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::api_server::{received, start, start_limited};
use crate::api_support::{Raw, get};
use crate::e2e::LONG;

async fn websocket(dir: &Path, path: &str) -> tokio_tungstenite::WebSocketStream<UnixStream> {
    let stream = UnixStream::connect(dir.join(SOCKET_FILE)).await.unwrap();
    let made = tokio_tungstenite::client_async(format!("ws://localhost{path}"), stream).await;
    made.unwrap().0
}

async fn next(socket: &mut tokio_tungstenite::WebSocketStream<UnixStream>) -> Message {
    let next = timeout(LONG, socket.next()).await.expect("it comes");
    next.unwrap().unwrap()
}

/// The next server-sent event: its id and its data.
async fn next_event(raw: &mut Raw<UnixStream>) -> (String, Value) {
    timeout(LONG, event(raw)).await.expect("it comes")
}

async fn event(raw: &mut Raw<UnixStream>) -> (String, Value) {
    let (mut id, mut data) = (None, None);
    loop {
        let mut line = String::new();
        assert_ne!(raw.0.read_line(&mut line).await.unwrap(), 0, "it goes on");
        if let Some(value) = line.strip_prefix("id: ") {
            id = Some(value.trim_end().to_owned());
        } else if let Some(value) = line.strip_prefix("data: ") {
            data = Some(serde_json::from_str(value).unwrap());
        } else if let (Some(id), Some(data)) = (&id, &data) {
            return (String::clone(id), Value::clone(data));
        }
    }
}

pub(crate) async fn follow(dir: &Path, headers: &[(&str, &str)]) -> Raw<UnixStream> {
    let mut raw = Raw::unix(dir).await;
    raw.write(get("/v1/events", headers)).await;
    let head = raw.head().await.unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.headers["content-type"], "text/event-stream");
    raw
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_of_following_tell_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let scene = start(dir.path());
    let mut stream = follow(dir.path(), &[]).await;
    let mut socket = websocket(dir.path(), "/v1/events/ws").await;
    // What is sent to it is looked at by nobody, and a ping is answered.
    socket.send(Message::text("hello")).await.unwrap();
    socket.send(Message::Ping("x".into())).await.unwrap();
    assert!(next(&mut socket).await.is_pong());
    for number in 0..20 {
        let text = format!("{number}\n\u{2028}é");
        scene.events.tell(Event::Alarm { text });
    }
    scene.events.tell(Event::Received(Box::new(received())));
    let mut ids = Vec::new();
    for number in 0..=20 {
        let (id, data) = next_event(&mut stream).await;
        let message = next(&mut socket).await.into_text().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&message).unwrap(), data);
        assert_eq!(data["id"], id);
        match number {
            20 => assert_eq!(data["text"], "hello \x1b[2J"),
            _ => assert_eq!(data["text"], format!("{number}\n\u{2028}é")),
        }
        ids.push(id);
    }
    // Whoever was away goes on where it was, in any of three ways.
    let mut again = follow(dir.path(), &[("Last-Event-ID", &ids[9])]).await;
    assert_eq!(next_event(&mut again).await.0, ids[10]);
    let mut again = websocket(dir.path(), &format!("/v1/events/ws?after={}", ids[19])).await;
    let told = next(&mut again).await.into_text().unwrap();
    assert!(told.contains(&ids[20]), "{told}");
    // Of another run it is not known what was missed.
    let mut lost = follow(dir.path(), &[("Last-Event-ID", "00000000000000aa-3")]).await;
    let (_, data) = next_event(&mut lost).await;
    assert_eq!(
        (&data["event"], &data["events"]),
        (&json!("missed"), &Value::Null)
    );
    // In the end that is said.
    scene.events.close();
    assert!(next(&mut socket).await.is_close());
    let mut stream = follow(dir.path(), &[]).await;
    assert_eq!(stream.answer_end().await, 0);
}

impl Raw<UnixStream> {
    /// How many bytes come before the last piece of a body.
    pub(crate) async fn answer_end(&mut self) -> usize {
        let mut line = String::new();
        let read = timeout(LONG, self.0.read_line(&mut line)).await;
        read.expect("it ends").unwrap();
        usize::from_str_radix(line.trim_end(), 16).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_falls_behind_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let scene = start(dir.path());
    let mut client = ControlClient::connect(dir.path()).await.unwrap();
    client.follow().await.unwrap();
    let mut missed = 0;
    let mut heard = 0;
    for _ in 0..20_000 {
        let text = "x".repeat(500);
        scene.events.tell(Event::Alarm { text });
    }
    while missed + heard < 20_000 {
        match timeout(LONG, client.event()).await.unwrap().unwrap() {
            Event::Missed { events } => missed += events.unwrap(),
            _ => heard += 1,
        }
    }
    assert_eq!(missed + heard, 20_000);
    assert!(missed > 0);
}

/// Who takes nothing of what it asked for is not waited for, and holds up nobody.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        write: Duration::from_millis(50),
        ..Limits::default()
    };
    let scene = start_limited(dir.path(), limits);
    let raw = follow(dir.path(), &[]).await;
    let mut stream = raw.0.into_inner();
    // More than any buffer on the way takes.
    for _ in 0..1000 {
        let text = "x".repeat(4000);
        scene.events.tell(Event::Alarm { text });
    }
    let closed = async {
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, closed).await.expect("it is closed");
}
