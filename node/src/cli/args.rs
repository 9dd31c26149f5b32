//! The command line: what there is to say, and what help says about it.

mod bench;
mod chat;
mod client;
mod contact;
mod directory;
mod file;
mod identity;
mod messagebox;
mod node;
mod provider;
mod recovery;
mod successor;
mod web;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use shoal_node::Exit;
use shoal_node::config::LogLevel;
use shoal_proto::{NodeId, Span};

pub(super) use self::bench::{Bench, BenchMix, BenchStore};
pub(super) use self::chat::Chat;
pub(super) use self::client::{
    Choice, Client, ClientDaemon, ClientEntries, ClientHistory, ClientInit, ClientOutgoing,
    ClientPassphrase, ClientProfile, ClientReceive, ClientSend, ClientStatus, ClientStop,
    ClientTrust, ClientWait, NewClient, Until, WaitFor,
};
pub(super) use self::contact::{
    Contact, ContactAccept, ContactExport, ContactInvite, ContactPlace, ContactVerify,
};
pub(super) use self::directory::{Directory, DirectoryShow, DirectoryVerify, DirectoryWatch, Whom};
pub(super) use self::file::{FileCommand, FileSave, FileSend};
pub(super) use self::identity::{
    Identity, IdentityBackup, IdentityExport, IdentityImport, IdentityRestore,
};
pub(super) use self::messagebox::MessageBox;
pub(super) use self::node::{NodeDoctor, NodeInvite, NodeStatus};
pub(super) use self::provider::{
    Provider, ProviderStore, StoreExport, StoreImport, StorePlace, StoreStats, StoreVerify,
};
pub(super) use self::recovery::{Recovery, RecoveryAdd, RecoveryNew, RecoverySign};
pub(super) use self::successor::{SuccessorAdd, SuccessorCommand, SuccessorNew, SuccessorSign};
pub(super) use self::web::Web;

/// What stands below the list of commands.
fn after_help() -> String {
    format!(
        "{}\n\nWith --json, errors are an object on standard output too: \
         {{\"error\":{{\"kind\":…,\"code\":…,\"message\":…}}}}.\n\n\
         Configuration: defaults < file < environment (SHOAL_…) < flags.",
        Exit::table()
    )
}

/// A mixnet: people hide in a crowd of packets that all look and move alike.
#[derive(Debug, Parser)]
#[command(name = "shoal", version, max_term_width = 100, after_help = after_help())]
pub(super) struct Cli {
    /// Print JSON on standard output.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// How much of the log is written (to standard error); SHOAL_LOG does the same.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(super) log_level: Option<LogLevel>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a node's directory: configuration and identity.
    Init(Init),
    /// Make the key of a family of nodes, and sign for each of them.
    #[command(subcommand)]
    Family(Family),
    /// Make, look at or check the file that defines a network.
    #[command(subcommand)]
    Network(Network),
    /// Ask nodes what they go by, and verify it.
    #[command(subcommand)]
    Directory(Directory),
    /// Run a node.
    #[command(subcommand)]
    Node(Node),
    /// Look after what a provider keeps.
    #[command(subcommand)]
    Provider(Provider),
    /// Run a client's daemon: it holds the keys, the connection, the cover traffic and the messages.
    Daemon(ClientDaemon),
    /// Write and read in the terminal: conversations, files, contacts, invitations, through the daemon.
    Chat(Chat),
    /// Send and receive messages, through the daemon.
    #[command(subcommand)]
    Client(Client),
    /// Invite people, accept invitations, and look after contacts, through the daemon.
    #[command(subcommand)]
    Contact(Contact),
    /// Keep the key by which contacts know you, and bring it back on another machine.
    #[command(subcommand)]
    Identity(Identity),
    /// Send files to contacts, and save what they send, through the daemon.
    #[command(subcommand)]
    File(FileCommand),
    /// Give the link to the client's page, for a browser on this machine.
    Web(Web),
    /// Look after the message box, which programs that speak BRC-33 use through the daemon.
    #[command(subcommand)]
    Messagebox(MessageBox),
    /// Run a whole network on this machine, and send a message through it.
    Demo(Demo),
    /// Measure this machine.
    #[command(subcommand)]
    Bench(Bench),
    /// Print the completions of a shell.
    Completions(Completions),
    /// Write the manual pages.
    Man(Man),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal completions bash > ~/.local/share/bash-completion/completions/shoal
  shoal completions zsh > ~/.zfunc/_shoal
  shoal completions fish > ~/.config/fish/completions/shoal.fish")]
pub(super) struct Completions {
    /// The shell.
    pub(super) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal man | man -l -
  shoal man ~/.local/share/man/man1")]
pub(super) struct Man {
    /// The folder for one page of each command, which is made if it is not there; pages that are in it are
    /// replaced. Without it, the first page goes to standard output.
    pub(super) dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RoleName {
    /// Passes packets on.
    Mix,
    /// Lets clients in and keeps their mailboxes.
    Provider,
}

impl RoleName {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Mix => "mix",
            Self::Provider => "provider",
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal init --role mix --dir mix1 --network network.toml \\
      --advertise /ip4/192.0.2.1/tcp/4140 --advertise /ip4/192.0.2.1/udp/4140/quic-v1
  shoal init --role provider --dir prov1 --network network.toml \\
      --listen /ip4/127.0.0.1/tcp/4200 --listen /ip4/127.0.0.1/udp/4200/quic-v1

The network's file is copied into the directory, or may come later. Behind a NAT or on all addresses,
say with --advertise what others dial. Nothing that exists is overwritten.")]
pub(super) struct Init {
    /// What the node will do.
    #[arg(long)]
    pub(super) role: RoleName,
    #[command(flatten)]
    pub(super) made: NewDir,
    #[command(flatten)]
    pub(super) network: NetworkFile,
    #[command(flatten)]
    pub(super) reach: Reach,
    #[command(flatten)]
    pub(super) metrics: MetricsAt,
    /// The public key of the operator's family of nodes, which `shoal family create` prints.
    #[arg(long, value_name = "KEY")]
    pub(super) family: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Family {
    /// Make the key of a family, once for each operator who runs more than one node.
    #[command(after_help = "\
Example:
  shoal family create family.key

Keep the file off the nodes, and keep a backup. What is printed goes to `shoal init --family`. Nothing that
exists is overwritten.")]
    Create {
        /// The file to make.
        file: PathBuf,
    },
    /// Sign that a node is of the family; prints the line for its shoal.toml.
    #[command(after_help = "\
Example:
  shoal family sign --key family.key --network network.toml 9xQe…

What is printed is no secret, and is good for this node in this network only.")]
    Sign(FamilySign),
}

#[derive(Debug, Args)]
pub(super) struct FamilySign {
    /// The family's key, which `shoal family create` made.
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// The file with the network parameters.
    #[arg(long, value_name = "FILE")]
    pub(super) network: PathBuf,
    /// The node's id, which `shoal init` prints.
    pub(super) node: NodeId,
}

#[derive(Debug, Subcommand)]
pub(super) enum Network {
    /// Make the file that defines a new network.
    New(NetworkNew),
    /// Show a network: its hash, the epoch now, and what each profile costs.
    Show(NetworkShow),
    /// Look for everything that is wrong or unwise with a network's file.
    Check(NetworkCheck),
    /// Go on with a network of which more than a third of the seats is lost for good.
    #[command(subcommand)]
    Recovery(Recovery),
    /// Change the values of a network that goes on.
    #[command(subcommand)]
    Successor(SuccessorCommand),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal network show network.toml
  shoal network show successor.toml --before network.toml")]
pub(super) struct NetworkShow {
    /// The file.
    pub(super) file: PathBuf,
    /// The file that it follows on: what differs is told, and what keeps it from following.
    #[arg(long, value_name = "FILE")]
    pub(super) before: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal network check network.toml
  shoal network check --strict network.toml && scp network.toml mix1:
  shoal network check network.toml --json | jq '.findings[] | select(.level != \"ok\")'

Exit codes: 0 if a network can run with it, 2 if something has to be mended first, and with --strict 11
if there are warnings only. Whatever changes in the file of a network that runs makes another network; its values change by
`shoal network successor`.")]
pub(super) struct NetworkCheck {
    /// The file.
    pub(super) file: PathBuf,
    /// Take warnings for errors.
    #[arg(long)]
    pub(super) strict: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum AdmissionName {
    /// Anybody.
    Open,
    /// Whom a member invites.
    Invitation,
    /// Nobody else.
    List,
}

/// Families of addresses that a network asks for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum FamiliesName {
    /// An IPv4 or an IPv6 address.
    Any,
    /// One of each.
    Both,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal network new --name home --from-dir mix1 mix2 mix3 prov1 prov2 --out network.toml
  shoal network new --name home --out network.toml \\
      --member 9xQe…,mix,/ip4/192.0.2.1/tcp/4140,/ip4/192.0.2.1/udp/4140/quic-v1 \\
      --member 4vJ9…,provider,/ip4/203.0.113.9/tcp/4140

Every node and client of a network needs the same file: its hash is the network's name.")]
pub(super) struct NetworkNew {
    /// Name of the network: a-z, 0-9 and `-`.
    #[arg(long)]
    pub(super) name: String,
    /// A node that the network starts with: its id, its role, its addresses.
    #[arg(
        long,
        value_name = "ID,ROLE,ADDRESS…",
        required_unless_present = "from_dir"
    )]
    pub(super) member: Vec<String>,
    /// Directories that `shoal init` made; their nodes become members.
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub(super) from_dir: Vec<PathBuf>,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    pub(super) out: PathBuf,
    /// Seconds from now until the first epoch starts: a year at most.
    #[arg(long, value_name = "SECS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=31_622_400))]
    pub(super) genesis_in: u64,
    /// Length of an epoch.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub(super) epoch: Span,
    /// Layers of mixes.
    #[arg(long, default_value_t = 3)]
    pub(super) layers: u8,
    /// Who may join: anybody who does some work first, whom a member invites, or the members named here and nobody
    /// else.
    #[arg(long, value_name = "WHO", default_value = "open")]
    pub(super) admission: AdmissionName,
    /// How many newcomers are listed in a term of 24 epochs at most, as a share of the members; one always may be. By
    /// invitation, each member brings in at most one in so many terms as its inverse says.
    #[arg(long, value_name = "SHARE", default_value_t = 0.02)]
    pub(super) newcomers: f64,
    /// Work that a newcomer does first, for some seconds and 200 MB: each bit doubles it, 0 asks for none.
    #[arg(long, value_name = "BITS", default_value_t = 6)]
    pub(super) work: u8,
    /// Terms in which a newcomer has no seat.
    #[arg(long, value_name = "TERMS", default_value_t = 7)]
    pub(super) seat_age: u32,
    /// Families of addresses (IPv4, IPv6) that a member has to have: any one, or both.
    #[arg(long, value_name = "WHICH", default_value = "any")]
    pub(super) families: FamiliesName,
}

#[derive(Debug, Subcommand)]
pub(super) enum Node {
    /// Run a mix or a provider until it is asked to stop: SIGTERM has it leave the network first, and serve on until no
    /// document lists it (`drain`); SIGINT, a second signal or the end of its terminal stop it at once.
    Run(NodeRun),
    /// Ask the node that runs how it is: ready or why not, links, clock, documents, drops, disk.
    Status(NodeStatus),
    /// Look for everything that keeps a node from its work, whether it runs or not, and say what to do.
    Doctor(NodeDoctor),
    /// Invite a node into a network whose members do that; prints the line for its shoal.toml.
    Invite(NodeInvite),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal node run --role mix --dir mix1
  SHOAL_METRICS_LISTEN=127.0.0.1:9500 shoal node run --config /etc/shoal/shoal.toml --dir /var/lib/shoal

Without a terminal, SIGHUP has the configuration read again, of which log.level is taken up, and by a node the addresses
that others dial.")]
pub(super) struct NodeRun {
    /// What the node does.
    #[arg(long)]
    pub(super) role: Option<RoleName>,
    #[command(flatten)]
    pub(super) place: Place,
    #[command(flatten)]
    pub(super) network: NetworkFile,
    #[command(flatten)]
    pub(super) reach: Reach,
    #[command(flatten)]
    pub(super) metrics: MetricsAt,
    #[command(flatten)]
    pub(super) daemon: Daemon,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal demo
  echo 'Meet me at noon' | shoal demo --message - --json
  shoal demo --keep --dir /tmp/shoal
  shoal demo --web

With --web the network stays up, and Alice's and Bob's pages are opened side by side: write from one to the
other, and see that the traffic stays what it is.")]
pub(super) struct Demo {
    /// What Alice sends; `-` reads standard input.
    #[arg(long, value_name = "TEXT")]
    pub(super) message: Option<String>,
    /// Leave the network up, and say how to use it.
    #[arg(long)]
    pub(super) keep: bool,
    /// Leave the network up, give the links to Alice's and Bob's pages, and open them if there is a display.
    #[arg(long)]
    pub(super) web: bool,
    /// Where the nodes keep their state; a temporary directory unless given.
    #[arg(long)]
    pub(super) dir: Option<PathBuf>,
}

/// A directory that a command makes.
#[derive(Clone, Debug, Args)]
pub(super) struct NewDir {
    /// The directory to make.
    #[arg(long, env = "SHOAL_DIR")]
    pub(super) dir: PathBuf,
}

/// Which network it is.
#[derive(Clone, Debug, Args)]
pub(super) struct NetworkFile {
    /// The file with the network parameters.
    #[arg(long, value_name = "FILE")]
    pub(super) network: Option<PathBuf>,
}

/// Where a node is found.
#[derive(Clone, Debug, Args)]
pub(super) struct Reach {
    /// A multiaddress to listen on; repeat for several.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Vec<String>,
    /// A multiaddress that others dial; repeat for several.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) advertise: Vec<String>,
}

/// Where an operator looks.
#[derive(Clone, Debug, Args)]
pub(super) struct MetricsAt {
    /// Where metrics are served.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) metrics: Option<String>,
}

/// Where a daemon's state and configuration are.
#[derive(Clone, Debug, Args)]
pub(super) struct Place {
    /// The state directory; the configuration's directory if only that is given.
    #[arg(long, env = "SHOAL_DIR", required_unless_present = "config")]
    pub(super) dir: Option<PathBuf>,
    /// The configuration file, if it is not in the state directory.
    #[arg(long, env = "SHOAL_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// Where a client's passphrase comes from, if it is under one.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct PassphraseFrom {
    /// A file with the passphrase, which only you can read; asked for on the terminal unless given. Of systemd the
    /// credential `shoal-passphrase` is taken.
    #[arg(long, env = "SHOAL_PASSPHRASE_FILE", value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
}

/// What all daemons take.
#[derive(Clone, Debug, Args)]
pub(super) struct Daemon {
    /// Stop when standard input ends: for a parent that holds the other end of a pipe.
    #[arg(long)]
    pub(super) stop_with_stdin: bool,
}
