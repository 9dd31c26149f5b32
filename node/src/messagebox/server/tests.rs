//! Requests by a client of our own making: what is not signed, said again, or too long.

#![allow(clippy::unwrap_used, reason = "tests")]

use axum::http::Request as HttpRequest;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::sync::mpsc;

use super::super::auth::{IdentityKey, Secret};
use super::super::db::Bounds;
use super::*;
use crate::state::BoxRows;

struct Client {
    router: TowerToHyperService<Router>,
    secret: Secret,
    daemon: Option<IdentityKey>,
    our_nonce: String,
    client_nonce: String,
}

fn hub(dir: &std::path::Path) -> Arc<Hub> {
    let (wishes, _) = mpsc::channel(1);
    Arc::new(Hub::open(BoxRows::open(dir).unwrap(), Bounds::default(), wishes).unwrap())
}

impl Client {
    async fn greeted(router: &Router) -> Self {
        let mut client = Self {
            router: TowerToHyperService::new(router.clone()),
            secret: Secret::generate(&mut crate::seeded().unwrap()),
            daemon: None,
            our_nonce: String::new(),
            client_nonce: BASE64.encode(&[7; 48]),
        };
        let hello = json!({
            "version": "0.1", "messageType": "initialRequest", "initialNonce": client.client_nonce,
            "identityKey": client.secret.identity().unwrap().to_string(),
            "requestedCertificates": { "certifiers": [], "types": {} },
        });
        let request = HttpRequest::post("/.well-known/auth").body(Body::from(hello.to_string()));
        let (status, _, body) = client.call(request.unwrap()).await;
        assert_eq!(status, 200);
        let answer: Value = serde_json::from_slice(&body).unwrap();
        client.our_nonce = answer["initialNonce"].as_str().unwrap().to_owned();
        client.daemon = Some(answer["identityKey"].as_str().unwrap().parse().unwrap());
        client
    }

    async fn call(&self, request: HttpRequest<Body>) -> (u16, HeaderMap, Vec<u8>) {
        let answer = self.router.call(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        assert_eq!(parts.headers["access-control-allow-origin"], "*");
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        (parts.status.as_u16(), parts.headers, body)
    }

    /// A signed request; the signature is over `signed`, which is what is sent unless a test wants something else.
    fn request(&self, nonce: &str, body: &Value, signed: &Value) -> HttpRequest<Body> {
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        let signed = signed.to_string();
        let payload = SignedRequest {
            id: &[5; 32],
            method: "POST",
            path: "/listMessages",
            query: None,
            headers: &headers,
            body: signed.as_bytes(),
        };
        let key_id = format!("{nonce} {}", self.our_nonce);
        let to = self.daemon.unwrap();
        let signature = self.secret.sign(&to, &key_id, &payload.payload()).unwrap();
        HttpRequest::post("/listMessages")
            .header("content-type", "application/json")
            .header("x-bsv-auth-version", "0.1")
            .header(
                "x-bsv-auth-identity-key",
                self.secret.identity().unwrap().to_string(),
            )
            .header("x-bsv-auth-nonce", nonce)
            .header("x-bsv-auth-your-nonce", &self.our_nonce)
            .header("x-bsv-auth-signature", HEXLOWER.encode(&signature))
            .header("x-bsv-auth-request-id", BASE64.encode(&[5; 32]))
            .body(Body::from(body.to_string()))
            .unwrap()
    }

    /// Whether an answer is the daemon's.
    fn believes(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> bool {
        let Some(nonce) = headers.get("x-bsv-auth-nonce") else {
            return false;
        };
        let key_id = format!("{} {}", nonce.to_str().unwrap(), self.client_nonce);
        let signature = HEXLOWER
            .decode(headers["x-bsv-auth-signature"].as_bytes())
            .unwrap();
        let payload = response_payload(&[5; 32], status, body);
        let from = self.daemon.unwrap();
        self.secret.verifies(&from, &key_id, &payload, &signature)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_signed_is_answered_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _live) = router(&hub(dir.path()));
    let client = Client::greeted(&router).await;
    let body = json!({ "messageBox": "inbox" });

    let (status, headers, bytes) = client.call(client.request("one", &body, &body)).await;
    assert_eq!(status, 200);
    assert!(client.believes(status, &headers, &bytes));
    assert!(!client.believes(201, &headers, &bytes));

    let other = json!({ "messageBox": "other" });
    let refused = [
        client.request("one", &body, &body),
        client.request("two", &body, &other),
        HttpRequest::post("/listMessages")
            .body(Body::from(body.to_string()))
            .unwrap(),
        HttpRequest::get("/").body(Body::empty()).unwrap(),
    ];
    for request in refused {
        let (status, headers, bytes) = client.call(request).await;
        assert_eq!(status, 401);
        assert!(!client.believes(status, &headers, &bytes));
        assert!(!bytes.is_empty());
    }

    // Another one, whose identity is proven and not allowed, is told so by who it asked.
    let stranger = Client::greeted(&router).await;
    let (status, headers, bytes) = stranger.call(stranger.request("one", &body, &body)).await;
    assert_eq!(status, 403);
    assert!(stranger.believes(status, &headers, &bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_may_ask_and_nothing_is_read_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _live) = router(&hub(dir.path()));
    let client = Client::greeted(&router).await;
    let asked = HttpRequest::options("/sendMessage")
        .body(Body::empty())
        .unwrap();
    let (status, headers, _) = client.call(asked).await;
    assert_eq!(status, 200);
    for name in ["allow-headers", "allow-methods", "expose-headers"] {
        assert_eq!(headers[format!("access-control-{name}")], "*");
    }
    assert_eq!(headers["access-control-allow-private-network"], "true");
    let long = HttpRequest::post("/sendMessage").body(Body::from(vec![b' '; MAX_BODY + 1]));
    assert_eq!(client.call(long.unwrap()).await.0, 413);
    let odd = HttpRequest::post("/.well-known/auth").body(Body::from("{}"));
    assert_eq!(client.call(odd.unwrap()).await.0, 400);
    let odd = HttpRequest::get("/.well-known/auth").body(Body::empty());
    assert_eq!(client.call(odd.unwrap()).await.0, 405);
}
