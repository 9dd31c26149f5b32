//! What a client keeps across restarts: rows of (table, key, value), stored by the host.

mod codec;
mod contact;
mod inbox;
mod invitation;
mod label;
mod mailbox;
mod order;
mod place;
mod receipt;
mod revocation;
mod row;
mod sent;
mod session;

pub(crate) use codec::{decode_number, encode_number};
pub(crate) use contact::{ContactRow, Mark, Standing};
pub(crate) use inbox::{
    InboxKey, InboxRow, SeenKey, decode_partial, encode_partial, parse_partial,
};
pub(crate) use invitation::{Guest, InvitationRow};
pub use label::{Label, LabelError};
pub(crate) use mailbox::{BoxId, MailboxRow, SETS, SetState, TicketRow};
pub(crate) use order::OrderRow;
pub(crate) use place::{Audience, PlaceRow, Stage};
pub(crate) use receipt::ReceiptRow;
pub(crate) use revocation::RevocationRow;
pub use row::{Change, Row};
pub use sent::MessageState;
pub(crate) use sent::{OutboxRow, RetryRow, SentRow};
pub(crate) use session::{ChainRow, LateRow, SessionRow, TAG_BYTES};
