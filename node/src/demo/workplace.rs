//! Where the demo's state directories are.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::Failure;

/// A directory of the demo's own.
pub(super) struct Workplace(PathBuf);

impl Workplace {
    /// Takes the directory that the user named, which has to be empty or new, or a temporary one.
    pub(super) fn create(named: Option<&Path>) -> Result<Self, Failure> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(format!("shoal-demo-{}", random_name()?)),
        };
        let in_use = || format!("{} is not empty: name a new directory", path.display());
        if fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure::usage(anyhow::anyhow!(in_use())));
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("can't make {}", path.display()))
            .map_err(Failure::Failed)?;
        // Children run with other working directories in mind.
        let path = path.canonicalize().map_err(Failure::failed)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The directory of one process, as an argument.
    pub(super) fn of(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Deletes everything.
    pub(super) fn remove(&self) {
        // What can't be removed stays in the temporary directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn random_name() -> Result<String, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::failed(anyhow::anyhow!("no randomness: {error}")))?;
    Ok(bs58::encode(bytes).into_string())
}
