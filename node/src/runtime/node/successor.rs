//! The file that follows on the network's, as an operator puts it into a node's directory.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use shoal_proto::NetworkHash;
use shoal_roles::node::NodeInput;
use shoal_topology::{MAX_SUCCESSOR_BYTES, NetworkParameters, Successor};
use tokio::sync::mpsc;

use crate::state::StateDir;

/// Its name.
pub const SUCCESSOR_FILE: &str = "successor.toml";

/// Where it is looked for, and who is told.
pub(super) struct SuccessorFile {
    path: PathBuf,
    /// The file that counts now: it may be there still.
    here: NetworkHash,
    inputs: mpsc::Sender<NodeInput>,
}

impl SuccessorFile {
    pub(super) fn new(
        dir: &StateDir,
        params: &NetworkParameters,
        inputs: mpsc::Sender<NodeInput>,
    ) -> Self {
        Self {
            path: dir.file(SUCCESSOR_FILE),
            here: params.hash(),
            inputs,
        }
    }

    /// Reads it, if there is one, and hands it in. The disk is waited for elsewhere.
    pub(super) fn look(&self) {
        let (path, here, inputs) = (self.path.clone(), self.here, self.inputs.clone());
        tokio::task::spawn_blocking(move || {
            let Ok(file) = File::open(&path) else { return };
            let (mut text, most) = (Vec::new(), MAX_SUCCESSOR_BYTES as u64 + 1);
            if let Err(error) = file.take(most).read_to_end(&mut text) {
                tracing::warn!(path = %path.display(), %error, "the file that is to follow can't be read");
                return;
            }
            let counts = Successor::parse(&text).is_ok_and(|it| it.hash() == here);
            if !counts {
                // The loop is gone while the node stops.
                let _ = inputs.blocking_send(NodeInput::Successor(text.into()));
            }
        });
    }
}
