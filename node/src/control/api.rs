//! What can be asked of a client's daemon over HTTP, and of a node. The OpenAPI document is made of these functions.

mod conversations;
mod document;
mod files;
mod follow;
mod messagebox;
mod page;
mod people;
mod qr;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response as HttpResponse};
use axum::routing::{delete, get, post};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::{Duration, timeout};
use utoipa::{IntoParams, ToSchema};

use self::document::openapi;
use super::events::Events;
use super::places::{Seat, Wait};
use super::protocol::{
    Accepted, HealthReport, IdempotencyKey, MAX_OUTGOING, MAX_PAGE, Messages, OutgoingPage,
    Profiles, Progress, Refusal, RefusalCode, Request, Response, Status,
};
use super::server::Handler;
use super::wire::{Given, Json, Nothing, Params, json, no_such_method, no_such_path};

pub use self::document::document;
pub use self::follow::Told;
pub(super) use self::page::is_for_a_file;
pub use self::page::{Page, PageLink, pages};

/// The header with an application's name for a message.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// How long the daemon may take to say how it is before it is held to be stuck, as at `/healthz`.
const PATIENCE: Duration = Duration::from_secs(5);

/// What stands behind the routes.
#[derive(Clone)]
struct Daemon {
    handler: Arc<dyn Handler>,
    events: Arc<Events>,
    /// Files that may be in memory at a time while they are taken or given.
    files: Arc<Semaphore>,
}

/// Files that are taken or given at a time.
const FILES: usize = 4;

/// The API of a client's daemon.
pub fn client(handler: Arc<dyn Handler>, events: Arc<Events>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/health", get(health))
        .route("/v1/profiles", get(profiles))
        .route("/v1/openapi.json", get(openapi))
        .route(
            "/v1/invitations",
            get(people::invitations).post(people::invite),
        )
        .route("/v1/invitations/renew", post(people::renew))
        .route("/v1/invitations/{id}", delete(people::revoke))
        .route("/v1/contacts", get(people::contacts).post(people::accept))
        .route(
            "/v1/contacts/{contact}",
            get(people::contact)
                .patch(people::change)
                .delete(people::remove),
        )
        .route("/v1/messages", get(messages).post(send))
        .route("/v1/messages/{id}/ack", post(acknowledge))
        .route("/v1/outgoing", get(outgoing))
        .route("/v1/outgoing/{id}", get(progress))
        .route("/v1/conversations", get(conversations::list))
        .route(
            "/v1/conversations/{contact}",
            get(conversations::lines).delete(conversations::clear),
        )
        .route(
            "/v1/conversations/{contact}/read",
            post(conversations::read),
        )
        .route("/v1/files", get(files::list).post(files::send))
        .route("/v1/files/{id}", get(files::status).delete(files::remove))
        .route("/v1/files/{id}/content", get(files::content))
        .route("/v1/messagebox", get(messagebox::status))
        .route("/v1/messagebox/boxes", get(messagebox::boxes))
        .route("/v1/messagebox/boxes/{box}", get(messagebox::contents))
        .route("/v1/messagebox/allowed", post(messagebox::allow))
        .route(
            "/v1/messagebox/allowed/{identity}",
            delete(messagebox::disallow),
        )
        .route("/v1/messagebox/mapped", post(messagebox::map))
        .route(
            "/v1/messagebox/mapped/{identity}",
            delete(messagebox::unmap),
        )
        .route("/v1/qr", post(qr::qr))
        .route("/v1/events", get(follow::events))
        .route("/v1/events/ws", get(follow::websocket))
        .route("/v1/stop", post(stop))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .with_state(Daemon {
            handler,
            events,
            files: Arc::new(Semaphore::new(FILES)),
        })
}

/// What a node answers: how it is.
pub fn node(handler: Arc<dyn Handler>) -> Router {
    Router::new()
        .route("/v1/status", get(node_status))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .with_state(handler)
}

/// Takes the answer of the kind that belongs to a request.
macro_rules! answered {
    ($asked:expr, $kind:ident) => {
        match $asked.await? {
            Response::$kind(answer) => Ok(Json(answer)),
            _ => Err(strange()),
        }
    };
}
// Its children have it by its path: they are declared above it.
use answered;

fn strange() -> Refusal {
    Refusal::new(RefusalCode::Internal, "the daemon answered something else")
}

/// How a node is.
async fn node_status(
    State(node): State<Arc<dyn Handler>>,
) -> Result<Json<Box<super::protocol::NodeStatus>>, Refusal> {
    answered!(node.handle(Request::Status), Node)
}

/// How the daemon is.
#[utoipa::path(get, path = "/v1/status", tag = "daemon",
    responses((status = 200, description = "How it is", body = Status)))]
async fn status(State(daemon): State<Daemon>) -> Result<Json<Box<Status>>, Refusal> {
    answered!(daemon.handler.handle(Request::Status), Status)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ProfilesQuery {
    /// Users online to say the bits for.
    users: Option<u32>,
}

/// The network's profiles: what each costs, how fast it is, and how well it hides.
#[utoipa::path(get, path = "/v1/profiles", tag = "daemon", params(ProfilesQuery),
    responses((status = 200, description = "All of them, and which one is in use", body = Profiles)))]
async fn profiles(
    State(daemon): State<Daemon>,
    Params(ProfilesQuery { users }): Params<ProfilesQuery>,
) -> Result<Json<Box<Profiles>>, Refusal> {
    let asked = daemon.handler.handle(Request::Profiles { users });
    answered!(asked, Profiles)
}

/// Whether the client is connected to the network.
#[utoipa::path(get, path = "/v1/health", tag = "daemon", responses(
    (status = 200, description = "All is well", body = HealthReport),
    (status = 503, description = "It is not, and why", body = HealthReport)))]
async fn health(State(daemon): State<Daemon>) -> HttpResponse {
    let asked = timeout(PATIENCE, daemon.handler.handle(Request::Status)).await;
    let reasons = match asked {
        Ok(Ok(Response::Status(status))) => status.troubles(),
        Ok(Ok(_)) => vec![strange().message],
        Ok(Err(refusal)) => vec![refusal.message],
        Err(_) => vec!["the daemon's loop does not answer".to_owned()],
    };
    let well = reasons.is_empty();
    let status = match well {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    json(status, &HealthReport { well, reasons })
}

/// A text to send.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Send {
    /// The key of a contact, base58, or what it is called, if nobody else is.
    pub(super) to: String,
    /// The text.
    pub(super) text: String,
    /// How long it is worth anything, in milliseconds, if that is shorter than the network keeps it: it is tried no
    /// longer, and from then on it is shown to nobody, also if it has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) life_ms: Option<u64>,
}

/// Send a text. The answer comes once the message is on disk: from then on it is sent, whatever becomes of the daemon.
#[utoipa::path(post, path = "/v1/messages", tag = "messages", request_body = Send,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 128,
        description = "A name of yours for this message, of visible characters of ASCII: with it the same message is \
        sent once, however often it is asked for. Another message with the same key is refused (409).")),
    responses(
        (status = 202, description = "It is on disk", body = Accepted),
        (status = 404, description = "There is no such contact", body = Refusal),
        (status = 409, description = "Another message has this key", body = Refusal),
        (status = 410, description = "Another copy of this client has taken the mailbox over", body = Refusal),
        (status = 429, description = "It takes none now: ask again later", body = Refusal)))]
async fn send(
    State(daemon): State<Daemon>,
    headers: HeaderMap,
    Given(Send { to, text, life_ms }): Given<Send>,
) -> Result<HttpResponse, Refusal> {
    let request = Request::Send {
        to,
        text,
        life_ms,
        idempotency_key: idempotency_key(&headers)?,
    };
    match daemon.handler.handle(request).await? {
        Response::Accepted(accepted) => Ok(json(StatusCode::ACCEPTED, &accepted)),
        _ => Err(strange()),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Refusal> {
    let invalid = |words: String| Refusal::new(RefusalCode::Invalid, words);
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(first) = keys.next() else {
        return Ok(None);
    };
    if keys.next().is_some() {
        return Err(invalid("a message has one idempotency key".to_owned()));
    }
    // What is no text is no key either.
    let key = first.to_str().unwrap_or_default().parse();
    key.map(Some)
        .map_err(|error: super::protocol::BadKey| invalid(error.to_string()))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MessagesQuery {
    /// Only those after this cursor; 0, the default, for all that are unread.
    #[serde(default)]
    after: u64,
    /// At most this many; 256 if more, or if it is not said.
    #[serde(default = "page")]
    limit: u32,
    /// If there are none, wait this long for one, in milliseconds; an hour at most.
    #[serde(default)]
    wait_ms: u64,
}

const fn page() -> u32 {
    MAX_PAGE
}

/// Messages received and not acknowledged, oldest first.
#[utoipa::path(get, path = "/v1/messages", tag = "messages", params(MessagesQuery), responses(
    (status = 200, description = "A page of them; `next` is the `after` of the next one", body = Messages),
    (status = 410, description = "Another copy of this client has taken the mailbox over", body = Refusal)))]
async fn messages(
    State(daemon): State<Daemon>,
    Params(query): Params<MessagesQuery>,
    seat: Option<Extension<Seat>>,
) -> Result<Json<Messages>, Refusal> {
    let _wait = wait(query.wait_ms, seat.as_ref());
    let request = Request::Messages {
        after: query.after,
        limit: query.limit,
        wait_ms: query.wait_ms,
    };
    answered!(daemon.handler.handle(request), Messages)
}

/// A request that may be answered long after it was asked takes nobody's place meanwhile.
fn wait(wait_ms: u64, seat: Option<&Extension<Seat>>) -> Option<Wait> {
    seat.filter(|_| wait_ms > 0)
        .map(|Extension(seat)| seat.wait())
}

/// The user has this message: the daemon deletes its copy. Until then it is kept, through restarts.
#[utoipa::path(post, path = "/v1/messages/{id}/ack", tag = "messages",
    params(("id" = String, Path, description = "The message's id, base58")),
    responses((status = 204, description = "It is not given out again"),
        (status = 404, description = "No unread message has this id", body = Refusal)))]
async fn acknowledge(
    State(daemon): State<Daemon>,
    Id(message): Id,
    _: Nothing,
) -> Result<StatusCode, Refusal> {
    done(&daemon, Request::Read { message }).await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OutgoingQuery {
    /// How many of them to leave out.
    #[serde(default)]
    skip: u64,
    /// At most this many; 4096 if more, or if it is not said.
    #[serde(default = "outgoing_page")]
    limit: u32,
}

const fn outgoing_page() -> u32 {
    MAX_OUTGOING
}

/// Messages sent that are remembered: those on their way first, then the others; of each, the latest first.
#[utoipa::path(get, path = "/v1/outgoing", tag = "messages", params(OutgoingQuery),
    responses((status = 200, description = "A page of them", body = OutgoingPage)))]
async fn outgoing(
    State(daemon): State<Daemon>,
    Params(OutgoingQuery { skip, limit }): Params<OutgoingQuery>,
) -> Result<Json<OutgoingPage>, Refusal> {
    answered!(
        daemon.handler.handle(Request::Outgoing { skip, limit }),
        Outgoing
    )
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ProgressQuery {
    /// If it is neither stored nor expired, wait this long for that, or for something new that keeps it from being
    /// stored, in milliseconds; an hour at most.
    #[serde(default)]
    wait_ms: u64,
}

/// How far a message has come.
#[utoipa::path(get, path = "/v1/outgoing/{id}", tag = "messages",
    params(("id" = String, Path, description = "The message's id, base58"), ProgressQuery),
    responses((status = 200, description = "So far", body = Progress),
        (status = 404, description = "No message sent that is remembered has this id", body = Refusal)))]
async fn progress(
    State(daemon): State<Daemon>,
    Id(message): Id,
    Params(ProgressQuery { wait_ms }): Params<ProgressQuery>,
    seat: Option<Extension<Seat>>,
) -> Result<Json<Progress>, Refusal> {
    let _wait = wait(wait_ms, seat.as_ref());
    answered!(
        daemon
            .handler
            .handle(Request::Progress { message, wait_ms }),
        Progress
    )
}

/// Stop in good order.
#[utoipa::path(post, path = "/v1/stop", tag = "daemon",
    responses((status = 204, description = "It stops now")))]
async fn stop(State(daemon): State<Daemon>, _: Nothing) -> Result<StatusCode, Refusal> {
    done(&daemon, Request::Stop).await
}

async fn done(daemon: &Daemon, request: Request) -> Result<StatusCode, Refusal> {
    match daemon.handler.handle(request).await? {
        Response::Done => Ok(StatusCode::NO_CONTENT),
        _ => Err(strange()),
    }
}

/// The id in a path.
struct Id(String);

impl<S: std::marker::Send + Sync> FromRequestParts<S> for Id {
    type Rejection = HttpResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpResponse> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        let id = id.map_err(|error| {
            let words = format!("the path: {}", error.body_text());
            Refusal::new(RefusalCode::Malformed, words).into_response()
        })?;
        Ok(Self(id.0))
    }
}
