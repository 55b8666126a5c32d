//! Which role may call which method: a table, whose answer for what is not in it is no.
//! Knows nothing about who calls, nor how that was proven.

use crate::identity::Role;

/// Who may call a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nodes, and nobody else.
    Node,
    /// Clients of this role, and of those above it.
    Client(Role),
}

/// Every method that is served.
const METHODS: [(&str, Needs); 10] = [
    ("/chil.v1.Peer/Link", Needs::Node),
    ("/chil.v1.Admin/Status", Needs::Client(Role::Read)),
    ("/chil.v1.Admin/Explain", Needs::Client(Role::Read)),
    ("/chil.v1.Admin/MoveLeader", Needs::Client(Role::Admin)),
    ("/chil.v1.Admin/SaveSnapshot", Needs::Client(Role::Admin)),
    ("/chil.v1.Consensus/Register", Needs::Client(Role::Write)),
    ("/chil.v1.Consensus/Propose", Needs::Client(Role::Write)),
    (
        "/chil.v1.Consensus/ProposeStream",
        Needs::Client(Role::Write),
    ),
    ("/chil.v1.Consensus/Read", Needs::Client(Role::Read)),
    ("/chil.v1.Consensus/Watch", Needs::Client(Role::Read)),
];

/// The method at `path`, and who may call it; `None` if there is none.
pub(crate) fn needs(path: &str) -> Option<(&'static str, Needs)> {
    let found = METHODS.iter().find(|(method, _)| *method == path);
    found.map(|(method, needs)| {
        let name = method.rsplit('/').next().unwrap_or(method);
        (name, *needs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The services as they are defined, and no method of theirs without a row.
    #[test]
    fn every_method_has_a_row_and_every_row_a_method() {
        let mut defined = Vec::new();
        for text in [
            include_str!("../../../proto/proto/chil/v1/admin.proto"),
            include_str!("../../../proto/proto/chil/v1/consensus.proto"),
            include_str!("../../../proto/proto/chil/v1/peer.proto"),
        ] {
            let mut service = "";
            for line in text.lines().map(str::trim) {
                let word = |after: &str| {
                    let rest = line.strip_prefix(after)?;
                    rest.split([' ', '(']).next()
                };
                if let Some(name) = word("service ") {
                    service = name;
                }
                if let Some(method) = word("rpc ") {
                    defined.push(format!("/chil.v1.{service}/{method}"));
                }
            }
        }
        defined.sort();
        let mut rows = METHODS.map(|(method, _)| method.to_owned());
        rows.sort();
        assert_eq!(defined, rows);
        assert_eq!(
            needs("/chil.v1.Consensus/Read"),
            Some(("Read", Needs::Client(Role::Read)))
        );
        assert_eq!(needs("/chil.v1.Consensus/Drop"), None);
    }
}
