//! The control socket's side of the daemon.

use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::sleep;

use super::daemon::Asked;
use crate::control::Handler;
use crate::control::protocol::{Event, Progress, Refusal, RefusalCode, Request, Response};

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
        let mut late = std::pin::pin!(sleep(bounded(wait_ms)));
        loop {
            unread.mark_unchanged();
            let page = self.ask(Request::Messages {
                after,
                limit,
                wait_ms: 0,
            });
            let page = page.await?;
            if matches!(&page, Response::Messages(found) if !found.messages.is_empty()) {
                return Ok(page);
            }
            tokio::select! {
                changed = unread.changed() => if changed.is_err() { return Ok(page) },
                () = &mut late => return Ok(page),
            }
        }
    }

    /// Waits until nothing more is done for a message, or something else keeps it from being stored, and
    /// no longer than asked.
    async fn progress(&self, message: String, wait_ms: u64) -> Result<Response, Refusal> {
        let mut events = self.events.subscribe();
        let mut late = std::pin::pin!(sleep(bounded(wait_ms)));
        let mut stored_ms = None;
        let mut known = None;
        loop {
            let asked = Request::Progress {
                message: message.clone(),
                wait_ms: 0,
            };
            let Response::Progress(found) = self.ask(asked).await? else {
                return Err(Refusal::new(RefusalCode::Internal, "no progress is told"));
            };
            let progress = Progress { stored_ms, ..found };
            let news = known.get_or_insert(progress.hindrance.clone()) != &progress.hindrance;
            if progress.state.is_final() || news {
                return Ok(Response::Progress(progress));
            }
            tokio::select! {
                told = told_of(&mut events, &message) => stored_ms = told,
                () = &mut late => return Ok(Response::Progress(progress)),
            }
        }
    }
}

fn bounded(wait_ms: u64) -> Duration {
    Duration::from_millis(wait_ms).min(LONGEST_WAIT)
}

/// Waits until this message is stored or expired, or something else hinders it, or may be: what was missed may have been about it.
/// Gives how long it took to be stored, if that is known.
async fn told_of(events: &mut broadcast::Receiver<Event>, wanted: &str) -> Option<u64> {
    loop {
        match events.recv().await {
            Ok(Event::Stored { message, after_ms }) if message == wanted => return after_ms,
            Ok(Event::Expired { message } | Event::Hindered { message, .. })
                if message == wanted =>
            {
                return None;
            }
            Ok(_) => {}
            // Once the daemon stops, the next question says so.
            Err(_) => return None,
        }
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
            Request::Progress { message, wait_ms } => self.progress(message, wait_ms).await,
            request => self.ask(request).await,
        }
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}
