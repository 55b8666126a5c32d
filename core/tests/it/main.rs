//! Tests of the whole replica, several at a time and without a world around them.
//! Knows nothing about storage or networks: `rig` stands for both, one step at a time.

mod ages;
mod explaining;
mod fetching;
mod ghost;
mod identity;
mod leases;
mod limits;
mod paper;
mod random;
mod reads;
mod registers;
mod resending;
mod rig;
mod snapshots;
mod takeover;
mod transcripts;
mod transfers;
mod trouble;
mod waiting;
