//! What there is to say to `shoal file`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use shoal_node::control::protocol::IdempotencyKey;

use super::{ContactPlace, WaitFor};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum FileCommand {
    /// Send a file to a contact; from then on the daemon sends it, also after a restart.
    Send(FileSend),
    /// List the files that are sent, or have come, and how far each is.
    List(ContactPlace),
    /// Save a file that has come; it stays with the daemon until it is removed.
    Save(FileSave),
    /// Delete a file that has come, or send no more of one.
    Remove(FileOf),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal file send --dir alice Bob report.pdf
  shoal file send --dir alice Bob report.pdf --wait none
  shoal file send --dir alice Bob /tmp/x --name report.pdf --json

A file has 16 MiB at most. By the default profile 400 kB take seven minutes, and a megabyte two hours: the rate at which this
client sends is not changed by what it sends, and six pieces go to a contact in an hour. Without --wait none, the command tells
how far it is and ends once the contact's mailbox has all of it; ending it earlier ends nothing but that.")]
pub(in crate::cli) struct FileSend {
    #[command(flatten)]
    pub(in crate::cli) at: ContactPlace,
    /// The contact's key, or what you call it.
    #[arg(value_name = "CONTACT")]
    pub(in crate::cli) to: String,
    /// The file.
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,
    /// What the contact is told that it is called; without it, its own name.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) name: Option<String>,
    /// Until when to wait: until all of it is stored at the contact's mailbox, or not at all.
    #[arg(long, value_name = "UNTIL", default_value = "stored")]
    pub(in crate::cli) wait: WaitFor,
    /// A name of yours for this sending: with the same name the same file is sent once, as long as it is listed. 1 to 128
    /// visible characters of ASCII.
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) idempotency_key: Option<IdempotencyKey>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal file save --dir bob 3gXkVb9tZ2o1jFQ8mL7yhA
  shoal file save --dir bob 3gXkVb9tZ2o1jFQ8mL7yhA --to ~/report.pdf

Nothing is ever written over. A name that its sender has made up leads to no other directory and hides nothing: what could
is replaced by _.")]
pub(in crate::cli) struct FileSave {
    #[command(flatten)]
    pub(in crate::cli) at: ContactPlace,
    /// The file's id, as `shoal file list` shows it.
    #[arg(value_name = "ID")]
    pub(in crate::cli) id: String,
    /// The file to write, which must not be there; without it, one of its own name in this directory.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) to: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shoal file remove --dir bob 3gXkVb9tZ2o1jFQ8mL7yhA

Of a file that is sent, what is on its way already goes on, and the contact keeps it for a while as one that does not come
whole.")]
pub(in crate::cli) struct FileOf {
    #[command(flatten)]
    pub(in crate::cli) at: ContactPlace,
    /// The file's id, as `shoal file list` shows it.
    #[arg(value_name = "ID")]
    pub(in crate::cli) id: String,
}
