//! Rows of masses, shared by all packets and pools that have the same up to a factor.

use super::kernel;
use crate::engine::NONE;

/// Of a version the outputs so far, each with a factor s of its own.
#[derive(Clone, Copy, Default)]
struct Outputs {
    /// Sum of s.
    sum: f64,
    /// Sum of s ln s.
    logs: f64,
    largest: f64,
    /// Sum of s of those that are known not to be what is looked for.
    aside: f64,
}

/// What came out, by place.
pub(super) struct Totals {
    /// Since the last [`Store::close`]: small parts are added up by themselves first, so that
    /// millions of them do not round away what is left of a mass.
    mass: Vec<f64>,
    /// Up to then.
    pub(super) closed: Vec<f64>,
    /// Sums of -p ln p.
    pub(super) entropy: Vec<f64>,
    pub(super) largest: Vec<f64>,
    /// The part of the masses that was put aside.
    pub(super) aside: Vec<f64>,
}

/// Versions: rows with one mass for each place, counted by their references.
pub(super) struct Store {
    width: usize,
    rows: Vec<f64>,
    references: Vec<u32>,
    outputs: Vec<Outputs>,
    free: Vec<u32>,
    pub(super) totals: Totals,
}

impl Store {
    pub(super) fn new(width: usize) -> Self {
        let zeros = || vec![0.0; width];
        Self {
            width,
            rows: Vec::new(),
            references: Vec::new(),
            outputs: Vec::new(),
            free: Vec::new(),
            totals: Totals {
                mass: zeros(),
                closed: zeros(),
                entropy: zeros(),
                largest: zeros(),
                aside: zeros(),
            },
        }
    }

    pub(super) fn row(&self, version: u32) -> &[f64] {
        let start = version as usize * self.width;
        &self.rows[start..start + self.width]
    }

    fn row_mut(&mut self, version: u32) -> &mut [f64] {
        let start = version as usize * self.width;
        &mut self.rows[start..start + self.width]
    }

    /// A new version with one reference and any contents.
    fn allocate(&mut self) -> u32 {
        if let Some(version) = self.free.pop() {
            self.references[version as usize] = 1;
            return version;
        }
        let version = self.references.len() as u32;
        self.rows.resize(self.rows.len() + self.width, 0.0);
        self.references.push(1);
        self.outputs.push(Outputs::default());
        version
    }

    /// A new version with mass 1 at these places.
    pub(super) fn unit(&mut self, places: impl Iterator<Item = usize>) -> u32 {
        let version = self.allocate();
        let row = self.row_mut(version);
        row.fill(0.0);
        for place in places {
            row[place] = 1.0;
        }
        version
    }

    pub(super) fn share(&mut self, version: u32) {
        self.references[version as usize] += 1;
    }

    /// Gives up a reference; the last one accounts for the outputs and frees the version.
    pub(super) fn release(&mut self, version: u32) {
        let references = &mut self.references[version as usize];
        *references -= 1;
        if *references == 0 {
            self.settle(version);
            self.free.push(version);
        }
    }

    /// The sum of two masses as a version of its own with one reference; gives up one reference to
    /// each.
    pub(super) fn merge(&mut self, first: (u32, f64), second: (u32, f64)) -> u32 {
        if first.0 == second.0 {
            let scale = first.1 + second.1;
            self.release(second.0);
            return self.scaled((first.0, scale));
        }
        let (keep, other) = if self.references[first.0 as usize] == 1 {
            (first, second)
        } else if self.references[second.0 as usize] == 1 {
            (second, first)
        } else {
            let version = self.allocate();
            let [sum, a, b] = self.rows_of([version, first.0, second.0]);
            kernel::mix(sum, (a, first.1), (b, second.1));
            self.release(first.0);
            self.release(second.0);
            return version;
        };
        self.settle(keep.0);
        let [own, row] = self.rows_of([keep.0, other.0]);
        kernel::mix_into(own, keep.1, row, other.1);
        self.release(other.0);
        keep.0
    }

    /// The mass as a version with factor 1 and one reference; gives up one reference.
    pub(super) fn scaled(&mut self, (version, scale): (u32, f64)) -> u32 {
        let scaled = self.allocate();
        let [to, from] = self.rows_of([scaled, version]);
        kernel::mix(to, (from, scale), (from, 0.0));
        self.release(version);
        scaled
    }

    /// Several rows at once; the versions differ.
    fn rows_of<const N: usize>(&mut self, versions: [u32; N]) -> [&mut [f64]; N] {
        let width = self.width;
        let ranges = versions.map(|version| {
            let start = version as usize * width;
            start..start + width
        });
        #[expect(
            clippy::expect_used,
            reason = "callers pass different, allocated versions"
        )]
        self.rows
            .get_disjoint_mut(ranges)
            .expect("different versions")
    }

    /// Counts an output with this factor.
    pub(super) fn put_out(&mut self, version: u32, s: f64) {
        let outputs = &mut self.outputs[version as usize];
        outputs.sum += s;
        outputs.logs += s * crate::math::ln(s);
        outputs.largest = if s > outputs.largest {
            s
        } else {
            outputs.largest
        };
    }

    /// Counts an output with this factor that is known not to be what is looked for: its mass came
    /// out, and adds to nothing else.
    pub(super) fn put_aside(&mut self, version: u32, s: f64) {
        self.outputs[version as usize].aside += s;
    }

    /// Adds a version's outputs to the totals.
    pub(super) fn settle(&mut self, version: u32) {
        let outputs = std::mem::take(&mut self.outputs[version as usize]);
        let start = version as usize * self.width;
        let row = &self.rows[start..start + self.width];
        let totals = &mut self.totals;
        if outputs.sum > 0.0 {
            let sums = (outputs.sum, outputs.logs, outputs.largest);
            let (entropy, largest) = (&mut totals.entropy, &mut totals.largest);
            kernel::account(row, sums, &mut totals.mass, entropy, largest);
        }
        if outputs.aside > 0.0 {
            kernel::add(&mut totals.mass, row, outputs.aside);
            kernel::add(&mut totals.aside, row, outputs.aside);
        }
    }

    /// Adds every version's outputs to the totals.
    pub(super) fn settle_all(&mut self) {
        for version in 0..self.references.len() as u32 {
            self.settle(version);
        }
    }

    /// Adds what came out lately to the masses that did.
    pub(super) fn close(&mut self) {
        for (closed, mass) in self.totals.closed.iter_mut().zip(&mut self.totals.mass) {
            *closed += std::mem::take(mass);
        }
    }

    /// Empties places in all versions and in the totals.
    pub(super) fn clean(&mut self, places: &[usize]) {
        for (row, references) in self.rows.chunks_exact_mut(self.width).zip(&self.references) {
            if *references > 0 {
                for place in places {
                    row[*place] = 0.0;
                }
            }
        }
        for place in places {
            self.totals.mass[*place] = 0.0;
            self.totals.closed[*place] = 0.0;
            self.totals.entropy[*place] = 0.0;
            self.totals.largest[*place] = 0.0;
            self.totals.aside[*place] = 0.0;
        }
    }

    /// Versions in use.
    pub(super) fn live(&self) -> usize {
        self.references.len() - self.free.len()
    }
}

/// No version.
pub(super) const EMPTY: u32 = NONE;
