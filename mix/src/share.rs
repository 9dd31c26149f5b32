//! How places that are bounded are shared out among those who send.

/// Whether a sender that holds so many places may take one more of those that are left: not more
/// than are left. One sender alone gets half of all places, k of them k/(k+1) together, and whoever
/// holds fewer than are left always finds one; what nobody else wants is not kept from anybody.
///
/// Source: A. Choudhury and E. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet
/// Switches", 1998, with alpha = 1.
pub(crate) const fn may_take(held: usize, left: usize) -> bool {
    held < left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_gets_half_and_the_next_finds_room() {
        let mut held = [0, 0, 0];
        for (sender, expected) in [500, 250, 125].into_iter().enumerate() {
            while may_take(held[sender], 1000 - held.iter().sum::<usize>()) {
                held[sender] += 1;
            }
            assert_eq!(held[sender], expected);
        }
    }
}
