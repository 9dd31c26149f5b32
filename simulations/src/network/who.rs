//! Names of parties in a scenario.

use std::collections::BTreeSet;

use shoal_harness::{Network, Party};

/// One of the three kinds of parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Mix,
    Provider,
    Client,
}

/// Some parties of one sort: `"mixes"`, `"provider 2"`, `"clients 0-3"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    sort: Sort,
    /// First and last place among those of the sort, in the order of building; all if `None`.
    places: Option<(usize, usize)>,
}

impl Who {
    /// Reads a name. None if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let sort = match words.next()? {
            "mix" | "mixes" => Sort::Mix,
            "provider" | "providers" => Sort::Provider,
            "client" | "clients" => Sort::Client,
            _ => return None,
        };
        let places = match words.next() {
            None if text.ends_with('s') => None,
            None => return None,
            Some(places) => {
                let (first, last) = places.split_once('-').unwrap_or((places, places));
                let places: (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
                (places.0 <= places.1).then_some(Some(places))?
            }
        };
        words.next().is_none().then_some(Self { sort, places })
    }

    /// Whether those named exist in a network of this size.
    pub(crate) fn fits(&self, mixes: usize, providers: usize, clients: usize) -> bool {
        let count = match self.sort {
            Sort::Mix => mixes,
            Sort::Provider => providers,
            Sort::Client => clients,
        };
        self.places.is_none_or(|(_, last)| last < count)
    }

    /// Whether those named are clients.
    pub(crate) fn is_clients(&self) -> bool {
        self.sort == Sort::Client
    }

    /// The parties of a network that are named.
    #[must_use]
    pub fn of(&self, network: &Network) -> BTreeSet<Party> {
        let all: Vec<Party> = match self.sort {
            Sort::Mix => network.mixes().collect(),
            Sort::Provider => network.providers().collect(),
            Sort::Client => network.clients().collect(),
        };
        let (first, last) = self.places.unwrap_or((0, usize::MAX));
        let named = all
            .into_iter()
            .enumerate()
            .filter(|(place, _)| (first..=last).contains(place));
        named.map(|(_, party)| party).collect()
    }
}

/// The parties that any of the names names.
pub(crate) fn all_of(who: &[Who], network: &Network) -> BTreeSet<Party> {
    who.iter().flat_map(|who| who.of(network)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let network = Network::builder(1)
            .mixes(3, 2)
            .clients(4, "default")
            .build()
            .unwrap();
        let numbers = |text: &str| -> Vec<u32> {
            let who = Who::parse(text).unwrap();
            who.of(&network)
                .iter()
                .map(|party| party.number())
                .collect()
        };
        assert_eq!(numbers("mixes"), [0, 1, 2, 3, 4, 5]);
        assert_eq!(numbers("provider 1"), [7]);
        assert_eq!(numbers("clients 1-2"), [10, 11]);
        for text in [
            "",
            "mix",
            "mixers",
            "mix 2-1",
            "mix x",
            "mix 1 2",
            "client -1",
        ] {
            assert_eq!(Who::parse(text), None, "{text}");
        }
        assert!(!Who::parse("client 4").unwrap().fits(6, 3, 4));
        assert!(Who::parse("client 0-3").unwrap().fits(6, 3, 4));
    }
}
