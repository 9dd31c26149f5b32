//! The open conversation: its lines as far as they are here. What was here stays until one goes elsewhere, also where the
//! daemon keeps nothing that was read; what vanishes goes.

use super::model::{Line, Lines, MOST_LINES, State};

/// The end of what is shown of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Below {
    /// The place of the last line of which something is shown.
    pub(super) line: u64,
    /// Rows of it that are not.
    pub(super) rows: usize,
}

/// The conversation that is open.
pub(super) struct Open {
    pub(super) contact: String,
    /// In the order of their places. A line keeps its place; the daemon's number begins anew if the daemon does and keeps
    /// none.
    pub(super) lines: Vec<Line>,
    /// The daemon has earlier ones.
    pub(super) earlier: bool,
    /// They are being asked for.
    pub(super) asked_earlier: bool,
    /// That was not answered: it is asked again a second later.
    pub(super) failed_earlier: bool,
    /// Before the line at this place there are some that are not here, and others that are.
    hole: Option<u64>,
    /// All new ones before those that are here have come, too.
    complete: bool,
    /// The daemon was away: it may number anew.
    away: bool,
    /// What places are above numbers.
    shift: u64,
    /// The last place that was given.
    top: Option<u64>,
    /// They have come for the first time.
    pub(super) loaded: bool,
    /// Rows from the end.
    pub(super) scroll: usize,
    /// What stays where it is when more comes below, while it is read further up.
    pub(super) stays: Option<Below>,
    /// The place of the first one that was new when it was opened, or came while it was not looked at.
    pub(super) first_new: Option<u64>,
    /// The place up to which it was said that they are read.
    pub(super) read: Option<u64>,
    /// The place up to which they were told in the linear mode.
    pub(super) told: Option<u64>,
    /// In the linear mode, it was told that it is open.
    pub(super) begun: bool,
    /// There are some between those that were here and those that are.
    pub(super) skipped: bool,
}

impl Open {
    pub(super) const fn new(contact: String) -> Self {
        Self {
            contact,
            lines: Vec::new(),
            earlier: false,
            asked_earlier: false,
            failed_earlier: false,
            hole: None,
            complete: false,
            away: false,
            shift: 0,
            top: None,
            loaded: false,
            scroll: 0,
            stays: None,
            first_new: None,
            read: None,
            told: None,
            begun: false,
            skipped: false,
        }
    }

    /// The daemon is there again, perhaps another one.
    pub(super) const fn came_back(&mut self) {
        self.away = true;
        self.read = None;
        self.asked_earlier = false;
        self.failed_earlier = false;
    }

    /// All is deleted that was settled.
    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.earlier = false;
        self.hole = None;
    }

    /// Removes some. Where the line after a hole goes, the next one is.
    pub(super) fn remove(&mut self, gone: impl Fn(&Line) -> bool) {
        self.lines.retain(|line| !gone(line));
        if let Some(hole) = self.hole {
            let next = self.lines.iter().find(|line| line.place >= hole);
            self.hole = next.map(|line| line.place);
        }
    }

    /// An own one is so far at least, whether or not the daemon still has it.
    pub(super) fn became(&mut self, message: &str, state: State) {
        let own = |line: &&mut Line| line.own && line.message == message;
        if let Some(line) = self.lines.iter_mut().find(own)
            && how_far(line.state) < how_far(state)
        {
            line.state = state;
        }
    }

    fn holds(&self, message: &str) -> bool {
        self.lines.iter().any(|line| line.message == message)
    }

    /// Takes the latest lines up. `unread` is how many there are, as far as that is known.
    pub(super) fn take_latest(&mut self, page: Lines, unread: u64) {
        let reached = page.lines.iter().position(|line| self.holds(&line.message));
        self.settle(&page);
        if page.lines.is_empty() {
            self.earlier = false;
            self.hole = None;
        } else if let Some(reached) = reached {
            self.continue_with(page, reached);
        } else {
            self.begin_with(page);
        }
        self.let_go();
        self.look_for_new(unread);
    }

    /// What the daemon has no more was read, and stays.
    fn settle(&mut self, page: &Lines) {
        let first = page
            .lines
            .iter()
            .find_map(|of| self.lines.iter().position(|it| it.message == of.message));
        let from = match page.earlier {
            true => first.unwrap_or(self.lines.len()),
            false => 0,
        };
        for line in self.lines.iter_mut().skip(from) {
            let is_gone = page.lines.iter().all(|it| it.message != line.message);
            if is_gone && line.is_new() {
                line.state = State::Read;
            }
        }
    }

    /// Some of the page are here: those before them were left out, those behind them are later.
    fn continue_with(&mut self, page: Lines, reached: usize) {
        self.earlier |= reached > 0;
        let floor = std::mem::take(&mut self.away).then_some(self.top).flatten();
        for mut line in page.lines.into_iter().skip(reached) {
            match self.lines.iter_mut().find(|it| it.message == line.message) {
                Some(known) => {
                    line.place = known.place;
                    *known = line;
                }
                None => self.append(line, floor),
            }
        }
    }

    /// None of the page is here: what is was read, or so much has come that the page does not reach it.
    fn begin_with(&mut self, page: Lines) {
        if std::mem::take(&mut self.away)
            && let Some(top) = self.top
        {
            // Numbers say nothing of what was before.
            self.shift = top.saturating_add(1);
        }
        if let Some(hole) = self.hole.take_if(|_| page.earlier) {
            // One at a time is filled; what was behind it comes again.
            self.lines.retain(|line| line.place < hole);
        }
        let was_empty = self.lines.is_empty();
        let last = self.lines.last().map(|line| line.place);
        let (mut first, mut left_out) = (None, false);
        for line in page.lines {
            // Those before what is here were left out.
            if last.is_some_and(|last| line.number.saturating_add(self.shift) <= last) {
                left_out = true;
                continue;
            }
            self.append(line, None);
            first = first.or(self.lines.last().map(|line| line.place));
        }
        match first {
            Some(_) if was_empty => self.earlier = page.earlier,
            Some(first) if page.earlier && !left_out => self.hole = Some(first),
            _ => self.earlier = left_out,
        }
    }

    /// Puts one behind all that are here, and behind a place.
    fn append(&mut self, mut line: Line, floor: Option<u64>) {
        let last = self.lines.last().map(|line| line.place).max(floor);
        let next = last.map_or(0, |last| last.saturating_add(1));
        line.place = line.number.saturating_add(self.shift).max(next);
        self.shift = line.place.saturating_sub(line.number);
        self.top = self.top.max(Some(line.place));
        self.lines.push(line);
    }

    /// Where earlier lines go that are asked for, and before which number.
    pub(super) fn before(&self) -> Option<u64> {
        self.next().map(|line| line.number)
    }

    fn next(&self) -> Option<&Line> {
        match self.hole {
            Some(hole) => self.lines.iter().find(|line| line.place == hole),
            None => self.lines.first(),
        }
    }

    /// Whether earlier ones are to be fetched before what is here can be told as read.
    pub(super) const fn misses_some(&self) -> bool {
        self.hole.is_some() || !self.complete
    }

    /// Takes earlier lines up, and gives the places of those that are new here; none if others have come or gone meanwhile,
    /// so that it is to be asked again.
    pub(super) fn take_earlier(
        &mut self,
        before: u64,
        page: Lines,
        unread: u64,
    ) -> Option<Vec<u64>> {
        self.asked_earlier = false;
        let next = self.next().filter(|line| line.number == before)?;
        let (at, shift) = (next.place, next.place.saturating_sub(next.number));
        let reaches = page.lines.iter().any(|line| self.holds(&line.message));
        let mut floor = self
            .lines
            .iter()
            .rev()
            .find(|line| line.place < at)
            .map(|line| line.place);
        let mut new = Vec::new();
        for mut line in page.lines {
            line.place = line.number.saturating_add(shift);
            let fits = line.number < before && Some(line.place) > floor;
            if fits && !self.holds(&line.message) {
                floor = Some(line.place);
                new.push(line);
            }
        }
        let places: Vec<u64> = new.iter().map(|line| line.place).collect();
        let index = self.lines.iter().position(|line| line.place == at)?;
        if let Some(first) = new.iter().find(|line| line.is_new()) {
            let known = self.first_new.unwrap_or(first.place);
            self.first_new = Some(known.min(first.place));
        }
        self.lines.splice(index..index, new);
        match self.hole {
            Some(_) if page.earlier && !reaches && !places.is_empty() => {
                self.hole = places.first().copied();
            }
            Some(_) => {
                self.hole = None;
                self.earlier &= reaches;
            }
            None => self.earlier = page.earlier && !places.is_empty(),
        }
        if let Some(hole) = self.hole.take_if(|_| self.lines.len() > MOST_LINES) {
            self.lines.retain(|line| line.place >= hole);
            self.earlier = true;
            self.skipped = true;
        }
        self.look_for_new(unread);
        Some(places)
    }

    /// Whether there are new ones before those that are here: later, only some behind them come.
    fn look_for_new(&mut self, unread: u64) {
        let first = self.lines.iter().find(|line| !line.own);
        let begins_new = first.is_some_and(Line::is_new);
        let here = self.lines.iter().filter(|line| line.is_new()).count() as u64;
        let more = self.earlier && self.lines.len() < MOST_LINES && (begins_new || here < unread);
        self.complete |= !more;
    }

    /// The earliest go where there are too many, but none that is new.
    fn let_go(&mut self) {
        let over = self.lines.len().saturating_sub(MOST_LINES);
        let new = self.lines.iter().position(Line::is_new).unwrap_or(over);
        self.leave_out(over.min(new));
    }

    /// Leaves out the first ones, which are asked for again if they are wanted.
    pub(super) fn leave_out(&mut self, lines: usize) {
        if lines > 0 && self.hole.is_none() {
            self.lines.drain(..lines);
            self.earlier = true;
        }
    }
}

const fn how_far(state: State) -> u8 {
    match state {
        State::Unread | State::Queued => 0,
        State::Sent => 1,
        State::Stored | State::Expired => 2,
        State::Delivered => 3,
        State::Read => 4,
    }
}
