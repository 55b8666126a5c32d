//! What a run looks like to people and other programs: recordings, and what is made of them.
//! Knows nothing about how a run is executed.

#[cfg(test)]
mod browser;
pub mod event;
#[cfg(test)]
mod fixture;
pub mod html;
pub mod json;
pub mod record;
pub mod shiviz;
pub mod text;
mod words;
