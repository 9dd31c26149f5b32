//! Where somebody is written to: a drop id and the provider that knows it, once or twice.

use std::fmt;

use shoal_proto::{DropId, NodeId};

use crate::bytes::{Reader, Writer};

/// A drop id, and the provider that knows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DropSite {
    /// Who holds the mailbox.
    pub provider: NodeId,
    /// Where to deposit.
    pub drop: DropId,
}

/// Redacted.
impl fmt::Debug for DropSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DropSite(..)")
    }
}

/// Where the two copies of a message go, or the only one. 128 bytes: twice provider 32 and drop id 32, zeros for no
/// second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sites {
    /// Where to deposit.
    pub first: DropSite,
    /// Where the second copy goes, if there is a place for it.
    pub second: Option<DropSite>,
}

const NOWHERE: DropSite = DropSite {
    provider: NodeId::new([0; 32]),
    drop: DropId::new([0; 32]),
};

impl Sites {
    /// Bytes of [`Sites::to_bytes`].
    pub const BYTES: usize = 128;

    /// The one form that they have.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let mut writer = Writer::new(Self::BYTES);
        for site in [self.first, self.second.unwrap_or(NOWHERE)] {
            writer
                .put(site.provider.as_bytes())
                .put(site.drop.as_bytes());
        }
        bytes.copy_from_slice(&writer.finish());
        bytes
    }

    /// Reads what [`Sites::to_bytes`] gave.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        // It has the length of one.
        Self::read(&mut Reader::new(bytes)).unwrap_or(Self {
            first: NOWHERE,
            second: None,
        })
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut site = || {
            Some(DropSite {
                provider: NodeId::new(reader.array()?),
                drop: DropId::new(reader.array()?),
            })
        };
        let (first, second) = (site()?, site()?);
        Some(Self {
            first,
            second: (second != NOWHERE).then_some(second),
        })
    }
}
