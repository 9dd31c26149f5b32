//! The core and its two views, without any daemon: what is asked, what is shown, and what cannot be shown.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod lines;
mod picture;
mod typing;

use proptest::prelude::*;
use ratatui::backend::{CrosstermBackend, TestBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Color;
use ratatui::{Terminal, TerminalOptions, Viewport};
use shoal_proto::{Span, Time};
use zeroize::Zeroizing;

use super::linear;
use super::model::{
    Ask, Effect, Glance, Input, Key, Line, Lines, Model, News, Page, Reply, Seen, State, Trouble,
    TroubleKind,
};
use super::safe::Safe;
use super::screen::{Look, draw};
use super::terminal::Steady;
use crate::control::protocol::{Contact, FileState, FileStatus, OwnInvitation, Status};

const NOW: Time = Time::from_micros(1_796_060_539_000_000);
const NUMBER: &str = "01234 56789";

fn contact(key: &str, label: &str) -> Contact {
    Contact {
        key: key.to_owned(),
        label: label.to_owned(),
        known: true,
        verified: false,
        blocked: false,
        reads: false,
        since_us: NOW.as_micros(),
        needs_invitation: false,
        safety_number: NUMBER.to_owned(),
    }
}

fn line(number: u64, own: bool, text: &str, state: State) -> Line {
    Line {
        number,
        place: number,
        message: format!("m{number}"),
        own,
        text: Safe::text(text),
        at: NOW,
        state,
        gap_before: 0,
        expires: None,
        hindrance: None,
    }
}

/// A chat whose daemon is played by hand.
struct Play {
    model: Model,
    now: Time,
    /// What the daemon says of itself.
    status: Status,
    contacts: Vec<Contact>,
    unread: Vec<(String, u64)>,
    /// The open conversation's lines, made anew for each answer.
    lines: Vec<(u64, bool, String, State)>,
    /// It keeps nothing that was read.
    forgets: bool,
    /// Since when it runs: other texts have the same numbers.
    run: u64,
    /// What changes something, as it was asked.
    done: Vec<Ask>,
}

impl Play {
    /// With Bob and Carol, all of whom is known.
    fn new(linear: bool) -> Self {
        let mut play = Self {
            model: Model::new(linear, "run".to_owned(), None),
            now: NOW,
            status: Status {
                online: true,
                open: true,
                network: "demo".to_owned(),
                profile: "default".to_owned(),
                expected_stored_ms: 2100,
                ..Status::default()
            },
            contacts: vec![
                contact("bobskey1234", "Bob"),
                contact("carolskey12", "Carol"),
            ],
            unread: Vec::new(),
            lines: Vec::new(),
            forgets: false,
            run: 0,
            done: Vec::new(),
        };
        play.input(Input::Up);
        play
    }

    /// Something happens, and what is only looked at is answered until all is quiet.
    fn input(&mut self, input: Input) {
        self.model.handle_input(self.now, input);
        self.answer_looks();
    }

    fn answer_looks(&mut self) {
        while let Some(effect) = self.model.poll_effect() {
            let Effect::Ask(ask) = effect else {
                continue;
            };
            let reply = match &*ask {
                Ask::Status => Reply::Status(Box::new(self.status.clone())),
                Ask::Contacts => Reply::Contacts(self.contacts.clone()),
                Ask::Conversations => {
                    let glance = |(contact, unread): &(String, u64)| Glance {
                        contact: contact.clone(),
                        unread: *unread,
                    };
                    Reply::Conversations(self.unread.iter().map(glance).collect())
                }
                Ask::Invitations => Reply::Invitations(Vec::new()),
                Ask::Files => Reply::Files(Vec::new()),
                Ask::Lines { before, .. } => {
                    let run = self.run;
                    let made = |it: &(u64, bool, String, State)| {
                        let mut line = line(it.0, it.1, &it.2, it.3);
                        if run > 0 {
                            line.message.push_str(&format!("-{run}"));
                        }
                        line
                    };
                    let most = 50;
                    let all = self
                        .lines
                        .iter()
                        .filter(|it| before.is_none_or(|at| it.0 < at));
                    let all: Vec<Line> = all.map(made).collect();
                    let skip = all.len().saturating_sub(most);
                    Reply::Lines(Lines {
                        lines: all.into_iter().skip(skip).collect(),
                        earlier: skip > 0,
                    })
                }
                Ask::Read { up_to, .. } if self.forgets => {
                    self.done.push(Ask::clone(&ask));
                    self.lines.retain(|it| it.1 || it.0 > *up_to);
                    self.unread.clear();
                    Reply::Done
                }
                _ => {
                    self.done.push(Ask::clone(&ask));
                    continue;
                }
            };
            self.model
                .handle_input(self.now, Input::Answer(ask, Ok(reply)));
        }
    }

    fn answer(&mut self, ask: Ask, answer: Result<Reply, Trouble>) {
        self.input(Input::Answer(Box::new(ask), answer));
    }

    fn keys(&mut self, text: &str) {
        for c in text.chars() {
            self.input(Input::Key(Key::Char(c)));
        }
    }

    fn key(&mut self, key: Key) {
        self.input(Input::Key(key));
    }

    fn typed(&mut self, line: &str) {
        self.keys(line);
        self.key(Key::Enter);
    }

    fn open_bob(&mut self) {
        self.typed("/open Bob");
        assert_eq!(self.model.open_key().as_deref(), Some("bobskey1234"));
    }

    /// The one thing that was asked since.
    fn one(&mut self) -> Ask {
        assert_eq!(self.done.len(), 1);
        self.done.remove(0)
    }

    /// As it is shown, and seen.
    fn shown(&mut self, columns: u16, rows: u16) -> String {
        let (cells, seen, _) = on_screen(&self.model, self.now, columns, rows, true);
        self.model.handle_seen(seen);
        self.answer_looks();
        rows_of(&cells).join("\n")
    }

    /// What the linear mode says.
    fn said(&mut self) -> Vec<String> {
        let lines = linear::lines(&mut self.model, Some(40));
        self.answer_looks();
        lines.iter().map(|line| line.to_string()).collect()
    }
}

fn on_screen(
    model: &Model,
    now: Time,
    columns: u16,
    rows: u16,
    colour: bool,
) -> (Buffer, Seen, Option<Position>) {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let mut told = None;
    let drawn = terminal.draw(|frame| {
        told = Some(draw(model, now, Look { colour }, frame.buffer_mut()));
    });
    drawn.unwrap();
    let (seen, cursor) = told.unwrap();
    (terminal.backend().buffer().clone(), seen, cursor)
}

fn rows_of(cells: &Buffer) -> Vec<String> {
    let area = cells.area;
    let row = |y| -> String {
        let symbols = (0..area.width).map(|x| cells[(x, y)].symbol());
        symbols.collect()
    };
    (0..area.height).map(row).collect()
}

fn gone() -> Trouble {
    Trouble {
        kind: TroubleKind::Gone,
        words: "gone".to_owned(),
    }
}

fn refused(words: &str) -> Trouble {
    Trouble {
        kind: TroubleKind::Refused,
        words: words.to_owned(),
    }
}

#[test]
fn a_text_goes_from_the_line_into_the_conversation_and_its_state_is_told() {
    let mut play = Play::new(false);
    let before = play.shown(80, 24);
    assert!(
        before.contains("online, network demo") && before.contains("> Bob"),
        "{before}"
    );
    play.key(Key::Enter);
    play.keys("Hello Bob");
    let (cells, _, cursor) = on_screen(&play.model, play.now, 80, 24, true);
    assert_eq!(cursor, Some(Position::new(11, 23)), "{:?}", rows_of(&cells));
    assert!(
        rows_of(&cells)[22]
            .contains("about 3 seconds to their mailbox; not verified; you write to Bob")
    );
    play.key(Key::Enter);
    let ask = play.one();
    let Ask::Send {
        contact,
        text,
        key,
        life,
    } = &ask
    else {
        panic!("not sent");
    };
    assert_eq!(
        (&**contact, &***text, *life),
        ("bobskey1234", "Hello Bob", None)
    );
    assert_eq!(key, "chat-run-1");
    assert!(play.shown(80, 24).contains("being handed to the daemon"));
    play.lines = vec![(1, true, "Hello Bob".to_owned(), State::Queued)];
    let accepted = Reply::Accepted {
        message: "m1".to_owned(),
        expected_stored_ms: 2100,
    };
    play.answer(ask, Ok(accepted));
    let shown = play.shown(80, 24);
    assert!(
        shown.contains("> you, now: queued (about 3 s until stored)"),
        "{shown}"
    );
    assert!(shown.contains("│ Hello Bob"), "{shown}");
    for (state, word) in [
        (State::Sent, "sent (about 3 s until stored)"),
        (State::Stored, "stored"),
        (State::Delivered, "delivered"),
        (State::Read, "read"),
        (State::Expired, "expired"),
    ] {
        play.lines[0].3 = state;
        play.input(Input::News(News::Messages));
        let shown = play.shown(80, 24);
        assert!(shown.contains(&format!("> you, now: {word} ")), "{shown}");
    }
}

#[test]
fn nothing_that_is_written_is_lost_when_the_daemon_goes() {
    let mut play = Play::new(false);
    play.open_bob();
    play.keys("kept");
    play.input(Input::Down("it stopped".to_owned()));
    assert!(play.shown(80, 24).contains("NO DAEMON"));
    play.key(Key::Enter);
    play.typed("second");
    play.keys("a draft");
    assert!(play.done.is_empty(), "there is nobody to ask");
    let shown = play.shown(80, 24);
    for text in ["kept", "second", "a draft"] {
        assert!(shown.contains(text), "{shown}");
    }
    play.input(Input::Up);
    // One after the other, so that they stay in order.
    let first = play.one();
    let key = |ask: &Ask| match ask {
        Ask::Send { key, text, .. } => (key.clone(), text.to_string()),
        _ => panic!("something else is asked"),
    };
    assert_eq!(key(&first).1, "kept");
    play.answer(first.clone(), Err(gone()));
    assert!(play.done.is_empty());
    play.now += Span::from_secs(2);
    play.input(Input::Tick);
    let again = play.one();
    assert_eq!(key(&again), key(&first), "the same is sent once");
    let accepted = || Reply::Accepted {
        message: "m".to_owned(),
        expected_stored_ms: 1,
    };
    play.answer(again, Ok(accepted()));
    let second = play.one();
    assert_eq!(key(&second).1, "second");
    // What can't be sent stays beside what is in the line.
    play.answer(second, Err(refused("it is blocked")));
    assert_eq!(play.model.written().unwrap().text(), "a draft");
    let shown = play.shown(80, 24);
    assert!(shown.contains("Not done: it is blocked"), "{shown}");
    assert!(shown.contains("> you: not taken: it is blocked"), "{shown}");
    // And the chat does not end without a word.
    play.key(Key::Ctrl('c'));
    assert!(
        play.shown(80, 24)
            .contains("There is text that was not sent")
    );
    play.key(Key::Char('n'));
    play.model.handle_input(NOW, Input::Key(Key::Ctrl('c')));
    play.model.handle_input(NOW, Input::Key(Key::Char('y')));
    assert!(matches!(play.model.poll_effect(), Some(Effect::Quit)));
}

#[test]
fn drafts_stay_with_whom_they_are_for() {
    let mut play = Play::new(false);
    play.open_bob();
    play.keys("for Bob");
    play.key(Key::Tab);
    play.key(Key::Down);
    play.key(Key::Enter);
    assert!(play.done.is_empty(), "who chooses sends nothing");
    assert_eq!(play.model.open_key().as_deref(), Some("carolskey12"));
    assert!(play.model.written().is_none_or(|it| it.is_empty()));
    play.typed("for Carol");
    assert!(matches!(play.one(), Ask::Send { contact, .. } if contact == "carolskey12"));
    play.key(Key::Tab);
    play.key(Key::Up);
    play.key(Key::Enter);
    assert_eq!(play.model.written().unwrap().text(), "for Bob");
}

#[test]
fn only_what_is_shown_is_told_as_read() {
    let mut play = Play::new(false);
    let many = |state| {
        (1..=60)
            .map(|number| (number, false, format!("text {number}"), state))
            .collect()
    };
    play.lines = many(State::Unread);
    play.unread = vec![("bobskey1234".to_owned(), 60)];
    play.input(Input::News(News::Messages));
    let shown = play.shown(80, 24);
    assert!(shown.contains("60 new Bob"), "{shown}");
    assert!(play.done.is_empty(), "nobody has looked at it");
    play.open_bob();
    play.key(Key::F(1));
    play.shown(80, 24);
    assert!(play.done.is_empty(), "a page is before it");
    play.key(Key::Esc);
    let (_, _, _) = on_screen(&play.model, play.now, 30, 5, true);
    let (_, seen, _) = on_screen(&play.model, play.now, 30, 5, true);
    play.model.handle_seen(seen);
    play.answer_looks();
    assert!(play.done.is_empty(), "there is no room to show it");
    let shown = play.shown(80, 24);
    assert!(shown.contains("text 60"), "{shown}");
    let read = play.one();
    assert!(matches!(&read, Ask::Read { contact, up_to: 60 } if contact == "bobskey1234"));
    play.shown(80, 24);
    assert!(play.done.is_empty(), "once");
    play.lines = many(State::Read);
    play.unread[0].1 = 0;
    play.answer(read, Ok(Reply::Done));
    assert!(!play.shown(80, 24).contains("new Bob"));
    // Up to the first one, which has to be asked for.
    for _ in 0..20 {
        play.key(Key::PageUp);
        play.shown(80, 24);
    }
    let shown = play.shown(80, 24);
    assert!(shown.contains("│ text 1 "), "{shown}");
    // What comes meanwhile is not seen, and not told as read.
    play.lines
        .push((61, false, "late".to_owned(), State::Unread));
    play.input(Input::News(News::Received {
        contact: "bobskey1234".to_owned(),
    }));
    assert!(!play.shown(80, 24).contains("late"));
    assert!(play.done.is_empty());
    for _ in 0..20 {
        play.key(Key::PageDown);
        play.shown(80, 24);
    }
    assert!(matches!(play.one(), Ask::Read { up_to: 61, .. }));
}

/// What is read further up stays where it is when something comes, also something that is longer than the screen.
#[test]
fn what_comes_moves_nothing_that_is_read() {
    let mut play = Play::new(false);
    play.lines = (1..=40)
        .map(|number| {
            (
                number,
                false,
                format!("text {number} of a row and more").repeat(4),
                State::Read,
            )
        })
        .collect();
    play.open_bob();
    play.shown(60, 24);
    play.key(Key::PageUp);
    play.key(Key::PageUp);
    let body = |shown: String| -> Vec<String> {
        let rows = shown.lines().filter(|row| row.contains('│'));
        rows.map(str::to_owned).collect()
    };
    let before = body(play.shown(60, 24));
    assert!(
        before.iter().any(|row| row.contains("text 2")),
        "{before:?}"
    );
    for (number, words) in [(41, "short".to_owned()), (42, "long ".repeat(400))] {
        play.lines.push((number, false, words, State::Unread));
        play.input(Input::News(News::Received {
            contact: "bobskey1234".to_owned(),
        }));
        play.shown(60, 24);
        assert_eq!(body(play.shown(60, 24)), before);
    }
    play.input(Input::Key(Key::PageDown));
    let below = body(play.shown(60, 24));
    assert_ne!(below, before);
    // The line that is read last goes: what was before it stays.
    play.key(Key::PageUp);
    play.shown(60, 24);
    let stays = play.model.open.as_ref().unwrap().stays.unwrap();
    play.lines.retain(|it| it.0 != stays.line);
    play.input(Input::News(News::Vanished {
        message: format!("m{}", stays.line),
    }));
    let now = play.model.open.as_ref().unwrap();
    assert!(now.lines.iter().all(|it| it.number != stays.line));
    play.shown(60, 24);
    let stays_now = play.model.open.as_ref().unwrap().stays.unwrap();
    assert_eq!((stays_now.line, stays_now.rows), (stays.line - 1, 0));
}

#[test]
fn what_vanishes_and_what_is_missing_is_shown() {
    let mut play = Play::new(false);
    play.open_bob();
    let mut gap = line(3, false, "short", State::Read);
    gap.gap_before = 2;
    gap.expires = Some(NOW + Span::from_secs(300));
    let mut hindered = line(4, true, "mine", State::Sent);
    hindered.hindrance = Some(Safe::line("the mailbox is full"));
    let page = Lines {
        lines: vec![gap, hindered],
        earlier: false,
    };
    let asked = Ask::Lines {
        contact: "bobskey1234".to_owned(),
        before: None,
    };
    play.answer(asked, Ok(Reply::Lines(page)));
    let shown = play.shown(80, 24);
    assert!(
        shown.contains("2 texts from them before this have not come"),
        "{shown}"
    );
    assert!(
        shown.contains("< now, vanishes in 5 min, from Bob"),
        "{shown}"
    );
    assert!(shown.contains("sent (the mailbox is full)"), "{shown}");
    play.lines = vec![(4, true, "mine".to_owned(), State::Sent)];
    play.now += Span::from_secs(300);
    play.input(Input::Tick);
    assert!(!play.shown(80, 24).contains("short"));
    play.typed("/life 1h");
    assert!(play.shown(80, 24).contains("vanishes after 60 minutes"));
    play.typed("gone soon");
    assert!(
        matches!(play.one(), Ask::Send { life: Some(life), .. } if life == Span::from_secs(3600))
    );
}

#[test]
fn commands_ask_what_they_say_and_slips_are_never_sent() {
    let mut play = Play::new(false);
    play.open_bob();
    play.typed("/verify 01234 56780");
    assert!(play.done.is_empty());
    let shown = play.shown(80, 24);
    assert!(shown.contains("The numbers differ"), "{shown}");
    assert_eq!(play.model.written().unwrap().text(), "/verify 01234 56780");
    play.key(Key::Backspace);
    play.typed("9");
    assert!(matches!(play.one(), Ask::Change { change, .. } if change.verified == Some(true)));
    play.typed("/remvoe");
    assert!(play.done.is_empty());
    assert!(play.shown(80, 24).contains("There is no command /remvoe"));
    play.key(Key::Ctrl('u'));
    play.typed("/remove");
    assert!(play.done.is_empty(), "it is asked first");
    assert!(play.shown(80, 24).contains("Forget Bob and the keys"));
    play.key(Key::Enter);
    assert!(play.done.is_empty(), "only y is yes");
    play.typed("/remove");
    play.key(Key::Char('y'));
    let remove = play.one();
    assert!(matches!(&remove, Ask::Remove(key) if key == "bobskey1234"));
    play.contacts.remove(0);
    play.answer(remove, Ok(Reply::Done));
    assert_eq!(play.model.open_key(), None);
    play.typed("/accept shoal:a\nbc Bob");
    play.key(Key::Ctrl('u'));
    play.key(Key::F(2));
    play.typed("Dave");
    let Some(Ask::Invite(invite)) = play.done.pop() else {
        panic!("nobody is invited");
    };
    assert_eq!((&*invite.label, invite.once), ("Dave", true));
    let done: Vec<_> = play.done.drain(..).collect();
    assert!(
        matches!(&done[..], [Ask::Accept { link, label }] if &***link == "shoal:abc" && label == "Bob")
    );
    // A text without anybody to send it to stays.
    play.typed("hello?");
    assert!(play.done.is_empty());
    assert_eq!(play.model.written().unwrap().text(), "hello?");
}

#[test]
fn names_that_are_the_same_are_told_apart() {
    let mut play = Play::new(false);
    play.contacts.push(contact("evilkey9999", "Bob"));
    play.contacts.push(contact("nonamekey12", ""));
    play.input(Input::News(News::Missed));
    let shown = play.shown(80, 24);
    assert!(
        shown.contains("Bob (bobskey1)") && shown.contains("Bob (evilkey9)"),
        "{shown}"
    );
    assert!(shown.contains("(nonameke)"), "{shown}");
    play.typed("/open Bob");
    assert_eq!(play.model.open_key(), None);
    assert!(play.shown(80, 24).contains("means more than one"));
    play.key(Key::Ctrl('u'));
    play.typed("/open Bob (evil");
    assert_eq!(play.model.open_key().as_deref(), Some("evilkey9999"));
}

#[test]
fn alarms_are_told_in_words_with_what_to_do() {
    let mut play = Play::new(false);
    play.status.alarms = vec![shoal_client::Alarm::Storage.to_string()];
    play.input(Input::Tick);
    assert!(play.shown(80, 24).contains("ALARM (F6: what to do)"));
    play.key(Key::F(6));
    let shown = play.shown(80, 24);
    assert!(
        shown.contains("What it means: What happens now may be forgotten"),
        "{shown}"
    );
    assert!(
        shown.contains("What to do: Make room on the disk"),
        "{shown}"
    );
}

fn file(id: &str, state: FileState) -> FileStatus {
    FileStatus {
        file: id.to_owned(),
        incoming: true,
        contact: "bobskey1234".to_owned(),
        label: "Bob".to_owned(),
        name: "report.pdf".to_owned(),
        size: 250_000,
        state,
        pieces: 4,
        done: 1,
        begun_at_us: 0,
        expected_ms: None,
        reason: None,
    }
}

#[test]
fn files_are_listed_with_how_far_they_are_and_saved_by_the_beginning_of_their_id() {
    let mut play = Play::new(false);
    play.open_bob();
    for (id, state) in [
        ("abcdefgh", FileState::Receiving),
        ("abxxxxxx", FileState::Complete),
    ] {
        play.input(Input::News(News::File(Box::new(file(id, state)))));
    }
    play.key(Key::F(5));
    let shown = play.shown(80, 24);
    assert!(
        shown.contains("abcdef: coming (1 of 4 pieces) from Bob, 250000 bytes: report.pdf"),
        "{shown}"
    );
    play.typed("/save ab");
    assert!(play.shown(80, 24).contains("begins the ids of several"));
    play.key(Key::Ctrl('u'));
    play.typed("/save abx ~/r.pdf");
    let Ask::SaveFile { file, path, .. } = play.one() else {
        panic!("nothing is saved");
    };
    assert_eq!(
        (&*file, path.unwrap().to_str()),
        ("abxxxxxx", Some("~/r.pdf"))
    );
    play.typed("/file my report.pdf");
    assert!(
        matches!(play.one(), Ask::SendFile { path, .. } if path.to_str() == Some("my report.pdf"))
    );
}

fn invitation() -> OwnInvitation {
    OwnInvitation {
        id: "4f1c09aa".to_owned(),
        invitation: format!("shoal:{}", "a7".repeat(187)),
        label: "Dave".to_owned(),
        once: true,
        made_at_us: 0,
        expires_at_us: NOW.as_micros(),
        guest: None,
        leaked: false,
    }
}

#[test]
fn every_page_fits_every_window_or_says_that_it_does_not() {
    let mut play = Play::new(false);
    play.open_bob();
    play.lines = (1..40)
        .map(|number| (number, number % 2 == 0, "word ".repeat(40), State::Read))
        .collect();
    play.input(Input::News(News::Messages));
    let invited = Page::Invited {
        invitation: Box::new(invitation()),
        code: true,
    };
    let pages = [
        Page::Help,
        Page::People,
        invited,
        Page::Invitations,
        Page::Files,
        Page::Contact("bobskey1234".to_owned()),
        Page::State,
    ];
    let pages = [None]
        .into_iter()
        .chain(pages.into_iter().map(|page| Some((page, 0))));
    for page in pages {
        play.model.page = page;
        for (columns, rows) in [
            (1, 1),
            (2, 9),
            (39, 10),
            (40, 9),
            (40, 10),
            (71, 12),
            (72, 10),
            (80, 24),
            (250, 80),
        ] {
            let shown = play.shown(columns, rows);
            let fits = columns >= 40 && rows >= 10;
            assert_eq!(
                shown.contains("Shoal"),
                fits || columns >= 39,
                "{columns} by {rows}:\n{shown}"
            );
            assert_eq!(
                shown.contains("(small window)"),
                fits && (columns < 80 || rows < 24),
                "{columns} by {rows}:\n{shown}"
            );
            if let (39, 10) = (columns, rows) {
                assert!(shown.contains("40 by 10 at least"), "{shown}");
            }
        }
    }
    play.model.page = Some((
        Page::Invited {
            invitation: Box::new(invitation()),
            code: true,
        },
        0,
    ));
    assert!(play.shown(80, 24).contains("enlarge the"));
    assert!(play.shown(80, 48).contains("█▀▀▀▀▀█"));
}

#[test]
fn in_forty_columns_one_goes_between_people_and_a_conversation() {
    let mut play = Play::new(false);
    play.lines = vec![(
        1,
        false,
        "a text that takes more than one row of them".to_owned(),
        State::Unread,
    )];
    let shown = play.shown(40, 10);
    assert!(
        shown.contains("> Bob") && shown.contains("Carol"),
        "{shown}"
    );
    play.key(Key::Enter);
    let shown = play.shown(40, 10);
    assert!(
        shown.contains("│ a text that takes more") && !shown.contains("Carol"),
        "{shown}"
    );
    play.key(Key::Esc);
    let shown = play.shown(40, 10);
    assert!(
        shown.contains("> Bob") && shown.contains("Carol"),
        "{shown}"
    );
}

#[test]
fn without_colours_there_are_none() {
    let mut play = Play::new(false);
    play.status.alarms = vec!["an alarm".to_owned()];
    play.open_bob();
    play.lines = vec![
        (1, false, "a".to_owned(), State::Unread),
        (2, true, "b".to_owned(), State::Sent),
    ];
    play.input(Input::News(News::Missed));
    let coloured = |colour| {
        let (cells, ..) = on_screen(&play.model, play.now, 80, 24, colour);
        cells
            .content
            .iter()
            .filter(|cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset))
            .count()
    };
    assert_eq!(coloured(false), 0);
    assert!(coloured(true) > 0);
}

#[test]
fn the_linear_mode_says_each_thing_once_in_lines() {
    let mut play = Play::new(true);
    play.lines = vec![
        (
            1,
            false,
            "first\nFrom Bob, 30 Nov 17:42 UTC:".to_owned(),
            State::Unread,
        ),
        (2, true, "mine".to_owned(), State::Stored),
    ];
    play.unread = vec![("bobskey1234".to_owned(), 1)];
    play.said();
    play.input(Input::News(News::Received {
        contact: "bobskey1234".to_owned(),
    }));
    let said = play.said();
    assert_eq!(
        said,
        ["New from Bob; /open Bob shows it."],
        "its text is not told before it is opened"
    );
    assert!(play.done.is_empty());
    play.input(Input::Line(Zeroizing::new("/open bob".to_owned())));
    assert_eq!(
        play.said(),
        [
            "Conversation with Bob (not verified).",
            "New from Bob, 30 Nov 17:42 UTC:",
            "| first",
            "| From Bob, 30 Nov 17:42 UTC:",
            "You, 30 Nov 17:42 UTC, stored:",
            "| mine",
        ]
    );
    assert!(matches!(play.one(), Ask::Read { up_to: 1, .. }));
    play.input(Input::Line(Zeroizing::new("hello".to_owned())));
    let sent = play.one();
    let accepted = Reply::Accepted {
        message: "m3".to_owned(),
        expected_stored_ms: 2100,
    };
    play.lines
        .push((3, true, "hello".to_owned(), State::Queued));
    play.answer(sent, Ok(accepted));
    assert_eq!(
        play.said(),
        ["Taken: it is stored at Bob's mailbox in about 3 seconds."]
    );
    let news = News::Stored {
        message: "m3".to_owned(),
        after_ms: Some(1500),
    };
    play.input(Input::News(news));
    assert_eq!(
        play.said(),
        ["Your text to Bob (hello): stored, about 2 seconds after you wrote it."]
    );
    play.lines.push((4, false, "x".repeat(50), State::Unread));
    play.input(Input::News(News::Received {
        contact: "bobskey1234".to_owned(),
    }));
    let said = play.said();
    assert_eq!(said[0], "New from Bob, 30 Nov 17:42 UTC:");
    assert_eq!(
        said[1..],
        [
            format!("| {}", "x".repeat(38)),
            format!(": {}", "x".repeat(12))
        ]
    );
    // What is not sent is not lost.
    play.done.clear();
    play.input(Input::Line(Zeroizing::new("again".to_owned())));
    let sent = play.one();
    play.answer(sent, Err(refused("they are blocked")));
    assert_eq!(
        play.said(),
        ["Not done: they are blocked. What you wrote was:", "| again"]
    );
    play.input(Input::Line(Zeroizing::new("/remove".to_owned())));
    assert!(play.said()[0].ends_with("Type yes, or anything else for no."));
    play.input(Input::Line(Zeroizing::new("yes".to_owned())));
    assert!(matches!(play.one(), Ask::Remove(_)));
}

#[test]
fn earlier_texts_are_told_when_they_are_asked_for() {
    let mut play = Play::new(true);
    play.lines = (1..=70)
        .map(|number| (number, false, format!("t{number}"), State::Read))
        .collect();
    play.input(Input::Line(Zeroizing::new("/open bob".to_owned())));
    let told = |said: &[String]| -> Vec<String> {
        said.iter()
            .filter_map(|line| line.strip_prefix("| "))
            .map(str::to_owned)
            .collect()
    };
    let said = play.said();
    assert!(said[0].contains("/more tells earlier"), "{said:?}");
    let expected = |from: u64, to: u64| {
        (from..=to)
            .map(|number| format!("t{number}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&said), expected(61, 70));
    play.input(Input::Line(Zeroizing::new("/more".to_owned())));
    assert_eq!(told(&play.said()), expected(11, 60));
    // What comes is told once, and nothing else with it.
    play.lines
        .push((71, false, "t71".to_owned(), State::Unread));
    play.input(Input::News(News::Received {
        contact: "bobskey1234".to_owned(),
    }));
    assert_eq!(told(&play.said()), ["t71"]);
    play.input(Input::Line(Zeroizing::new("/more".to_owned())));
    assert_eq!(told(&play.said()), expected(1, 10));
    play.input(Input::Line(Zeroizing::new("/more".to_owned())));
    assert_eq!(play.said(), ["There are no earlier texts here."]);
}

#[test]
fn texts_wait_while_the_daemon_is_busy_and_too_many_are_not_taken() {
    let mut play = Play::new(false);
    play.open_bob();
    play.typed("one");
    let ask = play.one();
    let busy = Trouble {
        kind: TroubleKind::Busy,
        words: "the queue is full".to_owned(),
    };
    play.answer(ask, Err(busy));
    assert!(play.shown(80, 24).contains("the queue is full"));
    play.input(Input::Tick);
    assert!(play.done.is_empty(), "not at once");
    play.now += Span::from_secs(5);
    play.input(Input::Tick);
    assert!(matches!(play.one(), Ask::Send { .. }));
    play.input(Input::Down("gone".to_owned()));
    for number in 0..99 {
        play.typed(&format!("{number}"));
    }
    play.typed("too much");
    assert_eq!(play.model.written().unwrap().text(), "too much");
    assert_eq!(play.model.untaken(), 100);
}

#[test]
fn the_page_for_users_has_every_command_and_every_state() {
    let page = include_str!("../../../docs/chat.md");
    for it in &super::command::COMMANDS {
        let name = it.usage.split(' ').next().unwrap();
        assert!(page.contains(&format!("`{name}")), "{name}");
    }
    for (state, _) in super::words::STATES {
        let word = super::words::state(state);
        assert!(page.contains(&format!("\n| {word} | ")), "{word}");
    }
}

#[test]
fn answers_that_make_no_sense_are_told_once() {
    let mut play = Play::new(true);
    play.said();
    for _ in 0..3 {
        play.now += Span::from_secs(1);
        play.model.handle_input(play.now, Input::Tick);
        while let Some(effect) = play.model.poll_effect() {
            let Effect::Ask(ask) = effect else { continue };
            play.model.handle_input(
                play.now,
                Input::Answer(ask, Err(refused("another version"))),
            );
        }
    }
    let said = ["The daemon does not answer what is asked: another version."];
    assert_eq!(play.said(), said);
}

/// Whatever somebody writes, and is called.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,20}",
        "[\\x00-\\x20\u{7f}-\u{a0}]{1,6}",
        "a[\u{300}-\u{36f}]{0,40}",
        "[\u{200b}-\u{206f}\u{e0000}-\u{e007f}]{1,6}",
        "[日本語👩👍🏽\u{1f1e9}]{1,12}",
        Just("\u{1b}[2J\u{1b}[1;1H".to_owned()),
        Just("\u{1b}]0;title\u{7}".to_owned()),
        Just("\u{9b}31m".to_owned()),
        Just("\n> you, now: read\n".to_owned()),
        Just("x".repeat(300)),
        Just("\n".repeat(100)),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn attacked(text: &str, label: &str, linear: bool) -> Play {
    let mut play = Play::new(linear);
    play.contacts[0].label = label.to_owned();
    play.lines = vec![
        (1, false, text.to_owned(), State::Read),
        (2, true, "own".to_owned(), State::Stored),
    ];
    play.input(Input::News(News::Missed));
    let mut sent = file("id", FileState::Complete);
    sent.name = text.to_owned();
    play.input(Input::News(News::File(Box::new(sent))));
    play.model.open("bobskey1234");
    play.answer_looks();
    play
}

/// The cells as a terminal has them after what is written to it.
fn on_terminal(model: &Model, columns: u16, rows: u16) -> (Buffer, vt100::Parser) {
    let mut bytes = Vec::new();
    let area = Rect::new(0, 0, columns, rows);
    let options = TerminalOptions {
        viewport: Viewport::Fixed(area),
    };
    let backend = Steady(CrosstermBackend::new(&mut bytes));
    let mut terminal = Terminal::with_options(backend, options).unwrap();
    let mut cells = Buffer::empty(area);
    let drawn = terminal.draw(|frame| {
        draw(model, NOW, Look { colour: true }, frame.buffer_mut());
        cells = frame.buffer_mut().clone();
    });
    drawn.unwrap();
    drop(terminal);
    let mut parser = vt100::Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 0);
    // What could be written over is something else than blanks.
    parser.process(b"\x1b[?7l");
    parser.process(&bytes);
    (cells, parser)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_that_a_peer_writes_moves_the_cursor_or_looks_like_the_interface(
        text in hostile(),
        label in hostile(),
        narrow in any::<bool>(),
    ) {
        let label: String = label.chars().take(64).collect();
        let play = attacked(&text, &label, false);
        let (columns, rows) = if narrow { (40, 10) } else { (80, 24) };
        let left = if narrow { 0 } else { 28 };
        let (cells, terminal) = on_terminal(&play.model, columns, rows);
        for cell in &cells.content {
            let symbol = cell.symbol();
            prop_assert!(!symbol.contains(|c: char| c.is_control()), "{:?}", symbol);
        }
        // The frame is where it is, as the terminal has it.
        let at = |x: u16, y: u16| match terminal.screen().cell(y, x) {
            Some(cell) if cell.is_wide_continuation() => String::new(),
            Some(cell) if cell.has_contents() => cell.contents().to_owned(),
            _ => " ".to_owned(),
        };
        let row = |y: u16| (0..columns).map(|x| at(x, y)).collect::<String>();
        prop_assert!(row(0).starts_with(" Shoal"), "{:?}", row(0));
        prop_assert!(row(1).starts_with(" Each second"), "{:?}", row(1));
        prop_assert!(row(rows - 1).starts_with("> (Write here"), "{:?}", row(rows - 1));
        let bottom = (2..rows).rev().find(|y| at(0, *y) == "─").unwrap();
        for y in 2..bottom {
            if !narrow {
                prop_assert_eq!(at(26, y), "│");
                prop_assert_eq!(at(27, y), " ");
            }
        }
        // Rows of the conversation: what the peer wrote is behind our mark.
        let mut heads = 0;
        for y in 2..bottom {
            let row: String = (left..columns).map(|x| at(x, y)).collect();
            let head = row.starts_with("> you, ") || row.starts_with("< now, from");
            heads += usize::from(head);
            let text = row.starts_with("│ ") || row == "│" || row.trim().is_empty();
            prop_assert!(head || text, "{:?}", row);
        }
        prop_assert!(heads <= 2);
    }

    #[test]
    fn no_line_of_the_linear_mode_is_a_peers_but_behind_its_mark(text in hostile(), label in hostile()) {
        let label: String = label.chars().take(64).collect();
        let mut play = attacked(&text, &label, true);
        for line in play.said() {
            prop_assert!(!line.contains(|c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)), "{:?}", line);
            let ours = ["| ", ": ", "From ", "You, ", "Conversation with ", "File from "];
            prop_assert!(ours.iter().any(|it| line.starts_with(it)), "{:?}", line);
        }
    }
}
