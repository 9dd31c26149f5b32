//! A message of a message box as it goes to another daemon across the mixnet.
//!
//! Version 1, without gaps: the version (1 byte), the sender's and the recipient's identity keys (33 each), the box's
//! name and the message's id (each a length of 1 byte and UTF-8), and the body to the end (UTF-8: JSON, `{"message":…}`).
//! When it was written is told by what carries it, to the minute.

use shoal_client::MAX_TEXT_BYTES;

use super::auth::IdentityKey;

const VERSION: u8 = 1;

/// Longest name of a box, and longest id of a message, in bytes.
pub(super) const MAX_NAME: usize = 255;

/// Bytes of the program's tag, which come before it.
const TAG: usize = 1;

/// A message. It holds a text, so it has no Debug.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Parcel {
    pub(super) sender: IdentityKey,
    pub(super) recipient: IdentityKey,
    pub(super) name: String,
    pub(super) id: String,
    pub(super) body: String,
}

impl Parcel {
    /// Bytes of a body that fit beside this name and id.
    pub(super) fn room(name: &str, id: &str) -> usize {
        MAX_TEXT_BYTES
            - TAG
            - (1 + 33 + 33 + 1 + 1)
            - name.len().min(MAX_NAME)
            - id.len().min(MAX_NAME)
    }

    /// Its bytes; none if a name is too long.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(128 + self.name.len() + self.id.len() + self.body.len());
        out.push(VERSION);
        out.extend_from_slice(self.sender.as_bytes());
        out.extend_from_slice(self.recipient.as_bytes());
        for text in [&self.name, &self.id] {
            out.push(u8::try_from(text.len()).ok()?);
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(self.body.as_bytes());
        Some(out)
    }

    /// The message of these bytes; none if they are none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, bytes) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (sender, bytes) = bytes.split_first_chunk()?;
        let (recipient, bytes) = bytes.split_first_chunk()?;
        let (name, bytes) = text(bytes)?;
        let (id, body) = text(bytes)?;
        Some(Self {
            sender: IdentityKey::new(*sender).ok()?,
            recipient: IdentityKey::new(*recipient).ok()?,
            name,
            id,
            body: String::from_utf8(body.to_vec()).ok()?,
        })
    }
}

/// For fuzzing: takes bytes for a message that came, and for a row of the database, behind a byte that says which table it
/// is of and one with the length of its key.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_any(data: &[u8]) {
    if let Some(parcel) = Parcel::decode(data) {
        assert!(parcel.encode().is_some_and(|it| it == data));
    }
    super::db::read_any(data);
}

/// A text that is not empty, behind its length.
fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, bytes) = bytes.split_first()?;
    let (text, rest) = bytes.split_at_checked(usize::from(*length))?;
    let text = String::from_utf8(text.to_vec()).ok()?;
    (!text.is_empty()).then_some((text, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::super::auth::Secret;
    use super::*;

    fn parcel(name: &str, id: &str, body: &str) -> Parcel {
        let mut rng = crate::seeded().unwrap();
        let [sender, recipient] =
            std::array::from_fn(|_| Secret::generate(&mut rng).identity().unwrap());
        let [name, id, body] = [name, id, body].map(str::to_owned);
        Parcel {
            sender,
            recipient,
            name,
            id,
            body,
        }
    }

    #[test]
    fn the_largest_body_fits_one_message_and_no_more() {
        let (name, id) = ("inbox-é", "x".repeat(255));
        let body = "b".repeat(Parcel::room(name, &id));
        let bytes = parcel(name, &id, &body).encode().unwrap();
        assert_eq!(bytes.len() + TAG, MAX_TEXT_BYTES);
        assert!(parcel(&"n".repeat(256), &id, &body).encode().is_none());
    }

    /// `cargo test -p shoal-node --lib write_the_corpus_of_parcels -- --ignored`
    #[test]
    #[ignore = "writes files"]
    fn write_the_corpus_of_parcels() {
        let folder = format!("{}/corpus/parcel", env!("CARGO_MANIFEST_DIR"));
        std::fs::create_dir_all(&folder).unwrap();
        let bytes = |name, body| parcel(name, "a-1", body).encode().unwrap();
        let files = [
            ("parcel", bytes("inbox", "{\"message\":\"hello\"}")),
            ("empty_body", bytes("in-box", "")),
        ];
        let rows = super::super::db::tests::samples().into_iter();
        for (name, bytes) in rows.chain(files) {
            std::fs::write(format!("{folder}/{name}"), bytes).unwrap();
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(name in ".{1,60}", id in ".{1,60}", body in ".{0,300}") {
            let parcel = parcel(&name, &id, &body);
            let bytes = parcel.encode().unwrap();
            prop_assert!(Parcel::decode(&bytes).unwrap() == parcel);
            // Cut short, it may be a shorter body, and nothing else.
            for end in 0..bytes.len() {
                let short = Parcel::decode(&bytes[..end]);
                prop_assert!(short.is_none_or(|short| short.id == id && body.starts_with(&short.body)));
            }
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Parcel::decode(&bytes);
            let _ = Parcel::decode(&[&[VERSION][..], &bytes].concat());
        }
    }
}
