//! `shoal contact`.

mod file;

use shoal_node::control::protocol::{
    Accept, ChangeOfContact, Contact as Person, Contacts, Invite, OwnInvitation, OwnInvitations,
    Request, Response,
};
use shoal_node::{Failure, qr};

use super::args::{
    Contact, ContactAccept, ContactExport, ContactInvite, ContactPlace, ContactVerify,
};
use super::client::{ask_at, ask_for_done, strange};
use super::output;
use super::text::{date, escaped_line, listed};

/// Longest file with an invitation.
const MAX_FILE_BYTES: usize = 65_536;

pub(super) async fn run(command: Contact, json: bool) -> Result<(), Failure> {
    match command {
        Contact::Invite(args) => invite(&args, json).await,
        Contact::Accept(args) => accept(&args, json).await,
        Contact::List(at) => {
            let all = match ask_at(&at, Request::Contacts).await? {
                Response::Contacts(all) => all,
                other => return Err(strange(&other)),
            };
            let invited = match ask_at(&at, Request::Invitations).await? {
                Response::Invitations(invited) => invited,
                other => return Err(strange(&other)),
            };
            output::show(json, &all, &list(&all, &invited))
        }
        Contact::Show(args) => {
            let person = person(&args.at, args.contact).await?;
            output::show(json, &person, &in_words(&person))
        }
        Contact::Verify(args) => verify(args, json).await,
        Contact::Rename(args) => {
            let change = ChangeOfContact {
                label: Some(args.name),
                ..ChangeOfContact::default()
            };
            self::change(&args.at, args.contact, change, json).await
        }
        Contact::Block(args) => {
            let change = ChangeOfContact {
                blocked: Some(!args.off),
                ..ChangeOfContact::default()
            };
            self::change(&args.at, args.contact, change, json).await
        }
        Contact::Reads(args) => {
            let change = ChangeOfContact {
                reads: Some(!args.off),
                ..ChangeOfContact::default()
            };
            self::change(&args.at, args.contact, change, json).await
        }
        Contact::Remove(args) => {
            let contact = args.contact;
            ask_for_done(
                &args.at,
                Request::RemoveContact { contact },
                json,
                "removed",
            )
            .await
        }
        Contact::Invitations(at) => match ask_at(&at, Request::Invitations).await? {
            Response::Invitations(all) => output::show(json, &all, &invitations(&all)),
            other => Err(strange(&other)),
        },
        Contact::Revoke(args) => {
            ask_for_done(&args.at, Request::Revoke { id: args.id }, json, "revoked").await
        }
        Contact::Renew(at) => {
            output::note(
                "the daemon opens other mailboxes for who is invited; once they are open, in one to six hours of a \
                 network whose places live a month, new invitations lead there. Those that there are go on for the \
                 network's time to live, and let nobody in then",
            );
            ask_for_done(&at, Request::RenewInvitations, json, "renewing").await
        }
        Contact::Export(args) => export(&args).await,
    }
}

async fn made(at: &ContactPlace, invite: Invite) -> Result<OwnInvitation, Failure> {
    match ask_at(at, Request::Invite(invite)).await? {
        Response::Invited(invitation) => Ok(invitation),
        other => Err(strange(&other)),
    }
}

async fn invite(args: &ContactInvite, json: bool) -> Result<(), Failure> {
    let invite = Invite {
        once: !args.reusable,
        life_ms: args.life.as_micros() / 1000,
        label: args.label.clone(),
    };
    let made = made(&args.at, invite).await?;
    let code = match args.no_qr || json {
        true => String::new(),
        // Only where somebody looks at it: else the link is all that is printed.
        false => match output::columns() {
            Some(width) => code_of(&made.invitation, width)?,
            None => String::new(),
        },
    };
    let words = format!("{code}{}", made.invitation);
    output::show(json, &made, &words)?;
    if !json {
        let who = match made.once {
            true => "one person: who comes first with it is let in",
            false => "everybody who has it",
        };
        output::note(&format!(
            "invitation {} for {who}, good until {}; `shoal contact revoke {}` ends it",
            made.id,
            date(made.expires_at_us),
            made.id,
        ));
    }
    Ok(())
}

/// The code, with an empty line behind it; nothing if the terminal is not as wide, with a word why.
fn code_of(invitation: &str, width: usize) -> Result<String, Failure> {
    let rows = qr::in_blocks(invitation).map_err(Failure::failed)?;
    let wide = qr::columns(&rows);
    if width < wide {
        output::note(&format!(
            "a terminal of {wide} columns shows the QR code: widen it, or pass the link on"
        ));
        return Ok(String::new());
    }
    Ok(format!("{}\n\n", rows.join("\n")))
}

async fn accept(args: &ContactAccept, json: bool) -> Result<(), Failure> {
    let text = match args.invitation.as_str() {
        "-" => output::read_text(MAX_FILE_BYTES).await?,
        path if std::path::Path::new(path).is_file() => {
            let words = format!("{path} is a file: `shoal contact accept … - < {path}` reads it");
            return Err(Failure::usage(anyhow::anyhow!(words)));
        }
        text => text.to_owned(),
    };
    let found = file::read(&text)?;
    let label = match args.label.is_empty() {
        true => found.label,
        false => args.label.clone(),
    };
    let accept = Accept {
        invitation: found.invitation,
        label,
    };
    match ask_at(&args.at, Request::Accept(accept)).await? {
        Response::Contact(person) => output::show(json, &person, &in_words(&person)),
        other => Err(strange(&other)),
    }
}

async fn person(at: &ContactPlace, contact: String) -> Result<Person, Failure> {
    match ask_at(at, Request::Contact { contact }).await? {
        Response::Contact(person) => Ok(person),
        other => Err(strange(&other)),
    }
}

async fn change(
    at: &ContactPlace,
    contact: String,
    change: ChangeOfContact,
    json: bool,
) -> Result<(), Failure> {
    match ask_at(at, Request::ChangeContact { contact, change }).await? {
        Response::Contact(person) => output::show(json, &person, &in_words(&person)),
        other => Err(strange(&other)),
    }
}

async fn verify(args: ContactVerify, json: bool) -> Result<(), Failure> {
    if let Some(number) = &args.number {
        let person = person(&args.at, args.contact.clone()).await?;
        let digits =
            |text: &str| -> String { text.chars().filter(|it| !it.is_whitespace()).collect() };
        if digits(number) != digits(&person.safety_number) {
            let words = format!(
                "the numbers differ: either it is another contact's, or somebody stands between you. This end sees {}. \
                 Nothing is changed",
                person.safety_number
            );
            return Err(Failure::failed(anyhow::anyhow!(words)));
        }
    }
    let change = ChangeOfContact {
        verified: Some(!args.off),
        ..ChangeOfContact::default()
    };
    self::change(&args.at, args.contact, change, json).await
}

async fn export(args: &ContactExport) -> Result<(), Failure> {
    let status = match ask_at(&args.at, Request::Status).await? {
        Response::Status(status) => status,
        other => return Err(strange(&other)),
    };
    let invite = Invite {
        once: false,
        life_ms: args.life.as_micros() / 1000,
        label: "exported".to_owned(),
    };
    let made = made(&args.at, invite).await?;
    output::print(&file::write(&args.label, &status, &made)?)
}

fn standing(person: &Person) -> &'static str {
    match (person.blocked, person.verified, person.known) {
        (true, ..) => "blocked",
        _ if person.needs_invitation => "needs a new invitation",
        (false, true, _) => "verified",
        (false, false, true) => "not verified",
        (false, false, false) => "newcomer",
    }
}

fn in_words(person: &Person) -> String {
    let name = match person.label.is_empty() {
        true => "(no name)".to_owned(),
        false => escaped_line(&person.label),
    };
    format!(
        "name           {name}\nkey            {}\nstanding       {}\nread receipts  {}\nsince          {}\nsafety number  {}",
        person.key,
        standing(person),
        if person.reads { "yes" } else { "no" },
        date(person.since_us),
        person.safety_number,
    )
}

fn list(all: &Contacts, invited: &OwnInvitations) -> String {
    let leaked = |person: &Person| {
        let mut seen = invited.invitations.iter().filter(|it| it.leaked);
        !person.verified && seen.any(|it| it.guest.as_ref() == Some(&person.key))
    };
    let line = |person: &Person| {
        let warning = match leaked(person) {
            true => {
                " (its link was SEEN BY OTHERS, and it may be somebody else: compare safety numbers)"
            }
            false => "",
        };
        format!(
            "{:<13} {}  {}{warning}",
            standing(person),
            person.key,
            escaped_line(&person.label)
        )
    };
    listed(all.contacts.iter().map(line))
}

fn invitations(all: &OwnInvitations) -> String {
    let line = |it: &OwnInvitation| {
        let state = match (it.once, it.guest.is_some(), it.leaked) {
            (_, _, true) => "SEEN BY OTHERS",
            (true, true, false) => "used",
            (true, false, false) => "for one",
            (false, ..) => "for many",
        };
        let until = date(it.expires_at_us);
        format!(
            "{}  {state:<14} until {until}  {}",
            it.id,
            escaped_line(&it.label)
        )
    };
    listed(all.invitations.iter().map(line))
}
