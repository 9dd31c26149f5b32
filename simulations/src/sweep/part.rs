//! The result of one run in a file of its own, with a checksum.

use std::path::{Path, PathBuf};

use blake2::{Blake2b, Digest, digest::consts::U32};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::disk;
use super::error::SweepError;
use crate::measure::Measured;

/// The first word of a part file; the number is the format's.
const HEADER: &str = "shoal-sim part 2";

/// Which run a part is the result of: what the run depends on, and nothing else. Points with the
/// same scenario share their parts, whatever sweep they are in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    /// The version of the simulator.
    pub(super) version: String,
    /// The hash of the point's scenario.
    pub(super) scenario_hash: String,
    /// The seed of the sweep.
    pub(super) seed: u64,
    /// The repetition, from 0.
    pub(super) repetition: u32,
}

/// What was measured in one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// Which run.
    pub(super) run: Identity,
    /// Every metric.
    pub(super) measured: Vec<Measured>,
}

/// What was found where a part should be.
#[derive(Debug)]
pub(super) enum Found {
    /// The run has not been done.
    Nothing,
    /// A file that is torn, altered or another run's: as good as nothing.
    Damaged,
    /// The result.
    Part(Part),
}

impl Identity {
    /// The name of the part file: a BLAKE2b-256 hash of every field.
    pub(super) fn file_name(&self) -> String {
        let mut hash = Blake2b::<U32>::new();
        hash.update(HEADER);
        for text in [&self.version, &self.scenario_hash] {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(text);
        }
        hash.update(self.seed.to_le_bytes());
        hash.update(self.repetition.to_le_bytes());
        format!("{}.part", HEXLOWER.encode(&hash.finalize()))
    }

    /// Where the part lies in a sweep's folder.
    pub(super) fn path(&self, out: &Path) -> PathBuf {
        folder(out).join(self.file_name())
    }

    /// Reads the part of this run from a sweep's folder.
    ///
    /// # Errors
    /// [`SweepError::Files`] if the file is there and cannot be read.
    pub(super) fn find(&self, out: &Path) -> Result<Found, SweepError> {
        let Some(content) = disk::read(&self.path(out))? else {
            return Ok(Found::Nothing);
        };
        Ok(match Part::decode(&content) {
            Some(part) if part.run == *self => Found::Part(part),
            _ => Found::Damaged,
        })
    }
}

/// The folder of a sweep's parts.
pub(super) fn folder(out: &Path) -> PathBuf {
    out.join("parts")
}

impl Part {
    /// A part without values that are not numbers: those count as not measured.
    pub(super) fn new(run: Identity, mut measured: Vec<Measured>) -> Self {
        for one in &mut measured {
            one.value = one.value.filter(|value| value.is_finite());
        }
        Self { run, measured }
    }

    /// Writes the part into a sweep's folder; durable when this returns.
    ///
    /// # Errors
    /// [`SweepError::Files`].
    pub(super) fn write(&self, out: &Path) -> Result<(), SweepError> {
        disk::write_whole(&self.run.path(out), self.encode().as_bytes())
    }

    /// A line with the checksum of all that follows, then JSON.
    pub(super) fn encode(&self) -> String {
        #[expect(clippy::expect_used, reason = "keys are text and numbers finite")]
        let body = serde_json::to_string_pretty(self).expect("a part has a JSON form") + "\n";
        format!("{HEADER} {}\n{body}", checksum(body.as_bytes()))
    }

    fn decode(content: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(content).ok()?;
        let (header, body) = text.split_once('\n')?;
        let sum = header.strip_prefix(HEADER)?.strip_prefix(' ')?;
        if sum != checksum(body.as_bytes()) {
            return None;
        }
        serde_json::from_str(body).ok()
    }
}

/// BLAKE2b-256 in hexadecimal.
pub(super) fn checksum(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Blake2b::<U32>::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::{Found, Identity, Part, folder};
    use crate::measure::{Claim, Measured};

    fn part() -> Part {
        let measured = |value| Measured {
            name: "entropy".into(),
            adversary: Some("gpa".into()),
            unit: "bits".into(),
            value,
            claim: Claim::Approximation("name".into()),
            knowledge: String::new(),
            absent: None,
        };
        let run = Identity {
            version: "1".into(),
            scenario_hash: "ab".into(),
            seed: u64::MAX,
            repetition: 3,
        };
        // Numbers whose shortest decimal form a careless parser gets wrong in the last bit.
        let awkward = [
            0.1 + 0.2,
            5e-324,
            9_007_199_254_740_993.0,
            1.797_693_134_862_315_7e308,
        ];
        let mut values: Vec<Measured> = awkward.map(|value| measured(Some(value))).into();
        values.push(measured(Some(1e-1_f64.sqrt() * 3e22)));
        values.push(measured(Some(f64::NAN)));
        values.push(measured(None));
        Part::new(run, values)
    }

    #[test]
    fn what_is_written_is_read_to_the_last_bit() {
        let out = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder(out.path())).unwrap();
        let part = part();
        assert!(matches!(part.run.find(out.path()).unwrap(), Found::Nothing));
        part.write(out.path()).unwrap();
        let Found::Part(read) = part.run.find(out.path()).unwrap() else {
            panic!("not found");
        };
        let bits = |part: &Part| -> Vec<Option<u64>> {
            part.measured
                .iter()
                .map(|one| one.value.map(f64::to_bits))
                .collect()
        };
        assert_eq!(bits(&read), bits(&part));
        assert_eq!(read, part);
        assert_eq!(std::fs::read_dir(folder(out.path())).unwrap().count(), 1);
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let text = part().encode().into_bytes();
        assert!(Part::decode(&text).is_some());
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert!(Part::decode(&changed).is_none(), "byte {at}");
            assert!(Part::decode(&text[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn another_runs_part_under_this_name_is_damage() {
        let out = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder(out.path())).unwrap();
        let mut part = part();
        let here = part.run.clone();
        part.run.repetition += 1;
        std::fs::write(here.path(out.path()), part.encode()).unwrap();
        assert!(matches!(here.find(out.path()).unwrap(), Found::Damaged));
    }

    #[test]
    fn each_field_changes_the_name() {
        let base = part().run;
        let mut others = vec![base.clone(); 5];
        others[1].version = "1a".into();
        others[2].scenario_hash = "b".into();
        others[3].seed = 1;
        others[4].repetition = 0;
        let names: std::collections::BTreeSet<String> =
            others.iter().map(Identity::file_name).collect();
        assert_eq!(names.len(), 5);
    }
}
