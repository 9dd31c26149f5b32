//! The own invitations: who is let in by which.
//!
//! Each has a drop id and a prekey of its own. One for one person lets in who comes first; that another one came with
//! it is told, for the link was seen by somebody else. What was sent before an invitation ended counts for as long as
//! mailboxes keep it. Its drop id takes nothing more from then on, or once its only guest writes elsewhere; its prekey
//! is wiped with its row.

use std::collections::{BTreeMap, BTreeSet};

use rand::CryptoRng;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use shoal_packet::Sites;
use shoal_proto::{NetworkHash, Span, Time};

use crate::clock::ClockStep;
use crate::error::ClientError;
use crate::event::InvitationStatus;
use crate::invitation::{Invitation, SeenDocument};
use crate::keys::PeerKey;
use crate::rows::{Change, Guest, InvitationRow, Label, Row};
use crate::sessions::{Prekey, Sessions};
use crate::sets::{DropName, IDS};
use crate::table::Table;

/// All own invitations, by number.
pub(crate) struct Invitations {
    rows: BTreeMap<u32, InvitationRow>,
    /// Those whose end has been seen to since the process began.
    ended: BTreeSet<u32>,
    /// How long mailboxes keep what was sent.
    time_to_live: Span,
}

/// What the user wants of an invitation.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) once: bool,
    pub(crate) life: Span,
    pub(crate) label: Label,
}

/// Whether somebody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// He is: the only guest, or one of several.
    Guest,
    /// He is not.
    Refused,
    /// He is not, because somebody else was before.
    Second,
}

impl Invitations {
    pub(crate) const fn new(time_to_live: Span) -> Self {
        Self {
            rows: BTreeMap::new(),
            ended: BTreeSet::new(),
            time_to_live,
        }
    }

    /// Those of an earlier run; their prekeys open what comes.
    pub(crate) fn restore(
        &mut self,
        rows: &[Row],
        sessions: &mut Sessions,
    ) -> Result<(), ClientError> {
        for row in rows.iter().filter(|row| row.table == Table::Invitation) {
            let number = InvitationRow::decode_key(&row.key).map_err(|e| row.fault(e))?;
            let value = InvitationRow::decode(&row.value).map_err(|e| row.fault(e))?;
            let prekey = Prekey::from_secret(value.prekey.clone());
            let prekey = prekey.ok_or_else(|| row.fault("its prekey is unsound"))?;
            sessions.add_prekey(number, prekey);
            self.rows.insert(number, value);
        }
        Ok(())
    }

    /// Makes one that leads to this place, some of whose drop ids take nothing more. None if all are given out.
    pub(crate) fn make<R: CryptoRng>(
        &mut self,
        now: Time,
        rng: &mut R,
        sessions: &mut Sessions,
        (place, revoked): (u32, &BTreeSet<DropName>),
        (terms, seen): (Terms, Option<SeenDocument>),
    ) -> Option<(u32, Change)> {
        let of_place = self.rows.values().filter(|row| row.place == place);
        let given: BTreeSet<u16> = of_place.map(|row| row.drop).collect();
        let is_free =
            |drop: &u16| !given.contains(drop) && !revoked.contains(&DropName::Invitation(*drop));
        let free: Vec<u16> = (0..IDS).filter(is_free).collect();
        let drop = *free.choose(rng)?;
        // Drawn, so that who speaks of one that is gone does not mean another. 0 stands for none.
        let number = loop {
            let number = rng.random_range(1..=u32::MAX);
            if !self.rows.contains_key(&number) {
                break number;
            }
        };
        let prekey = Prekey::generate(rng);
        // The next whole one, as far as four bytes of minutes go.
        let before_end = now + terms.life + (Span::from_secs(60) - Span::from_micros(1));
        let expires = Time::from_minutes(before_end.minutes());
        let row = InvitationRow {
            place,
            drop,
            prekey: prekey.secret().clone(),
            once: terms.once,
            guest: Guest::Nobody,
            made: now,
            expires,
            until: expires + self.time_to_live,
            seen,
            label: terms.label,
        };
        sessions.add_prekey(number, prekey);
        self.rows.insert(number, row);
        self.saved(number).map(|change| (number, change))
    }

    /// One could not be saved, or is revoked: nobody comes by it any more. Where it led, and what is to be saved.
    pub(crate) fn remove(
        &mut self,
        number: u32,
        sessions: &mut Sessions,
    ) -> Option<(u32, DropName, Change)> {
        let row = self.rows.remove(&number)?;
        self.ended.remove(&number);
        sessions.remove_prekey(number);
        let change = Change::delete(Table::Invitation, number.to_be_bytes().to_vec());
        Some((row.place, DropName::Invitation(row.drop), change))
    }

    /// The row to save.
    pub(crate) fn saved(&self, number: u32) -> Option<Change> {
        let row = self.rows.get(&number)?.encode();
        Some(Change::put(
            Table::Invitation,
            number.to_be_bytes().to_vec(),
            row,
        ))
    }

    /// Whether somebody who is nobody's contact yet is let in, who wrote then. Nothing changes by it.
    pub(crate) fn admits(
        &self,
        now: Time,
        number: u32,
        guest: &PeerKey,
        sent_at: Time,
    ) -> Admission {
        let Some(row) = self.rows.get(&number) else {
            return Admission::Refused;
        };
        let in_time = now < row.expires || (sent_at < row.expires && now < row.until);
        match row.guest {
            Guest::One(first) | Guest::Leaked(first) if first == *guest => Admission::Refused,
            Guest::One(_) | Guest::Leaked(_) => Admission::Second,
            Guest::Nobody if in_time => Admission::Guest,
            Guest::Nobody => Admission::Refused,
        }
    }

    /// Somebody is let in. The only guest of one may go on with its drop id for as long as he may not have heard of
    /// another. What is to be saved.
    pub(crate) fn let_in(
        &mut self,
        now: Time,
        number: u32,
        guest: PeerKey,
        patience: Span,
    ) -> Option<Change> {
        let time_to_live = self.time_to_live;
        let row = self.rows.get_mut(&number).filter(|row| row.once)?;
        row.guest = Guest::One(guest);
        row.expires = row.expires.max(now + time_to_live + patience);
        row.until = row.expires + time_to_live;
        self.saved(number)
    }

    /// Another one came with one that was for one person, for the first time. Where it led, who came first, and what is to be saved.
    pub(crate) fn leaked(&mut self, number: u32) -> Option<(u32, DropName, PeerKey, Change)> {
        let row = self.rows.get_mut(&number)?;
        let Guest::One(first) = row.guest else {
            return None;
        };
        row.guest = Guest::Leaked(first);
        let (place, name) = (row.place, DropName::Invitation(row.drop));
        Some((place, name, first, self.saved(number)?))
    }

    /// The guest of an invitation writes elsewhere now: the drop id that nobody needs any more, if it was his alone.
    pub(crate) fn left(&self, number: u32, guest: &PeerKey) -> Option<(u32, DropName)> {
        let row = self.rows.get(&number)?;
        let own = row.guest.who() == Some(*guest);
        own.then_some((row.place, DropName::Invitation(row.drop)))
    }

    /// Whether one is for one person.
    pub(crate) fn is_for_one(&self, number: u32) -> bool {
        self.rows.get(&number).is_some_and(|row| row.once)
    }

    /// Whether nobody has come by one that is for one person.
    pub(crate) fn is_unused(&self, number: u32) -> bool {
        let row = self.rows.get(&number);
        row.is_some_and(|row| row.guest == Guest::Nobody)
    }

    /// Those by which somebody came alone.
    pub(crate) fn of_guest(&self, guest: &PeerKey) -> Vec<u32> {
        let rows = self.rows.iter();
        let own = rows.filter(|(_, row)| row.guest.who() == Some(*guest));
        own.map(|(number, _)| *number).collect()
    }

    /// The drop ids of invitations that have ended, each once.
    pub(crate) fn end(&mut self, now: Time) -> Vec<(u32, DropName)> {
        let is_new = |(number, row): &(&u32, &InvitationRow)| {
            row.expires <= now && !self.ended.contains(number)
        };
        let new: Vec<u32> = self.rows.iter().filter(is_new).map(|(it, _)| *it).collect();
        self.ended.extend(&new);
        let rows = new.iter().filter_map(|number| self.rows.get(number));
        rows.map(|row| (row.place, DropName::Invitation(row.drop)))
            .collect()
    }

    /// Those that nothing can come by any more: their time is over, or their place is gone.
    pub(crate) fn over(&self, now: Time, is_there: impl Fn(u32) -> bool) -> Vec<u32> {
        let over = |row: &InvitationRow| row.until <= now || !is_there(row.place);
        let rows = self.rows.iter().filter(|(_, row)| over(row));
        rows.map(|(number, _)| *number).collect()
    }

    /// When the next one ends, or is over.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let times = self
            .rows
            .iter()
            .map(|(number, row)| match self.ended.contains(number) {
                true => row.until,
                false => row.expires,
            });
        times.min()
    }

    /// Whom one is for, in the user's words.
    pub(crate) fn label(&self, number: u32) -> Label {
        let row = self.rows.get(&number);
        row.map(|row| row.label.clone()).unwrap_or_default()
    }

    /// One, as it is handed out, and what became of it.
    pub(crate) fn status(
        &self,
        number: u32,
        (key, network): (PeerKey, &NetworkHash),
        sessions: &Sessions,
        sites: impl Fn(u32, DropName) -> Option<Sites>,
    ) -> Option<InvitationStatus> {
        let row = self.rows.get(&number)?;
        let sites = sites(row.place, DropName::Invitation(row.drop))?;
        let prekey = sessions.prekey(number)?;
        let invitation = Invitation {
            network: Invitation::short_network(network),
            key,
            prekey,
            sites,
            once: row.once,
            expires: row.expires,
            seen: row.seen,
        };
        Some(InvitationStatus {
            number,
            invitation,
            label: row.label.clone(),
            made: row.made,
            guest: row.guest.who(),
            leaked: matches!(row.guest, Guest::Leaked(_)),
        })
    }

    /// The numbers of all, those made first first.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        let mut all: Vec<(Time, u32)> = self.rows.iter().map(|(n, row)| (row.made, *n)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, number)| number).collect()
    }

    /// Dates that others know stay; how long something is kept here is as long as before.
    pub(crate) fn clock_moved(&mut self, step: ClockStep) {
        for row in self.rows.values_mut() {
            row.made = step.apply(row.made);
        }
    }
}
