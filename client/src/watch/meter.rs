//! How many of the last outcomes of a kind were losses.

/// Share of the last outcomes lost that raises an alarm, out of [`WINDOW`].
const ALARM_AT: u32 = 16;
/// Share below which an alarm may be raised anew.
const CALM_AT: u32 = 8;
const WINDOW: u32 = 64;

/// Outcomes of the last 64 of a kind, and whether too many were lost: a quarter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LossMeter {
    outcomes: u64,
    alarmed: bool,
}

impl LossMeter {
    /// Notes an outcome; true when this one raises the alarm.
    pub(super) fn note(&mut self, lost: bool) -> bool {
        self.outcomes = self.outcomes.wrapping_shl(1) | u64::from(lost);
        let losses = self.losses();
        if losses >= ALARM_AT && !self.alarmed {
            self.alarmed = true;
            return true;
        }
        if losses < CALM_AT {
            self.alarmed = false;
        }
        false
    }

    /// Lost among the last 64.
    pub(super) fn losses(self) -> u32 {
        self.outcomes.count_ones().min(WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_lost_raises_one_alarm() {
        let mut meter = LossMeter::default();
        let alarms = (0..200).filter(|i| meter.note(i % 3 == 0)).count();
        assert_eq!(alarms, 1);
        let mut calm = LossMeter::default();
        assert_eq!((0..200).filter(|i| calm.note(i % 20 == 0)).count(), 0);
    }
}
