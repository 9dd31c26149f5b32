//! Whether the disk has room for deposits.

use std::path::Path;

use crate::StoreError;

/// Free bytes above the reserve from which on deposits are taken again: what comes and goes beside the
/// database does not turn them on and off.
const MARGIN: u64 = 16 << 20;

/// What is known of the disk's room. While less than the reserve is free, deposits are refused, so that
/// acknowledgements and expiry have room to free some; that is over when the margin is free beyond it.
#[derive(Debug)]
pub(super) struct Room {
    reserve: u64,
    short: bool,
}

impl Room {
    pub(super) const fn new(reserve: u64) -> Self {
        Self {
            reserve,
            short: false,
        }
    }

    /// Whether deposits fit, with so many bytes free; what can't be found out, SQLite will say.
    ///
    /// # Errors
    /// [`StoreError::Reserve`].
    pub(super) const fn check(&mut self, free: Option<u64>) -> Result<(), StoreError> {
        let Some(free) = free else { return Ok(()) };
        let resumes = match self.reserve {
            0 => 0,
            reserve => reserve.saturating_add(MARGIN),
        };
        let needed = if self.short { resumes } else { self.reserve };
        self.short = free < needed;
        if self.short {
            return Err(StoreError::Reserve {
                free,
                reserve: self.reserve,
                resumes,
            });
        }
        Ok(())
    }
}

/// Bytes that are free for us on the disk of this file.
pub(super) fn free(file: &Path) -> Option<u64> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let stat = rustix::fs::statvfs(directory).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_that_comes_and_goes_around_the_reserve_is_one_shortage() {
        const MIB: u64 = 1 << 20;
        let mut room = Room::new(64 * MIB);
        assert_eq!(room.check(Some(64 * MIB)), Ok(()));
        let mut refused = Vec::new();
        for free in [63, 65, 62, 70, 79, 80, 65, 64, 63] {
            refused.push(room.check(Some(free * MIB)).is_err());
        }
        let expected = [true, true, true, true, true, false, false, false, true];
        assert_eq!(refused, expected);
        let told = room.check(Some(65 * MIB)).unwrap_err().to_string();
        for part in ["65 MiB", "64 MiB", "80 MiB", "storage.reserve"] {
            assert!(told.contains(part), "{told}");
        }
        // Without a reserve the disk decides.
        let mut room = Room::new(0);
        assert_eq!((room.check(Some(0)), room.check(None)), (Ok(()), Ok(())));
    }
}
