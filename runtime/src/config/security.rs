//! Settings of the section `security`: certificate, key, authorities, or none of them.
//! Knows nothing about what is in the files: the node reads them when it starts.

use std::net::IpAddr;
use std::time::Duration;

use super::Peer;
use super::field::Field;
use super::settings::Check;
use crate::identity::{Identity, check_domain};

/// What a node shows to others, and whom it believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecuritySettings {
    /// Where certificate, key and authorities are; `None` where there is no TLS.
    pub tls: Option<TlsSettings>,
    /// Whether connections without TLS may leave the machine.
    pub insecure: bool,
}

/// Where certificate, key and authorities are.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate's path, or its PEM.
    pub cert: String,
    /// The key's path, or its PEM.
    pub key: String,
    /// The path of the authorities' certificates, or their PEM.
    pub ca: String,
    /// The domain of trust.
    pub domain: String,
    /// How often the files are looked at.
    pub reload_interval: Duration,
}

/// Shows no key, should it stand there itself.
impl std::fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsSettings")
            .field("domain", &self.domain)
            .field("reload_interval", &self.reload_interval)
            .finish_non_exhaustive()
    }
}

/// How often files are looked at where nothing is set.
const RELOAD_INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
const RELOAD_INTERVAL_MIN: Duration = Duration::from_secs(1);

impl Check<'_> {
    pub(super) fn security(&mut self) -> SecuritySettings {
        let insecure = self.optional(Field::Insecure, |raw| raw.bool());
        let enabled = self.optional(Field::TlsEnabled, |raw| raw.bool());
        let insecure = insecure.unwrap_or(false);
        if enabled == Some(false) {
            for field in [
                Field::TlsCert,
                Field::TlsKey,
                Field::TlsCa,
                Field::TlsDomain,
                Field::TlsReloadInterval,
            ] {
                if self.layers.get(field).is_some() {
                    let key = Field::TlsEnabled.key();
                    self.refuse(field, format!("is set, but {key} is false: remove either"));
                }
            }
            return SecuritySettings {
                tls: None,
                insecure,
            };
        }
        if insecure {
            let key = Field::TlsEnabled.key();
            self.refuse(
                Field::Insecure,
                format!("is true, but TLS is on: set {key}: false as well, or remove this"),
            );
        }
        SecuritySettings {
            tls: self.tls(),
            insecure,
        }
    }

    fn tls(&mut self) -> Option<TlsSettings> {
        let cert = self.part_of_tls(Field::TlsCert);
        let key = self.part_of_tls(Field::TlsKey);
        let ca = self.part_of_tls(Field::TlsCa);
        let domain = self.optional(Field::TlsDomain, |raw| {
            let domain = raw.text()?;
            check_domain(&domain).map_err(|error| error.to_string())?;
            Ok(domain)
        });
        let reload_interval = self.optional(Field::TlsReloadInterval, |raw| {
            let interval = raw.duration()?;
            if interval >= RELOAD_INTERVAL_MIN {
                Ok(interval)
            } else {
                Err(format!("{} is too often: 1s at least", raw.shown()))
            }
        });
        Some(TlsSettings {
            cert: cert?,
            key: key?,
            ca: ca?,
            domain: domain.unwrap_or_else(|| Identity::DOMAIN_DEFAULT.to_owned()),
            reload_interval: reload_interval.unwrap_or(RELOAD_INTERVAL_DEFAULT),
        })
    }

    /// Without TLS, nothing may leave the machine unless that is allowed. Where a name stands
    /// instead of an address to listen on, only the node finds out what it leads to.
    pub(super) fn exposure(&mut self, bind: &str, others: &[Peer]) {
        let is = |field, wanted| {
            let set = self.layers.get(field);
            set.is_some_and(|(raw, _)| raw.bool() == Ok(wanted))
        };
        if !is(Field::TlsEnabled, false) || is(Field::Insecure, true) {
            return;
        }
        let host = bind.rsplit_once(':').map_or(bind, |(host, _)| host);
        let listens_on = host.trim_matches(['[', ']']).parse().ok();
        if let Some(exposed) = exposed(listens_on, others) {
            let insecure = Field::Insecure.key();
            let what = format!(
                "is false, but {exposed} is not on loopback: give the node a certificate, or allow \
                 it with {insecure}: true"
            );
            self.refuse(Field::TlsEnabled, what);
        }
    }

    fn part_of_tls(&mut self, field: Field) -> Option<String> {
        if self.layers.get(field).is_none() {
            let (env, enabled) = (field.known().env, Field::TlsEnabled.key());
            self.refuse(
                field,
                format!(
                    "is missing, and TLS is on by default: set it in the file or as {env} (`chil \
                     cert init` and `chil cert issue` make certificates for development), or set \
                     {enabled}: false for nodes on loopback"
                ),
            );
        }
        self.optional(field, |raw| raw.text())
    }
}

/// What of a node without TLS others could reach from beyond this host, if anything: where it
/// listens, as far as that is known, and its peers.
pub(crate) fn exposed(listens_on: Option<IpAddr>, others: &[Peer]) -> Option<String> {
    match listens_on {
        Some(ip) if !ip.is_loopback() => Some(format!("the address {ip}")),
        Some(_) | None => {
            let beyond = others.iter().find(|peer| !peer.is_loopback());
            beyond.map(|peer| format!("the peer {}", peer.address))
        }
    }
}

#[cfg(feature = "grpc")]
impl SecuritySettings {
    /// Tells `builder`.
    pub(super) fn apply(&self, builder: crate::NodeBuilder) -> crate::NodeBuilder {
        match &self.tls {
            Some(tls) => builder.tls(tls.tls()),
            None => builder.plaintext().insecure(self.insecure),
        }
    }
}

#[cfg(feature = "grpc")]
impl TlsSettings {
    /// Where certificate, key and authorities are, as nodes and clients take it.
    #[must_use]
    pub fn tls(&self) -> crate::Tls {
        crate::Tls::paths_or_pem(&self.cert, &self.key, &self.ca)
            .domain(&self.domain)
            .reload_interval(self.reload_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Layers;
    use super::*;

    fn minimal() -> Layers {
        Layers::new()
            .set(Field::NodeId, "a")
            .set(Field::DataDir, "/data")
            .set(Field::Peers, "b=h:2,c=h:3")
    }

    fn with_tls() -> Layers {
        minimal()
            .set(Field::TlsCert, "/a.crt")
            .set(Field::TlsKey, "/a.key")
            .set(Field::TlsCa, "/ca.crt")
    }

    fn refused(layers: Layers) -> String {
        layers.finish().unwrap_err().to_string()
    }

    #[test]
    fn tls_is_on_unless_it_is_turned_off() {
        let message = refused(minimal());
        for key in ["cert_file", "key_file", "ca_file"] {
            let text = format!("consensus.security.{key}: is missing, and TLS is on by default");
            assert!(message.contains(&text), "{message}");
        }
        assert!(message.contains("CONSENSUS_TLS_CERT"), "{message}");
        assert!(message.contains("chil cert issue"), "{message}");
        let security = with_tls().finish().unwrap().security;
        let tls = security.tls.unwrap();
        assert_eq!(
            (tls.cert.as_str(), tls.domain.as_str()),
            ("/a.crt", "local")
        );
        assert_eq!(tls.reload_interval, Duration::from_secs(10));
        assert!(!security.insecure);
        let off = minimal().set(Field::TlsEnabled, false);
        let off = off.set(Field::Peers, "b=127.0.0.1:2").finish().unwrap();
        assert_eq!(off.security.tls, None);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let message = refused(with_tls().set(Field::TlsEnabled, false));
        assert!(
            message.contains("consensus.security.cert_file set in code: is set, but"),
            "{message}"
        );
        let message = refused(with_tls().set(Field::Insecure, true));
        assert!(message.contains("is true, but TLS is on"), "{message}");
        let message = refused(with_tls().set(Field::TlsDomain, "Big Corp"));
        assert!(message.contains("no domain of trust"), "{message}");
        let message = refused(with_tls().set(Field::TlsReloadInterval, "10ms"));
        assert!(message.contains("1s at least"), "{message}");
    }

    #[test]
    fn without_tls_nothing_leaves_the_machine_unless_that_is_allowed() {
        let plain = |bind: &str, peers: &str| {
            minimal()
                .set(Field::TlsEnabled, false)
                .set(Field::BindAddress, bind)
                .set(Field::Peers, peers)
        };
        for (bind, peers, exposed) in [
            ("0.0.0.0:7000", "b=127.0.0.1:2", "the address 0.0.0.0"),
            ("[::]:7000", "b=[::1]:2", "the address ::"),
            ("127.0.0.1:7000", "b=localhost:2,c=h:3", "the peer h:3"),
        ] {
            let message = refused(plain(bind, peers));
            let expected = format!(
                "consensus.security.tls_enabled set in code: is false, but {exposed} is not on \
                 loopback: give the node a certificate, or allow it with \
                 consensus.security.insecure: true"
            );
            assert_eq!(message, expected);
            let allowed = plain(bind, peers).set(Field::Insecure, true);
            assert!(allowed.finish().is_ok());
        }
        // Whether this one is, the node finds out.
        assert!(plain("here:7000", "b=127.0.0.1:2").finish().is_ok());
    }

    #[test]
    fn a_key_is_never_shown() {
        let pem = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----";
        let settings = with_tls().set(Field::TlsKey, pem).finish().unwrap();
        assert!(!format!("{settings:?}").contains("c2VjcmV0"));
    }
}
