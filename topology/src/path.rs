//! Routes. Every kind of packet draws its mixes from one distribution, one mix for each layer by the
//! [weights](crate::capacity) of the document and nothing that depends on the providers at the ends:
//! otherwise the choice itself would tell the kinds apart. Providers are drawn uniformly, as mailboxes are.

use rand::{CryptoRng, RngExt};
use shoal_packet::Hop;
use shoal_proto::{NodeId, Span};

use crate::{Document, Member, NetworkParameters, PathError, Role, delay};

/// A deposit, or a dummy in its stead: entry, a mix of each layer, the mailbox's provider.
///
/// # Errors
/// When the entry or the mailbox's node is not a provider in the document.
pub fn deposit<R: CryptoRng + ?Sized>(
    rng: &mut R,
    document: &Document,
    params: &NetworkParameters,
    entry: &NodeId,
    mailbox: &NodeId,
) -> Result<Vec<Hop>, PathError> {
    let entry = provider(document, entry).ok_or(PathError::Entry)?;
    let mailbox = provider(document, mailbox).ok_or(PathError::Mailbox)?;
    let mut members = vec![entry];
    members.extend(mixes(rng, document)?);
    members.push(mailbox);
    Ok(hops(rng, params, &members))
}

/// The way of a SURB: a mix of each layer, then the entry of the client that made it. It starts
/// at whoever spends it.
///
/// # Errors
/// When the entry is not a provider in the document.
pub fn reply<R: CryptoRng + ?Sized>(
    rng: &mut R,
    document: &Document,
    params: &NetworkParameters,
    entry: &NodeId,
) -> Result<Vec<Hop>, PathError> {
    let entry = provider(document, entry).ok_or(PathError::Entry)?;
    let mut members = mixes(rng, document)?;
    members.push(entry);
    Ok(hops(rng, params, &members))
}

/// A client's loop: from its entry around through all layers and back to it.
///
/// # Errors
/// When the entry is not a provider in the document.
pub fn client_loop<R: CryptoRng + ?Sized>(
    rng: &mut R,
    document: &Document,
    params: &NetworkParameters,
    entry: &NodeId,
) -> Result<Vec<Hop>, PathError> {
    deposit(rng, document, params, entry, entry)
}

/// A node's loop: once around from the position after its own, through a random provider unless
/// it is one, and back to itself. The first hop is the node to send to.
///
/// # Errors
/// When the node is not in the document.
pub fn node_loop<R: CryptoRng + ?Sized>(
    rng: &mut R,
    document: &Document,
    params: &NetworkParameters,
    own: &NodeId,
) -> Result<Vec<Hop>, PathError> {
    let own = document.member(own).ok_or(PathError::NotAMember)?;
    let position = own.position().ok_or(PathError::NotAMember)?;
    let mut mixes = mixes(rng, document)?;
    let members = match own.role {
        Role::Provider => {
            mixes.push(own);
            mixes
        }
        Role::Mix => {
            let through = document.choose(rng, 0).ok_or(PathError::EmptyLayer(0))?;
            let before = usize::from(position).saturating_sub(1).min(mixes.len());
            let mut members: Vec<&Member> = mixes.iter().skip(before + 1).copied().collect();
            members.push(through);
            members.extend(mixes.iter().take(before));
            members.push(own);
            members
        }
    };
    Ok(hops(rng, params, &members))
}

/// A provider, each as likely as any other. All zeros if the document has none; verified
/// documents always have one.
#[must_use]
pub fn random_provider<R: CryptoRng + ?Sized>(rng: &mut R, document: &Document) -> NodeId {
    let provider = document.choose(rng, 0);
    provider.map_or(NodeId::new([0; 32]), |member| member.id)
}

fn provider<'a>(document: &'a Document, id: &NodeId) -> Option<&'a Member> {
    document
        .member(id)
        .filter(|member| member.role == Role::Provider)
}

/// A mix of each layer.
fn mixes<'a, R: CryptoRng + ?Sized>(
    rng: &mut R,
    document: &'a Document,
) -> Result<Vec<&'a Member>, PathError> {
    (1..=document.layers())
        .map(|layer| {
            document
                .choose(rng, layer)
                .ok_or(PathError::EmptyLayer(layer))
        })
        .collect()
}

/// One of so many, each as likely as any other. `None` of none.
#[must_use]
pub fn index<R: CryptoRng + ?Sized>(rng: &mut R, count: usize) -> Option<usize> {
    (count > 0).then(|| rng.random_range(0..count))
}

/// A choice among several by weight, by Walker's alias method: a uniform index that gives way to its
/// alias with a certain probability. All weights alike are the uniform choice, draw by draw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    count: usize,
    /// Of each index the probability to keep it, and what is chosen otherwise; none if all
    /// weights are alike.
    table: Vec<(f64, usize)>,
}

/// The probabilities are numbers, all of them.
impl Eq for Weights {}

impl Weights {
    /// From weights of any scale; what is not a positive number weighs nothing.
    #[must_use]
    pub fn new(weights: &[f64]) -> Self {
        let count = weights.len();
        let weight = |w: &f64| if w.is_finite() { w.max(0.0) } else { 0.0 };
        let sum: f64 = weights.iter().map(weight).sum();
        if sum <= 0.0 || weights.windows(2).all(|pair| pair[0] == pair[1]) {
            let table = Vec::new();
            return Self { count, table };
        }
        let mut share: Vec<f64> = weights
            .iter()
            .map(|w| weight(w) * count as f64 / sum)
            .collect();
        let mut table: Vec<(f64, usize)> = (0..count).map(|i| (1.0, i)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..count).partition(|i| share[*i] < 1.0);
        while let (Some(low), Some(high)) = (small.pop(), large.last().copied()) {
            table[low] = (share[low], high);
            share[high] -= 1.0 - share[low];
            if share[high] < 1.0 {
                large.pop();
                small.push(high);
            }
        }
        Self { count, table }
    }

    /// An index; `None` of no weights.
    #[must_use]
    pub fn index<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> Option<usize> {
        let uniform = index(rng, self.count)?;
        let Some((keep, alias)) = self.table.get(uniform) else {
            return Some(uniform);
        };
        let coin: f64 = rng.random();
        Some(if coin < *keep { uniform } else { *alias })
    }
}

/// With a delay for each hop but the last, which has none on the wire.
fn hops<R: CryptoRng + ?Sized>(
    rng: &mut R,
    params: &NetworkParameters,
    members: &[&Member],
) -> Vec<Hop> {
    let last = members.len().saturating_sub(1);
    let delay = |rng: &mut R, index: usize| {
        if index < last {
            delay::sample(rng, params.mean_delay)
        } else {
            Span::ZERO
        }
    };
    let hop = |(index, member): (usize, &&Member)| Hop {
        node: member.id,
        key: member.key,
        delay: delay(rng, index),
    };
    members.iter().enumerate().map(hop).collect()
}
