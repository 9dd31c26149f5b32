//! The network file of a directory that `init` makes: copied into it, because whoever runs the daemon may
//! not be able to read it where it was.

use std::path::{Path, PathBuf};

use shoal_node::Failure;
use shoal_node::config::load_network;
use shoal_node::state::write_new;
use shoal_topology::NetworkParameters;
use toml::Value;

/// Name of the network file in a node's or client's directory.
const FILE: &str = "network.toml";

/// Where the network file is, and what `init` does about it.
pub(super) enum NetworkCopy {
    /// It is in the directory, or is awaited there: what a configuration says unless told otherwise.
    Here(PathBuf),
    /// It is elsewhere, and is copied.
    Copied(Box<NetworkParameters>),
    /// It is to come, elsewhere; this is its whole path.
    Awaited(PathBuf),
}

impl NetworkCopy {
    /// What to do about the file that was named, for a directory that is made.
    ///
    /// # Errors
    /// The file is there and none that a daemon would take.
    pub(super) fn of(named: Option<&Path>, dir: &Path) -> Result<Self, Failure> {
        let here = dir.join(FILE);
        let whole = |path: &Path| std::path::absolute(path).map_err(Failure::usage);
        let Some(named) = named else {
            return Ok(Self::Here(here));
        };
        if whole(named)? == whole(&here)? {
            return Ok(Self::Here(here));
        }
        if named.symlink_metadata().is_err() {
            return whole(named).map(Self::Awaited);
        }
        let params = load_network(named).map_err(Failure::usage)?;
        Ok(Self::Copied(Box::new(params)))
    }

    /// The network, if its file is there already.
    ///
    /// # Errors
    /// The file is none that a daemon would take.
    pub(super) fn params(&self) -> Result<Option<NetworkParameters>, Failure> {
        match self {
            Self::Copied(params) => Ok(Some((**params).clone())),
            Self::Here(path) if path.symlink_metadata().is_ok() => {
                load_network(path).map(Some).map_err(Failure::usage)
            }
            Self::Here(_) | Self::Awaited(_) => Ok(None),
        }
    }

    /// What the configuration says, unless that is the default.
    ///
    /// # Errors
    /// A path that is no text.
    pub(super) fn value(&self) -> Result<Option<Value>, Failure> {
        let Self::Awaited(path) = self else {
            return Ok(None);
        };
        let text = path.to_str().ok_or_else(|| {
            Failure::Usage(anyhow::anyhow!("{} is not valid UTF-8", path.display()))
        })?;
        Ok(Some(Value::String(text.to_owned())))
    }

    /// The file that [`write`](Self::write) makes.
    pub(super) fn target(&self, dir: &Path) -> Option<PathBuf> {
        matches!(self, Self::Copied(_)).then(|| dir.join(FILE))
    }

    /// Makes the copy.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn write(&self, dir: &Path) -> Result<(), Failure> {
        if let Self::Copied(params) = self {
            write_new(&dir.join(FILE), params.to_toml().as_bytes(), 0o600)?;
        }
        Ok(())
    }

    /// Where the file has to be put before the daemon can run.
    pub(super) fn awaited(&self, dir: &Path) -> Option<PathBuf> {
        match self {
            Self::Copied(_) => None,
            Self::Here(path) => path.symlink_metadata().is_err().then(|| dir.join(FILE)),
            Self::Awaited(path) => Some(path.clone()),
        }
    }
}
