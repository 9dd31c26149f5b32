use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use shoal_proto::Time;

use crate::{Admission, GenesisMember, NetworkParameters, ParameterError, Profile, Role, duration};

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    genesis_time: u64,
    epoch: String,
    layers: u8,
    payload_bytes: u32,
    mean_delay: String,
    loop_rate: f64,
    admission: String,
    profiles: BTreeMap<String, FileProfile>,
    #[serde(default)]
    genesis_members: Vec<FileMember>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileProfile {
    real: f64,
    loops: f64,
    drops: f64,
    mailbox: f64,
    mailbox_clock: f64,
    downlink: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMember {
    id: String,
    role: String,
    #[serde(default)]
    addresses: Vec<String>,
}

impl NetworkParameters {
    /// Reads and validates a file.
    ///
    /// # Errors
    /// When it is not TOML, has an unknown key or lacks one, or a value is out of range. The
    /// error names the key.
    pub fn from_toml(text: &str) -> Result<Self, ParameterError> {
        let file: File =
            toml::from_str(text).map_err(|error| ParameterError::Toml(error.to_string()))?;
        let params = Self {
            genesis: Time::from_micros(file.genesis_time.checked_mul(1_000_000).ok_or_else(
                || {
                    range(
                        "genesis_time",
                        file.genesis_time,
                        "seconds since 1970, before the year 10000",
                    )
                },
            )?),
            epoch: span("epoch", &file.epoch)?,
            mean_delay: span("mean_delay", &file.mean_delay)?,
            admission: match file.admission.as_str() {
                "open" => Admission::Open,
                other => {
                    return Err(range(
                        "admission",
                        other,
                        "\"open\", the only value there is",
                    ));
                }
            },
            name: file.name,
            layers: file.layers,
            payload_bytes: file.payload_bytes,
            loop_rate: file.loop_rate,
            profiles: file
                .profiles
                .into_iter()
                .map(|(name, p)| (name, p.into()))
                .collect(),
            genesis_members: file
                .genesis_members
                .into_iter()
                .map(FileMember::read)
                .collect::<Result<_, _>>()?,
        };
        params.validate()?;
        Ok(params)
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
# Layers of mixes between two providers: 1 to 3.
layers = {layers}
# Bytes of a packet's payload: 2048, the only size there is.
payload_bytes = {payload}
# Mean of the exponential delay at every hop: 1ms to 10s, at most a hundredth of an epoch.
mean_delay = "{delay}"
# Loops that each mix and each provider sends, per second: 0 to 100.
loop_rate = {loops:?}
# Who may join: "open" is anybody with a valid descriptor, from the next epoch on.
admission = "open"

# Rates that clients choose from, in packets per second, 0 to 1000 each: real messages or
# dummies, loops, drops, packets to the own mailbox, the mailbox's answers, and frames from the
# entry provider. Clients of one profile hide among each other: the fewer profiles, the better.
"#,
            name = self.name,
            genesis = self.genesis.as_secs(),
            epoch = duration::format(self.epoch),
            layers = self.layers,
            payload = self.payload_bytes,
            delay = duration::format(self.mean_delay),
            loops = self.loop_rate,
        );
        for (name, profile) in &self.profiles {
            let _ = writeln!(text, "[profiles.{name}]");
            for (key, rate) in profile.rates() {
                let _ = writeln!(text, "{key} = {rate:?}");
            }
            text.push('\n');
        }
        text.push_str(
            "# The nodes that the network starts with, and that newcomers ask first. The first\n\
             # document is formed when all of them have been heard of. id is a node's identity,\n\
             # role is \"mix\" or \"provider\".\n",
        );
        for member in &self.genesis_members {
            let addresses: Vec<String> = member
                .addresses
                .iter()
                .map(|address| format!("\"{address}\""))
                .collect();
            let _ = write!(
                text,
                "[[genesis_members]]\nid = \"{}\"\nrole = \"{}\"\naddresses = [{}]\n\n",
                member.id,
                member.role,
                addresses.join(", ")
            );
        }
        text
    }
}

impl FileMember {
    fn read(self) -> Result<GenesisMember, ParameterError> {
        let id = self.id.parse().map_err(|_| {
            range(
                "genesis_members.id",
                &self.id,
                "the 32 bytes of an identity in base58",
            )
        })?;
        let role: Role = self.role.parse().map_err(|()| {
            range(
                "genesis_members.role",
                &self.role,
                "\"mix\" or \"provider\"",
            )
        })?;
        let address = |text: &String| {
            text.parse().map_err(|error| ParameterError::Address {
                key: format!("genesis_members.{id}.addresses"),
                value: text.clone(),
                error,
            })
        };
        let addresses = self
            .addresses
            .iter()
            .map(address)
            .collect::<Result<_, _>>()?;
        Ok(GenesisMember {
            id,
            role,
            addresses,
        })
    }
}

impl From<FileProfile> for Profile {
    fn from(file: FileProfile) -> Self {
        Self {
            real: file.real,
            loops: file.loops,
            drops: file.drops,
            mailbox: file.mailbox,
            mailbox_clock: file.mailbox_clock,
            downlink: file.downlink,
        }
    }
}

fn span(key: &str, text: &str) -> Result<shoal_proto::Span, ParameterError> {
    duration::parse(text).ok_or_else(|| {
        range(
            key,
            text,
            "a whole number and us, ms, s, m, h or d, as in \"50ms\"",
        )
    })
}

fn range(key: &str, value: impl ToString, range: &'static str) -> ParameterError {
    ParameterError::Range {
        key: key.to_owned(),
        value: value.to_string(),
        range,
    }
}
