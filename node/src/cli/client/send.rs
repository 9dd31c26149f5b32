//! `shoal client send`.

use std::io::IsTerminal as _;
use std::pin::pin;

use serde::Serialize;
use shoal_client::MAX_TEXT_BYTES;
use shoal_node::control::protocol::{
    Accepted, MessageState, Progress, RefusalCode, Request, Response,
};
use shoal_node::control::{ControlClient, ControlError, unexpected};
use shoal_node::{Exit, Failure};

use super::ask::{ask, connect, connect_when_up, failed, late, strange, within};
use crate::cli::args::{ClientSend, WaitFor};
use crate::cli::output;

/// How long one request waits; then it is asked again.
const WAIT_MS: u64 = 30_000;

const LATE: &str = "the client daemon did not answer in time";

/// What `shoal client send --json` prints.
#[derive(Serialize)]
struct Sent {
    #[serde(flatten)]
    accepted: Accepted,
    state: MessageState,
    stored_ms: Option<u64>,
}

/// How far it has come: what a failure means depends on it.
enum Stage {
    /// The daemon was not asked: nothing is accepted.
    Before,
    /// It was asked.
    Asked,
    /// It has accepted the message, and says what keeps it from being stored.
    Accepted(String, Option<String>),
}

pub(super) async fn run(args: ClientSend, json: bool) -> Result<(), Failure> {
    let mut over = pin!(late(Some(args.timeout)));
    let text = match args.text.as_deref() {
        None | Some("-") => {
            // First of all: who has no daemon should not type a letter before hearing of it.
            let reached = async { reach(&args).await.map(drop) };
            within(&mut over, LATE, reached)
                .await
                .map_err(nothing_accepted)?;
            let reading = output::read_text(MAX_TEXT_BYTES);
            if std::io::stdin().is_terminal() {
                // Who types takes the time that it takes.
                let text = within(late(None), LATE, reading).await?;
                over.set(late(Some(args.timeout)));
                text
            } else {
                within(&mut over, "the text did not end in time", reading).await?
            }
        }
        Some(text) => {
            output::check_length(text.len(), MAX_TEXT_BYTES)?;
            text.to_owned()
        }
    };
    let mut stage = Stage::Before;
    let sent = within(&mut over, LATE, send(&args, text, &mut stage)).await;
    let sent = sent.map_err(|failure| explain(failure, stage))?;
    output::show(json, &sent, &in_words(&sent))
}

/// Who says what to wait for has time to wait for a daemon that is about to start, too.
async fn reach(args: &ClientSend) -> Result<ControlClient, Failure> {
    match args.wait {
        Some(_) => {
            let mut control = connect_when_up(&args.place).await?;
            until_mailbox(args, &mut control).await?;
            Ok(control)
        }
        None => connect(&args.place).await,
    }
}

/// A message says where answers go: before the daemon has been online for the first time there is no such
/// place, and it takes none.
async fn until_mailbox(args: &ClientSend, control: &mut ControlClient) -> Result<(), Failure> {
    // Before the first question, so that no change comes unseen after it.
    let mut events = connect(&args.place).await?;
    events.follow().await.map_err(failed)?;
    let mut told = false;
    loop {
        match ask(control, Request::Status).await? {
            Response::Status(own) if !own.places.is_empty() => return Ok(()),
            Response::Status(_) if told => {}
            Response::Status(_) => {
                output::note(
                    "waiting: this client has no mailbox yet, and gets one once it is online",
                );
                told = true;
            }
            other => return Err(strange(&other)),
        }
        events.event().await.map_err(failed)?;
    }
}

async fn send(args: &ClientSend, text: String, stage: &mut Stage) -> Result<Sent, Failure> {
    let mut control = reach(args).await?;
    let request = Request::Send {
        to: args.to.clone(),
        text,
        life_ms: args.life.map(|life| life.as_micros() / 1000),
        idempotency_key: args.idempotency_key.clone(),
    };
    *stage = Stage::Asked;
    let accepted = match control.ask(request).await {
        Ok(Response::Accepted(accepted)) => accepted,
        Ok(other) => return Err(uncertain(unexpected(&other))),
        Err(ControlError::Refused(refusal)) if refusal.code != RefusalCode::Stopped => {
            return Err(failed(ControlError::Refused(refusal)));
        }
        Err(error @ ControlError::NotRunning(_)) => {
            // It has gone just now, and was not asked.
            *stage = Stage::Before;
            return Err(failed(error));
        }
        Err(error) => return Err(uncertain(error)),
    };
    *stage = Stage::Accepted(accepted.message.clone(), None);
    let wait_ms = match args.wait {
        Some(WaitFor::None) if accepted.repeated => 0,
        Some(WaitFor::None) => {
            return Ok(Sent {
                accepted,
                state: MessageState::Queued,
                stored_ms: None,
            });
        }
        Some(WaitFor::Stored) | None => WAIT_MS,
    };
    let hinders = |why: &Option<String>| {
        if let Some(why) = why {
            output::note(&format!("not stored yet: {why}"));
        }
        *stage = Stage::Accepted(accepted.message.clone(), why.clone());
    };
    let progress = progress(&mut control, &accepted.message, wait_ms, hinders).await?;
    if progress.state == MessageState::Expired {
        let words = format!(
            "message {} expired before the receiver's mailbox took it",
            accepted.message
        );
        return Err(Failure::other(Exit::Expired, anyhow::anyhow!(words)));
    }
    Ok(Sent {
        accepted,
        state: progress.state,
        stored_ms: progress.stored_ms,
    })
}

/// How far the message is, once nothing more is done for it, or at once if it is not waited for.
async fn progress(
    control: &mut ControlClient,
    message: &str,
    wait_ms: u64,
    mut hinders: impl FnMut(&Option<String>),
) -> Result<Progress, Failure> {
    let mut known = None;
    loop {
        let request = Request::Progress {
            message: message.to_owned(),
            wait_ms,
        };
        match control.ask(request).await {
            Ok(Response::Progress(progress)) if progress.state.is_final() || wait_ms == 0 => {
                return Ok(progress);
            }
            Ok(Response::Progress(progress)) => {
                if progress.hindrance != known {
                    hinders(&progress.hindrance);
                    known = progress.hindrance;
                }
            }
            Ok(other) => return Err(strange(&other)),
            Err(error) => return Err(failed(error)),
        }
    }
}

fn nothing_accepted(failure: Failure) -> Failure {
    match failure.exit() {
        Exit::Late => Failure::unreachable(anyhow::anyhow!("{failure}; nothing was accepted")),
        _ => failure,
    }
}

fn uncertain(error: ControlError) -> Failure {
    Failure::other(Exit::Uncertain, error)
}

/// What a failure means, by how far it had come.
fn explain(failure: Failure, stage: Stage) -> Failure {
    match (stage, failure.exit()) {
        (Stage::Before, _) => nothing_accepted(failure),
        (Stage::Asked, Exit::Late | Exit::Uncertain) => {
            let words = format!(
                "{failure}; whether the message is accepted is not known: send it again with the \
                 --idempotency-key that it was sent with, or look at `shoal client outgoing`"
            );
            Failure::other(Exit::Uncertain, anyhow::anyhow!(words))
        }
        (Stage::Asked, _) => failure,
        // Whatever came after: sending it again would send it twice.
        (Stage::Accepted(message, why), exit)
            if !matches!(exit, Exit::Expired | Exit::Interrupted) =>
        {
            let why = why.map_or_else(String::new, |why| format!(" ({why})"));
            let words = format!(
                "message {message} is accepted and not known to be stored{why}; the daemon goes on trying, \
                 see `shoal client outgoing` ({failure})"
            );
            Failure::other(Exit::Accepted, anyhow::anyhow!(words)).of_message(&message)
        }
        (Stage::Accepted(message, _), _) => failure.of_message(&message),
    }
}

fn in_words(sent: &Sent) -> String {
    let id = &sent.accepted.message;
    match (sent.state, sent.stored_ms) {
        (MessageState::Stored | MessageState::Delivered | MessageState::Read, Some(ms)) => {
            format!("stored     {id} after {ms} ms")
        }
        (MessageState::Stored | MessageState::Delivered | MessageState::Read, None) => {
            format!("stored     {id}")
        }
        _ => format!("accepted   {id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_tells_whether_to_send_again() {
        let late = || Failure::other(Exit::Late, anyhow::anyhow!("late"));
        let accepted = || Stage::Accepted("m1".to_owned(), Some("full".to_owned()));
        let exit = |failure, stage| explain(failure, stage).exit();
        assert_eq!(exit(late(), Stage::Before), Exit::Unreachable);
        assert_eq!(exit(late(), Stage::Asked), Exit::Uncertain);
        assert_eq!(exit(late(), accepted()), Exit::Accepted);
        let gone = || failed(ControlError::Closed);
        assert_eq!(exit(gone(), Stage::Before), Exit::Unreachable);
        assert_eq!(
            exit(uncertain(ControlError::Closed), Stage::Asked),
            Exit::Uncertain
        );
        assert_eq!(exit(gone(), accepted()), Exit::Accepted);
        let failed = Failure::failed(anyhow::anyhow!("not remembered any more"));
        assert_eq!(exit(failed, accepted()), Exit::Accepted);
        assert_eq!(exit(Failure::Interrupted, accepted()), Exit::Interrupted);
        assert!(explain(late(), accepted()).to_string().contains("(full)"));
        let told = explain(Failure::Interrupted, accepted()).to_json();
        assert_eq!(told["message"], "m1");
    }
}
