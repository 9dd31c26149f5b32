//! What somebody sees who watches a client's link: of one seed, the same to the microsecond whatever the
//! user does, also when the link is cut, the process starts again and epochs end.

use shoal_proto::Span;

use crate::link_lives::{Happens, Play, Seen, User};

/// Long enough for a dozen cuts, restarts or switches.
const WATCHED: Span = Span::from_secs(720);

const ALL: [Happens; 4] = [
    Happens::Nothing,
    Happens::Cuts,
    Happens::Restarts,
    Happens::Switches,
];

/// All that passes on the links of two clients.
fn links(happens: Happens, users: [User; 2]) -> Vec<Seen> {
    let mut seen = Play::new(10, happens, &users).watch(WATCHED);
    for seen in &mut seen {
        assert_eq!(seen.received > 12, users[0].writes_to.is_some());
        assert_eq!(seen.events.len() > 9, happens != Happens::Nothing);
        assert!(seen.up.len() > 200 && seen.down.len() > 400);
        if matches!(happens, Happens::Cuts | Happens::Restarts) {
            // The clock of a new downlink is seeded from what the entry draws for everybody's packets
            // too, so the instants are others, though not the law.
            let first = seen.events[0];
            seen.down.retain(|at| *at < first);
        }
        // What the user does is not to be seen there.
        seen.writes.clear();
        seen.told.clear();
        seen.received = 0;
    }
    seen
}

#[test]
fn a_link_shows_nothing_of_what_the_user_does() {
    for happens in ALL {
        let [one, other] = [User::writing_to(1), User::writing_to(0)];
        let idle = links(happens, [User::IDLE; 2]);
        let busy = links(happens, [one, other]);
        let broken = links(happens, [one.broken(), other]);
        assert_eq!(idle, busy, "{happens:?}");
        assert_ne!(idle[0], broken[0], "{happens:?}");
        assert_eq!(idle[1], broken[1], "{happens:?}");
    }
}
