//! What there is to say to `shoal messagebox`.

use clap::{Args, Subcommand};

use super::ContactPlace;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum MessageBox {
    /// Show how the message box is: where it is served, who may ask, how full it is.
    Status(ContactPlace),
    /// List the boxes that are not empty.
    Boxes(ContactPlace),
    /// Print what is in the boxes of a name; it stays there.
    Show(MessageBoxName),
    /// Let programs of an identity key use the message box.
    Allow(MessageBoxIdentity),
    /// Let programs of an identity key use it no more; what is in its boxes stays.
    Disallow(MessageBoxIdentity),
    /// List which contacts identity keys belong to.
    List(ContactPlace),
    /// Say which contact an identity key belongs to: what programs send to it goes there.
    Map(MessageBoxMap),
    /// Have an identity key belong to nobody; the next contact that writes under it has it.
    Unmap(MessageBoxIdentity),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shoal messagebox show --dir alice inbox

The bodies are as programs have left them: usually encrypted for whom they are.")]
pub(in crate::cli) struct MessageBoxName {
    #[command(flatten)]
    pub(in crate::cli) at: ContactPlace,
    /// The box's name.
    #[arg(value_name = "BOX")]
    pub(in crate::cli) name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shoal messagebox allow --dir alice 02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5

An identity key is what a wallet calls itself by. As long as none is allowed, the first that comes is, and no other from
then on.")]
pub(in crate::cli) struct MessageBoxIdentity {
    #[command(flatten)]
    pub(in crate::cli) at: ContactPlace,
    /// The identity key, 66 hexadecimal digits.
    #[arg(value_name = "IDENTITY")]
    pub(in crate::cli) identity: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shoal messagebox map --dir alice 02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5 Bob

A message from a contact maps its sender by itself, unless the key is another contact's already. What you say here counts
more than what contacts say: do it for keys that matter, with what you have from their owners.")]
pub(in crate::cli) struct MessageBoxMap {
    #[command(flatten)]
    pub(in crate::cli) at: ContactPlace,
    /// The identity key, 66 hexadecimal digits.
    #[arg(value_name = "IDENTITY")]
    pub(in crate::cli) identity: String,
    /// The contact's key, or what you call it.
    #[arg(value_name = "CONTACT")]
    pub(in crate::cli) contact: String,
}
