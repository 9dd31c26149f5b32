//! The HTTP server of a daemon, on this machine only unless the configuration says otherwise:
//! `/metrics` for Prometheus, `/healthz` for who watches whether it runs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

/// Brings the metrics up to date. It is called before each rendering and should export all numbers
/// of one instant, so that they balance.
pub type Snapshot = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Says whether the daemon does its work; if not, why.
pub type Health = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the server shows.
#[derive(Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
    snapshot: Snapshot,
    health: Health,
    rendering: Arc<Mutex<()>>,
}

impl Exporter {
    /// Shows what `handle` renders after `snapshot`.
    #[must_use]
    pub fn new(handle: PrometheusHandle, snapshot: Snapshot, health: Health) -> Self {
        Self {
            handle,
            snapshot,
            health,
            rendering: Arc::default(),
        }
    }

    /// The metrics as text. One rendering at a time, so that none sees half of another's snapshot.
    pub async fn render(&self) -> String {
        let _alone = self.rendering.lock().await;
        (self.snapshot)().await;
        self.handle.render()
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

async fn metrics(State(exporter): State<Exporter>) -> impl IntoResponse {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], exporter.render().await)
}

async fn healthz(State(exporter): State<Exporter>) -> impl IntoResponse {
    match (exporter.health)() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use metrics_exporter_prometheus::PrometheusBuilder;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn each_page_is_of_a_fresh_snapshot() {
        let recorder = Arc::new(PrometheusBuilder::new().build_recorder());
        let handle = recorder.handle();
        let taken = Arc::new(AtomicU64::new(0));
        let snapshot: Snapshot = Arc::new(move || {
            let number = taken.fetch_add(1, Ordering::Relaxed) + 1;
            metrics::with_local_recorder(recorder.as_ref(), || {
                metrics::counter!("taken").absolute(number);
            });
            Box::pin(async {})
        });
        let well = Arc::new(AtomicBool::new(true));
        let seen = Arc::clone(&well);
        let health: Health = Arc::new(move || match seen.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err("no document".to_owned()),
        });
        let exporter = Exporter::new(handle, snapshot, health);
        let server = HttpServer::bind(([127, 0, 0, 1], 0).into(), exporter)
            .await
            .unwrap();
        let address = server.local_address().unwrap();
        let serving = tokio::spawn(server.serve(std::future::pending()));
        for number in 1..=2 {
            let page = fetch(address, "/metrics").await;
            assert!(page.starts_with("HTTP/1.1 200"), "{page}");
            assert!(page.contains(&format!("taken {number}\n")), "{page}");
        }
        assert!(fetch(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        well.store(false, Ordering::Relaxed);
        let ill = fetch(address, "/healthz").await;
        assert!(
            ill.starts_with("HTTP/1.1 503") && ill.ends_with("no document\n"),
            "{ill}"
        );
        assert!(fetch(address, "/other").await.starts_with("HTTP/1.1 404"));
        serving.abort();
    }
}
