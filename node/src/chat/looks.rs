//! Which of what is shown is being asked for, so that nothing is asked twice at a time, however much happens.

/// Something that is shown, of which there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Status,
    Contacts,
    Conversations,
    Invitations,
    Files,
    /// The end of the open conversation.
    Lines,
}

impl Look {
    pub(super) const ALL: [Self; 6] = [
        Self::Status,
        Self::Contacts,
        Self::Conversations,
        Self::Invitations,
        Self::Files,
        Self::Lines,
    ];
}

#[derive(Clone, Copy, Default)]
struct Asking {
    asked: bool,
    /// It has changed since, or was not answered.
    again: bool,
    /// It was answered once, or will not be.
    known: bool,
}

/// How each of them is.
#[derive(Default)]
pub(super) struct Looks([Asking; 6]);

impl Looks {
    fn of(&mut self, look: Look) -> Option<&mut Asking> {
        let at = Look::ALL.iter().position(|it| *it == look)?;
        self.0.get_mut(at)
    }

    /// It may have changed: whether it is to be asked for now. If not, it will be once it is answered.
    pub(super) fn want(&mut self, look: Look) -> bool {
        let Some(asking) = self.of(look) else {
            return false;
        };
        let now = !asking.asked;
        asking.again = !now;
        asking.asked = true;
        now
    }

    /// It was answered: whether it is to be asked for again at once.
    pub(super) fn answered(&mut self, look: Look) -> bool {
        self.of(look).is_some_and(|asking| {
            asking.known = true;
            asking.asked = asking.again;
            std::mem::take(&mut asking.again)
        })
    }

    /// It was not answered.
    pub(super) fn failed(&mut self, look: Look) {
        if let Some(asking) = self.of(look) {
            asking.asked = false;
            asking.again = true;
        }
    }

    /// It will not be answered.
    pub(super) fn settle(&mut self, look: Look) {
        if let Some(asking) = self.of(look) {
            asking.asked = false;
            asking.again = false;
            asking.known = true;
        }
    }

    /// It was not answered before, and may be now.
    pub(super) fn is_due(&mut self, look: Look) -> bool {
        self.of(look)
            .is_some_and(|asking| asking.again && !asking.asked)
    }

    /// Who answered is gone: what was asked counts no more.
    pub(super) fn forget(&mut self) {
        for asking in &mut self.0 {
            asking.asked = false;
            asking.again = false;
        }
    }

    /// Each was answered at least once, or will not be.
    pub(super) fn are_known(&self) -> bool {
        self.0.iter().all(|asking| asking.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_asked_twice_and_no_change_is_missed() {
        let mut looks = Looks::default();
        assert!(looks.want(Look::Files));
        assert!(!looks.want(Look::Files) && !looks.want(Look::Files));
        assert!(looks.want(Look::Status), "one does not wait for another");
        assert!(looks.answered(Look::Files), "it has changed meanwhile");
        assert!(!looks.answered(Look::Files));
        assert!(looks.want(Look::Files));
        looks.failed(Look::Files);
        assert!(looks.is_due(Look::Files) && looks.want(Look::Files));
        assert!(!looks.is_due(Look::Files));
    }
}
