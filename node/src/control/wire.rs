//! Requests and answers in HTTP: bodies and queries that are what they should be, or a refusal that says what to do.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Query, Request as HttpRequest};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response as HttpResponse};
use bytes::Bytes;
use http_body_util::LengthLimitError;
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny};
use serde_json::error::Category;
use tokio::sync::OwnedSemaphorePermit;
use zeroize::Zeroizing;

use super::protocol::{Content, MAX_FILE_BYTES, MAX_REQUEST_BYTES, Refusal, RefusalCode};

/// Within what time a request's body has to come, if the server says nothing else.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// How many times as long as another body a file may take.
const SLOWER: u32 = 6;

/// What a file is said to be, whatever is in it: nobody is to guess at that.
pub(super) const BYTES: &str = "application/octet-stream";

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Within what time a request's body has to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyDeadline(pub(super) Duration);

impl RefusalCode {
    /// The status of an answer that is a refusal.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Superseded => StatusCode::GONE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Stopped => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> HttpResponse {
        let mut answer = json(self.code.status(), &self);
        let more = match self.code {
            RefusalCode::Unauthorized => Some((header::WWW_AUTHENTICATE, "Bearer")),
            RefusalCode::Busy => Some((header::RETRY_AFTER, "1")),
            // Of what was sent something may still come.
            RefusalCode::Late | RefusalCode::TooLarge => Some((header::CONNECTION, "close")),
            _ => None,
        };
        if let Some((name, value)) = more {
            answer
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        answer
    }
}

/// An answer in JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> HttpResponse {
        json(StatusCode::OK, &self.0)
    }
}

/// An answer of this status, in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> HttpResponse {
    let (status, bytes) = match serde_json::to_vec(value) {
        Ok(bytes) => (status, bytes),
        // Nothing that is answered has a key that is no text.
        Err(error) => {
            tracing::error!(%error, "an answer can't be written");
            (StatusCode::INTERNAL_SERVER_ERROR, Vec::new())
        }
    };
    private(status, JSON, bytes)
}

/// What is in a file, which is to be saved and not shown, wiped once it is written or nobody waits for it; `turn` is held
/// until then.
pub(super) fn raw(content: Content, turn: OwnedSemaphorePermit) -> HttpResponse {
    struct Held {
        content: Content,
        _turn: OwnedSemaphorePermit,
    }
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            self.content.as_ref()
        }
    }
    let bytes = Bytes::from_owner(Held {
        content,
        _turn: turn,
    });
    let mut answer = private(StatusCode::OK, HeaderValue::from_static(BYTES), bytes);
    let saved = HeaderValue::from_static("attachment");
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_DISPOSITION, saved);
    answer
}

fn private(status: StatusCode, kind: HeaderValue, bytes: impl Into<Body>) -> HttpResponse {
    let kind = (header::CONTENT_TYPE, kind);
    // What is answered is nobody else's, and no browser's to keep or to guess at.
    let kept = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let plain = (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let ours = (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    (status, [kind, kept, plain, ours], bytes.into()).into_response()
}

/// The parameters in a query.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let query = query.map_err(|error| {
            Refusal::new(
                RefusalCode::Invalid,
                format!("the query: {}", error.body_text()),
            )
        })?;
        Ok(Self(query.0))
    }
}

/// A request's body, in JSON.
pub(super) struct Given<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Given<T> {
    type Rejection = Refusal;

    async fn from_request(request: HttpRequest, _: &S) -> Result<Self, Refusal> {
        // A page's form can say anything else, but not that.
        if !is_json(request.headers()) {
            return Err(not_json());
        }
        parse(&read(request).await?).map(Self)
    }
}

/// A request that has no body, or an empty object.
pub(super) struct Nothing;

impl<S: Send + Sync> FromRequest<S> for Nothing {
    type Rejection = Refusal;

    async fn from_request(request: HttpRequest, _: &S) -> Result<Self, Refusal> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Empty {}
        let said = is_json(request.headers());
        let bytes = read(request).await?;
        match (bytes.is_empty(), said) {
            (true, _) => Ok(Self),
            (false, true) => parse::<Empty>(&bytes).map(|Empty {}| Self),
            (false, false) => Err(not_json()),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    is_kind(headers, "application/json")
}

fn is_kind(headers: &HeaderMap, wanted: &str) -> bool {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let kind = kinds.next().and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    let is = kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted));
    is && kinds.next().is_none()
}

fn not_json() -> Refusal {
    let message = "a body needs the header `Content-Type: application/json`";
    Refusal::new(RefusalCode::MediaType, message)
}

/// A file, as a request's body.
pub(super) struct Raw(pub(super) Zeroizing<Vec<u8>>);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Refusal;

    async fn from_request(request: HttpRequest, _: &S) -> Result<Self, Refusal> {
        if !is_kind(request.headers(), BYTES) {
            let message = format!("a file needs the header `Content-Type: {BYTES}`");
            return Err(Refusal::new(RefusalCode::MediaType, message));
        }
        let bytes = read_within(request, MAX_FILE_BYTES, SLOWER).await?;
        Ok(Self(Zeroizing::new(bytes.into())))
    }
}

async fn read(request: HttpRequest) -> Result<Bytes, Refusal> {
    read_within(request, MAX_REQUEST_BYTES, 1).await
}

/// A body of so many bytes at most, within so many times what a body usually has.
async fn read_within(request: HttpRequest, most: usize, times: u32) -> Result<Bytes, Refusal> {
    let too_large = || {
        let message = format!("a body has {most} bytes at most here");
        Refusal::new(RefusalCode::TooLarge, message)
    };
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let deadline = request.extensions().get::<BodyDeadline>();
    let deadline = deadline.map_or(BODY_DEADLINE, |deadline| deadline.0) * times;
    let body: Body = request.into_body();
    match tokio::time::timeout(deadline, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length(&error) => Err(too_large()),
        Ok(Err(error)) => {
            let message = format!("the body did not come whole: {error}");
            Err(Refusal::new(RefusalCode::Malformed, message))
        }
        Err(_) => {
            let message = format!("the body did not come within {} s", deadline.as_secs_f64());
            Err(Refusal::new(RefusalCode::Late, message))
        }
    }
}

fn is_length(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let parsed = match bytes.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(bytes),
        // A list of values would be taken for the fields in their order.
        _ => serde_json::from_slice::<IgnoredAny>(bytes)
            .and_then(|IgnoredAny| Err(serde_json::Error::custom("it is not an object"))),
    };
    parsed.map_err(|error| {
        let code = match error.classify() {
            Category::Data => RefusalCode::Invalid,
            Category::Syntax | Category::Eof | Category::Io => RefusalCode::Malformed,
        };
        Refusal::new(code, format!("the body: {error}"))
    })
}

/// There is nothing at a path.
pub(super) async fn no_such_path() -> Refusal {
    let message =
        "there is no such path; /v1/openapi.json of a client's daemon says which there are";
    Refusal::new(RefusalCode::NotFound, message)
}

/// A path is there, and does not do that.
pub(super) async fn no_such_method() -> Refusal {
    let message = "this path does not do that; the header Allow says what it does";
    Refusal::new(RefusalCode::Method, message)
}
