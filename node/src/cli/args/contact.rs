//! What there is to say to `shoal contact`.

use clap::{Args, Subcommand};
use shoal_proto::Span;

use super::Place;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Contact {
    /// Make an invitation: a link, and a QR code, by which somebody can write to you.
    Invite(ContactInvite),
    /// Accept somebody's invitation: then you can write to each other.
    Accept(ContactAccept),
    /// List the contacts.
    #[command(after_help = "Example:\n  shoal contact list --dir alice")]
    List(ContactPlace),
    /// Show one contact, and the safety number to compare with it.
    #[command(after_help = "Example:\n  shoal contact show --dir alice Bob")]
    Show(ContactName),
    /// Say that you have compared safety numbers with a contact, and they were the same.
    Verify(ContactVerify),
    /// Call a contact something else.
    #[command(after_help = "Example:\n  shoal contact rename --dir alice Bob 'Bob from work'")]
    Rename(ContactRename),
    /// Have nothing go to a contact, and nothing that it writes be shown.
    #[command(
        after_help = "Examples:\n  shoal contact block --dir alice Bob\n  shoal contact block --dir alice Bob --off"
    )]
    Block(ContactBlock),
    /// Tell each other what you have read, if the other end wants it, too.
    #[command(
        after_help = "Examples:\n  shoal contact reads --dir alice Bob\n  shoal contact reads --dir alice Bob --off"
    )]
    Reads(ContactBlock),
    /// Forget a contact and its keys.
    #[command(after_help = "Example:\n  shoal contact remove --dir alice Bob")]
    Remove(ContactName),
    /// List the own invitations that may still be good.
    #[command(after_help = "Example:\n  shoal contact invitations --dir alice")]
    Invitations(ContactPlace),
    /// Have an invitation let nobody in any more.
    #[command(after_help = "Example:\n  shoal contact revoke --dir alice 4f1c09aa")]
    Revoke(ContactRevoke),
    /// Have new invitations lead to other mailboxes, because one is in the wrong hands.
    #[command(after_help = "Example:\n  shoal contact renew --dir alice")]
    Renew(ContactPlace),
    /// Write an invitation as a file that says whom it is of.
    Export(ContactExport),
}

/// Where the client is, and how long its daemon may take.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct ContactPlace {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    /// How long the daemon may take to answer.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub(in crate::cli) timeout: Span,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal contact invite --dir bob --label Alice
  shoal contact invite --dir bob --label Alice --json
  shoal contact invite --dir bob --reusable --life 30d

Give the link to one person, by a way that nobody else reads: who comes first with it is let in, and is called what
you say here. Should somebody else come with it later, you are told, and he is not let in; until you have compared
safety numbers (`shoal contact show`) you do not know which of the two has come. With --reusable everybody who has it is let in.")]
pub(in crate::cli) struct ContactInvite {
    #[command(flatten)]
    pub(in crate::cli) at: ContactPlace,
    /// Whom it is for; nobody else sees it.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(in crate::cli) label: String,
    /// Let in everybody who has it, and not who comes first only.
    #[arg(long)]
    pub(in crate::cli) reusable: bool,
    /// How long it is good.
    #[arg(long, value_name = "DURATION", default_value = "7d")]
    pub(in crate::cli) life: Span,
    /// Print no QR code.
    #[arg(long)]
    pub(in crate::cli) no_qr: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal contact accept --dir alice --label Bob shoal:aeaq…
  shoal contact accept --dir alice --label Bob - < bob.json

`-` reads the link, or a file that `shoal contact export` wrote, from standard input. Who made it hears that you
have: they see no name but the one that they gave you.")]
pub(in crate::cli) struct ContactAccept {
    /// The invitation, `shoal:…`, or `-`.
    pub(in crate::cli) invitation: String,
    #[command(flatten)]
    pub(in crate::cli) at: ContactPlace,
    /// What you call who made it; nobody else sees it.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(in crate::cli) label: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ContactName {
    /// The contact: its key, or what you call it.
    pub(in crate::cli) contact: String,
    #[command(flatten)]
    pub(in crate::cli) at: ContactPlace,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal contact verify --dir alice Bob
  shoal contact verify --dir alice Bob --number '01234 56789 …'
  shoal contact verify --dir alice Bob --off

Compare the number that `shoal contact show` prints, all of it, by a way on which you would notice somebody else:
face to face, or by voice. With --number it is compared here. A contact that is verified is told, within ten
minutes, that what it wrote is on your disk.")]
pub(in crate::cli) struct ContactVerify {
    /// The contact: its key, or what you call it.
    pub(in crate::cli) contact: String,
    #[command(flatten)]
    pub(in crate::cli) at: ContactPlace,
    /// What the other end sees; spaces do not count.
    #[arg(long, value_name = "DIGITS", conflicts_with = "off")]
    pub(in crate::cli) number: Option<String>,
    /// It is not so any more.
    #[arg(long)]
    pub(in crate::cli) off: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ContactRename {
    /// The contact: its key, or what you call it.
    pub(in crate::cli) contact: String,
    /// What you call it from now on; nobody else sees it.
    pub(in crate::cli) name: String,
    #[command(flatten)]
    pub(in crate::cli) at: ContactPlace,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ContactBlock {
    /// The contact: its key, or what you call it.
    pub(in crate::cli) contact: String,
    #[command(flatten)]
    pub(in crate::cli) at: ContactPlace,
    /// It is not so any more.
    #[arg(long)]
    pub(in crate::cli) off: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ContactRevoke {
    /// Its id, as `shoal contact invitations` prints it.
    pub(in crate::cli) id: String,
    #[command(flatten)]
    pub(in crate::cli) at: ContactPlace,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shoal contact export --dir bob --label Bob --life 30d > bob.json

The file has a new invitation that everybody who has it can use, your key, your mailboxes' providers and what you
say of yourself. It can be passed on by any way; whoever reads it can write to you until it ends or is revoked.")]
pub(in crate::cli) struct ContactExport {
    #[command(flatten)]
    pub(in crate::cli) at: ContactPlace,
    /// What you call yourself in it.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(in crate::cli) label: String,
    /// How long it is good.
    #[arg(long, value_name = "DURATION", default_value = "30d")]
    pub(in crate::cli) life: Span,
}
