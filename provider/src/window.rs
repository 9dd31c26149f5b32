/// Which counters of a mailbox's commands were received: the highest and, of the 63 before it,
/// one bit each. What lies further back counts as received.
///
/// The same scheme as in RFC 6479 and in IPsec (RFC 4303, section 3.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    highest: u64,
    bits: u64,
}

impl Window {
    /// Counters that the window tells apart.
    pub const LENGTH: u64 = 64;

    /// The window after one command, the first.
    #[must_use]
    pub const fn first(counter: u64) -> Self {
        Self {
            highest: counter,
            bits: 1,
        }
    }

    /// A window as it was saved.
    #[must_use]
    pub const fn from_parts(highest: u64, bits: u64) -> Self {
        Self {
            highest,
            bits: bits | 1,
        }
    }

    /// The highest counter received.
    #[must_use]
    pub const fn highest(self) -> u64 {
        self.highest
    }

    /// Bit `i` says that `highest - i` was received; bit 0 is always set.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.bits
    }

    /// The window with this counter received; none if it was received before or is too old to
    /// tell.
    #[must_use]
    pub const fn accept(self, counter: u64) -> Option<Self> {
        if counter > self.highest {
            let ahead = counter - self.highest;
            let bits = if ahead < Self::LENGTH {
                self.bits << ahead
            } else {
                0
            };
            return Some(Self {
                highest: counter,
                bits: bits | 1,
            });
        }
        let behind = self.highest - counter;
        if behind >= Self::LENGTH || self.bits & (1 << behind) != 0 {
            return None;
        }
        Some(Self {
            highest: self.highest,
            bits: self.bits | (1 << behind),
        })
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
        assert!(window.accept(37).is_some());
        assert_eq!(window.accept(36), None);
        assert_eq!(window.accept(100), None);
        assert_eq!(
            window.accept(u64::MAX).map(Window::bits),
            Some(1),
            "a long jump forgets everything before"
        );
    }

    proptest! {
        #[test]
        fn no_counter_is_accepted_twice(counters in prop::collection::vec(0u64..200, 1..200)) {
            let mut seen = BTreeSet::from([counters[0]]);
            let mut window = Window::first(counters[0]);
            for counter in counters.into_iter().skip(1) {
                let recent = counter + Window::LENGTH > window.highest();
                match window.accept(counter) {
                    Some(next) => {
                        prop_assert!(seen.insert(counter));
                        window = next;
                    }
                    None => prop_assert!(seen.contains(&counter) || !recent),
                }
            }
        }
    }
}
