//! What things are called for somebody who knows nothing of mixnets: times, states, and what to do about alarms.

use shoal_proto::{Span, Time};

use super::model::State;
use crate::control::protocol::{FileState, FileStatus};

/// A time to wait, about.
pub(super) fn about(ms: u64) -> String {
    match ms.div_ceil(1000) {
        0 | 1 => "about a second".to_owned(),
        secs @ 2..120 => format!("about {secs} seconds"),
        secs @ 120..7200 => format!("about {} minutes", secs.div_ceil(60)),
        secs => format!("about {} hours", secs.div_ceil(3600)),
    }
}

/// The same where there is little room.
pub(super) fn about_short(ms: u64) -> String {
    match ms.div_ceil(1000) {
        secs @ 0..120 => format!("about {} s", secs.max(1)),
        secs @ 120..7200 => format!("about {} min", secs.div_ceil(60)),
        secs => format!("about {} h", secs.div_ceil(3600)),
    }
}

/// How long ago something was; times are told to the minute.
pub(super) fn ago(at: Time, now: Time) -> String {
    match now.since(at).as_micros() / 60_000_000 {
        0 => "now".to_owned(),
        minutes @ 1..120 => format!("{minutes} min ago"),
        minutes @ 120..2880 => format!("{} h ago", minutes / 60),
        minutes => format!("{} days ago", minutes / 1440),
    }
}

/// How long it is until then.
pub(super) fn until(at: Time, now: Time) -> String {
    match at.since(now).as_micros().div_ceil(60_000_000) {
        0 | 1 => "in a minute".to_owned(),
        minutes @ 2..120 => format!("in {minutes} min"),
        minutes @ 120..2880 => format!("in {} h", minutes / 60),
        minutes => format!("in {} days", minutes / 1440),
    }
}

/// A moment, for what stays on the paper: `30 Nov 17:42 UTC`.
pub(super) fn moment(at: Time) -> String {
    let since = std::time::Duration::from(at.since(Time::default()));
    let at = std::time::SystemTime::UNIX_EPOCH.checked_add(since);
    // "Mon, 30 Nov 2026 17:42:19 GMT"
    let date = at.map(httpdate::fmt_http_date).unwrap_or_default();
    let part = |from, to| date.get(from..to).unwrap_or_default();
    format!("{} {} UTC", part(5, 11), part(17, 22))
}

/// A span that a text lives.
pub(super) fn life(life: Span) -> String {
    match life.as_micros() / 60_000_000 {
        1 => "1 minute".to_owned(),
        minutes @ 0..120 => format!("{minutes} minutes"),
        minutes @ 120..2880 => format!("{} hours", minutes / 60),
        minutes => format!("{} days", minutes / 1440),
    }
}

/// One thing, or so many.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    }
}

/// A state, in the word that the help explains.
pub(super) const fn state(state: State) -> &'static str {
    match state {
        State::Unread => "new",
        State::Queued => "queued",
        State::Sent => "sent",
        State::Stored => "stored",
        State::Delivered => "delivered",
        State::Read => "read",
        State::Expired => "expired",
    }
}

/// What each state of an own text means: as the help says it.
pub(super) const STATES: [(State, &str); 6] = [
    (
        State::Queued,
        "on this machine's disk; it leaves at a moment that shows nobody that you wrote",
    ),
    (
        State::Sent,
        "it has left, and is on its way through the mixes",
    ),
    (
        State::Stored,
        "all of it is on the disk of your contact's mailbox, whether they are there or not",
    ),
    (
        State::Delivered,
        "it is on your contact's own disk: who has verified you says so, within ten minutes",
    ),
    (
        State::Read,
        "your contact has read it; only if both of you want that told (/receipts on)",
    ),
    (
        State::Expired,
        "it did not reach the mailbox in its time, and is not tried any more",
    ),
];

/// How a file is.
pub(super) fn file(file: &FileStatus) -> String {
    let left = file
        .expected_ms
        .map_or_else(String::new, |ms| format!(", {} left", about(ms)));
    let (done, pieces) = (file.done, file.pieces);
    let part = match pieces {
        0 | 1 => String::new(),
        _ => format!(" ({done} of {pieces} pieces)"),
    };
    match file.state {
        FileState::Sending => format!("being sent{part}{left}"),
        FileState::Receiving => format!("coming{part}"),
        FileState::Stored => "stored at their mailbox".to_owned(),
        FileState::Delivered => "delivered to their disk".to_owned(),
        FileState::Complete => "here, whole: /save writes it to a file".to_owned(),
        FileState::Expired => "expired: it did not reach their mailbox in its time".to_owned(),
        FileState::Failed => "failed".to_owned(),
        FileState::Damaged => "not as it was sent, and deleted: ask for it again".to_owned(),
        FileState::Stalled => "the rest never came, and it is deleted: ask for it again".to_owned(),
        FileState::Refused => "not taken".to_owned(),
        FileState::Removed => "removed".to_owned(),
    }
}

/// What an alarm means for who reads it, and what there is to do. The alarm's own words say what happened.
pub(super) struct Advice {
    /// Words of the alarm by which it is known.
    words: &'static str,
    pub(super) means: &'static str,
    pub(super) advice: &'static str,
}

const ADVICE: [Advice; 16] = [
    Advice {
        words: "knows no document of the network",
        means: "What you write waits on this machine, and nothing comes.",
        advice: "Look whether this machine is online and its clock is right. It goes on by itself.",
    },
    Advice {
        words: "enters by has left the network",
        means: "What you write waits on this machine until another way in is found.",
        advice: "Wait some minutes. If it stays so: `shoal client entries --draw-again`.",
    },
    Advice {
        words: "is not in the network now",
        means: "What lies in that mailbox comes later. With a second mailbox nothing is missing.",
        advice: "Wait. If it stays so for days, `/renew` has new invitations lead elsewhere.",
    },
    Advice {
        words: "enters by the provider that has its mailbox",
        means: "One provider sees both when you are online and what comes for you.",
        advice: "Set `entry` in client.toml to \"random\", and start the daemon again.",
    },
    Advice {
        words: "packets that this client sent to itself were lost",
        means: "Texts take longer, because lost packets are sent again. Nothing is lost.",
        advice: "Look at your connection. If it stays so: `shoal client entries --draw-again`.",
    },
    Advice {
        words: "deposits were not answered",
        means: "Texts take longer until they are stored, because they are sent again.",
        advice: "Nothing now: the providers of your contacts have a bad time.",
    },
    Advice {
        words: "packets from a mailbox were lost",
        means: "What comes for you takes longer. Nothing is lost.",
        advice: "Nothing now. If it stays so for days, `/renew` has new invitations lead elsewhere.",
    },
    Advice {
        words: "nothing has come from a mailbox",
        means: "What lies in that mailbox comes later. With a second mailbox nothing is missing.",
        advice: "Nothing now. If it stays so for days, `/renew` has new invitations lead elsewhere.",
    },
    Advice {
        words: "too few providers of different families",
        means: "If that provider is lost for good, so is what waits there for you.",
        advice: "Nothing: it is the network that is small.",
    },
    Advice {
        words: "state cannot be saved",
        means: "What happens now may be forgotten at the next start.",
        advice: "Make room on the disk, and look whose the client's directory is.",
    },
    Advice {
        words: "too many unread messages:",
        means: "More texts wait at your mailbox, and come when there is room.",
        advice: "Read some: open the conversations that have new texts.",
    },
    Advice {
        words: "unread messages of one sender",
        means: "More of theirs wait at your mailbox. Those of others come.",
        advice: "Read some of theirs, or /block who floods you.",
    },
    Advice {
        words: "refuses drop ids",
        means: "Some contacts can't answer you before you have written to them again.",
        advice: "Write to them. If it stays so, `/renew` has new invitations lead elsewhere.",
    },
    Advice {
        words: "more contacts than drop ids",
        means: "If one of two contacts fills your mailbox, the other one can't write either.",
        advice: "Remove contacts that you do not need.",
    },
    Advice {
        words: "had seen a newer copy of this client",
        means: "This is an old copy, or another one runs with the same keys. Texts may be missing here.",
        advice: "Let one copy run, the newest one; never start an old one again.",
    },
    Advice {
        words: "has taken the mailbox over",
        means: "Nothing comes here any more, and nothing that you write here is taken.",
        advice: "Stop one of the two. If you have only this one, your keys are in somebody else's hands.",
    },
];

/// What is known of an alarm in these words.
pub(super) fn advice(alarm: &str) -> Option<&'static Advice> {
    ADVICE.iter().find(|it| alarm.contains(it.words))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use shoal_client::Alarm;

    use super::*;

    #[test]
    fn there_is_advice_for_each_alarm_and_each_has_its_own() {
        let span = Span::from_secs(9);
        let alarms = [
            Alarm::NoDocument,
            Alarm::EntryMissing,
            Alarm::MailboxMissing,
            Alarm::EntryIsMailbox,
            Alarm::LoopsLost(9),
            Alarm::ReceiptsLost(9),
            Alarm::StreamLost(9),
            Alarm::StreamPaused(span),
            Alarm::OneCopy,
            Alarm::Storage,
            Alarm::InboxFull,
            Alarm::ShareFull,
            Alarm::DropIdsRefused,
            Alarm::DropIdsShared,
            Alarm::NewerCopy,
            Alarm::Superseded,
        ];
        for (alarm, expected) in alarms.iter().zip(&ADVICE) {
            let words = alarm.to_string();
            let found = ADVICE.iter().filter(|it| words.contains(it.words));
            assert_eq!(found.count(), 1, "{words}");
            assert_eq!(advice(&words).unwrap().words, expected.words, "{words}");
        }
        assert!(advice("something else").is_none());
    }

    #[test]
    fn times_are_told_as_people_do() {
        let now = Time::from_micros(1_796_060_539_000_000);
        assert_eq!(moment(now), "30 Nov 17:42 UTC");
        let before = |secs| ago(now - Span::from_secs(secs), now);
        assert_eq!(
            [before(59), before(60), before(7200), before(200_000)],
            ["now", "1 min ago", "2 h ago", "2 days ago"]
        );
        assert_eq!(until(now + Span::from_secs(61), now), "in 2 min");
        assert_eq!(
            [about(400), about(2100), about(125_000)],
            ["about a second", "about 3 seconds", "about 3 minutes"]
        );
        assert_eq!(about_short(7_200_000), "about 2 h");
        assert_eq!(life(Span::from_secs(3600)), "60 minutes");
        assert_eq!(count(2, "text", "texts"), "2 texts");
    }
}
