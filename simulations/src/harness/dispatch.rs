//! Whom an event happens to, and what it means to them.

use crate::harness::Party;
use crate::harness::client::ClientHost;
use crate::harness::node::Node;
use crate::harness::observe::Observer;
use crate::harness::world::{Event, Job, Lane, World};

impl Event {
    /// Whom it happens to.
    pub(crate) const fn party(&self) -> Party {
        match self {
            Self::Wake { party }
            | Self::AskTimeout { party, .. }
            | Self::Neighbour { party, .. }
            | Self::Disk { party, .. }
            | Self::Gone { party, .. }
            | Self::Housekeeping { party, .. } => *party,
            Self::Frame { to, .. }
            | Self::Gossip { to, .. }
            | Self::Ask { to, .. }
            | Self::Answer { to, .. } => *to,
            Self::Attach { connection, .. } => connection.entry,
            Self::AttachAnswer { connection, .. } => connection.client,
        }
    }
}

/// False if nothing follows from it.
pub(crate) fn happen_to_node(
    node: &mut Node,
    event: Event,
    world: &mut World,
    observer: &mut Observer,
) -> bool {
    match event {
        Event::Wake { .. } => return node.woken(world.now),
        Event::Frame {
            from, lane, frame, ..
        } => node.frame(from, lane, frame, world, observer),
        Event::Gossip { from, bytes, .. } => node.gossip(from, &bytes, world),
        Event::Ask {
            from,
            number,
            request,
            ..
        } => node.asked(from, number, request, world),
        Event::Answer {
            number, response, ..
        } => node.answered(number, Some(response), world),
        Event::AskTimeout { number, .. } => node.answered(number, None, world),
        Event::Neighbour { other, there, .. } => node.neighbour(other, there, world),
        Event::Disk {
            incarnation, job, ..
        } => node.written(incarnation, job, world),
        Event::Attach {
            connection,
            profile,
        } => node.attach(connection, profile, world),
        Event::Gone { connection, .. } => node.detached(&connection, world),
        Event::AttachAnswer { .. } | Event::Housekeeping { .. } => return false,
    }
    true
}

/// False if nothing follows from it.
pub(crate) fn happen_to_client(
    client: &mut ClientHost,
    event: Event,
    world: &mut World,
    observer: &mut Observer,
) -> bool {
    match event {
        Event::Wake { .. } => return client.woken(world.now),
        Event::Frame {
            from, lane, frame, ..
        } => client.frame(from, lane, frame, world, observer),
        Event::Answer {
            number, response, ..
        } => client.answered(number, response, world),
        Event::Disk {
            incarnation,
            job: Job::Rows,
            ..
        } => client.written(incarnation, world),
        Event::AttachAnswer {
            connection,
            accepted,
        } => {
            client.attach_answered(&connection, accepted, world);
        }
        Event::Gone { connection, .. } => client.gone(&connection, world),
        Event::Housekeeping { incarnation, .. } => client.housekeeping(incarnation, world),
        _ => return false,
    }
    true
}

/// Frames on links, counted one by one.
pub(crate) fn frames_in_queue(world: &World) -> (u64, u64, u64) {
    let mut counts = (0, 0, 0);
    for event in world.queue.iter() {
        if let Event::Frame { lane, .. } = event {
            match lane {
                Lane::Members(_) => counts.0 += 1,
                Lane::Uplink(_) => counts.1 += 1,
                Lane::Downlink(_) => counts.2 += 1,
            }
        }
    }
    counts
}
