//! What happens to the chat, and what follows from it.

use shoal_proto::{Span, Time};
use zeroize::Zeroizing;

use super::editor::Editor;
use super::looks::Look;
use super::model::{
    Ask, Connection, Effect, Focus, Glance, Input, Line, Lines, MOST_LINES, MOST_SENT, Model, News,
    Open, Page, Pending, Reply, Seen, State, Taken, Told, Trouble, TroubleKind,
};
use super::safe::{Safe, width, wrapped};
use super::words;
use crate::control::protocol::{Contact, FileState, FileStatus, Status};

/// When a text is tried again that the daemon could not take.
const SOON: Span = Span::from_secs(2);
const LATER: Span = Span::from_secs(5);
/// How often it is looked who there is.
const PEOPLE: Span = Span::from_secs(10);
/// Lines of a conversation that are told when it is opened in the linear mode.
const FIRST_TOLD: usize = 10;
/// Columns of a text's beginning by which it is named.
const BEGINS: usize = 24;

impl Model {
    /// Something happened.
    pub(super) fn handle_input(&mut self, now: Time, input: Input) {
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
    fn complain(&mut self, words: &str) {
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
            open.read = None;
            open.asked_earlier = false;
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
        if let Some(open) = &mut self.open {
            open.lines
                .retain(|line| line.expires.is_none_or(|at| at > now));
        }
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
            News::Stored { message, after_ms } => {
                let after = after_ms.map_or_else(String::new, |ms| {
                    format!(", {} after you wrote it", words::about(ms))
                });
                self.mention_text(&message, &format!("stored{after}"));
            }
            News::Hindered { message, reason } => {
                self.mention_text(&message, &format!("not stored yet: {reason}"));
            }
            News::Expired { message } => {
                self.mention_text(
                    &message,
                    "expired: it did not reach the mailbox in its time",
                );
            }
            News::Delivered { message, read } => {
                self.mention_text(&message, if read { "read" } else { "delivered" });
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
                // What is being written is for whom it was begun.
                let stays = self.open.is_some() && !self.nothing_written();
                if !stays {
                    self.open(&key);
                }
                let name = self.name(&key);
                let how = if stays {
                    format!(": /open {}", &*name)
                } else {
                    String::new()
                };
                self.say(&format!(
                    "Accepted: you can write to {} now{how}. /number has what to compare.",
                    &*name
                ));
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
                    open.lines.clear();
                    open.earlier = false;
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
            Ask::Lines { .. } => {
                if let Some(open) = &mut self.open {
                    open.asked_earlier = false;
                }
            }
            // What was written by hand is not lost.
            Ask::Accept { link, label } => {
                let line = format!("/accept {} {label}", &*link);
                self.give_back(None, &line, &trouble.words);
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
                    // As it would be typed again: it is no command.
                    let text = match text.starts_with('/') {
                        true => Zeroizing::new(format!("/{}", *text)),
                        false => text,
                    };
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

    /// What was written can't be done: it is in the line again.
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
                let key = contact.or_else(|| self.open_key());
                let editor = self.editors.entry(key);
                editor.or_insert_with(Editor::for_text).give_back(text);
                self.say(&format!(
                    "Not done: {why}. What you wrote is in the line again."
                ));
            }
        }
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

    /// Opens a conversation.
    pub(super) fn open(&mut self, key: &str) {
        self.page = None;
        self.selected = Some(key.to_owned());
        self.focus = Focus::Text;
        if self.open_key().as_deref() == Some(key) {
            return;
        }
        // What was written while nobody was open is for whoever is opened.
        let loose = self.editors.remove(&None);
        self.open = Some(Open {
            contact: key.to_owned(),
            lines: Vec::new(),
            earlier: false,
            asked_earlier: false,
            loaded: false,
            scroll: 0,
            stays: None,
            first_new: None,
            read: None,
            told: None,
        });
        if let Some(loose) = loose.filter(|it| !it.is_empty()) {
            self.editor().give_back(loose.text());
        }
        self.want(Look::Lines);
    }

    pub(super) fn close(&mut self) {
        self.open = None;
        self.focus = Focus::People;
    }

    /// Lines of a conversation have come.
    fn page_of(&mut self, contact: &str, before: Option<u64>, page: Lines) {
        let linear = self.linear;
        let Some(open) = self.open.as_mut().filter(|open| open.contact == contact) else {
            return;
        };
        match before {
            Some(before) => {
                open.asked_earlier = false;
                if open.lines.first().is_none_or(|it| it.number != before) {
                    return; // Others have come or gone meanwhile: it is asked again.
                }
                let earlier = page.lines.iter().map(|it| it.number);
                let told: Vec<_> = earlier.filter(|it| *it < before).collect();
                open.lines
                    .splice(0..0, page.lines.into_iter().filter(|it| it.number < before));
                open.earlier = page.earlier;
                if linear {
                    self.told.extend(told.into_iter().map(Told::Line));
                }
                return;
            }
            None => merge(open, page),
        }
        let new = |line: &&Line| !line.own && line.state == State::Unread;
        if open.first_new.is_none() {
            open.first_new = open.lines.iter().find(new).map(|it| it.number);
        }
        let first = !std::mem::replace(&mut open.loaded, true);
        if linear {
            self.tell_lines(first);
        }
    }

    /// Tells what has come since lines were told last; of own ones only when a conversation is opened.
    fn tell_lines(&mut self, first: bool) {
        let Some(open) = &mut self.open else { return };
        let fresh = open.lines.iter().filter(|it| Some(it.number) > open.told);
        let fresh: Vec<(u64, bool)> = fresh.map(|it| (it.number, it.own)).collect();
        let new = open
            .lines
            .iter()
            .filter(|it| !it.own && it.state == State::Unread)
            .count();
        let skip = match first {
            true => fresh.len().saturating_sub(FIRST_TOLD.max(new)),
            false => 0,
        };
        let earlier = skip > 0 || open.earlier;
        if let Some((last, _)) = fresh.last() {
            open.told = Some(*last);
        }
        if first {
            let name = self.name(&self.open_key().unwrap_or_default());
            let standing = self
                .open_key()
                .and_then(|key| self.person(&key).map(|it| it.standing()));
            self.mention(&format!(
                "Conversation with {} ({}).{}",
                &*name,
                standing.unwrap_or("not known"),
                if earlier {
                    " /more tells earlier texts."
                } else {
                    ""
                }
            ));
            if fresh.is_empty() {
                self.mention("Nothing was said yet. Type a line to send it.");
            }
        }
        let told = fresh.into_iter().skip(skip);
        let told = told.filter(|(_, own)| first || !own);
        self.told.extend(told.map(|(number, _)| Told::Line(number)));
        if first
            && skip > 0
            && let Some(open) = &mut self.open
        {
            // Those that were left out are told by /more.
            open.lines.drain(..skip);
            open.earlier = true;
        }
    }

    /// Asks for lines before those that are here.
    pub(super) fn ask_earlier(&mut self) -> bool {
        let up = self.is_up();
        let Some(open) = &mut self.open else {
            return false;
        };
        let Some(first) = open.lines.first() else {
            return false;
        };
        if !up || !open.earlier || open.asked_earlier || open.lines.len() >= MOST_LINES {
            return false;
        }
        open.asked_earlier = true;
        let ask = Ask::Lines {
            contact: open.contact.clone(),
            before: Some(first.number),
        };
        self.ask(ask);
        true
    }

    /// Texts that the daemon has not taken.
    pub(super) fn untaken(&self) -> usize {
        self.pending.len()
    }

    /// Something is on its way to the daemon, or will be.
    pub(super) fn waits(&self) -> bool {
        !self.pending.is_empty() || !self.again.is_empty() || !self.is_up()
    }

    /// Whether a line that is typed now can be answered: all that commands tell of is known, or can't be.
    pub(super) fn takes_lines(&self) -> bool {
        self.looks.are_known() || matches!(self.connection, Connection::Down(_))
    }

    /// It was shown, and so much of it was seen.
    pub(super) fn handle_seen(&mut self, seen: Seen) {
        self.seen = seen;
        if let Some((_, scroll)) = &mut self.page {
            *scroll = (*scroll).min(seen.most_page_scroll);
        }
        let up = self.is_up();
        let Some(open) = &mut self.open else { return };
        open.scroll = seen.scroll;
        open.stays = seen.below.filter(|_| seen.scroll > 0);
        if seen.newest && up {
            let unread = |it: &&Line| !it.own && it.state == State::Unread;
            let newest = open.lines.iter().rev().find(unread).map(|it| it.number);
            if let Some(up_to) = newest.filter(|number| Some(*number) > open.read) {
                open.read = Some(up_to);
                let contact = open.contact.clone();
                self.ask(Ask::Read { contact, up_to });
            }
        }
        if seen.oldest {
            self.ask_earlier();
        }
    }

    /// Shows something else than conversations.
    pub(super) fn show(&mut self, page: Page) {
        match self.linear {
            true => self.told.push_back(Told::Page(page)),
            false => self.page = Some((page, 0)),
        }
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

/// Takes the latest lines up. Those before them stay if nothing is missing between: also those that the daemon does not keep
/// once they were read, as long as the conversation is open.
fn merge(open: &mut Open, page: Lines) {
    let Some(first) = page.lines.first().map(|it| it.number) else {
        open.earlier = false;
        let unread = open.lines.iter_mut().filter(|it| it.state == State::Unread);
        unread.for_each(|it| it.state = State::Read);
        return;
    };
    let reaches = !page.earlier || open.lines.iter().any(|it| it.number >= first);
    let was_first = open.lines.first().map(|it| it.number);
    match reaches {
        true => open.lines.retain(|it| it.number < first),
        false => open.lines.clear(),
    }
    if open.lines.is_empty() {
        open.earlier = page.earlier;
    }
    let skipped = was_first.filter(|was| *was > first);
    let from = skipped.unwrap_or(first);
    let before = page.lines.len();
    let kept = page.lines.into_iter().filter(|it| it.number >= from);
    open.lines.extend(kept);
    if skipped.is_some() && open.lines.len() < before {
        open.earlier = true;
    }
    let over = open.lines.len().saturating_sub(MOST_LINES);
    if over > 0 {
        open.lines.drain(..over);
        open.earlier = true;
    }
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
