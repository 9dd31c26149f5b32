//! The local API on its socket, with a daemon behind it that is made up: the commands' side, connections that idle,
//! wait, say little or nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::json;
use shoal_node::control::protocol::{
    Accepted, Contacts, Event, MAX_REQUEST_BYTES, Messages, Received, Refusal, RefusalCode,
    Request, Response,
};
use shoal_node::control::{
    ControlClient, ControlError, ControlServer, Events, Handler, Limits, SOCKET_FILE, api,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::api_events::follow;
use crate::api_support::{Raw, get, post, request};
use crate::e2e::LONG;

/// Answers what it must, and nothing to who waits.
pub(crate) struct Fake {
    pub(crate) events: Arc<Events>,
    /// Told when another address is asked for, which is answered when it may be.
    asked: Arc<Notify>,
    may: Arc<Notify>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self {
            events: Events::new(7),
            asked: Arc::default(),
            may: Arc::default(),
        }
    }

    async fn answer(&self, request: Request) -> Result<Response, Refusal> {
        match request {
            Request::Send { text, .. } if text.is_empty() => {
                Err(Refusal::new(RefusalCode::Invalid, "an empty text"))
            }
            Request::Send { text, .. } => {
                let message = "m1".to_owned();
                self.events.tell(Event::Stored {
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
            Request::RenewInvitations => {
                self.asked.notify_one();
                self.may.notified().await;
                Ok(Response::Done)
            }
            Request::Status => Ok(Response::Status(Box::default())),
            Request::Contacts => Ok(Response::Contacts(Contacts::default())),
            _ => Ok(Response::Done),
        }
    }
}

impl Handler for Fake {
    fn handle(&self, request: Request) -> BoxFuture<'_, Result<Response, Refusal>> {
        Box::pin(self.answer(request))
    }
}

pub(crate) fn received() -> Received {
    Received {
        cursor: 1,
        message: "m0".into(),
        from: "k".into(),
        name: "Bob".into(),
        verified: true,
        expires_at_us: None,
        text: "hello \x1b[2J".into(),
        bytes: None,
        sequence: 4,
        gap_before: 2,
        sent_at_us: 1,
        received_at_us: 2,
        hops: Vec::new(),
    }
}

/// A server in a directory, until it is dropped.
pub(crate) struct Scene {
    pub(crate) events: Arc<Events>,
    serving: JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub(crate) fn start(dir: &Path) -> Scene {
    start_limited(dir, Limits::default())
}

pub(crate) fn start_limited(dir: &Path, limits: Limits) -> Scene {
    let server = ControlServer::bind(dir).unwrap().limited(limits);
    let fake = Fake::new();
    let events = Arc::clone(&fake.events);
    let router = api::client(Arc::new(fake), Arc::clone(&events));
    let serving = tokio::spawn(server.serve_until(router, std::future::pending()));
    Scene { events, serving }
}

const STATUS: &str = "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n";
const WAIT: &str = "GET /v1/messages?wait_ms=600000 HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_events_come_through() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = start(dir.path());
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
        client.ask(Request::Contacts).await,
        Ok(Response::Contacts(_))
    ));
    let message = "m/0".to_owned();
    assert!(matches!(
        client.ask(Request::Read { message }).await,
        Ok(Response::Done)
    ));
    let send = |text: &str| Request::Send {
        to: "Bob".into(),
        text: text.into(),
        life_ms: None,
        idempotency_key: None,
    };
    // The longest text, each byte of it escaped, still fits a request.
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

    let waiting = Request::Messages {
        after: 0,
        limit: 1,
        wait_ms: 600_000,
    };
    let ended = async {
        tokio::task::yield_now().await;
        scene.serving.abort();
        let _ = (&mut scene.serving).await;
    };
    let mut waiter = ControlClient::connect(dir.path()).await.unwrap();
    let (waited, ()) = tokio::join!(waiter.ask(waiting), ended);
    assert!(matches!(waited, Err(ControlError::Closed)), "{waited:?}");
    assert!(matches!(events.event().await, Err(ControlError::Closed)));
    assert!(matches!(
        client.ask(Request::Status).await,
        Err(ControlError::NotRunning(_))
    ));
}

/// A connection that idled until the daemon closed it is made anew, and nothing is asked twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_idled_for_long_still_asks() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        head: Duration::from_secs(1),
        ..Limits::default()
    };
    let _scene = start_limited(dir.path(), limits);
    let mut client = ControlClient::connect(dir.path()).await.unwrap();
    assert!(Raw::unix(dir.path()).await.ends().await, "it is closed");
    let status = client.ask(Request::Status).await;
    assert!(matches!(status, Ok(Response::Status(_))), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_refused_and_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let _scene = start(dir.path());
    let send = |body| post("/v1/messages", &[], body);
    let keyed = |key| {
        let body = r#"{"to":"Bob","text":"a"}"#;
        post("/v1/messages", &[("Idempotency-Key", key)], body)
    };
    let cases = [
        (send("not json"), 400, "malformed"),
        (send("\u{0}"), 400, "malformed"),
        (send(r#"{"to":"Bob""#), 400, "malformed"),
        (send(&"[".repeat(1000)), 400, "malformed"),
        (send(r#"{"to":"Bob"}"#), 422, "invalid"),
        (send(r#"["Bob","a"]"#), 422, "invalid"),
        (send("null"), 422, "invalid"),
        (send(r#"{"to":1,"text":"a"}"#), 422, "invalid"),
        (send(r#"{"to":"x","text":"a","tto":1}"#), 422, "invalid"),
        (
            send(r#"{"to":"x","text":"a","life_ms":-1}"#),
            422,
            "invalid",
        ),
        (keyed("a b"), 422, "invalid"),
        (keyed(""), 422, "invalid"),
        (keyed(&"k".repeat(129)), 422, "invalid"),
        (post("/v1/stop", &[], r#"{"a":1}"#), 422, "invalid"),
        (get("/v1/messages?after=-1", &[]), 422, "invalid"),
        (get("/v1/messages?limit=4294967296", &[]), 422, "invalid"),
        (get("/v1/messages?afer=1", &[]), 422, "invalid"),
        (get("/v1/outgoing/%ff", &[]), 400, "malformed"),
        (get("/v1/events?after=1", &[]), 422, "invalid"),
        (get("/v1/events", &[("Last-Event-ID", "x")]), 422, "invalid"),
        (get("/v1/events/ws", &[]), 400, "malformed"),
        (get("/v2/status", &[]), 404, "not_found"),
        (get("/", &[]), 404, "not_found"),
        (get("/v1/stop", &[]), 405, "method"),
        (request("DELETE", "/v1/messages", &[]), 405, "method"),
        (request("OPTIONS", "/v1/messages", &[]), 405, "method"),
        (request("POST", "/v1/messages", &[]), 415, "media_type"),
    ];
    // All on one connection, each answered in its turn.
    let mut raw = Raw::unix(dir.path()).await;
    for (request, status, code) in &cases {
        let answer = raw.ask(request).await.expect(request);
        assert_eq!(
            (answer.status, &*answer.code()),
            (*status, *code),
            "{request}"
        );
        if *status == 405 {
            assert!(answer.headers["allow"].contains("POST"), "{answer:?}");
        }
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    // What a page's form can say is none of it.
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "",
    ] {
        let body = r#"{"to":"x","text":"a"}"#;
        let length = body.len().to_string();
        let form = [("Content-Type", kind), ("Content-Length", &length)];
        for path in ["/v1/messages", "/v1/stop", "/v1/messages/m/ack"] {
            let answer = raw.ask(request("POST", path, &form) + body).await.unwrap();
            assert_eq!(
                (answer.status, &*answer.code()),
                (415, "media_type"),
                "{kind}"
            );
        }
    }
    assert_eq!(raw.ask(STATUS).await.unwrap().status, 200);
    // What is no HTTP at all ends its connection, and no other.
    let mut noise = Raw::unix(dir.path()).await;
    let answer = noise.ask(b"\x16\x03\x01\x00\xff nonsense\r\n\r\n").await;
    assert!(answer.is_none_or(|answer| answer.status == 400));
    let mut long = Raw::unix(dir.path()).await;
    let head = get("/v1/status", &[("X", &"x".repeat(100_000))]);
    assert_eq!(long.ask(head).await.unwrap().status, 431);
    let mut many = Raw::unix(dir.path()).await;
    let head = get("/v1/status", &[("X", "x"); 100]);
    assert_eq!(many.ask(head).await.unwrap().status, 431);
    assert_eq!(raw.ask(STATUS).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_neither_too_long_nor_too_slow() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        body: Duration::from_millis(100),
        head: Duration::from_millis(100),
        ..Limits::default()
    };
    let _scene = start_limited(dir.path(), limits);
    let head = |more: (&str, &str)| {
        let json = ("Content-Type", "application/json");
        request("POST", "/v1/messages", &[json, more])
    };
    // By what it says of itself, before it is sent.
    let mut raw = Raw::unix(dir.path()).await;
    let length = (MAX_REQUEST_BYTES + 1).to_string();
    let answer = raw.ask(head(("Content-Length", &length))).await.unwrap();
    assert_eq!((answer.status, &*answer.code()), (413, "too_large"));
    // By what comes.
    let mut raw = Raw::unix(dir.path()).await;
    raw.write(head(("Transfer-Encoding", "chunked"))).await;
    for _ in 0..=(MAX_REQUEST_BYTES >> 16) {
        raw.write(b"10000\r\n").await;
        raw.write(vec![b' '; 1 << 16]).await;
        raw.write(b"\r\n").await;
    }
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.status, &*answer.code()), (413, "too_large"));
    // One that stops coming is not waited for, and neither is a head.
    let mut raw = Raw::unix(dir.path()).await;
    let answer = raw.ask(head(("Content-Length", "10")) + "{").await.unwrap();
    assert_eq!((answer.status, &*answer.code()), (408, "late"));
    assert!(raw.ends().await);
    let mut raw = Raw::unix(dir.path()).await;
    raw.write("GET /v1/status HT").await;
    assert!(raw.ends().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_connection_are_answered_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    let _scene = start(dir.path());
    let mut raw = Raw::unix(dir.path()).await;
    let texts: Vec<String> = (1..=50).map(|length| "x".repeat(length)).collect();
    let sends = texts.iter().map(|text| {
        let body = json!({"to": "Bob", "text": text}).to_string();
        post("/v1/messages", &[], &body)
    });
    let all: String = sends
        .chain([get("/nowhere", &[]), STATUS.to_owned()])
        .collect();
    raw.write(all).await;
    for text in &texts {
        let answer = raw.answer().await.unwrap();
        assert_eq!(answer.status, 202);
        assert_eq!(answer.json()["fragments"], text.len());
    }
    assert_eq!(raw.answer().await.unwrap().status, 404);
    assert_eq!(raw.answer().await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_give_way_to_one_that_asks() {
    let dir = tempfile::tempdir().unwrap();
    // So that none of them goes by itself.
    let limits = Limits {
        head: 10 * LONG,
        ..Limits::default()
    };
    let _scene = start_limited(dir.path(), limits);
    let mut first = Raw::unix(dir.path()).await;
    assert_eq!(first.ask(STATUS).await.unwrap().status, 200);
    let mut idle = Vec::new();
    for _ in 0..300 {
        let mut one = Raw::unix(dir.path()).await;
        assert_eq!(one.ask(STATUS).await.unwrap().status, 200);
        idle.push(one);
    }
    assert!(first.ends().await, "idle for longest, it is closed");
    let last = idle.last_mut().unwrap();
    assert_eq!(last.ask(STATUS).await.unwrap().status, 200);
    // So do those that begin to ask, and never end.
    let mut slow = Vec::new();
    for _ in 0..300 {
        let mut one = Raw::unix(dir.path()).await;
        one.write("GET /v1/sta").await;
        slow.push(one);
    }
    let mut other = Raw::unix(dir.path()).await;
    assert_eq!(other.ask(STATUS).await.unwrap().status, 200);
    assert!(slow[0].ends().await);
}

/// Many more than there are places, in one moment: none is closed before what it asks was read.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_in_a_crowd_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        places: 4,
        ..Limits::default()
    };
    let _scene = start_limited(dir.path(), limits);
    let crowd = (0..200).map(async |_| {
        let mut raw = Raw::unix(dir.path()).await;
        raw.ask(STATUS).await.expect("an answer").status
    });
    let answered = futures::future::join_all(crowd).await;
    assert!(answered.iter().all(|status| *status == 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_takes_nobodys_place() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        places: 4,
        ..Limits::default()
    };
    let scene = start_limited(dir.path(), limits);
    let mut waiting = Vec::new();
    for number in 0..150 {
        let mut one = Raw::unix(dir.path()).await;
        match number % 3 {
            0 => one.write(WAIT).await,
            1 => {
                one.write(get("/v1/events", &[])).await;
                assert_eq!(one.head().await.unwrap().status, 200);
            }
            _ => {
                let key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
                let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
                let version = ("Sec-WebSocket-Version", "13");
                let head = get("/v1/events/ws", &[&upgrade[..], &[version, key]].concat());
                one.write(head).await;
                assert_eq!(one.head().await.unwrap().status, 101);
            }
        }
        waiting.push(one);
        // While all of these wait, whoever asks is answered.
        let mut other = Raw::unix(dir.path()).await;
        assert_eq!(other.ask(STATUS).await.unwrap().status, 200);
    }
    // None of them was closed for another.
    scene.events.close();
    let told = waiting[1].0.get_ref();
    told.readable().await.unwrap();
    waiting.truncate(1);
    let first = &mut waiting[0];
    let still = timeout(Duration::from_millis(100), first.answer()).await;
    assert!(still.is_err(), "{still:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_ones_socket_is_replaced_and_a_deep_directory_works() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join(SOCKET_FILE), b"").unwrap();
    let _scene = start(&deep);
    let mut client = ControlClient::connect(&deep).await.unwrap();
    assert!(matches!(
        client.ask(Request::Status).await,
        Ok(Response::Status(_))
    ));
}

/// A node says how it is, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_answers_one_thing() {
    struct Node;
    impl Handler for Node {
        fn handle(&self, _: Request) -> BoxFuture<'_, Result<Response, Refusal>> {
            Box::pin(async { Ok(Response::Node(Box::default())) })
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let server = ControlServer::bind(dir.path()).unwrap();
    let router = api::node(Arc::new(Node));
    let _serving = tokio::spawn(server.serve_until(router, std::future::pending()));
    let mut client = ControlClient::connect(dir.path()).await.unwrap();
    let status = client.ask(Request::Status).await;
    assert!(matches!(status, Ok(Response::Node(_))), "{status:?}");
    for request in [Request::Stop, Request::Contacts] {
        let refused = client.ask(request).await;
        assert!(
            matches!(&refused, Err(ControlError::Refused(it)) if it.code == RefusalCode::NotFound),
            "{refused:?}"
        );
    }
    assert!(client.follow().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_answered_is_ended_when_it_stops() {
    let dir = tempfile::tempdir().unwrap();
    let server = ControlServer::bind(dir.path()).unwrap();
    let fake = Fake::new();
    let events = Arc::clone(&fake.events);
    let (asked, may) = (Arc::clone(&fake.asked), Arc::clone(&fake.may));
    let router = api::client(Arc::new(fake), Arc::clone(&events));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve_until(router, async { drop(stopped.await) }));
    let mut idle = Raw::unix(dir.path()).await;
    assert_eq!(idle.ask(STATUS).await.unwrap().status, 200);
    let mut following = follow(dir.path(), &[]).await;
    let mut waiting = Raw::unix(dir.path()).await;
    waiting.write(WAIT).await;
    let mut asking = Raw::unix(dir.path()).await;
    asking.write(post("/v1/invitations/renew", &[], "")).await;
    asked.notified().await;
    events.close();
    drop(stop);
    assert!(idle.ends().await, "no more is asked");
    may.notify_one();
    assert_eq!(asking.answer().await.unwrap().status, 204);
    assert_eq!(following.answer_end().await, 0, "in good order");
    timeout(LONG, serving).await.expect("it ends").unwrap();
    assert!(waiting.ends().await);
    assert!(!dir.path().join(SOCKET_FILE).exists());
}
