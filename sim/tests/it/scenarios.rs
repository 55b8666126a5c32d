//! Named faults of links, lanes and disks: how fast clusters recover is part of what they promise.
//! The whole table, over more seeds, is `cargo chaos scenarios`'s.

use chil_sim::scenario::{MEDIAN_OF, SCENARIOS, table};

/// As few as medians are judged of; optimised builds have time for as many as the command takes.
const SEEDS: u64 = if cfg!(debug_assertions) {
    MEDIAN_OF
} else {
    24
};

/// Every scenario in every cluster: a leader that can lead, and work that goes on, within four
/// rounds in the median and twelve at most, and nobody begins a ballot without need.
#[test]
fn every_scenario_recovers_in_time_and_stays_calm() {
    let all: Vec<_> = SCENARIOS.iter().collect();
    let table = table(&all, SEEDS, 2);
    println!("{table}");
    let wrong: Vec<_> = table.rows.iter().flat_map(|row| &row.wrong).collect();
    assert!(wrong.is_empty(), "{table}");
    let clusters: usize = SCENARIOS.iter().map(|s| s.clusters.len()).sum();
    assert_eq!(table.rows.len(), clusters);
}
