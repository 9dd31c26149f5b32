//! The name of a scenario in results.

use blake2::{Blake2b, Digest, digest::consts::U32};
use data_encoding::HEXLOWER;

use super::{Model, Workload, files::Files};

/// See [`Scenario::hash`](super::Scenario::hash).
pub(super) fn hash(model: &Model, files: &Files) -> String {
    let mut model = model.clone();
    model.run.seed = 0;
    let mut hash = Blake2b::<U32>::new();
    hash.update(b"shoal-sim scenario 1");
    if let Some(matrix) = &mut model.links.matrix {
        hash.update(files.digest(matrix));
        matrix.clear();
    }
    for class in &mut model.clients {
        if let Workload::Trace { file } = &mut class.workload {
            hash.update(files.digest(file));
            file.clear();
        }
    }
    // The order of the keys is that of the types, and a float is written with as many digits as
    // tell it from every other, so that equal models give equal bytes. Serialising one can't fail:
    // it has no maps but tables of named keys.
    hash.update(serde_json::to_vec(&model).unwrap_or_default());
    HEXLOWER.encode(&hash.finalize())
}
