//! The commands that are typed, on the screen and in the linear mode: a line that begins with a slash.

use shoal_proto::Span;
use zeroize::Zeroizing;

/// What is typed.
pub(super) enum Typed {
    /// A text to send.
    Text(Zeroizing<String>),
    Command(Command),
    /// What is wrong with it, and what would be right.
    Wrong(String),
}

/// What can be asked of the chat by a line.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    Help,
    People,
    Open(String),
    Close,
    More,
    Invite(String),
    InviteMany(String),
    Invitations,
    Qr,
    Revoke(String),
    Renew,
    Accept { link: String, label: String },
    Number,
    Verify(String),
    Unverify,
    Rename(String),
    Block(bool),
    Receipts(bool),
    Remove,
    Forget,
    Life(Option<Span>),
    SendFile(String),
    Files,
    Save { id: String, path: Option<String> },
    RemoveFile(String),
    State,
    Quit,
}

/// A command as the help shows it.
pub(super) struct Described {
    pub(super) usage: &'static str,
    pub(super) does: &'static str,
}

const fn described(usage: &'static str, does: &'static str) -> Described {
    Described { usage, does }
}

/// All of them, in the order of the help.
pub(super) const COMMANDS: [Described; 27] = [
    described("/people", "who your contacts are, and what is new"),
    described(
        "/open NAME",
        "the conversation with somebody; the beginning of a name is enough",
    ),
    described("/close", "no conversation"),
    described("/more", "earlier texts of the conversation"),
    described(
        "/invite NAME",
        "a link and a code for one person, whom you call so",
    ),
    described(
        "/invite-many NAME",
        "the same for everybody who has the link",
    ),
    described("/invitations", "the invitations that may still be good"),
    described("/qr", "the code of the last invitation, for a camera"),
    described("/revoke ID", "an invitation lets nobody in any more"),
    described(
        "/renew",
        "new invitations lead to other mailboxes, because one is in the wrong hands",
    ),
    described(
        "/accept LINK NAME",
        "accept somebody's invitation, and call them so",
    ),
    described(
        "/number",
        "the safety number to compare with your contact, and what is known of them",
    ),
    described(
        "/verify DIGITS",
        "the number that your contact sees: if it is the same, they are verified",
    ),
    described("/unverify", "they are not verified any more"),
    described("/rename NAME", "call your contact something else"),
    described(
        "/block",
        "nothing goes to your contact, and nothing that they write is shown; /unblock ends it",
    ),
    described("/unblock", "ends /block"),
    described(
        "/receipts on|off",
        "tell each other what you have read, if your contact wants it, too",
    ),
    described("/remove", "forget your contact and the keys for it"),
    described(
        "/forget",
        "delete what was said with your contact, on this machine",
    ),
    described(
        "/life 1h|off",
        "what you write from now on vanishes after that time, at both ends",
    ),
    described("/file PATH", "send a file, 16 MiB at most"),
    described("/files", "the files that are sent, or have come"),
    described(
        "/save ID PATH",
        "write a file that has come; without PATH here, under its own name",
    ),
    described(
        "/drop ID",
        "delete a file that has come, or send no more of one",
    ),
    described(
        "/state",
        "connection, traffic, and alarms with what to do about them",
    ),
    described("/quit", "end the chat; the daemon goes on"),
];

/// What a line means.
pub(super) fn typed(line: &str) -> Typed {
    if let Some(text) = line.strip_prefix("//") {
        return Typed::Text(Zeroizing::new(format!("/{text}")));
    }
    let Some(command) = line.trim_end().strip_prefix('/') else {
        return Typed::Text(Zeroizing::new(line.to_owned()));
    };
    match parsed(command) {
        Ok(command) => Typed::Command(command),
        Err(words) => Typed::Wrong(words),
    }
}

/// The line that is typed to send this text.
pub(super) fn as_typed(text: &str) -> Zeroizing<String> {
    let escape = if text.starts_with('/') { "/" } else { "" };
    Zeroizing::new(format!("{escape}{text}"))
}

fn parsed(line: &str) -> Result<Command, String> {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let usage = || {
        let of = |it: &&Described| it.usage.trim_start_matches('/').split(' ').next() == Some(name);
        let usage = COMMANDS.iter().find(of).map_or("", |it| it.usage);
        format!("It is written {usage}")
    };
    let some = || match rest.is_empty() {
        true => Err(usage()),
        false => Ok(rest.to_owned()),
    };
    let none = |command| match rest.is_empty() {
        true => Ok(command),
        false => Err(usage()),
    };
    match name {
        "help" | "?" => none(Command::Help),
        "people" => none(Command::People),
        "open" | "to" => some().map(Command::Open),
        "close" => none(Command::Close),
        "more" => none(Command::More),
        "invite" => some().map(Command::Invite),
        "invite-many" => Ok(Command::InviteMany(rest.to_owned())),
        "invitations" => none(Command::Invitations),
        "qr" => none(Command::Qr),
        "revoke" => some().map(Command::Revoke),
        "renew" => none(Command::Renew),
        "accept" => accept(rest).ok_or_else(usage),
        "number" => none(Command::Number),
        "verify" => some().map(Command::Verify),
        "unverify" => none(Command::Unverify),
        "rename" => some().map(Command::Rename),
        "block" => none(Command::Block(true)),
        "unblock" => none(Command::Block(false)),
        "receipts" => switch(rest).map(Command::Receipts).ok_or_else(usage),
        "remove" => none(Command::Remove),
        "forget" => none(Command::Forget),
        "life" => match rest {
            "" => Err(usage()),
            "off" => Ok(Command::Life(None)),
            _ => life(rest).map(|it| Command::Life(Some(it))),
        },
        "file" => some().map(|path| Command::SendFile(unquoted(&path).to_owned())),
        "files" => none(Command::Files),
        "save" => {
            let (id, path) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            match id.is_empty() {
                true => Err(usage()),
                false => Ok(Command::Save {
                    id: id.to_owned(),
                    path: (!path.is_empty()).then(|| unquoted(path.trim()).to_owned()),
                }),
            }
        }
        "drop" => some().map(Command::RemoveFile),
        "state" => none(Command::State),
        "quit" | "exit" => none(Command::Quit),
        _ => Err(format!(
            "There is no command /{name}; /help has them all. To send a text that begins with a slash, write two"
        )),
    }
}

/// A link may have been pasted from several rows of a terminal; what follows on the last one is a name.
fn accept(rest: &str) -> Option<Command> {
    let mut whole = String::new();
    for row in rest.lines() {
        whole.push_str(row.trim());
        if row.trim().contains(' ') {
            whole.push(' ');
        }
    }
    let (link, label) = whole.split_once(' ').unwrap_or((&whole, ""));
    (!link.is_empty()).then(|| Command::Accept {
        link: link.to_owned(),
        label: label.trim().to_owned(),
    })
}

fn switch(word: &str) -> Option<bool> {
    match word {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

fn life(text: &str) -> Result<Span, String> {
    let life: Span = text
        .parse()
        .map_err(|_| format!("{text} is no time: write 30m, 1h or 7d, or off"))?;
    match life < Span::from_secs(60) {
        true => Err("A minute is the shortest that a text may live".to_owned()),
        false => Ok(life),
    }
}

/// A path as a terminal pastes it when a file is dropped on it.
fn unquoted(path: &str) -> &str {
    let inner = |quote| path.strip_prefix(quote)?.strip_suffix(quote);
    inner('\'').or_else(|| inner('"')).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    fn command(line: &str) -> Result<Command, String> {
        match typed(line) {
            Typed::Command(command) => Ok(command),
            Typed::Wrong(words) => Err(words),
            Typed::Text(_) => panic!("{line} is a text"),
        }
    }

    #[test]
    fn each_command_that_the_help_shows_is_one_and_what_is_none_is_never_sent() {
        for it in &COMMANDS {
            let line = it
                .usage
                .replace("DIGITS", "1")
                .replace("on|off", "on")
                .replace("1h|off", "1h");
            assert!(command(&line).is_ok(), "{line}");
        }
        for line in [
            "/",
            "/nothing",
            "/open",
            "/life soon",
            "/life 1s",
            "/receipts",
            "/quit now",
            "/ hello",
        ] {
            assert!(command(line).is_err(), "{line}");
        }
        assert!(command("/life").unwrap_err().contains("/life 1h|off"));
        let text = |line| matches!(typed(line), Typed::Text(text) if text.starts_with('/'));
        assert!(text("//etc/hosts"));
        for sent in ["/etc/hosts", "//", "hello"] {
            let line = as_typed(sent);
            assert!(matches!(typed(&line), Typed::Text(text) if *text == sent));
        }
    }

    #[test]
    fn what_a_command_is_given_is_taken_as_it_is_meant() {
        let accept = |label: &str| Command::Accept {
            link: "shoal:abcdef".to_owned(),
            label: label.to_owned(),
        };
        assert_eq!(
            command("/accept shoal:abcdef Bob from work "),
            Ok(accept("Bob from work"))
        );
        assert_eq!(
            command("/accept shoal:a\n  bcd\nef Bob from work"),
            Ok(accept("Bob from work"))
        );
        assert_eq!(command("/accept shoal:abc\ndef"), Ok(accept("")));
        assert_eq!(
            command("/file 'my report.pdf'"),
            Ok(Command::SendFile("my report.pdf".to_owned()))
        );
        let save = Command::Save {
            id: "3gX".to_owned(),
            path: Some("a b".to_owned()),
        };
        assert_eq!(command("/save 3gX a b"), Ok(save));
        assert_eq!(
            command("/life 1h"),
            Ok(Command::Life(Some(Span::from_secs(3600))))
        );
    }
}
