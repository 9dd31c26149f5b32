//! What there is to say to `shoal provider store`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Provider {
    /// Look at the mailboxes that a provider keeps, verify them, or copy them.
    #[command(subcommand)]
    Store(ProviderStore),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ProviderStore {
    /// How much is in it, and what it takes up on the disk.
    Stats(StoreStats),
    /// Look for everything that is never so in a sound store.
    Verify(StoreVerify),
    /// Write one copy of all of it, to take it to another machine or disk.
    Export(StoreExport),
    /// Fill an empty store from a copy.
    Import(StoreImport),
}

/// Which store it is.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct StorePlace {
    /// The node's state directory; the configuration's directory if only that is given.
    #[arg(long, env = "SHOAL_DIR", required_unless_present_any = ["config", "database"])]
    pub(in crate::cli) dir: Option<PathBuf>,
    /// The node's configuration file, if it is not in the state directory.
    #[arg(long, env = "SHOAL_CONFIG", value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,
    /// The SQLite database itself, in place of a node's. Mailboxes in PostgreSQL are found by a node's configuration.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) database: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal provider store stats --dir prov1
  shoal provider store stats --database /backup/mailboxes.db
  shoal provider store stats --dir prov1 --json | jq .bytes

What expires is told by days from this hour on, for 31 days, and all that comes later together; never by mailbox.

While a node runs it alone has its mailboxes: stop it first (exit code 6 otherwise), and in PostgreSQL its standby too.
Nothing is changed. Run it as the node's user.")]
pub(in crate::cli) struct StoreStats {
    #[command(flatten)]
    pub(in crate::cli) place: StorePlace,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal provider store verify --dir prov1
  shoal provider store verify --dir prov1 --json | jq -r '.faults[].what'

It reads all of the database: the structure of the file (in PostgreSQL that of tables and indexes; the server's files are
`pg_amcheck`'s), whether what is sealed there opens with the store's key, and whether mailboxes, drop ids and entries hold together and
are counted right. A blob is sealed for somebody else, who alone can tell whether it is whole. A quota that is exceeded
is told and is no fault: it may have been lowered. Nothing is changed. Stop the node first.
Exit codes: 0 if it is sound, 14 if it is damaged, 6 if a node has it, 2 if it is no store.")]
pub(in crate::cli) struct StoreVerify {
    #[command(flatten)]
    pub(in crate::cli) place: StorePlace,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal provider store export --dir prov1 mailboxes.copy
  shoal provider store export --database /backup/mailboxes.db mailboxes.copy

The engine does not matter: what comes from a file goes into PostgreSQL, and back. The copy holds what the store holds
and no more: sealed messages, and whose mailbox and drop ids they are under, with
times. Keep it as secret as the store (it is made with mode 0600) and delete it after use: what owners acknowledge from
now on stays in it. Two stores with one copy must never both serve: owners would get messages twice. The file appears
when it is whole. Nothing that exists is overwritten. Stop the node first.")]
pub(in crate::cli) struct StoreExport {
    /// The file to make.
    pub(in crate::cli) file: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) place: StorePlace,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal provider store import --dir prov2 mailboxes.copy
  shoal provider store import --database /restored/mailboxes.db mailboxes.copy && shred -u mailboxes.copy
  SHOAL_STORAGE_ENGINE=postgres shoal provider store import --dir prov1 mailboxes.copy

The store has to be empty; it is made if there is none, in PostgreSQL the schema. A node's state in it stays. All of the copy is in it afterwards, or nothing: its checksum is
right and its rows hold together before anything counts. Meanwhile it takes up to three times the copy's size on the
disk. Run it as the node's user, with the node stopped. Delete the copy after use.")]
pub(in crate::cli) struct StoreImport {
    /// The copy, which `shoal provider store export` made.
    pub(in crate::cli) file: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) place: StorePlace,
}
