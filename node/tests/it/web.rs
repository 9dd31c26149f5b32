//! The page: how it is served and to whom, the way to it, and, where that is asked for, all of it in a browser:
//! `.ci/run web`.

mod browser;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::process::Signal;
use serde_json::Value;
use sha2::Sha256;
use shoal_node::control::{ControlClient, ControlServer, Token, api};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use crate::api_server::Fake;
use crate::api_support::{Answer, Raw, get, post, request};
use crate::e2e::{Daemon, LONG, Place, free_port, said, shoal, signal};

const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct Scene {
    dir: tempfile::TempDir,
    address: String,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Scene {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut server = ControlServer::bind(dir.path()).unwrap();
        let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let address = server.also_at(anywhere, Token::known(TOKEN)).await.unwrap();
        let fake = Fake::new();
        let events = Arc::clone(&fake.events);
        let router = api::client(Arc::new(fake), events).merge(api::pages(server.door()));
        Self {
            dir,
            address: address.to_string(),
            serving: tokio::spawn(server.serve_until(router, std::future::pending())),
        }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let host = [("Host", self.address.as_str())];
        let asked = request(method, path, &[&host[..], headers].concat());
        let mut raw = Raw::tcp(&self.address).await;
        raw.ask(asked).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_to_who_has_no_token_and_may_do_nothing_but_ask_the_api() {
    let scene = Scene::start().await;
    let page = scene.ask("GET", "/", &[]).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = &page.headers["content-security-policy"];
    let rules: Vec<&str> = policy.split("; ").collect();
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ] {
        assert!(rules.contains(&rule), "{rule}: {policy}");
    }
    assert_eq!(rules.len(), 10, "{policy}");
    let html = String::from_utf8(page.body).unwrap();
    let named: Vec<&str> = html
        .split('"')
        .filter(|text| text.starts_with("/web/"))
        .collect();
    assert!(named.len() > 15, "{named:?}");
    for path in named {
        let file = scene.ask("GET", path, &[]).await;
        assert_eq!(file.status, 200, "{path}");
        let kind = file.headers["content-type"].as_str();
        match Path::new(path).extension().and_then(|it| it.to_str()) {
            Some("js") => assert_eq!(kind, "text/javascript; charset=utf-8"),
            Some("css") => assert_eq!(kind, "text/css; charset=utf-8"),
            _ => assert_eq!(kind, "image/svg+xml"),
        }
        for (name, value) in [
            ("content-security-policy", policy.as_str()),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(file.headers[name], value, "{path}");
        }
        let mut raw = Raw::tcp(&scene.address).await;
        let asked = request("HEAD", path, &[("Host", &scene.address)]);
        raw.write(asked).await;
        assert_eq!(raw.head().await.unwrap().status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_of_the_page_is_none() {
    let scene = Scene::start().await;
    for path in [
        "/web/",
        "/web/none.js",
        "/web/../api.token",
        "/web/..%2fapi.token",
        "/web/%2fetc%2fpasswd",
        "/web/a/b",
        "/web/main.js%00",
    ] {
        let told = scene.ask("GET", path, &[]).await;
        assert_eq!(told.status, 404, "{path}");
        assert_eq!(told.code(), "not_found");
    }
    let mut local = Raw::unix(scene.dir.path()).await;
    let told = local.ask(request("POST", "/", &[])).await.unwrap();
    assert_eq!((told.status, &*told.code()), (405, "method"));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let told = scene.ask(method, "/", &[]).await;
        assert_eq!((told.status, &*told.code()), (401, "unauthorized"));
    }
    for path in ["/", "/web/main.js"] {
        for (name, value) in [
            ("Origin", "https://evil.example"),
            ("Origin", "null"),
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
        ] {
            let told = scene.ask("GET", path, &[(name, value)]).await;
            assert_eq!((told.status, &*told.code()), (403, "forbidden"), "{value}");
        }
        let mut raw = Raw::tcp(&scene.address).await;
        let rebound = get(path, &[("Host", "evil.example")]);
        assert_eq!(raw.ask(rebound).await.unwrap().status, 403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_s_own_origin_may_ask_and_none_beside_it() {
    let scene = Scene::start().await;
    let bearer = format!("Bearer {TOKEN}");
    let port = scene.address.rsplit(':').next().unwrap();
    let ours = format!("http://{}", scene.address);
    let with = async |origin: &str| {
        let headers = [("Authorization", bearer.as_str()), ("Origin", origin)];
        scene.ask("GET", "/v1/status", &headers).await
    };
    let told = with(&ours).await;
    assert_eq!(told.status, 200);
    assert_eq!(told.headers["cross-origin-resource-policy"], "same-origin");
    for other in [
        format!("https://{}", scene.address),
        format!("http://localhost:{port}"),
        format!("http://[::1]:{port}"),
        format!("{ours}/"),
        format!("{ours}.evil.example"),
        "http://127.0.0.1".to_owned(),
        "http://127.0.0.1:1".to_owned(),
    ] {
        assert_eq!(with(&other).await.status, 403, "{other}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_proves_that_it_has_the_token_without_showing_it() {
    let scene = Scene::start().await;
    let port: u16 = scene.address.rsplit(':').next().unwrap().parse().unwrap();
    let challenge = "ab".repeat(32);
    let told = scene
        .ask("GET", &format!("/web/proof/{challenge}"), &[])
        .await;
    assert_eq!(told.status, 200);
    let mut mac = Hmac::<Sha256>::new_from_slice(TOKEN.as_bytes()).unwrap();
    mac.update(format!("shoal page {port} {challenge}").as_bytes());
    let proof = HEXLOWER.encode(&mac.finalize().into_bytes());
    assert_eq!(told.json()["proof"], proof);
    for wrong in ["ab", &"zz".repeat(32), &"ab".repeat(33), &"é".repeat(32)] {
        let path = format!("/web/proof/{wrong}").replace('é', "%c3%a9");
        assert_eq!(scene.ask("GET", &path, &[]).await.status, 404, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qr_code_is_drawn_of_what_is_asked_for_and_nothing_else() {
    let scene = Scene::start().await;
    let mut raw = Raw::unix(scene.dir.path()).await;
    let asked = post("/v1/qr", &[], r#"{"text":"SHOAL:ABC"}"#);
    let told = raw.ask(asked).await.unwrap();
    assert_eq!(told.status, 200);
    let told = told.json();
    let rows = told["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 21);
    assert!(rows[0].as_str().unwrap().starts_with("1111111"));
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(3000));
    let refused = raw.ask(post("/v1/qr", &[], &long)).await.unwrap();
    assert_eq!((refused.status, &*refused.code()), (422, "invalid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_the_page_is_told_by_the_socket() {
    let scene = Scene::start().await;
    let mut client = ControlClient::connect(scene.dir.path()).await.unwrap();
    let given = client.page_link().await.unwrap();
    let (http, code) = given.link.split_once("/#").unwrap();
    assert_eq!(http, format!("http://{}", scene.address));
    assert_eq!((code.len(), given.life_secs), (64, 600));
    // It opens the page once, for who knows the code: the token comes under it.
    let mac = |words: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(code.as_bytes()).unwrap();
        mac.update(words.as_bytes());
        mac.finalize().into_bytes()
    };
    let name = HEXLOWER.encode(&mac("shoal page link"));
    let enter = format!("/web/enter/{name}");
    let told = scene.ask("GET", &enter, &[]).await;
    assert_eq!(told.status, 200);
    let told = told.json();
    let hidden = told["hidden"].as_str().unwrap();
    let port = scene.address.rsplit(':').next().unwrap();
    let pad = mac(&format!("shoal page token {port}"));
    let bytes = HEXLOWER.decode(hidden.as_bytes()).unwrap();
    let token: Vec<u8> = bytes.iter().zip(pad).map(|(one, pad)| one ^ pad).collect();
    assert_eq!(HEXLOWER.encode(&token), TOKEN);
    let proof = mac(&format!("shoal page proof {port} {hidden}"));
    assert_eq!(told["proof"], HEXLOWER.encode(&proof));
    assert_eq!(scene.ask("GET", &enter, &[]).await.status, 404, "once");
    // A link is given to who has the token, and to nobody else.
    assert_eq!(scene.ask("POST", "/v1/page", &[]).await.status, 401);
}

/// Three layers and three providers, so that a client has two mailboxes and another entry.
const NODES: [&str; 6] = ["mix-1", "mix-2", "mix-3", "one", "two", "three"];

/// Makes the file of a network of them.
async fn found(place: &Place) {
    for name in NODES {
        let port = free_port();
        let role = match name.starts_with("mix") {
            true => "mix",
            false => "provider",
        };
        place.init(role, name, port, port).await;
    }
    let make = [
        "network",
        "new",
        "--name",
        "try",
        "--out",
        "network.toml",
        "--from-dir",
    ];
    place.json(&[&make[..], &NODES].concat()).await;
}

async fn network(place: &Place) -> Vec<Daemon> {
    found(place).await;
    let mut nodes: Vec<Daemon> = NODES.map(|name| place.start_node(name)).into();
    for node in &mut nodes {
        node.event("ready").await;
    }
    nodes
}

/// A client whose daemon runs, in a network that is never there.
async fn alone(place: &Place, arguments: &[&str]) -> Daemon {
    found(place).await;
    let init = ["client", "init", "--network", "network.toml"];
    place.json(&[&init[..], &["--dir", "alice"]].concat()).await;
    let mut daemon = place.start("alice", &[&["daemon"][..], arguments].concat());
    daemon.event("serving").await;
    daemon
}

#[tokio::test(flavor = "multi_thread")]
async fn shoal_web_says_what_to_do_where_the_door_is_shut() {
    let place = Place::new();
    let web = ["web", "--dir", "alice"];
    let none = place.run(&web).await;
    assert_eq!(none.status.code(), Some(2), "{}", said(&none));
    let daemon = alone(&place, &[]).await;
    let shut = place.run(&web).await;
    assert_eq!(shut.status.code(), Some(3), "{}", said(&shut));
    let words = String::from_utf8_lossy(&shut.stderr);
    assert!(
        words.contains("--api 127.0.0.1:4150") && words.contains("api.listen"),
        "{words}"
    );
    daemon.interrupt();
    daemon.stopped().await;
    let gone = place.run(&web).await;
    assert_eq!(gone.status.code(), Some(3), "{}", said(&gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn shoal_web_gives_the_link_and_shows_it_to_nobody_else() {
    let place = Place::new();
    let at = format!("127.0.0.1:{}", free_port());
    let _daemon = alone(&place, &["--api", &at]).await;
    let token = std::fs::read_to_string(place.file("alice/api.token")).unwrap();
    let told = place.json(&["web", "--dir", "alice"]).await;
    let link = told["link"].as_str().unwrap();
    assert!(link.starts_with(&format!("http://{at}/#")), "{link}");
    assert!(!link.contains(token.trim()), "it stays in a history");
    assert_eq!(told["opened"], false);
    assert!(!place.file("alice/page.html").exists());

    // A browser, or what is taken for one, that writes down what it is started with.
    let bin = place.file("bin");
    std::fs::create_dir(&bin).unwrap();
    let opener = bin.join("xdg-open");
    let script = format!(
        "#!/bin/sh\necho \"$@\" > {}\n",
        place.file("opened").display()
    );
    std::fs::write(&opener, script).unwrap();
    std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = shoal(&["web", "--open", "--dir", "alice"]);
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", bin.display()));
    command.current_dir(place.path());
    for _ in 0..2 {
        let output = timeout(LONG, command.output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let opened = std::fs::read_to_string(place.file("opened")).unwrap();
        assert!(opened.trim().ends_with("page.html"), "{opened}");
        assert!(
            !opened.contains(token.trim()),
            "command lines are seen by all"
        );
        let file = place.file("alice/page.html");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let page = std::fs::read_to_string(&file).unwrap();
        assert!(page.contains(&format!("url=http://{at}/#")), "{page}");
        assert!(!page.contains(token.trim()), "{page}");
        // One that was there before has no say in who may read the next.
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_stays_up_with_both_pages() {
    let dir = tempfile::tempdir().unwrap();
    let demo = [
        "demo",
        "--web",
        "--json",
        "--dir",
        dir.path().to_str().unwrap(),
    ];
    let mut command = shoal(&demo);
    // Nothing is opened on the screen of who runs the tests.
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(3 * LONG, lines.next_line())
        .await
        .expect("it is told");
    let told: Value = serde_json::from_str(&line.unwrap().unwrap()).unwrap();
    assert_eq!(told["delivered"], true);
    for name in ["alice", "bob"] {
        let link = told["pages"][name].as_str().unwrap();
        let (address, _) = link.split_once("/#").unwrap();
        let token = std::fs::read_to_string(dir.path().join(name).join("api.token")).unwrap();
        let token = token.trim();
        let address = address.strip_prefix("http://").unwrap();
        let host = ("Host", address);
        let mut raw = Raw::tcp(address).await;
        assert_eq!(raw.ask(get("/", &[host])).await.unwrap().status, 200);
        let bearer = format!("Bearer {token}");
        let asked = get("/v1/contacts", &[host, ("Authorization", &bearer)]);
        let contacts = raw.ask(asked).await.unwrap().json();
        assert_eq!(contacts["contacts"].as_array().unwrap().len(), 1);
    }
    signal(&child, Signal::INT);
    let status = timeout(LONG, child.wait()).await.expect("it ends").unwrap();
    assert!(status.success(), "{status}");
}
