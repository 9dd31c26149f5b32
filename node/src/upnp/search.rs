//! Looking for a router: a question to all machines of the local network (SSDP), and who answers.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use rupnp::ssdp::{SearchTarget, URN};

use super::gateway::Location;

/// A router; newer ones answer to the older name too.
const ROUTER: SearchTarget =
    SearchTarget::URN(URN::device("schemas-upnp-org", "InternetGatewayDevice", 1));
/// Who answers waits up to so many seconds, at random.
const SPREAD_SECS: usize = 2;
/// When no answer comes for this long, there are no more.
const SILENCE: Duration = Duration::from_secs(3);
/// How long answers are taken, and how many, of whomever.
const PATIENCE: Duration = Duration::from_secs(6);
const ANSWERS_MOST: usize = 64;
/// Different ones among them that are asked.
const ROUTERS_MOST: usize = 4;

/// Where routers are. None if nobody answers, or nobody can be asked.
pub(super) async fn search() -> Vec<Location> {
    match rupnp::ssdp::search(&ROUTER, SILENCE, SPREAD_SECS, None).await {
        Ok(answers) => {
            let locations = answers.map(|answer| Location::of(answer.ok()?.location()));
            different(locations, PATIENCE).await
        }
        Err(error) => {
            tracing::debug!(%error, "routers can't be looked for");
            Vec::new()
        }
    }
}

async fn different(
    locations: impl Stream<Item = Option<Location>>,
    patience: Duration,
) -> Vec<Location> {
    let mut found: Vec<Location> = Vec::new();
    let taking = async {
        let mut locations = std::pin::pin!(locations.take(ANSWERS_MOST));
        while let Some(location) = locations.next().await {
            found.extend(location.filter(|location| !found.contains(location)));
            if found.len() == ROUTERS_MOST {
                break;
            }
        }
    };
    // What has come by then is what there is.
    let _ = tokio::time::timeout(patience, taking).await;
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use futures::stream;

    use super::*;

    fn at(host: usize) -> Option<Location> {
        Location::of(&format!("http://192.168.1.{host}/"))
    }

    #[tokio::test]
    async fn answers_are_taken_for_so_long_and_so_many() {
        let short = Duration::from_millis(50);
        let twice = stream::iter([at(1), None, at(1), at(2)]);
        let silent = twice.chain(stream::pending());
        let found = different(silent, short).await;
        assert_eq!(found, [at(1), at(2)].map(Option::unwrap));

        let endless = stream::repeat_with(|| None);
        assert!(different(endless, PATIENCE).await.is_empty());

        let many = stream::iter((1..200).map(at));
        assert_eq!(different(many, PATIENCE).await.len(), ROUTERS_MOST);
    }
}
