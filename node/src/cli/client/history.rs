//! `shoal client history`.

use shoal_node::Failure;
use shoal_node::control::protocol::{ConversationLine, LineState, Request, Response};

use super::ask::{ask_once, strange};
use super::message::{bytes, marked};
use crate::cli::args::ClientHistory;
use crate::cli::output;
use crate::cli::text::{date, escaped_line};

pub(super) async fn run(args: &ClientHistory, json: bool) -> Result<(), Failure> {
    let (place, timeout, contact) = (&args.place, args.timeout.timeout, args.contact.clone());
    if args.clear {
        let asked = ask_once(place, timeout, Request::ClearConversation { contact }).await?;
        return match asked {
            Response::Done => output::show(
                json,
                &serde_json::json!({ "cleared": true }),
                "forgotten on this side",
            ),
            other => Err(strange(&other)),
        };
    }
    let request = Request::Conversation {
        contact,
        before: args.before,
        limit: args.limit,
    };
    let page = match ask_once(place, timeout, request).await? {
        Response::Conversation(page) => page,
        other => return Err(strange(&other)),
    };
    let (name, width) = (escaped_line(&args.contact), output::columns());
    let lines = page.lines.iter().map(|line| in_words(line, &name, width));
    let mut words = lines.collect::<Result<Vec<_>, _>>()?.join("\n");
    match page.lines.first() {
        None => words.push_str("nothing"),
        Some(first) if page.earlier => {
            words = format!("more before: --before {}\n\n{words}", first.number);
        }
        Some(_) => {}
    }
    output::show(json, &page, words.trim_end())
}

/// Who said it when and how it is, and the text, marked so that none can look like another line.
fn in_words(line: &ConversationLine, name: &str, width: Option<usize>) -> Result<String, Failure> {
    let who = match line.own {
        true => "you",
        false => name,
    };
    let mut words = format!(
        "{:<5} {who}, {}: {}",
        line.number,
        date(line.at_us),
        word(line.state)
    );
    if line.gap_before > 0 {
        let gap = line.gap_before;
        words.push_str(&format!("; {gap} before it had not come"));
    }
    if let Some(expires) = line.expires_at_us {
        words.push_str(&format!("; vanishes {}", date(expires)));
    }
    if let Some(hindrance) = &line.hindrance {
        words.push_str(&format!("; {hindrance}"));
    }
    words.push('\n');
    words.push_str(&marked(&bytes(&line.text, line.bytes.as_ref())?, width));
    Ok(words)
}

const fn word(state: LineState) -> &'static str {
    match state {
        LineState::Queued => "queued",
        LineState::Sent => "sent",
        LineState::Stored => "stored",
        LineState::Delivered => "delivered",
        LineState::Read => "read",
        LineState::Expired => "expired",
        LineState::Unread => "unread",
        _ => "unknown",
    }
}
