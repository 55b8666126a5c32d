//! What a run looks like to people and other programs: recordings, and what is made of them.
//! Knows nothing about how a run is executed.

pub mod event;
