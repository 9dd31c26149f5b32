//! What is asked, shown and told of the open conversation's lines.

use super::looks::Look;
use super::model::{
    Ask, Focus, Line, Lines, MOST_LINES, Model, Open, Page, Seen, Told, Trouble, TroubleKind,
};

/// Lines of a conversation that are told when it is opened in the linear mode.
const FIRST_TOLD: usize = 10;

impl Model {
    /// Opens a conversation.
    pub(super) fn open(&mut self, key: &str) {
        self.page = None;
        self.selected = Some(key.to_owned());
        self.focus = Focus::Text;
        if self.open_key().as_deref() == Some(key) {
            return;
        }
        self.acts += 1;
        self.open = Some(Open::new(key.to_owned()));
        // What was written while nobody was open is for whoever is opened, unless something was begun there.
        if self.nothing_written()
            && let Some(loose) = self.editors.remove(&None)
        {
            self.editors.insert(self.open_key(), loose);
        }
        self.want(Look::Lines);
    }

    pub(super) fn close(&mut self) {
        self.acts += 1;
        self.open = None;
        self.focus = Focus::People;
    }

    /// Lines of a conversation have come.
    pub(super) fn page_of(&mut self, contact: &str, before: Option<u64>, page: Lines) {
        let glance = self.glances.iter().find(|it| it.contact == contact);
        let unread = glance.map_or(0, |it| it.unread);
        let Some(open) = self.open.as_mut().filter(|open| open.contact == contact) else {
            return;
        };
        match before {
            Some(before) => {
                let is_asked_for = !open.misses_some();
                let new = open.take_earlier(before, page, unread);
                if is_asked_for && open.begun {
                    let new = new.unwrap_or_default();
                    self.told.extend(new.into_iter().map(Told::Line));
                    return;
                }
            }
            None => {
                open.take_latest(page, unread);
                open.loaded = true;
                if open.first_new.is_none() {
                    let first = open.lines.iter().find(|line| line.is_new());
                    open.first_new = first.map(|line| line.place);
                }
            }
        }
        if !self.fetch_missing() && self.linear {
            self.tell_lines();
        }
    }

    /// Asks for what is to be here before anything is told as read. Whether there is some.
    pub(super) fn fetch_missing(&mut self) -> bool {
        let misses = self.open.as_ref().is_some_and(Open::misses_some);
        if misses {
            self.ask_before();
        }
        misses
    }

    /// Tells what has come since lines were told last; of own ones only when a conversation is opened.
    fn tell_lines(&mut self) {
        let Some(open) = &mut self.open else { return };
        let first = !std::mem::replace(&mut open.begun, true);
        let fresh = open.lines.iter().filter(|it| Some(it.place) > open.told);
        let fresh: Vec<(u64, bool)> = fresh.map(|it| (it.place, it.own)).collect();
        let skip = match first {
            // All that is new is told, and what was said between.
            true => {
                let new = open.lines.iter().position(Line::is_new);
                let most = fresh.len().saturating_sub(FIRST_TOLD);
                new.map_or(most, |new| most.min(new))
            }
            false => 0,
        };
        // Those that are left out are told by /more.
        open.leave_out(skip);
        if let Some((last, _)) = fresh.last() {
            open.told = Some(*last);
        }
        let (earlier, skipped) = (open.earlier, std::mem::take(&mut open.skipped));
        if first {
            self.tell_begin(earlier, fresh.is_empty());
        } else if skipped {
            self.mention("There are texts between, which are not told here: /more tells them.");
        }
        let told = fresh.into_iter().skip(skip);
        let told = told.filter(|(_, own)| first || !own);
        self.told.extend(told.map(|(place, _)| Told::Line(place)));
    }

    fn tell_begin(&mut self, earlier: bool, is_empty: bool) {
        let key = self.open_key().unwrap_or_default();
        let standing = self.person(&key).map_or("not known", |it| it.standing());
        let more = if earlier {
            " /more tells earlier texts."
        } else {
            ""
        };
        let name = self.name(&key);
        self.mention(&format!("Conversation with {} ({standing}).{more}", &*name));
        if is_empty {
            self.mention("Nothing was said yet. Type a line to send it.");
        }
    }

    /// Asks for lines before those that are here.
    pub(super) fn ask_earlier(&mut self) -> bool {
        let wanted = self
            .open
            .as_ref()
            .is_some_and(|open| open.earlier && open.lines.len() < MOST_LINES);
        wanted && self.ask_before()
    }

    fn ask_before(&mut self) -> bool {
        let up = self.is_up();
        let Some(open) = &mut self.open else {
            return false;
        };
        let Some(before) = open.before().filter(|_| up && !open.asked_earlier) else {
            return false;
        };
        open.asked_earlier = true;
        let ask = Ask::Lines {
            contact: open.contact.clone(),
            before: Some(before),
        };
        self.ask(ask);
        true
    }

    /// Earlier lines did not come. They are asked for again, but not at once.
    pub(super) fn no_earlier(&mut self, contact: &str, trouble: &Trouble) {
        if let Some(open) = self.open.as_mut().filter(|open| open.contact == contact) {
            open.failed_earlier = open.asked_earlier;
        }
        if trouble.kind == TroubleKind::Refused {
            self.complain(&trouble.words);
        }
    }

    /// A second is over.
    pub(super) fn tick_lines(&mut self, now: shoal_proto::Time) {
        let Some(open) = &mut self.open else { return };
        open.remove(|line| line.expires.is_some_and(|at| at <= now));
        if std::mem::take(&mut open.failed_earlier) {
            open.asked_earlier = false;
            self.fetch_missing();
        }
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
        // What is told as read may be deleted by the daemon: all of it is here.
        if seen.newest && up && !open.misses_some() {
            let newest = open.lines.iter().rev().find(|line| line.is_new());
            let newest = newest.map(|line| (line.place, line.number));
            if let Some((place, up_to)) = newest.filter(|(place, _)| Some(*place) > open.read) {
                open.read = Some(place);
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
