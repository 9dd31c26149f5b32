//! A hop's work, with one of the back ends.

use crate::backend::Backend;
use crate::batch::Batch;
use crate::error::{BackendMissing, UnwrapError};
use crate::header::Routing;
use crate::hop::{Job, Pass, WIDE};
use crate::key::SphinxSecret;
use crate::packet::{Packet, Payload};
use crate::replay::ReplayTag;
use crate::x25519::GROUP;
use shoal_proto::size::PACKET_BYTES;
use shoal_proto::{NodeId, Span, SurbId};

/// What a packet turns out to be.
#[derive(Debug)]
pub enum Unwrapped {
    /// To be passed on.
    Forward {
        /// Where to. Chosen by the sender: send only to members that fit the layers.
        next: NodeId,
        /// How long to hold it, from its arrival. Chosen by the sender: clamp it. Parts of a
        /// microsecond are dropped.
        delay: Span,
        /// What to send.
        packet: Packet,
    },
    /// It ends here.
    Final {
        /// The handle of a client, or random.
        destination: [u8; 32],
        /// The identifier of the reply block, or random. All zeros only if the sender broke the
        /// rules.
        id: SurbId,
        /// What it carries: a command if the plaintext reads, else for the client.
        payload: Payload,
    },
}

/// Does the work on packets with one of the back ends. Copies freely, holds no secret.
///
/// ```
/// use shoal_packet::{Backend, Engine};
///
/// let engine = Engine::best();
/// assert!(engine.backend().is_available());
/// assert!(Engine::with(Backend::Portable).is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    backend: Backend,
}

impl Default for Engine {
    fn default() -> Self {
        Self::best()
    }
}

impl Engine {
    /// How many packets one pass handles together, and how many a [`Batch`] has at most.
    pub const BATCH: usize = WIDE;
    /// How many cost as much as one where several are worked on at a time ([`Backend::Ifma`]): a batch of fewer
    /// costs the same, one more as much again.
    pub const LANES: usize = crate::x25519::GROUP;

    /// With the fastest back end of this machine.
    #[must_use]
    pub fn best() -> Self {
        Self {
            backend: Backend::best(),
        }
    }

    /// With this back end.
    ///
    /// # Errors
    /// [`BackendMissing`] if this machine or this build has not got it.
    pub fn with(backend: Backend) -> Result<Self, BackendMissing> {
        if backend.is_available() {
            Ok(Self { backend })
        } else {
            Err(BackendMissing(backend))
        }
    }

    /// Its back end.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// Does this hop's work on a packet: removes one layer, in the packet's own buffer.
    ///
    /// `fresh` is asked once, after the MAC held and before the costly half: it remembers the
    /// tag and says whether it is new. It is not asked for packets that anybody could have made
    /// up, so nobody can fill the filter without a valid header.
    ///
    /// # Errors
    /// [`UnwrapError`] says why the packet is dropped; no bytes make this panic.
    pub fn unwrap(
        &self,
        secret: &SphinxSecret,
        mut packet: Packet,
        fresh: impl FnOnce(&ReplayTag) -> bool,
    ) -> Result<Unwrapped, UnwrapError> {
        let mut fresh = Some(fresh);
        let mut jobs = [Job::new(secret, packet.as_bytes_mut())];
        self.unwrap_in_place(PACKET_BYTES, &mut jobs, |_, tag| {
            fresh.take().is_some_and(|fresh| fresh(tag))
        });
        let [job] = jobs;
        typed(job.outcome(), packet)
    }

    /// Does this hop's work on several packets, which may be meant for different keys, in their
    /// own buffers and without allocating. A bad packet harms no other. Gives the outcomes in the
    /// order of the packets.
    ///
    /// `fresh` is asked as in [`unwrap`](Self::unwrap), in the order of the packets, with the
    /// packet's place in the batch; a packet that is in the batch twice is asked about twice.
    #[must_use]
    pub fn unwrap_batch(
        &self,
        mut batch: Batch<(&SphinxSecret, Packet)>,
        fresh: impl FnMut(usize, &ReplayTag) -> bool,
    ) -> Batch<Result<Unwrapped, UnwrapError>> {
        let mut outcomes = self.pass(&mut batch, fresh).into_iter();
        batch.map(|(_, packet)| {
            let outcome = outcomes.next().unwrap_or(Err(UnwrapError::Malformed));
            typed(outcome, packet)
        })
    }

    fn pass(
        &self,
        batch: &mut Batch<(&SphinxSecret, Packet)>,
        fresh: impl FnMut(usize, &ReplayTag) -> bool,
    ) -> [Result<Routing, UnwrapError>; WIDE] {
        let mut outcomes = [Err(UnwrapError::Malformed); WIDE];
        let idle = SphinxSecret::idle();
        let mut jobs: [Job<'_>; WIDE] = std::array::from_fn(|_| Job::new(&idle, &mut []));
        let count = batch.len();
        for (job, (secret, packet)) in jobs.iter_mut().zip(batch.iter_mut()) {
            *job = Job::new(secret, packet.as_bytes_mut());
        }
        self.unwrap_in_place(PACKET_BYTES, &mut jobs[..count], fresh);
        for (outcome, job) in outcomes.iter_mut().zip(&jobs) {
            *outcome = job.outcome();
        }
        outcomes
    }

    /// Does this hop's work on packets of `packet_bytes` each, which need not be the network's
    /// size: for simulations and measurements. A header has 348 bytes, a payload more than 32; a
    /// packet of another length is malformed. One that is rejected keeps its bytes; of one that
    /// ends here the header is wiped. Any number of packets is cut into passes.
    ///
    /// `fresh` is asked as in [`unwrap_batch`](Self::unwrap_batch).
    pub fn unwrap_in_place(
        &self,
        packet_bytes: usize,
        jobs: &mut [Job<'_>],
        mut fresh: impl FnMut(usize, &ReplayTag) -> bool,
    ) {
        for (chunk, jobs) in jobs.chunks_mut(WIDE).enumerate() {
            let mut fresh = |index: usize, tag: &ReplayTag| fresh(chunk * WIDE + index, tag);
            // Buffers on the stack are wiped after use: no larger than it takes.
            match jobs.len() {
                1 => Pass::<1>::run(self.backend, packet_bytes, jobs, &mut fresh),
                2..=GROUP => Pass::<GROUP>::run(self.backend, packet_bytes, jobs, &mut fresh),
                _ => Pass::<WIDE>::run(self.backend, packet_bytes, jobs, &mut fresh),
            }
        }
    }
}

fn typed(outcome: Result<Routing, UnwrapError>, packet: Packet) -> Result<Unwrapped, UnwrapError> {
    Ok(match outcome? {
        Routing::Forward { next, delay } => Unwrapped::Forward {
            next,
            delay,
            packet,
        },
        Routing::Final { destination, id } => Unwrapped::Final {
            destination,
            id,
            payload: packet.into_payload(),
        },
    })
}

/// [`Engine::unwrap`] with the fastest back end of this machine.
///
/// # Errors
/// [`UnwrapError`] says why the packet is dropped.
pub fn unwrap(
    secret: &SphinxSecret,
    packet: Packet,
    fresh: impl FnOnce(&ReplayTag) -> bool,
) -> Result<Unwrapped, UnwrapError> {
    Engine::best().unwrap(secret, packet, fresh)
}
