//! How places are moved to, told of, left and closed.
//!
//! A place for contacts is moved from when its time has come, which was drawn when it was made. Tokens for another
//! one are got first, some hours later it is opened, and some days after that, if it is open, it is the present
//! one: what is written from then on says
//! where it is, and contacts who are not written to are told within a day. The old one is read until all have
//! written to the new one, and at most until what they can have deposited is over; then it is closed, read
//! until it is empty, and forgotten. Who is away does not move: what is due happens when it is back.
//!
//! Nothing that a provider or a contact does sets a time, but for trouble that lasts a quarter of a day and
//! brings the next move forward, to a time that is drawn.

use rand::CryptoRng;
use shoal_proto::Time;
use shoal_topology::Document;

use super::{Made, Places};
use crate::mailbox::MailboxLink;
use crate::rows::{Audience, Change, PlaceRow, Stage};
use crate::table::Table;

/// What follows from looking at the places whose time has come.
#[derive(Default)]
pub(crate) struct Moves {
    /// Places that were made.
    pub(crate) made: Vec<Made>,
    /// What is to be saved.
    pub(crate) changes: Vec<Change>,
}

impl Places {
    /// When a place is to be looked at.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let next = self.places.values().map(|row| row.next).min();
        next.filter(|at| *at != Time::MAX)
    }

    /// Does what is due. Whether all contacts have written to the present place is known from `all_use`.
    pub(crate) fn step<R: CryptoRng>(
        &mut self,
        now: Time,
        rng: &mut R,
        document: &Document,
        all_use: bool,
    ) -> Moves {
        let mut moves = Moves::default();
        let due = |(number, row): (&u32, &PlaceRow)| (row.next <= now).then_some((*number, *row));
        let due: Vec<(u32, PlaceRow)> = self.places.iter().filter_map(due).collect();
        for (number, row) in due {
            match row.stage {
                Stage::Open => self.set_out(now, rng, document, (number, row), &mut moves),
                Stage::Buying | Stage::Bought | Stage::Opening | Stage::Ready => {
                    self.arrive(now, (number, row), &mut moves);
                }
                Stage::Fading => {
                    let next = self.pace.looks(now);
                    moves.changes.extend(self.put(number, |row| {
                        row.stage = Stage::Left;
                        row.next = next;
                    }));
                }
                Stage::Left => {
                    let needed = row.audience.has_strangers() || !all_use;
                    let changes = self.leave(now, (number, row), needed);
                    moves.changes.extend(changes);
                }
                Stage::Closing => {
                    let over = now >= row.until || self.of(number).all(MailboxLink::is_empty);
                    let changes = match over {
                        true => self.forget(number),
                        false => self.look_again(now, number),
                    };
                    moves.changes.extend(changes);
                }
            }
        }
        self.set_pauses(now);
        moves
    }

    /// The present place's time has come: the next one is opened.
    fn set_out<R: CryptoRng>(
        &mut self,
        now: Time,
        rng: &mut R,
        document: &Document,
        (number, row): (u32, PlaceRow),
        moves: &mut Moves,
    ) {
        // A new one that has all it needs stays until it moves.
        if now.since(row.made) < self.pace.day().scale(2, 1) && self.is_whole(number) {
            let next = self.moves(row.audience, row.made).max(now);
            moves
                .changes
                .extend(self.put(number, |row| row.next = next));
            return;
        }
        let is_coming = |it: &PlaceRow| it.is_coming() && it.audience.meets(row.audience);
        if !self.places.values().any(is_coming) {
            let audiences = match row.audience {
                // The user named its providers, and does not any more.
                Audience::All => vec![Audience::Contacts, Audience::Strangers],
                other => vec![other],
            };
            for audience in audiences {
                let providers = self.draw(rng, document);
                if !providers.is_empty() {
                    let made = self.make_place(now, rng, audience, Stage::Buying, providers);
                    moves.made.push(made);
                }
            }
        }
        // Should the new one not open.
        let again = self.pace.looks(now);
        moves
            .changes
            .extend(self.put(number, |row| row.next = again));
    }

    /// A place for which all tokens are here is opened some hours later, and given out some days after that, if
    /// all of it is open. One that is not by then is given up, and another one drawn.
    fn arrive(&mut self, now: Time, (number, row): (u32, PlaceRow), moves: &mut Moves) {
        let has_tokens = || !self.of(number).any(MailboxLink::is_locked);
        let further = match row.stage {
            Stage::Buying => has_tokens().then_some(Stage::Bought),
            Stage::Bought => Some(Stage::Opening),
            _ => None,
        };
        if let Some(stage) = further {
            let next = match stage {
                Stage::Opening if row.audience.has_contacts() => self.pace.readies(now),
                _ => self.pace.opens(now),
            };
            moves.changes.extend(self.put(number, |row| {
                row.stage = stage;
                row.next = next;
            }));
        } else if row.stage == Stage::Ready {
            moves.changes.extend(self.give_out(now, number));
        } else if row.stage == Stage::Opening && self.is_whole(number) {
            let next = self.pace.rises(now);
            moves.changes.extend(self.put(number, |row| {
                row.stage = Stage::Ready;
                row.next = next;
            }));
        } else if now.since(row.made) >= self.pace.patience() {
            moves.changes.extend(self.forget(number));
        } else {
            let again = self.pace.opens(now);
            moves
                .changes
                .extend(self.put(number, |row| row.next = again));
        }
    }

    /// When a place that was given out then is moved from.
    fn moves(&mut self, audience: Audience, from: Time) -> Time {
        match audience {
            Audience::Contacts => self.pace.moves(from),
            // Invitations to one for strangers are in the hands of people, and the user names the third.
            Audience::Strangers | Audience::All => Time::MAX,
        }
    }

    /// Whether all mailboxes of a place have confirmed all of their drop ids.
    fn is_whole(&self, number: u32) -> bool {
        self.of(number).all(|link| link.sets().is_open())
    }

    /// A place is the present one from now on, and those that were before it are left.
    pub(super) fn give_out(&mut self, now: Time, number: u32) -> Vec<Change> {
        let Some(audience) = self.places.get(&number).map(|row| row.audience) else {
            return Vec::new();
        };
        let next = match audience == Audience::All || self.is_whole(number) {
            true => self.moves(audience, now),
            // One whose providers do not open it within a day is replaced.
            false => now + self.pace.day(),
        };
        let mut changes = self.put(number, |row| {
            row.stage = Stage::Open;
            row.next = next;
            // Its age is how long it has been given out, not how long it took to be.
            row.made = now;
        });
        let before = |(other, row): (&u32, &PlaceRow)| {
            let same = *other != number && row.stage == Stage::Open && row.audience.meets(audience);
            same.then_some(*other)
        };
        let before: Vec<u32> = self.places.iter().filter_map(before).collect();
        for other in before {
            let (next, until) = (self.pace.looks(now), self.pace.left(now));
            changes.extend(self.put(other, |row| {
                row.stage = Stage::Fading;
                row.next = next;
                row.until = until;
            }));
        }
        self.larger = 0;
        self.troubled = None;
        changes
    }

    /// A place that was left is closed once nobody needs it.
    fn leave(&mut self, now: Time, (number, row): (u32, PlaceRow), needed: bool) -> Vec<Change> {
        if needed && now < row.until {
            return self.look_again(now, number);
        }
        for link in self
            .boxes
            .values_mut()
            .filter(|link| link.id().place == number)
        {
            link.close();
        }
        // What it has taken is over by then.
        let (next, until) = (self.pace.looks(now), now + self.pace.time_to_live());
        self.put(number, |row| {
            row.stage = Stage::Closing;
            row.next = next;
            row.until = until;
        })
    }

    fn look_again(&mut self, now: Time, number: u32) -> Vec<Change> {
        let next = self.pace.looks(now);
        self.put(number, |row| row.next = next.min(row.until))
    }

    /// A place is no more: its keys are wiped.
    fn forget(&mut self, number: u32) -> Vec<Change> {
        let boxes: Vec<_> = self.of(number).map(MailboxLink::id).collect();
        let place = self.places.remove(&number);
        let mut changes: Vec<Change> = place
            .iter()
            .map(|_| Change::delete(Table::Place, PlaceRow::key(number)))
            .collect();
        for id in boxes {
            let link = self.boxes.remove(&id);
            changes.extend(link.iter().flat_map(MailboxLink::forgotten));
        }
        changes
    }

    /// When the contacts who are to be told of the present place are.
    pub(crate) fn tells(&mut self, now: Time) -> Time {
        self.pace.tells(now)
    }

    /// When they are told again.
    pub(crate) fn tells_again(&mut self, now: Time) -> Time {
        self.pace.tells_again(now)
    }

    /// Trouble that lasts brings the next move of the present place for contacts forward: the share is
    /// changed at once, the place by schedule. Not if packets are lost everywhere (`elsewhere`), nor soon after
    /// the last move: whoever could drive a client from place to place would lead it to a provider of his own.
    pub(crate) fn flee(&mut self, now: Time, elsewhere: bool) -> Vec<Change> {
        let number = self.for_contacts();
        let troubled = !elsewhere && self.of(number).any(|link| link.watch().is_alarmed());
        if !troubled {
            self.troubled = None;
            return Vec::new();
        }
        let since = *self.troubled.get_or_insert(now);
        let Some(row) = self.places.get(&number).copied() else {
            return Vec::new();
        };
        let moves = row.stage == Stage::Open && row.next != Time::MAX;
        let soon = row.next <= now + self.pace.day();
        let young = now.since(row.made) < self.pace.settled();
        if !moves || soon || young || now.since(since) < self.pace.trouble() {
            return Vec::new();
        }
        let at = self.pace.flees(now);
        self.put(number, |row| row.next = at)
    }

    /// Invitations are to lead elsewhere from now on: a place for strangers is opened now, and the present one left once it
    /// is open.
    pub(crate) fn renew<R: CryptoRng>(
        &mut self,
        now: Time,
        rng: &mut R,
        document: &Document,
    ) -> Option<Made> {
        let is_coming = |row: &PlaceRow| row.is_coming() && row.audience == Audience::Strangers;
        if !self.pinned.is_empty() || self.places.values().any(is_coming) {
            return None;
        }
        let providers = self.draw(rng, document);
        let audience = Audience::Strangers;
        (!providers.is_empty())
            .then(|| self.make_place(now, rng, audience, Stage::Buying, providers))
    }
}
