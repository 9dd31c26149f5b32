//! What happens to the chat, and what follows from it.

use shoal_proto::{Span, Time};
use zeroize::Zeroizing;

use super::editor::Editor;
use super::looks::Look;
use super::model::{
    Ask, Connection, Effect, Glance, Input, MOST_SENT, Model, News, Page, Pending, Reply, Returned,
    State, Taken, Told, Trouble, TroubleKind,
};
use super::safe::{Safe, width, wrapped};
use super::{command, words};
use crate::control::protocol::{Contact, FileState, FileStatus, Status};

/// When a text is tried again that the daemon could not take.
const SOON: Span = Span::from_secs(2);
const LATER: Span = Span::from_secs(5);
/// How often it is looked who there is.
const PEOPLE: Span = Span::from_secs(10);
/// Columns of a text's beginning by which it is named.
const BEGINS: usize = 24;

impl Model {
    /// Something happened.
    pub(super) fn handle_input(&mut self, now: Time, input: Input) {
        if let Input::Key(_) | Input::Pasted(_) | Input::Line(_) = &input {
            self.acts += 1;
        }
        match input {
            Input::Key(key) => self.key(key),
            Input::Pasted(text) => self.pasted(&text),
            Input::Line(line) => self.line(&line),
            Input::Up => self.up(),
            Input::Down(words) => self.down(&words),
            Input::News(news) => self.news(news),
            Input::Answer(ask, answer) => self.answer(now, *ask, answer),
            Input::Tick => self.tick(now),
        }
    }

    /// Tells both of the screen and of the linear mode, until there is something else to say.
    pub(super) fn say(&mut self, words: &str) {
        let words = Safe::line(words);
        match self.linear {
            true => self.told.push_back(Told::Words(words)),
            false => self.notice = Some(words),
        }
    }

    /// Tells once of what comes again and again.
    pub(super) fn complain(&mut self, words: &str) {
        let words = Safe::line(words);
        if self.complaint.as_deref() != Some(&*words) {
            self.say(&format!(
                "The daemon does not answer what is asked: {}.",
                &*words
            ));
            self.complaint = Some(words);
        }
    }

    /// Tells of what the screen shows anyway.
    pub(super) fn mention(&mut self, words: &str) {
        if self.linear {
            self.told.push_back(Told::Words(Safe::line(words)));
        }
    }

    pub(super) fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::SendFile { .. } => self.handing += 1,
            Ask::Accept { .. } => self.accepting = Some(self.acts),
            _ => {}
        }
        self.effects.push_back(Effect::Ask(Box::new(ask)));
    }

    /// Something that is shown may have changed.
    pub(super) fn want(&mut self, look: Look) {
        if self.is_up() && self.looks.want(look) {
            self.look(look);
        }
    }

    fn look(&mut self, look: Look) {
        let ask = match look {
            Look::Status => Ask::Status,
            Look::Contacts => Ask::Contacts,
            Look::Conversations => Ask::Conversations,
            Look::Invitations => Ask::Invitations,
            Look::Files => Ask::Files,
            Look::Lines => match self.open_key() {
                Some(contact) => Ask::Lines {
                    contact,
                    before: None,
                },
                None => {
                    self.looks.answered(look);
                    return;
                }
            },
        };
        self.ask(ask);
    }

    /// The daemon is there: all is asked for, and what waits for it is handed over.
    fn up(&mut self) {
        let was_down = matches!(self.connection, Connection::Down(_));
        self.connection = Connection::Up;
        self.looks.forget();
        self.meter.forget();
        if let Some(open) = &mut self.open {
            open.came_back();
        }
        if was_down {
            self.say("The daemon is there again.");
        }
        for look in Look::ALL {
            self.want(look);
        }
        for ask in std::mem::take(&mut self.again) {
            self.ask(ask);
        }
        for pending in &mut self.pending {
            pending.waits = None;
        }
        self.hand_over();
    }

    fn down(&mut self, words: &str) {
        if !matches!(self.connection, Connection::Down(_)) {
            self.say(&format!(
                "There is no daemon: {words}. What you write is kept here meanwhile."
            ));
        }
        self.connection = Connection::Down(Safe::line(words));
        self.meter.forget();
        self.status = None;
    }

    fn tick(&mut self, now: Time) {
        self.want(Look::Status);
        // Others may have changed what no event tells of: a name, say.
        if now >= self.people_until {
            self.people_until = now + PEOPLE;
            self.want(Look::Contacts);
            self.want(Look::Invitations);
        }
        for look in Look::ALL {
            if self.looks.is_due(look) {
                self.want(look);
            }
        }
        self.tick_lines(now);
        for pending in &mut self.pending {
            if pending.waits.as_ref().is_some_and(|(_, at)| *at <= now) {
                pending.waits = None;
            }
        }
        self.hand_over();
    }

    /// Hands texts over, to each contact one after the other.
    pub(super) fn hand_over(&mut self) {
        if !self.is_up() {
            return;
        }
        let mut seen: Vec<&str> = Vec::new();
        let mut asks = Vec::new();
        for pending in &mut self.pending {
            if seen.contains(&pending.contact.as_str()) {
                continue;
            }
            if !pending.asked && pending.waits.is_none() {
                pending.asked = true;
                asks.push(Ask::Send {
                    contact: pending.contact.clone(),
                    text: pending.text.clone(),
                    life: pending.life,
                    key: pending.key.clone(),
                });
            }
            seen.push(&pending.contact);
        }
        for ask in asks {
            self.ask(ask);
        }
    }

    fn news(&mut self, news: News) {
        match news {
            News::Messages => self.messages(),
            News::Received { contact } => {
                if self.open_key().as_ref() != Some(&contact) {
                    let name = self.name(&contact);
                    self.mention(&format!("New from {}; /open {} shows it.", &*name, &*name));
                }
                self.messages();
            }
            News::Vanished { message } => {
                if let Some(open) = &mut self.open {
                    open.remove(|line| line.message == message);
                }
                self.messages();
            }
            News::Stored { message, after_ms } => {
                self.became(&message, State::Stored);
                let after = after_ms.map_or_else(String::new, |ms| {
                    format!(", {} after you wrote it", words::about(ms))
                });
                self.mention_text(&message, &format!("stored{after}"));
            }
            News::Hindered { message, reason } => {
                self.mention_text(&message, &format!("not stored yet: {reason}"));
            }
            News::Expired { message } => {
                self.became(&message, State::Expired);
                self.mention_text(
                    &message,
                    "expired: it did not reach the mailbox in its time",
                );
            }
            News::Delivered { message, read } => {
                let (state, how) = match read {
                    true => (State::Read, "read"),
                    false => (State::Delivered, "delivered"),
                };
                self.became(&message, state);
                self.mention_text(&message, how);
            }
            News::Met { contact } => {
                self.met.push(contact);
                self.looks_of_people();
            }
            News::Leaked { contact } => {
                self.looks_of_people();
                self.say(&format!(
                    "ALARM: the invitation by which {} came was seen by others, and it may be somebody else. Compare \
                     safety numbers (/number) before you write anything.",
                    &*self.name(&contact)
                ));
            }
            News::File(file) => self.file(*file),
            News::Alarm(text) => {
                self.want(Look::Status);
                let advice = words::advice(&text);
                let advice = advice.map_or_else(String::new, |it| {
                    format!(" {} What to do: {}", it.means, it.advice)
                });
                self.mention(&format!("ALARM: {text}.{advice}"));
            }
            News::AlarmOver(text) => {
                self.want(Look::Status);
                self.say(&format!("Over: {text}."));
            }
            News::Attached => {
                self.want(Look::Status);
                self.mention("Connected to the network.");
            }
            News::Detached(reason) => {
                self.want(Look::Status);
                self.mention(&format!(
                    "The connection to the network is gone ({reason}); it is made again by itself."
                ));
            }
            News::Opened => {
                self.want(Look::Status);
                self.mention("Invitations can be made, and whoever you invite is heard.");
            }
            News::Missed => {
                for look in Look::ALL {
                    self.want(look);
                }
            }
        }
    }

    fn messages(&mut self) {
        self.want(Look::Conversations);
        self.want(Look::Lines);
    }

    fn looks_of_people(&mut self) {
        for look in [Look::Contacts, Look::Invitations, Look::Conversations] {
            self.want(look);
        }
    }

    /// An own text of the open conversation is so far, also if the daemon keeps it no more.
    fn became(&mut self, message: &str, state: State) {
        if let Some(open) = &mut self.open {
            open.became(message, state);
        }
    }

    /// A text that was taken in this run is further than before.
    fn mention_text(&mut self, message: &str, how: &str) {
        self.messages();
        let Some(taken) = self.taken.get(message) else {
            return;
        };
        let name = self.name(&taken.contact);
        let begins = taken.begins.as_deref().unwrap_or_default();
        let words = format!("Your text to {} ({begins}): {how}.", &*name);
        self.mention(&words);
    }

    fn file(&mut self, file: FileStatus) {
        let known = self.files.iter().position(|it| it.file == file.file);
        let before = known.and_then(|at| self.files.get(at)).map(|it| it.state);
        if before != Some(file.state) {
            let name = self.name(&file.contact);
            let way = if file.incoming { "from" } else { "to" };
            let why = file.reason.as_ref();
            let why = why.map_or_else(String::new, |why| format!(" ({why})"));
            let words = format!(
                "File {way} {}: {}{why}: {}",
                &*name,
                words::file(&file),
                file.name
            );
            self.say(&words);
        }
        match (known, file.state) {
            (Some(at), FileState::Removed) => {
                self.files.remove(at);
            }
            (None, FileState::Removed) => {}
            (Some(at), _) => {
                if let Some(place) = self.files.get_mut(at) {
                    *place = file;
                }
            }
            (None, _) => self.files.insert(0, file),
        }
    }

    fn answer(&mut self, now: Time, ask: Ask, answer: Result<Reply, Trouble>) {
        let look = look_of(&ask);
        if let Ask::SendFile { .. } = ask {
            self.handing = self.handing.saturating_sub(1);
        }
        let reply = match answer {
            Ok(reply) => reply,
            Err(trouble) => {
                match look {
                    // It is of no use to ask the same again at once.
                    Some(look) if trouble.kind == TroubleKind::Refused => {
                        self.looks.settle(look);
                        self.complain(&trouble.words);
                    }
                    Some(look) => self.looks.failed(look),
                    None => self.failed(now, ask, &trouble),
                }
                return;
            }
        };
        if let Some(look) = look
            && self.looks.answered(look)
        {
            self.look(look);
        }
        match (ask, reply) {
            (_, Reply::Status(status)) => self.status(now, status),
            (_, Reply::Contacts(contacts)) => {
                self.contacts = contacts;
                self.loaded = true;
                self.arranged();
            }
            (_, Reply::Conversations(glances)) => self.glances(glances),
            (_, Reply::Invitations(invitations)) => {
                self.invitations = invitations;
                self.arranged();
            }
            (_, Reply::Files(files)) => {
                self.files = files;
                self.arranged();
            }
            (Ask::Lines { contact, before }, Reply::Lines(page)) => {
                self.page_of(&contact, before, page);
            }
            (
                Ask::Send { key, .. },
                Reply::Accepted {
                    message,
                    expected_stored_ms,
                },
            ) => {
                self.accepted(&key, message, expected_stored_ms);
            }
            (_, Reply::Invited(invitation)) => {
                self.want(Look::Invitations);
                let invitation = Box::new(invitation);
                let code = !self.linear;
                self.show(Page::Invited { invitation, code });
            }
            (Ask::Accept { .. }, Reply::Contact(contact)) => {
                let key = contact.key.clone();
                self.put(contact);
                self.looks_of_people();
                let name = self.name(&key);
                // Whoever types on, or opened somebody else, goes on with that.
                if self.accepting == Some(self.acts) {
                    self.open(&key);
                    self.say(&format!(
                        "Accepted: you can write to {} now. /number has what to compare.",
                        &*name
                    ));
                } else {
                    self.say(&format!("Accepted: /open {}", &*name));
                }
            }
            (_, Reply::Contact(contact)) => {
                let key = contact.key.clone();
                self.put(contact);
                self.looks_of_people();
                let standing = self.person(&key).map_or("", |it| it.standing());
                let words = format!("Changed: {} ({standing}).", &*self.name(&key));
                self.say(&words);
            }
            (_, Reply::File(file)) => {
                let left = file.expected_ms.map_or_else(String::new, |ms| {
                    format!(" It takes {}, whatever else you do.", words::about(ms))
                });
                let words = format!(
                    "Accepted, and on the disk here.{left} /files tells how far it is: {}",
                    file.name
                );
                self.say(&words);
                if !self.files.iter().any(|it| it.file == file.file) {
                    self.files.insert(0, file);
                }
            }
            (_, Reply::Saved(path)) => {
                self.say(&format!("Saved as {}.", path.display()));
            }
            (ask, _) => self.done(&ask),
        }
    }

    /// What has nothing else to tell is done.
    fn done(&mut self, ask: &Ask) {
        match ask {
            Ask::Read { .. } => self.messages(),
            Ask::Remove(key) => {
                let words = format!("Forgotten: {}.", &*self.name(key));
                if self.open_key().as_ref() == Some(key) {
                    self.close();
                }
                self.contacts.retain(|it| it.key != *key);
                self.arrange();
                self.looks_of_people();
                self.say(&words);
            }
            Ask::Forget(key) => {
                if let Some(open) = self.open.as_mut().filter(|open| open.contact == *key) {
                    open.clear();
                }
                self.messages();
                self.say("Deleted, but for what is on its way and what was not read.");
            }
            Ask::Revoke(id) => {
                self.want(Look::Invitations);
                self.say(&format!("The invitation {id} lets nobody in any more."));
            }
            Ask::Renew => self.say(
                "New invitations will lead to other mailboxes, some hours from now; those that there are go on for a while.",
            ),
            Ask::RemoveFile(_) => {
                self.want(Look::Files);
                self.say("The file is removed here.");
            }
            _ => {}
        }
    }

    fn failed(&mut self, now: Time, ask: Ask, trouble: &Trouble) {
        match ask {
            Ask::Send { key, .. } => self.not_taken(now, &key, trouble),
            // It is said again when the daemon is there, or something else comes.
            Ask::Read { .. } => {}
            Ask::Lines { contact, .. } => self.no_earlier(&contact, trouble),
            // What was written by hand is not lost.
            Ask::Accept { link, label } => {
                let line = Zeroizing::new(format!("/accept {} {label}", &*link));
                self.give_back(None, line.trim_end(), &trouble.words);
            }
            Ask::SendFile { .. } if trouble.kind == TroubleKind::Gone => {
                self.again.push(ask);
                self.say("The file is handed over once the daemon is there again.");
            }
            _ => self.say(&format!("Not done: {}.", trouble.words)),
        }
    }

    fn not_taken(&mut self, now: Time, key: &str, trouble: &Trouble) {
        let Some(at) = self.pending.iter().position(|it| it.key == key) else {
            return;
        };
        let wait = match trouble.kind {
            TroubleKind::Gone => SOON,
            TroubleKind::Busy => LATER,
            TroubleKind::Refused => {
                if let Some(Pending { contact, text, .. }) = self.pending.remove(at) {
                    self.give_back(Some(contact), &text, &trouble.words);
                }
                self.hand_over();
                return;
            }
        };
        let mut new = false;
        if let Some(pending) = self.pending.get_mut(at) {
            pending.asked = false;
            let words = Safe::line(&trouble.words);
            pending.waits = Some((words, now + wait));
            new = trouble.kind == TroubleKind::Busy;
        }
        if new {
            self.mention(&format!(
                "Not taken yet, and tried again: {}.",
                trouble.words
            ));
        }
    }

    /// What was written can't be done: it is in the line again if that is empty, and else stays beside it.
    fn give_back(&mut self, contact: Option<String>, text: &str, why: &str) {
        match self.linear {
            true => {
                self.say(&format!("Not done: {why}. What you wrote was:"));
                for row in wrapped(&Safe::text(text), usize::MAX) {
                    let row = Zeroizing::new(format!("| {row}"));
                    self.mention(&row);
                }
            }
            false => {
                let line = match contact {
                    Some(_) => command::as_typed(text),
                    None => Zeroizing::new(text.to_owned()),
                };
                self.returned.push_back(Returned {
                    contact: contact.clone(),
                    line,
                    shown: Safe::text(text),
                    why: Safe::line(why),
                });
                let of = contact.or_else(|| self.open_key());
                let is_first = self.returned_to(&of) == Some(self.returned.len() - 1);
                let is_back = is_first && self.take_back(&of);
                let words = match (of == self.open_key(), of) {
                    (true, _) if is_back => "What you wrote is in the line again.".to_owned(),
                    (false, Some(key)) => {
                        format!("What you wrote is kept: /open {}", &*self.name(&key))
                    }
                    _ => "What you wrote is kept: Up in the empty line takes it back.".to_owned(),
                };
                self.say(&format!("Not done: {why}. {words}"));
            }
        }
    }

    /// Takes what was refused first into the line of that conversation, if that is empty. Whether there was some.
    pub(super) fn take_back(&mut self, of: &Option<String>) -> bool {
        let editor = self.editors.entry(of.clone());
        if !editor.or_insert_with(Editor::for_text).is_empty() {
            return false;
        }
        let Some(at) = self.returned_to(of) else {
            return false;
        };
        let Some(returned) = self.returned.remove(at) else {
            return false;
        };
        let editor = self.editors.get_mut(of);
        let is_back = editor.is_some_and(|editor| editor.set(&returned.line).is_ok());
        if !is_back {
            self.returned.insert(at, returned);
        }
        is_back
    }

    fn accepted(&mut self, key: &str, message: String, expected_ms: u64) {
        if let Some(at) = self.pending.iter().position(|it| it.key == key)
            && let Some(pending) = self.pending.remove(at)
        {
            let begins = self.linear.then(|| beginning(&pending.shown));
            let contact = pending.contact;
            self.mention(&format!(
                "Taken: it is stored at {}'s mailbox in {}.",
                &*self.name(&contact),
                words::about(expected_ms)
            ));
            if self.taken.len() >= MOST_SENT {
                self.taken.pop_first();
            }
            let taken = Taken {
                contact,
                expected_ms,
                begins,
            };
            self.taken.insert(message, taken);
        }
        self.hand_over();
        self.messages();
    }

    fn status(&mut self, now: Time, status: Box<Status>) {
        self.meter.look(now, &status.counters);
        self.status = Some(status);
    }

    fn glances(&mut self, glances: Vec<Glance>) {
        self.glances = glances;
        self.arranged();
    }

    /// It is known who there is, perhaps for the first time.
    fn arranged(&mut self) {
        self.arrange();
        if self.loaded
            && let Some(wanted) = self.wanted.take()
        {
            match self.find(&wanted) {
                Ok(key) => self.open(&key),
                Err(words) => self.say(&format!("{words}.")),
            }
        }
        let known = |key: &String| self.people.iter().any(|it| it.contact.key == *key);
        let (known, met) = std::mem::take(&mut self.met).into_iter().partition(known);
        self.met = met;
        let known: Vec<String> = known;
        for key in known {
            self.say(&format!(
                "Somebody has come by your invitation: {}. /number has what to compare.",
                &*self.name(&key)
            ));
        }
        if self.looks.are_known() && !std::mem::replace(&mut self.greeted, true) {
            let new: Vec<String> = self
                .people
                .iter()
                .filter(|it| it.unread > 0)
                .map(|it| {
                    format!(
                        "{} from {}",
                        words::count(it.unread, "new text", "new texts"),
                        &*it.name
                    )
                })
                .collect();
            for new in new {
                self.mention(&format!("There is {new}."));
            }
        }
    }

    fn put(&mut self, contact: Contact) {
        match self.contacts.iter_mut().find(|it| it.key == contact.key) {
            Some(known) => *known = contact,
            None => self.contacts.push(contact),
        }
        self.arrange();
    }

    /// Texts and files that the daemon has not taken.
    pub(super) fn untaken(&self) -> usize {
        self.pending.len() + self.files_to_hand_over()
    }

    /// Something is on its way to the daemon, or will be.
    pub(super) fn waits(&self) -> bool {
        !self.pending.is_empty() || !self.again.is_empty() || !self.is_up()
    }

    /// Whether a line that is typed now can be answered: all that commands tell of is known, or can't be.
    pub(super) fn takes_lines(&self) -> bool {
        self.looks.are_known() || matches!(self.connection, Connection::Down(_))
    }
}

/// What is shown that this asks for.
fn look_of(ask: &Ask) -> Option<Look> {
    Some(match ask {
        Ask::Status => Look::Status,
        Ask::Contacts => Look::Contacts,
        Ask::Conversations => Look::Conversations,
        Ask::Invitations => Look::Invitations,
        Ask::Files => Look::Files,
        Ask::Lines { before: None, .. } => Look::Lines,
        _ => return None,
    })
}

/// So much of a text that one knows which it is.
fn beginning(text: &str) -> Safe {
    let line = text.split('\n').next().unwrap_or_default();
    let row = wrapped(line, BEGINS);
    let begins = row.first().copied().unwrap_or_default();
    match width(begins) < width(text) || text.contains('\n') {
        true => Safe::line(&format!("{begins}…")),
        false => Safe::line(begins),
    }
}
