//! How nodes with empty directories agree on who they are before there is anything to agree with.
//! Knows nothing about logs and ballots, and does no IO: the driver sends, waits and makes durable.

pub mod message;

pub use message::{
    ADDR_BYTES_MAX, Confirm, Confirmed, FormingMessage, Hello, HelloReply, HelloState, Listed,
    NAME_BYTES_MAX,
};
