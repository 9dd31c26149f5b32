//! What `shoal network check` finds about the first members: who can be missing, who would stand together,
//! and who can't meet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use shoal_proto::NodeId;
use shoal_topology::agreement::MAX_SEATS;
use shoal_topology::{Address, Family, GenesisMember, Role, Scope};

use super::findings::Look;

/// Members that are named at most; the rest is counted.
const NAMED: usize = 4;

impl Look<'_> {
    pub(super) fn members(&mut self) {
        self.missing();
        self.positions();
        self.families();
        self.reachable();
        self.meeting();
        if self.params.reach().scope() == Some(Scope::Public) {
            self.prefixes();
        }
    }

    fn key(&self, members: &[&GenesisMember]) -> String {
        let line = |member: &&&GenesisMember| {
            let key = format!("genesis_members.{}", member.id);
            self.file.line_of(&key)
        };
        let first = members.iter().min_by_key(line);
        first.map_or_else(String::new, |member| {
            format!("genesis_members.{}", member.id)
        })
    }

    /// Documents are made by more than two thirds of those that sit.
    fn missing(&mut self) {
        let members = self.params.genesis_members.len();
        let seats = members.min(MAX_SEATS);
        let spare = seats.saturating_sub(seats * 2 / 3 + 1);
        if spare == 0 {
            let what = format!(
                "{members} members: none may be missing, because more than two thirds have to agree \
                 on every document"
            );
            self.warn(
                "genesis_members",
                what,
                "start with four or more, better nine",
            );
        } else {
            let what = format!("{members} members: {spare} may be missing, the rest still agree");
            self.ok("genesis_members", what);
        }
    }

    fn positions(&mut self) {
        let layers = usize::from(self.params.layers);
        let (mixes, families) = self.params.first(Role::Mix);
        if families >= layers && families < 2 * layers {
            let what = format!(
                "{mixes} mixes of {families} families for {layers} layers: some layer is one \
                 operator's, who sees every packet, and without whom none passes"
            );
            let advice = "start with two mixes for each layer or more, of different operators";
            self.warn("layers", what, advice);
        }
        let (providers, families) = self.params.first(Role::Provider);
        if families == 2 {
            let what = format!(
                "{providers} providers of 2 families: each client's messages have one copy, because \
                 two mailboxes and an entry take three families"
            );
            self.warn(
                "genesis_members",
                what,
                "start with providers of three operators",
            );
        }
    }

    fn families(&mut self) {
        let params = self.params;
        let mut families: BTreeMap<Family, Vec<&GenesisMember>> = BTreeMap::new();
        for member in &params.genesis_members {
            let family = Family::of(member.id, member.family);
            families.entry(family).or_default().push(member);
        }
        let (all, several) = (params.genesis_members.len(), families.values());
        for members in several.filter(|members| members.len() > 1) {
            let Some(name) = members.first().and_then(|member| member.family) else {
                continue;
            };
            let count = |role| members.iter().filter(|member| member.role == role).count();
            let (mixes, providers) = (count(Role::Mix), count(Role::Provider));
            let stands = format!(
                "family {name} has {mixes} mixes, which stand in one layer, and {providers} providers"
            );
            let key = self.key(members);
            if members.len() * 3 >= all {
                let what = format!("{stands}: a third of all, without which nothing is agreed on");
                self.warn(&key, what, "start with more members of other operators");
            } else {
                self.ok(&key, stands);
            }
        }
    }

    fn reachable(&mut self) {
        let members = self.params.genesis_members.iter();
        let none = Vec::from_iter(members.filter(|member| member.addresses.is_empty()));
        if none.is_empty() {
            return;
        }
        let (key, names) = (self.key(&none), names(&none));
        if none.len() == self.params.genesis_members.len() {
            let what = format!("no member has an address ({names}), so that nobody finds anybody");
            self.error(&key, what, "give each what it advertises");
        } else {
            let what = format!("{names} without an address: nobody can dial there");
            self.warn(&key, what, "give what the node advertises");
        }
    }

    /// Who has only IPv4 does not meet who has only IPv6.
    fn meeting(&mut self) {
        let only = |wanted: fn(&Address) -> bool| {
            let members = self.params.genesis_members.iter();
            let has = members.filter(|member| !member.addresses.is_empty());
            Vec::from_iter(has.filter(|member| member.addresses.iter().all(wanted)))
        };
        let (four, six) = (only(|a| a.ip().is_ipv4()), only(|a| a.ip().is_ipv6()));
        if four.is_empty() || six.is_empty() {
            if let Some(scope) = self.params.reach().scope() {
                self.ok("genesis_members", format!("all addresses are {scope} ones"));
            }
            return;
        }
        let what = format!(
            "{} with IPv4 alone and {} with IPv6 alone can't meet",
            names(&four),
            names(&six)
        );
        let fewer = if four.len() < six.len() { &four } else { &six };
        let key = self.key(fewer);
        self.warn(
            &key,
            what,
            "give every member an address of the kind that all have",
        );
    }

    /// Who is in one network of the internet counts as one: an IPv4 /24, an IPv6 /48.
    fn prefixes(&mut self) {
        let mut at: BTreeMap<String, Vec<&GenesisMember>> = BTreeMap::new();
        for member in &self.params.genesis_members {
            let ips = member.addresses.iter().map(|address| prefix(address.ip()));
            for prefix in BTreeSet::from_iter(ips) {
                at.entry(prefix).or_default().push(member);
            }
        }
        for (prefix, members) in at.iter().filter(|(_, members)| members.len() > 1) {
            let what = format!(
                "{} are in {prefix}: who runs that network sees them all, and they stand in one \
                 position",
                names(members)
            );
            let key = self.key(members);
            self.warn(
                &key,
                what,
                "spread the members over networks of different owners",
            );
        }
    }
}

fn prefix(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
    }
}

/// A few members by the beginnings of their ids, and how many more.
fn names(members: &[&GenesisMember]) -> String {
    let short = |id: NodeId| id.to_string().chars().take(8).collect::<String>();
    let named = members
        .iter()
        .take(NAMED)
        .map(|member| format!("{}…", short(member.id)));
    let named = Vec::from_iter(named).join(", ");
    match members.len() {
        1 => format!("member {named}"),
        count if count <= NAMED => format!("{count} members ({named})"),
        count => format!("{count} members ({named} and {} more)", count - NAMED),
    }
}
