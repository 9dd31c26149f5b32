//! Fuzz targets: every decoder of what comes from outside this process. None may panic on any
//! bytes. Compiled for tests, which replay the corpus in `corpus/`, and for fuzzing.

mod api;

use std::path::Path;

use bytes::Bytes;
use shoal_proto::Epoch;

use crate::config::{ClientConfig, ClientFile, Layered, NodeConfig, NodeFile};
use crate::control::EventParser;
use crate::control::api::Told;
use crate::state::{self, keys, replay};

/// A request to the local API: a line with the method and the path, one with the type of the body, and the body.
pub fn fuzz_api_request(data: &[u8]) {
    api::request(data);
}

/// Events as a daemon writes them.
pub fn fuzz_api_events(data: &[u8]) {
    let mut parser = EventParser::default();
    for piece in data.chunks(7) {
        parser.push(&Bytes::copy_from_slice(piece));
        while let Ok(Some(data)) = parser.next() {
            let _ = serde_json::from_slice::<Told>(&data);
        }
    }
}

/// A replay log; with a sound header in front too.
pub fn fuzz_replay_log(data: &[u8]) {
    let (epoch, key) = (Epoch::new(1), [1; replay::KEY_ID_BYTES]);
    let _ = replay::decode(data, epoch, &key);
    let _ = replay::decode(
        &[replay::header(epoch, &key).as_slice(), data].concat(),
        epoch,
        &key,
    );
}

/// A configuration file.
pub fn fuzz_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (name, dir) = (Path::new("fuzz.toml"), Path::new("."));
    if let Ok(layered) = Layered::<NodeFile>::parse(Some((name, text)), &[], &[]) {
        let _ = NodeConfig::validate(dir.to_owned(), dir, layered);
    }
    if let Ok(layered) = Layered::<ClientFile>::parse(Some((name, text)), &[], &[]) {
        let _ = ClientConfig::validate(dir.to_owned(), dir, layered);
    }
}

/// What a contact sends as something of a file.
pub fn fuzz_file_piece(data: &[u8]) {
    crate::files::read_any(data);
}

/// What a contact sends as a message of a message box, and a row of the message box's database.
pub fn fuzz_parcel(data: &[u8]) {
    crate::messagebox::read_any(data);
}

/// A file with an export, and what is in one.
pub fn fuzz_export(data: &[u8]) {
    state::try_any(data);
}

/// Words that are to be a key: those that are one are its words.
pub fn fuzz_phrase(data: &[u8]) {
    if let Ok(keys) = state::phrase::read(data) {
        let typed = data.to_ascii_lowercase();
        let typed = typed.split(u8::is_ascii_whitespace);
        let typed = typed.filter(|word| !word.is_empty());
        let words = state::phrase::of(&keys).unwrap_or_default().into_iter();
        assert!(typed.eq(words.map(str::as_bytes)));
    }
}

/// A line that is typed or piped into the chat: a command, or a text that is sent as it is.
pub fn fuzz_chat_line(data: &[u8]) {
    if let Ok(line) = std::str::from_utf8(data) {
        crate::chat::read_any(line);
    }
}

/// The content of a key file.
pub fn fuzz_key_file(data: &[u8]) {
    let _ = keys::is_identity(data);
}

#[cfg(test)]
#[path = "../../fuzz/check.rs"]
mod check;

#[cfg(test)]
const TARGETS: &[check::Target] = &[
    ("api_events", fuzz_api_events),
    ("api_request", fuzz_api_request),
    ("chat_line", fuzz_chat_line),
    ("config", fuzz_config),
    ("export", fuzz_export),
    ("file_piece", fuzz_file_piece),
    ("key_file", fuzz_key_file),
    ("parcel", fuzz_parcel),
    ("phrase", fuzz_phrase),
    ("replay_log", fuzz_replay_log),
];
