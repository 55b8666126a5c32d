//! The table of settings: every key of the file, its environment variable, and what it is for.
//! Knows nothing about values: `value.rs` reads them. Each section's table is a file of its own.

mod discovery;
mod limits;
mod metrics;
mod node;
mod security;

use super::secret::is_inline;

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The node's name.
    NodeId,
    /// Where it listens.
    BindAddress,
    /// Where the others reach it.
    AdvertiseAddress,
    /// The other nodes.
    Peers,
    /// How much its vote counts.
    Weight,
    /// Whether it is a cluster of one.
    SingleNode,
    /// Where its data lies.
    DataDir,
    /// Which protocol decides.
    ProtocolType,
    /// How long the protocol waits for an acknowledgement before it sends again.
    ProtocolTimeout,
    /// How often a candidate waits that long for promises before it gives up its ballot.
    ProtocolRetries,
    /// Whether connections without TLS may leave the machine.
    Insecure,
    /// Whether connections use TLS.
    TlsEnabled,
    /// The node's certificate.
    TlsCert,
    /// The key of it.
    TlsKey,
    /// Whose certificates are trusted.
    TlsCa,
    /// Of which domain.
    TlsDomain,
    /// How often the files are looked at.
    TlsReloadInterval,
    /// How silence is judged.
    FailureDetector,
    /// From which phi on a silent peer counts as down.
    SuspectThreshold,
    /// Length of a heartbeat round.
    HeartbeatInterval,
    /// Largest value.
    ValueBytesMax,
    /// Most entries proposed ahead of the last decision.
    InFlightEntriesMax,
    /// Most bytes proposed ahead of the last decision.
    InFlightBytesMax,
    /// How much it is wanted as leader.
    Priority,
    /// How long a leader may serve reads without asking.
    ReadLease,
    /// By how much clocks may run fast or slow.
    ClockDriftPpm,
    /// Slots from one snapshot to the next.
    SnapshotSlots,
    /// Bytes of the log from one snapshot to the next.
    SnapshotBytes,
    /// Bytes of the log that are kept behind a snapshot.
    LogTailBytes,
    /// Bytes of the log that a leader keeps for slow peers.
    LogKeepBytesMax,
    /// Sessions of clients at a time.
    SessionsMax,
    /// Bytes of replies that are kept for them.
    SessionReplyBytesMax,
    /// Connections of clients.
    ConnectionsClients,
    /// Connections from one address.
    ConnectionsPerAddress,
    /// Connections of one client.
    ConnectionsPerIdentity,
    /// Handshakes under way.
    Handshakes,
    /// Handshakes that begin in a second.
    HandshakesPerSecond,
    /// Bytes of clients' messages that are being received.
    ReceivingBytes,
    /// Messages that wait for a peer.
    QueueFrames,
    /// Their bytes.
    QueueBytes,
    /// Bytes of peers' messages that wait to be handled.
    InboxBytes,
    /// Requests of all clients in a second.
    RequestsPerSecond,
    /// Their bytes.
    RequestBytesPerSecond,
    /// Requests of each client in a second.
    ClientRequestsPerSecond,
    /// Their bytes.
    ClientBytesPerSecond,
    /// How long who asked for nothing saves up.
    Burst,
    /// Requests of clients without an answer.
    RequestsInFlight,
    /// Their bytes.
    RequestBytesInFlight,
    /// Clients that are told apart.
    ClientsTracked,
    /// Sessions that may be opened in a second.
    SessionsPerSecondMax,
    /// Where the page with the metrics is.
    MetricsAddress,
    /// Who says where a peer's address leads.
    DiscoveryType,
    /// How often names are looked up again.
    DiscoveryRefresh,
    /// How long a look-up may take.
    DiscoveryTimeout,
    /// The service whose SRV records name the peers.
    SrvService,
    /// Who is asked for them.
    SrvServers,
    /// The Kubernetes service whose pods are the peers.
    KubernetesService,
    /// Its namespace.
    KubernetesNamespace,
    /// Which of its ports is the nodes'.
    KubernetesPortName,
    /// Where the Kubernetes API is.
    KubernetesApi,
    /// The token for it.
    KubernetesTokenFile,
    /// The CA of its certificate.
    KubernetesCaFile,
}

/// How a setting is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Which one.
    pub field: Field,
    /// Its key in the file, with the sections around it.
    pub key: &'static str,
    /// Its environment variable.
    pub env: &'static str,
    /// One line for people. Its last words, behind a semicolon, are what holds when nobody sets
    /// it: `required`, or what is so `by default`: a value as one would write it, or words.
    pub help: &'static str,
}

/// What holds when nobody sets a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// There is no node without it.
    Required,
    /// This, as one would write it.
    Value(&'static str),
    /// This, in words; it follows from something else, or there is none.
    Words(&'static str),
}

impl Known {
    /// What holds when nobody sets it.
    #[must_use]
    pub fn fallback(&self) -> Fallback {
        let last = self.help.rsplit_once("; ").map_or("", |(_, last)| last);
        match last.strip_suffix(" by default") {
            _ if last == "required" => Fallback::Required,
            // No value that one would write has a space in it.
            Some(value) if value != "none" && !value.contains(' ') => Fallback::Value(value),
            Some(words) => Fallback::Words(words),
            None => Fallback::Words("none"),
        }
    }

    /// What it is for, without what holds when nobody sets it.
    #[must_use]
    pub fn purpose(&self) -> &'static str {
        match self.help.rsplit_once("; ") {
            Some((purpose, last)) if last == "required" || last.ends_with(" by default") => purpose,
            _ => self.help,
        }
    }

    /// Whether it is the name of a file, which is read when it is used.
    #[must_use]
    pub fn names_file(&self) -> bool {
        self.key.ends_with("_file")
    }

    /// Whether this value of it must not be shown. The name of a file may be.
    pub(crate) fn hides(&self, value: &str) -> bool {
        matches!(self.field, Field::TlsKey) && (is_inline(value) || !self.names_file())
    }
}

impl Field {
    /// Its entry in the table.
    #[must_use]
    pub fn known(self) -> &'static Known {
        fields()
            .find(|known| known.field == self)
            .expect("a test proves that every field stands in the table")
    }

    /// Its key in the file, with the sections around it.
    #[must_use]
    pub fn key(self) -> &'static str {
        self.known().key
    }
}

const fn known(field: Field, key: &'static str, env: &'static str, help: &'static str) -> Known {
    Known {
        field,
        key,
        env,
        help,
    }
}

/// Every setting there is, section by section.
pub fn fields() -> impl Iterator<Item = &'static Known> {
    let sections = [
        node::FIELDS,
        security::FIELDS,
        limits::FIELDS,
        metrics::FIELDS,
        discovery::FIELDS,
    ];
    sections.into_iter().flatten()
}

/// The known name nearest to `unknown`, if one is near enough to be what was meant.
pub(crate) fn nearest<'a>(
    unknown: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (distance(unknown, name), name))
        .min()
        .filter(|(distance, name)| *distance <= (name.len().max(unknown.len()) / 3).max(1))
        .map(|(_, name)| name)
}

/// Levenshtein distance: how many letters to insert, delete or change.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_field_stands_in_the_table_once() {
        let all = fields().count();
        let each: BTreeSet<Field> = fields().map(|known| known.field).collect();
        assert_eq!(each.len(), all);
        // `KubernetesCaFile` is the last variant: its number counts the others.
        assert_eq!(Field::KubernetesCaFile as usize + 1, all);
        let keys: BTreeSet<&str> = fields().map(|known| known.key).collect();
        let envs: BTreeSet<&str> = fields().map(|known| known.env).collect();
        assert_eq!((keys.len(), envs.len()), (all, all));
        assert!(envs.iter().all(|env| env.starts_with("CONSENSUS_")));
    }

    #[test]
    fn distance_counts_letters() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn only_near_names_are_suggested() {
        assert_eq!(nearest("peer", ["peers", "weight"]), Some("peers"));
        assert_eq!(nearest("node_idd", ["peers", "node_id"]), Some("node_id"));
        assert_eq!(nearest("colour", ["peers", "weight"]), None);
    }
}
