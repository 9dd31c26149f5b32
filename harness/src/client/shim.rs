//! What a test does to a client's uplink.

/// Frames that a test put on the uplink, and those of the client that it held back for them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Shim {
    pub(crate) injected: u64,
    pub(crate) suppressed: u64,
    to_suppress: u64,
}

impl Shim {
    /// A frame is put on the uplink in place of the client's next one.
    pub(super) const fn inject(&mut self) {
        self.injected += 1;
        self.to_suppress += 1;
    }

    /// Whether this frame of the client is the one in whose place another left.
    pub(super) const fn suppresses(&mut self) -> bool {
        let suppresses = self.to_suppress > 0;
        if suppresses {
            self.to_suppress -= 1;
            self.suppressed += 1;
        }
        suppresses
    }
}
