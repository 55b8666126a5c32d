//! Connections that mean harm, against a cluster of processes: it goes on deciding under the same
//! leader, and its memory stays bounded. What is measured is what the system says of the process.
//! Knows nothing about how that is brought about.

mod floods;
mod h2;
mod peers;
mod raw;
mod slow;
mod unread;
mod victim;

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;

/// Within what time the other side closes a connection at which nothing is to be waited for.
const SOON: Duration = Duration::from_secs(5);

const PROPOSE: &str = "/chil.v1.Consensus/Propose";
const READ: &str = "/chil.v1.Consensus/Read";
const WATCH: &str = "/chil.v1.Consensus/Watch";
const LINK: &str = "/chil.v1.Peer/Link";

/// Many at a time, each with its number; until all of them are through.
async fn all<T, F>(count: usize, one: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let all: JoinSet<T> = (0..count).map(one).collect();
    all.join_all().await
}
