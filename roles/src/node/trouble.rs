//! What can keep a node from its work, in words for its operator.

use std::fmt;

use shoal_mix::DropReason;
use shoal_proto::{Epoch, NetworkHash, Span, Time};
use shoal_provider::StoreError;
use shoal_topology::{Address, Invited, NoPlace, TieKind, Waiting};

/// Why a node does not do its work. [`told`](Self::told) says what happens next, or what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The machine's clock is off what most neighbours say.
    Clock {
        /// It is ahead; else behind.
        ahead: bool,
        /// By so much at least.
        by: Span,
    },
    /// There is no document, and more of the first members answer for another network than for this.
    OtherNetwork {
        /// So many do.
        others: usize,
        /// Of so many.
        of: usize,
        /// The hash of this node's parameters.
        ours: NetworkHash,
        /// That of most of those others.
        theirs: NetworkHash,
        /// How many seconds the clocks of most of them are ahead of this node's, below 0 for behind; none if that
        /// is little.
        ahead_secs: Option<i64>,
    },
    /// There is no document.
    NoDocument {
        /// The first members that have not been heard of.
        missing: usize,
        /// Of so many.
        of: usize,
    },
    /// The document in force does not list this node.
    NotAMember {
        /// The document's epoch.
        epoch: Epoch,
        /// When one takes effect that can.
        next: Time,
    },
    /// The document in force does not list this node, and more wait for a place than come in, or it has to be invited.
    Waits {
        /// The document's epoch.
        epoch: Epoch,
        /// How it stands among them.
        waiting: Waiting,
        /// When one takes effect that can list it.
        next: Time,
    },
    /// The document in force expels this node: it has voted for two things in one step.
    Expelled {
        /// The document's epoch.
        epoch: Epoch,
        /// The last epoch whose document can't list it.
        last: Epoch,
        /// When a document takes effect that can give it a place.
        next: Time,
    },
    /// The document in force does not list this node, and none that follows can: a family and an address
    /// prefix stand whole in one position, and the node's stands where it can't.
    LeftOut {
        /// The document's epoch.
        epoch: Epoch,
        /// With whom it has what in common.
        why: NoPlace,
    },
    /// The document in force does not list this node, and none that follows can while both advertise it: an address
    /// of it is another member's.
    AddressTaken {
        /// The document's epoch.
        epoch: Epoch,
        /// Which.
        address: Address,
    },
    /// The key of the epoch in force is missing, or another than the document names: the one that it
    /// names was given up, because it could not be used safely, or is on another disk.
    NoKey {
        /// The epoch.
        epoch: Epoch,
        /// When a document takes effect that can name a key that the node has.
        next: Time,
    },
    /// Next to nothing of what most neighbours send can be opened.
    Deaf {
        /// [`DropReason::UnknownEpoch`] or [`DropReason::Mac`].
        why: DropReason,
    },
    /// No packet link to some members of the position after this node's, and it has not waited long.
    Links {
        /// How many are missing.
        missing: usize,
    },
    /// No packet link to any member of the position after this node's, for longer than that.
    Cut {
        /// So many members there are.
        of: usize,
        /// So many of them have no address of a family (IPv4, IPv6) that this node has.
        apart: usize,
    },
    /// Its watchers do not reach it at any of its addresses.
    Unreachable {
        /// So many do not.
        missed_by: usize,
        /// Of so many.
        watchers: usize,
    },
    /// No new route leads over it: its watchers did not reach it, and not enough of them have said since that they do.
    Suspended,
    /// It was asked to leave, and serves on until no document lists it.
    Leaving {
        /// When it stops at the latest.
        by: Time,
    },
    /// The replay log can't be written: nothing may leave.
    ReplayLog {
        /// What the system said.
        why: String,
    },
    /// The mailbox store fails.
    Store(StoreError),
    /// The directory's state can't be saved.
    Directory {
        /// What the system said.
        why: String,
    },
    /// It was asked to stop.
    Stopping,
}

shoal_proto::labels! {
    /// 1 while this keeps the node from its work, as /healthz says in words.
    pub enum TroubleKind("kind") counted by TroubleKinds as gauge "shoal_node_trouble_reasons" in "reasons" {
        /// The machine's clock is off what most neighbours say.
        Clock = "clock", "Set the machine's clock, and see that it is kept right (NTP): the node goes on by itself.";
        /// The first members answer for another network.
        OtherNetwork = "other_network", "Compare network.toml with the others'.";
        /// There is no document.
        NoDocument = "no_document", "After a start it is normal for seconds; else look whether the node reaches others.";
        /// The document in force does not list the node.
        NotAMember = "not_a_member", "A new provider waits for an epoch and a new mix for two; /healthz says until when.";
        /// It voted for two things in one step, and is out for a term.
        Expelled = "expelled", "Look whether a second node runs with a copy of this one's directory; /healthz says until when it is out.";
        /// No document has a place for the node: its family, or the network of one of its addresses (/24, or
        /// /48 for IPv6), stands in another position, or one of its addresses is another member's.
        LeftOut = "left_out", "/healthz says what to change.";
        /// The epoch's key is lost.
        NoKey = "no_key", "It ends by itself; /healthz says when. Look at the disk if it comes again.";
        /// Most neighbours' packets can't be opened.
        Deaf = "deaf", "Compare the clock, and look whether another node runs with a copy of this one's directory.";
        /// It waits for links with its neighbours, for seconds.
        Links = "links";
        /// It reaches nobody whom it has to send to.
        Cut = "cut", "Look at the machine's network and firewall, and whether it has the others' family of addresses.";
        /// Its watchers do not reach it.
        Unreachable = "unreachable", "Look at the machine's firewall, the router's forwarded ports, and the addresses that the node advertises.";
        /// No new route leads over it.
        Suspended = "suspended", "It ends by itself within minutes, once its watchers reach it.";
        /// It was asked to leave, and serves on.
        Leaving = "leaving";
        /// The replay log can't be written.
        ReplayLog = "replay_log", "Look at the disk of the state directory: space, and errors in the system's log.";
        /// The mailbox store fails.
        Store = "store", "Look at the disk of the state directory; /healthz says what is wrong.";
        /// The directory's state can't be saved.
        Directory = "directory", "Look at the disk of the state directory: space, and errors in the system's log.";
        /// It was asked to stop.
        Stopping = "stopping";
    }
}

impl Trouble {
    /// Its label in metrics.
    #[must_use]
    pub const fn kind(&self) -> TroubleKind {
        match self {
            Self::Clock { .. } => TroubleKind::Clock,
            Self::OtherNetwork { .. } => TroubleKind::OtherNetwork,
            Self::NoDocument { .. } => TroubleKind::NoDocument,
            Self::NotAMember { .. } | Self::Waits { .. } => TroubleKind::NotAMember,
            Self::Expelled { .. } => TroubleKind::Expelled,
            Self::LeftOut { .. } | Self::AddressTaken { .. } => TroubleKind::LeftOut,
            Self::NoKey { .. } => TroubleKind::NoKey,
            Self::Deaf { .. } => TroubleKind::Deaf,
            Self::Links { .. } => TroubleKind::Links,
            Self::Cut { .. } => TroubleKind::Cut,
            Self::Unreachable { .. } => TroubleKind::Unreachable,
            Self::Suspended => TroubleKind::Suspended,
            Self::Leaving { .. } => TroubleKind::Leaving,
            Self::ReplayLog { .. } => TroubleKind::ReplayLog,
            Self::Store(_) => TroubleKind::Store,
            Self::Directory { .. } => TroubleKind::Directory,
            Self::Stopping => TroubleKind::Stopping,
        }
    }

    /// In one line for people: what is wrong, and until when or what to do about it.
    #[must_use]
    pub fn told(&self, now: Time) -> String {
        match self {
            Self::Clock { ahead, by } => {
                let side = if *ahead { "ahead of" } else { "behind" };
                format!(
                    "this machine's clock is {} {side} that of most neighbours; set it, and see that it is \
                     kept right (NTP): the node goes on by itself",
                    by.human()
                )
            }
            Self::OtherNetwork {
                others,
                of,
                ours,
                theirs,
                ahead_secs,
            } => format!(
                "{others} of {of} first members answer for another network: compare network.toml with \
                 theirs (its hash is {} here and {} there; `shoal network show` prints it){}",
                ours.short(),
                theirs.short(),
                ahead_secs.map_or_else(String::new, clock_too)
            ),
            Self::NoDocument { missing: 0, .. } => {
                "there is no document of the network yet; neighbours are asked for it".to_owned()
            }
            Self::NoDocument { missing, of } => format!(
                "there is no document of the network yet: {missing} of {of} first members have not been \
                 heard of, and no neighbour has one; look whether they run and this machine reaches them"
            ),
            Self::NotAMember { epoch, next } => format!(
                "the document of epoch {epoch} has no place for this node yet; it waits for the next one that \
                 can, {}",
                At(*next, now)
            ),
            Self::Waits {
                epoch,
                waiting,
                next,
            } => format!(
                "the document of epoch {epoch} does not list this node: {}",
                waits(waiting, At(*next, now))
            ),
            Self::Expelled { epoch, last, next } => format!(
                "the document of epoch {epoch} expels this node up to epoch {last}, because it has voted for \
                 two things in one step: look whether a second node runs with a copy of this one's directory; \
                 it comes back by itself, {}",
                At(*next, now)
            ),
            Self::LeftOut { epoch, why } => {
                format!(
                    "the document of epoch {epoch} leaves this node out: {}",
                    advice(*why)
                )
            }
            Self::AddressTaken { epoch, address } => format!(
                "the document of epoch {epoch} leaves this node out: its address {address} is another member's; look \
                 at `advertise`, and whether a second node runs behind the same router: each needs an \
                 address or a port of its own"
            ),
            Self::NoKey { epoch, next } => format!(
                "the key of this node for epoch {epoch} is lost, so no packet can be opened; the next one \
                 is in use {}",
                At(*next, now)
            ),
            Self::Deaf { why } => {
                let cause = match why {
                    DropReason::UnknownEpoch => {
                        "they are of another epoch: compare this machine's clock with the time"
                    }
                    _ => {
                        "they are packed for another key: look whether a second node runs with a copy of \
                         this one's directory"
                    }
                };
                format!("most neighbours' packets can't be opened ({why}); {cause}")
            }
            Self::Links { missing } => format!("{missing} neighbours are not linked yet"),
            Self::Cut { of, apart: 0 } => format!(
                "none of the {of} members that this node sends to can be reached; look at this machine's \
                 network and firewall"
            ),
            Self::Cut { of, apart } => format!(
                "none of the {of} members that this node sends to can be reached, and {apart} of them have \
                 no address of a family (IPv4, IPv6) that this node has; give it one of the other family, \
                 and advertise it"
            ),
            Self::Unreachable {
                missed_by,
                watchers,
            } => format!(
                "{missed_by} of {watchers} nodes that dial this one do not reach it at any of the addresses that it \
                 advertises; look at this machine's firewall, at the ports that its router forwards, and at \
                 `advertise`; it goes on by itself"
            ),
            Self::Suspended => "no new route leads over this node, because its watchers did not reach it; they look \
                 again several times in a minute, and it goes on by itself"
                .to_owned(),
            Self::Leaving { by } => format!(
                "the node leaves: it serves on until no document lists it, and stops at the latest {}; a second \
                 signal ends it at once",
                At(*by, now)
            ),
            Self::ReplayLog { why } => format!(
                "the replay log can't be written ({why}), so no packet may leave; free some space or look \
                 at the disk of the state directory, and it goes on by itself"
            ),
            Self::Store(error) => format!("deposits are refused: {error}"),
            Self::Directory { why } => format!(
                "the directory's state can't be saved ({why}); free some space or look at the disk of the \
                 state directory, and it goes on by itself"
            ),
            Self::Stopping => "the node is stopping".to_owned(),
        }
    }
}

/// What those of another network say of the clock beside it.
fn clock_too(ahead_secs: i64) -> String {
    // Theirs ahead is ours behind.
    let side = if ahead_secs > 0 { "behind" } else { "ahead of" };
    let by = Span::from_secs(ahead_secs.unsigned_abs());
    format!(
        "; and this machine's clock is {} {side} theirs: set it too",
        by.human()
    )
}

/// What a node that is not listed waits for. Names nobody: `shoal node status` says who has invited it.
fn waits(waiting: &Waiting, next: At) -> String {
    let drawn = format!(
        "it is one of {} that wait to be drawn, of whom {} more come in in this term and {} in each; the next \
         document that can list it takes effect {next}; nothing has to be done",
        waiting.waiting, waiting.room, waiting.a_term
    );
    match waiting.invited {
        _ if waiting.works => "it does the work that the network asks of newcomers, one thread and 200 MB for minutes, \
                               and then waits to be drawn"
            .to_owned(),
        None => drawn,
        Some(Invited::Yes { last, .. }) => format!("it is invited, up to epoch {last}; {drawn}"),
        Some(Invited::No) => "this network takes whom a member invites, and `invitation` in its shoal.toml is empty; \
                              give its id to who runs a member, where `shoal node invite` makes one"
            .to_owned(),
        Some(Invited::Over { last, .. }) => format!(
            "its invitation counted up to epoch {last}; ask who runs a member for another (`shoal node invite`), and \
             put it into shoal.toml"
        ),
        Some(Invited::ByNoMember { .. }) => "who has invited it is no member now; it waits until that is one again, or \
                                             comes in by the invitation of another member"
            .to_owned(),
        Some(Invited::Later { last, from, .. }) if from > last => format!(
            "who has invited it can't bring in anybody before epoch {from}, and the invitation counts up to epoch {last}; \
             ask for one that lasts longer, or ask another member"
        ),
        Some(Invited::Later { from, .. }) => format!(
            "who has invited it can't bring in anybody before epoch {from}: each member brings in one in so many terms, \
             and none as a newcomer; it waits, or comes in sooner by the invitation of another member"
        ),
    }
}

/// What a node shares with whom, so that no document has a place for it, and what to do.
const fn advice(why: NoPlace) -> &'static str {
    match why {
        NoPlace::OtherRole(TieKind::Family) => {
            "its family stands in the other role, and all of a family are providers, or mixes of one layer; \
             run it in that role, or without `family`"
        }
        NoPlace::OtherRole(TieKind::Prefix) => {
            "members of the other role have addresses in the same network (/24, or /48 for IPv6), and all of \
             one are providers, or mixes of one layer; advertise an address in another network"
        }
        NoPlace::FullLayer => {
            "a mix has an address in the same network (/24, or /48 for IPv6), and there is no room beside it; \
             wait until the other layers have grown, or advertise an address in another network"
        }
        // Two layers, and whatever else ties it to where it can't be.
        _ => {
            "its family and the networks of its addresses (/24, or /48 for IPv6) stand in two layers; \
             advertise addresses in another network"
        }
    }
}

/// A time of the day and how long until then, which is what somebody who waits wants to know.
struct At(Time, Time);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(at, now) = self;
        let second = at.as_secs() % 86_400;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let left = Span::from_secs(at.since(*now).as_micros().div_ceil(1_000_000));
        write!(
            f,
            "at {hour:02}:{minute:02}:{second:02} UTC, in {}",
            left.human()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_until_when_and_how_long() {
        let next = Time::from_micros(1_760_004_000_000_000);
        let now = Time::from_micros(1_760_000_760_000_001);
        let epoch = Epoch::new(7);
        for trouble in [
            Trouble::NoKey { epoch, next },
            Trouble::NotAMember { epoch, next },
        ] {
            let told = trouble.told(now);
            assert!(told.contains("epoch 7"), "{told}");
            assert!(told.ends_with("at 10:00:00 UTC, in 54 min"), "{told}");
        }
    }

    #[test]
    fn who_waits_to_be_drawn_is_told_among_how_many() {
        let waiting = |works| Waiting {
            waiting: 31,
            room: 1,
            a_term: 2,
            works,
            invited: None,
        };
        let told = |waiting| {
            let trouble = Trouble::Waits {
                epoch: Epoch::new(7),
                waiting,
                next: Time::from_micros(3_600_000_000),
            };
            trouble.told(Time::default())
        };
        let drawn =
            "one of 31 that wait to be drawn, of whom 1 more come in in this term and 2 in each";
        let when = "takes effect at 01:00:00 UTC, in 60 min";
        let said = told(waiting(false));
        assert!(said.contains(drawn) && said.contains(when), "{said}");
        let said = told(waiting(true));
        assert!(said.contains("does the work"), "{said}");

        // Where members invite, that is what it waits for.
        let (by, last) = (shoal_proto::NodeId::new([7; 32]), Epoch::new(90));
        let from = Epoch::new(80);
        for (invited, words) in [
            (Invited::No, "`invitation` in its shoal.toml is empty"),
            (Invited::Over { by, last }, "counted up to epoch 90"),
            (Invited::ByNoMember { by, last }, "is no member now"),
            (Invited::Later { by, last, from }, "before epoch 80: each"),
            (
                Invited::Later {
                    by,
                    last: Epoch::new(70),
                    from,
                },
                "counts up to epoch 70",
            ),
            (Invited::Yes { by, last }, "is invited, up to epoch 90"),
        ] {
            let invited = Some(invited);
            let said = told(Waiting {
                invited,
                ..waiting(false)
            });
            assert!(said.contains(words) && !said.contains("the work"), "{said}");
            assert!(!said.contains('\n') && said.len() < 400, "{said}");
            assert!(!said.contains(&by.short()), "{said}");
            assert_eq!(said.contains(drawn), words.contains("is invited"), "{said}");
        }
    }

    #[test]
    fn each_is_one_line() {
        let hash = |byte| NetworkHash::new([byte; 32]);
        let epoch = Epoch::new(7);
        let left_out = |why| Trouble::LeftOut { epoch, why };
        let troubles = [
            Trouble::Clock {
                ahead: false,
                by: Span::from_secs(601),
            },
            Trouble::OtherNetwork {
                others: 2,
                of: 3,
                ours: hash(1),
                theirs: hash(2),
                ahead_secs: Some(-601),
            },
            Trouble::NoDocument { missing: 2, of: 3 },
            Trouble::Deaf {
                why: DropReason::Mac,
            },
            Trouble::Cut { of: 3, apart: 2 },
            Trouble::Store(StoreError::DiskFull),
            left_out(NoPlace::OtherRole(TieKind::Family)),
            left_out(NoPlace::OtherRole(TieKind::Prefix)),
            left_out(NoPlace::TwoLayers),
            left_out(NoPlace::FullLayer),
            Trouble::AddressTaken {
                epoch,
                address: "/ip6/2001:db8:1111:2222:3333:4444:5555:6666/udp/65535/quic-v1"
                    .parse()
                    .unwrap(),
            },
        ];
        for trouble in troubles {
            let told = trouble.told(Time::default());
            assert!(!told.contains('\n') && told.len() < 400, "{told}");
        }
    }
}
