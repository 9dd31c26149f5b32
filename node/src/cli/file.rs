//! `shoal file`.

use std::path::PathBuf;

use anyhow::anyhow;
use serde::Serialize;
use shoal_node::control::ControlClient;
use shoal_node::control::protocol::{
    Content, Event, FileList, FileState, FileStatus, Request, Response,
};
use shoal_node::{Exit, Failure, userfile};
use shoal_proto::Span;

use super::args::{ContactPlace, FileCommand, FileSave, FileSend, WaitFor};
use super::client::{ask_at, ask_for_done, connect, failed, late, strange, within};
use super::output;
use super::text::{escaped_line, listed};

pub(super) async fn run(command: FileCommand, json: bool) -> Result<(), Failure> {
    match command {
        FileCommand::Send(args) => send(&args, json).await,
        FileCommand::List(at) => match ask_at(&at, Request::Files).await? {
            Response::Files(files) => output::show(json, &files, &list(&files)),
            other => Err(strange(&other)),
        },
        FileCommand::Save(args) => save(&args, json).await,
        FileCommand::Remove(args) => {
            ask_for_done(
                &args.at,
                Request::RemoveFile { file: args.id },
                json,
                "removed",
            )
            .await
        }
    }
}

async fn send(args: &FileSend, json: bool) -> Result<(), Failure> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => userfile::own_name(&args.file)?,
    };
    let content = Content(userfile::read(&args.file)?);
    // Before the first question, so that no change comes unseen after it.
    let mut events = connect(&args.at.place).await?;
    events.follow().await.map_err(failed)?;
    let to = args.to.clone();
    let at = with_time(&args.at);
    let status = match ask_at(
        &at,
        Request::SendFile {
            to,
            name,
            content,
            idempotency_key: args.idempotency_key.clone(),
        },
    )
    .await?
    {
        Response::File(status) => status,
        other => return Err(strange(&other)),
    };
    if matches!(args.wait, WaitFor::None) {
        return output::show(json, &status, &accepted(&status));
    }
    output::note(&accepted(&status));
    let ended = within(
        late(None),
        "",
        until_done(args, &mut events, status.clone()),
    )
    .await;
    let ended = ended.map_err(|failure| match failure {
        Failure::Interrupted => failure,
        failure => {
            let words = format!(
                "file {} is accepted and not known to be stored; the daemon goes on sending it, see `shoal file list` \
                 ({failure})",
                status.file
            );
            Failure::other(Exit::Accepted, anyhow!(words))
        }
    })?;
    match ended.state {
        FileState::Stored | FileState::Delivered => {
            output::show(json, &ended, &format!("stored     {}", ended.file))
        }
        FileState::Expired => {
            let words = format!(
                "file {} expired before the contact's mailbox took it",
                ended.file
            );
            Err(Failure::other(Exit::Expired, anyhow!(words)))
        }
        FileState::Removed => Err(Failure::failed(anyhow!("file {} was removed", ended.file))),
        _ => {
            let reason = ended
                .reason
                .unwrap_or_else(|| "it is not sent on".to_owned());
            Err(Failure::failed(anyhow!("file {}: {reason}", ended.file)))
        }
    }
}

/// A large file on a slow disk takes longer than an answer usually does.
fn with_time(at: &ContactPlace) -> ContactPlace {
    ContactPlace {
        timeout: at.timeout.max(Span::from_secs(60)),
        ..at.clone()
    }
}

/// Waits until nothing more becomes of the file, and tells how far it is.
async fn until_done(
    args: &FileSend,
    events: &mut ControlClient,
    mut status: FileStatus,
) -> Result<FileStatus, Failure> {
    let mut told = (0, None);
    while !status.state.is_final() {
        if (status.done, &status.reason) != (told.0, &told.1) {
            if status.done > told.0 {
                output::note(&format!(
                    "{} of {} pieces are stored",
                    status.done, status.pieces
                ));
            }
            if let Some(why) = status
                .reason
                .as_ref()
                .filter(|why| told.1.as_ref() != Some(*why))
            {
                output::note(&format!("not stored yet: {why}"));
            }
            told = (status.done, status.reason.clone());
        }
        status = match events.event().await.map_err(failed)? {
            Event::File(next) if next.file == status.file => *next,
            Event::Missed { .. } => {
                let file = status.file.clone();
                match ask_at(&args.at, Request::File { file }).await {
                    Ok(Response::File(next)) => next,
                    Ok(other) => return Err(strange(&other)),
                    // Nothing else is wrong with the question.
                    Err(failure) if failure.exit() == Exit::Usage => FileStatus {
                        state: FileState::Removed,
                        ..status
                    },
                    Err(failure) => return Err(failure),
                }
            }
            _ => status,
        };
    }
    Ok(status)
}

/// What `save` prints with `--json`.
#[derive(Serialize)]
struct Saved {
    file: String,
    path: PathBuf,
    bytes: usize,
}

async fn save(args: &FileSave, json: bool) -> Result<(), Failure> {
    let file = args.id.clone();
    let path = match &args.to {
        Some(path) => path.clone(),
        None => match ask_at(&args.at, Request::File { file: file.clone() }).await? {
            // The daemon has made it fit to be one.
            Response::File(status) if !status.name.is_empty() => PathBuf::from(status.name),
            Response::File(_) => PathBuf::from("file"),
            other => return Err(strange(&other)),
        },
    };
    let at = with_time(&args.at);
    let content = match ask_at(&at, Request::FileContent { file: file.clone() }).await? {
        Response::FileContent(content) => content,
        other => return Err(strange(&other)),
    };
    userfile::write_new(&path, &content.0)?;
    let saved = Saved {
        file,
        bytes: content.0.len(),
        path,
    };
    let shown = saved.path.display().to_string();
    output::show(
        json,
        &saved,
        &format!("saved      {}", escaped_line(&shown)),
    )
}

fn accepted(status: &FileStatus) -> String {
    let takes = status.expected_ms.map_or_else(String::new, |ms| {
        format!("; it takes about {}", words_of(ms))
    });
    let pieces = match status.pieces {
        1 => "1 piece".to_owned(),
        pieces => format!("{pieces} pieces"),
    };
    format!("accepted   {} in {pieces}{takes}", status.file)
}

/// A time, to a minute or an hour.
fn words_of(ms: u64) -> String {
    match ms / 60_000 {
        0 | 1 => "a minute".to_owned(),
        minutes @ 2..120 => format!("{minutes} minutes"),
        minutes => format!("{} hours", minutes.div_ceil(60)),
    }
}

fn list(files: &FileList) -> String {
    listed(files.files.iter().map(line))
}

fn line(file: &FileStatus) -> String {
    let who = match file.label.is_empty() {
        true => file.contact.clone(),
        false => escaped_line(&file.label),
    };
    let way = if file.incoming { "from" } else { "to" };
    let name = match file.name.is_empty() {
        true => "(its name has not come)".to_owned(),
        false => escaped_line(&file.name),
    };
    let state = match file.state {
        FileState::Sending | FileState::Receiving => {
            let left = file
                .expected_ms
                .map_or_else(String::new, |ms| format!(", about {} left", words_of(ms)));
            let what = if file.incoming { "here" } else { "stored" };
            format!("{} of {} pieces {what}{left}", file.done, file.pieces)
        }
        FileState::Stored => "stored at the contact's mailbox".to_owned(),
        FileState::Delivered => "delivered".to_owned(),
        FileState::Complete => format!("complete: `shoal file save {}`", file.file),
        FileState::Expired => "expired".to_owned(),
        FileState::Failed => "failed".to_owned(),
        FileState::Damaged => "not as it was sent: deleted".to_owned(),
        FileState::Stalled => "did not come whole: deleted".to_owned(),
        FileState::Refused => "not taken".to_owned(),
        FileState::Removed => "removed".to_owned(),
    };
    let reason = file
        .reason
        .as_ref()
        .map_or_else(String::new, |why| format!(" ({why})"));
    format!(
        "{}  {name}, {} bytes, {way} {who}: {state}{reason}",
        file.file, file.size
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_a_contact_calls_a_file_moves_no_cursor() {
        let file = FileStatus {
            file: "id".to_owned(),
            incoming: true,
            contact: "key".to_owned(),
            label: "B\u{1b}[2J\nob".to_owned(),
            name: "a\u{1b}[2Jb".to_owned(),
            size: 5,
            state: FileState::Receiving,
            pieces: 3,
            done: 1,
            begun_at_us: 0,
            expected_ms: None,
            reason: None,
        };
        let line = line(&file);
        assert!(!line.contains(['\u{1b}', '\n']), "{line}");
        assert!(line.ends_with("1 of 3 pieces here"), "{line}");
    }
}
