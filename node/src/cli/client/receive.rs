//! `shoal client receive`.

use shoal_node::Failure;
use shoal_node::control::protocol::{MAX_PAGE, Messages, Received, Request, Response};
use shoal_node::control::{ControlClient, unexpected};

use super::ask::{ask, connect, failed, within};
use crate::cli::args::ClientReceive;
use crate::cli::output;

/// How long one request waits; then it is asked again, so that a daemon that died is noticed.
const WAIT_MS: u64 = 30_000;

pub(super) async fn run(args: ClientReceive, json: bool) -> Result<(), Failure> {
    let mut control = connect(&args.place).await?;
    let mut printed = 0;
    let wait = args.wait || args.follow;
    let work = receive(&mut control, &args, json, wait, &mut printed);
    let outcome = within(args.timeout, "no message came in time", work).await;
    match outcome {
        // The time to follow is over, and it was not in vain.
        Err(Failure::Unreachable(_)) if args.follow && printed > 0 => Ok(()),
        Ok(()) if printed == 0 && !json => {
            output::note("no messages");
            Ok(())
        }
        outcome => outcome,
    }
}

async fn receive(
    control: &mut ControlClient,
    args: &ClientReceive,
    json: bool,
    wait: bool,
    printed: &mut usize,
) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let enough = *printed > 0 && !args.follow;
        let wait_ms = if wait && !enough { WAIT_MS } else { 0 };
        let request = Request::Messages {
            after,
            limit: MAX_PAGE,
            wait_ms,
        };
        let page = match ask(control, request).await? {
            Response::Messages(page) => page,
            other => return Err(failed(unexpected(&other))),
        };
        if page.messages.is_empty() && (enough || !wait) {
            return Ok(());
        }
        after = page.next.max(after);
        *printed += page.messages.len();
        show(control, &page, args.keep, json).await?;
    }
}

/// Prints, and only then lets the daemon delete its copies.
async fn show(
    control: &mut ControlClient,
    page: &Messages,
    keep: bool,
    json: bool,
) -> Result<(), Failure> {
    for message in &page.messages {
        output::print(&if json {
            output::to_json(message)?
        } else {
            in_words(message)
        })?;
        if !keep {
            let read = Request::Read {
                message: message.message.clone(),
            };
            ask(control, read).await?;
        }
    }
    Ok(())
}

fn in_words(message: &Received) -> String {
    format!(
        "from       {}\nanswer to  {}\n\n{}\n",
        output::harmless(&message.from),
        output::harmless(&message.reply_to),
        output::harmless(&message.text)
    )
}
