//! `shoal client send`.

use serde::Serialize;
use shoal_client::{Address, MAX_TEXT_BYTES};
use shoal_node::Failure;
use shoal_node::control::protocol::{Accepted, Event, MessageState, Request, Response};
use shoal_node::control::{ControlClient, unexpected};

use super::ask::{ask, connect, failed, within};
use crate::cli::args::{ClientSend, WaitFor};
use crate::cli::output;

/// What `shoal client send --json` prints.
#[derive(Serialize)]
struct Sent {
    #[serde(flatten)]
    accepted: Accepted,
    state: MessageState,
    stored_ms: Option<u64>,
}

pub(super) async fn run(args: ClientSend, json: bool) -> Result<(), Failure> {
    args.address.parse::<Address>().map_err(Failure::usage)?;
    // Before standard input is read: who has no daemon should not type a letter first.
    let mut control = connect(&args.place).await?;
    let mut events = connect(&args.place).await?;
    let text = match args.text.as_deref() {
        None | Some("-") => output::read_text(MAX_TEXT_BYTES)?,
        Some(text) => {
            output::check_length(text, MAX_TEXT_BYTES)?;
            text.to_owned()
        }
    };
    // Before the message is sent, so that nothing about it is missed.
    events.follow().await.map_err(failed)?;
    let request = Request::Send {
        to: args.address,
        text,
    };
    let accepted = match ask(&mut control, request).await? {
        Response::Accepted(accepted) => accepted,
        other => return Err(failed(unexpected(&other))),
    };
    if args.wait == WaitFor::None {
        let words = format!("accepted   {}", accepted.message);
        let sent = Sent {
            accepted,
            state: MessageState::Queued,
            stored_ms: None,
        };
        return output::show(json, &sent, &words);
    }
    let late = format!(
        "message {} was accepted and is not stored yet; the daemon goes on trying, see `shoal \
         client status`",
        accepted.message
    );
    let stored = wait_stored(&mut events, &mut control, &accepted.message);
    let stored_ms = within(Some(args.timeout), &late, stored).await?;
    let after = stored_ms
        .map(|ms| format!(" after {ms} ms"))
        .unwrap_or_default();
    let words = format!("stored     {}{after}", accepted.message);
    let sent = Sent {
        accepted,
        state: MessageState::Stored,
        stored_ms,
    };
    output::show(json, &sent, &words)
}

/// Waits until the receiver's mailbox has the message, and says how long that took.
async fn wait_stored(
    events: &mut ControlClient,
    control: &mut ControlClient,
    wanted: &str,
) -> Result<Option<u64>, Failure> {
    loop {
        let state = match events.event().await.map_err(failed)? {
            Event::Stored { message, after_ms } if message == wanted => return Ok(after_ms),
            Event::Expired { message } if message == wanted => MessageState::Expired,
            // What was missed may have been about this message.
            Event::Missed { .. } => state_of(control, wanted).await?,
            _ => continue,
        };
        match state {
            MessageState::Stored => return Ok(None),
            MessageState::Expired => {
                return Err(Failure::Unreachable(anyhow::anyhow!(
                    "message {wanted} expired before the receiver's mailbox took it"
                )));
            }
            _ => {}
        }
    }
}

async fn state_of(control: &mut ControlClient, wanted: &str) -> Result<MessageState, Failure> {
    match ask(control, Request::Status).await? {
        Response::Status(status) => {
            let mut outgoing = status.outgoing.iter();
            let found = outgoing.find(|message| message.message == wanted);
            Ok(found.map_or(MessageState::Queued, |message| message.state))
        }
        other => Err(failed(unexpected(&other))),
    }
}
