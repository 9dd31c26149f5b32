//! What a node answers on the socket in its directory: how it is, and nothing else.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use shoal_mix::DropReason;
use shoal_proto::{Epoch, NodeId, Time};
use shoal_roles::node::{Linked, Standing};
use shoal_topology::{Invited, NetworkParameters, Waiting};
use tokio::sync::{mpsc, oneshot, watch};

use super::host::Report;
use crate::control::Handler;
use crate::control::protocol::{
    BesideStatus, ClockStatus, DiskStatus, EpochStatus, InvitationStatus, LinkStatus, MemoryStatus,
    NextStatus, NodeStatus, NodeTrouble, ReachStatus, Refusal, RefusalCode, Request, Response,
    RouterStatus, SuccessorStatus, WaitingStatus,
};
use crate::metrics::resident_bytes;
use crate::net::Way;
use crate::runtime::clock::Clock;
use crate::state::free_bytes;
use crate::upnp::Told;

/// How long the loop may take to say how it is before it is held to be stuck, as at `/healthz`.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers the node's operator.
pub(super) struct Operator {
    pub(super) node: NodeId,
    pub(super) params: Arc<NetworkParameters>,
    pub(super) dir: PathBuf,
    pub(super) clock: Clock,
    pub(super) started: Time,
    /// Bytes that the replay filters take at most.
    pub(super) replay_most: u64,
    /// What has come of asking the router for ports, if it is asked.
    pub(super) router: Option<watch::Receiver<Told>>,
    pub(super) reports: mpsc::Sender<oneshot::Sender<Report>>,
}

impl Handler for Operator {
    fn handle(&self, request: Request) -> BoxFuture<'_, Result<Response, Refusal>> {
        self.answer(request).boxed()
    }
}

impl Operator {
    async fn answer(&self, request: Request) -> Result<Response, Refusal> {
        match request {
            Request::Status => {
                let report = self.report().await?;
                Ok(Response::Node(Box::new(self.status(&report))))
            }
            _ => {
                let message = "a node runs here, which answers `status` alone";
                Err(Refusal::new(RefusalCode::Invalid, message))
            }
        }
    }

    async fn report(&self) -> Result<Report, Refusal> {
        let (reply, answer) = oneshot::channel();
        let asking = async {
            self.reports.send(reply).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Some(report)) => Ok(report),
            Ok(None) => Err(Refusal::new(RefusalCode::Stopped, "the node is stopping")),
            Err(_) => {
                let message = "the node's loop does not answer: see its log, and start it again";
                Err(Refusal::new(RefusalCode::Internal, message))
            }
        }
    }

    fn status(&self, report: &Report) -> NodeStatus {
        let now = self.clock.now();
        let (figures, standing) = (&report.figures, &report.standing);
        let (next, clock) = (standing.next, standing.clock);
        let troubles = report.troubles.iter().map(|(kind, text)| NodeTrouble {
            kind: kind.to_string(),
            text: text.clone(),
        });
        let reasons = DropReason::ALL.iter();
        let dropped = reasons.map(|reason| (reason.to_string(), figures.books.dropped(*reason)));
        let open = Way::ALL.iter();
        let open = open.map(|way| (way.to_string(), report.open.of(*way)));
        NodeStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.node.to_string(),
            network: self.params.name.clone(),
            network_hash: self.params.hash().to_string(),
            role: standing.role.as_str().to_owned(),
            ready: report.troubles.is_empty(),
            troubles: troubles.collect(),
            uptime_secs: seconds_until(now, self.started),
            epoch: EpochStatus {
                now: figures.node.epoch,
                document: standing.document.map(|epoch| epoch.number()),
                members: figures.node.members,
                listed: standing.is_listed,
                position: standing.position,
            },
            next: NextStatus {
                epoch: next.epoch.number(),
                in_secs: seconds_until(next.at, now),
                here: next.is_here,
                has_place: next.has_place,
                usable_in_secs: seconds_until(next.usable, now),
            },
            waiting: standing.waiting.map(|it| waiting(&self.params, now, &it)),
            successor: standing.follows.map(|(hash, epoch)| SuccessorStatus {
                hash: hash.to_string(),
                epoch: epoch.number(),
                in_secs: seconds_until(self.params.start_of(epoch), now),
            }),
            clock: ClockStatus {
                families: clock.families as u64,
                ahead_secs: clock.ahead_us.map(|micros| (micros / 1000) as f64 / 1e3),
                tolerance_secs: clock.tolerance.as_secs_f64(),
            },
            links: LinkStatus {
                before: beside(standing.before),
                after: beside(standing.after),
                apart: figures.node.apart,
                open: open.collect(),
            },
            reach: reach(standing, now),
            router: self.router.as_ref().map(|told| router(&told.borrow())),
            received: figures.books.counters.received,
            forwarded: figures.books.counters.forwarded,
            dropped: dropped.filter(|(_, count)| *count > 0).collect(),
            disk: DiskStatus {
                free_bytes: free_bytes(&self.dir).ok(),
                replay_log_failures: figures.node.replay_log,
                directory_failures: figures.node.directory_state,
            },
            memory: MemoryStatus {
                resident_bytes: resident_bytes(),
                replay_most_bytes: self.replay_most,
            },
            backend: report.backend.to_owned(),
        }
    }
}

fn waiting(params: &NetworkParameters, now: Time, waiting: &Waiting) -> WaitingStatus {
    let invitation = |by: NodeId, last: Epoch, counts, from: Option<Epoch>| InvitationStatus {
        by: by.to_string(),
        last_epoch: last.number(),
        lasts_secs: seconds_until(params.start_of(last.next()), now),
        counts,
        from_epoch: from.map(Epoch::number),
    };
    WaitingStatus {
        waiting: waiting.waiting as u64,
        room: waiting.room as u64,
        a_term: waiting.a_term as u64,
        works: waiting.works,
        invitation: waiting.invited.and_then(|invited| match invited {
            Invited::No => None,
            Invited::Over { by, last } | Invited::ByNoMember { by, last } => {
                Some(invitation(by, last, false, None))
            }
            Invited::Later { by, last, from } => Some(invitation(by, last, false, Some(from))),
            Invited::Yes { by, last } => Some(invitation(by, last, true, None)),
        }),
    }
}

fn reach(standing: &Standing, now: Time) -> ReachStatus {
    let watched = standing.watched;
    let addresses = standing.addresses.iter().zip(watched.addresses);
    let missed = addresses.map(|(address, missed)| (address.to_string(), missed as u64));
    ReachStatus {
        watchers: watched.watchers as u64,
        missed_by: watched.missed_by as u64,
        missed_at: missed.collect(),
        suspended: standing.suspended,
        leaves_in_secs: standing.leaves_by.map(|by| seconds_until(by, now)),
    }
}

fn router(told: &Told) -> RouterStatus {
    RouterStatus {
        forwarded: told.forwarded.iter().map(ToString::to_string).collect(),
        trouble: told.trouble.clone(),
    }
}

const fn beside(linked: Linked) -> BesideStatus {
    BesideStatus {
        members: linked.members as u64,
        linked: linked.linked as u64,
    }
}

/// Whole seconds from the second time to the first.
fn seconds_until(at: Time, now: Time) -> u64 {
    at.since(now).as_micros().div_ceil(1_000_000)
}
