//! Campaigns: many seeds, spread over machines and sittings, and what they add up to.
//! Knows nothing about how a run goes, nor about who starts the shards.
//!
//! | file | |
//! |---|---|
//! | `shard` | which seeds are whose |
//! | `results` | the file of results: written batch by batch, read again after a crash |
//! | `tally` | sums, extremes, and failures by signature |
//! | `merge` | several shards as one: gaps and overlaps |
//! | `words` | what the summaries say alike |
//! | `text`, `json`, `junit`, `html` | the summary for people, programs, CI services and browsers |

mod fingerprint;
mod html;
mod json;
mod junit;
mod merge;
mod results;
mod shard;
mod tally;
#[cfg(test)]
mod testing;
mod text;
mod words;

pub use fingerprint::fingerprint;
pub use html::html;
pub use json::json;
pub use junit::junit;
pub use merge::{Merged, merge};
pub(crate) use results::lines;
pub use results::{Batch, Header, Part, Results, read};
pub(crate) use shard::parse_shard;
pub use shard::{Shard, parse_seeds};
pub use tally::{Extreme, Group, Tally};
pub use text::text;
pub(crate) use words::{checks_flag, contradictions};
