//! A deterministic world for `chil_core::Replica`, and independent judges of what happens in it.
