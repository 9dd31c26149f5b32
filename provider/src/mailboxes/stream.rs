//! The numbered stream of packets to the owner of one mailbox.

use shoal_packet::command::{StreamEntry, StreamItem};
use shoal_proto::Time;

use super::backlog::Backlog;
use super::stock::Stock;
use crate::Window;

/// One mailbox that is being delivered: its reply blocks, what waits, and how far the stream is.
pub(super) struct Stream {
    generation: u64,
    /// When the mailbox was opened: the hour, of one that was known already.
    created: Time,
    window: Window,
    /// The number of the next packet.
    number: u64,
    /// The store was asked which drop ids have entries, and has not failed.
    discovered: bool,
    stock: Stock,
    backlog: Backlog,
}

impl Stream {
    pub(super) const fn new(
        generation: u64,
        created: Time,
        number: u64,
        window: Window,
        stock: Stock,
        backlog: Backlog,
    ) -> Self {
        Self {
            generation,
            created,
            window,
            number,
            discovered: false,
            stock,
            backlog,
        }
    }

    pub(super) const fn is_of(&self, generation: u64) -> bool {
        self.generation == generation
    }

    /// When the mailbox was opened.
    pub(super) const fn created(&self) -> Time {
        self.created
    }

    /// Whether there is something that the owner has not got yet.
    pub(super) fn waits(&self) -> bool {
        self.backlog.waits()
    }

    /// The number of the next packet, which is how many were sent.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) const fn stock(&self) -> &Stock {
        &self.stock
    }

    pub(super) const fn stock_mut(&mut self) -> &mut Stock {
        &mut self.stock
    }

    pub(super) const fn backlog_mut(&mut self) -> &mut Backlog {
        &mut self.backlog
    }

    /// The owner's commands that were received, as every packet tells.
    pub(super) const fn set_window(&mut self, window: Window) {
        self.window = window;
    }

    /// The generation, if the store has to be asked what waits: once, and again if it failed.
    pub(super) const fn discover(&mut self) -> Option<u64> {
        if self.discovered {
            return None;
        }
        self.discovered = true;
        Some(self.generation)
    }

    /// The store failed at saying what waits.
    pub(super) const fn discovery_failed(&mut self) {
        self.discovered = false;
    }

    /// What the next packet says, and whether its entry was pushed before.
    pub(super) fn item(&mut self, now: Time, epoch_byte: u8) -> (StreamItem, bool) {
        let number = self.number;
        self.number = number.saturating_add(1);
        let pushed = self.backlog.push(now);
        let again = pushed.as_ref().is_some_and(|(.., again)| *again);
        let item = StreamItem {
            generation: self.generation,
            number,
            window_highest: self.window.highest(),
            window_bits: self.window.bits(),
            refused_bits: self.window.refused(),
            stock: u16::try_from(self.stock.len_of(epoch_byte)).unwrap_or(u16::MAX),
            entry: pushed.map(|(drop, stored, _)| StreamEntry {
                entry: stored.entry.number(),
                drop,
                message: stored.message,
                blob: stored.blob,
            }),
        };
        (item, again)
    }
}
