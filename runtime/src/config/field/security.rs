//! Settings of the section `security`: who may speak with the node, and how that is proven.
//! Knows nothing about values.

use super::{Field, Known, known};

pub(super) const FIELDS: &[Known] = &[
    known(
        Field::Insecure,
        "consensus.security.insecure",
        "CONSENSUS_INSECURE",
        "true to allow connections without TLS beyond loopback; false by default",
    ),
    known(
        Field::TlsEnabled,
        "consensus.security.tls_enabled",
        "CONSENSUS_TLS_ENABLED",
        "must be false: TLS is not available in this version",
    ),
    known(
        Field::TlsCert,
        "consensus.security.cert_file",
        "CONSENSUS_TLS_CERT",
        "not available in this version",
    ),
    known(
        Field::TlsKey,
        "consensus.security.key_file",
        "CONSENSUS_TLS_KEY",
        "not available in this version",
    ),
    known(
        Field::TlsCa,
        "consensus.security.ca_file",
        "CONSENSUS_TLS_CA",
        "not available in this version",
    ),
];
