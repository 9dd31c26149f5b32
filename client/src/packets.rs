//! Building packets: over the mixes of the document in force, from where the client is attached.
//! A real packet and its cover take the same steps: a route there, a route back, one reply block,
//! one packet.

use std::sync::Arc;

use rand::CryptoRng;
use shoal_packet::command::{Command, Deposit, MailboxRequest, Reply, TokenAsk};
use shoal_packet::{Frame, Hop, Surb, build_forward, build_surb};
use shoal_proto::size::SURBS_PER_MAILBOX_PACKET;
use shoal_proto::{ClientHandle, Epoch, MailboxId, NodeId, SurbId, Time};
use shoal_topology::{Document, NetworkParameters, PathError, View, path};
use thiserror::Error;

use crate::event::HopTrace;
use crate::identity::Identity;
use crate::mailbox::MailboxLink;
use crate::outbox::Due;
use crate::places::Places;
use crate::replies::{Outstanding, Purpose};
use crate::rows::BoxId;
use crate::ticket::Asking;

/// Why no packet was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum BuildError {
    #[error("no document is in force, or no entry is attached to")]
    NoDocument,
    #[error("the entry is not a provider of the epoch")]
    Entry,
    #[error("the last hop is not a provider of the epoch")]
    LastHop,
    #[error("the packet could not be built")]
    Packet,
}

/// A packet that is ready.
pub(crate) struct Packet {
    pub(crate) frame: Frame,
    /// The reply blocks in it.
    pub(crate) blocks: Vec<Outstanding>,
    /// Its route.
    pub(crate) trace: Vec<HopTrace>,
}

/// Where the client is attached.
#[derive(Clone, Copy)]
struct Link {
    entry: NodeId,
    handle: ClientHandle,
}

/// What a packet is built on: the document in force, and where the client is attached.
struct Ground {
    document: Arc<Document>,
    link: Link,
}

/// Builds packets.
pub(crate) struct Packets<R> {
    params: Arc<NetworkParameters>,
    view: Option<Arc<View>>,
    link: Option<Link>,
    rng: R,
}

impl<R: CryptoRng> Packets<R> {
    pub(crate) fn new(params: Arc<NetworkParameters>, rng: R) -> Self {
        Self {
            params,
            view: None,
            link: None,
            rng,
        }
    }

    pub(crate) fn view(&self) -> Option<&View> {
        self.view.as_deref()
    }

    pub(crate) fn set_view(&mut self, view: Arc<View>) {
        self.view = Some(view);
    }

    /// The document in force.
    pub(crate) fn document(&self, now: Time) -> Option<Arc<Document>> {
        let view = self.view.as_ref()?;
        view.current(&self.params, now).map(Arc::clone)
    }

    pub(crate) fn attach(&mut self, entry: NodeId, handle: ClientHandle) {
        self.link = Some(Link { entry, handle });
    }

    pub(crate) fn detach(&mut self) {
        self.link = None;
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.link.is_some()
    }

    /// Whether there are documents and somebody to send to.
    pub(crate) fn is_ready(&self) -> bool {
        let documents = |view: &Arc<View>| !view.documents.is_empty();
        self.is_attached() && self.view.as_ref().is_some_and(documents)
    }

    /// Until when packets of an epoch count; `None` without documents.
    pub(crate) fn counts_until(&self) -> Option<impl Fn(Epoch) -> Time + '_> {
        let view = self.view.as_ref()?;
        Some(|epoch| view.counts_until(&self.params, epoch))
    }

    /// The client's randomness.
    pub(crate) fn rng(&mut self) -> &mut R {
        &mut self.rng
    }

    /// A fragment for its receiver's mailbox, sealed by `owner`. [`BuildError::LastHop`] if the mailbox's
    /// provider is not in this epoch.
    pub(crate) fn deposit(
        &mut self,
        now: Time,
        due: &Due,
        owner: &Identity,
    ) -> Result<Packet, BuildError> {
        let ground = self.ground(now)?;
        let route = self.route(&ground, &due.row.site.provider)?;
        let blob = owner
            .seal(&mut self.rng, &due.to, &due.row)
            .map_err(|_| BuildError::Packet)?;
        let purpose = Purpose::Deposit {
            message: due.message,
            index: due.index,
            deposit: due.row.deposit,
        };
        let (surb, block) = self.surb(&ground, &ground.document, purpose)?;
        let command = Command::Deposit(Box::new(Deposit {
            surb_epoch: ground.document.epoch().byte(),
            surb,
            drop: due.row.site.drop,
            message: due.row.deposit,
            blob,
        }));
        self.forward(&ground, &route, &command, vec![block])
    }

    /// The question for a token, in the place of a dummy. [`BuildError::LastHop`] if its issuer is not in this
    /// epoch.
    pub(crate) fn token(
        &mut self,
        now: Time,
        provider: &NodeId,
        (of, asking): (BoxId, Asking),
    ) -> Result<Packet, BuildError> {
        let ground = self.ground(now)?;
        let route = self.route(&ground, provider)?;
        let (surb, block) = self.surb(&ground, &ground.document, Purpose::Token(of))?;
        let command = Command::Token(Box::new(TokenAsk {
            surb_epoch: ground.document.epoch().byte(),
            surb,
            number: asking.number,
            blinded: asking.blinded,
            proof: asking.proof,
        }));
        self.forward(&ground, &route, &command, vec![block])
    }

    /// What is sent in a fragment's place when none is due.
    pub(crate) fn dummy(&mut self, now: Time) -> Result<Packet, BuildError> {
        let ground = self.ground(now)?;
        let provider = path::random_provider(&mut self.rng, &ground.document);
        let route = self.route(&ground, &provider)?;
        let surb_epoch = ground.document.epoch().byte();
        let (surb, block) = self.surb(&ground, &ground.document, Purpose::Dummy)?;
        let command = Command::Dummy { surb_epoch, surb };
        self.forward(&ground, &route, &command, vec![block])
    }

    /// A loop: a reply to oneself. At its end the entry sees what it sees of every other reply.
    pub(crate) fn circle(&mut self, now: Time) -> Result<Packet, BuildError> {
        let ground = self.ground(now)?;
        let (document, entry) = (&ground.document, &ground.link.entry);
        let route = path::client_loop(&mut self.rng, document, &self.params, entry)
            .map_err(|_| BuildError::Entry)?;
        let (surb, block) = self.surb_along(&ground, document, &route, Purpose::Loop)?;
        let plaintext = Reply::Dummy.encode(&mut self.rng);
        let (_, packet) = surb
            .into_packet(&plaintext)
            .map_err(|_| BuildError::Packet)?;
        Ok(Packet {
            frame: Frame::new(document.epoch(), packet),
            blocks: vec![block],
            trace: trace(document, &route),
        })
    }

    /// Cover that a provider drops.
    pub(crate) fn drop_cover(&mut self, now: Time) -> Result<Packet, BuildError> {
        let ground = self.ground(now)?;
        let provider = path::random_provider(&mut self.rng, &ground.document);
        let route = self.route(&ground, &provider)?;
        self.forward(&ground, &route, &Command::Drop, Vec::new())
    }

    /// Reply blocks and commands for one of the own mailboxes. [`BuildError::LastHop`] if its provider is
    /// not in this epoch; then nothing was said.
    pub(crate) fn mailbox(
        &mut self,
        now: Time,
        places: &mut Places,
        id: BoxId,
        owner: &Identity,
    ) -> Result<Packet, BuildError> {
        let ground = self.ground(now)?;
        let (share, clock, profile) = (places.share(id), places.clock(id), places.profile());
        let mailbox = places.get_mut(id).ok_or(BuildError::LastHop)?;
        let route = self.route(&ground, &mailbox.provider())?;
        let stock = self.stock_document(now, mailbox, clock, &ground);
        let mut surbs = Vec::with_capacity(SURBS_PER_MAILBOX_PACKET);
        let mut blocks = Vec::with_capacity(SURBS_PER_MAILBOX_PACKET);
        for _ in 0..SURBS_PER_MAILBOX_PACKET {
            let (surb, block) = self.surb(&ground, &stock, Purpose::Stock(id))?;
            surbs.push(surb);
            blocks.push(block);
        }
        let said = mailbox.next_commands(now);
        let request = MailboxRequest {
            surb_epoch: stock.epoch().byte(),
            surbs: surbs.try_into().map_err(|_| BuildError::Packet)?,
            mailbox: MailboxId::new(mailbox.key().verifying_key().to_bytes()),
            generation: said.generation,
            counter: said.counter,
            profile,
            share,
            acks: said.acks,
            drops: said.drops,
            token: said.token,
        };
        let packet = owner
            .sign(&mut self.rng, mailbox, request)
            .map_err(|_| BuildError::Packet)?;
        let command = Command::Mailbox(Box::new(packet));
        self.forward(&ground, &route, &command, blocks)
    }

    fn ground(&self, now: Time) -> Result<Ground, BuildError> {
        let view = self.view.as_ref().ok_or(BuildError::NoDocument)?;
        let document = view.current(&self.params, now);
        Ok(Ground {
            document: Arc::clone(document.ok_or(BuildError::NoDocument)?),
            link: self.link.ok_or(BuildError::NoDocument)?,
        })
    }

    /// The document that the mailbox's stock is made for: the one in force, or the next.
    fn stock_document(
        &self,
        now: Time,
        mailbox: &mut MailboxLink,
        clock: f64,
        ground: &Ground,
    ) -> Arc<Document> {
        let mut ahead = || {
            let view = self.view.as_ref()?;
            let epoch = mailbox.stock_epoch(&self.params, view, now, clock)?;
            let document = view.documents.get(&epoch)?;
            document.member(&ground.link.entry).map(|_| document)
        };
        Arc::clone(ahead().unwrap_or(&ground.document))
    }

    /// Entry, mixes, and this provider.
    fn route(&mut self, ground: &Ground, provider: &NodeId) -> Result<Vec<Hop>, BuildError> {
        let (document, entry) = (&ground.document, &ground.link.entry);
        let route = path::deposit(&mut self.rng, document, &self.params, entry, provider);
        route.map_err(|error| match error {
            PathError::Mailbox => BuildError::LastHop,
            _ => BuildError::Entry,
        })
    }

    fn forward(
        &mut self,
        ground: &Ground,
        route: &[Hop],
        command: &Command,
        blocks: Vec<Outstanding>,
    ) -> Result<Packet, BuildError> {
        let plaintext = command.encode(&mut self.rng);
        let packet =
            build_forward(&mut self.rng, route, &plaintext).map_err(|_| BuildError::Packet)?;
        Ok(Packet {
            frame: Frame::new(ground.document.epoch(), packet),
            blocks,
            trace: trace(&ground.document, route),
        })
    }

    /// A reply block that leads here through the mixes of `document`.
    fn surb(
        &mut self,
        ground: &Ground,
        document: &Document,
        purpose: Purpose,
    ) -> Result<(Surb, Outstanding), BuildError> {
        let route = path::reply(&mut self.rng, document, &self.params, &ground.link.entry)
            .map_err(|_| BuildError::Entry)?;
        self.surb_along(ground, document, &route, purpose)
    }

    fn surb_along(
        &mut self,
        ground: &Ground,
        document: &Document,
        route: &[Hop],
        purpose: Purpose,
    ) -> Result<(Surb, Outstanding), BuildError> {
        let mut id = [0; SurbId::BYTES];
        while id == [0; SurbId::BYTES] {
            self.rng.fill_bytes(&mut id);
        }
        let handle = &ground.link.handle;
        let (surb, keys) = build_surb(&mut self.rng, route, handle, SurbId::new(id))
            .map_err(|_| BuildError::Packet)?;
        let block = Outstanding {
            keys,
            purpose,
            epoch: document.epoch(),
            trace: trace(document, route),
        };
        Ok((surb, block))
    }
}

fn trace(document: &Document, route: &[Hop]) -> Vec<HopTrace> {
    let layer = |node| document.member(node).map_or(0, |member| member.layer);
    route
        .iter()
        .map(|hop| HopTrace {
            node: hop.node,
            layer: layer(&hop.node),
            delay: hop.delay,
        })
        .collect()
}
