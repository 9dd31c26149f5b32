//! How rows are written: fixed layouts behind a version byte, numbers big-endian.

use shoal_proto::{Span, Time};
use zeroize::Zeroizing;

const VERSION: u8 = 5;

/// What is wrong with a row.
pub(crate) type Fault = &'static str;

/// The fault of a row that a program before this one wrote.
pub(super) const EARLIER: Fault = "it is of the version before, whose contacts can't be written to any more: make a \
                                   client anew with `shoal client init`";

/// As large as most rows are, so that they are written where they are first put.
const USUAL: usize = 512;

/// Writes a value, and leaves no copy of it behind.
pub(super) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    pub(super) fn new() -> Self {
        let mut value = Zeroizing::new(Vec::with_capacity(USUAL));
        value.push(VERSION);
        Self(value)
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        // A buffer that grows by itself leaves what it held where it was.
        if self.0.capacity() - self.0.len() < bytes.len() {
            let room = self.0.len() + bytes.len();
            let mut larger = Zeroizing::new(Vec::with_capacity(room.max(2 * USUAL)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u64(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(super) fn time(self, time: Time) -> Self {
        self.u64(time.as_micros())
    }

    pub(super) fn span(self, span: Span) -> Self {
        self.u64(span.as_micros())
    }

    pub(super) fn done(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Of a key, which has no version.
    pub(super) fn key(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Of a value, behind its version.
    pub(super) fn value(bytes: &'a [u8]) -> Result<Self, Fault> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(Self(rest)),
            Some((1..=4, _)) => Err(EARLIER),
            Some(_) => Err("unknown version"),
            None => Err("empty"),
        }
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Fault> {
        let (head, rest) = self.0.split_first_chunk().ok_or("too short")?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_be_bytes(*self.take()?))
    }

    pub(super) fn time(&mut self) -> Result<Time, Fault> {
        Ok(Time::from_micros(self.u64()?))
    }

    pub(super) fn span(&mut self) -> Result<Span, Fault> {
        Ok(Span::from_micros(self.u64()?))
    }

    /// All that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn end(self) -> Result<(), Fault> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err("too long")
        }
    }
}

/// The value of a row that is a number.
pub(crate) fn encode_number(number: u64) -> Zeroizing<Vec<u8>> {
    Writer::new().u64(number).done()
}

pub(crate) fn decode_number(value: &[u8]) -> Result<u64, Fault> {
    let mut reader = Reader::value(value)?;
    let number = reader.u64()?;
    reader.end()?;
    Ok(number)
}
