//! Invitations and contacts over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response as HttpResponse;

use super::super::protocol::{
    Accept, ChangeOfContact, Contact, Contacts, Invite, OwnInvitation, OwnInvitations, Refusal,
    Request, Response,
};
use super::super::wire::{Given, Json, Nothing, json};
use super::{Daemon, Id, answered, done, strange};

/// Invite somebody. The answer comes once the invitation is on disk: from then on it lets in.
#[utoipa::path(post, path = "/v1/invitations", tag = "people", request_body = Invite, responses(
    (status = 201, description = "It can be handed out", body = OwnInvitation),
    (status = 429, description = "There is no mailbox yet, or there are as many as may be", body = Refusal)))]
pub(super) async fn invite(
    State(daemon): State<Daemon>,
    Given(invite): Given<Invite>,
) -> Result<HttpResponse, Refusal> {
    match daemon.handler.handle(Request::Invite(invite)).await? {
        Response::Invited(invitation) => Ok(json(StatusCode::CREATED, &invitation)),
        _ => Err(strange()),
    }
}

/// The own invitations that may still be good, those made first first.
#[utoipa::path(get, path = "/v1/invitations", tag = "people",
    responses((status = 200, description = "They", body = OwnInvitations)))]
pub(super) async fn invitations(
    State(daemon): State<Daemon>,
) -> Result<Json<OwnInvitations>, Refusal> {
    answered!(daemon.handler.handle(Request::Invitations), Invitations)
}

/// Have an invitation let nobody in any more. Who came by it stays.
#[utoipa::path(delete, path = "/v1/invitations/{id}", tag = "people",
    params(("id" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is good no more"),
        (status = 404, description = "There is none of this id", body = Refusal)))]
pub(super) async fn revoke(
    State(daemon): State<Daemon>,
    Id(id): Id,
    _: Nothing,
) -> Result<StatusCode, Refusal> {
    done(&daemon, Request::Revoke { id }).await
}

/// Have new invitations lead elsewhere. Those that there are go on for the network's time to live once there is another
/// place, and let nobody in any more then; contacts stay.
#[utoipa::path(post, path = "/v1/invitations/renew", tag = "people",
    responses((status = 204, description = "Another place is being made")))]
pub(super) async fn renew(State(daemon): State<Daemon>, _: Nothing) -> Result<StatusCode, Refusal> {
    done(&daemon, Request::RenewInvitations).await
}

/// Accept an invitation: who made it becomes a contact, and hears of it.
#[utoipa::path(post, path = "/v1/contacts", tag = "people", request_body = Accept, responses(
    (status = 201, description = "It is a contact", body = Contact),
    (status = 422, description = "The invitation is no good: the message says why", body = Refusal)))]
pub(super) async fn accept(
    State(daemon): State<Daemon>,
    Given(accept): Given<Accept>,
) -> Result<HttpResponse, Refusal> {
    match daemon.handler.handle(Request::Accept(accept)).await? {
        Response::Contact(contact) => Ok(json(StatusCode::CREATED, &contact)),
        _ => Err(strange()),
    }
}

/// All contacts, those who came first first.
#[utoipa::path(get, path = "/v1/contacts", tag = "people",
    responses((status = 200, description = "They", body = Contacts)))]
pub(super) async fn contacts(State(daemon): State<Daemon>) -> Result<Json<Contacts>, Refusal> {
    answered!(daemon.handler.handle(Request::Contacts), Contacts)
}

/// A contact, by its key, or by what it is called if nobody else is.
#[utoipa::path(get, path = "/v1/contacts/{contact}", tag = "people",
    params(("contact" = String, Path, description = "Its key, base58, or what it is called")),
    responses((status = 200, description = "It", body = Contact),
        (status = 404, description = "There is no such contact", body = Refusal)))]
pub(super) async fn contact(
    State(daemon): State<Daemon>,
    Id(contact): Id,
) -> Result<Json<Contact>, Refusal> {
    told(&daemon, Request::Contact { contact }).await
}

/// Have something be another way with a contact.
#[utoipa::path(patch, path = "/v1/contacts/{contact}", tag = "people", request_body = ChangeOfContact,
    params(("contact" = String, Path, description = "Its key, base58, or what it is called")),
    responses((status = 200, description = "It is so", body = Contact),
        (status = 404, description = "There is no such contact", body = Refusal)))]
pub(super) async fn change(
    State(daemon): State<Daemon>,
    Id(contact): Id,
    Given(change): Given<ChangeOfContact>,
) -> Result<Json<Contact>, Refusal> {
    told(&daemon, Request::ChangeContact { contact, change }).await
}

/// Forget a contact: its keys go, and nothing that it writes is read any more. It is not told.
#[utoipa::path(delete, path = "/v1/contacts/{contact}", tag = "people",
    params(("contact" = String, Path, description = "Its key, base58, or what it is called")),
    responses((status = 204, description = "It is none any more"),
        (status = 404, description = "There is no such contact", body = Refusal)))]
pub(super) async fn remove(
    State(daemon): State<Daemon>,
    Id(contact): Id,
    _: Nothing,
) -> Result<StatusCode, Refusal> {
    done(&daemon, Request::RemoveContact { contact }).await
}

async fn told(daemon: &Daemon, request: Request) -> Result<Json<Contact>, Refusal> {
    answered!(daemon.handler.handle(request), Contact)
}
