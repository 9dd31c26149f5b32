//! What there is to say to `shoal client`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use shoal_node::control::protocol::IdempotencyKey;
use shoal_proto::{NodeId, Span};

use super::{Daemon, MetricsAt, NetworkFile, NewDir, PassphraseFrom, Place};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Client {
    /// Make a client's directory: configuration and keys.
    Init(ClientInit),
    /// Put keys and messages under a passphrase, change it, or remove it.
    Passphrase(ClientPassphrase),
    /// What gave an address, before there were invitations.
    #[command(hide = true)]
    Address(ClientRunOfBefore),
    /// Show the providers that this client enters by, or have others drawn.
    Entries(ClientEntries),
    /// Show what this client knows of who decides in the network, or have it begin anew.
    Trust(ClientTrust),
    /// Show the network's profiles: what each costs, how fast it is, and how well it hides.
    Profile(ClientProfile),
    /// What `shoal daemon` was called.
    #[command(hide = true)]
    Run(ClientRunOfBefore),
    /// Send a text through the daemon.
    Send(ClientSend),
    /// Print what was received; what was printed is deleted here unless told otherwise.
    Receive(ClientReceive),
    /// Show how the daemon is.
    Status(ClientStatus),
    /// List the messages sent that are remembered: those on their way first.
    Outgoing(ClientOutgoing),
    /// Show what was said with a contact, or forget it.
    History(ClientHistory),
    /// Wait until a daemon runs and answers, or is connected to the network.
    Wait(ClientWait),
    /// Stop the daemon in good order, and wait until it has.
    Stop(ClientStop),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shoal client profile --dir alice --users 500

No daemon has to run. Bits were simulated beforehand, for networks as `shoal network new` makes them; docs/profiles.md
says what they mean.")]
pub(in crate::cli) struct ClientProfile {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// Users of the profile who are online together, to say the bits for.
    #[arg(long, value_name = "N")]
    pub(in crate::cli) users: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shoal client status --dir alice --json")]
pub(in crate::cli) struct ClientStatus {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    #[command(flatten)]
    pub(in crate::cli) timeout: Soon,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shoal client outgoing --dir alice --limit 20

Messages that are neither stored nor expired come first, then the others; of each, the latest first.
About a thousand of the others are remembered.")]
pub(in crate::cli) struct ClientOutgoing {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// How many of them to leave out.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub(in crate::cli) skip: u64,
    /// At most this many.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(in crate::cli) limit: u32,
    #[command(flatten)]
    pub(in crate::cli) timeout: Soon,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal client history --dir alice Bob
  shoal client history --dir alice Bob --before 120 --limit 20
  shoal client history --dir alice Bob --clear

What is unread stays so: `shoal client receive` acknowledges it. How much is kept stands in the configuration
(`messages.history`). --clear forgets what was said on this side alone, but for what is unread or on its way.")]
pub(in crate::cli) struct ClientHistory {
    /// The contact: its key, or what you call it (`shoal contact list`).
    #[arg(value_name = "CONTACT")]
    pub(in crate::cli) contact: String,
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// Only lines before the one of this number.
    #[arg(long, value_name = "NUMBER", conflicts_with = "clear")]
    pub(in crate::cli) before: Option<u64>,
    /// At most this many lines, the last ones.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 50,
        conflicts_with = "clear"
    )]
    pub(in crate::cli) limit: u32,
    /// Forget it.
    #[arg(long)]
    pub(in crate::cli) clear: bool,
    #[command(flatten)]
    pub(in crate::cli) timeout: Soon,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Until {
    /// It answers: messages can be sent, and leave once it is online.
    Serving,
    /// A provider has let it in: its cover traffic runs, and messages leave.
    Online,
    /// Who is invited is heard: a mailbox has confirmed it.
    Open,
}

impl Until {
    pub(in crate::cli) const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Online => "online",
            Self::Open => "open",
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shoal daemon --dir alice &
  shoal client wait --dir alice --for online --timeout 1m")]
pub(in crate::cli) struct ClientWait {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// What to wait for.
    #[arg(long = "for", value_name = "STATE", default_value = "serving")]
    pub(in crate::cli) until: Until,
    /// How long to wait; without it, for ever.
    #[arg(long, value_name = "DURATION")]
    pub(in crate::cli) timeout: Option<Span>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shoal client stop --dir alice

When it returns, the directory is free for another process.")]
pub(in crate::cli) struct ClientStop {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// How long to wait until it has stopped.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(in crate::cli) timeout: Span,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shoal client init --dir alice --network network.toml
  shoal client init --dir alice --network network.toml --passphrase

With --passphrase it is asked for twice, and keys, contacts and messages are on disk under it alone: without it nobody
reads them, you neither. `shoal client passphrase` changes or removes it. The providers of the two mailboxes are drawn when the client is online for the first time, unless given: only
then others can be invited. Nothing that exists is overwritten.")]
pub(in crate::cli) struct ClientInit {
    #[command(flatten)]
    pub(in crate::cli) new: NewClient,
    #[command(flatten)]
    pub(in crate::cli) choice: Choice,
}

/// A client that is made.
#[derive(Debug, Args)]
pub(in crate::cli) struct NewClient {
    #[command(flatten)]
    pub(in crate::cli) made: NewDir,
    /// The file with the network parameters.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) network: PathBuf,
    /// Put keys and messages under a passphrase.
    #[arg(long)]
    pub(in crate::cli) passphrase: bool,
    #[command(flatten)]
    pub(in crate::cli) from: PassphraseFrom,
}

/// How a client is to be.
#[derive(Debug, Args)]
pub(in crate::cli) struct Choice {
    /// Node id of a provider that will keep a mailbox; twice for two of different families.
    #[arg(long, value_name = "NODE")]
    pub(in crate::cli) mailbox: Vec<NodeId>,
    /// Node id of the provider to enter by; up to three are drawn once and kept unless given.
    #[arg(long, value_name = "NODE")]
    pub(in crate::cli) entry: Option<NodeId>,
    /// A profile of the network: what the client costs and how fast it is.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(in crate::cli) profile: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal client passphrase --dir alice
  shoal client passphrase --dir alice --remove
  shoal client passphrase --dir alice --passphrase-file old.txt --new-passphrase-file new.txt

The daemon has to be stopped meanwhile. All that is on disk is written anew, under another key: who has a copy of before
and its passphrase reads that copy, and nothing newer. If it is cut off, all is as it was before, or as it was asked for.
There is no way back in without the passphrase, except by the words of `shoal identity backup`, which bring back the key by
which contacts know you, and nothing else. Disks may keep what was overwritten: the surest is a passphrase from the
beginning (`shoal client init --passphrase`).")]
pub(in crate::cli) struct ClientPassphrase {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// Leave keys and messages under none.
    #[arg(long, conflicts_with = "new_passphrase_file")]
    pub(in crate::cli) remove: bool,
    /// A file with the new passphrase, which only you can read; asked for on the terminal unless given.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) new_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) from: PassphraseFrom,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal client entries --dir alice
  shoal client entries --dir alice --draw-again

Up to three are drawn at the first connection, of different families and none of the mailbox's, and
kept for 90 days: who draws anew often soon meets one that works together with the mailbox's. The
first serves; the next one after ten minutes without it, or when it has left the network. Ask for
others only if none of them works any more. The daemon has to be stopped meanwhile.")]
pub(in crate::cli) struct ClientEntries {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// Forget them, so that others are drawn at the next connection.
    #[arg(long)]
    pub(in crate::cli) draw_again: bool,
    #[command(flatten)]
    pub(in crate::cli) from: PassphraseFrom,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal client trust --dir alice
  shoal client trust --dir alice --forget

A client follows who signs the network's documents from the network's file on, and keeps how far it has
come and the newest document that it has seen: who shows it an older state later, or another history, is
not believed. Have that forgotten only if the client says that it can't go on from it, and you know that
the network's file is right: until it has asked others, it believes any state that was once right. The
daemon has to be stopped meanwhile.")]
pub(in crate::cli) struct ClientTrust {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// Forget it, so that the client begins anew from the network's file.
    #[arg(long)]
    pub(in crate::cli) forget: bool,
    #[command(flatten)]
    pub(in crate::cli) from: PassphraseFrom,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal daemon --dir alice
  shoal daemon --dir alice --api 127.0.0.1:4150
  shoal daemon --dir alice --passphrase-file alice.txt
  shoal daemon --dir alice --messagebox 127.0.0.1:4151

It prints a line when it takes messages, when a provider has let it in, and when others can write to it; `shoal client
wait` waits for either. Leave it running: promises about who receives what hold for daemons that stay on. Programs use its
local API: HTTP on the Unix socket `control.sock` in the directory, and with --api on loopback too, with the token in
`api.token`; docs/api.md says how. With --messagebox, `@bsv/message-box-client` works with the address as its host;
docs/messagebox.md says how. Metrics are served nowhere unless asked for.")]
pub(in crate::cli) struct ClientDaemon {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    #[command(flatten)]
    pub(in crate::cli) network: NetworkFile,
    /// Node id of the provider to enter by, or `random`.
    #[arg(long, value_name = "NODE")]
    pub(in crate::cli) entry: Option<String>,
    /// A profile of the network.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) profile: Option<String>,
    /// Where the local API is served besides the Unix socket: on this machine's own address only, or `none`.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(in crate::cli) api: Option<String>,
    /// Where the message box is served for programs that speak BRC-33: on this machine's own address only, or `none`.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(in crate::cli) messagebox: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) metrics: MetricsAt,
    #[command(flatten)]
    pub(in crate::cli) from: PassphraseFrom,
    #[command(flatten)]
    pub(in crate::cli) daemon: Daemon,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum WaitFor {
    /// Until the receiver's mailbox has it on disk.
    Stored,
    /// Only until the daemon has it on disk.
    None,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal client send --dir alice Bob 'Hello Bob'
  fortune | shoal client send --dir alice Bob -
  shoal client send --dir alice Bob 'Invoice 7' --idempotency-key invoice-7 --wait none --json

The exit code says whether to send again: after 3 and 6 nothing was accepted; after 4 the message is
accepted and the daemon goes on; after 9 it may be, and sending it again with the same key is safe. A
key is remembered as long as its message, through restarts; take a new one to send a message again that
has expired. With --json each outcome is one object, with the message's id where there is one.

When you send can't be seen while the daemon runs: its traffic is the same with and without messages.")]
pub(in crate::cli) struct ClientSend {
    /// The contact: its key, or what you call it (`shoal contact list`).
    #[arg(value_name = "CONTACT")]
    pub(in crate::cli) to: String,
    /// The text; `-` or nothing reads standard input.
    pub(in crate::cli) text: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// What to wait for: stored unless given. If it is given and no daemon runs, one is waited for too.
    #[arg(long, value_name = "STATE")]
    pub(in crate::cli) wait: Option<WaitFor>,
    /// How long all of it may take, but for typing. The daemon goes on trying afterwards.
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub(in crate::cli) timeout: Span,
    /// How long the message is worth anything, in whole minutes: it is tried no longer, and from then on it is gone at
    /// its receiver's, read or not. Without it, the network's time to live.
    #[arg(long, value_name = "DURATION")]
    pub(in crate::cli) life: Option<Span>,
    /// A name of yours for this message: with the same name the same message is sent once, however
    /// often this is called. 1 to 128 visible characters of ASCII.
    #[arg(long, value_name = "KEY")]
    pub(in crate::cli) idempotency_key: Option<IdempotencyKey>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal client receive --dir bob
  shoal client receive --dir bob --wait --timeout 1m
  shoal client receive --dir bob --follow --json
  shoal client receive --dir bob --raw > message

Each line of a text begins with `| `, or `: ` where a line is folded for the terminal, and control
characters are shown as \\r or \\u{1b}: no text can look like another message. With --json there is
one object a line for each message.

What a sender writes comes in its order. A message that has overtaken another waits for it, a minute as a
rule, and then comes with the number of those that are missing; `shoal client status` counts what waits.")]
pub(in crate::cli) struct ClientReceive {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// If there is nothing, wait until there is; if no daemon runs, wait for one.
    #[arg(long)]
    pub(in crate::cli) wait: bool,
    /// Print the bytes of the oldest message, and nothing else.
    #[arg(long, conflicts_with_all = ["follow", "json"])]
    pub(in crate::cli) raw: bool,
    /// How long to wait; without it, for ever.
    #[arg(long, value_name = "DURATION")]
    pub(in crate::cli) timeout: Option<Span>,
    /// Go on printing what comes, until interrupted or the time is over.
    #[arg(long)]
    pub(in crate::cli) follow: bool,
    /// Leave what was printed where it is.
    #[arg(long)]
    pub(in crate::cli) keep: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ClientRunOfBefore {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub(in crate::cli) _arguments: Vec<String>,
}

/// How long a question to the daemon may take.
#[derive(Clone, Copy, Debug, Args)]
pub(in crate::cli) struct Soon {
    /// How long to wait for the answer.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub(in crate::cli) timeout: Span,
}
