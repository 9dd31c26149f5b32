//! What defines a network: one file of values, which everybody in it shares.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};
use shoal_proto::size::{MAX_HOPS, PAYLOAD_BYTES};
use shoal_proto::{Epoch, FamilyId, NetworkHash, NodeId, Span, Time};

use crate::canonical::Canonical;
use crate::identity::usable_key;
use crate::layers::{Candidate, assign};
use crate::member::extracted;
use crate::{
    Address, DocumentError, MAX_ADDRESSES, ParameterError, Reach, Recovery, Role, Succession,
};

/// What defines a network. Its hash is part of every protocol name, so that nodes with other
/// parameters never meet.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkParameters {
    /// The network's name: 1 to 32 of a-z, 0-9 and `-`.
    pub name: String,
    /// When epoch 0 starts. Whole seconds.
    #[serde(rename = "genesis_time", deserialize_with = "unix_seconds")]
    pub genesis: Time,
    /// Length of an epoch: 10 s to 7 days, and at least 100 mean delays. One hour by default.
    pub epoch: Span,
    /// Documents of a term, which the same seats agree on: 2 to 1000. 24 by default, a day.
    pub term: u32,
    /// Layers of mixes: 1 to 3.
    pub layers: u8,
    /// Bytes of a packet's payload: 2048, the only size there is.
    pub payload_bytes: u32,
    /// Mean of the exponential delay at every hop (1/mu): 1 ms to 10 s.
    pub mean_delay: Span,
    /// Loops that each mix and each provider sends, per second: 0 to 100.
    pub loop_rate: f64,
    /// Who may join.
    pub admission: Admission,
    /// How many newcomers are listed in a term at most, as a share of the members, but one always may be: 0 to
    /// 1, which is no limit. 0.02 by default. By invitation, each member brings in at most one in so many
    /// terms as its inverse says.
    pub newcomers: f64,
    /// How much work an open network asks of a newcomer: each of these bits doubles it, 0 to 32. 0 asks for
    /// none.
    pub work: u8,
    /// For how many terms a newcomer has no seat: 0 to 1000.
    pub seat_age: u32,
    /// How long every provider keeps what is deposited, from when it came: 1 min to 365 d, 14 d where nothing
    /// else is wanted. One for the whole network: what a sender or a provider could choose would tell
    /// messages apart, and no sender would know what "stored" means.
    pub time_to_live: Span,
    /// How long a client's place lives in the mean, before the client moves to mailboxes at other providers
    /// under other keys: 10 min to 365 d, 30 d where nothing else is wanted. What a move takes scales with it:
    /// a thirtieth of it, the network's day, is in which contacts are told. One for the whole network, so
    /// that nobody is known by it.
    #[serde(default = "place_life")]
    pub place_life: Span,
    /// Which families of addresses a member has to have: any, unless the file says otherwise.
    #[serde(default)]
    pub families: Families,
    /// Rates that clients choose from by name: 1 to 16 profiles.
    pub profiles: BTreeMap<String, Profile>,
    /// The nodes that the network starts with, and that newcomers ask first.
    #[serde(default)]
    pub genesis_members: Vec<GenesisMember>,
    /// Who decides from which document on because those that should are lost: at most 8, ascending by
    /// height. Not part of the hash that names the network.
    #[serde(default)]
    pub recoveries: Vec<Recovery>,
    /// Which file this one follows on; none for a network's first.
    #[serde(default)]
    pub succession: Option<Succession>,
}

/// Who may join the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Admission {
    /// Anybody who has done the work, a few in each term.
    Open,
    /// The members that the network starts with, and nobody else.
    List,
    /// Whom a member has invited, a few in each term.
    Invitation,
}

/// Which families of addresses (IPv4, IPv6) a member has to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Families {
    /// One of them, whichever.
    #[default]
    Any,
    /// Both: members of one family alone don't reach those of the other.
    Both,
}

impl Families {
    /// The family that is asked for and missing in what a document says of a node with these addresses: the first
    /// of them, as many as fit.
    #[must_use]
    pub fn missing(self, addresses: &[Address]) -> Option<&'static str> {
        let first = extracted(addresses);
        match self {
            Self::Any => None,
            Self::Both if !first.iter().any(|it| it.ip().is_ipv4()) => Some("IPv4"),
            Self::Both if !first.iter().any(|it| it.ip().is_ipv6()) => Some("IPv6"),
            Self::Both => None,
        }
    }
}

/// The rates of a client's four Poisson processes, of its mailbox's clock and of its downlink.
/// All are events per second, 0 to 1000. Nothing the user does changes them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Packets with a message, or dummies in their stead.
    pub real: f64,
    /// Loops from the client to itself.
    pub loops: f64,
    /// Packets that a provider drops.
    pub drops: f64,
    /// Packets that bring SURBs and commands to the own mailbox.
    pub mailbox: f64,
    /// SURBs that the mailbox spends.
    pub mailbox_clock: f64,
    /// Frames from the entry provider to the client.
    pub downlink: f64,
    /// To how many of the receiver's mailboxes a text goes: 1 or 2. 2 where nothing else is wanted. With 1, a text is
    /// lost with the provider that has it, and takes half as many slots of `real`. The network's choice and not a
    /// client's: who is alone in it is known by it.
    #[serde(default = "both_mailboxes")]
    pub copies: u8,
}

/// A node that the network starts with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisMember {
    /// Its identity.
    pub id: NodeId,
    /// Its role.
    pub role: Role,
    /// Where to reach it: 0 to 8 addresses, all members' of one kind (see [`Reach`]).
    #[serde(default)]
    pub addresses: Vec<Address>,
    /// Its family's public key when the network was made, if it is of one. What its descriptor proves
    /// counts, but who has no document yet knows only this.
    #[serde(default)]
    pub family: Option<FamilyId>,
}

/// Two weeks.
const fn time_to_live() -> Span {
    Span::from_secs(14 * 86_400)
}

/// One copy at each of the two.
const fn both_mailboxes() -> u8 {
    2
}

/// Thirty days.
const fn place_life() -> Span {
    Span::from_secs(30 * 86_400)
}

/// Most profiles of a network.
const MAX_PROFILES: usize = 16;
/// Most genesis members of a network.
const MAX_GENESIS_MEMBERS: usize = 1024;
/// Packets take an entry, one mix of each layer and a mailbox.
#[expect(clippy::cast_possible_truncation, reason = "5 - 2")]
const MAX_LAYERS: u8 = (MAX_HOPS - 2) as u8;

impl NetworkParameters {
    /// A small network for examples and tests: three layers, epochs of an hour, no genesis
    /// members yet. Change fields as needed and [`validate`](Self::validate).
    #[must_use]
    pub fn example() -> Self {
        Self {
            name: "example".to_owned(),
            genesis: Time::from_micros(1_760_000_400_000_000),
            epoch: Span::from_secs(3600),
            term: default_term(),
            layers: 3,
            payload_bytes: 2048,
            mean_delay: Span::from_millis(100),
            loop_rate: 0.5,
            admission: Admission::Open,
            newcomers: 1.0,
            work: 0,
            seat_age: 0,
            time_to_live: time_to_live(),
            place_life: place_life(),
            families: Families::Any,
            profiles: Self::default_profiles(),
            genesis_members: Vec::new(),
            recoveries: Vec::new(),
            succession: None,
        }
    }

    /// `default`, which meets the latency promise of 5 s, and `mobile` at a tenth of its rates.
    #[must_use]
    pub fn default_profiles() -> BTreeMap<String, Profile> {
        let default = Profile {
            real: 2.0,
            loops: 0.5,
            drops: 0.5,
            mailbox: 0.9,
            mailbox_clock: 2.0,
            downlink: 9.0,
            copies: both_mailboxes(),
        };
        let mobile = Profile {
            real: 0.2,
            loops: 0.05,
            drops: 0.05,
            mailbox: 0.09,
            mailbox_clock: 0.2,
            downlink: 0.9,
            copies: both_mailboxes(),
        };
        BTreeMap::from([
            ("default".to_owned(), default),
            ("mobile".to_owned(), mobile),
        ])
    }

    /// The profile of this name.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    /// The number by which packets name a profile: its place among the names in order.
    #[must_use]
    pub fn profile_index(&self, name: &str) -> Option<u8> {
        self.profiles
            .keys()
            .position(|key| key == name)
            .and_then(|index| u8::try_from(index).ok())
    }

    /// The profile with this number.
    #[must_use]
    pub fn profile_at(&self, index: u8) -> Option<(&str, &Profile)> {
        self.profiles
            .iter()
            .nth(usize::from(index))
            .map(|(name, profile)| (name.as_str(), profile))
    }

    /// Whether the node is one that the network starts with.
    #[must_use]
    pub fn is_genesis(&self, id: &NodeId) -> bool {
        self.genesis_members.iter().any(|member| member.id == *id)
    }

    /// Which addresses members of this network dial: those of the kind that its first members have.
    #[must_use]
    pub fn reach(&self) -> Reach {
        let members = self.genesis_members.iter();
        let addresses = members.flat_map(|member| &member.addresses);
        Reach::of(addresses.map(Address::ip))
    }

    /// The epoch at this time; 0 before genesis.
    #[must_use]
    pub fn epoch_at(&self, now: Time) -> Epoch {
        Epoch::new(now.since(self.genesis).as_micros() / self.epoch.as_micros().max(1))
    }

    /// When the epoch starts.
    #[must_use]
    pub fn start_of(&self, epoch: Epoch) -> Time {
        self.genesis + self.epoch.scale(epoch.number(), 1)
    }

    /// For how long around a switch both epochs' keys and layers count: a tenth of an epoch.
    #[must_use]
    pub fn switch_margin(&self) -> Span {
        self.epoch.scale(1, 10)
    }

    /// When the document of this epoch is formed: at three quarters of the epoch before.
    #[must_use]
    pub fn freeze_time(&self, epoch: Epoch) -> Time {
        self.start_of(epoch) - self.epoch.scale(1, 4)
    }

    /// Descriptors count for this epoch if they were issued before the half of the epoch before,
    /// so that a quarter of an epoch is left for them to spread.
    #[must_use]
    pub fn issue_deadline(&self, epoch: Epoch) -> Time {
        self.start_of(epoch) - self.epoch.scale(1, 2)
    }

    /// The hash that names the network: BLAKE2b-256 over a canonical encoding of the values, not
    /// over the file, so that comments and order do not matter.
    #[must_use]
    pub fn hash(&self) -> NetworkHash {
        let mut h = Canonical::new("shoal network parameters 3")
            .bytes(self.name.as_bytes())
            .number(self.genesis.as_micros())
            .number(self.epoch.as_micros())
            .number(u64::from(self.term))
            .number(u64::from(self.layers))
            .number(u64::from(self.payload_bytes))
            .number(self.mean_delay.as_micros())
            .float(self.loop_rate)
            .number(match self.admission {
                Admission::Open => 0,
                Admission::List => 1,
                Admission::Invitation => 2,
            })
            .float(self.newcomers)
            .number(self.work.into())
            .number(self.seat_age.into())
            .number(self.profiles.len().try_into().unwrap_or(u64::MAX));
        for (name, profile) in &self.profiles {
            h = h.bytes(name.as_bytes());
            for (_, rate) in profile.rates() {
                h = h.float(rate);
            }
        }
        let mut members: Vec<_> = self.genesis_members.iter().collect();
        members.sort_by_key(|member| member.id);
        h = h.number(members.len().try_into().unwrap_or(u64::MAX));
        let families = members.iter().filter_map(|m| Some((m.id, m.family?)));
        let families: Vec<(NodeId, FamilyId)> = families.collect();
        for member in members {
            h = h
                .bytes(member.id.as_bytes())
                .number(u64::from(member.role.number()));
            h = h.number(member.addresses.len().try_into().unwrap_or(u64::MAX));
            for address in &member.addresses {
                h = h.bytes(address.to_string().as_bytes());
            }
        }
        // Networks without families keep the name that they had before there were any.
        for (id, family) in families {
            h = h.bytes(id.as_bytes()).bytes(family.as_bytes().as_slice());
        }
        // As do those that keep messages for two weeks.
        if self.time_to_live != time_to_live() {
            h = h
                .bytes(b"time to live")
                .number(self.time_to_live.as_micros());
        }
        // As do those whose clients move once a month.
        if self.place_life != place_life() {
            h = h.bytes(b"place life").number(self.place_life.as_micros());
        }
        // As do those that send two copies of a text.
        for (name, profile) in &self.profiles {
            if profile.copies != both_mailboxes() {
                let named = h.bytes(b"copies").bytes(name.as_bytes());
                h = named.number(profile.copies.into());
            }
        }
        // As do those that take any address.
        if self.families == Families::Both {
            h = h.bytes(b"both families of addresses");
        }
        if let Some(succession) = &self.succession {
            h = succession.add_to(h);
        }
        NetworkHash::new(h.finish())
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// Every value that is out of range, with its key and the range: alone, or as
    /// [`ParameterError::Several`].
    pub fn validate(&self) -> Result<(), ParameterError> {
        let mut wrong = Vec::new();
        check_name(&mut wrong, "name", &self.name);
        self.check_times(&mut wrong);
        if !(2..=1000).contains(&self.term) {
            wrong.push(range("term", &self.term, "2 to 1000 documents"));
        }
        if self.layers == 0 || self.layers > MAX_LAYERS {
            wrong.push(range("layers", &self.layers, "1 to 3"));
        }
        if usize::try_from(self.payload_bytes) != Ok(PAYLOAD_BYTES) {
            wrong.push(range(
                "payload_bytes",
                &self.payload_bytes,
                "2048, the only size there is",
            ));
        }
        if !(0.0..=100.0).contains(&self.loop_rate) {
            wrong.push(range("loop_rate", &self.loop_rate, "0 to 100 per second"));
        }
        if !(0.0..=1.0).contains(&self.newcomers) {
            wrong.push(range("newcomers", &self.newcomers, "0 to 1"));
        }
        if self.work > 32 {
            wrong.push(range("work", &self.work, "0 to 32 bits"));
        }
        if self.seat_age > 1000 {
            wrong.push(range("seat_age", &self.seat_age, "0 to 1000 terms"));
        }
        let lives = Span::from_secs(60)..=Span::from_secs(365 * 86_400);
        if !lives.contains(&self.time_to_live) {
            wrong.push(range("time_to_live", &self.time_to_live, "1m to 365d"));
        }
        let lives = Span::from_secs(600)..=Span::from_secs(365 * 86_400);
        if !lives.contains(&self.place_life) {
            wrong.push(range("place_life", &self.place_life, "10m to 365d"));
        }
        if self.profiles.is_empty() || self.profiles.len() > MAX_PROFILES {
            let count = format!("{} profiles", self.profiles.len());
            wrong.push(range("profiles", &count, "1 to 16 profiles"));
        }
        for (name, profile) in &self.profiles {
            check_name(&mut wrong, "profiles", name);
            for (key, rate) in profile.rates() {
                if !(0.0..=1000.0).contains(&rate) {
                    let key = format!("profiles.{name}.{key}");
                    wrong.push(range(&key, &rate, "0 to 1000 per second"));
                }
            }
            if !(1..=2).contains(&profile.copies) {
                let key = format!("profiles.{name}.copies");
                wrong.push(range(&key, &profile.copies, "1 or 2"));
            }
        }
        self.check_members(&mut wrong);
        if !self.recoveries.is_empty() {
            let checked = Recovery::check_all(&self.chain(), &self.recoveries);
            wrong.extend(checked.err().map(ParameterError::Recovery));
        }
        if let Some(succession) = &self.succession {
            let checked = succession.check_form(&self.hash());
            wrong.extend(checked.err().map(ParameterError::Succession));
        }
        if wrong.is_empty() {
            self.check_places(&mut wrong);
        }
        ParameterError::all(wrong)
    }

    fn check_times(&self, wrong: &mut Vec<ParameterError>) {
        const LAST_SECOND: u64 = 253_402_300_799;
        let micros = self.genesis.as_micros();
        if !micros.is_multiple_of(1_000_000) || self.genesis.as_secs() > LAST_SECOND {
            let value = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            let allowed = "whole seconds since 1970, before the year 10000";
            wrong.push(range("genesis_time", &value, allowed));
        }
        if self.epoch < Span::from_secs(10) || self.epoch > Span::from_secs(7 * 86_400) {
            wrong.push(range("epoch", &self.epoch, "10s to 7d"));
        }
        let delay = self.mean_delay;
        if delay < Span::from_millis(1) || delay > Span::from_secs(10) {
            wrong.push(range("mean_delay", &delay, "1ms to 10s"));
        } else if delay > self.epoch.scale(1, 100) {
            let allowed = "at most a hundredth of an epoch";
            wrong.push(range("mean_delay", &delay, allowed));
        }
    }

    /// Whether each genesis member has a place: the first document is made of all of them.
    fn check_places(&self, wrong: &mut Vec<ParameterError>) {
        let members = &self.genesis_members;
        let candidate = |member: &GenesisMember| Candidate {
            id: member.id,
            role: member.role,
            ties: member.ties(),
            genesis: true,
            before: None,
        };
        let candidates = members.iter().map(candidate).collect();
        let positions = assign(&self.hash(), Epoch::new(0), self.layers, candidates);
        let placed = |member: &&GenesisMember| positions.of.contains_key(&member.id);
        for member in members.iter().filter(|member| !placed(member)) {
            // Without a layer before, only members of the other role can be in the way.
            let meets =
                |other: &GenesisMember| Some((member.ties().meet(&other.ties())?, other.role));
            let mut others = members.iter().filter(|other| other.role != member.role);
            if let Some((tie, role)) = others.find_map(meets) {
                let member = member.id;
                wrong.push(ParameterError::NoPlace { member, tie, role });
            }
        }
        let filled = positions.check_filled(self.layers);
        if let Err(error @ DocumentError::TiedTogether { .. }) = filled
            && wrong.is_empty()
        {
            wrong.push(ParameterError::Places(error));
        }
    }

    fn check_members(&self, wrong: &mut Vec<ParameterError>) {
        if self.genesis_members.len() > MAX_GENESIS_MEMBERS {
            let count = format!("{} members", self.genesis_members.len());
            wrong.push(range("genesis_members", &count, "at most 1024 members"));
        }
        let (mut seen, reach) = (BTreeSet::new(), self.reach());
        let mut taken: BTreeMap<&Address, NodeId> = BTreeMap::new();
        for member in &self.genesis_members {
            if !seen.insert(member.id) {
                wrong.push(ParameterError::DuplicateMember(member.id));
            }
            if let Some(family) = member
                .family
                .filter(|family| !usable_key(family.as_bytes()))
            {
                let key = format!("genesis_members.{}.family", member.id);
                let allowed = "a family's public key, which `shoal family create` prints";
                wrong.push(range(&key, &family, allowed));
            }
            if member.addresses.len() > MAX_ADDRESSES {
                let key = format!("genesis_members.{}.addresses", member.id);
                let count = format!("{} addresses", member.addresses.len());
                wrong.push(range(&key, &count, "at most 8 addresses"));
            }
            for address in &member.addresses {
                let other = *taken.entry(address).or_insert(member.id);
                if other != member.id {
                    let (member, address) = (member.id, address.clone());
                    wrong.push(ParameterError::SharedAddress {
                        member,
                        other,
                        address,
                    });
                }
            }
            if let Some(missing) = self.families.missing(&member.addresses) {
                let member = member.id;
                wrong.push(ParameterError::Families { member, missing });
            }
            let ips = member.addresses.iter().map(Address::ip);
            let misfits = ips.filter_map(|ip| Some((ip, reach.check(ip).err()?)));
            wrong.extend(misfits.map(|(ip, why)| ParameterError::Address {
                member: member.id,
                ip,
                why,
            }));
        }
    }
}

impl Profile {
    /// The rates with their keys, in a fixed order.
    #[must_use]
    pub const fn rates(&self) -> [(&'static str, f64); 6] {
        [
            ("real", self.real),
            ("loops", self.loops),
            ("drops", self.drops),
            ("mailbox", self.mailbox),
            ("mailbox_clock", self.mailbox_clock),
            ("downlink", self.downlink),
        ]
    }
}

fn check_name(wrong: &mut Vec<ParameterError>, key: &str, name: &str) {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
        wrong.push(range(
            key,
            &format!("{name:?}"),
            "names are 1 to 32 of a-z, 0-9 and -",
        ));
    }
}

fn range(key: &str, value: &impl ToString, range: &'static str) -> ParameterError {
    ParameterError::Range {
        key: key.to_owned(),
        value: value.to_string(),
        range,
    }
}

const fn default_term() -> u32 {
    24
}

/// Seconds since 1970, as the file has them.
fn unix_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
    let seconds = u64::deserialize(from)?;
    // What is too large for a time is too large for a genesis: the check says so.
    Ok(Time::from_micros(seconds.saturating_mul(1_000_000)))
}
