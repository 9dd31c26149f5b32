//! What became of frames on links.

/// What became of the frames that were put on one kind of link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Put on a link.
    pub sent: u64,
    /// Came out and was taken.
    pub received: u64,
    /// Lost by the link.
    pub lost: u64,
    /// Came out where nobody was there any more: the receiver crashed or detached meanwhile.
    pub unclaimed: u64,
    /// On a link now. Counted by itself, and not as the difference of the others.
    pub in_flight: u64,
    /// Bytes put on links.
    pub bytes: u64,
}

impl Ledger {
    /// Whether every frame is accounted for.
    #[must_use]
    pub const fn balanced(&self) -> bool {
        self.sent == self.received + self.lost + self.unclaimed + self.in_flight
    }

    /// Both together.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            received: self.received + other.received,
            lost: self.lost + other.lost,
            unclaimed: self.unclaimed + other.unclaimed,
            in_flight: self.in_flight + other.in_flight,
            bytes: self.bytes + other.bytes,
        }
    }
}
