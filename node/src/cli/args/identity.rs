//! What there is to say to `shoal identity`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::client::{Choice, NewClient};
use super::{PassphraseFrom, Place};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Identity {
    /// Print the 24 words that are this client's key.
    Backup(IdentityBackup),
    /// Make a client's directory with the key of 24 words.
    Restore(IdentityRestore),
    /// Write key, contacts and settings into a file, under a passphrase of its own.
    Export(IdentityExport),
    /// Make a client's directory from such a file.
    Import(IdentityImport),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shoal identity backup --dir alice

Write the words on paper, in their order: whoever has them is you to all your contacts. They are the key by which you
are known and nothing else: they bring back no contacts, no sessions, no invitations and no messages, read or not.
`shoal identity export` keeps contacts, too.")]
pub(in crate::cli) struct IdentityBackup {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    #[command(flatten)]
    pub(in crate::cli) from: PassphraseFrom,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal identity restore --dir alice --network network.toml
  shoal identity restore --dir alice --network network.toml --passphrase < words.txt

The words are asked for on the terminal, which does not show them, or read from standard input. Your contacts know the
key, and what they write goes where you can't read it: invite each of them again, which they accept as they did the
first time. Stop the client of before for good: two of one key take each other's messages.")]
pub(in crate::cli) struct IdentityRestore {
    #[command(flatten)]
    pub(in crate::cli) new: NewClient,
    #[command(flatten)]
    pub(in crate::cli) choice: Choice,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal identity export --dir alice -o alice.shoal
  shoal identity export --dir alice -o alice.shoal --export-passphrase-file paper.txt

The daemon has to be stopped meanwhile. In the file are your key, your contacts with what you call them and whether you
have verified or blocked them, what was said with them, and the configuration. There are no unread messages in it, no
files, message boxes, sessions, mailboxes or invitations, so that an old export is as good as a new one but for what was
since. Nothing that exists is overwritten.")]
pub(in crate::cli) struct IdentityExport {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// The file to make.
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) out: PathBuf,
    /// A file with the passphrase of the export, which only you can read; asked for on the terminal unless given.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) export_passphrase_file: Option<PathBuf>,
    /// Leave out what was said with contacts.
    #[arg(long)]
    pub(in crate::cli) no_history: bool,
    #[command(flatten)]
    pub(in crate::cli) from: PassphraseFrom,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal identity import alice.shoal --dir alice --network network.toml
  shoal identity import alice.shoal --dir alice --network network.toml --passphrase

It makes a client anew: with the same key, other mailboxes and no sessions. `shoal contact list` shows whom you know, and
that each needs a new invitation: give one to each, or accept one of theirs. What was blocked stays so. Stop the client of
before for good: two of one key take each other's messages.")]
pub(in crate::cli) struct IdentityImport {
    /// The file that `shoal identity export` made.
    pub(in crate::cli) file: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) new: NewClient,
    /// A file with the passphrase of the export, which only you can read; asked for on the terminal unless given.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) export_passphrase_file: Option<PathBuf>,
}
