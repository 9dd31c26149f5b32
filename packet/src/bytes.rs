//! Reading and writing fixed layouts. Numbers are big-endian, as in Sphinx itself.

use zeroize::{Zeroize, Zeroizing};

/// Hands out the front of a slice, piece by piece, and never more than there is.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }
}

/// Fills a buffer of a fixed size. The buffer is allocated once, so no copy of it is left behind.
pub(crate) struct Writer {
    buffer: Zeroizing<Vec<u8>>,
    size: usize,
}

impl Writer {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            buffer: Zeroizing::new(Vec::with_capacity(size)),
            size,
        }
    }

    /// Appends what still fits.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> &mut Self {
        let room = self.size.saturating_sub(self.buffer.len());
        debug_assert!(bytes.len() <= room, "a layout larger than its buffer");
        self.buffer.extend(bytes.iter().take(room));
        self
    }

    /// Fills up to `size` bytes in all with random ones.
    pub(crate) fn pad_random<R: rand::CryptoRng + ?Sized>(
        &mut self,
        rng: &mut R,
        size: usize,
    ) -> &mut Self {
        let start = self.buffer.len();
        self.buffer.resize(size.min(self.size).max(start), 0);
        if let Some(padding) = self.buffer.get_mut(start..) {
            rng.fill_bytes(padding);
        }
        self
    }

    pub(crate) fn written(&self) -> &[u8] {
        &self.buffer
    }

    /// What was written, filled up with zeros to its size.
    pub(crate) fn finish(mut self) -> Zeroizing<Vec<u8>> {
        self.buffer.resize(self.size, 0);
        self.buffer
    }
}

/// A boxed copy of a slice of exactly this length.
pub(crate) fn boxed<const N: usize>(bytes: &[u8]) -> Option<Box<[u8; N]>> {
    bytes
        .to_vec()
        .into_boxed_slice()
        .try_into()
        .map_err(|mut wrong: Box<[u8]>| wrong.zeroize())
        .ok()
}

/// Random bytes that are not all zeros.
pub(crate) fn nonzero<const N: usize, R: rand::CryptoRng + ?Sized>(rng: &mut R) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    if bytes == [0; N] {
        // One in 2^128 for the identifiers this is used for: any value will do.
        bytes = [1; N];
    }
    bytes
}
