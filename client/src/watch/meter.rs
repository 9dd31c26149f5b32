//! How many of the last outcomes of a kind were losses.

/// Share of the last outcomes lost that raises an alarm, out of [`WINDOW`].
const ALARM_AT: u32 = 16;
/// Share below which the alarm is over.
const CALM_AT: u32 = 8;
const WINDOW: u32 = 64;

/// Outcomes of the last 64 of a kind, and whether too many were lost: a quarter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LossMeter {
    outcomes: u64,
    alarmed: bool,
}

impl LossMeter {
    /// Notes an outcome.
    pub(super) fn note(&mut self, lost: bool) {
        self.outcomes = self.outcomes.wrapping_shl(1) | u64::from(lost);
        // What lies between the two changes nothing.
        match self.losses() {
            ALARM_AT.. => self.alarmed = true,
            ..CALM_AT => self.alarmed = false,
            _ => {}
        }
    }

    /// Whether too many were lost, and have not become few since.
    pub(super) fn is_alarmed(self) -> bool {
        self.alarmed
    }

    /// Lost among the last 64.
    pub(super) fn losses(self) -> u32 {
        self.outcomes.count_ones().min(WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the outcomes up to each, whether the alarm stood.
    fn stood(lost: impl Fn(u32) -> bool) -> Vec<bool> {
        let mut meter = LossMeter::default();
        let mut after = |outcome| {
            meter.note(lost(outcome));
            meter.is_alarmed()
        };
        (0..300).map(&mut after).collect()
    }

    #[test]
    fn a_quarter_lost_raises_the_alarm_and_few_end_it() {
        let times = |stood: &[bool]| stood.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let lossy = stood(|i| i % 3 == 0);
        assert_eq!((times(&lossy), lossy[299]), (1, true));
        let mended = stood(|i| i < 100 && i % 3 == 0);
        assert_eq!((times(&mended), mended[99], mended[180]), (2, true, false));
        assert!(stood(|i| i % 20 == 0).iter().all(|alarmed| !alarmed));
    }
}
