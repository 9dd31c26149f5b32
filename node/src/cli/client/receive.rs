//! `shoal client receive`.

use std::pin::pin;

use shoal_node::control::ControlClient;
use shoal_node::control::protocol::{MAX_PAGE, Messages, Request, Response};
use shoal_node::{Exit, Failure};

use super::ask::{ask, connect, connect_when_up, late, strange, within};
use super::message::{in_words, raw};
use crate::cli::args::ClientReceive;
use crate::cli::output;

/// How long one request waits; then it is asked again, so that a daemon that died is noticed.
const WAIT_MS: u64 = 30_000;

pub(super) async fn run(args: ClientReceive, json: bool) -> Result<(), Failure> {
    let mut over = pin!(late(args.timeout));
    let reached = async {
        match args.wait || args.follow {
            true => connect_when_up(&args.place).await,
            false => connect(&args.place).await,
        }
    };
    let reached = within(&mut over, "no client daemon came up in time", reached).await;
    let mut control = reached.map_err(|failure| match failure.exit() {
        Exit::Late => Failure::unreachable(anyhow::anyhow!("{failure}")),
        _ => failure,
    })?;
    let (mut printed, mut held) = (0, 0);
    let work = receive(&mut control, &args, json, (&mut printed, &mut held));
    let outcome = within(&mut over, "no message came in time", work).await;
    let wait = match held {
        0 => String::new(),
        held => {
            format!("; {held} wait for what their sender wrote before, a minute at most as a rule")
        }
    };
    match outcome {
        // The time to follow is over, and it was not in vain.
        Err(failure) if failure.exit() == Exit::Late && printed > 0 => Ok(()),
        // Nothing is no message, and no empty one either.
        Ok(()) if printed == 0 && args.raw => {
            let words = format!("no messages{wait}");
            Err(Failure::other(Exit::Late, anyhow::anyhow!(words)))
        }
        Ok(()) if printed == 0 && !json => {
            output::note(&format!("no messages{wait}"));
            Ok(())
        }
        Err(failure) if failure.exit() == Exit::Late && held > 0 => {
            let words = format!("{failure}{wait}");
            Err(Failure::other(Exit::Late, anyhow::anyhow!(words)))
        }
        outcome => outcome,
    }
}

async fn receive(
    control: &mut ControlClient,
    args: &ClientReceive,
    json: bool,
    (printed, held): (&mut usize, &mut u64),
) -> Result<(), Failure> {
    let mut after = 0;
    let wait = args.wait || args.follow;
    loop {
        let enough = *printed > 0 && !args.follow;
        if enough && args.raw {
            return Ok(());
        }
        let request = Request::Messages {
            after,
            limit: if args.raw { 1 } else { MAX_PAGE },
            wait_ms: if wait && !enough { WAIT_MS } else { 0 },
        };
        let page = match ask(control, request).await? {
            Response::Messages(page) => page,
            other => return Err(strange(&other)),
        };
        *held = page.held;
        if page.messages.is_empty() && (enough || !wait) {
            return Ok(());
        }
        after = page.next.max(after);
        *printed += page.messages.len();
        show(control, &page, args, json).await?;
    }
}

/// Prints, and only then lets the daemon delete its copies.
async fn show(
    control: &mut ControlClient,
    page: &Messages,
    args: &ClientReceive,
    json: bool,
) -> Result<(), Failure> {
    for message in &page.messages {
        if args.raw {
            output::print_bytes(&raw(message)?)?;
        } else if json {
            output::print(&output::to_json(message)?)?;
        } else {
            output::print(&in_words(message, output::columns())?)?;
        }
        if !args.keep {
            let read = Request::Read {
                message: message.message.clone(),
            };
            ask(control, read).await?;
        }
    }
    Ok(())
}
