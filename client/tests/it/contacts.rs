//! Who may write to whom: invitations, and contacts who are blocked, removed and met again.

use std::collections::BTreeSet;

use shoal_client::{
    ClientConfig, ClientEvent, ClientInput, ContactChange, Invitation, InvitationError, Label,
    PeerKey, SendError, Table, UserRequest,
};
use shoal_proto::Span;

use crate::moving::quick_places;
use crate::world::{World, secs, to_invite};

pub(crate) const BOB: usize = 0;
pub(crate) const ALICE: usize = 1;
pub(crate) const EVE: usize = 2;

/// Three who have mailboxes, all online. A day has three minutes.
pub(crate) fn three(seed: u64) -> World {
    let mut world = World::new(seed, quick_places());
    world.strict = true;
    for _ in 0..3 {
        world.add_with(ClientConfig {
            profile: "quick".into(),
            retry_after: Some(Span::from_secs(2)),
            retry_max: Span::from_secs(20),
            ..ClientConfig::new(world.providers()[1])
        });
    }
    for who in [BOB, ALICE, EVE] {
        world.attach(who, [0, 2, 3][who]);
    }
    let confirmed = |world: &World| {
        let open = |host: &crate::world::Host| host.client.counters().drops_unconfirmed == 0;
        world.hosts.iter().all(open)
    };
    assert!(world.run_until(secs(120.0), confirmed));
    world
}

pub(crate) fn key(world: &World, who: usize) -> PeerKey {
    world.hosts[who].client.public_key()
}

/// Alice comes by an invitation of Bob's with a text, and he has it.
fn come_by(world: &mut World, link: &Invitation, text: &str) {
    accept(world, ALICE, link, Some(text));
    assert!(world.run_until(secs(60.0), |world| heard(world, BOB, text)));
}

/// Bob writes to Alice, and she has it.
fn answer(world: &mut World, text: &str) {
    let to = key(world, ALICE);
    world.send(BOB, 1, &to, text.as_bytes());
    assert!(world.run_until(secs(60.0), |world| heard(world, ALICE, text)));
}

pub(crate) fn heard(world: &World, who: usize, text: &str) -> bool {
    world.hosts[who]
        .texts()
        .iter()
        .any(|it| it == text.as_bytes())
}

fn ask(world: &mut World, who: usize, request: u64, what: UserRequest) {
    world.input(who, ClientInput::Ask { request, what });
}

pub(crate) fn label(text: &str) -> Label {
    text.parse().unwrap()
}

/// An invitation for one person.
fn invite_one(world: &mut World, who: usize, life: f64, name: &str) -> (u32, Invitation) {
    let what = UserRequest::Invite {
        once: true,
        life: secs(life),
        label: label(name),
    };
    ask(world, who, 50, what);
    let last = world.hosts[who].events.last();
    let Some((
        _,
        ClientEvent::Invited {
            request: 50,
            invitation,
        },
    )) = last
    else {
        panic!("invited");
    };
    (invitation.number, invitation.invitation.clone())
}

pub(crate) fn accept(world: &mut World, who: usize, invitation: &Invitation, text: Option<&str>) {
    let what = UserRequest::Accept {
        invitation: Box::new(invitation.clone()),
        label: label("Bob"),
        text: text.map(|text| text.as_bytes().to_vec()),
    };
    ask(world, who, 60, what);
}

/// Why the last request was refused.
pub(crate) fn refused(world: &World, who: usize) -> Option<SendError> {
    match world.hosts[who].events.last() {
        Some((_, ClientEvent::Refused { reason, .. })) => Some(reason.clone()),
        _ => None,
    }
}

pub(crate) fn change(world: &mut World, who: usize, contact: PeerKey, change: ContactChange) {
    ask(world, who, 70, UserRequest::Change { contact, change });
    let done = ClientEvent::Done { request: 70 };
    assert_eq!(world.hosts[who].events.last().unwrap().1, done);
}

#[test]
fn who_comes_first_is_let_in_and_the_owner_hears_of_a_second_once() {
    let mut world = three(1);
    let (number, link) = invite_one(&mut world, BOB, 3600.0, "Alice");
    come_by(&mut world, &link, "it is me");
    let met = ClientEvent::Met {
        contact: key(&world, ALICE),
        invitation: number,
    };
    assert_eq!(world.hosts[BOB].count(|event| *event == met), 1);
    let alice = world.hosts[BOB]
        .client
        .contact(&key(&world, ALICE))
        .unwrap();
    assert_eq!(alice.label, label("Alice"), "named as the invitation was");
    assert!(alice.known && !alice.verified && !alice.blocked);
    let bob = world.hosts[ALICE]
        .client
        .contact(&key(&world, BOB))
        .unwrap();
    assert_eq!(bob.label, label("Bob"));

    // Somebody else has seen the link.
    accept(&mut world, EVE, &link, Some("no, it is me"));
    world.send(EVE, 2, &key(&world, BOB), b"believe me");
    let leaked = ClientEvent::Leaked {
        invitation: number,
        contact: key(&world, ALICE),
    };
    let told = |world: &World| world.hosts[BOB].count(|event| *event == leaked);
    assert!(world.run_until(secs(60.0), |world| told(world) == 1));
    let status = world.hosts[BOB].client.invitation(number).unwrap();
    assert!(status.leaked && status.guest == Some(key(&world, ALICE)));
    // Its drop id takes nothing more, some hours later; who came first has heard of another within a day.
    let drop = link.sites.first.drop;
    let revoked = |world: &World| world.revoked.iter().any(|(_, _, it)| *it == drop);
    assert!(!revoked(&world));
    assert!(world.run_until(secs(180.0), revoked));
    world.send(ALICE, 3, &key(&world, BOB), b"still here");
    assert!(world.run_until(secs(400.0), |world| heard(world, BOB, "still here")));
    assert!(!heard(&world, BOB, "no, it is me") && !heard(&world, BOB, "believe me"));
    assert_eq!(
        (told(&world), world.hosts[BOB].client.contacts().len()),
        (1, 1)
    );
    assert!(world.hosts[BOB].client.counters().unwelcome >= 2);
    world.send(BOB, 4, &key(&world, ALICE), b"good");
    assert!(world.run_until(secs(60.0), |world| heard(world, ALICE, "good")));
}

/// Nobody who has no invitation can write: also not who knows the key, where the mailbox is, and another's drop id.
#[test]
fn who_has_no_invitation_can_not_write() {
    let mut world = three(2);
    let link = world.invite(BOB);
    let forged = Invitation {
        prekey: key(&world, EVE),
        ..link.clone()
    };
    accept(&mut world, EVE, &forged, Some("let me in"));
    // Nor by one that was revoked; who came before stays.
    come_by(&mut world, &link, "early");
    let number = world.hosts[BOB].client.invitations()[0].number;
    let revoke = UserRequest::Revoke { invitation: number };
    ask(&mut world, BOB, 1, revoke.clone());
    assert!(world.hosts[BOB].client.invitations().is_empty());
    ask(&mut world, BOB, 2, revoke);
    assert_eq!(refused(&world, BOB), Some(SendError::NoSuchInvitation));
    let late = world.add(1, "quick");
    world.attach(late, 3);
    accept(&mut world, late, &link, Some("late"));
    // She is a newcomer until she is answered, and knows no other drop id: then she does.
    world.send(BOB, 3, &key(&world, ALICE), b"hello");
    assert!(world.run_until(secs(60.0), |world| heard(world, ALICE, "hello")));
    world.run(secs(200.0));
    world.send(ALICE, 4, &key(&world, BOB), b"after all");
    assert!(world.run_until(secs(60.0), |world| heard(world, BOB, "after all")));
    assert_eq!(world.hosts[BOB].texts().len(), 2);
    assert_eq!(world.hosts[BOB].client.contacts().len(), 1);
    // A restart knows all of that.
    world.crash(BOB);
    world.attach(BOB, 0);
    assert_eq!(world.hosts[BOB].client.contacts().len(), 1);
    assert!(world.hosts[BOB].client.invitations().is_empty());
}

#[test]
fn what_was_sent_before_an_invitation_ended_counts_and_nothing_later() {
    let mut world = three(3);
    let (number, link) = invite_one(&mut world, BOB, 120.0, "");
    world.run(secs(30.0));
    world.detach(BOB);
    accept(&mut world, ALICE, &link, Some("in time"));
    let stored = |world: &World| {
        let stored = |event: &ClientEvent| matches!(event, ClientEvent::Stored { .. });
        world.hosts[ALICE].count(stored) == 1
    };
    assert!(world.run_until(secs(60.0), stored));
    world.now += secs(150.0);
    assert!(world.now > link.expires);
    accept(&mut world, EVE, &link, None);
    let over = SendError::Invitation(InvitationError::Expired);
    assert_eq!(refused(&world, EVE), Some(over));
    world.attach(BOB, 0);
    assert!(world.run_until(secs(60.0), |world| heard(world, BOB, "in time")));
    assert!(world.hosts[BOB].client.invitation(number).is_some());

    // Another one, by which nobody came. Eve's clock is wrong: she takes it for good.
    let (number, link) = invite_one(&mut world, BOB, 60.0, "");
    let longer = Invitation {
        expires: link.expires + secs(36_000.0),
        ..link.clone()
    };
    world.run(secs(130.0));
    assert!(world.now > link.expires);
    accept(&mut world, EVE, &longer, Some("too late"));
    world.run(secs(200.0));
    assert!(!heard(&world, BOB, "too late"));
    let drop = link.sites.first.drop;
    assert!(world.revoked.iter().any(|(_, _, it)| *it == drop));
    // A time to live later nothing is left of it.
    world.run(secs(700.0));
    assert!(world.hosts[BOB].client.invitation(number).is_none());
    let rows = |table| {
        world.hosts[BOB]
            .rows
            .keys()
            .filter(move |(it, _)| *it == table)
            .count()
    };
    assert_eq!(rows(Table::Invitation), 1, "that of the only guest");
}

#[test]
fn without_a_text_the_other_learns_that_there_is_a_contact_and_can_write() {
    let mut world = three(4);
    let (_, link) = invite_one(&mut world, BOB, 3600.0, "Alice");
    accept(&mut world, ALICE, &link, None);
    assert_eq!(
        world.hosts[ALICE].events.last().unwrap().1,
        ClientEvent::Done { request: 60 }
    );
    let met = |world: &World| !world.hosts[BOB].client.contacts().is_empty();
    assert!(world.run_until(secs(60.0), met));
    answer(&mut world, "welcome");
    assert!(world.hosts[BOB].texts().is_empty());
}

#[test]
fn from_who_is_blocked_nothing_comes_and_to_him_nothing_goes() {
    let mut world = three(5);
    let (number, link) = invite_one(&mut world, BOB, 3600.0, "Alice");
    come_by(&mut world, &link, "one");
    answer(&mut world, "two");
    let alice = key(&world, ALICE);
    change(&mut world, BOB, alice, ContactChange::Blocked(true));
    world.send(BOB, 2, &alice, b"three");
    assert_eq!(refused(&world, BOB), Some(SendError::Blocked));
    world.send(ALICE, 3, &key(&world, BOB), b"four");
    world.run(secs(30.0));
    assert!(!heard(&world, BOB, "four"));
    let counters = world.hosts[BOB].client.counters();
    assert!(
        counters.unwelcome >= 1 && counters.pending_acks <= 4,
        "acknowledged"
    );
    // Some hours later the drop ids that she alone had take nothing more; nor does her invitation let anybody in.
    world.run(secs(200.0));
    let revoked: BTreeSet<_> = world.revoked.iter().map(|(_, _, drop)| *drop).collect();
    assert_eq!(revoked.len(), 2);
    assert!(world.hosts[BOB].client.invitation(number).is_none());
    world.crash(BOB);
    world.attach(BOB, 0);
    assert!(world.hosts[BOB].client.contact(&alice).unwrap().blocked);
    // Not blocked any more: she hears of another drop id with the next text.
    change(&mut world, BOB, alice, ContactChange::Blocked(false));
    world.send(BOB, 5, &alice, b"five");
    assert!(world.run_until(secs(60.0), |world| heard(world, ALICE, "five")));
    world.send(ALICE, 6, &key(&world, BOB), b"six");
    assert!(world.run_until(secs(120.0), |world| heard(world, BOB, "six")));
}

#[test]
fn who_is_removed_is_gone_with_his_sessions_and_his_way_in() {
    let mut world = three(6);
    let (_, link) = invite_one(&mut world, BOB, 3600.0, "Alice");
    come_by(&mut world, &link, "one");
    answer(&mut world, "two");
    let alice = key(&world, ALICE);
    ask(&mut world, BOB, 9, UserRequest::Remove { contact: alice });
    for table in [
        Table::Contact,
        Table::Session,
        Table::Late,
        Table::Invitation,
    ] {
        let rows = world.hosts[BOB].rows.keys();
        assert_eq!(rows.filter(|(it, _)| *it == table).count(), 0, "{table}");
    }
    world.send(ALICE, 3, &key(&world, BOB), b"three");
    accept(&mut world, ALICE, &link, Some("four"));
    world.run(secs(60.0));
    assert_eq!(world.hosts[BOB].texts().len(), 1);
    assert!(world.hosts[BOB].client.contacts().is_empty());
    world.send(BOB, 4, &alice, b"five");
    assert_eq!(refused(&world, BOB), Some(SendError::UnknownContact));
    // And met again by another.
    let (_, link) = invite_one(&mut world, BOB, 3600.0, "Alice");
    accept(&mut world, ALICE, &link, Some("six"));
    // What she wrote in between never comes: that is waited for, and then it shows.
    assert!(world.run_until(secs(200.0), |world| heard(world, BOB, "six")));
    world.send(BOB, 5, &alice, b"seven");
    assert!(world.run_until(secs(60.0), |world| heard(world, ALICE, "seven")));
}

/// Bob has his keys from a backup, and nothing else: what Alice writes can't be opened until she accepts an invitation.
#[test]
fn an_invitation_heals_a_conversation_whose_other_end_lost_its_rows() {
    let mut world = three(7);
    let link = world.invite(BOB);
    come_by(&mut world, &link, "one");
    answer(&mut world, "two");
    world.detach(BOB);
    world.hosts[BOB].rows.clear();
    world.crash(BOB);
    world.attach(BOB, 0);
    let open = |world: &World| world.hosts[BOB].client.counters().drops_unconfirmed == 0;
    assert!(world.run_until(secs(60.0), open));
    let anew = world.invite(BOB);
    accept(&mut world, ALICE, &anew, Some("three"));
    // It waits for what she wrote before, which he has and does not know of.
    assert!(world.run_until(secs(200.0), |world| heard(world, BOB, "three")));
    world.send(BOB, 2, &key(&world, ALICE), b"four");
    assert!(world.run_until(secs(60.0), |world| heard(world, ALICE, "four")));
    world.send(ALICE, 3, &key(&world, BOB), b"five");
    assert!(world.run_until(secs(60.0), |world| heard(world, BOB, "five")));
}

/// A disk that is full when somebody accepts, and when the other hears of it: nothing is half done.
#[test]
fn a_full_disk_makes_no_half_contact() {
    let mut world = three(8);
    world.hosts[BOB].disk_full = true;
    world.input(BOB, to_invite(1));
    assert!(matches!(refused(&world, BOB), Some(SendError::Storage(_))));
    assert!(world.hosts[BOB].client.invitations().is_empty());
    world.hosts[BOB].disk_full = false;
    let (_, link) = invite_one(&mut world, BOB, 36_000.0, "Alice");
    world.hosts[ALICE].disk_full = true;
    accept(&mut world, ALICE, &link, Some("one"));
    assert!(matches!(
        refused(&world, ALICE),
        Some(SendError::Storage(_))
    ));
    assert!(world.hosts[ALICE].client.contacts().is_empty());
    world.hosts[ALICE].disk_full = false;
    world.hosts[BOB].disk_full = true;
    accept(&mut world, ALICE, &link, None);
    world.run(secs(20.0));
    assert!(world.stored() > 0, "not acknowledged");
    world.hosts[BOB].disk_full = false;
    assert!(world.run_until(secs(60.0), |world| world.stored() == 0));
    world.crash(BOB);
    world.attach(BOB, 0);
    let contacts = world.hosts[BOB].client.contacts();
    assert_eq!((contacts.len(), &contacts[0].label), (1, &label("Alice")));
    let own = world.hosts[BOB].client.invitations();
    assert_eq!(own[0].guest, Some(key(&world, ALICE)));
    world.send(BOB, 3, &key(&world, ALICE), b"two");
    assert!(world.run_until(secs(60.0), |world| heard(world, ALICE, "two")));
}

/// Who came is a contact after a crash too, though the first try to save that failed and what was saved next was something else.
#[test]
fn who_was_let_in_while_the_disk_was_full_is_in() {
    let mut world = three(11);
    let (_, link) = invite_one(&mut world, BOB, 36_000.0, "Alice");
    world.hosts[BOB].disk_full = true;
    accept(&mut world, ALICE, &link, Some("one"));
    let failed = |world: &World| world.hosts[BOB].client.counters().persist_failures > 0;
    assert!(world.run_until(secs(60.0), failed));
    world.hosts[BOB].disk_full = false;
    assert!(world.run_until(secs(60.0), |world| heard(world, BOB, "one")));
    world.crash(BOB);
    world.attach(BOB, 0);
    assert!(heard(&world, BOB, "one"));
    let contacts = world.hosts[BOB].client.contacts();
    assert_eq!((contacts.len(), &contacts[0].label), (1, &label("Alice")));
    world.send(BOB, 3, &key(&world, ALICE), b"two");
    assert!(world.run_until(secs(60.0), |world| heard(world, ALICE, "two")));
    world.send(ALICE, 4, &key(&world, BOB), b"three");
    assert!(world.run_until(secs(60.0), |world| heard(world, BOB, "three")));
}

/// A contact that was blocked while the disk was full is blocked after a crash, once anything was saved.
#[test]
fn who_was_blocked_while_the_disk_was_full_stays_so() {
    let mut world = three(12);
    let (_, link) = invite_one(&mut world, BOB, 36_000.0, "Alice");
    come_by(&mut world, &link, "hello");
    world.hosts[BOB].disk_full = true;
    let contact = key(&world, ALICE);
    let change = ContactChange::Blocked(true);
    let what = UserRequest::Change { contact, change };
    world.input(BOB, ClientInput::Ask { request: 9, what });
    assert!(matches!(refused(&world, BOB), Some(SendError::Storage(_))));
    world.hosts[BOB].disk_full = false;
    // Nothing else is to be saved: it is by itself, a minute later.
    world.run(secs(90.0));
    world.crash(BOB);
    world.attach(BOB, 0);
    assert!(world.hosts[BOB].client.contacts()[0].blocked);
    world.send(ALICE, 4, &key(&world, BOB), b"you there?");
    world.run(secs(60.0));
    assert!(!heard(&world, BOB, "you there?"));
}

/// Two invitations have nothing in common but the key that people know and where the place is.
#[test]
fn invitations_are_apart_and_so_many() {
    let mut world = three(9);
    let (one, other) = (world.invite(BOB), world.invite(BOB));
    assert_ne!(one.prekey, other.prekey);
    assert_ne!(one.sites.first.drop, other.sites.first.drop);
    for request in 0..254 {
        world.input(BOB, to_invite(request));
    }
    assert_eq!(world.hosts[BOB].client.invitations().len(), 256);
    world.input(BOB, to_invite(999));
    assert_eq!(refused(&world, BOB), Some(SendError::NoInvitationLeft));
    // What is revoked is not given to another.
    let number = world.hosts[BOB].client.invitations()[0].number;
    ask(
        &mut world,
        BOB,
        1,
        UserRequest::Revoke { invitation: number },
    );
    world.input(BOB, to_invite(999));
    assert_eq!(refused(&world, BOB), Some(SendError::NoInvitationLeft));
}

/// A label is the owner's; a newcomer of one for many is none's until he is written to or verified.
#[test]
fn the_user_says_what_a_contact_is() {
    let mut world = three(10);
    let link = world.invite(BOB);
    accept(&mut world, ALICE, &link, Some("one"));
    accept(&mut world, EVE, &link, Some("me too"));
    let both = |world: &World| heard(world, BOB, "one") && heard(world, BOB, "me too");
    assert!(world.run_until(secs(60.0), both));
    let (alice, eve) = (key(&world, ALICE), key(&world, EVE));
    let of = |world: &World, who| world.hosts[BOB].client.contact(&who).unwrap();
    assert!(!of(&world, alice).known && !of(&world, eve).known);
    change(&mut world, BOB, alice, ContactChange::Verified(true));
    change(
        &mut world,
        BOB,
        alice,
        ContactChange::Label(label("Alice A.")),
    );
    world.crash(BOB);
    let kept = of(&world, alice);
    assert!(kept.known && kept.verified && kept.label == label("Alice A."));
    assert!(!of(&world, eve).known);
    let client = |world: &World, who: usize, other| world.hosts[who].client.safety_number(other);
    let own = key(&world, BOB);
    assert_eq!(client(&world, BOB, &alice), client(&world, ALICE, &own));
    assert_ne!(client(&world, BOB, &eve), client(&world, ALICE, &own));
}

/// Whoever has an invitation for many can be as many as he likes: those who write least recently are forgotten, with all
/// that is known of them.
#[test]
fn a_crowd_of_newcomers_leaves_so_many_behind() {
    let mut world = three(11);
    world.hosts[BOB].config.limits.sessions_of_strangers = 3;
    world.crash(BOB);
    world.attach(BOB, 0);
    let link = world.invite(BOB);
    for number in 0..8 {
        let who = world.add(1, "quick");
        world.attach(who, 3);
        let text = format!("newcomer {number}");
        accept(&mut world, who, &link, Some(&text));
        assert!(world.run_until(secs(90.0), |world| heard(world, BOB, &text)));
        // It is read, or vanishes: nothing of it waits.
        let read = world.hosts[BOB].events.iter().rev();
        let message = read.clone().find_map(|(_, event)| match event {
            ClientEvent::Received { message, .. } => Some(*message),
            _ => None,
        });
        let message = message.unwrap();
        world.input(BOB, ClientInput::Read { message });
        world.detach(who);
    }
    assert_eq!(world.hosts[BOB].client.contacts().len(), 3);
    let rows = |table| {
        let rows = world.hosts[BOB].rows.keys();
        rows.filter(move |(it, _)| *it == table).count()
    };
    assert_eq!((rows(Table::Session), rows(Table::Contact)), (3, 3));
    assert!(rows(Table::Order) <= 3 && rows(Table::Done) <= 3);
}

/// Who is a contact already and comes by an invitation for one is who it was for: nobody else is let in.
#[test]
fn an_invitation_for_one_is_used_up_by_a_contact_too() {
    let mut world = three(12);
    let many = world.invite(BOB);
    come_by(&mut world, &many, "one");
    assert!(!world.hosts[BOB].client.contacts()[0].known);
    let (number, link) = invite_one(&mut world, BOB, 3600.0, "Alice");
    come_by(&mut world, &link, "two");
    let alice = key(&world, ALICE);
    let status = world.hosts[BOB].client.invitation(number).unwrap();
    assert_eq!(status.guest, Some(alice));
    assert!(world.hosts[BOB].client.contact(&alice).unwrap().known);
    accept(&mut world, EVE, &link, Some("me too"));
    let leaked = |event: &ClientEvent| matches!(event, ClientEvent::Leaked { .. });
    assert!(world.run_until(secs(60.0), |world| world.hosts[BOB].count(leaked) == 1));
    assert!(!heard(&world, BOB, "me too"));
}

/// Bob has written a lot, and loses his rows: what he says of where he is counts from then on.
#[test]
fn where_somebody_is_who_counts_anew_is_heard() {
    let mut world = three(13);
    let link = world.invite(BOB);
    come_by(&mut world, &link, "one");
    let alice = key(&world, ALICE);
    for number in 0..6 {
        let text = format!("{number}");
        world.send(BOB, number, &alice, text.as_bytes());
        assert!(world.run_until(secs(60.0), |world| heard(world, ALICE, &text)));
    }
    world.detach(BOB);
    world.hosts[BOB].rows.clear();
    world.crash(BOB);
    world.attach(BOB, 0);
    let open = |world: &World| world.hosts[BOB].client.counters().drops_unconfirmed == 0;
    assert!(world.run_until(secs(60.0), open));
    let (_, anew) = invite_one(&mut world, BOB, 3600.0, "Alice");
    accept(&mut world, ALICE, &anew, Some("two"));
    assert!(world.run_until(secs(200.0), |world| heard(world, BOB, "two")));
    world.send(BOB, 9, &alice, b"here I am");
    assert!(world.run_until(secs(200.0), |world| heard(world, ALICE, "here I am")));
    // From then on she writes to the drop id that he has given her, and not by the invitation.
    world.run(secs(10.0));
    world.deposits.clear();
    world.send(ALICE, 10, &key(&world, BOB), b"I see");
    assert!(world.run_until(secs(60.0), |world| heard(world, BOB, "I see")));
    let used: BTreeSet<_> = world.deposits.iter().map(|it| it.drop).collect();
    assert!(!used.contains(&anew.sites.first.drop));
}

/// What is under way to somebody who is blocked is given up, and what of his waits is told to nobody.
#[test]
fn blocking_ends_what_is_under_way() {
    let mut world = three(14);
    let (_, link) = invite_one(&mut world, BOB, 36_000.0, "Alice");
    come_by(&mut world, &link, "one");
    let alice = key(&world, ALICE);
    world.answer = crate::world::Answer::Silent;
    world.send(BOB, 1, &alice, b"never");
    world.run(secs(5.0));
    change(&mut world, BOB, alice, ContactChange::Blocked(true));
    let expired = |event: &ClientEvent| matches!(event, ClientEvent::Expired { .. });
    assert_eq!(world.hosts[BOB].count(expired), 1);
    world.answer = crate::world::Answer::Honest;
    world.deposits.clear();
    world.run(secs(60.0));
    assert!(!heard(&world, ALICE, "never"));
    let rows = world.hosts[BOB].rows.keys();
    assert_eq!(rows.filter(|(it, _)| *it == Table::Outbox).count(), 0);
}
