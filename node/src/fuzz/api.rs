//! The routes of the local API, with a daemon behind them that does nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "only tests and fuzzing have it"
)]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request as HttpRequest, header};
use futures::future::BoxFuture;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use crate::control::protocol::{Accepted, Messages, Refusal, RefusalCode, Request, Response};
use crate::control::{Events, Handler, api};

/// Answers what it must.
struct Nobody;

impl Handler for Nobody {
    fn handle(&self, request: Request) -> BoxFuture<'_, Result<Response, Refusal>> {
        let response = match request {
            Request::Send { .. } => Ok(Response::Accepted(Accepted {
                message: "m".to_owned(),
                fragments: 1,
                expected_stored_ms: 0,
                repeated: false,
            })),
            Request::Messages { .. } => Ok(Response::Messages(Messages::default())),
            Request::Outgoing { .. } => Ok(Response::Outgoing(Default::default())),
            Request::Status => Ok(Response::Status(Box::default())),
            Request::Profiles { .. } => Ok(Response::Profiles(Box::default())),
            Request::Read { .. } | Request::Stop | Request::RenewInvitations => Ok(Response::Done),
            _ => Err(Refusal::new(RefusalCode::NotFound, "nothing is here")),
        };
        Box::pin(std::future::ready(response))
    }
}

fn router() -> Router {
    api::client(Arc::new(Nobody), Events::new(1))
}

/// Asks: nothing may be answered as a fault of ours.
pub(super) fn request(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let [line, kind, body] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let mut words = line.splitn(2, |byte| *byte == b' ');
    let [method, path] = [(); 2].map(|()| words.next().unwrap_or_default());
    let Ok(request) = HttpRequest::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, kind)
        .header("idempotency-key", kind)
        .body(Body::from(body.to_vec()))
    else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().unwrap();
    let service = TowerToHyperService::new(router());
    let answer = runtime.block_on(service.call(request)).unwrap();
    let status = answer.status();
    // It is never online.
    let ill =
        status.is_server_error() && path.split(|byte| *byte == b'?').next() != Some(b"/v1/health");
    assert!(!ill, "{status}");
}
