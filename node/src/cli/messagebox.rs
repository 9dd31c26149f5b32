//! `shoal messagebox`.

use serde::Serialize;
use shoal_node::Failure;
use shoal_node::control::protocol::{
    BoxContents, MappedIdentity, MessageBoxStatus, MessageBoxes, Request, Response,
};

use super::args::{ContactPlace, MessageBox};
use super::client::{ask_at, ask_for_done, strange};
use super::output;
use super::text::{escaped, listed};

pub(super) async fn run(command: MessageBox, json: bool) -> Result<(), Failure> {
    match command {
        MessageBox::Status(at) => {
            let status = status(&at).await?;
            output::show(json, &status, &in_words(&status))
        }
        MessageBox::List(at) => {
            let mapped = Mapped {
                mapped: status(&at).await?.mapped,
            };
            output::show(json, &mapped, &listed(mapped.mapped.iter().map(line)))
        }
        MessageBox::Boxes(at) => match ask_at(&at, Request::MessageBoxes).await? {
            Response::MessageBoxes(boxes) => output::show(json, &boxes, &boxes_in_words(&boxes)),
            other => Err(strange(&other)),
        },
        MessageBox::Show(args) => {
            match ask_at(&args.at, Request::BoxContents { name: args.name }).await? {
                Response::BoxContents(contents) => {
                    output::show(json, &contents, &contents_in_words(&contents))
                }
                other => Err(strange(&other)),
            }
        }
        MessageBox::Allow(args) => {
            let allow = |identity| Request::AllowIdentity { identity };
            ask_for_done(&args.at, allow(args.identity), json, "allowed").await
        }
        MessageBox::Disallow(args) => {
            let disallow = |identity| Request::DisallowIdentity { identity };
            ask_for_done(&args.at, disallow(args.identity), json, "disallowed").await
        }
        MessageBox::Map(args) => {
            let map = |identity, contact| Request::MapIdentity { identity, contact };
            ask_for_done(&args.at, map(args.identity, args.contact), json, "mapped").await
        }
        MessageBox::Unmap(args) => {
            let unmap = |identity| Request::UnmapIdentity { identity };
            ask_for_done(&args.at, unmap(args.identity), json, "unmapped").await
        }
    }
}

/// What `list` prints with `--json`.
#[derive(Serialize)]
struct Mapped {
    mapped: Vec<MappedIdentity>,
}

async fn status(at: &ContactPlace) -> Result<MessageBoxStatus, Failure> {
    match ask_at(at, Request::MessageBox).await? {
        Response::MessageBox(status) => Ok(*status),
        other => Err(strange(&other)),
    }
}

fn line(it: &MappedIdentity) -> String {
    let who = match it.name.is_empty() {
        true => it.contact.clone(),
        false => escaped(it.name.as_bytes()),
    };
    let by = if it.learned {
        "it says so"
    } else {
        "you say so"
    };
    format!("{}  {who} ({by})", it.identity)
}

fn in_words(status: &MessageBoxStatus) -> String {
    let listen = status.listen.as_deref().unwrap_or("nowhere");
    let allowed = status.allowed.iter().map(|it| {
        let how = if it.adopted { " (it came first)" } else { "" };
        format!("{}{how}", it.identity)
    });
    let allowed: Vec<_> = allowed.collect();
    let allowed = match allowed.is_empty() {
        true => "nobody yet: the first that comes".to_owned(),
        false => allowed.join("\n         "),
    };
    let mut lines = vec![
        format!("served   {listen}"),
        format!("identity {}", status.identity),
        format!("allowed  {allowed}"),
        format!("mapped   {}", status.mapped.len()),
        format!("messages {}, {} bytes", status.messages, status.bytes),
    ];
    let odd = [
        (status.waiting, "messages wait for room in a box"),
        (
            status.strangers,
            "requests refused: their identity key is not allowed",
        ),
        (
            status.not_theirs,
            "messages refused: they came under somebody else's identity key",
        ),
        (
            status.nobody,
            "messages refused: they were for an identity key that is not allowed here",
        ),
        (status.malformed, "times data refused: it is no message"),
        (
            status.leaving,
            "messages to several recipients are on their way to the outbox",
        ),
        (
            status.given_up,
            "messages to several recipients given up: the outbox refused them for a week",
        ),
    ];
    let odd = odd.into_iter().filter(|(count, _)| *count > 0);
    lines.extend(odd.map(|(count, what)| format!("{count} {what}")));
    lines.join("\n")
}

fn boxes_in_words(boxes: &MessageBoxes) -> String {
    listed(boxes.boxes.iter().map(|it| {
        format!(
            "{}  {} ({})",
            it.recipient,
            escaped(it.name.as_bytes()),
            it.messages
        )
    }))
}

fn contents_in_words(contents: &BoxContents) -> String {
    let mut words = listed(contents.messages.iter().map(|it| {
        format!(
            "{} from {}\n  {}",
            escaped(it.id.as_bytes()),
            it.sender,
            escaped(it.body.as_bytes())
        )
    }));
    if contents.more {
        words += "\nand more";
    }
    words
}
