//! What the chat knows and shows. It has no IO: [`Model::handle_input`](super::update) takes what happens, with the time,
//! and leaves what is to be done in `effects`, and for the linear mode what is to be said in `told`.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use shoal_proto::{Span, Time};
use zeroize::Zeroizing;

use super::editor::Editor;
use super::looks::Looks;
pub(super) use super::open::{Below, Open};
use super::safe::Safe;
use super::traffic::Meter;
use crate::control::protocol::{
    ChangeOfContact, Contact, FileStatus, Invite, OwnInvitation, Status,
};

/// How a line of a conversation is.
pub(super) use crate::control::protocol::LineState as State;

/// Most lines of the open conversation that are held; earlier ones are asked for again.
pub(super) const MOST_LINES: usize = 2000;
/// Texts sent of which is said how far they come.
pub(super) const MOST_SENT: usize = 1000;
/// Most texts that wait for the daemon to take them.
pub(super) const MOST_PENDING: usize = 100;

/// Something that was said.
pub(super) struct Line {
    /// The daemon's.
    pub(super) number: u64,
    /// Where it stands among those that are here; see [`Open`].
    pub(super) place: u64,
    /// The message's id.
    pub(super) message: String,
    pub(super) own: bool,
    pub(super) text: Safe,
    pub(super) at: Time,
    pub(super) state: State,
    pub(super) gap_before: u64,
    pub(super) expires: Option<Time>,
    pub(super) hindrance: Option<Safe>,
}

impl Line {
    /// It came, and was not read.
    pub(super) fn is_new(&self) -> bool {
        !self.own && self.state == State::Unread
    }
}

/// A part of a conversation.
pub(super) struct Lines {
    pub(super) lines: Vec<Line>,
    pub(super) earlier: bool,
}

/// A conversation in the list of them.
pub(super) struct Glance {
    pub(super) contact: String,
    pub(super) unread: u64,
}

/// A contact, with what the list shows.
pub(super) struct Person {
    pub(super) contact: Contact,
    /// What it is called here, and a part of its key if that alone does not tell.
    pub(super) name: Safe,
    pub(super) unread: u64,
    /// Others have seen the invitation by which it came.
    pub(super) leaked: bool,
}

impl Person {
    pub(super) const fn standing(&self) -> &'static str {
        let it = &self.contact;
        match (it.blocked, it.needs_invitation, it.verified, self.leaked) {
            (true, ..) => "blocked",
            (_, true, ..) => "needs a new invitation",
            (_, _, true, _) => "verified",
            (_, _, _, true) => "LINK SEEN BY OTHERS",
            _ if !it.known => "newcomer",
            _ => "not verified",
        }
    }
}

/// A text that the daemon has not taken yet.
pub(super) struct Pending {
    pub(super) contact: String,
    pub(super) text: Zeroizing<String>,
    pub(super) shown: Safe,
    pub(super) life: Option<Span>,
    /// The same at each try: so it is sent once.
    pub(super) key: String,
    pub(super) asked: bool,
    /// What keeps it, and when it is tried again.
    pub(super) waits: Option<(Safe, Time)>,
}

/// What was written, and is not done: it can be taken into the line again.
pub(super) struct Returned {
    /// Whose conversation it is for; a command is for none.
    pub(super) contact: Option<String>,
    /// As it is typed.
    pub(super) line: Zeroizing<String>,
    pub(super) shown: Safe,
    pub(super) why: Safe,
}

/// A text that was taken in this run.
pub(super) struct Taken {
    pub(super) contact: String,
    pub(super) expected_ms: u64,
    /// Its beginning, in the linear mode.
    pub(super) begins: Option<Safe>,
}

/// Whether the daemon is there.
pub(super) enum Connection {
    /// It is looked for.
    Looking,
    Up,
    /// In words.
    Down(Safe),
}

/// Which part of the screen the arrows move in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Focus {
    People,
    Text,
}

/// What is looked at besides conversations.
#[derive(Clone, PartialEq)]
pub(super) enum Page {
    Help,
    People,
    /// An invitation that was made; in the linear mode its code only if that is asked for.
    Invited {
        invitation: Box<OwnInvitation>,
        code: bool,
    },
    Invitations,
    Files,
    Contact(String),
    State,
}

/// What is done only once it is confirmed.
pub(super) enum Confirm {
    Remove(String),
    Forget(String),
    Quit,
}

/// What to ask of the daemon.
#[derive(Clone)]
pub(super) enum Ask {
    Status,
    Contacts,
    Conversations,
    Invitations,
    Files,
    Lines {
        contact: String,
        before: Option<u64>,
    },
    Read {
        contact: String,
        up_to: u64,
    },
    Send {
        contact: String,
        text: Zeroizing<String>,
        life: Option<Span>,
        key: String,
    },
    Invite(Invite),
    Revoke(String),
    Renew,
    Accept {
        link: Zeroizing<String>,
        label: String,
    },
    Change {
        contact: String,
        change: ChangeOfContact,
    },
    Remove(String),
    Forget(String),
    SendFile {
        contact: String,
        path: PathBuf,
        /// The same at each try: so it is sent once.
        key: String,
    },
    SaveFile {
        file: String,
        name: String,
        /// Where to; in this directory, under its own name, if it is not said.
        path: Option<PathBuf>,
    },
    RemoveFile(String),
}

impl Ask {
    /// Whether what is typed next may depend on the answer. What is looked at again and again is not waited for.
    pub(super) const fn is_waited_for(&self) -> bool {
        !matches!(
            self,
            Self::Status | Self::Contacts | Self::Conversations | Self::Invitations | Self::Files
        )
    }
}

/// What the daemon answered.
pub(super) enum Reply {
    Done,
    Status(Box<Status>),
    Contacts(Vec<Contact>),
    Contact(Contact),
    Conversations(Vec<Glance>),
    Lines(Lines),
    Invitations(Vec<OwnInvitation>),
    Invited(OwnInvitation),
    Files(Vec<FileStatus>),
    File(FileStatus),
    /// The message's id, and how long it takes in the mean.
    Accepted {
        message: String,
        expected_stored_ms: u64,
    },
    /// Where to.
    Saved(PathBuf),
}

/// Why it did not do what was asked.
pub(super) struct Trouble {
    pub(super) kind: TroubleKind,
    pub(super) words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TroubleKind {
    /// It is not there, or went while it was asked.
    Gone,
    /// It may work later.
    Busy,
    /// It will not work.
    Refused,
}

/// What happened at the daemon: texts are asked for, and not taken from here.
pub(super) enum News {
    /// Something about messages.
    Messages,
    Received {
        contact: String,
    },
    Stored {
        message: String,
        after_ms: Option<u64>,
    },
    Hindered {
        message: String,
        reason: String,
    },
    Expired {
        message: String,
    },
    /// A text that was not read is deleted, because its time is over.
    Vanished {
        message: String,
    },
    Delivered {
        message: String,
        read: bool,
    },
    Met {
        contact: String,
    },
    Leaked {
        contact: String,
    },
    File(Box<FileStatus>),
    Alarm(String),
    AlarmOver(String),
    Attached,
    Detached(String),
    Opened,
    /// Anything may have happened.
    Missed,
}

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Ctrl(char),
    F(u8),
    Enter,
    NewLine,
    Tab,
    Esc,
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    PageUp,
    PageDown,
}

/// What happens to the chat.
pub(super) enum Input {
    Key(Key),
    Pasted(Zeroizing<String>),
    /// A line, in the linear mode.
    Line(Zeroizing<String>),
    /// The daemon is there.
    Up,
    /// It is not, in words.
    Down(String),
    News(News),
    Answer(Box<Ask>, Result<Reply, Trouble>),
    /// A second is over.
    Tick,
}

/// What is to be done.
pub(super) enum Effect {
    Ask(Box<Ask>),
    /// Hand the terminal to the shell until it is resumed.
    Suspend,
    /// Write all of the screen anew.
    Redraw,
    Quit,
}

/// What is to be said in the linear mode.
pub(super) enum Told {
    Words(Safe),
    Page(Page),
    /// The line at this place of the open conversation.
    Line(u64),
}

/// What was seen of it when it was shown.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    /// The end of the open conversation was.
    pub(super) newest: bool,
    /// Its beginning, as far as it is here.
    pub(super) oldest: bool,
    /// So far it was scrolled, and so far it can be.
    pub(super) scroll: usize,
    pub(super) most_scroll: usize,
    /// What was shown last of it, if that is a line.
    pub(super) below: Option<Below>,
    /// So far the page can be.
    pub(super) most_page_scroll: usize,
    /// Rows that there were for either.
    pub(super) rows: usize,
}

/// See the module.
pub(super) struct Model {
    pub(super) linear: bool,
    pub(super) connection: Connection,
    /// What the daemon said of itself last.
    pub(super) status: Option<Box<Status>>,
    pub(super) meter: Meter,
    pub(super) contacts: Vec<Contact>,
    /// They are known.
    pub(super) loaded: bool,
    /// In the linear mode, it was told what is new.
    pub(super) greeted: bool,
    pub(super) glances: Vec<Glance>,
    pub(super) people: Vec<Person>,
    pub(super) invitations: Vec<OwnInvitation>,
    pub(super) files: Vec<FileStatus>,
    pub(super) open: Option<Open>,
    /// Who is to be opened once it is known who there is.
    pub(super) wanted: Option<String>,
    /// What is written, for each contact; of nobody while nobody is written to.
    pub(super) editors: BTreeMap<Option<String>, Editor>,
    pub(super) pending: VecDeque<Pending>,
    /// What the daemon refused while there was something else in the line, in order.
    pub(super) returned: VecDeque<Returned>,
    /// Files that are being handed over.
    pub(super) handing: usize,
    /// How often a key was pressed, something pasted or a line typed; and a conversation opened.
    pub(super) acts: u64,
    /// Of when an invitation was accepted last.
    pub(super) accepting: Option<u64>,
    /// Who has come by an invitation, and is not known yet.
    pub(super) met: Vec<String>,
    /// When it is looked again who there is.
    pub(super) people_until: Time,
    /// What is asked again when the daemon is there again.
    pub(super) again: Vec<Ask>,
    pub(super) taken: BTreeMap<String, Taken>,
    pub(super) lives: BTreeMap<String, Span>,
    pub(super) focus: Focus,
    pub(super) selected: Option<String>,
    pub(super) page: Option<(Page, usize)>,
    pub(super) notice: Option<Safe>,
    /// What was said of answers that made no sense.
    pub(super) complaint: Option<Safe>,
    pub(super) confirm: Option<Confirm>,
    pub(super) seen: Seen,
    pub(super) looks: Looks,
    pub(super) effects: VecDeque<Effect>,
    pub(super) told: VecDeque<Told>,
    /// Drawn at random once: with a number behind it, a text's idempotency key.
    pub(super) run: String,
    pub(super) drawn: u64,
}

impl Model {
    /// Nothing is known yet. `run` is drawn at random, hexadecimal.
    pub(super) fn new(linear: bool, run: String, wanted: Option<String>) -> Self {
        Self {
            linear,
            connection: Connection::Looking,
            status: None,
            loaded: false,
            greeted: false,
            meter: Meter::default(),
            contacts: Vec::new(),
            glances: Vec::new(),
            people: Vec::new(),
            invitations: Vec::new(),
            files: Vec::new(),
            open: None,
            wanted,
            editors: BTreeMap::new(),
            pending: VecDeque::new(),
            returned: VecDeque::new(),
            handing: 0,
            acts: 0,
            accepting: None,
            met: Vec::new(),
            people_until: Time::default(),
            again: Vec::new(),
            taken: BTreeMap::new(),
            lives: BTreeMap::new(),
            focus: Focus::People,
            selected: None,
            page: None,
            notice: None,
            complaint: None,
            confirm: None,
            seen: Seen::default(),
            looks: Looks::default(),
            effects: VecDeque::new(),
            told: VecDeque::new(),
            run,
            drawn: 0,
        }
    }

    /// A name for something that is sent once, however often it is handed over.
    pub(super) fn draw_key(&mut self) -> String {
        self.drawn += 1;
        format!("chat-{}-{}", self.run, self.drawn)
    }

    /// What is to be done next.
    pub(super) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self.connection, Connection::Up)
    }

    pub(super) fn person(&self, key: &str) -> Option<&Person> {
        self.people.iter().find(|it| it.contact.key == key)
    }

    /// What a contact is called, also one that is not known any more.
    pub(super) fn name(&self, key: &str) -> Safe {
        self.person(key)
            .map_or_else(|| Safe::line(short(key)), |it| it.name.clone())
    }

    /// The contact whose conversation is open.
    pub(super) fn open_key(&self) -> Option<String> {
        self.open.as_ref().map(|open| open.contact.clone())
    }

    /// What is written now, to whom is written now.
    pub(super) fn editor(&mut self) -> &mut Editor {
        let key = self.open_key();
        self.editors.entry(key).or_insert_with(Editor::for_text)
    }

    /// The same to look at; none if nothing was ever written.
    pub(super) fn written(&self) -> Option<&Editor> {
        self.editors.get(&self.open_key())
    }

    /// There is something that was written, and is not sent.
    pub(super) fn has_unsent(&self) -> bool {
        let written = self.editors.values().any(|it| !it.text().trim().is_empty());
        written || !self.pending.is_empty() || !self.returned.is_empty()
    }

    /// Files that are not at the daemon yet.
    pub(super) fn files_to_hand_over(&self) -> usize {
        let waits = |it: &&Ask| matches!(it, Ask::SendFile { .. });
        self.handing + self.again.iter().filter(waits).count()
    }

    /// The first of what was refused that belongs into the line of that conversation.
    pub(super) fn returned_to(&self, of: &Option<String>) -> Option<usize> {
        let belongs = |it: &Returned| it.contact.is_none() || it.contact == *of;
        self.returned.iter().position(belongs)
    }

    /// The first part of the confirmation's question.
    pub(super) fn question(&self) -> Option<String> {
        let question = match self.confirm.as_ref()? {
            Confirm::Remove(key) => format!(
                "Forget {} and the keys for it? You can't write to each other then without a new invitation.",
                &*self.name(key)
            ),
            Confirm::Forget(key) => format!(
                "Delete all that was said with {} on this machine?",
                &*self.name(key)
            ),
            Confirm::Quit if self.has_unsent() => {
                "There is text that was not sent, and goes with the chat. Quit?".to_owned()
            }
            Confirm::Quit => {
                "A file is still being handed to the daemon, and may not be sent. Quit?".to_owned()
            }
        };
        Some(question)
    }

    /// People in the order of their conversations; those of whom none is known yet come last.
    pub(super) fn arrange(&mut self) {
        let place = |key: &str| self.glances.iter().position(|it| it.contact == key);
        let mut people: Vec<Person> = self
            .contacts
            .iter()
            .map(|contact| {
                let label = Safe::line(&contact.label);
                let label = label.trim();
                let same = |it: &Contact| it.label.trim() == contact.label.trim();
                let alone = self.contacts.iter().filter(|it| same(it)).count() == 1;
                let name = match (label.is_empty(), alone) {
                    (true, _) => format!("({})", short(&contact.key)),
                    (false, true) => label.to_owned(),
                    (false, false) => format!("{label} ({})", short(&contact.key)),
                };
                let unread = self.glances.iter().find(|it| it.contact == contact.key);
                let by = |it: &OwnInvitation| it.leaked && it.guest.as_ref() == Some(&contact.key);
                Person {
                    name: Safe::line(&name),
                    unread: unread.map_or(0, |it| it.unread),
                    leaked: self.invitations.iter().any(by),
                    contact: contact.clone(),
                }
            })
            .collect();
        people.sort_by_key(|it| place(&it.contact.key).unwrap_or(usize::MAX));
        self.people = people;
        let known = |key: &String| self.people.iter().any(|it| it.contact.key == *key);
        if !self.selected.as_ref().is_some_and(known) {
            self.selected = self.people.first().map(|it| it.contact.key.clone());
        }
    }

    /// Whom these words mean: what somebody is called, its key, or the beginning of either.
    pub(super) fn find(&self, words: &str) -> Result<String, String> {
        let words = words.trim();
        let shown = Safe::line(words);
        let key = |it: &Person| it.contact.key.clone();
        let exact = |it: &&Person| {
            it.contact.key == words || it.contact.label.trim() == words || *it.name == *shown
        };
        let exact: Vec<&Person> = self.people.iter().filter(exact).collect();
        let begins = |it: &&Person| {
            let name = it.name.to_lowercase();
            name.starts_with(&shown.to_lowercase())
                || (words.len() >= 4 && it.contact.key.starts_with(words))
        };
        let begins: Vec<&Person> = self.people.iter().filter(begins).collect();
        match (&exact[..], &begins[..]) {
            ([one], _) | ([], [one]) => Ok(key(one)),
            ([], []) => Err(format!("There is nobody called {}", &*shown)),
            _ => Err(format!(
                "{} means more than one: say which by the letters behind the name",
                &*shown
            )),
        }
    }
}

/// So much of a key that people tell it from others.
pub(super) fn short(key: &str) -> &str {
    key.get(..8).unwrap_or(key)
}
