//! The store as its users see it: crashes at any operation, damaged bytes, real files.
//! Knows nothing about how anything is laid out, except that files have bytes to damage.

mod crashes;
mod damage;
mod fault_disk;
mod faults;
mod forming;
mod interrupted;
mod machine;
mod model;
mod real;
mod restoring;
mod snapshots;
mod trims;
