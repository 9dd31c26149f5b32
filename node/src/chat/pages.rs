//! What is looked at besides conversations, line by line: the same on the screen and in the linear mode.

use shoal_proto::Time;

use super::command::COMMANDS;
use super::model::{Connection, Model, Page, Person};
use super::traffic::Rates;
use super::words;
use crate::control::protocol::OwnInvitation;
use crate::qr;

/// The keys of the screen.
const KEYS: [(&str, &str); 18] = [
    ("F1, or ? among the people", "this page"),
    (
        "Tab",
        "from the people to the line in which you write, and back",
    ),
    (
        "Up, Down, Home, End",
        "choose among the people; in a conversation or a page, scroll",
    ),
    (
        "Enter",
        "among the people, open who is chosen; else send what is in the line",
    ),
    (
        "Up in the empty line",
        "take what was refused into it again, if there is some",
    ),
    ("Alt+Enter, Ctrl+J", "a new line within what you write"),
    ("PgUp, PgDn", "scroll"),
    ("Esc", "close a page; go to the people"),
    ("F2", "invite somebody"),
    ("F3", "accept an invitation"),
    ("F4", "your contact: safety number, what is known of them"),
    ("F5", "files"),
    ("F6", "connection, traffic, alarms"),
    (
        "Ctrl+W, Ctrl+U",
        "delete the word, the line before the cursor",
    ),
    ("Ctrl+A, Ctrl+E", "to the beginning, to the end of the line"),
    ("Ctrl+L", "draw all anew"),
    ("Ctrl+Z", "put the chat aside; fg brings it back"),
    ("Ctrl+C, Ctrl+Q", "end the chat; the daemon goes on"),
];

/// So many columns and rows there are; none if there is no bound.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

pub(super) fn title(model: &Model, page: &Page) -> String {
    match page {
        Page::Help => "Help".to_owned(),
        Page::People => "People".to_owned(),
        Page::Invited { .. } => "An invitation".to_owned(),
        Page::Invitations => "Invitations".to_owned(),
        Page::Files => "Files".to_owned(),
        Page::Contact(key) => format!("About {}", &*model.name(key)),
        Page::State => "State".to_owned(),
    }
}

/// The lines of a page, of any length.
pub(super) fn lines(model: &Model, page: &Page, room: Option<Room>) -> Vec<String> {
    match page {
        Page::Help => help(model.linear),
        Page::People => people(model),
        Page::Invited { invitation, code } => invited(invitation, *code, room),
        Page::Invitations => invitations(model),
        Page::Files => files(model),
        Page::Contact(key) => model
            .person(key)
            .map_or_else(|| vec!["They are no contact any more.".to_owned()], contact),
        Page::State => state(model),
    }
}

fn help(linear: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |line: &str| lines.push(line.to_owned());
    if linear {
        add("A line that you type is sent to whom the conversation is with that is open.");
        add("A line that begins with a slash is a command.");
    } else {
        for (keys, what) in KEYS {
            add(&format!("{keys}: {what}"));
        }
        add("");
        add("Commands, typed into the line:");
    }
    for it in &COMMANDS {
        add(&format!("{}: {}", it.usage, it.does));
    }
    add("//text: a text that begins with a slash");
    add("");
    add("What the states of your texts mean:");
    for (state, means) in words::STATES {
        add(&format!("{}: {means}", words::state(state)));
    }
    add("");
    add(
        "Texts pass several machines, each of which holds them for a while, so that nobody can tell who writes to whom: that \
         is why they take seconds. Packets leave this machine at their own pace, whether you write or not; those without a \
         text are the cover. Leave the daemon running: who goes online only to write shows when they write.",
    );
    lines
}

fn people(model: &Model) -> Vec<String> {
    if model.people.is_empty() {
        return nobody();
    }
    let line = |it: &Person| {
        let new = match it.unread {
            0 => String::new(),
            unread => format!("{}, ", words::count(unread, "new text", "new texts")),
        };
        format!("{new}{}: {}", it.standing(), &*it.name)
    };
    model.people.iter().map(line).collect()
}

/// What there is to do for who has no contacts.
pub(super) fn nobody() -> Vec<String> {
    vec![
        "You have no contacts yet.".to_owned(),
        "To invite somebody: /invite NAME makes a link and a code. Give them to one person."
            .to_owned(),
        "If you were given a link: /accept LINK NAME.".to_owned(),
    ]
}

fn invited(invitation: &OwnInvitation, code: bool, room: Option<Room>) -> Vec<String> {
    let who = match (invitation.once, invitation.label.is_empty()) {
        (true, true) => "one person: who comes first with it is let in".to_owned(),
        (true, false) => format!(
            "one person, whom you will call {}: who comes first with it is let in",
            invitation.label
        ),
        (false, _) => "everybody who has it".to_owned(),
    };
    let until = words::moment(Time::from_micros(invitation.expires_at_us));
    let mut lines = vec![
        format!(
            "For {who}. Good until {until}; /revoke {} ends it.",
            invitation.id
        ),
        "Give it by a way that nobody else reads, and compare safety numbers (/number) afterwards."
            .to_owned(),
        String::new(),
        invitation.invitation.clone(),
    ];
    if !code {
        lines.push("/qr draws it as a code for a camera.".to_owned());
        return lines;
    }
    lines.push(String::new());
    match qr::in_blocks(&invitation.invitation) {
        Ok(rows) => {
            let (wide, high) = (qr::columns(&rows), rows.len());
            match room {
                Some(room) if room.columns < wide || room.rows < high => lines.push(format!(
                    "The code needs {wide} columns and {high} rows here, and there are {} and {}: enlarge the window, or \
                     run `shoal contact invite` in one, or pass the link on.",
                    room.columns, room.rows
                )),
                // Alone, so that all of it is seen without scrolling.
                _ => lines.splice(0..0, rows.into_iter().chain([String::new()])).for_each(drop),
            }
        }
        Err(error) => lines.push(format!("There is no code for it: {error}")),
    }
    lines
}

fn invitations(model: &Model) -> Vec<String> {
    if model.invitations.is_empty() {
        return vec![
            "There is no invitation that may still be good. /invite NAME makes one.".to_owned(),
        ];
    }
    let line = |it: &OwnInvitation| {
        let state = match (it.once, it.guest.is_some(), it.leaked) {
            (_, _, true) => "SEEN BY OTHERS: compare safety numbers with who came by it",
            (true, true, false) => "used",
            (true, false, false) => "for one person, and not used yet",
            (false, ..) => "for everybody who has it",
        };
        let until = words::moment(Time::from_micros(it.expires_at_us));
        format!("{}: {state}; until {until}: {}", it.id, it.label)
    };
    let mut lines: Vec<String> = model.invitations.iter().map(line).collect();
    lines.push("/revoke ID ends one; /qr draws the last one as a code.".to_owned());
    lines
}

fn files(model: &Model) -> Vec<String> {
    if model.files.is_empty() {
        return vec![
            "No files. /file PATH sends one to whom the open conversation is with.".to_owned(),
        ];
    }
    let mut lines = Vec::new();
    for it in &model.files {
        let way = if it.incoming { "from" } else { "to" };
        let name = match it.name.is_empty() {
            true => "(its name has not come)",
            false => &it.name,
        };
        let id = it.file.get(..6).unwrap_or(&it.file);
        let reason = it.reason.as_ref();
        let reason = reason.map_or_else(String::new, |why| format!(" ({why})"));
        lines.push(format!(
            "{id}: {} {way} {}, {} bytes: {name}{reason}",
            words::file(it),
            &*model.name(&it.contact),
            it.size
        ));
    }
    lines.push(
        "/save ID PATH writes one that has come; /drop ID deletes it, or sends no more of it."
            .to_owned(),
    );
    lines
}

fn contact(person: &Person) -> Vec<String> {
    let it = &person.contact;
    let yes = |is| if is { "yes" } else { "no" };
    let mut lines = vec![
        format!("Standing: {}", person.standing()),
        format!("Safety number: {}", it.safety_number),
        "Your contact sees the same number if nobody stands between you. Compare all of it, face to face or by voice; then \
         type /verify and the number that they read to you."
            .to_owned(),
        String::new(),
        format!("Read receipts: {} (/receipts on|off; they are told only if both want it)", yes(it.reads)),
        format!("Blocked: {} (/block, /unblock)", yes(it.blocked)),
        format!("Key: {}", it.key),
        format!("Contact since: {}", words::moment(Time::from_micros(it.since_us))),
        format!("Called: {} (/rename NAME)", &*person.name),
    ];
    if person.leaked && !it.verified {
        lines.insert(
            1,
            "ALARM: others have seen the link by which they came, and this may be somebody else. What to do: write nothing \
             of weight before you have compared safety numbers; if they differ, /remove."
                .to_owned(),
        );
    }
    if it.needs_invitation {
        lines.insert(
            1,
            "Nothing can be written before one of you accepts a new invitation of the other: /invite or /accept.".to_owned(),
        );
    }
    lines
}

fn state(model: &Model) -> Vec<String> {
    let mut lines = Vec::new();
    match (&model.connection, &model.status) {
        (Connection::Down(words), _) => {
            lines.push(format!("The daemon is not there: {}", &**words))
        }
        (Connection::Looking, _) | (_, None) => lines.push("The daemon is being asked.".to_owned()),
        (Connection::Up, Some(it)) => {
            lines.push(format!("Network: {}", it.network));
            lines.push(match it.online {
                true => "Connection: online".to_owned(),
                false => "Connection: not connected; it is tried again by itself, and what you write waits here".to_owned(),
            });
            lines.push(format!(
                "Profile (what it costs, and how fast it is): {}",
                it.profile
            ));
            lines.push(match it.open {
                true => "Invitations: whoever you invite is heard".to_owned(),
                false => "Invitations: not yet; the mailboxes are being opened".to_owned(),
            });
            lines.push(format!(
                "On their way: {}; unread: {}",
                words::count(it.on_the_way, "text", "texts"),
                it.unread
            ));
            if it.held > 0 {
                lines.push(format!(
                    "Here, and waiting for what was written before: {}",
                    words::count(it.held, "text", "texts")
                ));
            }
            lines.push(traffic(model));
        }
    }
    for pending in &model.pending {
        let why = pending
            .waits
            .as_ref()
            .map_or("being handed over", |(why, _)| &**why);
        lines.push(format!(
            "Not taken by the daemon yet, to {}: {why}",
            &*model.name(&pending.contact)
        ));
    }
    for returned in &model.returned {
        let to = returned.contact.as_ref();
        let to = to.map_or_else(String::new, |key| format!(", to {}", &*model.name(key)));
        lines.push(format!("Refused{to}: {}", &*returned.why));
    }
    let Some(status) = &model.status else {
        return lines;
    };
    lines.push(String::new());
    if status.alarms.is_empty() {
        lines.push("No alarms.".to_owned());
    }
    for alarm in &status.alarms {
        lines.push(format!("ALARM: {alarm}."));
        match words::advice(alarm) {
            Some(it) => {
                lines.push(format!("  What it means: {}", it.means));
                lines.push(format!("  What to do: {}", it.advice));
            }
            None => lines.push("  What to do: look at the daemon's log.".to_owned()),
        }
    }
    lines
}

/// Real and cover, out and in, of the last second; and the delay.
pub(super) fn traffic(model: &Model) -> String {
    let delay = model.status.as_ref().map_or_else(String::new, |it| {
        format!("; delay {}", words::about_short(it.expected_stored_ms))
    });
    match model.meter.rates() {
        None => format!("Each second: being counted{delay}"),
        Some(Rates {
            out_real,
            out_cover,
            in_real,
            in_cover,
        }) => format!(
            "Each second: out {out_real:.0} yours + {out_cover:.0} cover, in {in_real:.0} for you + {in_cover:.0} cover{delay}"
        ),
    }
}
