//! What happens in the demo.

use std::time::{Duration, Instant};

use super::network::Network;
use super::report::{Leg, Outcome};
use crate::Failure;
use crate::control::ControlClient;
use crate::control::protocol::{Accepted, Event, Hop, Received, Request, Response, Status};

/// Bob's answer.
const ANSWER: &str = "Hello Alice. I was not even running when you wrote.";

/// From an empty directory to Alice reading Bob's answer.
pub(super) async fn tell(network: &mut Network, text: &str) -> Result<Outcome, Failure> {
    let say = network.narrator;
    say.line("Setting up 3 layers of 2 mixes and 3 providers on loopback (TCP and QUIC)…");
    network.set_up().await?;
    network.start().await?;

    say.line("Bob comes online for the first time: his mailboxes are drawn and opened.");
    network.make_client("bob").await?;
    network.start_client("bob").await?;
    let invitation = network.invite("bob", "Alice").await?;
    network.stop_one("bob").await?;
    say.line("Bob has made an invitation for Alice, and is stopped. Only now she comes online.");
    network.make_client("alice").await?;
    let mut alice = network.start_client("alice").await?;
    let mut alice_hears = follow(network, "alice").await?;

    network.accept("alice", &invitation, "Bob").await?;
    say.line("Alice has accepted it: Bob is a contact of hers.");
    let accepted_at = now();
    let accepted = send(&mut alice, "Bob", text).await?;
    say.line(&format!(
        "Alice's message is accepted: {} bytes in {} packet(s), \"stored\" expected within about {:.1} s",
        text.len(),
        accepted.fragments,
        accepted.expected_stored_ms as f64 / 1000.0
    ));
    let there = until_stored(network, &mut alice_hears, &accepted.message).await?;
    let stored = accepted_at.elapsed();
    say.line(&format!(
        "\"Stored\": a mailbox of Bob's has it on disk, {:.1} s after Alice sent it.",
        stored.as_secs_f64()
    ));

    say.line("Now Bob's process is started again.");
    let mut bob = network.start_client("bob").await?;
    let received = first_message(&mut bob).await?;
    let latency = accepted_at.elapsed();
    say.line(&format!(
        "Bob reads, {:.1} s after Alice sent it:",
        latency.as_secs_f64()
    ));
    say.quote(&received.text);
    say.route("  it came out of his mailbox by", &received.hops);

    // He knows her by the invitation that he made.
    send(&mut bob, "Alice", ANSWER).await?;
    let reply = first_message(&mut alice).await?;
    say.line("Alice reads Bob's answer:");
    say.quote(&reply.text);

    let clients = [status(&mut alice).await?, status(&mut bob).await?];
    let books = network.books().await?;
    Ok(Outcome {
        delivered: received.text == text,
        received: received.text,
        reply_received: reply.text == ANSWER,
        reply: reply.text,
        stored_ms: millis(stored),
        latency_ms: millis(latency),
        there: Leg(there),
        out: Leg(received.hops),
        clients,
        books,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures what the user waits for"
)]
fn now() -> Instant {
    Instant::now()
}

async fn follow(network: &Network, name: &str) -> Result<ControlClient, Failure> {
    let mut events = network.control(name).await?;
    events.follow().await.map_err(Failure::unreachable)?;
    Ok(events)
}

async fn send(client: &mut ControlClient, to: &str, text: &str) -> Result<Accepted, Failure> {
    let request = Request::Send {
        to: to.to_owned(),
        text: text.to_owned(),
        life_ms: None,
        idempotency_key: None,
    };
    match client.ask(request).await.map_err(Failure::unreachable)? {
        Response::Accepted(accepted) => Ok(accepted),
        other => Err(strange(&other)),
    }
}

/// Shows the packets of the message as they leave; gives the hops of the first.
async fn until_stored(
    network: &Network,
    events: &mut ControlClient,
    id: &str,
) -> Result<Vec<Hop>, Failure> {
    let mut first = Vec::new();
    loop {
        match events.event().await.map_err(Failure::unreachable)? {
            Event::Sent {
                message,
                fragment,
                hops,
            } if message == id => {
                network
                    .narrator
                    .route(&format!("  packet {} leaves by", fragment + 1), &hops);
                if first.is_empty() {
                    first = hops;
                }
            }
            Event::Stored { message, .. } if message == id => return Ok(first),
            Event::Expired { message } if message == id => {
                return Err(Failure::failed(anyhow::anyhow!("the message expired")));
            }
            _ => {}
        }
    }
}

async fn first_message(client: &mut ControlClient) -> Result<Received, Failure> {
    loop {
        let request = Request::Messages {
            after: 0,
            limit: 1,
            wait_ms: 60_000,
        };
        let response = client.ask(request).await.map_err(Failure::unreachable)?;
        let Response::Messages(page) = response else {
            return Err(strange(&response));
        };
        if let Some(message) = page.messages.into_iter().next() {
            return Ok(message);
        }
    }
}

async fn status(client: &mut ControlClient) -> Result<Status, Failure> {
    match client
        .ask(Request::Status)
        .await
        .map_err(Failure::unreachable)?
    {
        Response::Status(status) => Ok(*status),
        other => Err(strange(&other)),
    }
}

fn strange(_: &Response) -> Failure {
    Failure::failed(anyhow::anyhow!(
        "a client daemon answered what nobody asked"
    ))
}
