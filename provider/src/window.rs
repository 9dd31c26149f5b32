//! Which of an owner's commands were received, and which of them asked for too much.

/// Which counters of a mailbox's commands were received: the highest and, of the 64 before it,
/// one bit each. What lies further back counts as received. With it, of the highest and the 63 before
/// it, whether a change of drop ids was refused.
///
/// The same scheme as in IPsec (RFC 4303, section 3.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    highest: u64,
    bits: u64,
    refused: u64,
}

impl Window {
    /// Counters before the highest that the window tells apart.
    pub const LENGTH: u64 = 64;

    /// The window after one command, the first.
    #[must_use]
    pub const fn first(counter: u64) -> Self {
        Self {
            highest: counter,
            bits: 0,
            refused: 0,
        }
    }

    /// A window as it was saved.
    #[must_use]
    pub const fn from_parts(highest: u64, bits: u64, refused: u64) -> Self {
        Self {
            highest,
            bits,
            refused,
        }
    }

    /// The highest counter received.
    #[must_use]
    pub const fn highest(self) -> u64 {
        self.highest
    }

    /// Bit `i` says that `highest - 1 - i` was received.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.bits
    }

    /// Bit `i` says that a change of drop ids in command `highest - i` was refused.
    #[must_use]
    pub const fn refused(self) -> u64 {
        self.refused
    }

    /// The window with this command's changes refused. Too far back to tell, it stays as it is.
    #[must_use]
    pub const fn refuse(self, counter: u64) -> Self {
        let back = self.highest.saturating_sub(counter);
        if counter > self.highest || back >= Self::LENGTH {
            return self;
        }
        Self {
            refused: self.refused | (1 << back),
            ..self
        }
    }

    /// The window with this counter received; none if it was received before or is too old to
    /// tell.
    #[must_use]
    pub const fn accept(self, counter: u64) -> Option<Self> {
        if counter > self.highest {
            let ahead = counter - self.highest;
            // The old highest becomes a bit, and all move on; what moves out is forgotten.
            let bits = if ahead < Self::LENGTH {
                (self.bits << ahead) | (1 << (ahead - 1))
            } else if ahead == Self::LENGTH {
                1 << (Self::LENGTH - 1)
            } else {
                0
            };
            let refused = if ahead < Self::LENGTH {
                self.refused << ahead
            } else {
                0
            };
            return Some(Self {
                highest: counter,
                bits,
                refused,
            });
        }
        if counter == self.highest {
            return None;
        }
        let bit = self.highest - counter - 1;
        if bit >= Self::LENGTH || self.bits & (1 << bit) != 0 {
            return None;
        }
        Some(Self {
            bits: self.bits | (1 << bit),
            ..self
        })
    }
}

/// What a mailbox knows of its owner's commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attended {
    /// The newest generation.
    pub(crate) generation: u64,
    /// Which commands of it were received.
    pub(crate) window: Window,
    /// The highest `stream` of it.
    pub(crate) stream: u64,
}

impl Attended {
    /// What is known after one more command, and whether its generation is newer than every one
    /// before.
    ///
    /// # Errors
    /// The command does not count: the newest generation.
    pub(crate) fn next(
        known: Option<Self>,
        generation: u64,
        counter: u64,
        stream: u64,
    ) -> Result<(bool, Self), u64> {
        let Some(known) = known.filter(|known| known.generation >= generation) else {
            let first = Self {
                generation,
                window: Window::first(counter),
                stream,
            };
            return Ok((true, first));
        };
        let current = known.generation == generation;
        let window = known.window.accept(counter).filter(|_| current);
        let next = Self {
            generation,
            window: window.ok_or(known.generation)?,
            stream: known.stream.max(stream),
        };
        Ok((false, next))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_far_end_of_the_window_is_closed() {
        let window = Window::first(100);
        assert!(window.accept(36).is_some());
        assert_eq!(window.accept(35), None);
        assert_eq!(window.accept(100), None);
        assert_eq!(window.accept(164).map(Window::bits), Some(1 << 63));
        assert_eq!(window.accept(u64::MAX).map(Window::bits), Some(0));
    }

    #[test]
    fn what_was_refused_moves_with_the_window() {
        let window = Window::first(100).refuse(100);
        let window = window.accept(103).unwrap().refuse(103);
        assert_eq!(window.refused(), 0b1001);
        // One that came late, and one too far back to tell.
        let window = window.accept(102).unwrap().refuse(102).refuse(39);
        assert_eq!(window.refused(), 0b1011);
        assert_eq!(window.accept(163).unwrap().refused(), 0b11 << 60 | 1 << 63);
        assert_eq!(window.accept(167).unwrap().refused(), 0);
        assert_eq!(window.refuse(u64::MAX), window);
    }

    proptest! {
        #[test]
        fn the_window_remembers_exactly_the_last_counters(
            counters in prop::collection::vec(0u64..300, 1..200),
        ) {
            let mut seen = BTreeSet::from([counters[0]]);
            let mut window = Window::first(counters[0]);
            for counter in counters.into_iter().skip(1) {
                let old = counter + Window::LENGTH < window.highest();
                let next = window.accept(counter);
                prop_assert_eq!(next.is_none(), old || seen.contains(&counter));
                if let Some(next) = next {
                    seen.insert(counter);
                    window = next;
                }
                for bit in 0..Window::LENGTH.min(window.highest()) {
                    let received = window.bits() & (1 << bit) != 0;
                    prop_assert_eq!(received, seen.contains(&(window.highest() - 1 - bit)));
                }
            }
        }
    }
}
