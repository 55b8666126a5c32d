//! What each node of the world is at every moment, noted for the coverage of a run.
//! Knows nothing about what follows from it.

use chil_core::Role;
use chil_proto::{Frame, decode};

use crate::world::{Hop, World};

/// What a node is at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Down,
    Forming,
    Following,
    Preparing,
    Leading,
}

impl Stage {
    /// What people call them.
    pub(crate) const NAMES: [&'static str; 5] =
        ["down", "forming", "following", "preparing", "leading"];
}

impl World {
    /// A node may have become something else.
    pub(crate) fn note_stage(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        let stage = match (&state.replica, &state.forming) {
            (Some(replica), _) => match replica.role() {
                Role::Follower => Stage::Following,
                Role::Preparing => Stage::Preparing,
                Role::Leading => Stage::Leading,
            },
            (None, Some(_)) => Stage::Forming,
            (None, None) => Stage::Down,
        };
        if stage != state.stage {
            self.stats.coverage.becomes(state.stage, stage);
            state.stage = stage;
        }
    }

    /// A message arrives, whatever comes of it.
    pub(crate) fn note_arrival(&mut self, node: usize, frame: &Frame) {
        let stage = self.nodes[node].stage;
        self.stats.coverage.receives(frame, stage);
    }

    /// A message arrives at a node that is down.
    pub(crate) fn note_miss(&mut self, node: usize, hop: &Hop) {
        match hop {
            Hop::Whole(frame) => self.note_arrival(node, frame),
            Hop::Encoded(bytes) => {
                if let Ok(frame) = decode::frame(bytes.clone()) {
                    self.note_arrival(node, &frame);
                }
            }
        }
    }
}
