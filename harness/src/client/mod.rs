//! The host of a client: what survives a crash of its process, and what a process is started from.

mod connections;
mod process;
mod shim;

use std::collections::BTreeMap;
use std::sync::Arc;

use shoal_client::{
    ClientConfig, ClientKeys, Counters, Invitation, PeerKey, PlaceAudience, PlaceStage, UserRequest,
};
use shoal_packet::Frame;
use shoal_proto::{ClientHandle, MessageId, NodeId, Time};
use shoal_roles::client::Session;
use zeroize::Zeroizing;

use self::process::{Outlet, Process};
pub(crate) use self::shim::Shim;
use crate::disk::ClientDisk;
use crate::error::SimulationError;
use crate::event::{Connection, Event, Lane};
use crate::observe::Observer;
use crate::party::Party;
use crate::report::Happening;
use crate::trace::Kind;
use crate::world::World;

/// A client, up or down.
pub(crate) struct ClientHost {
    pub(crate) party: Party,
    /// The entry that the user names, if any.
    pinned: Option<Party>,
    config: ClientConfig,
    keys: Zeroizing<Vec<u8>>,
    disk: ClientDisk,
    process: Option<Process>,
    online: bool,
    incarnations: u64,
    past: Vec<Counters>,
    /// Frames of earlier processes for which there was no link.
    past_lost: u64,
    requests: BTreeMap<MessageId, u64>,
    shim: Shim,
}

/// What a client is made of.
pub(crate) struct Plan {
    pub(crate) party: Party,
    pub(crate) pinned: Option<Party>,
    pub(crate) config: ClientConfig,
    pub(crate) keys: ClientKeys,
}

impl ClientHost {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            party: plan.party,
            pinned: plan.pinned,
            config: plan.config,
            keys: plan.keys.to_bytes(),
            disk: ClientDisk::default(),
            process: None,
            online: false,
            incarnations: 0,
            past: Vec::new(),
            past_lost: 0,
            requests: BTreeMap::new(),
            shim: Shim::default(),
        }
    }

    /// Starts the process from what the disk has.
    pub(crate) fn start(&mut self, world: &mut World) -> Result<(), SimulationError> {
        if self.process.is_some() {
            return Ok(());
        }
        self.incarnations += 1;
        let incarnation = self.incarnations;
        let failed = |source| SimulationError::Client {
            party: self.party,
            source,
        };
        let keys = ClientKeys::from_bytes(&self.keys).map_err(failed)?;
        let mut rng = world.generator("client", u64::from(self.party.0), incarnation);
        let (params, config) = (Arc::clone(&world.params), self.config.clone());
        let session = Session::new(params, config, keys, &mut rng, &self.disk.rows(), world.now);
        let mut process = Process::new(self.party, incarnation, session.map_err(failed)?);
        world.set_presence(self.party, Some(incarnation));
        world.note_own(self.party, Kind::Started, incarnation);
        if self.online {
            process.set_online(true, world.now);
        }
        self.process = Some(process);
        Ok(())
    }

    /// Ends the process without warning.
    pub(crate) fn crash(&mut self, world: &mut World) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        world.set_presence(self.party, None);
        world.note_own(self.party, Kind::Crashed, 0);
        let writing = process.end(world);
        if world.was_written(self.party) && !world.conditions.disk_fails(self.party) {
            for (_, changes) in writing {
                self.disk.write(changes);
            }
        }
        self.past.push(process.session().counters());
        self.past_lost += process.lost();
    }

    /// What the user wants from now on.
    pub(crate) fn set_online(&mut self, online: bool, now: Time) {
        self.online = online;
        if let Some(process) = &mut self.process {
            process.set_online(online, now);
        }
    }

    /// False if the process is down.
    pub(crate) fn ask(&mut self, request: u64, what: UserRequest, now: Time) -> bool {
        let up = self.process.as_mut();
        up.map(|process| process.want(request, what, now)).is_some()
    }

    /// Has an event happen. False if nothing follows from it.
    pub(crate) fn happen(
        &mut self,
        event: Event,
        world: &mut World,
        observer: &mut Observer,
    ) -> bool {
        let Some(process) = &mut self.process else {
            return false;
        };
        match event {
            Event::Disk { incarnation, .. } => {
                process.written(incarnation, world, &mut self.disk);
                true
            }
            event => process.happen(event, world, observer),
        }
    }

    /// Does what the session wants done, and sets the next wake.
    pub(crate) fn settle(
        &mut self,
        world: &mut World,
        observer: &mut Observer,
        happenings: &mut Vec<Happening>,
    ) -> Result<(), SimulationError> {
        let mut outlet = Outlet {
            shim: &mut self.shim,
            requests: &mut self.requests,
            happenings,
        };
        match &mut self.process {
            Some(process) => process.settle(&mut outlet, world, observer),
            None => Ok(()),
        }
    }

    /// Puts a frame on the uplink in place of the session's next one. False if there is none.
    pub(crate) fn send_at_once(&mut self, frame: Frame, world: &mut World) -> bool {
        let Some(link) = self.process.as_ref().and_then(Process::link) else {
            return false;
        };
        self.shim.inject();
        let lane = Lane::Uplink(link.number);
        world.send_frame(self.party, link.node, lane, frame);
        true
    }

    /// Whether somebody is a contact.
    pub(crate) fn knows(&self, key: &PeerKey) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| process.session().client().contact(key).is_some())
    }

    /// The key by which others know it; none while the process is down.
    pub(crate) fn public_key(&self) -> Option<PeerKey> {
        Some(self.process.as_ref()?.session().public_key())
    }

    /// The invitation that was made last.
    pub(crate) fn last_invitation(&self) -> Option<Invitation> {
        let all = self.process.as_ref()?.session().client().invitations();
        // Of several of one moment any is the last.
        let last = all.into_iter().max_by_key(|status| status.made);
        last.map(|status| status.invitation)
    }

    /// Who keeps the first mailbox that invitations lead to; none while the process is down, or has none.
    pub(crate) fn mailbox(&self) -> Option<NodeId> {
        let places = self.process.as_ref()?.session().places();
        let mut present = places.iter().filter(|place| {
            place.stage == PlaceStage::Present && place.audience != PlaceAudience::Contacts
        });
        Some(present.next()?.mailboxes.first()?.provider)
    }

    /// Whether who is invited is heard.
    pub(crate) fn is_open(&self) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|process| process.session().is_open())
    }

    pub(crate) fn counters(&self) -> Vec<Counters> {
        let running = self.process.as_ref();
        let running = running.map(|process| process.session().counters());
        self.past.iter().copied().chain(running).collect()
    }

    pub(crate) const fn shim(&self) -> Shim {
        self.shim
    }

    /// Frames that the session sent and for which there was no link.
    pub(crate) fn lost(&self) -> u64 {
        self.past_lost + self.process.as_ref().map_or(0, Process::lost)
    }

    /// The entry that it is attached to, and what that calls it.
    pub(crate) fn attached(&self) -> Option<(Party, ClientHandle)> {
        self.process.as_ref()?.attached()
    }

    /// The entry that it is attached to, or that its user names.
    pub(crate) fn entry(&self) -> Option<Party> {
        let attached = self.attached().map(|(entry, _)| entry);
        attached.or(self.pinned)
    }

    /// Its connections, whether they stand yet or not.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        let process = self.process.as_ref();
        process.map(Process::connections).unwrap_or_default()
    }
}
