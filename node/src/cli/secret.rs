//! Where commands have secrets from: a file, a credential of systemd's, or a terminal that does not show them. Never the
//! command line, which every process of the machine can read.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use shoal_node::Failure;
use shoal_node::state::{
    ClientKeyFile, ClientSecrets, Cost, Passphrase, PassphraseError, StateDir, StateError,
    keep_memory_private,
};
use zeroize::{Zeroize as _, Zeroizing};

use super::args::PassphraseFrom;

/// The name of the credential (`LoadCredential=` in a unit).
const CREDENTIAL: &str = "shoal-passphrase";
/// Longest text that is typed or read: 24 words and much more.
const MOST: usize = 4096;

/// The passphrase of a client that may be under one: none if it is under none and none was given.
pub(super) fn of_client(
    file: &ClientKeyFile,
    from: &PassphraseFrom,
) -> Result<Option<Passphrase>, Failure> {
    // Without a passphrase, too: the keys come next.
    keep_memory_private();
    match (given(from)?, file.is_sealed()) {
        (Some(given), _) => Ok(Some(given)),
        (None, false) => Ok(None),
        (None, true) => ask("Passphrase: ").and_then(|typed| match typed {
            Some(typed) => passphrase(typed).map(Some),
            // What unlocks it says what there is to do.
            None => Ok(None),
        }),
    }
}

/// Opens a client's keys, where no daemon runs.
pub(super) fn unlock(dir: &StateDir, from: &PassphraseFrom) -> Result<ClientSecrets, Failure> {
    let file = ClientKeyFile::open(dir)?;
    let passphrase = of_client(&file, from)?;
    Ok(file.unlock(passphrase.as_ref())?)
}

/// A new passphrase: from this file, or typed twice.
pub(super) fn new(file: Option<&Path>, what: &str) -> Result<Passphrase, Failure> {
    let taken = match file {
        Some(file) => from_file(file)?,
        None => {
            let words = format!("New passphrase {what}: ");
            let typed = ask(&words)?.ok_or_else(no_terminal)?;
            let typed = passphrase(typed)?;
            let again = ask("The same again: ")?.map(passphrase).transpose()?;
            if !again.is_some_and(|again| again.is(&typed)) {
                return Err(Failure::Usage(anyhow!(
                    "the two are not the same; nothing was changed"
                )));
            }
            typed
        }
    };
    taken.checked_as_new().map_err(Failure::usage)
}

/// A new passphrase: one that is given, or typed twice.
pub(super) fn new_or_given(from: &PassphraseFrom) -> Result<Passphrase, Failure> {
    match given(from)? {
        Some(given) => given.checked_as_new().map_err(Failure::usage),
        None => new(None, "of this client"),
    }
}

/// A passphrase that something is under already.
pub(super) fn existing(file: Option<&Path>, prompt: &str) -> Result<Passphrase, Failure> {
    match file {
        Some(file) => from_file(file),
        None => ask(prompt)?.map_or_else(|| Err(no_terminal()), passphrase),
    }
}

fn no_terminal() -> Failure {
    Failure::Usage(anyhow!(
        "there is no terminal to ask for a passphrase: put it into a file that only you can read, and name that"
    ))
}

/// A passphrase and what a guess of it is to cost.
pub(super) const fn at_usual_cost(passphrase: &Passphrase) -> (&Passphrase, Cost) {
    (passphrase, Cost::USUAL)
}

/// A passphrase that was given by a file, or by systemd.
pub(super) fn given(from: &PassphraseFrom) -> Result<Option<Passphrase>, Failure> {
    if let Some(file) = &from.passphrase_file {
        return from_file(file).map(Some);
    }
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else {
        return Ok(None);
    };
    // Who may read it is systemd's business.
    let path = PathBuf::from(folder).join(CREDENTIAL);
    match File::open(&path) {
        Ok(file) => read(file, &path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(not_read(error, &path)),
    }
}

/// A passphrase from a file that nobody else may read, or from a pipe.
pub(super) fn from_file(path: &Path) -> Result<Passphrase, Failure> {
    let file = File::open(path).map_err(|error| not_read(error, path))?;
    let metadata = file.metadata().map_err(|error| not_read(error, path))?;
    let mode = metadata.mode() & 0o7777;
    if metadata.is_file() && mode & 0o077 != 0 {
        let path = path.to_owned();
        let right = 0o600;
        return Err(StateError::Mode { path, mode, right }.into());
    }
    read(file, path)
}

fn not_read(error: io::Error, path: &Path) -> Failure {
    let path = path.display();
    Failure::Usage(anyhow!("can't read the passphrase in {path}: {error}"))
}

fn read(file: File, path: &Path) -> Result<Passphrase, Failure> {
    let bytes = all_of(file).map_err(|error| not_read(error, path))?;
    let named = |error: PassphraseError| anyhow!("{}: {error}", path.display());
    Passphrase::new(bytes).map_err(|error| Failure::Usage(named(error)))
}

fn passphrase(typed: Zeroizing<Vec<u8>>) -> Result<Passphrase, Failure> {
    Passphrase::new(typed).map_err(Failure::usage)
}

/// What standard input has, or what is typed where it is a terminal, unseen.
pub(super) fn read_unseen(prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if io::stdin().is_terminal()
        && let Some(typed) = ask(prompt)?
    {
        return Ok(typed);
    }
    let read = all_of(io::stdin().lock());
    read.context("can't read standard input")
        .map_err(Failure::Usage)
}

/// All that there is, within bounds: one byte more tells that there was more.
fn all_of(from: impl io::Read) -> io::Result<Zeroizing<Vec<u8>>> {
    keep_memory_private();
    // Reserved ahead, so that no copy is left behind by a buffer that grew.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST + 64));
    from.take(MOST as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Asks on the terminal of this process, whatever its standard input is, and does not show what is typed. None if there
/// is no terminal.
fn ask(prompt: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    keep_memory_private();
    let terminal = File::options().read(true).write(true).open("/dev/tty");
    let Ok(terminal) = terminal else {
        return Ok(None);
    };
    let unseen = Unseen::begin(&terminal).map_err(Failure::failed)?;
    let typed = (&terminal)
        .write_all(prompt.as_bytes())
        .and_then(|()| line(&terminal));
    drop(unseen);
    // The line's end was not shown either.
    let _ = (&terminal).write_all(b"\n");
    match typed.map_err(Failure::failed)? {
        Some(typed) => Ok(Some(typed)),
        None => Err(Failure::Interrupted),
    }
}

/// A terminal that shows nothing of what is typed, until this is dropped. Keys that would end the process come as
/// bytes: it is not to end with a terminal that shows nothing.
struct Unseen<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Unseen<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut unseen = before.clone();
        unseen.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        unseen.special_codes[SpecialCodeIndex::VMIN] = 1;
        unseen.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Flush, &unseen)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Unseen<'_> {
    fn drop(&mut self) {
        // Nothing else can be done about it.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// What is typed until the end of the line; none if it is interrupted.
fn line(from: impl io::Read) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut typed = Zeroizing::new(Vec::with_capacity(MOST));
    let mut byte = Zeroizing::new([0]);
    let mut from = from;
    loop {
        if from.read(byte.as_mut())? == 0 {
            return Ok(None);
        }
        match byte[0] {
            b'\r' | b'\n' => return Ok(Some(typed)),
            // Ctrl-C, Ctrl-D, Ctrl-\.
            0x03 | 0x04 | 0x1c => return Ok(None),
            // Back by a character, which may be of several bytes.
            0x08 | 0x7f => while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            // Ctrl-U.
            0x15 => {
                typed.zeroize();
                typed.reserve(MOST);
            }
            byte if typed.len() < MOST => typed.push(byte),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_typed_can_be_mended_and_interrupted() {
        let typed = |keys: &[u8]| line(keys).unwrap().map(|typed| typed.to_vec());
        assert_eq!(typed(b"abc\rdef"), Some(b"abc".to_vec()));
        assert_eq!(typed("ab\u{e9}\u{7f}c\n".as_bytes()), Some(b"abc".to_vec()));
        assert_eq!(typed(b"\x7f\x08a\x15b c\n"), Some(b"b c".to_vec()));
        for interrupted in [&b"ab\x03\n"[..], b"ab\x04", b"\x1c\n", b"ab"] {
            assert_eq!(typed(interrupted), None);
        }
        let long = [&[b'a'; 2 * MOST][..], b"\n"].concat();
        assert_eq!(typed(&long).map(|typed| typed.len()), Some(MOST));
    }
}
