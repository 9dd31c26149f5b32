//! `shoal chat`: the client daemon's face in a terminal, over its local API and nothing else. Nothing that is done here
//! changes when, how often or in what size the client sends on the network: it is the daemon that sends.
//!
//! A core without IO decides all; two views show it.
//!
//! * `model`, `update`, `act`: what the chat knows; what happens to it, and what follows; what keys and lines do.
//! * `command`, `editor`, `looks`, `traffic`: the commands that are typed, the line in which one writes, what is being
//!   asked for, and what moves at the link.
//! * `open`, `lines`: the lines of the open conversation, and what is asked, shown and told of them.
//! * `safe`: what somebody else wrote, made fit for a terminal: all that is shown goes through it.
//! * `words`, `pages`: what things are called for somebody who knows nothing of mixnets.
//! * `screen`, `linear`: the two views, of cells and of lines.
//! * `daemon`, `terminal`, `run`: the IO: the local API, the terminal, and the loop between.

mod act;
mod command;
mod daemon;
mod editor;
mod linear;
mod lines;
mod looks;
mod model;
mod open;
mod pages;
mod run;
mod safe;
mod screen;
mod terminal;
#[cfg(test)]
mod tests;
mod traffic;
mod update;
mod words;

use std::path::PathBuf;

use crate::Failure;

/// How the chat is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On all of the terminal.
    Screen {
        /// With colours. Nothing is told by them alone.
        colour: bool,
    },
    /// As plain lines, one after the other: for a screen reader, or a pipe.
    Linear,
}

/// What the chat is asked to do.
#[derive(Clone, Debug)]
pub struct ChatOptions {
    /// The client's directory, in which its daemon listens.
    pub dir: PathBuf,
    /// Whose conversation to open first: what somebody is called, its key, or the beginning of either.
    pub contact: Option<String>,
    /// How it is shown. A screen needs a terminal at standard input and output.
    pub mode: Mode,
}

/// Reads a line as the chat does: nothing that is to be a command may be sent as a text, and a text is sent as it is.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_any(line: &str) {
    let escaped = line.starts_with("//");
    match command::typed(line) {
        command::Typed::Text(text) => {
            let sent = if escaped { &line[1..] } else { line };
            assert!(**text == *sent && (escaped || !line.starts_with('/')));
        }
        command::Typed::Command(_) | command::Typed::Wrong(_) => {
            assert!(line.starts_with('/') && !escaped);
        }
    }
}

/// Runs the chat until its user ends it. The daemon may come and go meanwhile.
///
/// # Errors
/// [`Failure::Interrupted`] at SIGINT, SIGTERM or the end of the terminal; else what can't be mended by waiting. The
/// terminal is as it was in any case.
pub async fn run(options: ChatOptions) -> Result<(), Failure> {
    run::run(options).await
}
