//! What `shoal network check` finds: in the values of a network's file, one by one and together.

use serde::Serialize;
pub(super) use shoal_node::doctor::Level;
use shoal_proto::{Span, Time};
use shoal_topology::{
    Admission, NetworkFile, NetworkParameters, ParameterError, Profile, Role, TYPICAL_LINK,
};

/// A day, in seconds.
const DAY: u64 = 86_400;
/// Rates that many times above or below those of the profiles that every network has are worth a word.
const FAR: f64 = 4.0;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// The line of the file that it is about, from 1.
    pub(super) line: Option<usize>,
    pub(super) what: String,
    /// What to do about it; nothing if it is as it should be.
    pub(super) advice: Option<&'static str>,
}

/// A file that is looked at, and what was found.
pub(super) struct Look<'a> {
    pub(super) file: &'a NetworkFile,
    pub(super) params: &'a NetworkParameters,
    findings: Vec<Finding>,
}

/// Everything that can be said of a file, what is worst first.
pub(super) fn findings(file: &NetworkFile, now: Time) -> Vec<Finding> {
    let wrong = file.wrong().iter().cloned().map(refused);
    let mut findings = Vec::from_iter(wrong);
    if let Some(params) = file.params() {
        let mut look = Look {
            file,
            params,
            findings,
        };
        look.start();
        look.genesis(now);
        look.epoch();
        look.loops();
        look.admission();
        look.profiles();
        look.members();
        findings = look.findings;
    }
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.level), finding.line));
    findings
}

fn refused(error: ParameterError) -> Finding {
    let (line, error) = error.unlocated();
    Finding {
        level: Level::Error,
        line,
        advice: Some(match error {
            ParameterError::Toml(_) => {
                "mend the line; what `shoal network new` writes has a comment at each key"
            }
            ParameterError::Address { .. } => {
                "give all members addresses of one kind, which the others can dial"
            }
            ParameterError::DuplicateMember(_) => "leave one of the two out",
            ParameterError::Identity(_) => "copy the id that `shoal init` printed for the node",
            ParameterError::Mixes { .. } => "add mixes of other operators, or lower `layers`",
            ParameterError::Providers { .. } => "add a provider of another operator",
            ParameterError::Standstill { .. } => "take the rates that `shoal network new` writes",
            _ => "give a value within the range",
        }),
        what: error.to_string(),
    }
}

/// A length of time as people say it.
fn in_words(span: Span) -> String {
    let seconds = span.as_secs_f64();
    let day = DAY as f64;
    match seconds {
        s if s >= 700.0 * day => format!("{:.1} years", s / (365.25 * day)),
        s if s >= 2.0 * day => format!("{:.1} days", s / day),
        s if s >= 7200.0 => format!("{:.1} hours", s / 3600.0),
        s => format!("{s:.0} seconds"),
    }
}

impl Look<'_> {
    /// Notes something about this key.
    pub(super) fn warn(&mut self, key: &str, what: String, advice: &'static str) {
        self.note(Level::Warning, key, what, Some(advice));
    }

    pub(super) fn error(&mut self, key: &str, what: String, advice: &'static str) {
        self.note(Level::Error, key, what, Some(advice));
    }

    pub(super) fn ok(&mut self, key: &str, what: String) {
        self.note(Level::Ok, key, what, None);
    }

    fn note(&mut self, level: Level, key: &str, what: String, advice: Option<&'static str>) {
        self.findings.push(Finding {
            level,
            line: self.file.line_of(key),
            what,
            advice,
        });
    }

    /// What keeps every node from starting with the file.
    fn start(&mut self) {
        let wrong = self.params.check_start().err();
        let wrong = wrong
            .map_or_else(Vec::new, ParameterError::each)
            .into_iter();
        let wrong = Vec::from_iter(wrong.map(|error| refused(self.file.located(error))));
        if wrong.is_empty() && self.findings.is_empty() {
            let (mixes, families) = self.params.first(Role::Mix);
            let (providers, _) = self.params.first(Role::Provider);
            let what = format!(
                "every value is within its range; {mixes} mixes of {families} families for {} layers, \
                 and {providers} providers",
                self.params.layers
            );
            self.ok("", what);
        }
        self.findings.extend(wrong);
    }

    fn genesis(&mut self, now: Time) {
        let (genesis, key) = (self.params.genesis, "genesis_time");
        let (ahead, ago) = (genesis.since(now), now.since(genesis));
        let advice = "compare it with `date +%s`: it is in seconds since 1970; look at this machine's \
                      clock too";
        if ahead > Span::from_secs(366 * DAY) {
            let what = format!(
                "genesis_time is {} ahead: nobody waits so long",
                in_words(ahead)
            );
            self.error(key, what, advice);
        } else if ahead > Span::from_secs(DAY) {
            // No descriptor lasts longer than four epochs, so none covers epoch 0 before.
            let what = format!(
                "genesis_time is {} ahead: until three epochs before it nodes wait, and none is ready",
                in_words(ahead)
            );
            self.warn(key, what, advice);
        } else if ago > Span::from_secs(5 * 366 * DAY) {
            let what = format!(
                "genesis_time is {} ago: fine if the network is that old",
                in_words(ago)
            );
            self.warn(key, what, advice);
        } else if ahead > Span::ZERO {
            self.ok(key, format!("epoch 0 starts in {}", in_words(ahead)));
        } else {
            let epoch = self.params.epoch_at(now).number();
            let what = format!(
                "epoch 0 started {} ago, and it is epoch {epoch}",
                in_words(ago)
            );
            self.ok(key, what);
        }
    }

    /// What it costs to fill the network with nodes of one's own.
    fn admission(&mut self) {
        let params = self.params;
        if params.admission == Admission::List {
            let what = "admission = \"list\": nobody joins but the members of this file".to_owned();
            return self.ok("admission", what);
        }
        if params.admission == Admission::Invitation {
            return self.invitations();
        }
        let advice = "give newcomers = 0.02, work = 6, seat_age = 7, or admission = \"list\"";
        if params.newcomers >= 0.5 {
            let share = params.newcomers;
            let what = format!(
                "newcomers = {share}: in one term somebody can bring as many nodes as a third of all, and decides \
                 in the next"
            );
            self.warn("newcomers", what, advice);
        }
        if params.work == 0 {
            let what = "work = 0: whoever joins pays nothing for it, so that places are drawn among as many \
                        identities as somebody likes to make up"
                .to_owned();
            self.warn("work", what, advice);
        }
        if params.newcomers < 0.5 && params.work > 0 {
            let what = format!(
                "at most {} % of the members, or one, come in a term, after 2^{} times some seconds of work, and sit \
                 after {} terms",
                100.0 * params.newcomers,
                params.work.saturating_sub(1),
                params.seat_age
            );
            self.ok("admission", what);
        }
    }

    /// How fast those who have some of the members can have more, where members invite.
    fn invitations(&mut self) {
        let (share, terms) = (self.params.newcomers, self.params.invitation_terms());
        let rule = format!(
            "each member brings in at most one in {terms} terms, so that who has some of them has twice as many after \
             so many at most"
        );
        if share >= 0.5 {
            let what = format!("newcomers = {share}: {rule}");
            let advice = "give newcomers = 0.02, or 0.1 in a network of a few friends";
            self.warn("newcomers", what, advice);
        } else {
            let what = format!("admission = \"invitation\": {rule}");
            self.ok("admission", what);
        }
        // Else whoever has just been brought in decides.
        if self.params.seat_age == 0 {
            let what =
                "seat_age = 0: who has just been brought in has a seat in the next term".to_owned();
            self.warn("seat_age", what, "give seat_age = 7");
        }
    }

    fn epoch(&mut self) {
        let (params, epoch) = (self.params, self.params.epoch);
        // What travels when an epoch ends has to arrive while both epochs' keys count.
        let slow = params.ways(TYPICAL_LINK).deposit().quantile(0.999);
        let margin = params.switch_margin();
        if slow > margin.as_secs_f64() {
            let what = format!(
                "an epoch of {epoch} is short for a mean delay of {}: one packet in a thousand takes \
                 {slow:.1} s, and {margin} after an epoch its key is gone",
                params.mean_delay
            );
            self.warn(
                "epoch",
                what,
                "give a longer epoch, or a shorter mean delay",
            );
        } else if epoch < Span::from_secs(600) {
            let what = format!(
                "an epoch of {epoch} is one for tests: in each, every node makes a key and a \
                 descriptor, and every client fetches a document"
            );
            self.warn("epoch", what, "give an hour, unless the network is a trial");
        } else {
            self.ok(
                "epoch",
                format!("an epoch of {epoch} is long enough for its packets"),
            );
        }
    }

    fn loops(&mut self) {
        let rate = self.params.loop_rate;
        if rate <= 0.0 {
            let what =
                "loop_rate = 0: nodes send no loops, so that none finds out about lost packets \
                        and attacks, and idle links are silent"
                    .to_owned();
            self.warn("loop_rate", what, "give 0.5");
        } else if !(0.05..=10.0).contains(&rate) {
            let what = format!("loop_rate = {rate} is far from the usual 0.5 per second");
            let advice = "give 0.5, unless you have computed another";
            self.warn("loop_rate", what, advice);
        }
    }

    fn profiles(&mut self) {
        let count = self.params.profiles.len();
        if count > 2 {
            let what = format!("{count} profiles divide the clients into {count} crowds");
            let advice = "have one profile, or two: clients hide among those of their own";
            self.warn("profiles", what, advice);
        }
        for (name, profile) in &self.params.profiles {
            self.cover(name, profile);
            self.far(name, profile);
        }
    }

    /// Packets that hide others.
    fn cover(&mut self, name: &str, profile: &Profile) {
        for (key, rate, harm) in [
            (
                "loops",
                profile.loops,
                "its clients notice no loss on their way",
            ),
            (
                "drops",
                profile.drops,
                "which of its packets end at a provider shows",
            ),
        ] {
            if rate <= 0.0 {
                let key = format!("profiles.{name}.{key}");
                let what = format!("{key} = 0: {harm}");
                self.warn(&key, what, "give a quarter of `real`");
            }
        }
        // Each mailbox packet carries four reply blocks, and each tick of a mailbox's clock spends one.
        if profile.mailbox > 0.0 && profile.mailbox * 4.0 < profile.from_mailboxes() {
            let key = format!("profiles.{name}.mailbox");
            let what = format!(
                "{key} = {}: its reply blocks don't suffice for a mailbox_clock of {}",
                profile.mailbox, profile.mailbox_clock
            );
            self.warn(&key, what, "give 0.45 times the mailbox_clock");
        }
    }

    fn far(&mut self, name: &str, profile: &Profile) {
        let usual = NetworkParameters::default_profiles();
        let named = usual.get(name);
        let of = |usual: &Profile| usual.rates();
        let bounds = |by: fn(f64, f64) -> f64, from: f64| {
            let mut bounds = [from; 6];
            let among = usual
                .iter()
                .filter(|(other, _)| named.is_none() || *other == name);
            for (_, usual) in among {
                for (bound, (_, rate)) in bounds.iter_mut().zip(of(usual)) {
                    *bound = by(*bound, rate);
                }
            }
            bounds
        };
        let (least, most) = (bounds(f64::min, f64::INFINITY), bounds(f64::max, 0.0));
        let rates = profile.rates().into_iter().zip(least).zip(most);
        let far = rates.filter(|(((_, rate), least), most)| {
            *rate > 0.0 && (*rate * FAR < *least || *rate > *most * FAR)
        });
        let far: Vec<String> = far
            .map(|(((key, rate), ..), _)| format!("{key} = {rate}"))
            .collect();
        if !far.is_empty() {
            let what = format!(
                "profiles.{name}: {} {} far from the usual rates",
                far.join(", "),
                if far.len() == 1 { "is" } else { "are" },
            );
            let advice = "look at what it costs (below), and compute rates with `shoal-sim advise`";
            self.warn(&format!("profiles.{name}"), what, advice);
        }
    }
}
