//! A client's key file, plain or under a passphrase, and how it becomes the other while the rows do.
//!
//! Plain, it is what [`ClientKeys::to_bytes`] gives, and the rows are plain. Under a passphrase it is `shoalcs1`, an id
//! (4 bytes), an envelope of a random master key under the passphrase, and the client's keys, sealed with that; the rows
//! are sealed with it too. The database says the id of the key file that its rows are under, and so the two change
//! together: the new key file is put beside the old one, and so are the message boxes' rows, once more; the client's rows
//! and the id are written anew in one transaction, which is the moment from which on the new one counts; and the new file
//! and the boxes' new rows take the place of the old ones. Whoever opens them after a crash goes by the id.

use std::path::{Path, PathBuf};

use rand::CryptoRng;
use shoal_client::ClientKeys;
use zeroize::Zeroizing;

use super::box_rows::BoxRows;
use super::client_db::ClientDb;
use super::dir::StateDir;
use super::error::StateError;
use super::files::{PRIVATE, read_secret, remove_secret, write_new, write_secret};
use super::keys::CLIENT_FILE;
use super::sealed::envelope::{self, Kind};
use super::sealed::master::Master;
use super::sealed::{Cost, OpenError, Passphrase};
use super::sealed_rows::Under;

/// Name of the key file that is to take the place of the other.
const NEXT_FILE: &str = "client.key.next";

const MAGIC: &[u8; 8] = b"shoalcs1";
const MASTER: &Kind = b"shoalmk1";
/// Bytes of magic and id.
const HEAD: usize = MAGIC.len() + 4;
/// Bytes of the envelope around a master key.
const ENVELOPE: usize = envelope::around(Master::BYTES);

const ADVICE: &str = "restore it from a backup; without one, the mailboxes are lost, and so is the key that contacts \
                      know, unless you have its words (`shoal identity restore`)";

/// A client's key file, as it was read.
pub struct ClientKeyFile {
    path: PathBuf,
    content: Zeroizing<Vec<u8>>,
}

/// What it holds. Wiped when dropped, and without Debug.
pub struct ClientSecrets {
    keys: ClientKeys,
    seal: Option<(u32, Master)>,
}

/// A moment at which a change of the passphrase may be cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The new key file is beside the old one.
    Beside,
    /// The message boxes' rows are, too.
    Staged,
    /// The client's rows are written anew.
    Rows,
    /// The new key file is in its place.
    Placed,
    /// The message boxes' new rows are in theirs.
    Boxes,
}

/// Makes a client's key file, under a passphrase if there is one. Refuses if there is a file. Gives what is in it, so
/// that nobody has to unlock what was just made, which takes as long again.
///
/// # Errors
/// [`StateError::Exists`], [`StateError::Io`], [`StateError::Open`] if there is no memory for the passphrase.
pub fn create_client_keys<R: CryptoRng>(
    dir: &Path,
    keys: &ClientKeys,
    passphrase: Option<(&Passphrase, Cost)>,
    rng: &mut R,
) -> Result<ClientSecrets, StateError> {
    let path = dir.join(CLIENT_FILE);
    let made = Made::of(&path, keys, passphrase, 0, rng)?;
    write_new(&path, &made.file, PRIVATE)?;
    Ok(ClientSecrets {
        keys: same(keys),
        seal: made.master.map(|master| (made.id, master)),
    })
}

impl ClientKeyFile {
    /// Reads it where nobody may be writing; what a crash has left half done is finished, or taken back.
    ///
    /// # Errors
    /// [`StateError`] for a file that is missing, somebody else's or readable by others.
    pub fn open(dir: &StateDir) -> Result<Self, StateError> {
        settle(dir.path())?;
        Self::read(dir.path())
    }

    /// Reads it as it is, also beside a daemon.
    ///
    /// # Errors
    /// [`StateError`] for a file that is missing, somebody else's or readable by others.
    pub fn read(dir: &Path) -> Result<Self, StateError> {
        let path = dir.join(CLIENT_FILE);
        let content = read_secret(&path, "`shoal client init` makes it")?;
        Ok(Self { path, content })
    }

    /// Whether it takes a passphrase to open it.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.content.starts_with(MAGIC)
    }

    /// Opens it, under this passphrase if it is under one.
    ///
    /// # Errors
    /// [`StateError::NoPassphrase`] and [`StateError::Passphrase`] if it is under one and that is not given;
    /// [`StateError::Unsealed`] if it is under none and one is given; [`StateError::Corrupt`] if it is damaged.
    pub fn unlock(self, passphrase: Option<&Passphrase>) -> Result<ClientSecrets, StateError> {
        let (keys, seal) = match (self.is_sealed(), passphrase) {
            (false, None) => (self.content.clone(), None),
            (true, None) => return Err(StateError::NoPassphrase(self.path)),
            // Somebody may have put it in the place of the one that the passphrase is for.
            (false, Some(_)) => return Err(StateError::Unsealed(self.path)),
            (true, Some(passphrase)) => {
                let opened = open_sealed(&self.content, passphrase);
                let (keys, seal) =
                    opened.map_err(|error| StateError::open(&self.path, error, ADVICE))?;
                (keys, Some(seal))
            }
        };
        let keys = ClientKeys::from_bytes(&keys).map_err(|error| StateError::Corrupt {
            path: self.path,
            what: error.to_string(),
            advice: ADVICE,
        })?;
        Ok(ClientSecrets { keys, seal })
    }
}

impl ClientSecrets {
    /// The keys.
    #[must_use]
    pub fn keys(&self) -> ClientKeys {
        same(&self.keys)
    }

    /// Opens the rows, or makes a database for them.
    ///
    /// # Errors
    /// As [`ClientDb::open`]; [`StateError::Corrupt`] also if they are under another key.
    pub fn open_db<R: CryptoRng>(&self, dir: &Path, rng: &mut R) -> Result<ClientDb, StateError> {
        ClientDb::open_under(dir, under(self.seal.as_ref(), rng))
    }

    /// Opens the message boxes' rows, or makes a database for them.
    ///
    /// # Errors
    /// As [`ClientSecrets::open_db`].
    pub fn open_boxes<R: CryptoRng>(&self, dir: &Path, rng: &mut R) -> Result<BoxRows, StateError> {
        BoxRows::open_under(dir, under(self.seal.as_ref(), rng))
    }

    /// Puts keys and rows, those of message boxes too, under this passphrase, or under none, and under a new master key: who has an old copy of the
    /// key file and its passphrase opens nothing that is written from now on. After a failure, and after a crash, all of
    /// it opens as before, or all of it as is asked for here.
    ///
    /// # Errors
    /// [`StateError`], on a full disk for example.
    pub fn change<R: CryptoRng>(
        self,
        dir: &StateDir,
        passphrase: Option<(&Passphrase, Cost)>,
        rng: &mut R,
    ) -> Result<(), StateError> {
        self.change_by_steps(dir.path(), passphrase, rng, |_| Ok(()))
    }

    fn change_by_steps<R: CryptoRng>(
        self,
        dir: &Path,
        passphrase: Option<(&Passphrase, Cost)>,
        rng: &mut R,
        mut after: impl FnMut(Step) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let (path, next) = (dir.join(CLIENT_FILE), dir.join(NEXT_FILE));
        let before = self.seal.as_ref().map_or(0, |(id, _)| *id);
        let made = Made::of(&path, &self.keys, passphrase, before, rng)?;
        let seal = made.master.map(|master| (made.id, master));
        let mut db = self.open_db(dir, rng)?;
        let boxes = match BoxRows::are_in(dir) {
            true => Some(self.open_boxes(dir, rng)?),
            false => None,
        };
        write_secret(&next, &made.file)?;
        after(Step::Beside)?;
        if let Some(mut boxes) = boxes {
            boxes.stage(under(seal.as_ref(), rng))?;
        }
        after(Step::Staged)?;
        db.reseal(under(seal.as_ref(), rng))?;
        drop(db);
        after(Step::Rows)?;
        write_secret(&path, &made.file)?;
        after(Step::Placed)?;
        BoxRows::settle(dir, made.id)?;
        after(Step::Boxes)?;
        remove_secret(&next)
    }
}

fn under<R: CryptoRng>(seal: Option<&(u32, Master)>, rng: &mut R) -> Under {
    seal.map(|(id, master)| (*id, master.rows(rng)))
}

fn same(keys: &ClientKeys) -> ClientKeys {
    ClientKeys::from_secret(&keys.secret())
}

/// Finishes a change that was cut off, if the rows are under the new key file, and takes it back if they are not.
fn settle(dir: &Path) -> Result<(), StateError> {
    let next = dir.join(NEXT_FILE);
    let content = match read_secret(&next, "") {
        Err(StateError::Missing { .. }) => return Ok(()),
        content => content?,
    };
    let path = dir.join(CLIENT_FILE);
    if ClientDb::key_file(dir)? == Some(id_of(&content)) {
        write_secret(&path, &content)?;
    }
    let counts = id_of(&read_secret(&path, "`shoal client init` makes it")?);
    BoxRows::settle(dir, counts)?;
    remove_secret(&next)
}

/// A key file that is to be written.
struct Made {
    file: Zeroizing<Vec<u8>>,
    id: u32,
    master: Option<Master>,
}

impl Made {
    /// Of these keys, with another id than the one `before`.
    fn of<R: CryptoRng>(
        path: &Path,
        keys: &ClientKeys,
        passphrase: Option<(&Passphrase, Cost)>,
        before: u32,
        rng: &mut R,
    ) -> Result<Self, StateError> {
        let keys = keys.to_bytes();
        let Some(passphrase) = passphrase else {
            return Ok(Self {
                file: keys,
                id: 0,
                master: None,
            });
        };
        let mut id = 0;
        while [0, before].contains(&id) {
            id = rng.next_u32();
        }
        let master = Master::draw(rng);
        let sealed = envelope::seal(MASTER, passphrase, master.as_bytes(), rng);
        let sealed = sealed.map_err(|error| StateError::open(path, error, ADVICE))?;
        let mut file = Zeroizing::new([&MAGIC[..], &id.to_be_bytes()].concat());
        let keys = master.seal_keys(&file, &keys, rng);
        file.extend_from_slice(&sealed);
        file.extend_from_slice(&keys);
        Ok(Self {
            file,
            id,
            master: Some(master),
        })
    }
}

/// The id of a key file; that of a plain one is 0.
fn id_of(content: &[u8]) -> u32 {
    let id = content.strip_prefix(MAGIC).and_then(<[u8]>::first_chunk);
    id.map_or(0, |id| u32::from_be_bytes(*id))
}

type Opened = (Zeroizing<Vec<u8>>, (u32, Master));

fn open_sealed(content: &[u8], passphrase: &Passphrase) -> Result<Opened, OpenError> {
    let (head, rest) = content.split_at_checked(HEAD).ok_or(OpenError::Short)?;
    let (sealed, keys) = rest.split_at_checked(ENVELOPE).ok_or(OpenError::Short)?;
    let master = envelope::open(MASTER, passphrase, sealed)?;
    let master = Master::from_bytes(&master).ok_or(OpenError::Short)?;
    let keys = master.open_keys(head, keys).ok_or(OpenError::Altered)?;
    Ok((keys, (id_of(content), master)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use shoal_client::{Change, Table};

    use super::super::box_rows::BoxChange;
    use super::*;

    const TEXT: &[u8] = b"the eagle lands at noon, said nobody";
    const WHO: &[u8] = b"a contact's key, all of its bytes";

    fn words(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).unwrap()
    }

    fn rng() -> rand_chacha::ChaCha20Rng {
        crate::seeded().unwrap()
    }

    /// A client with a row, under this passphrase.
    fn client(passphrase: Option<&str>) -> (tempfile::TempDir, StateDir, ClientKeys) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("client");
        StateDir::create(&path).unwrap();
        let dir = StateDir::open(&path).unwrap();
        let keys = ClientKeys::generate(&mut rng());
        let own = passphrase.map(words);
        let with = own.as_ref().map(|words| (words, Cost::TRIFLING));
        create_client_keys(dir.path(), &keys, with, &mut rng()).unwrap();
        let mut db = open(&dir, passphrase).unwrap();
        db.apply(&[Change {
            table: Table::Inbox,
            key: WHO.to_vec(),
            value: Some(Zeroizing::new(TEXT.to_vec())),
        }])
        .unwrap();
        (place, dir, keys)
    }

    fn unlock(dir: &StateDir, passphrase: Option<&str>) -> Result<ClientSecrets, StateError> {
        ClientKeyFile::open(dir)?.unlock(passphrase.map(words).as_ref())
    }

    fn open(dir: &StateDir, passphrase: Option<&str>) -> Result<ClientDb, StateError> {
        unlock(dir, passphrase)?.open_db(dir.path(), &mut rng())
    }

    const BOXED: &[u8] = b"{\"message\":\"the owl leaves at midnight, said somebody\"}";
    const BOX: &[u8] = b"a box's name, all of its letters";

    /// Puts something into a message box.
    fn fill_boxes(dir: &StateDir, passphrase: Option<&str>) {
        let secrets = unlock(dir, passphrase).unwrap();
        let mut boxes = secrets.open_boxes(dir.path(), &mut rng()).unwrap();
        let change = BoxChange {
            table: "body",
            key: BOX.to_vec(),
            value: Some(Zeroizing::new(BOXED.to_vec())),
        };
        boxes.apply(&[change]).unwrap();
    }

    /// Whether keys and rows are all there under this passphrase, those of message boxes too.
    fn opens(dir: &StateDir, passphrase: Option<&str>, keys: &ClientKeys) -> bool {
        let Ok(secrets) = unlock(dir, passphrase) else {
            return false;
        };
        assert_eq!(secrets.keys().public(), keys.public());
        let rows = secrets
            .open_db(dir.path(), &mut rng())
            .unwrap()
            .load()
            .unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((&rows[0].key[..], &rows[0].value[..]), (WHO, TEXT));
        if BoxRows::are_in(dir.path()) {
            let boxes = secrets.open_boxes(dir.path(), &mut rng()).unwrap();
            let body = boxes.get("body", BOX).unwrap();
            assert_eq!(body.unwrap().as_slice(), BOXED);
            let mut all = 0;
            let count = |_: &str, _, _| {
                all += 1;
                Ok(())
            };
            boxes.load(&[], count).unwrap();
            assert_eq!(all, 1);
        }
        true
    }

    fn is_on_disk(dir: &StateDir, what: &[u8]) -> bool {
        let mut files = std::fs::read_dir(dir.path()).unwrap();
        files.any(|entry| {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            bytes.windows(what.len()).any(|window| window == what)
        })
    }

    #[test]
    fn only_the_passphrase_opens_keys_and_rows_and_nothing_of_them_shows() {
        let (_place, dir, keys) = client(Some("correct horse"));
        fill_boxes(&dir, Some("correct horse"));
        assert!(opens(&dir, Some("correct horse"), &keys));
        for (other, is_wrong) in [(Some("correct horsf"), true), (None, false)] {
            let error = unlock(&dir, other).err().unwrap();
            match is_wrong {
                true => assert!(matches!(error, StateError::Passphrase(_)), "{error}"),
                false => assert!(matches!(error, StateError::NoPassphrase(_)), "{error}"),
            }
        }
        assert!(
            opens(&dir, Some("correct horse"), &keys),
            "nothing is locked out"
        );
        let secret = &keys.to_bytes()[8..40];
        for what in [TEXT, WHO, BOXED, BOX, secret, b"correct horse"] {
            assert!(!is_on_disk(&dir, what));
        }
        assert!(
            ClientDb::open(dir.path()).is_err() && BoxRows::open(dir.path()).is_err(),
            "nor without the key file"
        );
    }

    #[test]
    fn a_passphrase_is_set_changed_and_removed_and_leaves_nothing_plain_behind() {
        let (_place, dir, keys) = client(None);
        fill_boxes(&dir, None);
        let mut now = None;
        for next in [
            Some("first words"),
            Some("second words"),
            None,
            Some("third words"),
        ] {
            let own = next.map(words);
            let with = own.as_ref().map(|words| (words, Cost::TRIFLING));
            let secrets = unlock(&dir, now).unwrap();
            secrets.change(&dir, with, &mut rng()).unwrap();
            assert!(opens(&dir, next, &keys) && !opens(&dir, now, &keys));
            for what in [TEXT, WHO, BOXED, BOX, &keys.to_bytes()[8..40]] {
                assert_eq!(is_on_disk(&dir, what), next.is_none());
            }
            now = next;
        }
    }

    /// Cut off after each step, all of it opens as before until the rows are written, and as asked for from then on.
    #[test]
    fn a_change_that_is_cut_off_leaves_the_old_or_the_new() {
        for (old, new) in [
            (None, Some("new words")),
            (Some("old words"), Some("new words")),
            (Some("old words"), None),
        ] {
            for cut in [
                Step::Beside,
                Step::Staged,
                Step::Rows,
                Step::Placed,
                Step::Boxes,
            ] {
                let (_place, dir, keys) = client(old);
                fill_boxes(&dir, old);
                let own = new.map(words);
                let with = own.as_ref().map(|words| (words, Cost::TRIFLING));
                let stop = |step| match step == cut {
                    true => Err(StateError::Overtaken),
                    false => Ok(()),
                };
                let secrets = unlock(&dir, old).unwrap();
                let cut_off = secrets.change_by_steps(dir.path(), with, &mut rng(), stop);
                assert!(cut_off.is_err());
                let (good, bad) = match cut {
                    Step::Beside | Step::Staged => (old, new),
                    _ => (new, old),
                };
                assert!(opens(&dir, good, &keys), "{old:?} to {new:?} until {cut:?}");
                assert!(!opens(&dir, bad, &keys), "{old:?} to {new:?} until {cut:?}");
                assert!(!dir.file(NEXT_FILE).exists());
                // Nothing of the other is left, before anything else is done with it.
                for what in [TEXT, WHO, BOXED, BOX] {
                    assert_eq!(is_on_disk(&dir, what), good.is_none(), "{cut:?}");
                }
                // And can be changed from there.
                let secrets = unlock(&dir, good).unwrap();
                secrets.change(&dir, None, &mut rng()).unwrap();
                assert!(opens(&dir, None, &keys));
            }
        }
    }

    #[test]
    fn a_key_file_that_was_altered_or_put_in_anothers_place_opens_nothing() {
        let (_place, dir, keys) = client(Some("correct horse"));
        let path = dir.file(CLIENT_FILE);
        let sound = std::fs::read(&path).unwrap();
        for at in (0..sound.len()).chain([sound.len()]) {
            let mut altered = sound.clone();
            match altered.get_mut(at) {
                // What a guess costs, so that the test does not pay for it.
                Some(byte) if (21..30).contains(&at) => *byte |= 0x80,
                Some(byte) => *byte ^= 1,
                None => altered.truncate(at - 1),
            }
            write_secret(&path, &altered).unwrap();
            assert!(unlock(&dir, Some("correct horse")).is_err(), "byte {at}");
        }
        write_secret(&path, &keys.to_bytes()).unwrap();
        let error = unlock(&dir, Some("correct horse")).err().unwrap();
        assert!(matches!(error, StateError::Unsealed(_)), "{error}");
        let error = open(&dir, None).err().unwrap();
        assert!(matches!(error, StateError::Corrupt { .. }), "{error}");
        // Another client's, under the same passphrase.
        let (_other, other, _) = client(Some("correct horse"));
        let another = std::fs::read(other.file(CLIENT_FILE)).unwrap();
        write_secret(&path, &another).unwrap();
        let error = open(&dir, Some("correct horse")).err().unwrap();
        assert!(matches!(error, StateError::Corrupt { .. }), "{error}");
        write_secret(&path, &sound).unwrap();
        assert!(opens(&dir, Some("correct horse"), &keys));
    }
}
