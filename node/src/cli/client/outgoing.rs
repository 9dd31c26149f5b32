//! `shoal client outgoing`.

use std::collections::BTreeMap;

use shoal_node::Failure;
use shoal_node::control::protocol::{MessageState, OutgoingPage, Request, Response};

use super::ask::{ask_once, strange};
use crate::cli::args::ClientOutgoing;
use crate::cli::output;
use crate::cli::text::escaped_line;

pub(super) async fn run(args: &ClientOutgoing, json: bool) -> Result<(), Failure> {
    let request = Request::Outgoing {
        skip: args.skip,
        limit: args.limit,
    };
    let (place, timeout) = (&args.place, args.timeout.timeout);
    let page = match ask_once(place, timeout, request).await? {
        Response::Outgoing(page) => page,
        other => return Err(strange(&other)),
    };
    let names = match ask_once(place, timeout, Request::Contacts).await? {
        Response::Contacts(all) => {
            let all = all.contacts.into_iter();
            all.map(|contact| (contact.key, contact.label)).collect()
        }
        other => return Err(strange(&other)),
    };
    output::show(json, &page, &in_words(&page, &names, args.skip))
}

/// What is told, with what contacts are called by their keys.
fn in_words(page: &OutgoingPage, names: &BTreeMap<String, String>, skip: u64) -> String {
    let who = |key: &String| {
        let name = names.get(key).filter(|name| !name.is_empty());
        escaped_line(name.unwrap_or(key))
    };
    let mut lines: Vec<String> = page
        .messages
        .iter()
        .flat_map(|message| {
            let (state, to) = (word(message.state), who(&message.to));
            let line = format!("{state:<10} {}  to {to}", message.message);
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
