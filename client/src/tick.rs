//! What a tick of each process sends. A real packet and its cover take the same steps: a route
//! there, a route back, one reply block, one packet.

use std::sync::Arc;

use rand::CryptoRng;
use shoal_packet::command::{Command, Deposit, MailboxPacket, MailboxRequest, Reply};
use shoal_packet::{Frame, Hop, Surb, build_forward, build_surb};
use shoal_proto::size::SURBS_PER_MAILBOX_PACKET;
use shoal_proto::{NodeId, SurbId, Time};
use shoal_topology::{Document, path};

use crate::client::{Client, Link};
use crate::error::BuildError;
use crate::event::{Alarm, ClientAction, ClientEvent, HopTrace};
use crate::outbox::Due;
use crate::replies::{Outstanding, Purpose};
use crate::schedule::Process;

impl<R: CryptoRng> Client<R> {
    /// Does one tick's work. Every tick sends exactly one frame, unless there is no path at all.
    pub(crate) fn tick(&mut self, now: Time, process: Process) {
        let sent = match process {
            Process::Real => self.tick_real(now),
            Process::Loop => self.tick_loop(now),
            Process::Drop => self.tick_drop(now),
            Process::Mailbox => self.tick_mailbox(now),
        };
        match sent {
            Ok(()) => {
                self.standing.no_document = false;
                self.standing.entry = false;
            }
            Err(error) => {
                self.counters.skipped_ticks += 1;
                let (standing, alarm) = match error {
                    BuildError::NoDocument => (&mut self.standing.no_document, Alarm::NoDocument),
                    _ => (&mut self.standing.entry, Alarm::EntryMissing),
                };
                if !std::mem::replace(standing, true) {
                    self.alarm(alarm);
                }
            }
        }
    }

    fn tick_real(&mut self, now: Time) -> Result<(), BuildError> {
        let (document, link) = self.ground(now)?;
        if let Some(due) = self.outbox.next_due(now) {
            match self.route(&document, &link, &due.row.provider) {
                Ok(route) => return self.send_due(now, &document, &link, due, &route),
                Err(BuildError::LastHop) => {
                    // The receiver's provider is gone from this epoch: later, perhaps.
                    self.outbox.tried(&due.message, due.index, false, now);
                }
                Err(error) => return Err(error),
            }
        }
        let provider = path::random_provider(&mut self.rng, &document);
        let route = self.route(&document, &link, &provider)?;
        let surb_epoch = document.epoch().byte();
        let surb = self.surb(now, &document, &link, Purpose::Dummy)?;
        self.forward(&document, &route, &Command::Dummy { surb_epoch, surb })?;
        self.counters.sent_dummy += 1;
        Ok(())
    }

    fn send_due(
        &mut self,
        now: Time,
        document: &Document,
        link: &Link,
        due: Due,
        route: &[Hop],
    ) -> Result<(), BuildError> {
        let (message, index, deposit) = (due.message, due.index, due.row.deposit);
        let purpose = Purpose::Deposit {
            message,
            index,
            deposit,
        };
        let surb = self.surb(now, document, link, purpose)?;
        let left = due
            .expires
            .since(now)
            .as_micros()
            .div_ceil(1_000_000)
            .max(1);
        let command = Command::Deposit(Box::new(Deposit {
            surb_epoch: document.epoch().byte(),
            surb,
            drop: due.row.drop,
            message: deposit,
            ttl_secs: u32::try_from(left).unwrap_or(u32::MAX),
            grant: due.row.grant,
            blob: due.row.blob,
        }));
        self.forward(document, route, &command)?;
        self.counters.sent_real += 1;
        self.counters.retransmissions += u64::from(due.again);
        let change = self.outbox.tried(&message, index, true, now);
        self.note(change.into_iter().collect());
        let trace = trace(document, route);
        self.event(ClientEvent::Sent {
            message,
            fragment: index,
            trace,
        });
        Ok(())
    }

    fn tick_loop(&mut self, now: Time) -> Result<(), BuildError> {
        let (document, link) = self.ground(now)?;
        let route = path::client_loop(&mut self.rng, &document, &self.params, &link.entry)
            .map_err(|_| BuildError::Entry)?;
        let surb = self.surb_along(now, &document, &link, &route, Purpose::Loop)?;
        // A reply to oneself: at its end the entry sees what it sees of every other reply.
        let plaintext = Reply::Dummy.encode(&mut self.rng);
        let (_, packet) = surb
            .into_packet(&plaintext)
            .map_err(|_| BuildError::Packet)?;
        self.act(ClientAction::SendFrame(Frame::new(
            document.epoch(),
            packet,
        )));
        self.counters.sent_loop += 1;
        Ok(())
    }

    fn tick_drop(&mut self, now: Time) -> Result<(), BuildError> {
        let (document, link) = self.ground(now)?;
        let provider = path::random_provider(&mut self.rng, &document);
        let route = self.route(&document, &link, &provider)?;
        self.forward(&document, &route, &Command::Drop)?;
        self.counters.sent_drop += 1;
        Ok(())
    }

    fn tick_mailbox(&mut self, now: Time) -> Result<(), BuildError> {
        let (document, link) = self.ground(now)?;
        let provider = self.config.mailbox_provider;
        let route = match self.route(&document, &link, &provider) {
            Err(BuildError::LastHop) => {
                if !std::mem::replace(&mut self.standing.mailbox, true) {
                    self.alarm(Alarm::MailboxMissing);
                }
                // The link must not show it.
                return self.tick_drop(now);
            }
            route => route?,
        };
        self.standing.mailbox = false;
        let stock = self.stock_document(now, &document, &link);
        let mut surbs = Vec::with_capacity(SURBS_PER_MAILBOX_PACKET);
        for _ in 0..SURBS_PER_MAILBOX_PACKET {
            surbs.push(self.surb(now, &stock, &link, Purpose::Stock)?);
        }
        let said = self.mailbox.next_commands(&self.keys);
        let request = MailboxRequest {
            surb_epoch: stock.epoch().byte(),
            surbs: surbs.try_into().map_err(|_| BuildError::Packet)?,
            mailbox: self.keys.mailbox_id(),
            generation: said.generation,
            counter: said.counter,
            profile: self.profile_index,
            acks: said.acks,
            drops: said.drops,
        };
        let owner = self.keys.mailbox();
        let packet = MailboxPacket::sign(&mut self.rng, owner, &self.network, &provider, request)
            .map_err(|_| BuildError::Packet)?;
        self.forward(&document, &route, &Command::Mailbox(Box::new(packet)))?;
        self.counters.sent_mailbox += 1;
        if let Some(stream) = &mut self.stream {
            stream.expect_from(now);
        }
        Ok(())
    }

    /// The document in force, and where we are attached.
    fn ground(&self, now: Time) -> Result<(Arc<Document>, Link), BuildError> {
        let view = self.view.as_ref().ok_or(BuildError::NoDocument)?;
        let document = view
            .current(&self.params, now)
            .ok_or(BuildError::NoDocument)?;
        Ok((
            Arc::clone(document),
            self.link.ok_or(BuildError::NoDocument)?,
        ))
    }

    /// The document that the mailbox's stock is made for: the one in force, or the next.
    fn stock_document(
        &mut self,
        now: Time,
        in_force: &Arc<Document>,
        link: &Link,
    ) -> Arc<Document> {
        let Some(view) = &self.view else {
            return Arc::clone(in_force);
        };
        let clock = self.profile.mailbox_clock;
        let epoch = self.mailbox.stock_epoch(&self.params, view, now, clock);
        let wanted = epoch.and_then(|epoch| view.documents.get(&epoch));
        let usable = wanted.filter(|document| document.member(&link.entry).is_some());
        Arc::clone(usable.unwrap_or(in_force))
    }

    /// Entry, mixes, and this provider.
    fn route(
        &mut self,
        document: &Document,
        link: &Link,
        provider: &NodeId,
    ) -> Result<Vec<Hop>, BuildError> {
        path::deposit(&mut self.rng, document, &self.params, &link.entry, provider).map_err(
            |error| match error {
                shoal_topology::PathError::Mailbox => BuildError::LastHop,
                _ => BuildError::Entry,
            },
        )
    }

    fn forward(
        &mut self,
        document: &Document,
        route: &[Hop],
        command: &Command,
    ) -> Result<(), BuildError> {
        let plaintext = command.encode(&mut self.rng);
        let packet =
            build_forward(&mut self.rng, route, &plaintext).map_err(|_| BuildError::Packet)?;
        self.act(ClientAction::SendFrame(Frame::new(
            document.epoch(),
            packet,
        )));
        Ok(())
    }

    /// A reply block that leads here through the mixes of `document`.
    fn surb(
        &mut self,
        now: Time,
        document: &Document,
        link: &Link,
        purpose: Purpose,
    ) -> Result<Surb, BuildError> {
        let route = path::reply(&mut self.rng, document, &self.params, &link.entry)
            .map_err(|_| BuildError::Entry)?;
        self.surb_along(now, document, link, &route, purpose)
    }

    fn surb_along(
        &mut self,
        now: Time,
        document: &Document,
        link: &Link,
        route: &[Hop],
        purpose: Purpose,
    ) -> Result<Surb, BuildError> {
        let mut id = self.random();
        while id == [0; SurbId::BYTES] {
            id = self.random();
        }
        let (surb, keys) = build_surb(&mut self.rng, route, &link.handle, SurbId::new(id))
            .map_err(|_| BuildError::Packet)?;
        let timeout = match purpose {
            Purpose::Stock => None,
            _ => Some(now + self.config.reply_timeout),
        };
        let trace = trace(document, route);
        let epoch = document.epoch();
        let outstanding = Outstanding {
            keys,
            purpose,
            epoch,
            trace,
            overdue: false,
        };
        self.counters.keys_evicted += self.replies.insert(outstanding, timeout);
        Ok(surb)
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
