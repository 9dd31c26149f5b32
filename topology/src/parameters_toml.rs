//! Network parameters as a file: written by hand for the comments' sake.

use std::fmt::Write;

use crate::{Admission, Families, NetworkFile, NetworkParameters, ParameterError};

const BOTH: &str = r#"# Each member has an IPv4 and an IPv6 address among the first that it advertises, so that all reach each other.
# Without this line one of either family is enough.
families = "both"
"#;

const PROFILES: &str = "
# Rates that clients choose from, in packets per second, 0 to 1000 each: real messages or
# dummies, loops, drops, packets to the own mailbox, the mailbox's answers, and frames from the
# entry provider. Clients of one profile hide among each other: the fewer profiles, the better.
# copies: to how many of the receiver's two mailboxes a text goes. 2 survives the loss of one of them; 1 takes half the
# slots of real, which is for a profile that has few.
";

impl NetworkParameters {
    /// Reads and validates a file.
    ///
    /// # Errors
    /// When it is not TOML, has an unknown key or lacks one, or a value is out of range: all of that,
    /// with the keys and the lines.
    pub fn from_toml(text: &str) -> Result<Self, ParameterError> {
        NetworkFile::read(text).valid()
    }

    /// Writes the file with comments. Reading it gives the same parameters.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = format!(
            r#"# The parameters of a Shoal network. Everybody in the network has the same values: their
# hash is part of every protocol name, so nodes with other values never meet.

# 1 to 32 of a-z, 0-9 and -.
name = "{name}"
# When epoch 0 starts: seconds since 1970-01-01 00:00 UTC.
genesis_time = {genesis}
# Length of an epoch, for which keys and members are fixed: 10s to 7d.
epoch = "{epoch}"
# Documents, one for each epoch, that the same seats agree on: 2 to 1000.
term = {term}
# Layers of mixes between two providers: 1 to 3.
layers = {layers}
# Bytes of a packet's payload: 2048, the only size there is.
payload_bytes = {payload}
# Mean of the exponential delay at every hop: 1ms to 10s, at most a hundredth of an epoch.
mean_delay = "{delay}"
# Loops that each mix and each provider sends, per second: 0 to 100.
loop_rate = {loops:?}
# Who may join: "open" is anybody, "invitation" is whom a member has invited, "list" is the nodes below and nobody else.
admission = "{admission}"
# How many newcomers are listed in a term at most, as a share of the members (one always may be): 0 to 1. By invitation,
# each member brings in at most one in so many terms as its inverse says: in 50 at 0.02.
newcomers = {newcomers:?}
# Work that a newcomer of an open network does first; each bit doubles it: 0 (none) to 32.
work = {work}
# Terms in which a newcomer has no seat, so that nothing is decided by who has just come: 0 to 1000.
seat_age = {seat_age}
# How long every provider keeps a message that waits for its receiver: 1m to 365d.
time_to_live = "{life}"
# How long clients stay at the same mailboxes, in the mean: 10m to 365d.
place_life = "{place}"
"#,
            name = self.name,
            genesis = self.genesis.as_secs(),
            epoch = self.epoch,
            term = self.term,
            layers = self.layers,
            payload = self.payload_bytes,
            delay = self.mean_delay,
            loops = self.loop_rate,
            admission = match self.admission {
                Admission::Open => "open",
                Admission::List => "list",
                Admission::Invitation => "invitation",
            },
            newcomers = self.newcomers,
            work = self.work,
            seat_age = self.seat_age,
            life = self.time_to_live,
            place = self.place_life,
        );
        text.push_str(match self.families {
            Families::Any => "",
            Families::Both => BOTH,
        });
        if let Some(succession) = &self.succession {
            text.push('\n');
            text.push_str(&succession.to_toml());
        }
        text.push_str(PROFILES);
        for (name, profile) in &self.profiles {
            let _ = writeln!(text, "[profiles.{name}]");
            for (key, rate) in profile.rates() {
                let _ = writeln!(text, "{key} = {rate:?}");
            }
            let _ = writeln!(text, "copies = {}", profile.copies);
            text.push('\n');
        }
        text.push_str(
            "# The nodes that the network starts with, and that newcomers ask first. The first\n\
             # document is formed when all of them have been heard of. id is a node's identity,\n\
             # role is \"mix\" or \"provider\"; family is the public key of its\n\
             # operator's family, if it is of one.\n",
        );
        for member in &self.genesis_members {
            let addresses: Vec<String> = member
                .addresses
                .iter()
                .map(|address| format!("\"{address}\""))
                .collect();
            let _ = writeln!(
                text,
                "[[genesis_members]]\nid = \"{}\"\nrole = \"{}\"\naddresses = [{}]",
                member.id,
                member.role,
                addresses.join(", ")
            );
            if let Some(family) = member.family {
                let _ = writeln!(text, "family = \"{family}\"");
            }
            text.push('\n');
        }
        if !self.recoveries.is_empty() {
            text.push_str(
                "# Who decides after the document of this height, because more than a third of those that\n\
                 # should were lost: each member with the signature of its identity.\n",
            );
        }
        for recovery in &self.recoveries {
            let _ = writeln!(text, "[[recoveries]]\n{}", recovery.to_toml());
        }
        text
    }
}
