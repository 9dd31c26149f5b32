//! The core's words in the local API's.

use std::collections::BTreeMap;

use shoal_client::{Counters, Hindrance, HopTrace, MessageStatus, PlaceStatus, SendError};
use shoal_topology::NetworkParameters;

use crate::control::protocol::{
    Hop, MAX_OUTGOING, MessageState, Outgoing, OutgoingPage, Place, PlaceMailbox, Refusal,
    RefusalCode,
};

/// A hop that this client chose.
pub(super) fn hop(trace: &HopTrace) -> Hop {
    Hop {
        node: trace.node.to_string(),
        layer: trace.layer,
        delay_us: trace.delay.as_micros(),
    }
}

/// Why a message was not accepted.
pub(super) fn refusal(reason: &SendError) -> Refusal {
    let code = match reason {
        SendError::OutboxFull { .. }
        | SendError::NoMailbox
        | SendError::NoInvitationLeft
        | SendError::ContactsFull => RefusalCode::Busy,
        SendError::UnknownContact | SendError::NoSuchInvitation => RefusalCode::NotFound,
        SendError::Superseded => RefusalCode::Superseded,
        SendError::Storage(_) | SendError::Seal => RefusalCode::Internal,
        _ => RefusalCode::Invalid,
    };
    Refusal::new(code, reason.to_string())
}

/// What keeps a message from being stored.
pub(super) fn hindrance(by: Hindrance) -> String {
    let words = match by {
        Hindrance::ProviderMissing => {
            "the receiver's provider is not in the network now: it may come back; else ask the receiver for a new \
             invitation by another way"
        }
        Hindrance::Refused => {
            "the receiver's mailbox refuses it (in the first seconds after an invitation it does: it does not know of that \
             yet): it or its provider is full, or the receiver is written to elsewhere \
             by now, or wants no more from here; if it goes on, ask for a new invitation by another way"
        }
        Hindrance::NoAnswer => {
            "no answer after eight tries: the receiver's provider is down, or packets are lost"
        }
        _ => "it is not known what",
    };
    words.to_owned()
}

/// How far a message is.
pub(super) const fn state(state: shoal_client::MessageState) -> MessageState {
    match state {
        shoal_client::MessageState::Queued => MessageState::Queued,
        shoal_client::MessageState::Sent => MessageState::Sent,
        shoal_client::MessageState::Stored => MessageState::Stored,
        shoal_client::MessageState::Delivered => MessageState::Delivered,
        shoal_client::MessageState::Read => MessageState::Read,
        _ => MessageState::Expired,
    }
}

/// How many of the messages are neither stored nor expired.
pub(super) fn on_the_way(messages: impl Iterator<Item = MessageStatus>) -> u64 {
    messages
        .filter(|message| !state(message.state).is_final())
        .count() as u64
}

/// Messages sent, given in the order of their acceptance: those on their way come first, and of each
/// kind the latest.
pub(super) fn outgoing(
    messages: impl Iterator<Item = MessageStatus>,
    skip: u64,
    limit: u32,
) -> OutgoingPage {
    let (done, mut all): (Vec<_>, Vec<_>) =
        messages.partition(|message| state(message.state).is_final());
    all.reverse();
    all.extend(done.into_iter().rev());
    let total = all.len() as u64;
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    let page = all
        .into_iter()
        .skip(skip)
        .take(limit.min(MAX_OUTGOING) as usize);
    let messages = page.map(|status| Outgoing {
        message: status.message.to_string(),
        to: status.to.to_string(),
        state: state(status.state),
        accepted_at_us: status.accepted_at.as_micros(),
        hindrance: status.hindrance.map(hindrance),
    });
    OutgoingPage {
        messages: messages.collect(),
        total,
    }
}

/// The mean time until the receipt of a message's last fragment; 0 where it can't be told.
pub(super) fn expected_stored_ms(params: &NetworkParameters, profile: &str, fragments: u16) -> u64 {
    let Some(profile) = params.profile(profile) else {
        return 0;
    };
    let seconds = params.expected_stored(profile, fragments).mean();
    if seconds.is_infinite() {
        return 0;
    }
    shoal_proto::Span::from_secs_f64(seconds).as_micros() / 1000
}

/// A place of this client's.
pub(super) fn place(place: &PlaceStatus) -> Place {
    let mailboxes = place.mailboxes.iter().map(|mailbox| PlaceMailbox {
        provider: mailbox.provider.to_string(),
        waits_for_token: mailbox.waits_for_token,
        open: mailbox.open,
        heard: mailbox.heard,
        troubled: mailbox.troubled,
    });
    Place {
        audience: place.audience.as_str().to_owned(),
        stage: place.stage.as_str().to_owned(),
        mailboxes: mailboxes.collect(),
    }
}

/// Every counter by name.
pub(super) fn counters(counters: &Counters) -> BTreeMap<String, u64> {
    let fields = counters.fields();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha20Rng;
    use shoal_proto::{MessageId, Time};

    use super::*;

    fn sent(number: u8, state: shoal_client::MessageState) -> MessageStatus {
        let accepted_at = Time::from_micros(u64::from(number));
        MessageStatus {
            message: MessageId::new([number; 16]),
            to: shoal_client::ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(1)).public(),
            is_text: true,
            state,
            accepted_at,
            expires: accepted_at,
            fragments: 1,
            stored: 0,
            hindrance: None,
        }
    }

    #[test]
    fn a_message_on_its_way_is_shown_however_many_are_done_after_it() {
        use shoal_client::MessageState::{Expired, Queued, Sent, Stored};
        let messages = || {
            let waiting = [sent(0, Queued), sent(1, Sent)];
            let done = (2..200).map(|number| sent(number, Stored));
            waiting.into_iter().chain(done).chain([sent(200, Expired)])
        };
        assert_eq!(on_the_way(messages()), 2);
        let page = outgoing(messages(), 0, 3);
        let shown = |page: &OutgoingPage| Vec::from_iter(page.messages.iter().map(|it| it.state));
        assert_eq!(
            shown(&page),
            [
                MessageState::Sent,
                MessageState::Queued,
                MessageState::Expired
            ]
        );
        assert_eq!(page.total, 201);
        let rest = outgoing(messages(), 3, u32::MAX);
        assert_eq!(rest.messages.len(), 198);
        assert!(
            rest.messages
                .is_sorted_by(|a, b| a.accepted_at_us > b.accepted_at_us)
        );
        assert!(outgoing(messages(), u64::MAX, 3).messages.is_empty());
    }

    #[test]
    fn what_may_work_later_is_told_from_what_is_wrong() {
        let full = SendError::OutboxFull {
            waiting: 1,
            limit: 1,
        };
        assert_eq!(refusal(&full).code, RefusalCode::Busy);
        assert_eq!(refusal(&SendError::NoMailbox).code, RefusalCode::Busy);
        let other = shoal_client::InvitationError::OtherNetwork;
        assert_eq!(
            refusal(&SendError::Invitation(other)).code,
            RefusalCode::Invalid
        );
        assert_eq!(
            refusal(&SendError::Storage(String::new())).code,
            RefusalCode::Internal
        );
    }

    /// What the page takes a text of ours for.
    fn known(table: &str, text: &str) -> Option<&'static str> {
        let file = include_str!("../../../web/alarms.js");
        let table = file.split(&format!("const {table} = [\n")).nth(1)?;
        let lines = table.split("\n];").next()?.lines();
        let known = lines.map(|line| {
            let (pattern, name) = line
                .trim()
                .strip_prefix("[/")
                .unwrap()
                .split_once("/, '")
                .unwrap();
            (pattern, name.strip_suffix("'],").unwrap())
        });
        let mut found = known.filter(|(pattern, _)| text.contains(pattern));
        found.next().map(|(_, name)| name)
    }

    #[test]
    fn the_page_has_words_for_all_that_can_be_wrong() {
        use shoal_client::Alarm;
        let span = shoal_proto::Span::from_secs(60);
        let alarms = [
            (Alarm::NoDocument, "no_document"),
            (Alarm::EntryMissing, "entry_missing"),
            (Alarm::MailboxMissing, "mailbox_missing"),
            (Alarm::EntryIsMailbox, "entry_is_mailbox"),
            (Alarm::LoopsLost(9), "loops_lost"),
            (Alarm::ReceiptsLost(9), "receipts_lost"),
            (Alarm::StreamLost(9), "stream_lost"),
            (Alarm::StreamPaused(span), "stream_paused"),
            (Alarm::OneCopy, "one_copy"),
            (Alarm::Storage, "storage"),
            (Alarm::InboxFull, "inbox_full"),
            (Alarm::ShareFull, "share_full"),
            (Alarm::DropIdsRefused, "drops_refused"),
            (Alarm::DropIdsShared, "drops_shared"),
            (Alarm::NewerCopy, "newer_copy"),
            (Alarm::Superseded, "superseded"),
        ];
        for (alarm, name) in alarms {
            assert_eq!(known("KNOWN", &alarm.to_string()), Some(name));
        }
        for (by, name) in [
            (Hindrance::ProviderMissing, "provider_missing"),
            (Hindrance::Refused, "refused"),
            (Hindrance::NoAnswer, "no_answer"),
        ] {
            assert_eq!(known("OF_MESSAGES", &hindrance(by)), Some(name));
        }
        for (text, name) in [
            (crate::files::SILENT, "silent"),
            (crate::files::NO_ROOM, "no_room"),
            (crate::files::NEWCOMER, "newcomer"),
            (crate::files::FULL, "full"),
        ] {
            assert_eq!(known("OF_FILES", text), Some(name));
        }
        for name in ["en", "de"] {
            let words = match name {
                "en" => include_str!("../../../web/words-en.js"),
                _ => include_str!("../../../web/words-de.js"),
            };
            for (_, alarm) in alarms {
                for part in ["", "_means", "_do"] {
                    assert!(
                        words.contains(&format!("  alarm_{alarm}{part}: '")),
                        "{alarm}"
                    );
                }
            }
        }
    }
}
