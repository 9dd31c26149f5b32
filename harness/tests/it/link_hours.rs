//! Ten hours of virtual time for each state of a client and its user: what somebody sees on the link
//! does not tell which it is, and the same judges find clients that are broken on purpose.
//!
//! The ten hours of a state are those of two clients in one network, five hours each. Clients have the
//! profile `mobile`, so a state is about 13,000 frames up and 28,000 down, in 3,200 windows or more: the
//! deviation of the area under the classifier's curve is 0.01.

use shoal_proto::Span;

use crate::link_judge::{Finding, judge, memoryless, rejecting};
use crate::link_lives::{Happens, Pieces, Play, Seen, User};
use crate::link_windows::Group;

/// Five hours.
const WATCHED: Span = Span::from_secs(5 * 3600);
/// A broken client is found sooner.
const WATCHED_BROKEN: Span = Span::from_secs(1800);
/// No classifier may do better than this: 0.5 is guessing.
const MOST: f64 = 0.55;
/// What is looked at as one with a switch begins so long before it.
const BEFORE: Span = Span::from_secs(10);

fn name(happens: Happens) -> &'static str {
    match happens {
        Happens::Nothing => "sending and receiving",
        Happens::Cuts => "reconnecting",
        Happens::Restarts => "restarting",
        Happens::Switches => "across a switch",
    }
}

/// Two that idle, and two who write to each other.
fn pairs(users: &[User; 4], seed: u64, happens: Happens, watched: Span) -> Vec<Finding> {
    let seen = Play::new(seed, happens, users).watch(watched);
    if !users[2].broken {
        check_texts(&seen[2..]);
    }
    let [idle, busy] = [&seen[..2], &seen[2..]].map(|seen| match happens {
        Happens::Nothing => Group::always(seen),
        Happens::Cuts | Happens::Restarts => Group::around_events(seen, Span::ZERO),
        Happens::Switches => Group::around_events(seen, BEFORE),
    });
    vec![judge(name(happens), &idle, &busy)]
}

/// Two that idle, two that only send, the two to whom they do, and two who write to each other; the
/// last ones looked at around the switches too.
fn undisturbed(seed: u64) -> Vec<Finding> {
    let mut users = vec![User::IDLE; 8];
    for (from, to) in [(2, 4), (3, 5), (6, 7), (7, 6)] {
        users[from] = User::writing_to(to);
    }
    let seen = Play::new(seed, Happens::Switches, &users).watch(WATCHED);
    check_texts(&seen[4..]);
    let groups: Vec<Group<'_>> = seen.chunks(2).map(Group::always).collect();
    let states = ["sending", "receiving", "sending and receiving"];
    let judged = states.into_iter().zip(&groups[1..]);
    let mut findings: Vec<Finding> = judged
        .map(|(state, group)| judge(state, &groups[0], group))
        .collect();
    findings[0].tests.extend(memoryless(&groups[0]));
    let [idle, busy] = [&seen[..2], &seen[6..]].map(|seen| Group::around_events(seen, BEFORE));
    findings.push(judge("across a switch", &idle, &busy));
    findings
}

/// Two that idle, two that send a file in large pieces or small ones, and the two to whom they do.
fn files(seed: u64) -> Vec<Finding> {
    let mut users = [User::IDLE; 6];
    users[2] = User::sending_a_file_to(4, Pieces::LARGE);
    users[3] = User::sending_a_file_to(5, Pieces::SMALL);
    let seen = Play::new(seed, Happens::Switches, &users).watch(WATCHED);
    check_files(&seen[4..]);
    let groups: Vec<Group<'_>> = seen.chunks(2).map(Group::always).collect();
    let states = ["sends a file", "receives a file"];
    let judged = states.into_iter().zip(&groups[1..]);
    judged
        .map(|(state, group)| judge(state, &groups[0], group))
        .collect()
}

/// Two that idle, and two that send a file and are broken.
fn broken_files(seed: u64) -> Vec<Finding> {
    let mut users = [User::IDLE; 4];
    users[2] = User::sending_a_file_to(0, Pieces::SMALL).broken();
    users[3] = User::sending_a_file_to(1, Pieces::SMALL).broken();
    let seen = Play::new(seed, Happens::Nothing, &users).watch(WATCHED);
    let [idle, busy] = [&seen[..2], &seen[2..]].map(Group::always);
    vec![judge("sends a file", &idle, &busy)]
}

/// Of 421,000 bytes an hour that large pieces are, and 394,000 that small ones are, a third did come.
fn check_files(seen: &[Seen]) {
    for seen in seen {
        let hours = seen.to.since(seen.from).as_secs_f64() / 3600.0;
        let rate = seen.file_bytes as f64 / hours;
        println!("{rate:.0} bytes of a file an hour");
        assert!(rate > 140_000.0, "{rate} bytes an hour");
    }
}

/// Users did get what they wrote to each other.
fn check_texts(seen: &[Seen]) {
    for seen in seen {
        let hours = seen.to.since(seen.from).as_secs_f64() / 3600.0;
        assert!(
            seen.received as f64 > 150.0 * hours,
            "{} texts",
            seen.received
        );
    }
}

fn print(finding: &Finding) {
    let Finding { state, area, .. } = finding;
    let smallest = finding.tests.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let (test, p) = smallest.unwrap();
    println!(
        "{state}: area {:.3} ({:.3} to {:.3}) of {:?} windows with {:?} frames; {} tests, the smallest p \
         {p:.1e}: {test}",
        area.area,
        area.low,
        area.high,
        finding.windows,
        finding.frames,
        finding.tests.len(),
    );
}

type Job<'a> = Box<dyn FnOnce() -> Vec<Finding> + Send + 'a>;

/// Runs each job on a thread of its own.
fn together(jobs: Vec<Job<'_>>) -> Vec<Finding> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = jobs.into_iter().map(|job| scope.spawn(job)).collect();
        let done = threads.into_iter().map(|thread| thread.join().unwrap());
        done.flatten().collect()
    })
}

#[test]
fn ten_hours_of_a_link_do_not_tell_what_the_user_does() {
    let users = [
        User::IDLE,
        User::IDLE,
        User::writing_to(3),
        User::writing_to(2),
    ];
    let findings = together(vec![
        Box::new(|| undisturbed(20)),
        Box::new(|| files(23)),
        Box::new(|| pairs(&users, 21, Happens::Cuts, WATCHED)),
        Box::new(|| pairs(&users, 22, Happens::Restarts, WATCHED)),
    ]);
    findings.iter().for_each(print);
    assert_eq!(findings.len(), 8);
    assert_eq!(rejecting(&findings), [""; 0]);
    for finding in &findings {
        assert!(
            finding.area.high < MOST,
            "{}: {:?}",
            finding.state,
            finding.area
        );
    }
}

#[test]
fn the_same_judges_find_clients_that_are_broken() {
    let [one, other] = [User::writing_to(3), User::writing_to(2)].map(User::broken);
    let users = [User::IDLE, User::IDLE, one, other];
    let all = [
        Happens::Nothing,
        Happens::Cuts,
        Happens::Restarts,
        Happens::Switches,
    ];
    let mut jobs: Vec<Job<'_>> = Vec::new();
    for (seed, happens) in (30..).zip(all) {
        let users = &users;
        jobs.push(Box::new(move || {
            pairs(users, seed, happens, WATCHED_BROKEN)
        }));
    }
    jobs.push(Box::new(|| broken_files(34)));
    for finding in together(jobs) {
        print(&finding);
        let Finding { state, area, .. } = &finding;
        assert!(area.high > MOST, "{state}: {area:?}");
        assert!(!rejecting([&finding]).is_empty(), "{state}");
    }
}
