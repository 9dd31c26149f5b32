//! Files over HTTP.

use std::sync::Arc;

use axum::extract::{FromRequest as _, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::Response as HttpResponse;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use super::super::protocol::{
    Content, FileList, FileStatus, Refusal, RefusalCode, Request, Response,
};
use super::super::wire::{Json, Nothing, Params, Raw, json, raw};
use super::{Daemon, Id, answered, done, idempotency_key, strange};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SendFileQuery {
    /// The key of a contact, base58, or what it is called, if nobody else is.
    to: String,
    /// What the contact is told that the file is called: 1 to 255 bytes, and no path.
    name: String,
}

/// Send a file. The answer comes once all of it is on disk: from then on it is sent, whatever becomes of the daemon.
#[utoipa::path(post, path = "/v1/files", tag = "files", 
    params(SendFileQuery, ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 128,
        description = "A name of yours for this sending, of visible characters of ASCII: with it the same file is sent once, \
        however often it is asked for, as long as it is listed. Another file with the same key is refused (409).")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream",
        description = "What is in it, 16 MiB at most"),
    responses(
        (status = 202, description = "It is on disk", body = FileStatus),
        (status = 404, description = "There is no such contact", body = Refusal),
        (status = 409, description = "Another file has this key", body = Refusal),
        (status = 413, description = "It is too large", body = Refusal),
        (status = 429, description = "It takes none now: ask again later", body = Refusal)))]
pub(super) async fn send(
    State(daemon): State<Daemon>,
    Params(SendFileQuery { to, name }): Params<SendFileQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let _turn = turn(&daemon)?;
    let idempotency_key = idempotency_key(request.headers())?;
    let Raw(content) = Raw::from_request(request, &()).await?;
    let request = Request::SendFile {
        to,
        name,
        content: Content(content),
        idempotency_key,
    };
    match daemon.handler.handle(request).await? {
        Response::File(file) => Ok(json(StatusCode::ACCEPTED, &file)),
        _ => Err(strange()),
    }
}

/// A file is in memory as a whole while it is taken or given: not many at a time.
fn turn(daemon: &Daemon) -> Result<OwnedSemaphorePermit, Refusal> {
    let turn = Arc::clone(&daemon.files).try_acquire_owned();
    turn.map_err(|_| {
        let words = "other files are being taken or given: ask again once they are";
        Refusal::new(RefusalCode::Busy, words)
    })
}

/// The files that are sent, or have come, those begun last first.
#[utoipa::path(get, path = "/v1/files", tag = "files",
    responses((status = 200, description = "They", body = FileList)))]
pub(super) async fn list(State(daemon): State<Daemon>) -> Result<Json<FileList>, Refusal> {
    answered!(daemon.handler.handle(Request::Files), Files)
}

/// How far a file is.
#[utoipa::path(get, path = "/v1/files/{id}", tag = "files",
    params(("id" = String, Path, description = "The file's id, base58")),
    responses((status = 200, description = "So far", body = FileStatus),
        (status = 404, description = "There is no such file", body = Refusal)))]
pub(super) async fn status(
    State(daemon): State<Daemon>,
    Id(file): Id,
) -> Result<Json<FileStatus>, Refusal> {
    answered!(daemon.handler.handle(Request::File { file }), File)
}

/// What is in a file that has come. It stays here until it is deleted.
#[utoipa::path(get, path = "/v1/files/{id}/content", tag = "files",
    params(("id" = String, Path, description = "The file's id, base58")),
    responses((status = 200, description = "It, as it was sent", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, description = "There is no such file, or not all of it is here", body = Refusal),
        (status = 429, description = "It gives none now: ask again later", body = Refusal)))]
pub(super) async fn content(
    State(daemon): State<Daemon>,
    Id(file): Id,
) -> Result<HttpResponse, Refusal> {
    let turn = turn(&daemon)?;
    match daemon.handler.handle(Request::FileContent { file }).await? {
        Response::FileContent(content) => Ok(raw(content, turn)),
        _ => Err(strange()),
    }
}

/// Delete a file that has come, or send no more of one. What of it is on its way already goes on.
#[utoipa::path(delete, path = "/v1/files/{id}", tag = "files",
    params(("id" = String, Path, description = "The file's id, base58")),
    responses((status = 204, description = "It is here no more"),
        (status = 404, description = "There is no such file", body = Refusal)))]
pub(super) async fn remove(
    State(daemon): State<Daemon>,
    Id(file): Id,
    _: Nothing,
) -> Result<StatusCode, Refusal> {
    done(&daemon, Request::RemoveFile { file }).await
}
