//! The daemon, asked over its local API and nothing else: what the chat asks, and what happens there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use shoal_proto::Time;
use tokio::sync::mpsc;
use zeroize::{Zeroize as _, Zeroizing};

use super::model::{Ask, Glance, Input, Line, Lines, News, Reply, Trouble, TroubleKind};
use super::safe::Safe;
use crate::control::protocol::{
    Accept, BadKey, Content, ConversationLine, Event, IdempotencyKey, RefusalCode, Request,
    Response,
};
use crate::control::{ControlClient, ControlError, unexpected};
use crate::{Failure, userfile};

/// What may have happened and was not looked at.
pub(super) const INPUTS: usize = 64;
/// What may be asked at a time of one kind.
const ASKS: usize = 256;
/// Lines of a conversation that are asked for at a time.
const PAGE: u32 = 50;
/// How long it is waited after a daemon was there and did not answer: one that stops is there for a moment.
const PAUSE: Duration = Duration::from_millis(200);

/// Where what is asked goes: what changes something, in its order; what is looked at; and files, which take long.
pub(super) struct Lanes {
    doing: mpsc::Sender<Box<Ask>>,
    looking: mpsc::Sender<Box<Ask>>,
    files: mpsc::Sender<Box<Ask>>,
}

impl Lanes {
    /// What is asked is answered into `inputs`.
    pub(super) fn start(dir: &Path, inputs: &mpsc::Sender<Input>) -> Self {
        let lane = || {
            let (asks, mut asked) = mpsc::channel::<Box<Ask>>(ASKS);
            let (dir, inputs) = (dir.to_owned(), inputs.clone());
            tokio::spawn(async move {
                while let Some(ask) = asked.recv().await {
                    let answer = answer(&dir, Ask::clone(&ask)).await;
                    if inputs.send(Input::Answer(ask, answer)).await.is_err() {
                        return;
                    }
                }
            });
            asks
        };
        Self {
            doing: lane(),
            looking: lane(),
            files: lane(),
        }
    }

    /// Asks. If too much is asked already, that is the answer.
    pub(super) fn ask(&self, ask: Box<Ask>) -> Option<Input> {
        let lane = match &*ask {
            Ask::Status
            | Ask::Contacts
            | Ask::Conversations
            | Ask::Invitations
            | Ask::Files
            | Ask::Lines { .. } => &self.looking,
            Ask::SendFile { .. } | Ask::SaveFile { .. } => &self.files,
            _ => &self.doing,
        };
        let refused = lane.try_send(ask).err()?;
        let trouble = Trouble {
            kind: TroubleKind::Busy,
            words: "too much is asked of the daemon at a time".to_owned(),
        };
        Some(Input::Answer(refused.into_inner(), Err(trouble)))
    }
}

/// Tells what happens at the daemon, whenever there is one. Ends only with what can't be mended by waiting.
pub(super) async fn follow(dir: PathBuf, inputs: mpsc::Sender<Input>) -> Failure {
    loop {
        let gone = |error: &ControlError| {
            // If nobody has looked at what was told before, this is not missed.
            let _ = inputs.try_send(Input::Down(error.to_string()));
        };
        let mut control = match ControlClient::connect_when_up(&dir, gone).await {
            Ok(control) => control,
            Err(error) => return Failure::unreachable(error),
        };
        let error = match control.follow().await {
            Ok(()) => {
                if inputs.send(Input::Up).await.is_err() {
                    return Failure::Interrupted;
                }
                match tell(&mut control, &inputs).await {
                    // Whether it is gone is seen at once.
                    ControlError::Closed => continue,
                    error => error,
                }
            }
            Err(error) => error,
        };
        match error {
            ControlError::Refused(refusal) if refusal.code == RefusalCode::NotFound => {
                return Failure::usage(anyhow::anyhow!(
                    "what runs in {} is no client's daemon",
                    dir.display()
                ));
            }
            ControlError::Protocol(_) => return Failure::failed(error),
            error => {
                if inputs.send(Input::Down(error.to_string())).await.is_err() {
                    return Failure::Interrupted;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn tell(control: &mut ControlClient, inputs: &mpsc::Sender<Input>) -> ControlError {
    loop {
        match control.event().await {
            Ok(event) => {
                if let Some(news) = news(event) {
                    // Nobody listens only when all of it ends.
                    let _ = inputs.send(Input::News(news)).await;
                }
            }
            Err(error) => return error,
        }
    }
}

/// What is of interest in an event; its text is not: it is asked for.
fn news(event: Event) -> Option<News> {
    Some(match event {
        Event::Received(mut received) => {
            received.text.zeroize();
            received.bytes.zeroize();
            News::Received {
                contact: received.from,
            }
        }
        Event::Accepted { .. } | Event::Sent { fragment: 0, .. } => News::Messages,
        Event::Vanished { message, .. } => News::Vanished { message },
        Event::Stored { message, after_ms } => News::Stored { message, after_ms },
        Event::Hindered { message, reason } => News::Hindered { message, reason },
        Event::Expired { message } => News::Expired { message },
        Event::Delivered { message, read } => News::Delivered { message, read },
        Event::Met { contact, .. } => News::Met { contact },
        Event::Leaked { contact, .. } => News::Leaked { contact },
        Event::File(file) => News::File(file),
        Event::Alarm { text } => News::Alarm(text),
        Event::AlarmOver { text } => News::AlarmOver(text),
        Event::Attached { .. } => News::Attached,
        Event::Detached { reason } => News::Detached(reason),
        Event::Opened => News::Opened,
        Event::Missed { .. } => News::Missed,
        Event::Sent { .. } | Event::Documents { .. } => return None,
    })
}

async fn answer(dir: &Path, ask: Ask) -> Result<Reply, Trouble> {
    let response = match ask {
        Ask::SendFile { contact, path, key } => return send_file(dir, contact, path, &key).await,
        Ask::SaveFile { file, name, path } => return save_file(dir, file, &name, path).await,
        ask => asked(dir, request(ask)?).await?,
    };
    Ok(match response {
        Response::Done => Reply::Done,
        Response::Status(status) => Reply::Status(status),
        Response::Contacts(all) => Reply::Contacts(all.contacts),
        Response::Contact(contact) => Reply::Contact(contact),
        Response::Conversations(all) => {
            let glance = |mut it: crate::control::protocol::Conversation| {
                if let Some(last) = &mut it.last {
                    last.text.zeroize();
                }
                Glance {
                    contact: it.contact,
                    unread: it.unread,
                }
            };
            Reply::Conversations(all.conversations.into_iter().map(glance).collect())
        }
        Response::Conversation(page) => Reply::Lines(Lines {
            lines: page.lines.into_iter().map(line).collect(),
            earlier: page.earlier,
        }),
        Response::Invitations(all) => Reply::Invitations(all.invitations),
        Response::Invited(invitation) => Reply::Invited(invitation),
        Response::Files(all) => Reply::Files(all.files),
        Response::Accepted(accepted) => Reply::Accepted {
            message: accepted.message,
            expected_stored_ms: accepted.expected_stored_ms,
        },
        other => return Err(trouble(unexpected(&other))),
    })
}

fn request(ask: Ask) -> Result<Request, Trouble> {
    Ok(match ask {
        Ask::Status => Request::Status,
        Ask::Contacts => Request::Contacts,
        Ask::Conversations => Request::Conversations,
        Ask::Invitations => Request::Invitations,
        Ask::Files => Request::Files,
        Ask::Lines { contact, before } => Request::Conversation {
            contact,
            before,
            limit: PAGE,
        },
        Ask::Read { contact, up_to } => Request::ReadConversation { contact, up_to },
        Ask::Send {
            contact,
            text,
            life,
            key,
        } => Request::Send {
            to: contact,
            text: text.to_string(),
            life_ms: life.map(|life| life.as_micros() / 1000),
            idempotency_key: Some(named(&key)?),
        },
        Ask::Invite(invite) => Request::Invite(invite),
        Ask::Revoke(id) => Request::Revoke { id },
        Ask::Renew => Request::RenewInvitations,
        Ask::Accept { link, label } => Request::Accept(Accept {
            invitation: link.to_string(),
            label,
        }),
        Ask::Change { contact, change } => Request::ChangeContact { contact, change },
        Ask::Remove(contact) => Request::RemoveContact { contact },
        Ask::Forget(contact) => Request::ClearConversation { contact },
        Ask::RemoveFile(file) => Request::RemoveFile { file },
        Ask::SaveFile { file, .. } => Request::FileContent { file },
        Ask::SendFile { contact, .. } => Request::File { file: contact },
    })
}

fn named(key: &str) -> Result<IdempotencyKey, Trouble> {
    key.parse().map_err(|error: BadKey| Trouble {
        kind: TroubleKind::Refused,
        words: error.to_string(),
    })
}

async fn asked(dir: &Path, request: Request) -> Result<Response, Trouble> {
    let mut control = ControlClient::connect(dir).await.map_err(trouble)?;
    control.ask(request).await.map_err(trouble)
}

fn trouble(error: ControlError) -> Trouble {
    let kind = match &error {
        // What was handed over may have been taken: it is asked again in the same way, by the same key.
        ControlError::NotRunning(_) | ControlError::Closed | ControlError::Io(_) => {
            TroubleKind::Gone
        }
        ControlError::Refused(refusal) => match refusal.code {
            RefusalCode::Stopped => TroubleKind::Gone,
            RefusalCode::Busy | RefusalCode::Late => TroubleKind::Busy,
            _ => TroubleKind::Refused,
        },
        ControlError::Protocol(_) => TroubleKind::Refused,
    };
    Trouble {
        kind,
        words: error.to_string(),
    }
}

fn line(it: ConversationLine) -> Line {
    let text = Zeroizing::new(it.text);
    Line {
        number: it.number,
        place: it.number,
        message: it.message,
        own: it.own,
        text: Safe::text(&text),
        at: Time::from_micros(it.at_us),
        state: it.state,
        gap_before: it.gap_before,
        expires: it.expires_at_us.map(Time::from_micros),
        hindrance: it.hindrance.map(|why| Safe::line(&why)),
    }
}

/// The home directory in a path that a shell has not seen.
fn expanded(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path,
    }
}

/// Work with the disk, which takes as long as it takes.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Trouble> {
    let refused = |words: String| Trouble {
        kind: TroubleKind::Refused,
        words,
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|failure| refused(failure.to_string())),
        Err(error) => Err(refused(error.to_string())),
    }
}

async fn send_file(
    dir: &Path,
    contact: String,
    path: PathBuf,
    key: &str,
) -> Result<Reply, Trouble> {
    let path = expanded(path);
    let (name, content) =
        on_disk(move || Ok((userfile::own_name(&path)?, Content(userfile::read(&path)?)))).await?;
    let request = Request::SendFile {
        to: contact,
        name,
        content,
        idempotency_key: Some(named(key)?),
    };
    match asked(dir, request).await? {
        Response::File(file) => Ok(Reply::File(file)),
        other => Err(trouble(unexpected(&other))),
    }
}

async fn save_file(
    dir: &Path,
    file: String,
    name: &str,
    path: Option<PathBuf>,
) -> Result<Reply, Trouble> {
    // The daemon has made its own name fit to be one.
    let own = if name.is_empty() { "file" } else { name };
    let path = path.map_or_else(|| PathBuf::from(own), expanded);
    let content = match asked(dir, Request::FileContent { file }).await? {
        Response::FileContent(content) => content,
        other => return Err(trouble(unexpected(&other))),
    };
    on_disk(move || userfile::write_new(&path, &content.0).map(|()| Reply::Saved(path))).await
}
