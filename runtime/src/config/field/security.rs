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
        "false to do without TLS, on loopback only unless insecure allows more; true by default",
    ),
    known(
        Field::TlsCert,
        "consensus.security.cert_file",
        "CONSENSUS_TLS_CERT",
        "this node's certificate, with those between it and its authority: a path, or the PEM \
         itself; none by default",
    ),
    known(
        Field::TlsKey,
        "consensus.security.key_file",
        "CONSENSUS_TLS_KEY",
        "the certificate's key: a path, or, in a variable, the PEM itself; none by default",
    ),
    known(
        Field::TlsCa,
        "consensus.security.ca_file",
        "CONSENSUS_TLS_CA",
        "the authorities that are believed, one certificate after the other: a path, or the PEM \
         itself; none by default",
    ),
    known(
        Field::TlsDomain,
        "consensus.security.domain",
        "CONSENSUS_TLS_DOMAIN",
        "domain of trust: identities of other domains are refused; local by default",
    ),
    known(
        Field::TlsReloadInterval,
        "consensus.security.reload_interval",
        "CONSENSUS_TLS_RELOAD_INTERVAL",
        "how often the files are looked at; 10s by default",
    ),
];
