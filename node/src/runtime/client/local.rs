//! The local API's side of the daemon.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use rand::Rng as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::daemon::Asked;
use crate::control::protocol::{
    Content, Event, IdempotencyKey, MAX_FILE_BYTES, Progress, Refusal, RefusalCode, Request,
    Response,
};
use crate::control::{Events, Follower, Handler};
use crate::files::{Cut, check_name};
use crate::messagebox::Manager;

/// Longest that a request for messages waits for one.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Hands requests to the loop.
pub(super) struct Local {
    pub(super) asked: mpsc::Sender<Asked>,
    pub(super) events: Arc<Events>,
    pub(super) unread: watch::Receiver<u64>,
    /// What looks after the message box, if there is one.
    pub(super) boxes: Option<Manager>,
}

impl Local {
    async fn ask(&self, request: Request) -> Result<Response, Refusal> {
        self.ask_about(request, None).await
    }

    async fn ask_about(&self, request: Request, cut: Option<Cut>) -> Result<Response, Refusal> {
        let (answer, wait) = oneshot::channel();
        let asked = Asked {
            request,
            cut,
            answer,
        };
        let handed_over = self.asked.send(asked).await;
        handed_over
            .map_err(|_| Refusal::new(RefusalCode::Busy, "the client daemon is stopping"))?;
        // What was handed over may be on disk though nobody says so any more.
        wait.await.map_err(|_| {
            Refusal::new(
                RefusalCode::Stopped,
                "the client daemon stopped before it answered",
            )
        })?
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
        let mut events = self.events.follow(None);
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

impl Local {
    /// Cuts a file, on a thread that nobody's packets wait for, and hands it over.
    async fn send_file(
        &self,
        to: String,
        name: String,
        content: Content,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<Response, Refusal> {
        check_name(&name)?;
        let internal = |words: String| Refusal::new(RefusalCode::Internal, words);
        let mut id = [0; 16];
        let seeded = crate::seeded();
        seeded
            .map_err(|error| internal(error.to_string()))?
            .fill_bytes(&mut id);
        let own_name = name.clone();
        let cutting = tokio::task::spawn_blocking(move || Cut::new(id, &own_name, &content.0));
        let cut = cutting.await.map_err(|error| internal(error.to_string()))?;
        let too_large = || {
            let words = format!("a file has at most {MAX_FILE_BYTES} bytes");
            Refusal::new(RefusalCode::TooLarge, words)
        };
        let cut = cut.ok_or_else(too_large)?;
        let content = Content(Zeroizing::default());
        let request = Request::SendFile {
            to,
            name,
            content,
            idempotency_key,
        };
        self.ask_about(request, Some(cut)).await
    }
}

fn bounded(wait_ms: u64) -> Duration {
    Duration::from_millis(wait_ms).min(LONGEST_WAIT)
}

/// Waits until this message is stored or expired, or something else keeps it from that, or may be: what
/// was missed may have been about it. Gives how long it took to be stored, if that is known.
async fn told_of(events: &mut Follower, wanted: &str) -> Option<u64> {
    loop {
        // Once the daemon stops, the next question says so.
        let (_, event) = events.next().await?;
        match &*event {
            Event::Stored { message, after_ms } if message == wanted => return *after_ms,
            Event::Expired { message } | Event::Hindered { message, .. } if message == wanted => {
                return None;
            }
            Event::Missed { .. } => return None,
            _ => {}
        }
    }
}

impl Local {
    async fn answer(&self, request: Request) -> Result<Response, Refusal> {
        match request {
            Request::Messages {
                after,
                limit,
                wait_ms,
            } => return self.messages(after, limit, wait_ms).await,
            Request::Progress { message, wait_ms } => return self.progress(message, wait_ms).await,
            Request::SendFile {
                to,
                name,
                content,
                idempotency_key,
            } => {
                return self.send_file(to, name, content, idempotency_key).await;
            }
            Request::MessageBox => {
                let boxes = self.boxes()?;
                let status = boxes.status(&self.names().await?).await?;
                return Ok(Response::MessageBox(Box::new(status)));
            }
            Request::MessageBoxes => {
                return self.boxes()?.boxes().await.map(Response::MessageBoxes);
            }
            Request::BoxContents { name } => {
                return self
                    .boxes()?
                    .contents(&name)
                    .await
                    .map(Response::BoxContents);
            }
            Request::AllowIdentity { identity } => self.boxes()?.allow(&identity).await?,
            Request::DisallowIdentity { identity } => self.boxes()?.disallow(&identity).await?,
            Request::MapIdentity { identity, contact } => {
                let boxes = self.boxes()?;
                match self.ask(Request::Contact { contact }).await? {
                    Response::Contact(contact) => boxes.map(&identity, &contact.key).await?,
                    _ => return Err(Refusal::new(RefusalCode::Internal, "no contact is told")),
                }
            }
            Request::UnmapIdentity { identity } => self.boxes()?.unmap(&identity).await?,
            request => return self.ask(request).await,
        }
        Ok(Response::Done)
    }

    fn boxes(&self) -> Result<&Manager, Refusal> {
        self.boxes.as_ref().ok_or_else(|| {
            let words = "there is no message box: set `messagebox.listen`, or start the daemon with --messagebox";
            Refusal::new(RefusalCode::NotFound, words)
        })
    }

    /// What contacts are called, by their keys.
    async fn names(&self) -> Result<BTreeMap<String, String>, Refusal> {
        Ok(match self.ask(Request::Contacts).await? {
            Response::Contacts(all) => {
                let all = all.contacts.into_iter();
                all.map(|contact| (contact.key, contact.label)).collect()
            }
            _ => BTreeMap::new(),
        })
    }
}

impl Handler for Local {
    fn handle(&self, request: Request) -> BoxFuture<'_, Result<Response, Refusal>> {
        self.answer(request).boxed()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::control::protocol::{MessageState, Messages};

    /// The API's side, and what it asks of a loop that is not there.
    fn local() -> (Local, mpsc::Receiver<Asked>, watch::Sender<u64>) {
        let (asked, asks) = mpsc::channel(4);
        let (unread_in, unread) = watch::channel(7);
        let events = Events::new(1);
        let local = Local {
            asked,
            events,
            unread,
            boxes: None,
        };
        (local, asks, unread_in)
    }

    fn code(outcome: Result<Response, Refusal>) -> RefusalCode {
        outcome.unwrap_err().code
    }

    #[tokio::test]
    async fn what_was_handed_over_to_a_loop_that_ends_is_not_said_to_be_refused() {
        let (local, mut asks, _unread) = local();
        let asking = local.handle(Request::Status);
        let (outcome, ()) = tokio::join!(asking, async { drop(asks.recv().await) });
        assert_eq!(code(outcome), RefusalCode::Stopped);
        drop(asks);
        assert_eq!(code(local.handle(Request::Status).await), RefusalCode::Busy);
    }

    /// Cursors have grown, and all that was there is read: that is no message that has come.
    #[tokio::test]
    async fn a_wait_for_messages_asks_again_only_when_one_has_come() {
        let (local, mut asks, unread) = local();
        let waiting = local.handle(Request::Messages {
            after: 0,
            limit: 1,
            wait_ms: 600_000,
        });
        let answering = async {
            let none = || Ok(Response::Messages(Messages::default()));
            asks.recv().await.unwrap().answer.send(none()).unwrap();
            for _ in 0..100 {
                tokio::task::yield_now().await;
                assert!(asks.is_empty(), "nothing has come");
            }
            unread.send_replace(8);
            let asked = asks.recv().await.unwrap();
            asked.answer.send(none()).unwrap();
            // The daemon stops.
            drop(unread);
        };
        let (outcome, ()) = tokio::join!(waiting, answering);
        assert_eq!(outcome.unwrap(), Response::Messages(Messages::default()));
    }

    #[tokio::test]
    async fn a_wait_for_a_message_ends_with_it_and_says_how_long_it_took() {
        let (local, mut asks, _unread) = local();
        let events = Arc::clone(&local.events);
        let waiting = local.handle(Request::Progress {
            message: "m".to_owned(),
            wait_ms: 600_000,
        });
        let answering = async {
            let told = |state| {
                Ok(Response::Progress(Progress {
                    message: "m".to_owned(),
                    state,
                    stored_ms: None,
                    hindrance: None,
                }))
            };
            let first = asks.recv().await.unwrap();
            for message in ["other", "m"] {
                let message = message.to_owned();
                let after_ms = Some(5);
                events.tell(Event::Stored { message, after_ms });
            }
            first.answer.send(told(MessageState::Sent)).unwrap();
            let second = asks.recv().await.unwrap();
            second.answer.send(told(MessageState::Stored)).unwrap();
        };
        let (outcome, ()) = tokio::join!(waiting, answering);
        assert!(matches!(
            outcome.unwrap(),
            Response::Progress(Progress {
                state: MessageState::Stored,
                stored_ms: Some(5),
                ..
            })
        ));
    }

    #[tokio::test]
    async fn a_wait_for_a_message_ends_when_something_new_is_in_its_way() {
        let (local, mut asks, _unread) = local();
        let events = Arc::clone(&local.events);
        let waiting = local.handle(Request::Progress {
            message: "m".to_owned(),
            wait_ms: 600_000,
        });
        let answering = async {
            for hindrance in [None, Some("full".to_owned())] {
                let asked = asks.recv().await.unwrap();
                let (message, reason) = ("m".to_owned(), "full".to_owned());
                events.tell(Event::Hindered { message, reason });
                let progress = Progress {
                    message: "m".to_owned(),
                    state: MessageState::Sent,
                    stored_ms: None,
                    hindrance,
                };
                asked.answer.send(Ok(Response::Progress(progress))).unwrap();
            }
        };
        let (outcome, ()) = tokio::join!(waiting, answering);
        let Response::Progress(progress) = outcome.unwrap() else {
            panic!("no progress");
        };
        assert_eq!(progress.hindrance.as_deref(), Some("full"));
    }
}
