//! What a provider asks of who opens a mailbox.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shoal_topology::TokenDemand;

use super::error::ConfigError;

/// What opening a mailbox costs, as a file names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailboxAdmission {
    /// Nothing: no token is asked for, and none issued.
    Free,
    /// A token, which is issued to whoever asks, so many an hour.
    #[default]
    Open,
    /// A token, which is issued for work.
    Work,
    /// A token, which is issued to whoever knows a code.
    Code,
}

/// `[mailboxes]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailboxesConfig {
    /// What opening one costs.
    pub admission: MailboxAdmission,
    /// Zero bits of the work for a token.
    pub work: u8,
    /// The file with the codes, relative to this file; empty for none. After a line `at most N:` each gives N tokens a period.
    pub codes: PathBuf,
    /// Tokens that are issued in one hour.
    pub tokens_per_hour: u64,
    /// Mailboxes that are opened in one hour.
    pub openings_per_hour: u64,
}

impl Default for MailboxesConfig {
    fn default() -> Self {
        let limits = shoal_provider::Limits::default();
        Self {
            admission: MailboxAdmission::default(),
            work: 5,
            codes: PathBuf::new(),
            tokens_per_hour: limits.tokens_per_hour,
            openings_per_hour: limits.openings_per_hour,
        }
    }
}

/// What a provider wants for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPolicy {
    /// What its descriptor says.
    pub demand: TokenDemand,
    /// Where the codes are, if codes are asked for.
    pub codes: Option<PathBuf>,
}

impl MailboxesConfig {
    /// None if mailboxes are opened for nothing. `resolve` says where a file is that is named here.
    pub(super) fn policy(
        &self,
        resolve: impl Fn(&PathBuf) -> PathBuf,
    ) -> Result<Option<TokenPolicy>, ConfigError> {
        let demand = match self.admission {
            MailboxAdmission::Free => return Ok(None),
            MailboxAdmission::Open => TokenDemand::Open,
            MailboxAdmission::Work => TokenDemand::Work { bits: self.work },
            MailboxAdmission::Code => TokenDemand::Code,
        };
        let asks = demand == TokenDemand::Code;
        if asks && self.codes.as_os_str().is_empty() {
            let message = "is empty, and mailboxes.admission is \"code\": name a file with one code a line, of 12 to \
                           128 characters, that nobody else can read (mode 0600)";
            return Err(ConfigError::invalid("mailboxes.codes", message));
        }
        let codes = asks.then(|| resolve(&self.codes));
        Ok(Some(TokenPolicy { demand, codes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_what_it_says() {
        let resolve = |path: &PathBuf| PathBuf::from("/etc").join(path);
        let policy = |admission, codes: &str| {
            let file = MailboxesConfig {
                admission,
                codes: codes.into(),
                ..MailboxesConfig::default()
            };
            file.policy(resolve)
        };
        assert_eq!(policy(MailboxAdmission::Free, "").unwrap(), None);
        let (demand, codes) = (TokenDemand::Open, None);
        let open = policy(MailboxAdmission::Open, "codes").unwrap();
        assert_eq!(open, Some(TokenPolicy { demand, codes }));
        let work = policy(MailboxAdmission::Work, "").unwrap().unwrap();
        assert_eq!(work.demand, TokenDemand::Work { bits: 5 });
        let code = policy(MailboxAdmission::Code, "codes").unwrap().unwrap();
        assert_eq!(code.codes, Some("/etc/codes".into()));
        let error = policy(MailboxAdmission::Code, "").unwrap_err().to_string();
        assert!(error.contains("mailboxes.codes"), "{error}");
    }
}
