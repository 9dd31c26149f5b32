//! The linear mode: plain lines, one after the other, for a screen reader or a pipe. Nothing is ever taken back, and no
//! cursor is moved.

use zeroize::Zeroizing;

use super::model::{Line, Model, Seen, State, Told};
use super::pages;
use super::safe::{Safe, wrapped};
use super::screen::{gap, state};
use super::words;

/// The lines that there are to say, and the end of the conversation as seen if it was among them. Rows of a text begin
/// with `| `, and where one is folded for a terminal of so many columns, with `: `: no text looks like anything else.
pub(super) fn lines(model: &mut Model, columns: Option<usize>) -> Vec<Zeroizing<String>> {
    let mut lines = Vec::new();
    let mut seen = Seen::default();
    while let Some(told) = model.told.pop_front() {
        match told {
            Told::Words(words) => lines.push(line(&words)),
            Told::Page(page) => {
                lines.push(line(&format!("{}:", pages::title(model, &page))));
                lines.extend(pages::lines(model, &page, None).iter().map(|it| line(it)));
            }
            Told::Line(place) => {
                let of_open = |it: &&Line| it.place == place;
                let open = model.open.as_ref();
                if let Some(it) = open.and_then(|open| open.lines.iter().find(of_open)) {
                    lines.extend(said(model, it, columns));
                    seen.newest = true;
                }
            }
        }
    }
    if seen.newest {
        model.handle_seen(seen);
    }
    lines
}

fn line(words: &str) -> Zeroizing<String> {
    Zeroizing::new(Safe::line(words).to_string())
}

fn said(model: &Model, it: &Line, columns: Option<usize>) -> Vec<Zeroizing<String>> {
    let mut lines = Vec::new();
    if it.gap_before > 0 {
        lines.push(line(&format!("({}.)", gap(it.gap_before))));
    }
    let when = words::moment(it.at);
    let ends = it.expires.map_or_else(String::new, |at| {
        format!(", vanishes {}", words::moment(at))
    });
    let new = if it.state == State::Unread {
        "New from"
    } else {
        "From"
    };
    let head = match it.own {
        true => format!("You, {when}{ends}, {}:", state(model, it)),
        false => format!(
            "{new} {}, {when}{ends}:",
            &*model.name(&model.open_key().unwrap_or_default())
        ),
    };
    lines.push(line(&head));
    let fold = columns.map_or(usize::MAX, |columns| columns.saturating_sub(2));
    for row in it.text.split('\n') {
        for (at, part) in wrapped(row, fold).into_iter().enumerate() {
            let mark = if at == 0 { "| " } else { ": " };
            lines.push(Zeroizing::new(format!("{mark}{part}")));
        }
    }
    lines
}
