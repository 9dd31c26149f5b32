//! The lines of the open conversation: what stays, what goes, and what is fetched before it is told as read.

use super::*;

fn theirs(number: u64, text: &str) -> (u64, bool, String, State) {
    (number, false, text.to_owned(), State::Unread)
}

/// A daemon that keeps nothing that was read.
fn forgetful(linear: bool) -> Play {
    let mut play = Play::new(linear);
    play.forgets = true;
    play.said();
    play
}

fn came(play: &mut Play) {
    play.input(Input::News(News::Received {
        contact: "bobskey1234".to_owned(),
    }));
}

/// The daemon was away, and has begun anew with other texts.
fn started_anew(play: &mut Play) {
    play.input(Input::Down("it stopped".to_owned()));
    play.run += 1;
    play.lines.clear();
    play.input(Input::Up);
}

fn told(play: &mut Play) -> Vec<String> {
    let said = play.said();
    let texts = said.iter().filter_map(|line| line.strip_prefix("| "));
    texts.map(str::to_owned).collect()
}

#[test]
fn what_was_shown_stays_while_it_is_open_though_the_daemon_keeps_nothing() {
    let mut play = forgetful(false);
    play.open_bob();
    for (number, text) in (0..).zip(["first", "second", "third"]) {
        play.lines.push(theirs(number, text));
        came(&mut play);
        play.shown(80, 24);
        assert!(matches!(play.one(), Ask::Read { up_to, .. } if up_to == number));
        assert!(play.lines.is_empty(), "it is read, and deleted");
    }
    // An own text that is deleted once it is stored tells that it is.
    play.lines.push((3, true, "mine".to_owned(), State::Sent));
    play.input(Input::News(News::Messages));
    play.lines.clear();
    play.input(Input::News(News::Stored {
        message: "m3".to_owned(),
        after_ms: None,
    }));
    let shown = play.shown(80, 24);
    let at = |text: &str| {
        let row = shown.lines().position(|row| row.contains(text));
        row.unwrap_or_else(|| panic!("no {text}: {shown}"))
    };
    assert!(at("│ first") < at("│ second") && at("│ second") < at("│ third"));
    assert!(at("> you, now: stored") > at("│ third"));
    // What vanishes goes; elsewhere and back, nothing is there.
    play.input(Input::News(News::Vanished {
        message: "m1".to_owned(),
    }));
    let shown = play.shown(80, 24);
    assert!(
        shown.contains("│ first") && !shown.contains("│ second"),
        "{shown}"
    );
    play.typed("/open Carol");
    play.typed("/open Bob");
    assert!(play.shown(80, 24).contains("Nothing was said yet"));
}

#[test]
fn a_text_that_vanishes_goes_at_its_time_though_the_daemon_deleted_it_before() {
    let mut play = forgetful(false);
    play.open_bob();
    let mut short = line(0, false, "short", State::Unread);
    short.expires = Some(NOW + Span::from_secs(60));
    let asked = Ask::Lines {
        contact: "bobskey1234".to_owned(),
        before: None,
    };
    let page = Lines {
        lines: vec![short],
        earlier: false,
    };
    play.answer(asked, Ok(Reply::Lines(page)));
    play.shown(80, 24);
    assert!(play.shown(80, 24).contains("│ short"));
    play.now += Span::from_secs(60);
    play.input(Input::Tick);
    assert!(!play.shown(80, 24).contains("│ short"));
}

/// Most that are asked for at a time are fifty.
#[test]
fn nothing_is_told_as_read_before_all_of_it_is_here() {
    let mut play = forgetful(false);
    play.lines = (0..130).map(|number| theirs(number, "text")).collect();
    play.unread = vec![("bobskey1234".to_owned(), 130)];
    play.input(Input::News(News::Messages));
    // By hand, so that pages come one after the other.
    play.model.open("bobskey1234");
    let mut pages = 0;
    let read = loop {
        let (_, seen, _) = on_screen(&play.model, play.now, 80, 24, true);
        play.model.handle_seen(seen);
        let asked = std::iter::from_fn(|| play.model.poll_effect()).find_map(|it| match it {
            Effect::Ask(ask) => Some(*ask),
            _ => None,
        });
        match asked.unwrap() {
            Ask::Lines { contact, before } => {
                pages += 1;
                let end = before.unwrap_or(130);
                let lines =
                    (end.saturating_sub(50)..end).map(|it| line(it, false, "text", State::Unread));
                let page = Lines {
                    lines: lines.collect(),
                    earlier: end > 50,
                };
                let ask = Box::new(Ask::Lines { contact, before });
                play.model
                    .handle_input(NOW, Input::Answer(ask, Ok(Reply::Lines(page))));
            }
            ask => break ask,
        }
    };
    assert!(matches!(read, Ask::Read { up_to: 129, .. }));
    let open = play.model.open.as_ref().unwrap();
    assert_eq!((pages, open.lines.len()), (3, 130));
}

/// So much comes at once that the latest page does not reach what is here.
#[test]
fn what_is_missing_between_is_fetched_and_told_in_its_order() {
    for linear in [false, true] {
        let mut play = forgetful(linear);
        play.lines = vec![theirs(0, "t0")];
        match linear {
            false => play.open_bob(),
            true => play.input(Input::Line(Zeroizing::new("/open bob".to_owned()))),
        }
        match linear {
            false => drop(play.shown(80, 24)),
            true => assert_eq!(told(&mut play), ["t0"]),
        }
        assert!(matches!(play.one(), Ask::Read { up_to: 0, .. }));
        play.lines = (1..=120)
            .map(|number| theirs(number, &format!("t{number}")))
            .collect();
        came(&mut play);
        let expected: Vec<String> = (1..=120).map(|number| format!("t{number}")).collect();
        if linear {
            assert_eq!(told(&mut play), expected);
        } else {
            play.shown(80, 24);
        }
        let open = play.model.open.as_ref().unwrap();
        let texts: Vec<&str> = open.lines.iter().map(|line| &*line.text).collect();
        assert_eq!(texts[0], "t0");
        assert_eq!(texts[1..], expected);
        assert!(matches!(play.one(), Ask::Read { up_to: 120, .. }));
    }
}

#[test]
fn a_page_that_was_not_answered_is_asked_for_again_a_second_later_and_nothing_is_read_before() {
    let mut play = Play::new(false);
    play.model.open("bobskey1234");
    let asked = |play: &mut Play| -> Vec<Ask> {
        let effects = std::iter::from_fn(|| play.model.poll_effect());
        let asks = effects.filter_map(|it| match it {
            Effect::Ask(ask) => Some(*ask),
            _ => None,
        });
        asks.filter(|ask| matches!(ask, Ask::Lines { .. } | Ask::Read { .. }))
            .collect()
    };
    let latest = asked(&mut play).remove(0);
    let page = Lines {
        lines: (10..60)
            .map(|it| line(it, false, "text", State::Unread))
            .collect(),
        earlier: true,
    };
    let answer = Input::Answer(Box::new(latest), Ok(Reply::Lines(page)));
    play.model.handle_input(NOW, answer);
    let earlier = asked(&mut play).remove(0);
    assert!(matches!(
        earlier,
        Ask::Lines {
            before: Some(10),
            ..
        }
    ));
    let answer = Input::Answer(Box::new(earlier), Err(refused("damaged")));
    play.model.handle_input(NOW, answer);
    for _ in 0..3 {
        let (_, seen, _) = on_screen(&play.model, NOW, 80, 24, true);
        play.model.handle_seen(seen);
        assert!(asked(&mut play).is_empty(), "not at once");
    }
    play.model.handle_input(NOW, Input::Tick);
    assert!(matches!(
        asked(&mut play)[..],
        [Ask::Lines {
            before: Some(10),
            ..
        }]
    ));
}

#[test]
fn texts_are_told_though_the_daemon_numbers_them_anew() {
    let mut play = forgetful(true);
    play.lines = (0..5)
        .map(|number| theirs(number, &format!("old {number}")))
        .collect();
    play.input(Input::Line(Zeroizing::new("/open bob".to_owned())));
    assert_eq!(told(&mut play).len(), 5);
    started_anew(&mut play);
    for number in 0..7 {
        play.done.clear();
        play.lines.push(theirs(number, &format!("new {number}")));
        came(&mut play);
        assert_eq!(told(&mut play), [format!("new {number}")]);
        assert!(matches!(play.one(), Ask::Read { up_to, .. } if up_to == number));
    }
    // What was deleted by hand was told, too.
    play.input(Input::Line(Zeroizing::new("/forget".to_owned())));
    play.input(Input::Line(Zeroizing::new("yes".to_owned())));
    let forget = play.done.pop().unwrap();
    play.done.clear();
    play.answer(forget, Ok(Reply::Done));
    started_anew(&mut play);
    play.said();
    play.lines.push(theirs(0, "newest"));
    came(&mut play);
    assert_eq!(told(&mut play), ["newest"]);
}

#[test]
fn what_the_daemon_kept_is_not_told_again_and_what_it_numbers_anew_is() {
    let mut play = Play::new(true);
    let kept = |number| (number, false, format!("t{number}"), State::Read);
    play.lines = (0..6).map(kept).collect();
    play.input(Input::Line(Zeroizing::new("/open bob".to_owned())));
    play.said();
    // The last two vanish, and their numbers are given to others.
    play.lines.truncate(4);
    for message in ["m4", "m5"] {
        play.input(Input::News(News::Vanished {
            message: message.to_owned(),
        }));
    }
    assert!(told(&mut play).is_empty());
    let answer = |play: &mut Play, lines: Vec<Line>| {
        let ask = Ask::Lines {
            contact: "bobskey1234".to_owned(),
            before: None,
        };
        let page = Lines {
            lines,
            earlier: false,
        };
        play.answer(ask, Ok(Reply::Lines(page)));
    };
    play.input(Input::Down("it stopped".to_owned()));
    play.model.handle_input(NOW, Input::Up);
    let mut other = line(4, false, "other", State::Unread);
    other.message = "another".to_owned();
    let mut lines: Vec<Line> = (0..4)
        .map(|it| line(it, false, "old", State::Read))
        .collect();
    lines.push(other);
    answer(&mut play, lines);
    assert_eq!(told(&mut play), ["other"]);
    let open = play.model.open.as_ref().unwrap();
    assert!(open.lines.windows(2).all(|two| two[0].place < two[1].place));
}

#[test]
fn all_that_is_new_is_told_when_a_conversation_is_opened_in_lines() {
    let mut play = Play::new(true);
    // Own ones between, and behind.
    play.lines = (0..40)
        .map(|number| {
            let own = number % 2 == 1 || number > 30;
            let state = if own { State::Stored } else { State::Unread };
            (number, own, format!("t{number}"), state)
        })
        .collect();
    play.input(Input::Line(Zeroizing::new("/open bob".to_owned())));
    let told = told(&mut play);
    assert_eq!(told.len(), 40);
}
