//! The control socket: the daemon's side and the commands' side against each other, and garbage.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shoal_node::control::protocol::{
    Accepted, Event, MAX_REQUEST_BYTES, Messages, OwnAddress, Received, Refusal, RefusalCode,
    Request, Response,
};
use shoal_node::control::{ControlClient, ControlError, ControlServer, Handler, SOCKET_FILE};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::broadcast;

struct Fake {
    events: broadcast::Sender<Event>,
}

impl Handler for Fake {
    async fn handle(&self, request: Request) -> Result<Response, Refusal> {
        match request {
            Request::Send { text, .. } if text.is_empty() => {
                Err(Refusal::new(RefusalCode::Invalid, "an empty text"))
            }
            Request::Send { text, .. } => {
                let message = "m1".to_owned();
                let _ = self.events.send(Event::Stored {
                    message: message.clone(),
                    after_ms: Some(5),
                });
                let fragments = u32::try_from(text.len()).unwrap();
                Ok(Response::Accepted(Accepted {
                    message,
                    fragments,
                    expected_stored_ms: 1,
                    repeated: false,
                }))
            }
            Request::Messages { wait_ms: 1.., .. } => std::future::pending().await,
            Request::Messages { after, .. } => Ok(Response::Messages(Messages {
                messages: (after == 0).then(received).into_iter().collect(),
                next: 1,
                held: 0,
            })),
            Request::Status => Ok(Response::Status(Box::default())),
            Request::Address => Ok(Response::Address(OwnAddress {
                address: Some("shoal1x".into()),
                open: true,
                key: "k".into(),
                mailboxes: vec!["m".into()],
            })),
            _ => Ok(Response::Done),
        }
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

fn received() -> Received {
    Received {
        cursor: 1,
        message: "m0".into(),
        from: "k".into(),
        reply_to: "shoal1x".into(),
        text: "hello \x1b[2J".into(),
        bytes: None,
        sequence: 4,
        gap_before: 2,
        sent_at_us: 1,
        received_at_us: 2,
        hops: Vec::new(),
    }
}

fn start(dir: &Path) -> tokio::task::JoinHandle<()> {
    let server = ControlServer::bind(dir).unwrap();
    let (events, _) = broadcast::channel(4);
    tokio::spawn(server.serve(Arc::new(Fake { events })))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_events_come_through() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let mode = std::fs::metadata(dir.path().join(SOCKET_FILE))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut events = ControlClient::connect(dir.path()).await.unwrap();
    events.follow().await.unwrap();
    let mut client = ControlClient::connect(dir.path()).await.unwrap();
    assert!(matches!(
        client.ask(Request::Status).await,
        Ok(Response::Status(_))
    ));
    assert!(matches!(
        client.ask(Request::Address).await,
        Ok(Response::Address(_))
    ));
    let send = |text: &str| Request::Send {
        to: "shoal1y".into(),
        text: text.into(),
        life_ms: None,
        idempotency_key: None,
    };
    // The longest text, each byte of it escaped, still fits a line.
    let longest = "\u{1}".repeat(shoal_client::MAX_TEXT_BYTES);
    let accepted = client.ask(send(&longest)).await.unwrap();
    assert!(matches!(accepted, Response::Accepted(a) if a.fragments as usize == longest.len()));
    assert_eq!(
        events.event().await.unwrap(),
        Event::Stored {
            message: "m1".into(),
            after_ms: Some(5)
        }
    );
    let refused = client.ask(send("")).await.unwrap_err();
    assert!(matches!(refused, ControlError::Refused(r) if r.code == RefusalCode::Invalid));
    let page = client
        .ask(Request::Messages {
            after: 0,
            limit: 1,
            wait_ms: 0,
        })
        .await
        .unwrap();
    assert_eq!(
        page,
        Response::Messages(Messages {
            messages: vec![received()],
            next: 1,
            held: 0,
        })
    );

    server.abort();
    let _ = server.await;
    assert!(matches!(
        client.ask(Request::Status).await,
        Err(ControlError::Closed)
    ));
    assert!(matches!(
        ControlClient::connect(dir.path()).await,
        Err(ControlError::NotRunning(_))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_answered_and_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let _server = start(dir.path());
    let stream = tokio::net::UnixStream::connect(dir.path().join(SOCKET_FILE))
        .await
        .unwrap();
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let cases: [(&[u8], u64, Option<&str>); 8] = [
        (b"not json", 0, Some("malformed")),
        (b"\xff\xfe\x00", 0, Some("malformed")),
        (b"{\"version\":1,\"id\":5}", 5, Some("malformed")),
        (
            b"{\"version\":1,\"id\":6,\"request\":\"sing\"}",
            6,
            Some("malformed"),
        ),
        (
            b"{\"version\":2,\"id\":7,\"request\":\"status\"}",
            7,
            Some("version"),
        ),
        (b"{\"id\":8,\"request\":\"status\"}", 8, Some("version")),
        (
            b"{\"version\":1,\"id\":9,\"request\":\"send\",\"to\":\"x\"}",
            9,
            Some("malformed"),
        ),
        (
            b"{\"version\":1,\"id\":10,\"request\":\"status\"}",
            10,
            None,
        ),
    ];
    let answer = |line: Option<String>| serde_json::from_str::<serde_json::Value>(&line.unwrap());
    for (line, id, code) in cases {
        write.write_all(line).await.unwrap();
        write.write_all(b"\n").await.unwrap();
        let answer = answer(lines.next_line().await.unwrap()).unwrap();
        assert_eq!(answer["id"], id);
        assert_eq!(answer["error"]["code"].as_str(), code, "{answer}");
        assert_eq!(code.is_none(), answer["ok"].is_object());
    }
    // A line without end is not kept, and the next one is answered.
    let piece = vec![b'x'; 64 << 10];
    for _ in 0..=(MAX_REQUEST_BYTES / piece.len()) {
        write.write_all(&piece).await.unwrap();
    }
    write
        .write_all(b"\n{\"version\":1,\"id\":11,\"request\":\"status\"}\n")
        .await
        .unwrap();
    let long = answer(lines.next_line().await.unwrap()).unwrap();
    assert_eq!(long["error"]["code"], "malformed");
    assert_eq!(answer(lines.next_line().await.unwrap()).unwrap()["id"], 11);
    // Neither is a last one that lacks its end forgotten.
    write
        .write_all(b"{\"version\":1,\"id\":12,\"request\":\"status\"}")
        .await
        .unwrap();
    write.shutdown().await.unwrap();
    assert_eq!(answer(lines.next_line().await.unwrap()).unwrap()["id"], 12);
    assert_eq!(lines.next_line().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_falls_behind_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = ControlServer::bind(dir.path()).unwrap();
    let (events, _) = broadcast::channel(4);
    let handler = Arc::new(Fake {
        events: events.clone(),
    });
    let _serving = tokio::spawn(server.serve(handler));
    let mut client = ControlClient::connect(dir.path()).await.unwrap();
    client.follow().await.unwrap();
    let mut missed = 0;
    let mut heard = 0;
    for _ in 0..20_000 {
        let _ = events.send(Event::Alarm {
            text: "x".repeat(500),
        });
    }
    while missed + heard < 20_000 {
        let event = tokio::time::timeout(Duration::from_secs(5), client.event()).await;
        match event.unwrap().unwrap() {
            Event::Missed { events } => missed += events,
            _ => heard += 1,
        }
    }
    assert_eq!(missed + heard, 20_000);
    assert!(missed > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_ones_socket_is_replaced_and_a_deep_directory_works() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join(SOCKET_FILE), b"").unwrap();
    let _server = start(&deep);
    let mut client = ControlClient::connect(&deep).await.unwrap();
    assert!(matches!(
        client.ask(Request::Status).await,
        Ok(Response::Status(_))
    ));
}

const STATUS: &[u8] = b"{\"version\":1,\"id\":1,\"request\":\"status\"}\n";
const WAIT: &[u8] = b"{\"version\":1,\"id\":2,\"request\":\"messages\",\"wait_ms\":600000}\n";

/// A connection as an application has it that has no library for this.
struct Plain {
    lines: tokio::io::Lines<BufReader<tokio::net::unix::OwnedReadHalf>>,
    write: tokio::net::unix::OwnedWriteHalf,
}

impl Plain {
    async fn connect(dir: &Path) -> Self {
        let stream = tokio::net::UnixStream::connect(dir.join(SOCKET_FILE));
        let (read, write) = stream.await.unwrap().into_split();
        Self {
            lines: BufReader::new(read).lines(),
            write,
        }
    }

    /// The code of the error, or nothing if it is done; `None` if the connection ends.
    async fn ask(&mut self, line: &[u8]) -> Option<String> {
        self.write.write_all(line).await.ok()?;
        self.answer().await
    }

    async fn answer(&mut self) -> Option<String> {
        let answer = tokio::time::timeout(Duration::from_secs(60), self.lines.next_line());
        let line = answer.await.expect("an answer, or the end").ok()??;
        let answer: serde_json::Value = serde_json::from_str(&line).unwrap();
        Some(
            answer["error"]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_give_way_to_one_that_asks() {
    let dir = tempfile::tempdir().unwrap();
    let _server = start(dir.path());
    let mut first = Plain::connect(dir.path()).await;
    assert_eq!(first.ask(STATUS).await.as_deref(), Some(""));
    let mut idle = Vec::new();
    for _ in 0..300 {
        let mut one = Plain::connect(dir.path()).await;
        assert_eq!(one.ask(STATUS).await.as_deref(), Some(""));
        idle.push(one);
    }
    assert_eq!(first.answer().await, None, "idle for longest, it is closed");
    let last = idle.last_mut().unwrap();
    assert_eq!(last.ask(STATUS).await.as_deref(), Some(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_are_bounded_and_end_with_who_waits() {
    let dir = tempfile::tempdir().unwrap();
    let _server = start(dir.path());
    let mut waiting = Vec::new();
    // Asked for in vain, it tells that there are as many as may be.
    let refused = loop {
        let mut one = Plain::connect(dir.path()).await;
        one.write.write_all(WAIT).await.unwrap();
        let answer = tokio::time::timeout(Duration::from_millis(20), one.lines.next_line()).await;
        if let Ok(line) = answer {
            break line.unwrap().unwrap();
        }
        waiting.push(one);
        assert!(waiting.len() < 1000, "there is no bound");
    };
    assert!(refused.contains("\"busy\""), "{refused}");
    let mut other = Plain::connect(dir.path()).await;
    assert_eq!(other.ask(STATUS).await.as_deref(), Some(""));
    // Who has only said that nothing more comes still waits.
    let half = waiting.first_mut().unwrap();
    half.write.shutdown().await.unwrap();
    let still = tokio::time::timeout(Duration::from_millis(200), half.lines.next_line()).await;
    assert!(still.is_err(), "{still:?}");
    drop(waiting);
    // The server hears of it in its own time.
    let free = async {
        while other
            .ask(b"{\"version\":1,\"id\":3,\"request\":\"events\"}\n")
            .await
            .as_deref()
            != Some("")
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), free)
        .await
        .expect("a wait is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_not_ended_gets_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let _server = start(dir.path());
    let mut plain = Plain::connect(dir.path()).await;
    let unfinished = STATUS.strip_suffix(b"\n").unwrap();
    assert_eq!(plain.ask(unfinished).await.as_deref(), Some("malformed"));
    assert_eq!(plain.answer().await, None);
}

/// What comes while a request waits is answered after it.
#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_connection_are_answered_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    let _server = start(dir.path());
    let mut plain = Plain::connect(dir.path()).await;
    let both = [STATUS, b"nonsense\n"].concat();
    assert_eq!(plain.ask(&both).await.as_deref(), Some(""));
    assert_eq!(plain.answer().await.as_deref(), Some("malformed"));
}
