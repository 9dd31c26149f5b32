//! The HTTP server of a daemon, on this machine only unless the configuration says otherwise:
//! `/metrics` for Prometheus, `/healthz` for who watches whether it does its work: 200 if so, else 503 with
//! the reasons, a line each, or as JSON for who asks for that.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::BoxFuture;
use tokio::net::TcpListener;

const JSON: &str = "application/json";

/// What a daemon says of itself at one instant.
#[derive(Debug, Default)]
pub struct Seen {
    /// The page of metrics: all numbers of one instant, so that they balance.
    pub page: String,
    /// How the daemon is.
    pub health: Health,
}

/// Looks at the daemon. It is called for each answer; none if the daemon is stopping.
pub type Snapshot = Arc<dyn Fn() -> BoxFuture<'static, Option<Seen>> + Send + Sync>;

/// How long a daemon may take for a snapshot before it is held to be stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a daemon does its work; if not, why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health(Vec<String>);

impl Health {
    /// All is well.
    #[must_use]
    pub const fn well() -> Self {
        Self(Vec::new())
    }

    /// What keeps the daemon from its work, each in a line of words; nothing if all is well.
    pub fn of(reasons: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(reasons.into_iter().map(Into::into).collect())
    }

    /// Whether it does its work.
    #[must_use]
    pub const fn is_well(&self) -> bool {
        self.0.is_empty()
    }

    /// What keeps it from its work.
    #[must_use]
    pub fn reasons(&self) -> &[String] {
        &self.0
    }
}

/// What the server shows.
#[derive(Clone)]
pub struct Exporter {
    snapshot: Snapshot,
    patience: Duration,
}

impl Exporter {
    /// Shows what `snapshot` says.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot,
            patience: PATIENCE,
        }
    }

    /// Looks at the daemon.
    ///
    /// # Errors
    /// Why there is nothing to be seen: the daemon is stuck, or stopping.
    async fn look(&self) -> Result<Seen, Health> {
        match tokio::time::timeout(self.patience, (self.snapshot)()).await {
            Ok(Some(seen)) => Ok(seen),
            Ok(None) => Err(Health::of(["the daemon is stopping"])),
            Err(_) => Err(Health::of(["the daemon's loop does not answer"])),
        }
    }
}

/// The listening server.
pub struct HttpServer {
    listener: TcpListener,
    exporter: Exporter,
}

impl HttpServer {
    /// Listens.
    ///
    /// # Errors
    /// What the system says, if the port is taken for example.
    pub async fn bind(address: SocketAddr, exporter: Exporter) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            exporter,
        })
    }

    /// Where it listens: the port is the system's choice if 0 was asked for.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` is done.
    ///
    /// # Errors
    /// What the system says.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(healthz))
            .with_state(self.exporter);
        axum::serve(self.listener, router)
            .with_graceful_shutdown(stop)
            .await
    }
}

async fn metrics(State(exporter): State<Exporter>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    match exporter.look().await {
        Ok(seen) => ([(header::CONTENT_TYPE, kind)], seen.page).into_response(),
        // Old numbers would look like new ones.
        Err(health) => {
            let words = format!("{}\n", health.reasons().join("\n"));
            (StatusCode::SERVICE_UNAVAILABLE, words).into_response()
        }
    }
}

async fn healthz(State(exporter): State<Exporter>, headers: HeaderMap) -> Response {
    let health = match exporter.look().await {
        Ok(seen) => seen.health,
        Err(health) => health,
    };
    let status = match health.is_well() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|kinds| kinds.to_str().ok());
    if accepted.is_some_and(|kinds| kinds.contains(JSON)) {
        let body = serde_json::json!({ "well": health.is_well(), "reasons": health.reasons() });
        return (status, [(header::CONTENT_TYPE, JSON)], body.to_string()).into_response();
    }
    let words = match health.is_well() {
        true => "ok".to_owned(),
        false => health.reasons().join("\n"),
    };
    (status, format!("{words}\n")).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn fetch(address: SocketAddr, path: &str, accept: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// A server whose snapshots count themselves and give this health.
    async fn serve(
        health: impl Fn(u64) -> BoxFuture<'static, Health> + Send + Sync + 'static,
    ) -> SocketAddr {
        let taken = AtomicU64::new(0);
        let snapshot: Snapshot = Arc::new(move || {
            let number = taken.fetch_add(1, Ordering::Relaxed) + 1;
            let health = health(number);
            Box::pin(async move {
                Some(Seen {
                    page: format!("taken {number}\n"),
                    health: health.await,
                })
            })
        });
        let mut exporter = Exporter::new(snapshot);
        exporter.patience = Duration::from_millis(50);
        let server = HttpServer::bind(([127, 0, 0, 1], 0).into(), exporter)
            .await
            .unwrap();
        let address = server.local_address().unwrap();
        tokio::spawn(server.serve(std::future::pending()));
        address
    }

    #[tokio::test]
    async fn each_page_is_of_a_fresh_snapshot() {
        let address = serve(|_| Box::pin(async { Health::well() })).await;
        for number in 1..=2 {
            let page = fetch(address, "/metrics", "*/*").await;
            assert!(page.starts_with("HTTP/1.1 200"), "{page}");
            assert!(page.contains(&format!("taken {number}\n")), "{page}");
        }
        let other = fetch(address, "/other", "*/*").await;
        assert!(other.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn health_is_that_of_the_moment() {
        let address = serve(|number| {
            Box::pin(async move {
                match number {
                    1 | 2 => Health::well(),
                    _ => Health::of(["no document is in force", "the disk fails"]),
                }
            })
        })
        .await;
        let well = fetch(address, "/healthz", "*/*").await;
        assert!(well.starts_with("HTTP/1.1 200"), "{well}");
        assert!(well.ends_with("\r\n\r\nok\n"), "{well}");
        let well = fetch(address, "/healthz", "application/json").await;
        assert!(well.starts_with("HTTP/1.1 200"), "{well}");
        assert!(well.ends_with(r#"{"reasons":[],"well":true}"#), "{well}");
        let ill = fetch(address, "/healthz", "*/*").await;
        assert!(ill.starts_with("HTTP/1.1 503"), "{ill}");
        assert!(
            ill.ends_with("\r\n\r\nno document is in force\nthe disk fails\n"),
            "{ill}"
        );
        let ill = fetch(address, "/healthz", "text/html, application/json").await;
        assert!(ill.starts_with("HTTP/1.1 503"), "{ill}");
        let reasons = r#"{"reasons":["no document is in force","the disk fails"],"well":false}"#;
        assert!(ill.ends_with(reasons), "{ill}");
    }

    #[tokio::test]
    async fn a_daemon_that_does_not_answer_is_not_well() {
        let address = serve(|_| Box::pin(std::future::pending())).await;
        for path in ["/healthz", "/metrics"] {
            let ill = fetch(address, path, "*/*").await;
            assert!(ill.starts_with("HTTP/1.1 503"), "{ill}");
            assert!(ill.contains("does not answer"), "{ill}");
        }
    }
}
