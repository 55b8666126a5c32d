//! The replica: routes inputs to roles and outputs to the driver.
//! Knows nothing about the world behind either.

use crate::config::{Config, ConfigError};
use crate::input::Input;
use crate::output::Output;
use crate::record::Recovered;
use crate::status::Status;
use crate::time::Time;
use crate::types::NodeId;

/// One member of the cluster, as a state machine.
#[derive(Clone, Debug)]
pub struct Replica {}

/// Why a replica cannot start from what was recovered. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The directory belongs to another node.
    #[error("the data belongs to node {found}, but this is node {expected}")]
    OtherNode {
        /// Whose data it is.
        found: NodeId,
        /// Who was to be started.
        expected: NodeId,
    },
    /// The node is not in the membership that its own directory records.
    #[error("node {0} is not a member of its own cluster")]
    NotAMember(NodeId),
    /// The log does not link up.
    #[error("the log contradicts itself at slot {0}")]
    BrokenLog(crate::types::Slot),
}

impl Replica {
    /// A replica that goes on from what its disk held.
    ///
    /// # Errors
    /// If configuration and disk do not fit together.
    pub fn recover(config: Config, recovered: Recovered, now: Time) -> Result<Self, RecoverError> {
        let _ = (config, recovered, now);
        unimplemented!()
    }

    /// Takes in one event.
    pub fn handle(&mut self, now: Time, input: Input) {
        let _ = (now, input);
        unimplemented!()
    }

    /// The next thing to do; [`Output::Wait`] when there is nothing more.
    pub fn poll_output(&mut self) -> Output {
        unimplemented!()
    }

    /// The state as plain data.
    #[must_use]
    pub fn status(&self) -> Status {
        unimplemented!()
    }

    /// Asserts every relation between the parts of the state.
    pub fn check(&self) {
        unimplemented!()
    }
}
