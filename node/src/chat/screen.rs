//! The screen: what the model has, in the cells of a terminal. Every text is put there by [`Canvas::put`], which lets
//! nothing through that is not [`Safe`]; what somebody else wrote stands behind a mark of ours on each of its rows, and
//! behind our own words where it shares a row with them, so that it can look like none of them.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use shoal_proto::Time;
use zeroize::Zeroizing;

use super::model::{
    Below, Connection, Focus, Line, Model, Open, Pending, Person, Returned, Seen, State,
};
use super::pages::{self, Room};
use super::safe::{Safe, glyphs, width, wrapped};
use super::words;

/// The least that all of it fits into.
const LEAST: (u16, u16) = (40, 10);
/// What shows all of it well.
const GOOD: (u16, u16) = (80, 24);
/// From so many columns on, people stand beside the conversation.
const WIDE: u16 = 72;
/// What they take of them.
const PEOPLE: u16 = 26;
/// Most rows of what is being written, and of what is said.
const MOST_WRITTEN: usize = 5;
const MOST_SAID: usize = 3;
/// What a question takes.
const ANSWERS: &str = "y: yes, any other key: no.";
/// What stands before what is written.
const PROMPT: &str = "> ";
/// What stands before each row of a text.
const GUTTER: &str = "│ ";

/// How things look.
#[derive(Clone, Copy)]
pub(super) struct Look {
    /// Nothing is told by colours alone.
    pub(super) colour: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Bar,
    Faint,
    Strong,
    Own,
    Other,
    Alarm,
    Chosen,
}

impl Look {
    fn style(self, kind: Kind) -> Style {
        let plain = Style::default();
        let (style, colour) = match kind {
            Kind::Plain => (plain, None),
            Kind::Bar | Kind::Chosen => (plain.add_modifier(Modifier::REVERSED), None),
            Kind::Faint => (plain, Some(Color::DarkGray)),
            Kind::Strong => (plain.add_modifier(Modifier::BOLD), None),
            Kind::Own => (plain, Some(Color::Cyan)),
            Kind::Other => (plain.add_modifier(Modifier::BOLD), Some(Color::Green)),
            Kind::Alarm => (plain.add_modifier(Modifier::BOLD), Some(Color::Yellow)),
        };
        match colour.filter(|_| self.colour) {
            Some(colour) => style.fg(colour),
            None => style,
        }
    }
}

/// Where texts are put.
struct Canvas<'a> {
    cells: &'a mut Buffer,
    look: Look,
}

impl Canvas<'_> {
    /// Puts a text on one row, as far as it fits, and gives the columns that it takes.
    fn put(&mut self, (x, y): (u16, u16), columns: u16, text: &str, kind: Kind) -> u16 {
        let style = self.look.style(kind);
        let text = Safe::line(text);
        let mut used = 0;
        for (glyph, wide) in glyphs(&text) {
            let wide = if wide == 2 { 2 } else { 1 };
            if used + wide > columns {
                break;
            }
            let Some(cell) = self.cells.cell_mut(Position::new(x + used, y)) else {
                break;
            };
            cell.set_symbol(glyph).set_style(style);
            if wide == 2
                && let Some(behind) = self.cells.cell_mut(Position::new(x + used + 1, y))
            {
                behind.reset();
            }
            used += wide;
        }
        used
    }

    /// The same, and the rest of the row in the same way.
    fn fill(&mut self, (x, y): (u16, u16), columns: u16, text: &str, kind: Kind) {
        let used = self.put((x, y), columns, text, kind);
        for column in used..columns {
            self.put((x + column, y), 1, " ", kind);
        }
    }
}

/// A row of a conversation or a page.
struct Row<'a> {
    gutter: &'static str,
    text: Cow<'a, str>,
    kind: Kind,
}

/// Draws all, and tells what can be seen of it and where the cursor is.
pub(super) fn draw(
    model: &Model,
    now: Time,
    look: Look,
    cells: &mut Buffer,
) -> (Seen, Option<Position>) {
    let area = cells.area;
    let mut canvas = Canvas { cells, look };
    if area.width < LEAST.0 || area.height < LEAST.1 {
        too_small(&mut canvas, area);
        return (Seen::default(), None);
    }
    let columns = area.width;
    bar(model, &mut canvas, area);
    canvas.put(
        (0, 1),
        columns,
        &format!(" {}", pages::traffic(model)),
        Kind::Faint,
    );
    let mut top = 2;
    if let Some(line) = alarm(model) {
        canvas.put((0, top), columns, &line, Kind::Alarm);
        top += 1;
    }
    // Of a small window most is for what is shown.
    let most = if area.height < GOOD.1 {
        2
    } else {
        MOST_WRITTEN
    };
    let (written, cursor) = written(
        model,
        usize::from(columns).saturating_sub(PROMPT.len()),
        most,
    );
    let said = said(
        model,
        usize::from(columns).saturating_sub(1),
        most.min(MOST_SAID),
    );
    let below = 1 + written.len() + said.len();
    let below = u16::try_from(below).unwrap_or(area.height);
    let bottom = area.height.saturating_sub(below).max(top);
    let body = Rect::new(0, top, columns, bottom - top);
    let seen = self::body(model, now, &mut canvas, body);
    between(model, &mut canvas, bottom, columns);
    let mut y = bottom + 1;
    let urgent = model.confirm.is_some();
    for line in &said {
        canvas.put(
            (1, y),
            columns - 1,
            line,
            if urgent { Kind::Alarm } else { Kind::Strong },
        );
        y += 1;
    }
    let mut place = None;
    for (at, line) in written.iter().enumerate() {
        canvas.put((0, y), 2, if at == 0 { PROMPT } else { "  " }, Kind::Strong);
        canvas.put((2, y), columns - 2, line, Kind::Plain);
        if at == cursor.0 && model.confirm.is_none() {
            let column = u16::try_from(cursor.1).unwrap_or(columns);
            place = Some(Position::new((2 + column).min(columns - 1), y));
        }
        y += 1;
    }
    (seen, place)
}

fn too_small(canvas: &mut Canvas<'_>, area: Rect) {
    let words = format!(
        "This window is {} by {}, and Shoal needs {} by {} at least (80 by 24 is good). Enlarge it, or end the chat with \
         Ctrl+C and start it with --linear. Nothing that you wrote is lost.",
        area.width, area.height, LEAST.0, LEAST.1
    );
    for (y, row) in (0..area.height).zip(wrapped(&words, usize::from(area.width))) {
        canvas.put((0, y), area.width, row, Kind::Plain);
    }
}

fn bar(model: &Model, canvas: &mut Canvas<'_>, area: Rect) {
    let state = match (&model.connection, &model.status) {
        (Connection::Down(_), _) => "NO DAEMON".to_owned(),
        (Connection::Looking, _) | (_, None) => "asking the daemon".to_owned(),
        (_, Some(it)) => {
            let online = if it.online { "online" } else { "NOT CONNECTED" };
            format!("{online}, network {}, profile {}", it.network, it.profile)
        }
    };
    let new: u64 = model.people.iter().map(|it| it.unread).sum();
    let new = match new {
        0 => String::new(),
        new => format!(", {new} new"),
    };
    let small = match area.width < GOOD.0 || area.height < GOOD.1 {
        true => " (small window)",
        false => "",
    };
    canvas.fill(
        (0, 0),
        area.width,
        &format!(" Shoal{small}: {state}{new}"),
        Kind::Bar,
    );
    let help = " F1 help ";
    let wide = u16::try_from(width(help)).unwrap_or(0);
    canvas.put((area.width - wide, 0), wide, help, Kind::Bar);
}

/// The alarm that there is, and how many more.
fn alarm(model: &Model) -> Option<String> {
    let alarms = &model.status.as_ref()?.alarms;
    let first = alarms.first()?;
    let more = match alarms.len() {
        1 => String::new(),
        all => format!(" of {all}"),
    };
    Some(format!(" ALARM{more} (F6: what to do): {first}"))
}

/// The rows of what is being written, of which the last ones up to the cursor are seen, and the cursor in them.
fn written(model: &Model, columns: usize, most: usize) -> (Vec<Zeroizing<String>>, (usize, usize)) {
    let editor = model.written();
    let text = editor.map_or("", |it| it.text());
    let before = editor.map_or("", |it| it.before());
    if text.is_empty() {
        let hint = match (model.focus, model.open.is_some()) {
            (Focus::People, _) => {
                "Choose with the arrows, Enter opens. Tab: write. F2: invite. F3: accept."
            }
            (Focus::Text, true) => "Write here; Enter sends. Tab: people. F1: help.",
            (Focus::Text, false) => "Commands begin with a slash: /help has them all. Tab: people.",
        };
        return (vec![Zeroizing::new(format!("({hint})"))], (0, 0));
    }
    let rows = cut(&Safe::text(text), columns);
    let to_cursor = cut(&Safe::text(before), columns);
    let row = to_cursor.len().saturating_sub(1);
    let column = to_cursor.last().map_or(0, |row| width(row));
    let first = (row + 1).saturating_sub(most);
    let seen = rows.into_iter().skip(first).take(most).collect();
    (seen, (row - first, column))
}

/// Rows that are full before there is another one, wherever words end: so a part of the text has a part of the rows.
fn cut(text: &str, columns: usize) -> Vec<Zeroizing<String>> {
    // Room for all of one, so that none grows.
    let row = || Zeroizing::new(String::with_capacity(16 * columns + 16));
    let mut rows = vec![row()];
    let mut used = 0;
    for line in text.split_inclusive('\n') {
        for (glyph, wide) in glyphs(line) {
            if used + wide > columns.max(2) {
                rows.push(row());
                used = 0;
            }
            if let Some(row) = rows.last_mut() {
                row.push_str(glyph);
            }
            used += wide;
        }
        if line.ends_with('\n') {
            rows.push(row());
            used = 0;
        }
    }
    rows
}

/// A question, or what there is to say.
fn said(model: &Model, columns: usize, most: usize) -> Vec<String> {
    if let Some(question) = model.question() {
        let whole = rows_of_words(&format!("{question} {ANSWERS}"), columns, usize::MAX);
        if whole.len() <= most {
            return whole;
        }
        // What can be answered is seen in any case.
        let answers = rows_of_words(ANSWERS, columns, most);
        let room = most.saturating_sub(answers.len());
        let mut rows = rows_of_words(&question, columns, room);
        rows.extend(answers);
        return rows;
    }
    let notice = model.notice.as_ref();
    notice.map_or_else(Vec::new, |words| rows_of_words(words, columns, most))
}

/// So many rows at most, of which the last one tells if there would be more.
fn rows_of_words(words: &str, columns: usize, most: usize) -> Vec<String> {
    let words = Safe::line(words);
    let rows = wrapped(&words, columns);
    let mut rows: Vec<String> = rows.into_iter().map(str::to_owned).collect();
    if rows.len() > most {
        rows.truncate(most);
        if let Some(last) = rows.last_mut() {
            let fits = last.len().saturating_sub(4);
            let end = (0..=fits)
                .rev()
                .find(|at| last.is_char_boundary(*at))
                .unwrap_or(0);
            last.truncate(end);
            last.push_str(" ...");
        }
    }
    rows
}

/// The row between what is said and what is written: to whom, and how long it takes.
fn between(model: &Model, canvas: &mut Canvas<'_>, y: u16, columns: u16) {
    canvas.put(
        (0, y),
        columns,
        &"─".repeat(usize::from(columns)),
        Kind::Faint,
    );
    let Some(key) = model.open_key() else { return };
    let name = model.name(&key);
    let standing = model.person(&key).map_or("not known", |it| it.standing());
    let (long, short) = match &model.status {
        Some(it) => (
            format!("{} to their mailbox", words::about(it.expected_stored_ms)),
            words::about_short(it.expected_stored_ms),
        ),
        None => ("waiting for the daemon".to_owned(), "no daemon".to_owned()),
    };
    let life = model
        .life_of(&key)
        .map(|life| format!("vanishes after {}", words::life(life)));
    let (comma, life) = (life.as_ref().map_or("", |_| ", "), life.unwrap_or_default());
    // A name comes last, and what is before it gives way.
    let room = columns.saturating_sub(4);
    let all = [
        format!(" {long}{comma}{life}; {standing}; you write to {} ", &*name),
        format!(" {short}{comma}{life}; {standing}; to {} ", &*name),
        format!(
            " {life}{}{standing}; to {} ",
            comma.replace(',', ";"),
            &*name
        ),
        format!(" {standing}; to {} ", &*name),
    ];
    let fits = |it: &&String| width(it) <= usize::from(room);
    let to = format!(" to {} ", &*name);
    let words = all.iter().find(fits).unwrap_or(&to);
    canvas.put((2, y), room, words, Kind::Faint);
}

fn body(model: &Model, now: Time, canvas: &mut Canvas<'_>, area: Rect) -> Seen {
    if let Some((page, scroll)) = &model.page {
        return self::page(model, page, *scroll, canvas, area);
    }
    if area.width < WIDE {
        return match (&model.open, model.focus) {
            (Some(open), Focus::Text) => conversation(model, open, now, canvas, area),
            _ => people(model, canvas, area),
        };
    }
    people(
        model,
        canvas,
        Rect {
            width: PEOPLE,
            ..area
        },
    );
    for y in area.top()..area.bottom() {
        canvas.put((PEOPLE, y), 1, "│", Kind::Faint);
    }
    let right = Rect::new(PEOPLE + 2, area.y, area.width - PEOPLE - 2, area.height);
    match &model.open {
        Some(open) => conversation(model, open, now, canvas, right),
        None => {
            let lines = match model.people.is_empty() && model.loaded {
                true => pages::nobody(),
                false => vec!["No conversation is open.".to_owned()],
            };
            let rows = lines
                .iter()
                .flat_map(|line| wrapped(line, usize::from(right.width)));
            for (y, row) in (right.top()..right.bottom()).zip(rows) {
                canvas.put((right.x, y), right.width, row, Kind::Plain);
            }
            Seen::default()
        }
    }
}

fn people(model: &Model, canvas: &mut Canvas<'_>, area: Rect) -> Seen {
    let chosen = |it: &Person| model.selected.as_ref() == Some(&it.contact.key);
    let at = model.people.iter().position(chosen).unwrap_or(0);
    let high = usize::from(area.height).max(1);
    // The list moves by whole screens, so that it stands still while one chooses.
    let first = at / high * high;
    if model.people.is_empty() && model.loaded && area.width > PEOPLE {
        let lines = pages::nobody();
        let rows = lines
            .iter()
            .flat_map(|line| wrapped(line, usize::from(area.width) - 1));
        for (y, row) in (area.top()..area.bottom()).zip(rows) {
            canvas.put((area.x + 1, y), area.width - 1, row, Kind::Plain);
        }
        return Seen::default();
    }
    for (y, person) in (area.top()..area.bottom()).zip(model.people.iter().skip(first)) {
        let open = model
            .open
            .as_ref()
            .is_some_and(|open| open.contact == person.contact.key);
        let is_chosen = chosen(person) && model.focus == Focus::People;
        let mark = match (is_chosen, open) {
            (true, _) => ">",
            (false, true) => "*",
            (false, false) => " ",
        };
        let new = match person.unread {
            0 => String::new(),
            unread => format!("{unread} new "),
        };
        let flag = match (
            person.contact.blocked,
            person.leaked && !person.contact.verified,
        ) {
            (true, _) => "(blocked) ",
            (_, true) => "(!) ",
            _ => "",
        };
        let kind = match (is_chosen, person.unread) {
            (true, _) => Kind::Chosen,
            (false, 0) => Kind::Plain,
            (false, _) => Kind::Strong,
        };
        let line = format!("{mark} {new}{flag}{}", &*person.name);
        canvas.fill((area.x, y), area.width, &line, kind);
    }
    Seen::default()
}

fn page(
    model: &Model,
    page: &super::model::Page,
    scroll: usize,
    canvas: &mut Canvas<'_>,
    area: Rect,
) -> Seen {
    let columns = usize::from(area.width);
    let title = format!(
        " {} (Esc closes, PgUp and PgDn scroll)",
        pages::title(model, page)
    );
    canvas.put((0, area.y), area.width, &title, Kind::Strong);
    let high = area.height.saturating_sub(1);
    let room = Room {
        columns,
        rows: usize::from(high),
    };
    let lines = pages::lines(model, page, Some(room));
    let lines: Vec<Safe> = lines.iter().map(|line| Safe::line(line)).collect();
    let rows: Vec<&str> = lines
        .iter()
        .flat_map(|line| wrapped(line, columns))
        .collect();
    let most = rows.len().saturating_sub(usize::from(high));
    let scroll = scroll.min(most);
    for (y, row) in (area.y + 1..area.bottom()).zip(rows.iter().skip(scroll)) {
        canvas.put((0, y), area.width, row, Kind::Plain);
    }
    Seen {
        most_page_scroll: most,
        rows: usize::from(high).saturating_sub(1),
        ..Seen::default()
    }
}

fn conversation(
    model: &Model,
    open: &Open,
    now: Time,
    canvas: &mut Canvas<'_>,
    area: Rect,
) -> Seen {
    let columns = usize::from(area.width);
    let high = usize::from(area.height);
    let (mut scroll, mut stays) = (open.scroll, open.stays);
    // From the end on, and no further than is seen.
    let mut rows: Vec<Row<'_>> = Vec::new();
    let pending = model.pending.iter().filter(|it| it.contact == open.contact);
    let returned = model.returned.iter();
    let returned = returned.filter(|it| it.contact.as_ref().is_none_or(|it| *it == open.contact));
    let mut whole = true;
    for pending in pending.rev() {
        rows.extend(rows_of_pending(pending, columns).into_iter().rev());
    }
    for returned in returned.rev() {
        rows.extend(rows_of_returned(returned, columns).into_iter().rev());
    }
    let mut starts: Vec<(usize, u64)> = Vec::new();
    for line in open.lines.iter().rev() {
        // It may be gone: then what was before it stays.
        if let Some(below) = stays.take_if(|below| below.line >= line.place) {
            let rest = if below.line == line.place {
                below.rows
            } else {
                0
            };
            scroll = rows.len() + rest;
        }
        if stays.is_none() && rows.len() >= scroll + high {
            whole = false;
            break;
        }
        starts.push((rows.len(), line.place));
        rows.extend(rows_of(model, open, line, now, columns).into_iter().rev());
    }
    if open.loaded && rows.is_empty() {
        let text = "Nothing was said yet.".into();
        rows.push(Row {
            gutter: "",
            text,
            kind: Kind::Faint,
        });
    }
    let total = rows.len();
    let most_scroll = match whole {
        true => total.saturating_sub(high),
        false => usize::MAX,
    };
    let scroll = scroll.min(most_scroll);
    let last = starts.iter().rev().find(|(start, _)| *start <= scroll);
    let below = last.map(|(start, line)| Below {
        line: *line,
        rows: scroll - start,
    });
    let seen = rows.iter().skip(scroll).take(high);
    // Little stands at the top, much at the bottom.
    let last = area.y
        + u16::try_from(seen.len())
            .unwrap_or(area.height)
            .min(area.height);
    for (y, row) in (area.y..last).rev().zip(seen) {
        let used = canvas.put((area.x, y), area.width, row.gutter, Kind::Faint);
        canvas.put((area.x + used, y), area.width - used, &row.text, row.kind);
    }
    Seen {
        newest: open.loaded && scroll == 0 && high > 0,
        oldest: open.loaded && whole && scroll == most_scroll,
        scroll,
        most_scroll,
        below,
        most_page_scroll: 0,
        rows: high.saturating_sub(1),
    }
}

fn head<'a>(words: &str, kind: Kind, columns: usize) -> Vec<Row<'a>> {
    let words = Safe::line(words);
    let rows = wrapped(&words, columns);
    rows.into_iter()
        .map(|row| Row {
            gutter: "",
            text: Cow::Owned(row.to_owned()),
            kind,
        })
        .collect()
}

fn text_rows(text: &Safe, columns: usize) -> impl Iterator<Item = Row<'_>> {
    let rows = wrapped(text, columns.saturating_sub(width(GUTTER)));
    rows.into_iter().map(|row| Row {
        gutter: GUTTER,
        text: Cow::Borrowed(row),
        kind: Kind::Plain,
    })
}

fn rows_of<'a>(
    model: &Model,
    open: &Open,
    line: &'a Line,
    now: Time,
    columns: usize,
) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    if open.first_new == Some(line.place) {
        rows.extend(head("──── new ────", Kind::Strong, columns));
    }
    if line.gap_before > 0 {
        let words = gap(line.gap_before);
        rows.extend(head(&words, Kind::Alarm, columns));
    }
    let words = line_head(model, line, now);
    match line.own {
        true => rows.extend(head(&words, Kind::Own, columns)),
        // On one row, as far as it fits: no name begins a row.
        false => rows.push(Row {
            gutter: "",
            text: words.into(),
            kind: Kind::Other,
        }),
    }
    rows.extend(text_rows(&line.text, columns));
    rows
}

/// How many texts have not come that were written before one.
pub(super) fn gap(missing: u64) -> String {
    format!(
        "{} from them before this have not come; they still may",
        words::count(missing, "text", "texts")
    )
}

/// Who, when and how; a name comes last, so that it can look like nothing else.
fn line_head(model: &Model, line: &Line, now: Time) -> String {
    let ends = line.expires.map_or_else(String::new, |at| {
        format!(", vanishes {}", words::until(at, now))
    });
    let when = words::ago(line.at, now);
    match line.own {
        false => format!(
            "< {when}{ends}, from {}",
            &*model.name(&model.open_key().unwrap_or_default())
        ),
        true => format!("> you, {when}{ends}: {}", state(model, line)),
    }
}

/// The state of an own line, with what is expected, or in the way.
pub(super) fn state(model: &Model, line: &Line) -> String {
    let word = words::state(line.state);
    let waits = matches!(line.state, State::Queued | State::Sent);
    let expected = model.taken.get(&line.message).map(|it| it.expected_ms);
    match (&line.hindrance, expected) {
        (Some(why), _) if waits => format!("{word} ({})", &**why),
        (None, Some(ms)) if waits => format!("{word} ({} until stored)", words::about_short(ms)),
        _ => word.to_owned(),
    }
}

fn rows_of_pending(pending: &Pending, columns: usize) -> Vec<Row<'_>> {
    let words = match &pending.waits {
        Some((why, _)) => format!(
            "> you: not taken by the daemon yet, and tried again ({})",
            &**why
        ),
        None => "> you: being handed to the daemon".to_owned(),
    };
    let mut rows = head(&words, Kind::Own, columns);
    rows.extend(text_rows(&pending.shown, columns));
    rows
}

fn rows_of_returned(returned: &Returned, columns: usize) -> Vec<Row<'_>> {
    let words = format!(
        "> you: not taken: {} (Up in the empty line takes it back)",
        &*returned.why
    );
    let mut rows = head(&words, Kind::Alarm, columns);
    rows.extend(text_rows(&returned.shown, columns));
    rows
}
