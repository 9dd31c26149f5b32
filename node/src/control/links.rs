//! Links to the page, each of which opens it once.
//!
//! What is behind the `#` of a link stays in a browser's history, and a token is for good. So a link has a code, for which
//! the page gets the token, under that code: whoever finds it later finds nothing.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use data_encoding::HEXLOWER;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::token::{Token, mac};

/// How long a link is good.
pub(super) const LIFE: Duration = Duration::from_secs(600);
/// So many are good at once: the oldest gives way.
const MOST: usize = 16;

/// The time by which links end.
#[expect(clippy::disallowed_methods, reason = "the daemon's, which a page asks")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Links that were given out and not opened.
#[derive(Default)]
pub(super) struct Links(Mutex<VecDeque<Given>>);

struct Given {
    code: Zeroizing<String>,
    /// What is asked for it by: it tells nothing of the code.
    name: String,
    until: Instant,
}

impl Links {
    /// A code for one more. None if the system has no randomness.
    pub(super) fn give(&self, now: Instant) -> Option<Zeroizing<String>> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut()).ok()?;
        let code = Zeroizing::new(HEXLOWER.encode(bytes.as_ref()));
        let given = Given {
            code: code.clone(),
            name: name(&code)?,
            until: now + LIFE,
        };
        let mut links = self.0.lock().ok()?;
        links.push_back(given);
        while links.len() > MOST {
            links.pop_front();
        }
        Some(code)
    }

    /// The token for who opens the link of this name, which is good no more: hidden, and the proof.
    pub(super) fn open(
        &self,
        now: Instant,
        name: &str,
        (token, port): (&Token, u16),
    ) -> Option<(String, String)> {
        let mut links = self.0.lock().ok()?;
        links.retain(|given| given.until > now);
        let at = links.iter().position(|given| given.name == name)?;
        let given = links.remove(at)?;
        token.under(&given.code, port).ok()
    }
}

fn name(code: &str) -> Option<String> {
    let name = mac(code, "shoal page link").ok()?;
    Some(HEXLOWER.encode(&name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_link_is_good_once_and_not_for_long() {
        let (links, token) = (Links::default(), Token::known(TOKEN));
        let (with, now) = ((&token, 1), now());
        let code = links.give(now).unwrap();
        let of = |code: &str| name(code).unwrap();
        assert!(links.open(now, &code, with).is_none(), "it is no name");
        let (hidden, proof) = links.open(now, &of(&code), with).unwrap();
        assert!(hidden != TOKEN && hidden.len() == 64 && proof.len() == 64);
        assert!(links.open(now, &of(&code), with).is_none(), "once");

        let late = links.give(now).unwrap();
        assert!(
            links.open(now + LIFE, &of(&late), with).is_none(),
            "in time"
        );
        let first = links.give(now).unwrap();
        for _ in 0..MOST {
            links.give(now).unwrap();
        }
        assert!(links.open(now, &of(&first), with).is_none(), "it gave way");
        assert_eq!(links.0.lock().unwrap().len(), MOST);
    }
}
