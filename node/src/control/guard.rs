//! What a request over TCP has to show before it is looked at. Any process of this machine can connect, and any page
//! in a browser can have it connect: the first has no token, and the second can't hide where it comes from.

use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Uri, header};

use super::api::is_for_a_file;
use super::protocol::{Refusal, RefusalCode};
use super::token::{TOKEN_FILE, Token};

/// What the name of a subprotocol begins with that is the token: a page or a program that can give a WebSocket no
/// headers can give it that.
const SUBPROTOCOL: &str = "shoal.token.";

/// The headers in which a browser says who has it ask, how, and for what.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Guards the TCP side of the API.
pub(super) struct Guard {
    token: Arc<Token>,
    port: u16,
}

impl Guard {
    /// For this token, at this port.
    pub(super) const fn new(token: Arc<Token>, port: u16) -> Self {
        Self { token, port }
    }

    /// Whether a request may be answered.
    pub(super) fn check(&self, request: &Parts) -> Result<(), Refusal> {
        let host = self.host(&request.headers, &request.uri)?;
        check_origin(&request.headers, host)?;
        check_site(request)?;
        match is_for_a_file(request) {
            true => Ok(()),
            false => self.check_token(&request.headers),
        }
    }

    /// The name by which this machine was asked for. Another name than its own is a page's that has it lead here
    /// (DNS rebinding).
    fn host<'a>(&self, headers: &'a HeaderMap, uri: &'a Uri) -> Result<&'a str, Refusal> {
        let refused = || {
            let port = self.port;
            let message = format!(
                "ask for 127.0.0.1:{port}, [::1]:{port} or localhost:{port}: the header Host has another name"
            );
            Refusal::new(RefusalCode::Forbidden, message)
        };
        let host = only(headers, &header::HOST).ok_or_else(refused)?;
        let named = uri.authority().is_none_or(|it| it.as_str() == host);
        match named && self.is_ours(host) {
            true => Ok(host),
            false => Err(refused()),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            // What ends with a bracket has no port.
            Some((name, port)) if !host.ends_with(']') => (name, port.parse().ok()),
            _ => (host, Some(80)),
        };
        let address = match name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
        {
            Some(six) => six.parse().map(std::net::IpAddr::V6),
            None => name.parse().map(std::net::IpAddr::V4),
        };
        let loopback = address.is_ok_and(|address| address.is_loopback());
        port == Some(self.port) && (loopback || name.eq_ignore_ascii_case("localhost"))
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let bearer = only(headers, &header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
        let offered = offered.filter_map(|value| value.to_str().ok());
        let mut offered = offered
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().strip_prefix(SUBPROTOCOL));
        if bearer
            .into_iter()
            .chain(&mut offered)
            .any(|shown| self.token.is(shown.as_bytes()))
        {
            return Ok(());
        }
        let message = format!(
            "over TCP, a request needs the header `Authorization: Bearer TOKEN`; the token is in the file {TOKEN_FILE} \
             in the client's directory"
        );
        Err(Refusal::new(RefusalCode::Unauthorized, message))
    }
}

/// A page says where it comes from. The one that is ours comes from the address that was asked.
fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), Refusal> {
    let own = |origin: &str| {
        let name = origin.strip_prefix("http://");
        name.is_some_and(|name| name.eq_ignore_ascii_case(host))
    };
    match headers.contains_key(header::ORIGIN) && !only(headers, &header::ORIGIN).is_some_and(own) {
        true => {
            let message = "pages of elsewhere are not answered (the header Origin names another place than this): ask \
                           from a program of your own, or open the page that is here";
            Err(Refusal::new(RefusalCode::Forbidden, message))
        }
        false => Ok(()),
    }
}

/// A browser says who has it ask, also where it names no origin: a page that shows what is here as a picture of its own,
/// say. What the user himself has opened comes from none.
fn check_site(request: &Parts) -> Result<(), Refusal> {
    let headers = &request.headers;
    let ours = |site: &str| matches!(site, "same-origin" | "none");
    // A link to the page may stand anywhere: who follows it has the page in a tab of its own, and no token.
    let is = |name, wanted| only(headers, &name).is_some_and(|it| it == wanted);
    let led_here = request.uri.path() == "/" && is(MODE, "navigate") && is(DESTINATION, "document");
    match headers.contains_key(SITE) && !led_here && !only(headers, &SITE).is_some_and(ours) {
        true => {
            let message = "a page of elsewhere has the browser ask (the header Sec-Fetch-Site says so), and is not \
                           answered: open the address yourself";
            Err(Refusal::new(RefusalCode::Forbidden, message))
        }
        false => Ok(()),
    }
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?;
    all.next().is_none().then(|| first.to_str().ok()).flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::http::Request;

    use super::*;

    fn code(uri: &str, headers: &[(&str, &str)]) -> Option<RefusalCode> {
        let guard = Guard::new(Arc::new(Token::known("secret")), 4000);
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        guard.check(&parts).err().map(|refusal| refusal.code)
    }

    const TOKEN: (&str, &str) = ("authorization", "Bearer secret");
    const FORBIDDEN: Option<RefusalCode> = Some(RefusalCode::Forbidden);
    const UNAUTHORIZED: Option<RefusalCode> = Some(RefusalCode::Unauthorized);

    #[test]
    fn only_this_machine_is_asked_by_its_own_name() {
        for host in [
            "127.0.0.1:4000",
            "localhost:4000",
            "LocalHost:4000",
            "[::1]:4000",
            "127.1.2.3:4000",
        ] {
            assert_eq!(code("/v1/status", &[("host", host), TOKEN]), None, "{host}");
        }
        for host in [
            "evil.example:4000",
            "localhost.evil.example:4000",
            "127.0.0.1.evil.example:4000",
            "127.0.0.1:4001",
            "127.0.0.1",
            "localhost",
            "[::1]",
            "::1:4000",
            "192.0.2.1:4000",
            "[::ffff:127.0.0.1]:4000",
            "",
            ":4000",
        ] {
            assert_eq!(
                code("/v1/status", &[("host", host), TOKEN]),
                FORBIDDEN,
                "{host}"
            );
        }
        assert_eq!(code("/v1/status", &[TOKEN]), FORBIDDEN);
        let ours = ("host", "127.0.0.1:4000");
        let two = [ours, ("host", "evil.example:4000"), TOKEN];
        assert_eq!(code("/v1/status", &two), FORBIDDEN);
        assert_eq!(
            code("http://evil.example/v1/status", &[ours, TOKEN]),
            FORBIDDEN
        );
        assert_eq!(
            code("http://127.0.0.1:4000/v1/status", &[ours, TOKEN]),
            None
        );
    }

    #[test]
    fn a_page_of_elsewhere_is_refused_whatever_it_knows() {
        let host = ("host", "127.0.0.1:4000");
        let from = |origin| code("/v1/status", &[host, TOKEN, ("origin", origin)]);
        for origin in [
            "https://evil.example",
            "null",
            "http://127.0.0.1:4001",
            "http://localhost:4000",
            "",
        ] {
            assert_eq!(from(origin), FORBIDDEN, "{origin}");
        }
        assert_eq!(from("http://127.0.0.1:4000"), None);
    }

    #[test]
    fn what_another_page_has_the_browser_ask_is_refused_though_it_names_no_origin() {
        let host = ("host", "127.0.0.1:4000");
        for path in ["/v1/status", "/", "/web/main.js"] {
            let by = |site| code(path, &[host, TOKEN, ("sec-fetch-site", site)]);
            for site in ["cross-site", "same-site", "", "none, none"] {
                assert_eq!(by(site), FORBIDDEN, "{path} {site}");
            }
            assert_eq!(by("same-origin"), None);
            assert_eq!(by("none"), None);
        }
        let led = |path, destination| {
            let by = [
                host,
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", destination),
            ];
            code(path, &by)
        };
        assert_eq!(led("/", "document"), None, "a tab of its own");
        assert_eq!(led("/", "iframe"), FORBIDDEN);
        assert_eq!(led("/web/main.js", "document"), FORBIDDEN);
        assert_eq!(led("/v1/status", "document"), FORBIDDEN);
    }

    #[test]
    fn the_page_itself_is_for_who_asks_by_the_right_name() {
        let ours = ("host", "127.0.0.1:4000");
        for path in ["/", "/?", "/web/main.js", "/web/", "/web/..%2f"] {
            assert_eq!(code(path, &[ours]), None, "{path}");
            assert_eq!(
                code(path, &[("host", "evil.example:4000")]),
                FORBIDDEN,
                "{path}"
            );
        }
        for path in ["/v1/page", "/v1/qr", "/web", "//", "/webs/", "/v1/web/"] {
            assert_eq!(code(path, &[ours]), UNAUTHORIZED, "{path}");
        }
    }

    #[test]
    fn nothing_is_told_without_the_token() {
        let shown = |name, value| code("/v1/status", &[("host", "127.0.0.1:4000"), (name, value)]);
        assert_eq!(shown("authorization", "bearer secret"), None);
        assert_eq!(
            shown("sec-websocket-protocol", "shoal.events, shoal.token.secret"),
            None
        );
        for (name, value) in [
            ("x", "y"),
            ("authorization", "Bearer secre"),
            ("authorization", "Bearer secrets"),
            ("authorization", "Basic secret"),
            ("authorization", "secret"),
            ("authorization", ""),
            ("sec-websocket-protocol", "secret"),
            ("sec-websocket-protocol", "shoal.token."),
            ("cookie", "token=secret"),
        ] {
            assert_eq!(shown(name, value), UNAUTHORIZED, "{name}: {value}");
        }
        let in_the_path = code("/v1/status?token=secret", &[("host", "127.0.0.1:4000")]);
        assert_eq!(in_the_path, UNAUTHORIZED);
    }
}
