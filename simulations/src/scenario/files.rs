//! The files that a scenario names: traces of messages and matrices of delays.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use blake2::{Blake2b, Digest, digest::consts::U32};

use crate::input::read_text;

use super::trace::{self, Clients, Trace};
use super::{Links, Model, Workload, error::Problems};

/// The longest file, in bytes.
const MAX_BYTES: u64 = 256 << 20;
/// The most nodes of a matrix.
const MAX_NODES: usize = 4096;
/// The longest delay of a matrix, in milliseconds: a day.
const MAX_MILLIS: f64 = 86_400_000.0;

/// The delay from each node to each other, in seconds: first the providers, then the mixes layer by
/// layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// How many nodes.
    pub nodes: usize,
    /// Row by row: the delay from node i to node j is at `i * nodes + j`.
    pub delays: Vec<f64>,
}

impl Matrix {
    /// The delay from one node to another in seconds; none if there is no such node.
    #[must_use]
    pub fn delay(&self, from: usize, to: usize) -> Option<f64> {
        if to >= self.nodes {
            return None;
        }
        self.delays
            .get(from.checked_mul(self.nodes)?.checked_add(to)?)
            .copied()
    }

    /// The least delay between two different nodes, in seconds.
    #[must_use]
    pub fn least(&self) -> f64 {
        let apart = |at: &usize| at / self.nodes != at % self.nodes;
        let places = (0..self.delays.len()).filter(apart);
        let delays = places.filter_map(|at| self.delays.get(at).copied());
        delays.fold(f64::INFINITY, f64::min)
    }
}

#[derive(Clone, Debug)]
struct Loaded<T> {
    contents: Arc<T>,
    digest: [u8; 32],
}

/// The files of a scenario; each is read once.
#[derive(Clone, Debug)]
pub(super) struct Files {
    directory: Option<PathBuf>,
    traces: BTreeMap<PathBuf, Loaded<Trace>>,
    matrices: BTreeMap<PathBuf, Loaded<Matrix>>,
}

impl Files {
    /// Names are relative to this directory.
    pub(super) fn beside(directory: &Path) -> Self {
        Self {
            directory: Some(directory.to_owned()),
            traces: BTreeMap::new(),
            matrices: BTreeMap::new(),
        }
    }

    /// No file may be named.
    pub(super) const fn none() -> Self {
        Self {
            directory: None,
            traces: BTreeMap::new(),
            matrices: BTreeMap::new(),
        }
    }

    /// Reads what the model names and checks that it fits the model.
    pub(super) fn load(&mut self, model: &Model, problems: &mut Problems) {
        if let Some(name) = &model.links.matrix {
            self.load_matrix(name, model, problems);
        }
        let counts = || model.clients.iter().map(|class| u64::from(class.count));
        let mut first = 0;
        for (at, class) in model.clients.iter().enumerate() {
            if let Workload::Trace { file } = &class.workload {
                let key = format!("clients[{at}].workload.file");
                let clients = Clients {
                    first,
                    count: class.count,
                    all: counts().sum(),
                };
                if let Some(trace) = self.load_trace(file, &key, clients, problems) {
                    trace.warn(&key, &model.run, problems);
                }
            }
            first += u64::from(class.count);
        }
    }

    pub(super) fn trace(&self, workload: &Workload) -> Option<&Trace> {
        match workload {
            Workload::Trace { file } => self.traces.get(file).map(|t| &*t.contents),
            Workload::Saturated | Workload::Poisson { .. } => None,
        }
    }

    pub(super) fn matrix(&self, links: &Links) -> Option<&Matrix> {
        let name = links.matrix.as_ref()?;
        self.matrices.get(name).map(|m| &*m.contents)
    }

    /// BLAKE2b-256 of a file that was read; zeros for one that was not.
    pub(super) fn digest(&self, name: &Path) -> [u8; 32] {
        let trace = self.traces.get(name).map(|t| t.digest);
        let matrix = self.matrices.get(name).map(|m| m.digest);
        trace.or(matrix).unwrap_or_default()
    }

    fn load_matrix(&mut self, name: &Path, model: &Model, problems: &mut Problems) {
        let key = "links.matrix";
        if !self.matrices.contains_key(name) {
            match self.read(name, parse_matrix) {
                Ok(loaded) => {
                    self.matrices.insert(name.to_owned(), loaded);
                }
                Err(reason) => problems.refuse(key, name.display(), reason),
            }
        }
        let Some(matrix) = self.matrices.get(name) else {
            return;
        };
        let nodes = model.topology.mixes() + u64::from(model.topology.providers);
        if matrix.contents.nodes as u64 != nodes {
            let given = format!("{} nodes in {}", matrix.contents.nodes, name.display());
            let allowed = format!("must have the scenario's {nodes} providers and mixes");
            problems.refuse(key, given, allowed);
        }
    }

    /// The trace, if it fits.
    fn load_trace(
        &mut self,
        name: &Path,
        key: &str,
        clients: Clients,
        problems: &mut Problems,
    ) -> Option<&Trace> {
        if !self.traces.contains_key(name) {
            match self.read(name, trace::parse) {
                Ok(loaded) => {
                    self.traces.insert(name.to_owned(), loaded);
                }
                Err(reason) => problems.refuse(key, name.display(), reason),
            }
        }
        let trace = &*self.traces.get(name)?.contents;
        if let Err(reason) = trace.check(clients) {
            problems.refuse(key, name.display(), reason);
            return None;
        }
        Some(trace)
    }

    fn read<T>(
        &self,
        name: &Path,
        parse: fn(&str) -> Result<T, String>,
    ) -> Result<Loaded<T>, String> {
        let directory = self
            .directory
            .as_ref()
            .ok_or("files are read beside a scenario that is a file itself")?;
        let path = directory.join(name);
        let text = read_bounded(&path).map_err(|reason| format!("{}: {reason}", path.display()))?;
        Ok(Loaded {
            digest: Blake2b::<U32>::digest(text.as_bytes()).into(),
            contents: Arc::new(parse(&text)?),
        })
    }
}

/// The text of a regular file of bounded length.
fn read_bounded(path: &Path) -> Result<String, String> {
    let kind = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !kind.is_file() {
        return Err("is not a file".to_owned());
    }
    read_text(path, MAX_BYTES).map_err(|error| error.to_string())
}

/// The lines that say something, with their numbers from 1.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// A square of milliseconds, a line for each node.
fn parse_matrix(text: &str) -> Result<Matrix, String> {
    let mut delays = Vec::new();
    let mut nodes = 0;
    let mut rows = 0;
    for (number, line) in lines(text) {
        let before = delays.len();
        for field in line.split(',') {
            let millis: f64 = field
                .trim()
                .parse()
                .ok()
                .filter(|millis| (0.0..=MAX_MILLIS).contains(millis))
                .ok_or_else(|| {
                    let field: String = field.chars().take(40).collect();
                    format!("line {number}: {field:?} is not a delay in milliseconds from 0 to {MAX_MILLIS}")
                })?;
            delays.push(millis / 1e3);
        }
        let row = delays.len() - before;
        nodes = if rows == 0 { row } else { nodes };
        rows += 1;
        if row != nodes || nodes > MAX_NODES {
            return Err(format!(
                "line {number}: {row} delays; each line has as many as there are lines, at most {MAX_NODES}"
            ));
        }
    }
    if rows != nodes || nodes == 0 {
        return Err(format!("{rows} lines of {nodes} delays: must be a square"));
    }
    Ok(Matrix { nodes, delays })
}

#[cfg(test)]
mod tests {
    use super::parse_matrix;

    #[test]
    fn matrices_are_read() {
        let matrix = parse_matrix("0,10\n20,0\n").unwrap();
        assert_eq!(matrix.delay(0, 1), Some(0.01));
        assert_eq!(matrix.delay(1, 0), Some(0.02));
        assert_eq!(matrix.delay(1, 2), None);
        assert_eq!(matrix.delay(2, 0), None);
        assert_eq!(matrix.least().to_bits(), 0.01f64.to_bits());
    }

    #[test]
    fn errors_of_matrices_name_the_line() {
        for (text, line) in [
            ("0,1\n1", "line 2"),
            ("0,1\n1,x", "line 2"),
            ("0,1\n-1,0", "line 2"),
            ("0,nan\n1,0", "line 1"),
            ("0,1", "1 lines of 2"),
            ("", "0 lines"),
        ] {
            assert!(parse_matrix(text).unwrap_err().contains(line), "{text}");
        }
    }
}
