//! What goes in and out of the core: what the host tells it, and what it asks of the host.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use shoal_packet::Frame;
use shoal_packet::command::TOKEN_WORK_BYTES;
use shoal_proto::{ClientHandle, MessageId, NodeId, Span, Time};
use shoal_topology::{TokenWork, View};
use zeroize::Zeroizing;

use crate::contacts::ContactChange;
use crate::error::SendError;
use crate::invitation::Invitation;
use crate::keys::PeerKey;
use crate::outbox::Hindrance;
use crate::rows::{Change, Label};
use crate::ticket::Labour;

/// What the host tells the client.
#[non_exhaustive]
pub enum ClientInput {
    /// The documents known now.
    View(Arc<View>),
    /// The work of [`ClientAction::Work`] is done.
    Worked {
        /// What was worked for.
        work: TokenWork,
        /// The proof.
        proof: Box<[u8; TOKEN_WORK_BYTES]>,
    },
    /// The providers that this client enters by. What its places are at from now on has neither a family nor a
    /// network in common with them.
    Entries(Vec<NodeId>),
    /// A connection to an entry provider stands, under this handle, which must be random and of
    /// this connection only.
    Attached {
        /// The provider entered by.
        entry: NodeId,
        /// What the entry knows this client by.
        handle: ClientHandle,
    },
    /// The connection is gone.
    Detached,
    /// The host's clock was corrected; the `now` of this input is by the new one. The connection,
    /// if there is one, is gone with it: the host detaches first and attaches again. What waits,
    /// waits as long as before; dates (when a message was accepted, when it expires) stay.
    ClockMoved {
        /// The clock shows more than before, not less.
        ahead: bool,
        /// By how much.
        by: Span,
    },
    /// A frame came from the entry.
    Frame(Frame),
    /// The user wants something. Answered with [`ClientEvent::Accepted`], [`ClientEvent::Invited`] or
    /// [`ClientEvent::Done`] once it is on disk, or with [`ClientEvent::Refused`].
    Ask {
        /// Names the request in the answer.
        request: u64,
        /// What.
        what: UserRequest,
    },
    /// New invitations are to lead elsewhere. Those that there are go on for as long as the network keeps messages,
    /// and let nobody in any more then.
    RenewInvitations,
    /// The changes of this ticket are on disk.
    Persisted {
        /// From [`ClientAction::Persist`].
        ticket: u64,
    },
    /// The changes of this ticket could not be stored, none of them.
    PersistFailed {
        /// From [`ClientAction::Persist`].
        ticket: u64,
        /// Why, for the user.
        reason: String,
    },
    /// The user has this message: it is deleted here.
    Read {
        /// From [`ClientEvent::Received`].
        message: MessageId,
    },
}

/// What the user can want.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserRequest {
    /// To send a message. It is accepted.
    Send {
        /// To which contact.
        to: PeerKey,
        /// What; at most [`MAX_TEXT_BYTES`](crate::MAX_TEXT_BYTES).
        text: Vec<u8>,
        /// How long it is worth anything, to the minute, if that is shorter than the network keeps it: it is
        /// tried no longer, and if it comes later, it is told to nobody. Its receiver is told when that is; nobody
        /// else.
        life: Option<Span>,
    },
    /// To send something to a program of the contact's, as a part of a file. It is accepted. Nothing waits for it at the
    /// other end, and it for nothing; it is not among the messages that are listed, and forgotten once it is stored or
    /// expired.
    SendData {
        /// To which contact.
        to: PeerKey,
        /// What; at most [`MAX_TEXT_BYTES`](crate::MAX_TEXT_BYTES). What programs there are, and which one it is for, is
        /// the business of who hosts the role.
        data: Vec<u8>,
    },
    /// To invite somebody: who is invited.
    Invite {
        /// Only who comes first is let in.
        once: bool,
        /// For how long it is good, to the minute.
        life: Span,
        /// Whom it is for, for the own eyes; a guest who comes alone is called so.
        label: Label,
    },
    /// An own invitation is to be no good any more. Who came by it stays. It is done.
    Revoke {
        /// Its number.
        invitation: u32,
    },
    /// To accept an invitation: who made it becomes a contact, and is written to. A text is accepted; else it is done.
    Accept {
        /// The invitation.
        invitation: Box<Invitation>,
        /// What who made it is called here; empty for nothing, or for what it is called already.
        label: Label,
        /// The first text. Without one they are told that they have a contact, and no more.
        text: Option<Vec<u8>>,
    },
    /// Something with a contact. It is done.
    Change {
        /// Which.
        contact: PeerKey,
        /// What.
        change: ContactChange,
    },
    /// That a contact is no more. It is not told. It is done.
    Remove {
        /// Which.
        contact: PeerKey,
    },
}

/// Redacted.
impl fmt::Debug for UserRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserRequest(..)")
    }
}

/// What the client asks of the host.
#[non_exhaustive]
pub enum ClientAction {
    /// Send this to the entry, now.
    SendFrame(Frame),
    /// Store these changes, together or not at all and in the order of the tickets, and answer
    /// with [`ClientInput::Persisted`] once they survive a crash.
    Persist {
        /// Names the changes in the answer.
        ticket: u64,
        /// The changes.
        changes: Vec<Change>,
    },
    /// Look for a proof of work, which takes seconds and 200 MB: nonces from 0 on are tried with
    /// [`TokenWork::seek`] until one gives it. Answered with [`ClientInput::Worked`].
    Work(Labour),
    /// Something the user may want to know.
    Event(ClientEvent),
}

/// One hop of a route that this client chose. Local knowledge: it never leaves the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HopTrace {
    /// The node.
    pub node: NodeId,
    /// Its layer; 0 for a provider.
    pub layer: u8,
    /// How long it was asked to hold the packet; zero at the last hop, which has no such field.
    pub delay: Span,
}

/// A text, or data for a program. Redacted in logs, and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Plain(Zeroizing<Vec<u8>>);

impl Plain {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl Deref for Plain {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain(..)")
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The message is on this machine's disk and will be sent: it is not lost any more.
    Accepted {
        /// From [`ClientInput::Ask`].
        request: u64,
        /// The message's id from now on; its receiver sees the same one.
        message: MessageId,
    },
    /// The message was not accepted.
    Refused {
        /// From [`ClientInput::Ask`].
        request: u64,
        /// Why.
        reason: SendError,
    },
    /// An invitation can be handed out: it is on disk.
    Invited {
        /// From [`ClientInput::Ask`].
        request: u64,
        /// It.
        invitation: Box<InvitationStatus>,
    },
    /// What was asked for is done, and on disk.
    Done {
        /// From [`ClientInput::Ask`].
        request: u64,
    },
    /// Somebody has come by an own invitation and is a contact now, if only a newcomer.
    Met {
        /// Who.
        contact: PeerKey,
        /// The number of the invitation.
        invitation: u32,
    },
    /// Another one came with an invitation that was for one person: somebody else has seen the link, and who came first
    /// may not be who it was meant for. Nobody else is let in. Told once for each invitation.
    Leaked {
        /// The number of the invitation.
        invitation: u32,
        /// Who was let in.
        contact: PeerKey,
    },
    /// A part of a message left, for the first time or again.
    Sent {
        /// The message.
        message: MessageId,
        /// Which part, from 0: those with text, and then those of parity.
        fragment: u16,
        /// The route to the receiver's mailbox.
        trace: Vec<HopTrace>,
    },
    /// All of the message is on the disk of the receiver's mailbox.
    Stored {
        /// The message.
        message: MessageId,
    },
    /// The contact says that the message is on its disk, or was read there. Who has verified its contact tells it that; and
    /// what was read, if both want it.
    Delivered {
        /// The message.
        message: MessageId,
        /// It was read.
        read: bool,
    },
    /// A message that was told of and not read is here no more: its time is over.
    Vanished {
        /// The message.
        message: MessageId,
        /// Who wrote it.
        from: PeerKey,
    },
    /// Something for a program is here and on this machine's disk. Told again after a restart, until
    /// [`ClientInput::Read`].
    ReceivedData {
        /// The sender's id of it.
        message: MessageId,
        /// Who sent it, proven: a contact.
        from: PeerKey,
        /// What.
        data: Plain,
        /// The minute in which it was sent, by the sender's clock.
        sent_at: Time,
    },
    /// The message's time to live passed before all of it was stored.
    Expired {
        /// The message.
        message: MessageId,
    },
    /// A whole message is here and on this machine's disk. Told again after a restart, until
    /// [`ClientInput::Read`].
    Received {
        /// The sender's id of the message.
        message: MessageId,
        /// Who wrote it, proven: a contact.
        from: PeerKey,
        /// The text.
        text: Plain,
        /// The minute in which it was written, by the sender's clock.
        sent_at: Time,
        /// The sender's count of messages to us, from 0. What a sender writes is told in this order,
        /// but for what comes after [`ClientConfig::order_patience`](crate::ClientConfig::order_patience).
        sequence: u64,
        /// How many messages right before this one have not come. They may still: then their
        /// `sequence` is lower than this one's.
        gap_before: u64,
        /// When it vanishes here and there, if its sender wants it so: a whole minute.
        expires: Option<Time>,
        /// The route of the packet that completed it, from our mailbox to here; empty after a
        /// restart.
        trace: Vec<HopTrace>,
    },
    /// Something keeps a message from being stored. It is tried again all the same.
    Hindered {
        /// The message.
        message: MessageId,
        /// What.
        by: Hindrance,
    },
    /// Something is wrong. One of a kind stands at a time, and [`ClientEvent::AlarmOver`] ends it.
    Alarm(Alarm),
    /// What this alarm told, with the figures of its end, is over.
    AlarmOver(Alarm),
}

/// An own invitation, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationStatus {
    /// Its number, drawn.
    pub number: u32,
    /// What is handed out.
    pub invitation: Invitation,
    /// Whom it is for, in the user's words; may be empty.
    pub label: Label,
    /// When it was made.
    pub made: Time,
    /// Who came, if it is for one person.
    pub guest: Option<PeerKey>,
    /// Another one came, too, and was not let in.
    pub leaked: bool,
}

/// A contact, as the user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactStatus {
    /// The key by which it is known.
    pub key: PeerKey,
    /// What the user calls it; may be empty.
    pub label: Label,
    /// The user has taken it for a contact; else it is a newcomer, who has an invitation that is for many.
    pub known: bool,
    /// The two have compared safety numbers.
    pub verified: bool,
    /// Nothing goes to it, and nothing that it writes is shown.
    pub blocked: bool,
    /// Both ends are told what was read, if the other one wants it, too.
    pub reads: bool,
    /// The minute in which it became one.
    pub since: Time,
    /// There is no session with it, as after a restore: nothing can be written to it before one of the two has accepted
    /// a new invitation of the other.
    pub needs_invitation: bool,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alarm {
    /// No document is in force: nothing is sent.
    NoDocument,
    /// The entry provider is not in the document in force, so there is no path.
    EntryMissing,
    /// The mailbox's provider is not in the document in force: nothing is received.
    MailboxMissing,
    /// Entry and mailbox are one provider, which can link the two.
    EntryIsMailbox,
    /// This many of the last 64 loops did not return: the entry or the mixes lose packets.
    LoopsLost(u32),
    /// This many of the last 64 deposits were not answered.
    ReceiptsLost(u32),
    /// This many of the last 64 packets of the mailbox's stream did not come.
    StreamLost(u32),
    /// The mailbox has sent nothing for longer than this.
    StreamPaused(Span),
    /// There is one mailbox, because the network has too few providers of different families for two: what is
    /// in it is lost with its provider.
    OneCopy,
    /// Something could not be saved; it will be tried again when it comes again.
    Storage,
    /// As many messages as fit wait to be read; more stay at the mailbox.
    InboxFull,
    /// As many messages of one sender, or of all who were never written to, wait to be read as may;
    /// more of theirs stay at the mailbox. Those of others come.
    ShareFull,
    /// The mailbox's provider refuses drop ids: contacts who were given one of them can't answer before
    /// they have got another with the next message to them.
    DropIdsRefused,
    /// There are more contacts than drop ids. Some contacts have the same one: the mailbox's quota for
    /// one of them counts for the other too.
    DropIdsShared,
    /// The mailbox had seen a newer copy of this client when it came: it was restored from an old one,
    /// or runs twice. The mailbox listens to this one now.
    NewerCopy,
    /// Another copy of this client has taken its mailbox over since: it gets nothing more, and takes no
    /// more messages to send. It goes on sending its packets, because what a mailbox's provider says
    /// must not be seen on a client's link. Never over; a client that is made anew takes the mailbox
    /// back.
    Superseded,
}

impl Alarm {
    /// Whether both tell the same, with whatever figures.
    #[must_use]
    pub fn is_kind_of(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDocument => f.write_str(
                "this machine knows no document of the network that is in force, so nothing is sent; it \
                 asks for one again and again",
            ),
            Self::EntryMissing => f.write_str(
                "the provider that this client enters by has left the network, so nothing is sent; it \
                 looks for another",
            ),
            Self::MailboxMissing => f.write_str(
                "a provider of this client's mailboxes is not in the network now: nothing is received from it \
                 until it is back",
            ),
            Self::EntryIsMailbox => f.write_str(
                "this client enters by the provider that has its mailbox, which can link the two: set \
                 `entry` to another, or to \"random\"",
            ),
            Self::LoopsLost(lost) => write!(
                f,
                "{lost} of the last 64 packets that this client sent to itself were lost: the entry or \
                 the mixes lose packets"
            ),
            Self::ReceiptsLost(lost) => write!(
                f,
                "{lost} of the last 64 deposits were not answered: if no loops are lost, the receivers' \
                 providers lose packets"
            ),
            Self::StreamLost(lost) => write!(
                f,
                "{lost} of the last 64 packets from a mailbox were lost: what was in them comes again"
            ),
            Self::StreamPaused(than) => write!(
                f,
                "nothing has come from a mailbox for more than {} s: its provider is down, cut off, or \
                 withholds",
                than.as_secs_f64().round()
            ),
            Self::OneCopy => f.write_str(
                "the network has too few providers of different families for two mailboxes: what waits in the \
                 only one is lost if its provider is",
            ),
            Self::Storage => f.write_str(
                "this client's state cannot be saved: look at the disk's space and the rights of its \
                 directory",
            ),
            Self::InboxFull => f.write_str(
                "too many unread messages: the rest stay at the mailbox until some are read",
            ),
            Self::ShareFull => f.write_str(
                "too many unread messages of one sender, or of strangers: the rest of theirs stay at \
                 the mailbox until some are read",
            ),
            Self::DropIdsRefused => f.write_str(
                "the mailbox's provider refuses drop ids: some contacts can't answer before they are \
                 written to again; if it goes on, have the mailbox elsewhere",
            ),
            Self::DropIdsShared => {
                f.write_str("there are more contacts than drop ids: some contacts share one")
            }
            Self::NewerCopy => f.write_str(
                "the mailbox had seen a newer copy of this client: it was restored from an old copy, or \
                 runs twice; the mailbox listens to this one now",
            ),
            Self::Superseded => f.write_str(
                "another copy of this client has its keys and has taken the mailbox over: nothing comes \
                 here any more, and nothing new is taken to send; stop one of the two",
            ),
        }
    }
}
