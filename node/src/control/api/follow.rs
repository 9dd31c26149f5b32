//! Events as they happen: as server-sent events, and over a WebSocket.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response as HttpResponse};
use futures::Stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::events::{EventId, Follower};
use super::super::places::Seat;
use super::super::protocol::{Event, Refusal, RefusalCode};
use super::super::wire::Params;
use super::Daemon;

/// The header with the last event that one was told.
const LAST_EVENT_ID: &str = "last-event-id";

/// The name of the WebSocket's subprotocol. Who offers the token as another one is answered with this.
const SUBPROTOCOL: &str = "shoal.events";

/// Most bytes of a WebSocket's message to the daemon, which looks at none.
const MESSAGE_BYTES: usize = 4096;

/// An event, with its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Told {
    /// By which one goes on after it.
    pub id: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// The id of the last event that was told: those after it come first. About a thousand are kept, for as long as
    /// the daemon runs; whoever has missed others is told so by the event `missed`.
    after: Option<String>,
}

/// Events from now on, or after one, as they happen: server-sent events whose data is JSON.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "The same as `after`")),
    responses((status = 200, description = "They come until one side ends it", content_type = "text/event-stream", body = Told)))]
pub(super) async fn events(
    State(daemon): State<Daemon>,
    Params(query): Params<EventsQuery>,
    headers: HeaderMap,
    seat: Option<Extension<Seat>>,
) -> Result<HttpResponse, Refusal> {
    let follower = follower(&daemon, query, &headers)?;
    let wait = seat.map(|Extension(seat)| seat.wait());
    let told = futures::stream::unfold((follower, wait), async |(mut follower, wait)| {
        let (id, event) = follower.next().await?;
        let told = SseEvent::default()
            .id(id.to_string())
            .data(in_json(id, &event));
        Some((Ok(told), (follower, wait)))
    });
    Ok(stream(told))
}

fn stream(told: impl Stream<Item = Result<SseEvent, Infallible>> + Send + 'static) -> HttpResponse {
    Sse::new(told)
        .keep_alive(KeepAlive::default())
        .into_response()
}

/// The same over a WebSocket: each of its messages is an event, as JSON. What is sent to it is not looked at.
#[utoipa::path(get, path = "/v1/events/ws", tag = "events", params(EventsQuery), responses(
    (status = 101, description = "A WebSocket, of the subprotocol `shoal.events` if any is offered. Who can give it no \
     headers may offer `shoal.token.TOKEN` besides")))]
pub(super) async fn websocket(
    State(daemon): State<Daemon>,
    Params(query): Params<EventsQuery>,
    headers: HeaderMap,
    seat: Option<Extension<Seat>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<HttpResponse, Refusal> {
    let upgrade = upgrade.map_err(|error| {
        let message = format!("this path is a WebSocket's: {}", error.body_text());
        Refusal::new(RefusalCode::Malformed, message)
    })?;
    // Before it is said that they come.
    let mut follower = follower(&daemon, query, &headers)?;
    let held = seat.map(|Extension(seat)| (seat.wait(), seat.work()));
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(MESSAGE_BYTES);
    Ok(upgrade.on_upgrade(async move |mut socket| {
        let _held = held;
        tell(&mut socket, &mut follower).await;
    }))
}

/// Tells events until the other side is gone, or there are no more.
async fn tell(socket: &mut WebSocket, follower: &mut Follower) {
    loop {
        tokio::select! {
            told = follower.next() => {
                let message = match &told {
                    Some((id, event)) => Message::text(in_json(*id, event)),
                    None => Message::Close(Some(CloseFrame {
                        code: close_code::AWAY,
                        reason: "the daemon stops".into(),
                    })),
                };
                if socket.send(message).await.is_err() || told.is_none() {
                    return;
                }
            }
            // It is read for the sake of pings and of its end.
            come = socket.recv() => match come {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}

fn follower(daemon: &Daemon, query: EventsQuery, headers: &HeaderMap) -> Result<Follower, Refusal> {
    let invalid = |words: String| Refusal::new(RefusalCode::Invalid, words);
    let header = headers.get(LAST_EVENT_ID).map(|value| value.to_str());
    let header = header
        .transpose()
        .map_err(|error| invalid(format!("Last-Event-ID: {error}")))?;
    let after = match header.map(str::to_owned).or(query.after) {
        Some(text) => Some(
            text.parse()
                .map_err(|error| invalid(format!("`{text}` {error}")))?,
        ),
        None => None,
    };
    Ok(daemon.events.follow(after))
}

fn in_json(id: EventId, event: &Arc<Event>) -> String {
    #[derive(Serialize)]
    struct Shown<'a> {
        id: String,
        #[serde(flatten)]
        event: &'a Event,
    }
    let id = id.to_string();
    serde_json::to_string(&Shown { id, event }).unwrap_or_default()
}
