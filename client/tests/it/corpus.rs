//! Replays `corpus/<target>/*`.

use std::fs;
use std::path::Path;

use shoal_client::fuzz;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut files = 0;
    for file in fs::read_dir(folder).unwrap() {
        let data = fs::read(file.unwrap().path()).unwrap();
        run(&data);
        for cut in [0, 1, data.len() / 2, data.len().saturating_sub(1)] {
            run(&data[..cut.min(data.len())]);
        }
        files += 1;
    }
    assert!(files >= 3, "{target} has {files} files");
}

#[test]
fn addresses() {
    replay("address", fuzz::fuzz_address);
}

#[test]
fn keys() {
    replay("keys", fuzz::fuzz_keys);
}

#[test]
fn rows() {
    replay("rows", fuzz::fuzz_rows);
}
