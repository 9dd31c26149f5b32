//! What there is to say to `shoal web`.

use clap::Args;
use shoal_proto::Span;

use super::Place;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal daemon --dir alice --api 127.0.0.1:4150
  shoal web --dir alice
  shoal web --dir alice --open

The page is for a browser on this machine: contacts, messages, files, and the traffic as it is. The daemon serves it where
it serves its API over TCP (`--api`, or `api.listen` in client.toml). The link opens it once, within ten minutes, and the tab
keeps what it needs: who opens it can read and write in your name on this machine. For another tab, ask again. With --open the browser is given a file that
leads there, and not the link: command lines are seen by others. docs/web.md says what the page does not protect from.")]
pub(in crate::cli) struct Web {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// Open it in the browser, too.
    #[arg(long)]
    pub(in crate::cli) open: bool,
    /// How long the daemon may take to answer.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub(in crate::cli) timeout: Span,
}
