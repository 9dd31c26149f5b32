//! The control socket's side of the daemon.

use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::daemon::Asked;
use crate::control::Handler;
use crate::control::protocol::{Event, Refusal, RefusalCode, Request, Response};

/// Longest that a request for messages waits for one.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Hands requests to the loop.
pub(super) struct Local {
    pub(super) asked: mpsc::Sender<Asked>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) unread: watch::Receiver<u64>,
}

impl Local {
    async fn ask(&self, request: Request) -> Result<Response, Refusal> {
        let stopping = || Refusal::new(RefusalCode::Busy, "the client daemon is stopping");
        let (answer, wait) = oneshot::channel();
        let asked = Asked { request, answer };
        self.asked.send(asked).await.map_err(|_| stopping())?;
        wait.await.map_err(|_| stopping())?
    }

    /// Waits for a message after the cursor, and no longer than asked.
    async fn messages(&self, after: u64, limit: u32, wait_ms: u64) -> Result<Response, Refusal> {
        let mut unread = self.unread.clone();
        let wait = Duration::from_millis(wait_ms).min(LONGEST_WAIT);
        // Nothing came in time, or the daemon stops: the page says which.
        let _ = timeout(wait, unread.wait_for(|last| *last > after)).await;
        self.ask(Request::Messages {
            after,
            limit,
            wait_ms: 0,
        })
        .await
    }
}

impl Handler for Local {
    async fn handle(&self, request: Request) -> Result<Response, Refusal> {
        match request {
            Request::Messages {
                after,
                limit,
                wait_ms,
            } => self.messages(after, limit, wait_ms).await,
            request => self.ask(request).await,
        }
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}
