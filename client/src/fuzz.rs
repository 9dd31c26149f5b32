//! One function for each decoder of bytes and texts that others choose. Compiled for tests, which
//! replay the corpus in `corpus/`, and for fuzzing.

use crate::address::Address;
use crate::keys::ClientKeys;
use crate::rows::{
    self, BoxId, ContactRow, InboxKey, InboxRow, MailboxRow, OutboxRow, RetryRow, SeenKey, SentRow,
};

/// Addresses: a text that parses is written the same way again.
pub fn fuzz_address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string(), text.trim());
    }
}

/// Key files.
pub fn fuzz_keys(data: &[u8]) {
    if let Ok(keys) = ClientKeys::from_bytes(data) {
        assert_eq!(keys.to_bytes().as_slice(), data);
    }
}

/// Stored rows, as keys and as values of every table.
pub fn fuzz_rows(data: &[u8]) {
    let _ = (rows::decode_number(data), rows::decode_partial(data));
    let _ = (ContactRow::decode_key(data), OutboxRow::decode_key(data));
    let _ = (
        InboxKey::decode(data),
        InboxKey::decode_partial(data),
        SeenKey::decode(data),
        BoxId::decode(data),
    );
    if let Ok(row) = ContactRow::decode(data) {
        assert_eq!(row.encode(), data);
    }
    if let Ok(row) = MailboxRow::decode(data) {
        assert_eq!(row.encode(), data);
    }
    if let Ok(row) = RetryRow::decode(data) {
        assert_eq!(row.encode(), data);
    }
    if let Ok(row) = SentRow::decode(data) {
        assert_eq!(row.encode(), data);
    }
    if let Ok(row) = OutboxRow::decode(data) {
        assert_eq!(row.encode(), data);
    }
    if let Ok(row) = InboxRow::decode(data) {
        assert_eq!(row.encode(), data);
    }
}

#[cfg(test)]
#[path = "../../fuzz/check.rs"]
mod check;

#[cfg(test)]
const TARGETS: &[check::Target] = &[
    ("address", fuzz_address),
    ("keys", fuzz_keys),
    ("rows", fuzz_rows),
];
