//! The message box over HTTP: the handshake, signed requests and signed answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::Value;
use shoal_proto::Span;
use socketioxide::SocketIo;
use tokio::time::timeout;

use super::auth::{
    AuthMessage, Claim, Denied, Limits, Proven, Sessions, SignedRequest, VERSION, response_payload,
};
use super::hub::Hub;
use super::requests::{Answer, MAX_BODY, Problem, answer, is_page};
use super::socket;

/// Within what time it has to come.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

const LIMITS: Limits = Limits {
    sessions: 256,
    requests: 1024,
    idle: Span::from_secs(3600),
};

/// What stands behind the routes.
#[derive(Clone)]
struct Door {
    hub: Arc<Hub>,
    sessions: Arc<Sessions>,
}

/// Everything that is served, and the half of it that is closed in the end.
pub(super) fn router(hub: &Arc<Hub>) -> (Router, SocketIo) {
    let (live, io) = socket::layer(Arc::clone(hub));
    let sessions = Sessions::new(Arc::clone(hub.keyring()), LIMITS);
    let door = Door {
        hub: Arc::clone(hub),
        sessions: Arc::new(sessions),
    };
    let router = Router::new()
        .fallback(serve)
        .with_state(door)
        .layer(live)
        .layer(middleware::from_fn(open_to_pages));
    (router, io)
}

/// Pages of wallets ask from wherever they are, so every page may: what it can't do is sign.
async fn open_to_pages(request: Request, next: Next) -> Response {
    let mut answer = match *request.method() {
        Method::OPTIONS => StatusCode::OK.into_response(),
        _ => next.run(request).await,
    };
    let any = HeaderValue::from_static("*");
    let headers = answer.headers_mut();
    for name in [
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        header::ACCESS_CONTROL_ALLOW_METHODS,
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
    ] {
        headers.insert(name, any.clone());
    }
    let private = header::HeaderName::from_static("access-control-allow-private-network");
    headers.insert(private, HeaderValue::from_static("true"));
    answer
}

async fn serve(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match timeout(BODY_DEADLINE, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return unsigned(&Problem::new(
                413,
                "ERR_TOO_LARGE",
                format!("a body has at most {MAX_BODY} bytes"),
            ));
        }
        Err(_) => {
            return unsigned(&Problem::new(
                408,
                "ERR_TIMEOUT",
                "the body did not come in time",
            ));
        }
    };
    let path = parts.uri.path();
    if path == "/.well-known/auth" {
        return match parts.method {
            Method::POST => greet(&door, &body),
            _ => unsigned(&Problem::new(405, "ERR_METHOD", "a handshake is a POST")),
        };
    }
    let query = parts.uri.query();
    let asked = Asked::of(&parts.headers).and_then(|asked| {
        let who = asked.check(
            &door,
            &parts.headers,
            (parts.method.as_str(), path, query),
            &body,
        )?;
        Ok((asked, who))
    });
    // Nobody is known to whom it could be signed. By this status the client shakes hands again.
    let (asked, who) = match asked {
        Ok(proven) => proven,
        Err(denied) => return unsigned(&Problem::new(401, "UNAUTHORIZED", denied.to_string())),
    };
    let answer = match door
        .hub
        .admits(&who.identity, is_page(&parts.headers))
        .await
    {
        Ok(true) => {
            let query = query.unwrap_or_default();
            answer(
                &door.hub,
                &who.identity,
                (parts.method.as_str(), path, query),
                &body,
            )
            .await
        }
        Ok(false) => {
            let words =
                "this identity key is not allowed here: `shoal messagebox allow` allows one";
            Problem::new(403, "ERR_NOT_ALLOWED", words).into()
        }
        Err(error) => Problem::new(500, "ERR_INTERNAL", error.to_string()).into(),
    };
    signed(&door, &who, &asked, &answer)
}

fn greet(door: &Door, body: &[u8]) -> Response {
    let message: Result<AuthMessage, _> = serde_json::from_slice(body);
    let answer = message.map_err(|_| Denied::Malformed);
    let answer = answer.and_then(|message| door.sessions.greet(door.hub.clock().now(), &message));
    match answer {
        Ok(answer) => json(200, &serde_json::to_value(answer).unwrap_or_default()),
        Err(denied) => unsigned(&Problem::new(400, "ERR_INVALID_AUTH", denied.to_string())),
    }
}

/// What the headers say of a request.
struct Asked {
    request_id: [u8; 32],
    identity: String,
    nonce: String,
    our_nonce: String,
    signature: Vec<u8>,
}

impl Asked {
    fn of(headers: &HeaderMap) -> Result<Self, Denied> {
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|it| it.to_str().ok())
                .ok_or(Denied::Malformed)
        };
        if text("x-bsv-auth-version")? != VERSION {
            return Err(Denied::Malformed);
        }
        let request_id = BASE64.decode(text("x-bsv-auth-request-id")?.as_bytes());
        let request_id = request_id.map_err(|_| Denied::Malformed)?;
        let signature = HEXLOWER_PERMISSIVE.decode(text("x-bsv-auth-signature")?.as_bytes());
        Ok(Self {
            request_id: request_id.try_into().map_err(|_| Denied::Malformed)?,
            identity: text("x-bsv-auth-identity-key")?.to_owned(),
            nonce: text("x-bsv-auth-nonce")?.to_owned(),
            our_nonce: text("x-bsv-auth-your-nonce")?.to_owned(),
            signature: signature.map_err(|_| Denied::Malformed)?,
        })
    }

    fn check(
        &self,
        door: &Door,
        headers: &HeaderMap,
        (method, path, query): (&str, &str, Option<&str>),
        body: &[u8],
    ) -> Result<Proven, Denied> {
        let text = |value: &HeaderValue| value.to_str().map(str::to_owned).unwrap_or_default();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)));
        let headers: Vec<_> = headers.collect();
        let request = SignedRequest {
            id: &self.request_id,
            method,
            path,
            query,
            headers: &headers,
            body,
        };
        let claim = Claim {
            identity: &self.identity,
            nonce: &self.nonce,
            our_nonce: &self.our_nonce,
            signature: &self.signature,
            payload: &request.payload(),
        };
        door.sessions.check(door.hub.clock().now(), &claim)
    }
}

/// An answer that proves whose it is.
fn signed(door: &Door, who: &Proven, asked: &Asked, answer: &Answer) -> Response {
    let body = answer.body.to_string();
    let keyring = door.hub.keyring();
    let payload = response_payload(&asked.request_id, answer.status, body.as_bytes());
    let Ok(signed) = keyring.sign(who, &payload) else {
        return unsigned(&Problem::new(
            500,
            "ERR_INTERNAL",
            "the answer can't be signed",
        ));
    };
    let mut response = written(answer.status, body);
    let headers = [
        ("x-bsv-auth-version", VERSION.to_owned()),
        ("x-bsv-auth-identity-key", keyring.identity().to_string()),
        ("x-bsv-auth-nonce", signed.nonce),
        ("x-bsv-auth-your-nonce", who.client_nonce.clone()),
        ("x-bsv-auth-signature", HEXLOWER.encode(&signed.signature)),
        ("x-bsv-auth-request-id", BASE64.encode(&asked.request_id)),
    ];
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn unsigned(problem: &Problem) -> Response {
    json(problem.status, &problem.to_json())
}

fn json(status: u16, value: &Value) -> Response {
    written(status, value.to_string())
}

fn written(status: u16, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
