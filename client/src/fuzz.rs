//! One function for each decoder of bytes and texts that others choose. Compiled for tests, which
//! replay the corpus in `corpus/`, and for fuzzing.

use crate::invitation::Invitation;
use crate::keys::ClientKeys;
use crate::rows::{
    self, BoxId, ContactRow, InboxKey, InboxRow, InvitationRow, Label, MailboxRow, OutboxRow,
    RetryRow, RevocationRow, SeenKey, SentRow,
};

/// Invitations: a text that parses is written the same way again, but for case and white space.
pub fn fuzz_invitation(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = text.parse::<Label>();
    if let Ok(invitation) = text.parse::<Invitation>() {
        let bare: String = text.split_whitespace().collect();
        assert_eq!(invitation.to_string(), bare.to_lowercase());
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
        InvitationRow::decode_key(data),
        RevocationRow::decode_key(data),
    );
    if let Ok(row) = InvitationRow::decode(data) {
        assert_eq!(row.encode().as_slice(), data);
    }
    if let Ok(row) = RevocationRow::decode(data) {
        assert_eq!(row.encode().as_slice(), data);
    }
    if let Ok(row) = ContactRow::decode(data) {
        assert_eq!(row.encode().as_slice(), data);
    }
    if let Ok(row) = MailboxRow::decode(data) {
        assert_eq!(row.encode().as_slice(), data);
    }
    if let Ok(row) = RetryRow::decode(data) {
        assert_eq!(row.encode().as_slice(), data);
    }
    if let Ok(row) = SentRow::decode(data) {
        assert_eq!(row.encode().as_slice(), data);
    }
    if let Ok(row) = OutboxRow::decode(data) {
        assert_eq!(row.encode().as_slice(), data);
    }
    if let Ok(row) = InboxRow::decode(data) {
        assert_eq!(row.encode().as_slice(), data);
    }
}

#[cfg(test)]
#[path = "../../fuzz/check.rs"]
mod check;

#[cfg(test)]
const TARGETS: &[check::Target] = &[
    ("invitation", fuzz_invitation),
    ("keys", fuzz_keys),
    ("rows", fuzz_rows),
];
