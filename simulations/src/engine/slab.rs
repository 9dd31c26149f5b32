//! Packets that are under way.

use super::{EngineError, Packet};

/// Packets by slot; a slot is used again when its packet is gone.
#[derive(Default)]
pub(super) struct Slab {
    packets: Vec<Packet>,
    free: Vec<u32>,
}

impl Slab {
    /// Takes a packet in.
    pub(super) fn insert(&mut self, packet: Packet) -> Result<u32, EngineError> {
        if let Some(slot) = self.free.pop() {
            self.packets[slot as usize] = packet;
            return Ok(slot);
        }
        let slot = u32::try_from(self.packets.len())
            .ok()
            .filter(|slot| *slot < super::NONE);
        let slot = slot.ok_or(EngineError::TooMany("packets under way"))?;
        self.packets.push(packet);
        Ok(slot)
    }

    /// Takes a packet out; its contents can be read until the next one comes in.
    pub(super) fn remove(&mut self, slot: u32) {
        self.free.push(slot);
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> &Packet {
        &self.packets[slot as usize]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Packet {
        &mut self.packets[slot as usize]
    }

    /// The most packets that there were at once.
    pub(super) fn most(&self) -> u32 {
        self.packets.len() as u32
    }
}
