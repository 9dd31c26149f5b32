//! `shoal chat`.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};

use shoal_node::chat::{ChatOptions, Mode};
use shoal_node::{Failure, chat};

use super::args::Chat;
use super::client::existing;
use super::output;

pub(super) async fn run(args: Chat, json: bool) -> Result<(), Failure> {
    if json {
        return Err(Failure::usage(anyhow::anyhow!(
            "the chat is for people; programs use `shoal client send` and `shoal client receive` with --json, or the local \
             API (docs/api.md)"
        )));
    }
    let dir = existing(&args.place)?;
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let mode = if args.linear {
        Mode::Linear
    } else if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err(Failure::usage(anyhow::anyhow!(
            "standard input and output are no terminal, on which the chat could be shown: --linear reads commands and \
             texts from any input, and prints plain lines"
        )));
    } else if set("TERM").as_deref() == Some(OsStr::new("dumb")) {
        output::note("this terminal (TERM=dumb) can't place text: plain lines, as with --linear");
        Mode::Linear
    } else {
        Mode::Screen {
            colour: !args.no_color && set("NO_COLOR").is_none(),
        }
    };
    chat::run(ChatOptions {
        dir,
        contact: args.contact,
        mode,
    })
    .await
}
