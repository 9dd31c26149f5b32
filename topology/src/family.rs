//! Which nodes belong together.

use shoal_proto::NodeId;

/// Most bytes of a family's name.
pub const MAX_FAMILY_BYTES: usize = 32;

/// Whether this may be a family's name, or is empty for none: at most [`MAX_FAMILY_BYTES`] of `a` to
/// `z`, digits, `-`, `.` and `_`.
#[must_use]
pub fn is_family(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    name.len() <= MAX_FAMILY_BYTES && name.bytes().all(plain)
}

/// What nodes of one owner have in common, as far as they say so: the name of their family. Who names
/// none is a family of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family<'a> {
    pub(crate) name: &'a str,
    /// Who is alone.
    pub(crate) alone: Option<NodeId>,
}

impl<'a> Family<'a> {
    /// That of a node that names this one; `name` is empty for none.
    #[must_use]
    pub fn of(id: NodeId, name: &'a str) -> Self {
        let alone = name.is_empty().then_some(id);
        Self { name, alone }
    }
}
