//! What there is to say to `shoal chat`.

use clap::Args;

use super::Place;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal chat --dir alice
  shoal chat --dir alice Bob
  shoal chat --dir alice --no-color
  shoal chat --dir alice --linear
  printf '/open Bob\\nHello\\n' | shoal chat --dir alice --linear

It needs a daemon (`shoal daemon --dir alice`), waits for one, and leaves it running: texts are sent and come in whether the
chat is open or not. F1 shows the keys and commands; 80 columns and 24 rows are good, 40 and 10 the least. --linear prints
plain lines one after the other, moves no cursor, and takes commands as lines: for screen readers, and for pipes. A terminal
that can't place text (TERM=dumb) gets these, too; NO_COLOR does the same as --no-color.

What you read is told to its sender only where both of you want that (`/receipts on`). Over ssh, who watches that connection
sees when you type.")]
pub(in crate::cli) struct Chat {
    /// Whose conversation to open: what you call the contact, its key, or the beginning of either.
    #[arg(value_name = "CONTACT")]
    pub(in crate::cli) contact: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// Print plain lines, and take commands as lines.
    #[arg(long)]
    pub(in crate::cli) linear: bool,
    /// Use no colours.
    #[arg(long)]
    pub(in crate::cli) no_color: bool,
}
