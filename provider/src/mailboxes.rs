//! The mailbox job of the core: owners' commands, and the clocks that spend their reply blocks.

use rand::CryptoRng;
use shoal_packet::command::{
    DropChange, MailboxPacket, MailboxRequest, Reply, StreamEntry, StreamItem,
};
use shoal_proto::{DropId, MailboxId, Time};

use crate::clock::next_tick;
use crate::delivery::{Delivery, Ready, dry_for};
use crate::provider::{Pending, leads_inside};
use crate::store::{Change, EntryId};
use crate::{DropReason, Provider, SendKind, StoreOp, StoreOutcome, StoreResult, Window};

/// An owner's command that waits for the store to say whether it counts.
pub(crate) struct Attending {
    request: MailboxRequest,
    rate: f64,
}

/// What the store said of a command that counts.
struct Attended {
    fresh: bool,
    window: Window,
    stream: u64,
}

impl<R: CryptoRng> Provider<R> {
    pub(crate) fn mailbox_command(&mut self, packet: &MailboxPacket) -> Result<(), DropReason> {
        if self.store_is_busy() {
            return Err(DropReason::Busy);
        }
        if !packet.verify(&self.network, &self.local) {
            return Err(DropReason::MailboxSignature);
        }
        let request = packet.request().clone();
        let rate = self
            .params
            .profile_at(request.profile)
            .map(|(_, profile)| profile.mailbox_clock)
            .filter(|rate| *rate > 0.0)
            .ok_or(DropReason::MailboxProfile)?;
        let active = self.mailboxes.get(&request.mailbox);
        if active.is_none() && self.mailboxes.len() + self.attending >= self.limits.active_mailboxes
        {
            return Err(DropReason::MailboxFull);
        }
        let stream = active
            .filter(|delivery| delivery.generation == request.generation)
            .map_or(0, |delivery| delivery.number);
        let op = StoreOp::Attend {
            mailbox: request.mailbox,
            generation: request.generation,
            counter: request.counter,
            stream,
            acks: request.acks.iter().copied().map(EntryId::new).collect(),
            changes: request.drops.iter().map(change).collect(),
        };
        self.attending += 1;
        self.store(op, Pending::Attend(Box::new(Attending { request, rate })));
        Ok(())
    }

    pub(crate) fn attend_done(&mut self, now: Time, attending: Attending, result: StoreResult) {
        self.attending = self.attending.saturating_sub(1);
        match result {
            Ok(StoreOutcome::Attended {
                fresh,
                window,
                stream,
                refused,
            }) => {
                self.counters.mailbox_commands += 1;
                self.counters.changes_refused += u64::from(refused);
                self.attended(
                    now,
                    attending,
                    &Attended {
                        fresh,
                        window,
                        stream,
                    },
                );
            }
            Ok(StoreOutcome::Replayed) => self.drop_packet(DropReason::MailboxReplayed),
            Ok(StoreOutcome::Refused) => self.drop_packet(DropReason::MailboxFull),
            Ok(_) | Err(_) => self.drop_packet(DropReason::StoreFailed),
        }
    }

    fn attended(&mut self, now: Time, attending: Attending, attended: &Attended) {
        let Attending { request, rate } = attending;
        let mailbox = request.mailbox;
        let known = self
            .mailboxes
            .get(&mailbox)
            .is_some_and(|delivery| delivery.generation == request.generation);
        if !known {
            self.start_delivery(now, &request, rate, attended);
        }
        self.discover(mailbox);
        let keep = self.stocked_epochs(now);
        let Some(delivery) = self.mailboxes.get_mut(&mailbox) else {
            return;
        };
        delivery.window = attended.window;
        delivery.rate = rate;
        for entry in &request.acks {
            delivery.acknowledge(EntryId::new(*entry));
        }
        self.counters.acknowledged += request.acks.len() as u64;
        let brought = request.surbs.len() as u64;
        if keep.contains(&request.surb_epoch) {
            let over = delivery.add_stock(request.surb_epoch, request.surbs, self.limits.stock);
            self.counters.stock_added += brought;
            self.counters.stock_overflow += over as u64;
            delivery.stocked = now;
        } else {
            self.counters.stock_void += brought;
        }
        if delivery.next.is_none()
            && let Some(next) = next_tick(&mut self.rng, rate, now, now)
        {
            delivery.next = Some(next);
            self.clocks.insert((next, mailbox));
        }
        self.load_next(now, mailbox);
    }

    /// A generation that is not being delivered: new, or known from before a restart. All that is
    /// not acknowledged is pushed again.
    fn start_delivery(
        &mut self,
        now: Time,
        request: &MailboxRequest,
        rate: f64,
        attended: &Attended,
    ) {
        let mailbox = request.mailbox;
        let mut delivery = Delivery::new(request.generation, attended.window, rate, now);
        if !attended.fresh {
            // No more packets can have been sent since the number was saved than there was stock
            // then, for this epoch and the next: so no number is given twice.
            let sent_since = (self.limits.stock as u64).saturating_mul(2);
            delivery.number = attended.stream.saturating_add(sent_since);
        }
        if let Some(old) = self.mailboxes.insert(mailbox, delivery) {
            self.counters.stock_void += old.stock() as u64;
            if let Some(next) = old.next {
                self.clocks.remove(&(next, mailbox));
            }
        }
    }

    /// Asks the store what waits, once for each delivery, and again if it failed.
    fn discover(&mut self, mailbox: MailboxId) {
        let Some(delivery) = self.mailboxes.get_mut(&mailbox).filter(|d| !d.discovered) else {
            return;
        };
        delivery.discovered = true;
        let generation = delivery.generation;
        self.store(
            StoreOp::Waiting { mailbox },
            Pending::Waiting {
                mailbox,
                generation,
            },
        );
    }

    pub(crate) fn waiting_done(
        &mut self,
        now: Time,
        mailbox: MailboxId,
        generation: u64,
        result: StoreResult,
    ) {
        let Some(delivery) = self
            .mailboxes
            .get_mut(&mailbox)
            .filter(|delivery| delivery.generation == generation)
        else {
            return;
        };
        if let Ok(StoreOutcome::Waiting(drops)) = result {
            for (drop, newest) in drops {
                delivery.note(drop, newest);
            }
            self.load_next(now, mailbox);
        } else {
            delivery.discovered = false;
        }
    }

    pub(crate) fn entry_stored(
        &mut self,
        now: Time,
        mailbox: MailboxId,
        drop: DropId,
        entry: EntryId,
    ) {
        if let Some(delivery) = self.mailboxes.get_mut(&mailbox) {
            delivery.note(drop, entry);
            self.load_next(now, mailbox);
        }
    }

    pub(crate) fn list_done(
        &mut self,
        now: Time,
        mailbox: MailboxId,
        ticket: u64,
        result: StoreResult,
    ) {
        let Some(delivery) = self.mailboxes.get_mut(&mailbox) else {
            return;
        };
        match result {
            Ok(StoreOutcome::Entries(entries)) => {
                delivery.loaded(ticket, Some(entries));
                self.load_next(now, mailbox);
            }
            // The next tick asks again.
            Ok(_) | Err(_) => delivery.loaded(ticket, None),
        }
    }

    fn load_next(&mut self, now: Time, mailbox: MailboxId) {
        let Some(delivery) = self.mailboxes.get_mut(&mailbox) else {
            return;
        };
        let Some(choice) = delivery.choose(now, &self.limits) else {
            return;
        };
        let op = StoreOp::List {
            mailbox,
            drop: choice.drop,
            after: choice.want.cursor(),
            limit: 1,
        };
        let ticket = self.store(op, Pending::List { mailbox });
        if let Some(delivery) = self.mailboxes.get_mut(&mailbox) {
            delivery.load(ticket, choice);
        }
    }

    pub(crate) fn run_mailbox_clocks(&mut self, now: Time) {
        while let Some((due, mailbox)) = self.clocks.first().copied().filter(|(due, _)| *due <= now)
        {
            self.clocks.remove(&(due, mailbox));
            self.tick(now, mailbox);
            let Some(delivery) = self.mailboxes.get_mut(&mailbox) else {
                continue;
            };
            if dry_for(delivery, now) > self.limits.linger {
                self.mailboxes.remove(&mailbox);
                continue;
            }
            delivery.next = next_tick(&mut self.rng, delivery.rate, due, now);
            if let Some(next) = delivery.next {
                self.clocks.insert((next, mailbox));
            }
            self.load_next(now, mailbox);
        }
    }

    /// Spends one reply block, if there is one.
    fn tick(&mut self, now: Time, mailbox: MailboxId) {
        let keep = self.stocked_epochs(now);
        let document = self.view.current(&self.params, now).cloned();
        let Some(delivery) = self.mailboxes.get_mut(&mailbox) else {
            return;
        };
        self.counters.stock_void += delivery.void_stock(&keep) as u64;
        if delivery.stock() > 0 {
            delivery.stocked = now;
        }
        let surb = document.as_deref().and_then(|document| {
            std::iter::from_fn(|| delivery.take_stock(document.epoch().byte())).find(|surb| {
                let good = leads_inside(document, surb);
                self.counters.stock_void += u64::from(!good);
                good
            })
        });
        let (Some(document), Some(surb)) = (document, surb) else {
            self.counters.ticks_without_stock += 1;
            return;
        };
        let item = self.stream_item(now, mailbox, document.epoch().byte());
        if let Some(item) = item {
            let reply = Reply::Stream(Box::new(item));
            if !self.send(&document, surb, &reply, SendKind::Stream) {
                self.counters.stock_void += 1;
            }
        }
    }

    fn stream_item(&mut self, now: Time, mailbox: MailboxId, epoch_byte: u8) -> Option<StreamItem> {
        let delivery = self.mailboxes.get_mut(&mailbox)?;
        let number = delivery.number;
        delivery.number = number.saturating_add(1);
        let entry = delivery.push(now).map(
            |Ready {
                 drop,
                 stored,
                 again,
             }| {
                self.counters.stream_again += u64::from(again);
                StreamEntry {
                    entry: stored.entry.number(),
                    drop,
                    message: stored.message,
                    blob: stored.blob,
                }
            },
        );
        if entry.is_some() {
            self.counters.stream_entries += 1;
        } else {
            self.counters.stream_idle += 1;
        }
        Some(StreamItem {
            generation: delivery.generation,
            number,
            window_highest: delivery.window.highest(),
            window_bits: delivery.window.bits(),
            stock: u16::try_from(delivery.stock_of(epoch_byte)).unwrap_or(u16::MAX),
            entry,
        })
    }

    /// The epochs whose reply blocks are kept: the one in force, and the next. Older ones are
    /// void from the switch on.
    fn stocked_epochs(&self, now: Time) -> [u8; 2] {
        let epoch = self.params.epoch_at(now);
        let in_force = self
            .view
            .current(&self.params, now)
            .map_or(epoch, |document| document.epoch());
        [in_force.byte(), epoch.next().byte()]
    }
}

const fn change(change: &DropChange) -> Change {
    match change {
        DropChange::Register(drop) => Change::Register(*drop),
        DropChange::Revoke(drop) => Change::Revoke(*drop),
    }
}
