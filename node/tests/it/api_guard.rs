//! The local API over TCP: who has no token, or is a page in a browser, is told nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use shoal_node::control::{ControlServer, Limits, Token, api};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::api_server::Fake;
use crate::api_support::{Raw, get, post, request};
use crate::e2e::LONG;

const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const BEARER: (&str, &str) = (
    "Authorization",
    "Bearer 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
);

struct Scene {
    _dir: tempfile::TempDir,
    address: String,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn start() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    // So that no connection goes by itself.
    let limits = Limits {
        head: 10 * LONG,
        ..Limits::default()
    };
    let mut server = ControlServer::bind(dir.path()).unwrap().limited(limits);
    let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let address = server.also_at(anywhere, Token::known(TOKEN)).await.unwrap();
    let fake = Fake::new();
    let events = Arc::clone(&fake.events);
    let router = api::client(Arc::new(fake), events);
    Scene {
        _dir: dir,
        address: address.to_string(),
        serving: tokio::spawn(server.serve_until(router, std::future::pending())),
    }
}

/// Every route, and what none is.
const PATHS: [(&str, &str); 14] = [
    ("GET", "/v1/status"),
    ("GET", "/v1/health"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/v1/address"),
    ("POST", "/v1/address/renew"),
    ("GET", "/v1/messages"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/m/ack"),
    ("GET", "/v1/outgoing"),
    ("GET", "/v1/outgoing/m"),
    ("GET", "/v1/events"),
    ("GET", "/v1/events/ws"),
    ("POST", "/v1/stop"),
    ("OPTIONS", "/elsewhere"),
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_without_the_token() {
    let scene = start().await;
    let host = ("Host", scene.address.as_str());
    let mut raw = Raw::tcp(&scene.address).await;
    let wrong = BEARER.1.replace("Bearer 0", "Bearer 1");
    let basic = BEARER.1.replace("Bearer", "Basic");
    let cookie = format!("token={TOKEN}");
    let shown = [
        ("X", "none"),
        ("Authorization", &wrong),
        ("Authorization", &basic),
        ("Authorization", TOKEN),
        ("Cookie", &cookie),
    ];
    for (method, path) in PATHS {
        for shown in shown {
            let asked = raw
                .ask(request(method, path, &[host, shown]))
                .await
                .unwrap();
            assert_eq!(
                (asked.status, &*asked.code()),
                (401, "unauthorized"),
                "{path}"
            );
            assert_eq!(asked.headers["www-authenticate"], "Bearer");
        }
    }
    let in_the_path = format!("/v1/status?token={TOKEN}");
    let asked = raw.ask(get(&in_the_path, &[host])).await.unwrap();
    assert_eq!(asked.status, 401);
    let asked = raw.ask(get("/v1/status", &[host, BEARER])).await.unwrap();
    assert_eq!(asked.status, 200);
    let body = r#"{"to":"Bob","text":"hello"}"#;
    let sent = raw
        .ask(post("/v1/messages", &[host, BEARER], body))
        .await
        .unwrap();
    assert_eq!(sent.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_told_nothing_whatever_it_knows() {
    let scene = start().await;
    let ours = ("Host", scene.address.as_str());
    let port = scene.address.rsplit(':').next().unwrap();
    let mut raw = Raw::tcp(&scene.address).await;
    let rebound = [
        format!("evil.example:{port}"),
        "evil.example".to_owned(),
        "127.0.0.1:1".to_owned(),
        format!("127.0.0.1.evil.example:{port}"),
        String::new(),
    ];
    for (method, path) in PATHS {
        for host in &rebound {
            let asked = raw
                .ask(request(method, path, &[("Host", host), BEARER]))
                .await;
            let asked = asked.unwrap();
            assert_eq!((asked.status, &*asked.code()), (403, "forbidden"), "{host}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "http://127.0.0.1:1",
            "file://",
        ] {
            let headers = [ours, BEARER, ("Origin", origin)];
            let asked = raw.ask(request(method, path, &headers)).await.unwrap();
            assert_eq!(
                (asked.status, &*asked.code()),
                (403, "forbidden"),
                "{origin}"
            );
            let told = |(name, _): (&String, &String)| name.starts_with("access-control-");
            assert!(!asked.headers.iter().any(told), "{asked:?}");
        }
    }
    for host in [format!("localhost:{port}"), format!("[::1]:{port}")] {
        let asked = raw.ask(get("/v1/status", &[("Host", &host), BEARER])).await;
        assert_eq!(asked.unwrap().status, 200, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_may_offer_the_token_as_a_protocol() {
    let scene = start().await;
    let connect = async |protocols: String| {
        let url = format!("ws://{}/v1/events/ws", scene.address);
        let mut asked = url.into_client_request().unwrap();
        let name = "sec-websocket-protocol";
        asked.headers_mut().insert(name, protocols.parse().unwrap());
        let stream = TcpStream::connect(&scene.address).await.unwrap();
        tokio_tungstenite::client_async(asked, stream).await
    };
    let (_, answer) = connect(format!("shoal.events, shoal.token.{TOKEN}"))
        .await
        .unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "shoal.events");
    let wrong = connect(format!(
        "shoal.events, shoal.token.{}",
        TOKEN.replace('0', "1")
    ))
    .await;
    let wrong = wrong.err().unwrap().to_string();
    assert!(wrong.contains("401"), "{wrong}");
}

#[tokio::test]
async fn only_this_machine_is_listened_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = ControlServer::bind(dir.path()).unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = server
            .also_at(address.parse().unwrap(), Token::known(TOKEN))
            .await;
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("others can reach it")
        );
    }
}

/// Whoever has no token keeps nobody out who has it, nor anybody from the socket.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_take_no_place_for_good() {
    let scene = start().await;
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(TcpStream::connect(&scene.address).await.unwrap());
    }
    let host = ("Host", scene.address.as_str());
    let mut raw = Raw::tcp(&scene.address).await;
    let asked = raw.ask(get("/v1/status", &[host, BEARER])).await.unwrap();
    assert_eq!(asked.status, 200);
    let mut local = Raw::unix(scene._dir.path()).await;
    assert_eq!(local.ask(get("/v1/status", &[])).await.unwrap().status, 200);
}
