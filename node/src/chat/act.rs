//! What keys and typed lines do.

use shoal_proto::Span;
use zeroize::Zeroizing;

use super::command::{Command, Typed, typed};
use super::editor::TooLong;
use super::model::{Ask, Confirm, Effect, Focus, Key, MOST_PENDING, Model, Page, Pending};
use super::safe::Safe;
use super::words;
use crate::control::protocol::{ChangeOfContact, Invite, OwnInvitation};

/// How far a key moves that moves far, where it is not known how many rows there are.
const FAR: usize = 10;
/// What takes a while to be asked of nobody.
const NOBODY: &str = "No conversation is open: choose who to write to first (/open NAME)";

impl Model {
    pub(super) fn key(&mut self, key: Key) {
        if let Some(confirm) = &self.confirm {
            let quits = matches!(confirm, Confirm::Quit);
            match key {
                Key::Char('y' | 'Y') => self.confirmed(),
                Key::Ctrl('c' | 'q') if quits => self.confirmed(),
                _ => {
                    self.confirm = None;
                    self.say("Not done.");
                }
            }
            return;
        }
        match key {
            Key::Ctrl('c' | 'q') => self.quit(),
            Key::Ctrl('z') => self.effects.push_back(Effect::Suspend),
            Key::Ctrl('l') => self.effects.push_back(Effect::Redraw),
            Key::F(1) => self.toggle(Page::Help),
            Key::F(2) => self.begin("/invite "),
            Key::F(3) => self.begin("/accept "),
            Key::F(4) => self.done_or_said(Command::Number),
            Key::F(5) => self.toggle(Page::Files),
            Key::F(6) => self.toggle(Page::State),
            // In the line it is a text as any other.
            Key::Char('?') if self.focus == Focus::People && self.nothing_written() => {
                self.toggle(Page::Help);
            }
            Key::Esc => self.back(),
            Key::Tab => {
                self.page = None;
                self.focus = match self.focus {
                    Focus::People => Focus::Text,
                    Focus::Text => Focus::People,
                };
            }
            Key::PageUp => self.scroll(self.far(), true),
            Key::PageDown => self.scroll(self.far(), false),
            Key::Up if self.takes_back() => {}
            Key::Up | Key::Down if self.page.is_some() || self.focus == Focus::Text => {
                self.scroll(1, key == Key::Up);
            }
            Key::Up | Key::Down | Key::Home | Key::End if self.focus == Focus::People => {
                self.select(key);
            }
            // Who chooses among people sends nothing.
            Key::Enter if self.focus == Focus::People && self.page.is_none() => {
                if let Some(key) = self.selected.clone() {
                    self.notice = None;
                    self.open(&key);
                }
            }
            Key::Enter if self.focus == Focus::People || self.nothing_written() => {
                self.page = None;
            }
            Key::Enter => self.submit(),
            key => self.edit(key),
        }
    }

    /// What was refused is in the line again, which was empty.
    fn takes_back(&mut self) -> bool {
        let open = self.open_key();
        self.page.is_none() && self.focus == Focus::Text && self.take_back(&open)
    }

    pub(super) fn nothing_written(&self) -> bool {
        self.written().is_none_or(super::editor::Editor::is_empty)
    }

    const fn far(&self) -> usize {
        match self.seen.rows {
            0 => FAR,
            rows => rows,
        }
    }

    fn edit(&mut self, key: Key) {
        // Whoever types means the line.
        self.focus = Focus::Text;
        let editor = self.editor();
        let fits = match key {
            Key::Char(c) => editor.insert(c.encode_utf8(&mut [0; 4])),
            Key::NewLine | Key::Ctrl('j') => editor.insert("\n"),
            other => {
                match other {
                    Key::Backspace | Key::Ctrl('h') => editor.backspace(),
                    Key::Delete | Key::Ctrl('d') => editor.delete(),
                    Key::Left | Key::Ctrl('b') => editor.left(),
                    Key::Right | Key::Ctrl('f') => editor.right(),
                    Key::Home | Key::Ctrl('a') => editor.home(),
                    Key::End | Key::Ctrl('e') => editor.end(),
                    Key::Ctrl('w') => editor.remove_word(),
                    Key::Ctrl('u') => editor.remove_to_start(),
                    _ => {}
                }
                Ok(())
            }
        };
        self.fits(fits);
    }

    fn fits(&mut self, fits: Result<(), TooLong>) {
        if fits.is_err() {
            self.say("That is too long for one message, and was not put in.");
        }
    }

    pub(super) fn pasted(&mut self, text: &str) {
        self.focus = Focus::Text;
        // Terminals paste the ends of lines as if Enter was pressed.
        let mut clean = Zeroizing::new(String::with_capacity(text.len()));
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '\r' if rest.peek() == Some(&'\n') => {}
                '\r' => clean.push('\n'),
                c => clean.push(c),
            }
        }
        let fits = self.editor().insert(clean.trim_end_matches('\n'));
        self.fits(fits);
    }

    /// Puts the beginning of a command into the line, before what is written.
    fn begin(&mut self, command: &str) {
        self.focus = Focus::Text;
        if self.nothing_written() {
            let fits = self.editor().set(command);
            self.fits(fits);
        } else {
            self.say(&format!(
                "Send or delete what is in the line first; then type {command}"
            ));
        }
    }

    fn toggle(&mut self, page: Page) {
        self.page = match self.page.take() {
            Some((open, _)) if open == page => None,
            _ => Some((page, 0)),
        };
    }

    fn back(&mut self) {
        self.notice = None;
        if self.page.take().is_none() {
            self.focus = Focus::People;
        }
    }

    fn select(&mut self, key: Key) {
        let selected = |it: &super::model::Person| self.selected.as_ref() == Some(&it.contact.key);
        let at = self.people.iter().position(selected).unwrap_or(0);
        let last = self.people.len().saturating_sub(1);
        let at = match key {
            Key::Up => at.saturating_sub(1),
            Key::Down => (at + 1).min(last),
            Key::Home => 0,
            _ => last,
        };
        self.selected = self.people.get(at).map(|it| it.contact.key.clone());
    }

    fn scroll(&mut self, rows: usize, up: bool) {
        let seen = self.seen;
        // A page is read from its beginning, and a conversation from its end.
        if let Some((_, from_start)) = &mut self.page {
            *from_start = match up {
                true => from_start.saturating_sub(rows),
                false => (*from_start + rows).min(seen.most_page_scroll),
            };
        } else if let Some(open) = &mut self.open {
            open.scroll = match up {
                true => (open.scroll + rows).min(seen.most_scroll),
                false => open.scroll.saturating_sub(rows),
            };
            open.stays = None;
        }
    }

    /// A line in the linear mode.
    pub(super) fn line(&mut self, line: &str) {
        if self.confirm.is_some() {
            match line.trim() {
                "yes" | "y" => self.confirmed(),
                _ => {
                    self.confirm = None;
                    self.say("Not done.");
                }
            }
            return;
        }
        if line.trim().is_empty() {
            return;
        }
        match typed(line) {
            Typed::Text(text) => match self.send(&text) {
                Ok(()) => {}
                Err(words) => self.say(&format!("Not sent: {words}.")),
            },
            Typed::Command(command) => self.done_or_said(command),
            Typed::Wrong(words) => self.say(&format!("{words}.")),
        }
    }

    fn submit(&mut self) {
        self.notice = None;
        let line = self.editor().take();
        if line.trim().is_empty() {
            return;
        }
        let done = match typed(&line) {
            Typed::Text(text) => self.send(&text),
            Typed::Command(command) => self.act(command),
            Typed::Wrong(words) => Err(words),
        };
        if let Err(words) = done {
            let fits = self.editor().set(&line);
            self.fits(fits);
            self.say(&format!("{words}."));
        }
    }

    fn done_or_said(&mut self, command: Command) {
        if let Err(words) = self.act(command) {
            self.say(&format!("{words}."));
        }
    }

    fn send(&mut self, text: &str) -> Result<(), String> {
        let contact = self.open_key().ok_or(NOBODY)?;
        let most = shoal_client::MAX_TEXT_BYTES;
        if text.len() > most {
            return Err(format!(
                "The text has {} bytes, and a message has {most} at most",
                text.len()
            ));
        }
        if self.pending.len() + self.returned.len() >= MOST_PENDING {
            return Err(
                "Too many texts wait for the daemon to take them, or were refused: wait for these, or take them back".to_owned(),
            );
        }
        let key = self.draw_key();
        self.pending.push_back(Pending {
            life: self.lives.get(&contact).copied(),
            text: Zeroizing::new(text.to_owned()),
            shown: Safe::text(text),
            contact,
            key,
            asked: false,
            waits: None,
        });
        if let Some(open) = &mut self.open {
            open.scroll = 0;
            open.stays = None;
            open.first_new = None;
        }
        self.page = None;
        if !self.is_up() {
            self.mention("Kept until the daemon is there again.");
        }
        self.hand_over();
        Ok(())
    }

    fn contact(&self) -> Result<String, String> {
        self.open_key().ok_or_else(|| NOBODY.to_owned())
    }

    /// Does what a command says, or tells why not.
    fn act(&mut self, command: Command) -> Result<(), String> {
        match command {
            Command::Help => self.show(Page::Help),
            Command::People => match self.linear {
                true => self.show(Page::People),
                false => {
                    self.page = None;
                    self.focus = Focus::People;
                }
            },
            Command::Open(name) => {
                let key = self.find(&name)?;
                self.open(&key);
            }
            Command::Close => {
                self.contact()?;
                self.close();
                self.mention("No conversation is open.");
            }
            Command::More => {
                self.contact()?;
                if !self.ask_earlier() {
                    let earlier = self.open.as_ref().is_some_and(|open| open.earlier);
                    self.say(match earlier {
                        true => "Earlier texts can't be had now: try again in a moment.",
                        false => "There are no earlier texts here.",
                    });
                }
            }
            Command::Files => self.show(Page::Files),
            Command::Invitations => self.show(Page::Invitations),
            Command::State => self.show(Page::State),
            Command::Number => {
                let key = self.contact()?;
                self.show(Page::Contact(key));
            }
            Command::Qr => {
                let latest = |it: &&OwnInvitation| it.made_at_us;
                let invitation = self.invitations.iter().max_by_key(latest).cloned();
                let invitation =
                    invitation.ok_or("There is no invitation: /invite NAME makes one")?;
                self.show(Page::Invited {
                    invitation: Box::new(invitation),
                    code: true,
                });
            }
            Command::Life(life) => {
                let key = self.contact()?;
                let name = self.name(&key);
                match life {
                    Some(life) => {
                        self.lives.insert(key, life);
                        self.say(&format!(
                            "What you write to {} from now on vanishes after {}, at both ends, read or not.",
                            &*name,
                            words::life(life)
                        ));
                    }
                    None => {
                        self.lives.remove(&key);
                        self.say(&format!("What you write to {} stays.", &*name));
                    }
                }
            }
            Command::Verify(digits) => self.verify(&digits)?,
            Command::Remove => {
                let key = self.contact()?;
                self.confirm(Confirm::Remove(key));
            }
            Command::Forget => {
                let key = self.contact()?;
                self.confirm(Confirm::Forget(key));
            }
            Command::Quit => self.quit(),
            command => {
                let ask = self.asked_by(command)?;
                if !self.is_up() {
                    return Err("The daemon is not there: try again when it is".to_owned());
                }
                if self.returned.len() >= MOST_PENDING {
                    return Err("Too much was refused: take it back first".to_owned());
                }
                self.page = None;
                self.ask(ask);
            }
        }
        Ok(())
    }

    /// What is asked of the daemon by a command that does nothing else.
    fn asked_by(&mut self, command: Command) -> Result<Ask, String> {
        let contact = self.contact();
        let change = |change| -> Result<Ask, String> {
            let contact = contact.clone()?;
            Ok(Ask::Change { contact, change })
        };
        let invite = |label, once| {
            Ask::Invite(Invite {
                label,
                once,
                ..Invite::default()
            })
        };
        Ok(match command {
            Command::Invite(label) => invite(label, true),
            Command::InviteMany(label) => invite(label, false),
            Command::Revoke(id) => Ask::Revoke(id),
            Command::Renew => Ask::Renew,
            Command::Accept { link, label } => Ask::Accept {
                link: Zeroizing::new(link),
                label,
            },
            Command::Unverify => change(ChangeOfContact {
                verified: Some(false),
                ..ChangeOfContact::default()
            })?,
            Command::Rename(label) => change(ChangeOfContact {
                label: Some(label),
                ..ChangeOfContact::default()
            })?,
            Command::Block(blocked) => change(ChangeOfContact {
                blocked: Some(blocked),
                ..ChangeOfContact::default()
            })?,
            Command::Receipts(reads) => change(ChangeOfContact {
                reads: Some(reads),
                ..ChangeOfContact::default()
            })?,
            Command::SendFile(path) => Ask::SendFile {
                contact: self.contact()?,
                path: path.into(),
                key: self.draw_key(),
            },
            Command::Save { id, path } => {
                let file = self.file_called(&id)?;
                Ask::SaveFile {
                    file: file.file.clone(),
                    name: file.name.clone(),
                    path: path.map(Into::into),
                }
            }
            Command::RemoveFile(id) => Ask::RemoveFile(self.file_called(&id)?.file.clone()),
            _ => return Err("That can't be asked of the daemon".to_owned()),
        })
    }

    fn file_called(&self, id: &str) -> Result<&crate::control::protocol::FileStatus, String> {
        let mut found = self.files.iter().filter(|it| it.file.starts_with(id));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(format!("There is no file {id}: /files has them")),
            (Some(_), Some(_)) => Err(format!(
                "{id} begins the ids of several files: write more of it"
            )),
        }
    }

    /// Compares what the other end sees with what is seen here.
    fn verify(&mut self, number: &str) -> Result<(), String> {
        let contact = self.contact()?;
        let own = self
            .person(&contact)
            .map(|it| it.contact.safety_number.clone());
        let own = own.ok_or("Nothing is known of your contact yet: wait a moment")?;
        let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
        if digits(number) != digits(&own)
            || !number
                .chars()
                .all(|c| c.is_ascii_digit() || c.is_whitespace())
        {
            return Err(format!(
                "The numbers differ: it is another contact's, or there is a slip in it, or somebody stands between you. \
                 Here it is {own}. Nothing is changed"
            ));
        }
        if !self.is_up() {
            return Err("The daemon is not there: try again when it is".to_owned());
        }
        let change = ChangeOfContact {
            verified: Some(true),
            ..ChangeOfContact::default()
        };
        self.page = None;
        self.ask(Ask::Change { contact, change });
        Ok(())
    }

    fn confirm(&mut self, what: Confirm) {
        self.confirm = Some(what);
        if self.linear
            && let Some(question) = self.question()
        {
            self.say(&format!("{question} Type yes, or anything else for no."));
        }
    }

    fn confirmed(&mut self) {
        let ask = match self.confirm.take() {
            Some(Confirm::Remove(key)) => Ask::Remove(key),
            Some(Confirm::Forget(key)) => Ask::Forget(key),
            Some(Confirm::Quit) => {
                self.effects.push_back(Effect::Quit);
                return;
            }
            None => return,
        };
        match self.is_up() {
            true => self.ask(ask),
            false => self.say("Not done: the daemon is not there."),
        }
    }

    fn quit(&mut self) {
        match self.has_unsent() || self.files_to_hand_over() > 0 {
            true => self.confirm(Confirm::Quit),
            false => self.effects.push_back(Effect::Quit),
        }
    }

    /// How long what is written now lives, if it ends.
    pub(super) fn life_of(&self, contact: &str) -> Option<Span> {
        self.lives.get(contact).copied()
    }
}
