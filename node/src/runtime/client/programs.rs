//! Programs of this daemon's that send and receive data beside the texts: what each is known by, and their way to the
//! client role.

use std::collections::{BTreeMap, BTreeSet};

use shoal_client::{PeerKey, SendError, UserRequest};
use shoal_proto::{MessageId, Time};
use shoal_roles::client::SessionInput;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::daemon::Daemon;

/// A program, by the first byte of its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Program {
    /// Files.
    Files = 1,
    /// Message boxes.
    MessageBox = 2,
}

impl Program {
    /// The program of this first byte.
    pub(crate) const fn of(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::Files),
            2 => Some(Self::MessageBox),
            _ => None,
        }
    }

    /// Data of this program's, as it goes.
    pub(super) fn tagged(self, data: &[u8]) -> Vec<u8> {
        let mut tagged = Vec::with_capacity(1 + data.len());
        tagged.push(self as u8);
        tagged.extend_from_slice(data);
        tagged
    }
}

/// Data that came. It is told again after a restart, until it is said to be read.
pub(crate) struct Arrived {
    pub(crate) message: MessageId,
    /// The contact whose it is, proven.
    pub(crate) from: PeerKey,
    /// Without the program's byte.
    pub(crate) data: Zeroizing<Vec<u8>>,
    /// The minute in which it was sent, by the sender's clock.
    pub(crate) sent_at: Time,
}

/// What the message box wants of the client role.
pub(crate) enum Wish {
    /// To send this to a contact: answered once it is on disk, or refused.
    Send {
        to: PeerKey,
        data: Vec<u8>,
        answer: oneshot::Sender<Result<(), Unsent>>,
    },
    /// To hear which of these contacts are blocked.
    Blocked {
        contacts: Vec<PeerKey>,
        answer: oneshot::Sender<BTreeSet<PeerKey>>,
    },
    /// This is stored elsewhere now, or of no use: it is deleted.
    Read(MessageId),
}

/// Why the client role sends something to nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// There is no such contact.
    NoContact,
    /// The contact is blocked.
    Blocked,
    /// For another reason, in words.
    Refused(String),
}

impl Unsent {
    fn of(reason: &SendError) -> Self {
        match reason {
            SendError::UnknownContact => Self::NoContact,
            SendError::Blocked => Self::Blocked,
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Data that may wait for a program: more than the client role tells of before some is read.
pub(crate) const ARRIVED: usize = 2048;

/// Where data goes, and who waits for a word of what was sent.
pub(super) struct Programs {
    boxes: mpsc::Sender<Arrived>,
    sending: BTreeMap<u64, oneshot::Sender<Result<(), Unsent>>>,
}

impl Programs {
    pub(super) const fn new(boxes: mpsc::Sender<Arrived>) -> Self {
        Self {
            boxes,
            sending: BTreeMap::new(),
        }
    }

    /// Whether nobody waits for a word.
    pub(super) fn is_idle(&self) -> bool {
        self.sending.is_empty()
    }

    /// Tells who waits for this request. False if no program does.
    pub(super) fn answer(&mut self, request: u64, outcome: Result<(), Unsent>) -> bool {
        let waiting = self.sending.remove(&request);
        let found = waiting.is_some();
        if let Some(waiting) = waiting {
            // It may have given up.
            drop(waiting.send(outcome));
        }
        found
    }
}

impl Daemon {
    pub(super) fn on_wish(&mut self, wish: Wish) {
        match wish {
            Wish::Send { to, data, answer } => {
                if self.succeeded {
                    let words = "the network's values change: ask again";
                    drop(answer.send(Err(Unsent::Refused(words.to_owned()))));
                    return;
                }
                let request = self.sending.number();
                self.programs.sending.insert(request, answer);
                let data = Program::MessageBox.tagged(&data);
                let what = UserRequest::SendData { to, data };
                self.tell_session(SessionInput::Ask { request, what });
            }
            Wish::Blocked {
                mut contacts,
                answer,
            } => {
                contacts.retain(|it| {
                    self.session
                        .client()
                        .contact(it)
                        .is_some_and(|it| it.blocked)
                });
                // Who asked may be gone.
                drop(answer.send(contacts.into_iter().collect()));
            }
            Wish::Read(message) => self.tell_session(SessionInput::Read { message }),
        }
    }

    /// Data came: the program gets it, and says when it has it. What is for nobody is deleted.
    pub(super) fn on_data(
        &mut self,
        message: MessageId,
        (from, sent_at): (PeerKey, Time),
        data: &[u8],
    ) {
        let Some((tag, rest)) = data.split_first() else {
            return self.tell_session(SessionInput::Read { message });
        };
        match Program::of(*tag) {
            Some(Program::Files) => self.on_piece(message, &from, rest),
            Some(Program::MessageBox) => {
                let arrived = Arrived {
                    message,
                    from,
                    data: Zeroizing::new(rest.to_vec()),
                    sent_at,
                };
                match self.programs.boxes.try_send(arrived) {
                    Ok(()) => {}
                    // It is told again after a restart.
                    Err(mpsc::error::TrySendError::Full(_)) => {
                        tracing::warn!(
                            "the message box is too far behind: something waits for the next start"
                        );
                    }
                    Err(mpsc::error::TrySendError::Closed(_)) => {
                        tracing::warn!(
                            "a contact has sent something to a message box, and there is none here: `messagebox.listen`"
                        );
                        self.tell_session(SessionInput::Read { message });
                    }
                }
            }
            None => {
                tracing::warn!(
                    "a contact has sent something to a program that this release does not have"
                );
                self.tell_session(SessionInput::Read { message });
            }
        }
    }

    /// A request of a program's was refused; false if it is none of theirs.
    pub(super) fn refused_program(&mut self, request: u64, reason: &SendError) -> bool {
        self.programs.answer(request, Err(Unsent::of(reason)))
    }
}
