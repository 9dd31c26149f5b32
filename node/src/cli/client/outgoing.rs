//! `shoal client outgoing`.

use shoal_node::Failure;
use shoal_node::control::protocol::{MessageState, OutgoingPage, Request, Response};

use super::ask::{ask_once, strange};
use crate::cli::args::ClientOutgoing;
use crate::cli::output;

pub(super) async fn run(args: &ClientOutgoing, json: bool) -> Result<(), Failure> {
    let request = Request::Outgoing {
        skip: args.skip,
        limit: args.limit,
    };
    match ask_once(&args.place, args.timeout.timeout, request).await? {
        Response::Outgoing(page) => output::show(json, &page, &in_words(&page, args.skip)),
        other => Err(strange(&other)),
    }
}

fn in_words(page: &OutgoingPage, skip: u64) -> String {
    let mut lines: Vec<String> = page
        .messages
        .iter()
        .flat_map(|message| {
            let line = format!("{:<10} {}", word(message.state), message.message);
            let why = message.hindrance.as_ref();
            [Some(line), why.map(|why| format!("           {why}"))]
        })
        .flatten()
        .collect();
    let shown = page.messages.len() as u64;
    let after = page.total.saturating_sub(skip.saturating_add(shown));
    if lines.is_empty() {
        lines.push("none".to_owned());
    }
    if after > 0 {
        let next = skip.saturating_add(shown);
        lines.push(format!("{after} more: --skip {next}"));
    }
    lines.join("\n")
}

const fn word(state: MessageState) -> &'static str {
    match state {
        MessageState::Queued => "queued",
        MessageState::Sent => "sent",
        MessageState::Stored => "stored",
        MessageState::Delivered => "delivered",
        MessageState::Read => "read",
        MessageState::Expired => "expired",
        _ => "unknown",
    }
}
