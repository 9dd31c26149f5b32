//! What a provider issues tokens with: a seed beside its other keys, and the codes that it has given out.

use std::num::NonZeroU8;
use std::path::Path;

use rand::CryptoRng;
use shoal_packet::token::TokenCode;
use shoal_proto::NodeId;
use shoal_provider::{Claim, Issuer, IssuerCode};

use crate::config::TokenPolicy;
use crate::error::Failure;
use crate::state::{keys::token_seed, read_secret};

/// Characters of a code: one that is shorter could be guessed by asking.
const CODE_CHARACTERS: std::ops::RangeInclusive<usize> = 12..=128;

/// The issuer of a node with this policy. The seed is made if there is none.
///
/// # Errors
/// A seed or codes that can't be read, or are not as they should be; what to do stands in each.
pub(super) fn issuer<R: CryptoRng>(
    dir: &Path,
    node: &NodeId,
    policy: &TokenPolicy,
    rng: &mut R,
) -> Result<Issuer, Failure> {
    let seed = token_seed(dir, rng).map_err(Failure::usage)?;
    let codes = match &policy.codes {
        Some(path) => codes(path, node)?,
        None => Vec::new(),
    };
    Ok(Issuer::new(seed, policy.demand, codes))
}

/// One code a line; empty lines, and those that begin with `#`, are none. After a line `at most N:` each gives so many
/// tokens of a period; before it, as many as are asked for.
fn codes(path: &Path, node: &NodeId) -> Result<Vec<IssuerCode>, Failure> {
    let wrong = |what: String| {
        let path = path.display();
        Failure::usage(anyhow::anyhow!("mailboxes.codes: {path}: {what}"))
    };
    let content = read_secret(path, "write one code a line into it").map_err(Failure::usage)?;
    let text = std::str::from_utf8(&content).map_err(|_| wrong("it is not text".to_owned()))?;
    let (mut codes, mut most) = (Vec::new(), None);
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.trim();
        if code.is_empty() || code.starts_with('#') {
            continue;
        }
        if let Some(number_of_tokens) = heading(code) {
            most = Some(number_of_tokens.ok_or_else(|| {
                let highest = Claim::MOST_RIGHTS;
                wrong(format!(
                    "line {number} is to say `at most N:`, with N from 1 to {highest}"
                ))
            })?);
            continue;
        }
        if !CODE_CHARACTERS.contains(&code.chars().count()) {
            // Without the code itself.
            let (least, most) = (CODE_CHARACTERS.start(), CODE_CHARACTERS.end());
            let what = format!("line {number} does not have {least} to {most} characters");
            return Err(wrong(what));
        }
        let code = TokenCode::of(node, code);
        codes.push(IssuerCode { code, most });
    }
    if codes.is_empty() {
        return Err(wrong("there is no code in it".to_owned()));
    }
    Ok(codes)
}

/// The number of a line `at most N:`, if it is such a line, and if it is one.
fn heading(line: &str) -> Option<Option<NonZeroU8>> {
    let number = line.strip_prefix("at most ")?.strip_suffix(':')?;
    let number = number.trim().parse::<NonZeroU8>().ok();
    Some(number.filter(|number| usize::from(number.get()) <= Claim::MOST_RIGHTS))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;
    use std::{fs, path::PathBuf};

    use super::*;

    const NODE: NodeId = NodeId::new([1; 32]);

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("codes");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        (directory, path)
    }

    #[test]
    fn lines_are_codes() {
        let (_directory, path) = file(
            "# for friends\n\n  correct horse battery \nat most 4:\nanother-code-12\nat most 16:\nat most 16, and so on\n",
        );
        let read = codes(&path, &NODE).unwrap();
        let expected = [
            ("correct horse battery", None),
            ("another-code-12", NonZeroU8::new(4)),
            ("at most 16, and so on", NonZeroU8::new(16)),
        ];
        let expected = expected.map(|(code, most)| IssuerCode {
            code: TokenCode::of(&NODE, code),
            most,
        });
        assert!(read == expected);
    }

    #[test]
    fn what_is_no_file_of_codes_is_told_and_no_code_with_it() {
        for (text, told) in [
            ("", "no code"),
            ("# nothing\n", "no code"),
            ("long enough, this one\nsecret\n", "line 2"),
            ("at most 0:\nlong enough, this one\n", "line 1"),
            ("at most 17:\nlong enough, this one\n", "line 1"),
            ("at most four:\nlong enough, this one\n", "from 1 to 16"),
        ] {
            let (_directory, path) = file(text);
            let error = codes(&path, &NODE).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("secret"), "{error}");
        }
        let (_directory, path) = file("long enough, this one\n");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = codes(&path, &NODE).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        let error = codes(&path.with_extension("none"), &NODE).unwrap_err();
        assert!(error.to_string().contains("one code a line"), "{error}");
    }
}
