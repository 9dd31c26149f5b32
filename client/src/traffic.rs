//! What leaves: when, and what is inside. What comes back to it is found by its reply block.

use std::sync::Arc;

use rand::CryptoRng;
use shoal_packet::Frame;
use shoal_proto::{ClientHandle, MessageId, NodeId, SurbId, Time};
use shoal_topology::{Document, NetworkParameters, Profile, View};

use crate::clock::ClockStep;
use crate::config::ClientConfig;
use crate::event::HopTrace;
use crate::identity::Identity;
use crate::outbox::Outbox;
use crate::packets::{BuildError, Packet, Packets};
use crate::places::Places;
use crate::replies::{Outstanding, Purpose, ReplyBook};
use crate::rows::{BoxId, Change};
use crate::schedule::{Process, Schedule, Tick};

/// Fragments whose providers are missing that one turn passes over at most.
const MOST_MISSING: usize = 64;

/// What a packet was.
pub(crate) enum Sent {
    /// A fragment.
    Fragment {
        message: MessageId,
        index: u16,
        /// It was sent before.
        again: bool,
        /// The rows that this changed.
        changes: Vec<Change>,
        trace: Vec<HopTrace>,
    },
    /// A dummy in a fragment's place.
    Dummy {
        /// The rows that a fragment changed which could not leave.
        changes: Vec<Change>,
    },
    /// A question for a token in a fragment's place.
    Token,
    /// A loop.
    Loop,
    /// Drop cover.
    Drop,
    /// Drop cover in the place of a mailbox packet, because the mailbox's provider is gone.
    MailboxMissing(BoxId),
    /// A mailbox packet.
    Mailbox(BoxId),
}

/// The clocks, the packets that leave at their ticks, and the reply blocks that are out.
pub(crate) struct Traffic<R> {
    schedule: Schedule,
    packets: Packets<R>,
    replies: ReplyBook,
}

impl<R: CryptoRng> Traffic<R> {
    pub(crate) fn new(
        params: Arc<NetworkParameters>,
        profile: &Profile,
        config: &ClientConfig,
        mut rng: R,
        now: Time,
    ) -> Self {
        let (limit, patience) = (config.limits.reply_keys, config.reply_timeout);
        let sweep_every = params.switch_margin();
        Self {
            schedule: Schedule::new(profile, config.first_contact_mean, &mut rng),
            replies: ReplyBook::new(limit, patience, sweep_every, now),
            packets: Packets::new(params, rng),
        }
    }

    pub(crate) fn rng(&mut self) -> &mut R {
        self.packets.rng()
    }

    pub(crate) fn set_view(&mut self, view: Arc<View>) {
        self.packets.set_view(view);
    }

    /// The documents known now.
    pub(crate) fn view(&self) -> Option<&View> {
        self.packets.view()
    }

    /// The document in force.
    pub(crate) fn document(&self, now: Time) -> Option<Arc<Document>> {
        self.packets.document(now)
    }

    pub(crate) fn attach(&mut self, entry: NodeId, handle: ClientHandle) {
        self.packets.attach(entry, handle);
    }

    pub(crate) fn detach(&mut self) {
        self.packets.detach();
        self.schedule.stop();
        // Reply blocks lead to the handle of the connection that is gone.
        self.replies.clear();
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.packets.is_attached()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.schedule.running()
    }

    /// Starts the clocks if all is there that packets are built of; true if it just did.
    pub(crate) fn start_if_ready(&mut self, now: Time) -> bool {
        let starts = self.packets.is_ready() && !self.schedule.running();
        if starts {
            self.schedule.start(now);
        }
        starts
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.schedule.deadline()
    }

    pub(crate) fn next_tick(&mut self, now: Time) -> Option<Tick> {
        self.schedule.tick(now)
    }

    /// The packet for a tick. Every tick has exactly one, unless there is no path at all.
    pub(crate) fn packet(
        &mut self,
        now: Time,
        process: Process,
        outbox: &mut Outbox,
        places: &mut Places,
        owner: &Identity,
    ) -> Result<(Frame, Sent), BuildError> {
        let (packet, sent) = match process {
            Process::Real => self.real(now, outbox, places, owner)?,
            Process::Loop => (self.packets.circle(now)?, Sent::Loop),
            Process::Drop => (self.packets.drop_cover(now)?, Sent::Drop),
            Process::Mailbox => match places.turn(self.packets.rng()) {
                Some(id) => match self.packets.mailbox(now, places, id, owner) {
                    // The link must not show it.
                    Err(BuildError::LastHop) => {
                        (self.packets.drop_cover(now)?, Sent::MailboxMissing(id))
                    }
                    packet => (packet?, Sent::Mailbox(id)),
                },
                // Nor that there is none yet.
                None => (self.packets.drop_cover(now)?, Sent::Drop),
            },
        };
        for block in packet.blocks {
            self.replies.insert(now, block);
        }
        Ok((packet.frame, sent))
    }

    fn real(
        &mut self,
        now: Time,
        outbox: &mut Outbox,
        places: &mut Places,
        owner: &Identity,
    ) -> Result<(Packet, Sent), BuildError> {
        // Rare, and a mailbox waits for it.
        if let Some((id, provider, asking)) = places.ask(now) {
            match self.packets.token(now, &provider, (id, asking)) {
                Err(BuildError::LastHop) => {}
                packet => return Ok((packet?, Sent::Token)),
            }
        }
        let mut changes = Vec::new();
        for _ in 0..MOST_MISSING {
            let Some(due) = outbox.next_due(now) else {
                break;
            };
            let (message, index, again) = (due.message, due.index, due.again);
            match self.packets.deposit(now, &due, owner) {
                // The receiver's provider is gone from this epoch: later, perhaps. The turn is another's.
                Err(BuildError::LastHop) => {
                    changes.extend(outbox.tried(&message, index, false, now));
                }
                packet => {
                    let mut packet = packet?;
                    changes.extend(outbox.tried(&message, index, true, now));
                    let sent = Sent::Fragment {
                        message,
                        index,
                        again,
                        changes,
                        trace: std::mem::take(&mut packet.trace),
                    };
                    return Ok((packet, sent));
                }
            }
        }
        Ok((self.packets.dummy(now)?, Sent::Dummy { changes }))
    }

    /// What an answer is to, by its identifier, and whether it had counted as lost.
    pub(crate) fn answered(&mut self, id: &SurbId) -> Option<(Outstanding, bool)> {
        self.replies.take(id)
    }

    /// The next packet whose answer is overdue.
    pub(crate) fn overdue(&mut self, now: Time) -> Option<Purpose> {
        self.replies.overdue(now)
    }

    /// Forgets the reply blocks of epochs that are over.
    pub(crate) fn sweep(&mut self, now: Time) {
        if let Some(counts_until) = self.packets.counts_until() {
            self.replies.sweep(now, counts_until);
        }
    }

    /// Reply blocks that are out.
    pub(crate) fn blocks_out(&self) -> usize {
        self.replies.len()
    }

    /// Reply blocks forgotten because there were too many.
    pub(crate) fn blocks_evicted(&self) -> u64 {
        self.replies.evicted()
    }

    /// While nothing is attached to: what waits, waits as long as before.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        self.replies.clock_moved(step);
    }
}
