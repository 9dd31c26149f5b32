//! A line's two rows. Both have the key of the contact (32 bytes) and the line's number (8, big-endian).
//!
//! In the table `line`: the layout (1 byte), whose it is (1), what became of it (1), the message (16), and as big-endian
//! numbers of 8 bytes the microseconds of when it was written, those of when it is deleted (0: never), and the gap before
//! it. In the table `said`: the text.

use shoal_client::{Change, PeerKey, Row, Table};
use shoal_proto::{MessageId, Time};
use zeroize::Zeroizing;

use super::{Fate, Line};

const LAYOUT: u8 = 1;

/// The key of a line's rows.
pub(crate) fn text_key(with: &PeerKey, number: u64) -> Vec<u8> {
    [&with.as_bytes()[..], &number.to_be_bytes()].concat()
}

/// Both rows.
pub(super) fn put(with: &PeerKey, line: &Line, text: &[u8]) -> Vec<Change> {
    let text = Zeroizing::new(text.to_vec());
    let said = Change::put(Table::Said, text_key(with, line.number), text);
    vec![put_line(with, line), said]
}

/// What is known of it.
pub(super) fn put_line(with: &PeerKey, line: &Line) -> Change {
    let fate = match line.fate {
        None => 0,
        Some(Fate::Stored) => 1,
        Some(Fate::Delivered) => 2,
        Some(Fate::Read) => 3,
        Some(Fate::Expired) => 4,
    };
    let mut value = vec![LAYOUT, u8::from(line.own), fate];
    value.extend_from_slice(line.message.as_bytes());
    let expires = line.expires.map_or(0, Time::as_micros);
    for number in [line.at.as_micros(), expires, line.gap_before] {
        value.extend_from_slice(&number.to_be_bytes());
    }
    Change::put(Table::Line, text_key(with, line.number), value.into())
}

/// Neither row.
pub(super) fn delete(with: &PeerKey, number: u64) -> Vec<Change> {
    let key = text_key(with, number);
    vec![
        Change::delete(Table::Line, key.clone()),
        Change::delete(Table::Said, key),
    ]
}

/// What is known of a line, and with whom it is.
pub(super) fn decode(row: &Row) -> Option<(PeerKey, Line)> {
    let (key, number) = row.key.split_first_chunk::<32>()?;
    let with = PeerKey::parse(*key).ok()?;
    let (&[LAYOUT, own @ (0 | 1), fate], rest) = row.value.split_first_chunk::<3>()? else {
        return None;
    };
    let fate = match fate {
        0 => None,
        1 => Some(Fate::Stored),
        2 => Some(Fate::Delivered),
        3 => Some(Fate::Read),
        4 => Some(Fate::Expired),
        _ => return None,
    };
    let (message, rest) = rest.split_first_chunk::<{ MessageId::BYTES }>()?;
    let (at, rest) = number_of(rest)?;
    let (expires, rest) = number_of(rest)?;
    let (gap_before, rest) = number_of(rest)?;
    let line = Line {
        number: u64::from_be_bytes(number.try_into().ok()?),
        message: MessageId::new(*message),
        own: own == 1,
        at: Time::from_micros(at),
        expires: (expires > 0).then(|| Time::from_micros(expires)),
        gap_before,
        fate,
        // Who keeps it says so again.
        unread: false,
        saved: true,
    };
    rest.is_empty().then_some((with, line))
}

fn number_of(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}
