//! The picture of the chat that the documents show: what the screen's cells are, as SVG.

use std::fmt::Write as _;
use std::path::Path;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::{NOW, Play, on_screen};
use crate::chat::model::{Input, Key, News, State};
use shoal_proto::Span;

/// A cell in pixels.
const WIDE: u16 = 9;
const HIGH: u16 = 19;
const EDGE: u16 = 12;

/// The screen on a dark ground.
fn svg(cells: &Buffer) -> String {
    let area = cells.area;
    let (width, height) = (area.width * WIDE + 2 * EDGE, area.height * HIGH + 2 * EDGE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"shoal chat\">\n<rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#10181b\"/>\n\
         <g font-family=\"ui-monospace, DejaVu Sans Mono, monospace\" font-size=\"15\" xml:space=\"preserve\">\n"
    );
    for y in 0..area.height {
        let row = |x: u16| &cells[(x, y)];
        let mut x = 0;
        while x < area.width {
            let look = (row(x).fg, row(x).bg, row(x).modifier);
            let from = x;
            let mut text = String::new();
            while x < area.width && (row(x).fg, row(x).bg, row(x).modifier) == look {
                text.push_str(row(x).symbol());
                x += 1;
            }
            let (mut ink, mut ground) = (colour(look.0, "#d8e2e4"), colour(look.1, "none"));
            if look.2.contains(Modifier::REVERSED) {
                (ink, ground) = ("#10181b", ink);
            }
            let (left, top) = (EDGE + from * WIDE, EDGE + y * HIGH);
            if ground != "none" {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{HIGH}\" fill=\"{ground}\"/>",
                    (x - from) * WIDE
                );
            }
            if text.trim().is_empty() {
                continue;
            }
            let weight = match look.2.contains(Modifier::BOLD) {
                true => " font-weight=\"bold\"",
                false => "",
            };
            let dim = match look.2.contains(Modifier::DIM) {
                true => " opacity=\"0.65\"",
                false => "",
            };
            let text = text.trim_end().replace('&', "&amp;").replace('<', "&lt;");
            let long = u16::try_from(
                text.replace("&amp;", "&")
                    .replace("&lt;", "<")
                    .chars()
                    .count(),
            )
            .unwrap()
                * WIDE;
            let _ = writeln!(
                svg,
                "<text x=\"{left}\" y=\"{}\" fill=\"{ink}\" textLength=\"{long}\" lengthAdjust=\"spacingAndGlyphs\"{weight}{dim}>{text}</text>",
                top + HIGH - 5
            );
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

const fn colour(colour: Color, otherwise: &'static str) -> &'static str {
    match colour {
        Color::Red | Color::LightRed => "#ff8f7a",
        Color::Green | Color::LightGreen => "#7fd1a0",
        Color::Yellow | Color::LightYellow => "#e6c36a",
        Color::Blue | Color::LightBlue => "#86b7ff",
        Color::Magenta | Color::LightMagenta => "#d6a2e8",
        Color::Cyan | Color::LightCyan => "#74d3d9",
        Color::Gray | Color::DarkGray => "#93a4a9",
        Color::White => "#ffffff",
        Color::Black => "#10181b",
        _ => otherwise,
    }
}

/// `UPDATE_DOCS=1 cargo test -p shoal-node --lib chat` draws it anew.
#[test]
fn the_picture_in_the_documents_is_what_the_chat_shows() {
    let mut play = Play::new(false);
    for contact in &mut play.contacts {
        contact.verified = contact.label == "Bob";
    }
    play.unread = vec![("carolskey12".to_owned(), 1)];
    play.lines = [
        (true, "Hello Bob. Are you well?", State::Read),
        (false, "Very well, thank you. Shall we meet at the harbour on Saturday? I can bring the boat, if the wind is right.", State::Read),
        (true, "Gladly. Ten o'clock?", State::Delivered),
        (false, "Ten it is. Nobody will know but us.", State::Read),
        (true, "And whoever watches sees cover, as ever.", State::Stored),
    ]
    .into_iter()
    .zip(1..)
    .map(|((own, text, state), number)| (number, own, text.to_owned(), state))
    .collect();
    play.open_bob();
    for second in 1..4_u64 {
        for (name, count) in [
            ("sent_real", 1),
            ("sent_dummy", 1),
            ("sent_loop", 2),
            ("sent_drop", 1),
            ("sent_mailbox", 1),
            ("filler", 7),
            ("receipts_stored", 1),
        ] {
            play.status.counters.insert(name.to_owned(), second * count);
        }
        play.now = NOW + Span::from_secs(second);
        play.input(Input::News(News::Messages));
        play.input(Input::Tick);
    }
    play.keys("See you there");
    play.key(Key::Right);
    let (cells, ..) = on_screen(&play.model, play.now, 80, 24, true);
    let drawn = svg(&cells);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures/chat.svg");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &drawn).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == drawn,
        "docs/pictures/chat.svg is not what the chat shows; run `UPDATE_DOCS=1 cargo test -p shoal-node --lib chat`"
    );
}
