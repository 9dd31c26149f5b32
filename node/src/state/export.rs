//! A client outside of its directory: its key, its contacts and its settings, under a passphrase of their own.
//!
//! The file is an envelope (`shoalex1`) around the 32 bytes of the key and JSON, filled up with spaces so that its length
//! tells the number of contacts only roughly. What is in it, and why nothing else is, is in docs/identity.md.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use data_encoding::BASE64;
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use shoal_client::{Change, ClientKeys, Label, PeerKey, Row, SavedContact, Sites, Table};
use shoal_proto::Time;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::error::StateError;
use super::files::{PRIVATE, write_new};
use super::sealed::envelope::{self, Kind};
use super::sealed::{Cost, OpenError, Passphrase};

const KIND: &Kind = b"shoalex1";
const VERSION: u32 = 1;
/// Longest file.
const MOST_BYTES: u64 = 64 << 20;
/// Most contacts in one.
const MOST_CONTACTS: usize = 8192;
/// Longest configuration.
const MOST_CONFIG: usize = 64 << 10;
const SECRET: usize = 32;
/// The JSON is filled up to a multiple of this.
const STEP: usize = 4096;

const ADVICE: &str = "take another copy of the export; there is no way around its check value";

/// What of a client is kept outside.
pub struct Export {
    /// Its keys.
    pub keys: ClientKeys,
    /// The whole hash of its network's first file: contacts are of that network.
    pub network: String,
    /// Its configuration.
    pub config: String,
    /// When it was made.
    pub made: Time,
    /// Whom it knows.
    pub contacts: Vec<SavedContact>,
    /// What was said with them.
    pub history: Vec<SavedLine>,
}

/// Something that was said with a contact, as it is kept: what is known of it, and its text. It has no `Debug`.
#[derive(Clone, PartialEq)]
pub struct SavedLine {
    key: Vec<u8>,
    line: Zeroizing<Vec<u8>>,
    said: Zeroizing<Vec<u8>>,
}

impl SavedLine {
    /// A line by its row, with its text.
    pub(super) fn new(row: Row, said: Zeroizing<Vec<u8>>) -> Self {
        Self {
            key: row.key,
            line: row.value,
            said,
        }
    }

    /// What it takes: all lines of an export [`Export::MOST_SAID`] bytes at most.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.key.len() + self.line.len() + self.said.len()
    }

    /// The rows that it is.
    #[must_use]
    pub fn rows(self) -> [Change; 2] {
        let line = Change::put(Table::Line, self.key.clone(), self.line);
        [line, Change::put(Table::Said, self.key, self.said)]
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    version: u32,
    network: String,
    config: String,
    made_at_us: u64,
    contacts: Vec<Person>,
    #[serde(default)]
    history: Vec<Said>,
}

/// A line: the key and the value of its row, and its text, each in base64.
#[derive(Serialize, Deserialize, ZeroizeOnDrop)]
struct Said(String, String, String);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    key: String,
    label: String,
    verified: bool,
    blocked: bool,
    reads: bool,
    since_us: u64,
    sites: String,
    sent: u64,
    heard: u64,
}

impl Export {
    /// Most bytes of what was said in one; they are longer there by a third.
    pub const MOST_SAID: usize = 32 << 20;

    /// Writes it, and replaces nothing.
    ///
    /// # Errors
    /// [`StateError::Exists`], [`StateError::Io`], [`StateError::Open`] if there is no memory for the passphrase.
    pub fn write<R: CryptoRng>(
        &self,
        path: &Path,
        passphrase: (&Passphrase, Cost),
        rng: &mut R,
    ) -> Result<(), StateError> {
        let fail = |error| StateError::open(path, error, ADVICE);
        let plain = self.encode().map_err(fail)?;
        let sealed = envelope::seal(KIND, passphrase, &plain, rng).map_err(fail)?;
        write_new(path, &sealed, PRIVATE)
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`StateError::Passphrase`] if that does not open it, [`StateError::Corrupt`] if it is none, or another release's;
    /// [`StateError::Io`].
    pub fn read(path: &Path, passphrase: &Passphrase) -> Result<Self, StateError> {
        let mut sealed = Vec::new();
        let file = File::open(path).map_err(StateError::io("open", path))?;
        let read = file.take(MOST_BYTES + 1).read_to_end(&mut sealed);
        read.map_err(StateError::io("read", path))?;
        let fail = |error| StateError::open(path, error, ADVICE);
        if sealed.len() as u64 > MOST_BYTES {
            return Err(fail(OpenError::Kind));
        }
        let plain = envelope::open(KIND, passphrase, &sealed).map_err(fail)?;
        Self::decode(&plain).map_err(|what| StateError::Corrupt {
            path: path.to_owned(),
            what: what.to_owned(),
            advice: "it opens, so another release made it: read it with that",
        })
    }

    fn encode(&self) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let body = Body {
            version: VERSION,
            network: self.network.clone(),
            config: self.config.clone(),
            made_at_us: self.made.as_micros(),
            contacts: self.contacts.iter().map(Person::of).collect(),
            history: self.history.iter().map(Said::of).collect(),
        };
        // Nothing in it that JSON can't say.
        let json = serde_json::to_vec(&body).map_err(|_| OpenError::Kind)?;
        let json = Zeroizing::new(json);
        let whole = SECRET + json.len().next_multiple_of(STEP);
        let mut plain = Zeroizing::new(Vec::with_capacity(whole));
        plain.extend_from_slice(self.keys.secret().as_slice());
        plain.extend_from_slice(&json);
        plain.resize(whole, b' ');
        Ok(plain)
    }

    fn decode(plain: &[u8]) -> Result<Self, &'static str> {
        let (secret, json) = plain
            .split_first_chunk::<SECRET>()
            .ok_or("it is cut short")?;
        let body: Body = serde_json::from_slice(json).map_err(|_| "it is of another version")?;
        if body.version != VERSION {
            return Err("it is of another version");
        }
        if body.contacts.len() > MOST_CONTACTS || body.config.len() > MOST_CONFIG {
            return Err("it has more in it than one can have");
        }
        let history: Option<Vec<SavedLine>> = body.history.iter().map(Said::line).collect();
        let contacts = body.contacts.iter().map(Person::contact);
        Ok(Self {
            keys: ClientKeys::from_secret(secret),
            network: body.network,
            config: body.config,
            made: Time::from_micros(body.made_at_us),
            contacts: contacts
                .collect::<Option<_>>()
                .ok_or("a contact in it is none")?,
            history: history.ok_or("a line in it is none")?,
        })
    }
}

/// For fuzzing: takes bytes for an export under the passphrase `fuzz`, and for what is in one. What they ask for to try
/// the passphrase is looked at, and little is done for it.
#[cfg(any(test, fuzzing))]
pub(crate) fn try_any(data: &[u8]) {
    let Ok(passphrase) = Passphrase::new(Zeroizing::new(b"fuzz".to_vec())) else {
        return;
    };
    let mut sealed = data.to_vec();
    envelope::make_cheap(&mut sealed);
    let opened = envelope::open(KIND, &passphrase, &sealed);
    for plain in [Some(data), opened.as_ref().ok().map(|it| it.as_slice())] {
        let Some(Ok(export)) = plain.map(Export::decode) else {
            continue;
        };
        let again = export.encode().map(|it| Export::decode(&it));
        let same = |it: Export| it.contacts == export.contacts && it.history == export.history;
        assert!(again.is_ok_and(|it| it.is_ok_and(same)));
    }
}

impl Said {
    fn of(line: &SavedLine) -> Self {
        let [value, text] = [&line.line, &line.said].map(|it| BASE64.encode(it));
        Self(BASE64.encode(&line.key), value, text)
    }

    fn line(&self) -> Option<SavedLine> {
        let bytes = |text: &str| BASE64.decode(text.as_bytes()).ok();
        let row = Row {
            table: Table::Line,
            key: bytes(&self.0)?,
            value: bytes(&self.1)?.into(),
        };
        let said = bytes(&self.2)?.into();
        crate::conversations::is_line(&row).then(|| SavedLine::new(row, said))
    }
}

impl Person {
    fn of(contact: &SavedContact) -> Self {
        Self {
            key: contact.key.to_string(),
            label: contact.label.to_string(),
            verified: contact.verified,
            blocked: contact.blocked,
            reads: contact.reads,
            since_us: contact.since.as_micros(),
            sites: bs58::encode(contact.sites.to_bytes()).into_string(),
            sent: contact.sent,
            heard: contact.heard,
        }
    }

    fn contact(&self) -> Option<SavedContact> {
        let bytes = |text: &str| bs58::decode(text).into_vec().ok();
        Some(SavedContact {
            key: PeerKey::parse(bytes(&self.key)?.try_into().ok()?).ok()?,
            label: self.label.parse::<Label>().ok()?,
            verified: self.verified,
            blocked: self.blocked,
            reads: self.reads,
            since: Time::from_micros(self.since_us),
            sites: Sites::from_bytes(&bytes(&self.sites)?.try_into().ok()?),
            sent: self.sent,
            heard: self.heard,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use shoal_client::DropSite;
    use shoal_proto::{DropId, NodeId};

    use super::*;

    fn words(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
    }

    fn contact(number: u64) -> SavedContact {
        let first = DropSite {
            provider: NodeId::new([7; 32]),
            drop: DropId::new([8; 32]),
        };
        SavedContact {
            key: ClientKeys::generate(&mut crate::seeded().unwrap()).public(),
            label: "Zo\u{eb} \"of\" work".parse().unwrap(),
            verified: number.is_multiple_of(2),
            blocked: number.is_multiple_of(3),
            reads: true,
            since: Time::from_micros(60_000_000 * number),
            sites: Sites {
                first,
                second: number.is_multiple_of(2).then_some(first),
            },
            sent: number,
            heard: u64::MAX,
        }
    }

    fn export(contacts: u64) -> Export {
        Export {
            keys: ClientKeys::generate(&mut crate::seeded().unwrap()),
            network: "ab".repeat(32),
            config: "profile = \"default\"\n".to_owned(),
            made: Time::from_micros(5),
            contacts: (0..contacts).map(contact).collect(),
            history: Vec::new(),
        }
    }

    #[test]
    fn what_is_exported_comes_back_under_its_passphrase_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("export");
        let (own, rng) = (export(20), &mut crate::seeded().unwrap());
        let with = (&words("correct horse"), Cost::TRIFLING);
        own.write(&path, with, rng).unwrap();
        let again = own.write(&path, with, rng).unwrap_err();
        assert!(matches!(again, StateError::Exists(_)));
        let back = Export::read(&path, with.0).unwrap();
        assert_eq!(back.keys.public(), own.keys.public());
        assert!(back.contacts == own.contacts && back.contacts.len() == 20);
        assert_eq!(
            (back.network, back.config, back.made),
            (own.network, own.config, own.made)
        );
        let other = Export::read(&path, &words("correct horsf")).err().unwrap();
        assert!(matches!(other, StateError::Passphrase(_)), "{other}");
        let sound = std::fs::read(&path).unwrap();
        let secret = own.keys.secret();
        assert!(!sound.windows(32).any(|window| window == secret.as_slice()));
        // Every byte is bound, the last one too; those of the cost are tried elsewhere.
        for at in (0..8)
            .chain(18..sound.len())
            .step_by(97)
            .chain([sound.len() - 1])
        {
            let mut altered = sound.clone();
            altered[at] ^= 1;
            std::fs::write(&path, &altered).unwrap();
            assert!(Export::read(&path, with.0).is_err(), "byte {at}");
        }
        let long = vec![b's'; 1 + usize::try_from(MOST_BYTES).unwrap()];
        std::fs::write(&path, long).unwrap();
        assert!(Export::read(&path, with.0).is_err());
    }

    /// `cargo test -p shoal-node --lib write_the_corpus_of_exports -- --ignored`
    #[test]
    #[ignore = "writes files"]
    fn write_the_corpus_of_exports() {
        let folder = format!("{}/corpus/export", env!("CARGO_MANIFEST_DIR"));
        std::fs::create_dir_all(&folder).unwrap();
        let rng = &mut crate::seeded().unwrap();
        let with = (&words("fuzz"), Cost::TRIFLING);
        let mut seal = |plain: &[u8]| envelope::seal(KIND, with, plain, rng).unwrap();
        let mut own = export(2);
        own.history = vec![line(own.contacts[1].key, &sound_line())];
        let plain = own.encode().unwrap();
        for (name, bytes) in [
            ("plain", plain.to_vec()),
            ("sealed", seal(&plain)),
            ("sealed_nothing", seal(&[])),
            ("sealed_key_alone", seal(&plain[..SECRET])),
        ] {
            std::fs::write(format!("{folder}/{name}"), bytes).unwrap();
        }
    }

    fn sound_line() -> Vec<u8> {
        [&[1, 0, 0][..], &[7; 16], &[0; 24]].concat()
    }

    fn line(with: PeerKey, value: &[u8]) -> SavedLine {
        let key = [&with.as_bytes()[..], &5u64.to_be_bytes()].concat();
        let row = Row {
            table: Table::Line,
            key,
            value: value.to_vec().into(),
        };
        SavedLine::new(row, b"hello \xff".to_vec().into())
    }

    /// What was said comes along, and nothing that is no line.
    #[test]
    fn what_was_said_is_in_it_and_comes_back_as_rows() {
        let (with, value) = (contact(1).key, sound_line());
        let mut own = export(1);
        own.history = vec![line(with, &value)];
        let back = Export::decode(&own.encode().unwrap()).unwrap();
        assert!(back.history == own.history);
        let [known, said] = back.history[0].clone().rows();
        assert_eq!((known.table, &known.key), (Table::Line, &said.key));
        assert_eq!(said.value.unwrap().as_slice(), b"hello \xff");
        own.history = vec![line(with, &value[1..])];
        let refused = Export::decode(&own.encode().unwrap());
        assert_eq!(refused.err(), Some("a line in it is none"));
    }

    #[test]
    fn what_is_not_written_so_is_refused_and_the_length_tells_little() {
        let plain = export(1).encode().unwrap();
        assert_eq!(plain.len(), export(3).encode().unwrap().len());
        assert!(Export::decode(&plain).is_ok());
        let text = String::from_utf8(plain[SECRET..].to_vec()).unwrap();
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("\"reads\"", "\"raeds\""),
            ("\"blocked\":true", "\"blocked\":1"),
            ("\"label\":\"", "\"label\":\"\\u202e"),
            ("\"sites\":\"", "\"sites\":\"0"),
            ("\"key\":\"", "\"key\":\"0"),
        ] {
            let other = text.replace(from, to);
            assert!(other != text, "{from}");
            let bytes = [&plain[..SECRET], other.as_bytes()].concat();
            assert!(Export::decode(&bytes).is_err(), "{to}");
        }
        assert!(Export::decode(&plain[..31]).is_err());
    }
}
