//! What one adversary sees of a run, and apart from it the truth, so that somebody's own attack
//! can't peek.
//!
//! A packet does not change on a link, so an observer matches its two ends: a row is one packet on
//! one link that the adversary sees. Its pseudonym is another one on every link. The truth has a
//! row for the same pseudonym.

use std::path::Path;

use rand::Rng;

use super::sight::at;
use crate::adversary::Adversary;
use crate::engine::{Kind, Loss, NONE, Observer, Packet, Plan};
use crate::seed;
use crate::table::{Metadata, Table, TableBuilder, TableError, TableWriter};

/// Rows in memory before they are written: about 6 MB.
const ROWS: usize = 65_536;

/// A packet under way.
#[derive(Clone, Copy, Debug)]
struct Moving {
    packet: u64,
    message: u32,
    sender: u64,
    receiver: Option<u64>,
    kind: Kind,
    /// The link that it is on.
    from: u64,
    to: u32,
    start: f64,
}

impl Default for Moving {
    fn default() -> Self {
        Self {
            packet: 0,
            message: NONE,
            sender: 0,
            receiver: None,
            kind: Kind::Real,
            from: 0,
            to: NONE,
            start: 0.0,
        }
    }
}

#[derive(Default)]
struct Seen {
    pseudonym: Vec<u64>,
    from: Vec<u64>,
    to: Vec<u64>,
    sent: Vec<f64>,
    arrived: Vec<Option<f64>>,
}

#[derive(Default)]
struct Truth {
    packet: Vec<u64>,
    message: Vec<Option<f64>>,
    sender: Vec<u64>,
    receiver: Vec<Option<f64>>,
    kind: Vec<String>,
}

/// Writes the files while a run goes on.
pub struct Observations {
    adversary: Adversary,
    nodes: u64,
    key: u64,
    packets: u64,
    crossings: u64,
    slots: Vec<Moving>,
    seen: Seen,
    truth: Truth,
    metadata: Metadata,
    seen_files: [TableWriter; 2],
    truth_files: [TableWriter; 2],
    error: Option<TableError>,
}

impl Observations {
    /// Begins `observed_NUMBER` and `truth_NUMBER` in the folder, each in Parquet and CSV, for the
    /// repetition of that number.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(
        folder: &Path,
        adversary: &Adversary,
        plan: &Plan,
        (seed, repetition): (u64, u32),
        mut metadata: Metadata,
    ) -> Result<Self, TableError> {
        for (key, value) in [
            ("adversary", adversary.name.clone()),
            ("repetition", repetition.to_string()),
            // Numbers from here on are clients.
            ("nodes", plan.nodes().to_string()),
        ] {
            metadata.push((key.to_owned(), value));
        }
        let begin = |name: &str, table: &Table| -> Result<[TableWriter; 2], TableError> {
            let file = |end: &str| folder.join(format!("{name}_{repetition}.{end}"));
            Ok([
                TableWriter::create(&file("parquet"), table)?,
                TableWriter::create(&file("csv"), table)?,
            ])
        };
        let seen = Seen::default().table(&metadata)?;
        let truth = Truth::default().table(&metadata, Vec::new())?;
        Ok(Self {
            adversary: adversary.clone(),
            nodes: u64::from(plan.nodes()),
            key: seed::generator(seed, repetition, "pseudonyms", 0).next_u64(),
            packets: 0,
            crossings: 0,
            slots: Vec::new(),
            seen: Seen::default(),
            truth: Truth::default(),
            seen_files: begin("observed", &seen)?,
            truth_files: begin("truth", &truth)?,
            metadata,
            error: None,
        })
    }

    /// Completes the files.
    ///
    /// # Errors
    /// The first thing that went wrong while the run went on, or goes wrong now.
    pub fn close(mut self) -> Result<(), TableError> {
        self.write();
        if let Some(error) = self.error {
            return Err(error);
        }
        for file in self.seen_files.into_iter().chain(self.truth_files) {
            file.finish()?;
        }
        Ok(())
    }

    /// A packet's way over a link is over.
    fn crossed(&mut self, slot: u32, to: u64, arrived: Option<f64>) {
        let Some(moving) = self.slots.get(slot as usize).copied() else {
            return;
        };
        let own = |place: u64| u32::try_from(place).is_ok_and(|node| self.adversary.owns(node));
        if !self.adversary.sees_all && !own(moving.from) && !own(to) {
            return;
        }
        self.crossings += 1;
        self.seen.pseudonym.push(scramble(self.crossings, self.key));
        self.seen.from.push(moving.from);
        self.seen.to.push(to);
        self.seen.sent.push(moving.start);
        self.seen.arrived.push(arrived);
        self.truth.packet.push(moving.packet);
        self.truth.message.push(known(moving.message));
        self.truth.sender.push(moving.sender);
        #[expect(clippy::cast_precision_loss, reason = "node and client numbers")]
        self.truth
            .receiver
            .push(moving.receiver.map(|number| number as f64));
        self.truth.kind.push(moving.kind.as_str().to_owned());
        if self.seen.from.len() >= ROWS {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.error.is_none()
            && let Err(error) = self.try_write()
        {
            self.error = Some(error);
        }
    }

    fn try_write(&mut self) -> Result<(), TableError> {
        let seen = std::mem::take(&mut self.seen);
        let pseudonyms = seen.pseudonym.clone();
        let seen = seen.table(&self.metadata)?;
        let truth = std::mem::take(&mut self.truth).table(&self.metadata, pseudonyms)?;
        for file in &mut self.seen_files {
            file.append(&seen)?;
        }
        for file in &mut self.truth_files {
            file.append(&truth)?;
        }
        Ok(())
    }
}

fn known(number: u32) -> Option<f64> {
    (number != NONE).then(|| f64::from(number))
}

/// Numbers that say nothing of their order to who does not know the key, each another one
/// (SplitMix64's finaliser, Steele, Lea and Flood 2014: a permutation).
fn scramble(number: u64, key: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ key;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn begun(name: &str, metadata: &Metadata) -> TableBuilder {
    Table::builder(name).metadata_all(metadata)
}

impl Seen {
    fn table(self, metadata: &Metadata) -> Result<Table, TableError> {
        begun("observed", metadata)
            .u64("pseudonym", self.pseudonym)
            .u64("from", self.from)
            .u64("to", self.to)
            .f64("sent_s", self.sent)
            .nullable("arrived_s", self.arrived)
            .build()
    }
}

impl Truth {
    fn table(self, metadata: &Metadata, pseudonyms: Vec<u64>) -> Result<Table, TableError> {
        begun("truth", metadata)
            .u64("pseudonym", pseudonyms)
            .u64("packet", self.packet)
            .string("kind", self.kind)
            .u64("sender", self.sender)
            .nullable("receiver", self.receiver)
            .nullable("message", self.message)
            .build()
    }
}

impl Observer for Observations {
    fn sent(&mut self, slot: u32, packet: &Packet, time: f64, first: u32) {
        let client = |number: u32| self.nodes + u64::from(number);
        let sender = if packet.kind == Kind::MixLoop {
            u64::from(packet.sender)
        } else {
            client(packet.sender)
        };
        self.packets += 1;
        let moving = Moving {
            packet: self.packets,
            message: packet.message,
            sender,
            receiver: packet.leaves().then(|| client(packet.receiver)),
            kind: packet.kind,
            from: sender,
            to: first,
            start: time,
        };
        *at(&mut self.slots, slot) = moving;
    }

    fn arrive(&mut self, node: u32, time: f64, slot: u32) {
        self.crossed(slot, u64::from(node), Some(time));
    }

    fn depart(&mut self, node: u32, time: f64, slot: u32, next: u32) {
        let moving = at(&mut self.slots, slot);
        moving.from = u64::from(node);
        moving.to = next;
        moving.start = time;
    }

    fn lost(&mut self, slot: u32, _: &Packet, _: f64, reason: Loss) {
        let moving = at(&mut self.slots, slot);
        let to = match moving.to {
            NONE => moving.receiver,
            node => Some(u64::from(node)),
        };
        if reason == Loss::Link
            && let Some(to) = to
        {
            self.crossed(slot, to, None);
        }
    }

    fn end(&mut self, slot: u32, _: &Packet, time: f64) {
        let moving = at(&mut self.slots, slot);
        // The loop of a mix goes home over one more link; what ends at a provider does not.
        let to = match (moving.kind, moving.to) {
            (Kind::MixLoop, _) => Some(moving.sender),
            (_, NONE) => moving.receiver,
            (_, node) => Some(u64::from(node)),
        };
        if let Some(to) = to {
            self.crossed(slot, to, Some(time));
        }
    }
}
