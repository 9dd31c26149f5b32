//! The message box, as the user looks after it. What programs of that world ask goes elsewhere: `docs/messagebox.md`.

use axum::extract::State;
use axum::http::StatusCode;

use super::super::protocol::{
    AllowIdentity, BoxContents, MapIdentity, MessageBoxStatus, MessageBoxes, Refusal, Request,
    Response,
};
use super::super::wire::{Given, Json, Nothing};
use super::{Daemon, Id, answered, done, strange};

/// How the message box is: where it is served, who may ask, and which contact an identity key belongs to.
#[utoipa::path(get, path = "/v1/messagebox", tag = "messagebox", responses(
    (status = 200, description = "So", body = MessageBoxStatus),
    (status = 404, description = "There is none: messagebox.listen", body = Refusal)))]
pub(super) async fn status(
    State(daemon): State<Daemon>,
) -> Result<Json<Box<MessageBoxStatus>>, Refusal> {
    answered!(daemon.handler.handle(Request::MessageBox), MessageBox)
}

/// The boxes that are not empty.
#[utoipa::path(get, path = "/v1/messagebox/boxes", tag = "messagebox",
    responses((status = 200, description = "They", body = MessageBoxes)))]
pub(super) async fn boxes(State(daemon): State<Daemon>) -> Result<Json<MessageBoxes>, Refusal> {
    answered!(daemon.handler.handle(Request::MessageBoxes), MessageBoxes)
}

/// What is in the boxes of a name. It stays there.
#[utoipa::path(get, path = "/v1/messagebox/boxes/{box}", tag = "messagebox",
    params(("box" = String, Path, description = "The name")),
    responses((status = 200, description = "It", body = BoxContents),
        (status = 404, description = "There is nothing in a box of this name", body = Refusal)))]
pub(super) async fn contents(
    State(daemon): State<Daemon>,
    Id(name): Id,
) -> Result<Json<BoxContents>, Refusal> {
    answered!(
        daemon.handler.handle(Request::BoxContents { name }),
        BoxContents
    )
}

/// Let programs of this identity key ask.
#[utoipa::path(post, path = "/v1/messagebox/allowed", tag = "messagebox", request_body = AllowIdentity,
    responses((status = 204, description = "They may")))]
pub(super) async fn allow(
    State(daemon): State<Daemon>,
    Given(AllowIdentity { identity }): Given<AllowIdentity>,
) -> Result<StatusCode, Refusal> {
    done(&daemon, Request::AllowIdentity { identity }).await
}

/// Let programs of this identity key ask no more. What is in its boxes stays.
#[utoipa::path(delete, path = "/v1/messagebox/allowed/{identity}", tag = "messagebox",
    params(("identity" = String, Path, description = "It, 66 hexadecimal digits")),
    responses((status = 204, description = "They may not"),
        (status = 404, description = "They may not anyway", body = Refusal)))]
pub(super) async fn disallow(
    State(daemon): State<Daemon>,
    Id(identity): Id,
    _: Nothing,
) -> Result<StatusCode, Refusal> {
    done(&daemon, Request::DisallowIdentity { identity }).await
}

/// Say which contact an identity key belongs to, whatever a contact has said of it.
#[utoipa::path(post, path = "/v1/messagebox/mapped", tag = "messagebox", request_body = MapIdentity,
    responses((status = 204, description = "What is for it goes to this contact"),
        (status = 404, description = "There is no such contact", body = Refusal)))]
pub(super) async fn map(
    State(daemon): State<Daemon>,
    Given(MapIdentity { identity, contact }): Given<MapIdentity>,
) -> Result<StatusCode, Refusal> {
    done(&daemon, Request::MapIdentity { identity, contact }).await
}

/// Have an identity key belong to nobody: the next contact that writes under it has it.
#[utoipa::path(delete, path = "/v1/messagebox/mapped/{identity}", tag = "messagebox",
    params(("identity" = String, Path, description = "It, 66 hexadecimal digits")),
    responses((status = 204, description = "It does"),
        (status = 404, description = "It maps to no contact", body = Refusal)))]
pub(super) async fn unmap(
    State(daemon): State<Daemon>,
    Id(identity): Id,
    _: Nothing,
) -> Result<StatusCode, Refusal> {
    done(&daemon, Request::UnmapIdentity { identity }).await
}
