//! What is typed: to whom it goes, what becomes of it if it is refused, and what a narrow screen shows of that.

use super::*;

fn text_of(ask: &Ask) -> &str {
    match ask {
        Ask::Send { text, .. } => text,
        _ => panic!("something else is asked"),
    }
}

fn written(play: &Play) -> &str {
    play.model.written().map_or("", |it| it.text())
}

#[test]
fn enter_among_the_people_opens_and_sends_nothing() {
    let mut play = Play::new(false);
    play.typed("/open Carol");
    play.keys("half a dra");
    play.key(Key::Tab);
    play.key(Key::Up);
    play.key(Key::Enter);
    assert!(play.done.is_empty() && play.model.untaken() == 0);
    assert_eq!(play.model.open_key().as_deref(), Some("bobskey1234"));
    assert_eq!(written(&play), "");
    // Behind a page, it sends nothing either.
    play.keys("half");
    play.key(Key::Tab);
    play.key(Key::F(6));
    play.key(Key::Enter);
    assert!(play.done.is_empty() && play.model.page.is_none());
    assert_eq!(written(&play), "half");
    play.key(Key::Down);
    play.key(Key::Enter);
    assert_eq!(written(&play), "half a dra");
}

#[test]
fn what_was_begun_with_nobody_open_goes_along_unless_something_is_begun_there() {
    let mut play = Play::new(false);
    play.keys("loose");
    play.key(Key::Tab);
    play.key(Key::Enter);
    assert_eq!(written(&play), "loose");
    play.model.close();
    play.keys("other");
    play.key(Key::Tab);
    play.key(Key::Enter);
    assert_eq!(written(&play), "loose");
    play.model.close();
    assert_eq!(written(&play), "other");
}

#[test]
fn a_refused_text_that_begins_with_a_slash_is_a_text_again() {
    let mut play = Play::new(false);
    play.open_bob();
    play.typed("//quit");
    let sent = play.one();
    assert_eq!(text_of(&sent), "/quit");
    play.answer(sent, Err(refused("it is blocked")));
    assert_eq!(written(&play), "//quit");
    play.key(Key::Enter);
    assert_eq!(text_of(&play.one()), "/quit");
}

#[test]
fn refused_texts_come_back_in_order_and_one_at_a_time() {
    let mut play = Play::new(false);
    play.open_bob();
    for text in ["one", "two", "three"] {
        play.typed(text);
    }
    for text in ["one", "two", "three"] {
        let sent = play.one();
        assert_eq!(text_of(&sent), text);
        play.answer(sent, Err(refused("it is blocked")));
    }
    let shown = play.shown(80, 24);
    let two = shown.find("│ two").unwrap();
    assert!(two < shown.find("│ three").unwrap(), "{shown}");
    assert!(shown.contains("not taken: it is blocked"), "{shown}");
    for text in ["one", "two", "three"] {
        assert_eq!(written(&play), text);
        play.key(Key::Up);
        assert_eq!(written(&play), text, "only into an empty line");
        play.key(Key::Ctrl('u'));
        play.key(Key::Up);
    }
    assert_eq!(written(&play), "");
    play.key(Key::Ctrl('c'));
    assert!(play.model.confirm.is_none(), "nothing is left");
}

#[test]
fn a_refused_text_takes_no_room_from_a_draft_and_is_none_of_a_command() {
    let mut play = Play::new(false);
    play.open_bob();
    let long = "x".repeat(shoal_client::MAX_TEXT_BYTES);
    play.input(Input::Pasted(Zeroizing::new(long.clone())));
    play.key(Key::Enter);
    let draft = "y".repeat(shoal_client::MAX_TEXT_BYTES);
    play.input(Input::Pasted(Zeroizing::new(draft.clone())));
    let sent = play.one();
    play.answer(sent, Err(refused("it is blocked")));
    assert!(written(&play) == draft, "the draft is as it was");
    // A command that is being typed stays one.
    play.key(Key::Ctrl('u'));
    play.typed("second");
    let sent = play.one();
    play.keys("/invite Da");
    play.answer(sent, Err(refused("it is blocked")));
    play.typed("ve");
    assert!(matches!(play.one(), Ask::Invite(invite) if invite.label == "Dave"));
    // And it is asked before it goes with the chat.
    play.key(Key::Ctrl('c'));
    assert!(play.model.confirm.is_some());
    play.key(Key::Char('n'));
    play.key(Key::Up);
    assert!(written(&play) == long);
}

#[test]
fn a_refused_text_goes_into_the_line_of_whom_it_was_for() {
    let mut play = Play::new(false);
    play.open_bob();
    play.typed("for Bob");
    let sent = play.one();
    play.typed("/open Carol");
    play.answer(sent, Err(refused("it is blocked")));
    assert_eq!(written(&play), "");
    play.key(Key::Up);
    assert_eq!(written(&play), "", "it is none of Carol's");
    assert!(play.shown(80, 24).contains("/open Bob"));
    play.typed("/open Bob");
    assert_eq!(written(&play), "for Bob");
}

#[test]
fn an_invitation_that_is_refused_comes_back_without_touching_what_is_written() {
    let mut play = Play::new(false);
    play.open_bob();
    play.typed("/accept shoal:abc Dave");
    let accept = play.one();
    play.keys("hello");
    play.answer(accept, Err(refused("it is no link")));
    assert_eq!(written(&play), "hello");
    play.key(Key::Ctrl('u'));
    play.key(Key::Up);
    assert_eq!(written(&play), "/accept shoal:abc Dave");
}

#[test]
fn who_types_on_while_an_invitation_is_accepted_goes_on_with_that() {
    let accepted = |play: &mut Play, accept| {
        let dave = contact("daveskey123", "Dave");
        play.contacts.push(dave.clone());
        play.answer(accept, Ok(Reply::Contact(dave)));
    };
    let mut play = Play::new(false);
    play.open_bob();
    play.typed("/accept shoal:abc Dave");
    let accept = play.one();
    play.keys("this is f");
    accepted(&mut play, accept);
    play.typed("or Bob");
    let sent = play.one();
    assert_eq!(text_of(&sent), "this is for Bob");
    assert!(matches!(&sent, Ask::Send { contact, .. } if contact == "bobskey1234"));
    for linear in [false, true] {
        let mut play = Play::new(linear);
        let line = "/accept shoal:abc Dave";
        match linear {
            true => play.input(Input::Line(Zeroizing::new(line.to_owned()))),
            false => play.typed(line),
        }
        let accept = play.one();
        accepted(&mut play, accept);
        assert_eq!(play.model.open_key().as_deref(), Some("daveskey123"));
    }
    let mut play = Play::new(false);
    play.typed("/accept shoal:abc Dave");
    let accept = play.one();
    play.key(Key::Down);
    accepted(&mut play, accept);
    assert_eq!(play.model.open_key(), None);
    assert!(play.shown(80, 24).contains("Accepted: /open Dave"));
}

#[test]
fn to_whom_one_writes_is_shown_at_every_width() {
    let mut play = Play::new(false);
    play.open_bob();
    play.typed("/life 1h");
    for columns in 40..=130 {
        let shown = play.shown(columns, 12);
        assert!(
            shown
                .lines()
                .any(|row| row.starts_with("── ") && row.contains("to Bob ─")),
            "{columns}: {shown}"
        );
    }
    play.contacts[0].label =
        "A name that has sixty-four letters, as many as one may have ....".to_owned();
    play.input(Input::News(News::Missed));
    assert!(
        play.shown(40, 12)
            .contains("── to A name that has sixty-four")
    );
    assert!(
        play.shown(80, 12)
            .contains("── to A name that has sixty-four")
    );
    // And what a question takes.
    for command in ["/remove", "/forget"] {
        play.typed(command);
        let shown = play.shown(40, 12);
        assert!(shown.contains("y: yes, any other key: no."), "{shown}");
        play.key(Key::Char('n'));
    }
}

#[test]
fn lines_are_read_though_a_look_is_refused() {
    let mut model = Model::new(true, "run".to_owned(), None);
    model.handle_input(NOW, Input::Up);
    assert!(!model.takes_lines());
    let status = Status::default();
    while let Some(effect) = model.poll_effect() {
        let Effect::Ask(ask) = effect else { continue };
        let answer = match &*ask {
            Ask::Status => Ok(Reply::Status(Box::new(status.clone()))),
            Ask::Contacts => Ok(Reply::Contacts(Vec::new())),
            Ask::Invitations => Ok(Reply::Invitations(Vec::new())),
            Ask::Files => Ok(Reply::Files(Vec::new())),
            _ => Err(refused("a row is damaged")),
        };
        model.handle_input(NOW, Input::Answer(ask, answer));
    }
    assert!(model.takes_lines());
}

#[test]
fn a_file_that_is_being_handed_over_is_asked_for_before_the_chat_ends() {
    let mut play = Play::new(false);
    play.open_bob();
    play.typed("/file report.pdf");
    let file = play.one();
    play.typed("/quit");
    assert!(play.shown(80, 24).contains("A file is still being handed"));
    play.key(Key::Char('n'));
    // Also while it waits for a daemon.
    play.answer(file, Err(gone()));
    play.input(Input::Down("it stopped".to_owned()));
    play.typed("/quit");
    assert!(play.model.confirm.is_some());
    play.key(Key::Char('n'));
    assert_eq!(play.model.untaken(), 1);
    play.input(Input::Up);
    let file = play.one();
    play.answer(file, Ok(Reply::File(super::file("id", FileState::Sending))));
    play.model.handle_input(NOW, Input::Key(Key::Ctrl('c')));
    assert!(matches!(play.model.poll_effect(), Some(Effect::Quit)));
}

#[test]
fn a_question_mark_is_a_text_in_the_line_and_help_among_the_people() {
    let mut play = Play::new(false);
    play.key(Key::Char('?'));
    assert!(matches!(play.model.page, Some((Page::Help, _))));
    play.key(Key::Char('?'));
    assert!(play.model.page.is_none());
    play.open_bob();
    play.typed("?");
    assert_eq!(text_of(&play.one()), "?");
}
