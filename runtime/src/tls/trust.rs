//! What one side shows and whom it believes, ready for handshakes, and that it may be replaced.
//! Knows nothing about connections.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, Error, InconsistentKeys, ServerConfig};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::Semaphore;

use super::files::{Contents, Pems, Source};
use super::judge::{Judge, Shown};
use super::leaf;
use super::reason::Reason;
use super::{Tls, TlsError, date};
use crate::identity::{Identity, Kind, check_domain};

/// Reading three small files does not take longer, or the disk hangs.
const READING_MAX: Duration = Duration::from_secs(5);
/// HTTP/2, the only protocol that is spoken here.
const ALPN: &[u8] = b"h2";

/// The one provider of cryptography. It is always named: the process may have another default.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Who needs the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The node of this name.
    Node(String),
    /// A client: its name is what the certificate says.
    Client,
}

/// Certificate, key and authorities, found good and made ready.
pub(crate) struct Trust {
    /// For connections that others open.
    pub(crate) server: Arc<ServerConfig>,
    /// For connections to others.
    pub(crate) client: Arc<ClientConfig>,
    /// Until when the own certificate, and what it rests on, holds.
    pub(crate) expires: u64,
    /// Until when the first of the authorities holds that are believed.
    pub(crate) authority_expires: u64,
    /// Which one it is, counted from the first.
    pub(crate) generation: u64,
    judge: Arc<Judge>,
    contents: Contents,
}

impl Trust {
    /// Who shows this chain, if it may still be believed at `now`.
    pub(crate) fn judge(
        &self,
        shown: Shown,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Identity, Reason> {
        self.judge.judge(shown, chain, now)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("generation", &self.generation)
            .field("judge", &self.judge)
            .finish_non_exhaustive()
    }
}

/// What one side trusts now; handshakes that begin load the current one.
#[derive(Debug)]
pub(crate) struct Trusted {
    now: ArcSwap<Trust>,
    tls: Tls,
    owner: Owner,
    clock: Arc<dyn TimeProvider>,
    /// When [`Self::look`] has looked last.
    looked: Mutex<Instant>,
    /// Files are read by one at a time.
    reading: Arc<Semaphore>,
}

impl Trusted {
    /// Reads and checks everything.
    pub(crate) fn load(
        tls: Tls,
        owner: Owner,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<Self, TlsError> {
        let contents = tls.sources.read()?;
        let trust = trust(&tls, &owner, contents, &clock, 1)?;
        warn_of_key(tls.sources.key_is_open());
        Ok(Self {
            now: ArcSwap::from_pointee(trust),
            tls,
            owner,
            clock,
            looked: Mutex::new(Instant::now()),
            reading: Arc::new(Semaphore::new(1)),
        })
    }

    /// Takes what the files contain now, if it is time to look, and if it is any good.
    pub(crate) async fn look(self: &Arc<Self>) {
        {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if looked.elapsed() < self.tls.reload_interval {
                return;
            }
            *looked = Instant::now();
        }
        let outcome = self.changed().await.and_then(|contents| match contents {
            Some(contents) => self.replace(contents).map(drop),
            None => Ok(()),
        });
        if let Err(error) = outcome {
            tracing::warn!(%error, "keeps the certificate that it has");
        }
    }

    /// What holds now.
    pub(crate) fn now(&self) -> Arc<Trust> {
        self.now.load_full()
    }

    /// What the files contain now, if that is anything new.
    pub(crate) async fn changed(self: &Arc<Self>) -> Result<Option<Contents>, TlsError> {
        let this = Arc::clone(self);
        // Files may lie on a disk that hangs: then one thread hangs with it, and not those that
        // have to look after connections.
        let Ok(turn) = Arc::clone(&self.reading).try_acquire_owned() else {
            return Err(self.tls.sources.hangs());
        };
        let reading = tokio::task::spawn_blocking(move || {
            let contents = this.tls.sources.read();
            let open = this.tls.sources.key_is_open();
            drop(turn);
            contents.map(|contents| (contents, open))
        });
        let (contents, open) = match tokio::time::timeout(READING_MAX, reading).await {
            Ok(Ok(contents)) => contents?,
            // The process ends: nothing is read any more.
            Ok(Err(_)) => return Ok(None),
            Err(_) => return Err(self.tls.sources.hangs()),
        };
        if contents == self.now.load().contents {
            return Ok(None);
        }
        warn_of_key(open);
        Ok(Some(contents))
    }

    /// Takes these contents from now on. What cannot be used changes nothing.
    pub(crate) fn replace(&self, contents: Contents) -> Result<Arc<Trust>, TlsError> {
        let generation = self.now.load().generation + 1;
        let trust = trust(&self.tls, &self.owner, contents, &self.clock, generation)?;
        let trust = Arc::new(trust);
        self.now.store(Arc::clone(&trust));
        Ok(trust)
    }

    /// Leaves out the authorities that do not hold any more, if there are any. If none would be
    /// left, or none for the own certificate, all stays as it is.
    pub(crate) fn leave_out_expired(&self) -> Result<(), TlsError> {
        let now = self.now();
        if self.time().as_secs() <= now.authority_expires {
            return Ok(());
        }
        self.replace(now.contents.clone()).map(drop)
    }

    /// What the clock says.
    pub(crate) fn time(&self) -> UnixTime {
        time_of(&*self.clock)
    }

    pub(crate) const fn tls(&self) -> &Tls {
        &self.tls
    }
}

fn warn_of_key(open: Option<String>) {
    if let Some(open) = open {
        tracing::warn!("{open}");
    }
}

/// What a clock says.
pub(super) fn time_of(clock: &dyn TimeProvider) -> UnixTime {
    // Before 1970 nothing is valid, and everybody is told so.
    let epoch = UnixTime::since_unix_epoch(Duration::ZERO);
    clock.current_time().unwrap_or(epoch)
}

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct WallClock;

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.ok().map(UnixTime::since_unix_epoch)
    }
}

fn trust(
    tls: &Tls,
    owner: &Owner,
    contents: Contents,
    clock: &Arc<dyn TimeProvider>,
    generation: u64,
) -> Result<Trust, TlsError> {
    let from = &tls.sources;
    let content = |file: &dyn fmt::Display, what: String| TlsError::Content {
        file: file.to_string(),
        what,
    };
    check_domain(&tls.domain)
        .map_err(|error| content(&"the domain of trust", error.to_string()))?;
    let Pems {
        chain,
        key,
        authorities,
    } = contents.pems(from)?;
    let provider = provider();
    let certified = CertifiedKey::from_der(chain.clone(), key, &provider);
    let certified = certified.map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Key {
            key: from.key.to_string(),
            cert: from.cert.to_string(),
        },
        error => content(&from.key, format!("the key cannot be used: {error}")),
    })?;
    let now = clock.current_time();
    let now = now.ok_or_else(|| content(&from.cert, "this machine has no clock".to_owned()))?;
    let authorities = in_time(authorities, &from.ca, now)?;
    let judge = Judge::new(&authorities, &from.ca, Arc::clone(&provider), &tls.domain)?;
    check_own(tls, owner, &judge, &chain, now)?;
    let latest = |certificates: &[CertificateDer<'_>]| {
        let ends = certificates.iter().filter_map(|it| leaf::validity(it).ok());
        ends.map(|it| it.to).min().unwrap_or(0)
    };
    let (expires, authority_expires) = (latest(&chain), latest(&authorities));
    let judge = Arc::new(judge);
    let (server, client) = configs(&judge, certified, &provider, clock)
        .map_err(|error| content(&from.cert, error.to_string()))?;
    Ok(Trust {
        server: Arc::new(server),
        client: Arc::new(client),
        expires,
        authority_expires,
        generation,
        judge,
        contents,
    })
}

/// The authorities that have not expired: webpki believes them whatever they say of time.
pub(super) fn in_time(
    authorities: Vec<CertificateDer<'static>>,
    from: &Source,
    now: UnixTime,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut last = 0;
    let mut hold = authorities;
    hold.retain(|authority| {
        // One that cannot be read is complained about by whoever has to use it.
        let end = leaf::validity(authority).map_or(u64::MAX, |it| it.to);
        last = last.max(end);
        now.as_secs() <= end
    });
    if hold.is_empty() {
        return Err(TlsError::Content {
            file: from.to_string(),
            what: format!("the last of its authorities has expired on {}", date(last)),
        });
    }
    Ok(hold)
}

/// Whether others, who have the same authorities, would take the own certificate.
fn check_own(
    tls: &Tls,
    owner: &Owner,
    judge: &Judge,
    chain: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), TlsError> {
    let file = || tls.sources.cert.to_string();
    let refused = |reason| TlsError::Refused {
        file: file(),
        reason,
    };
    let found = judge.judge(Shown::ByCaller, chain, now).map_err(refused)?;
    let wanted = match (owner, found.kind()) {
        (Owner::Node(name), Kind::Node) if found.name() == name => {
            judge.judge(Shown::ByCalled, chain, now).map_err(refused)?;
            return Ok(());
        }
        (Owner::Client, Kind::Client(_)) => return Ok(()),
        (Owner::Node(name), _) => format!("this is the node '{name}'"),
        (Owner::Client, _) => "this is a client".to_owned(),
    };
    Err(TlsError::Other {
        file: file(),
        found,
        wanted,
    })
}

fn configs(
    judge: &Arc<Judge>,
    certified: CertifiedKey,
    provider: &Arc<CryptoProvider>,
    clock: &Arc<dyn TimeProvider>,
) -> Result<(ServerConfig, ClientConfig), Error> {
    let shown = Arc::new(SingleCertAndKey::from(certified));
    let server = ServerConfig::builder_with_details(Arc::clone(provider), Arc::clone(clock));
    let mut server = server
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::clone(judge) as _)
        .with_cert_resolver(Arc::clone(&shown) as _);
    server.alpn_protocols = vec![ALPN.to_vec()];
    // A session that is resumed is not judged again: whoever was let in once would stay in.
    server.send_tls13_tickets = 0;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    let client = ClientConfig::builder_with_details(Arc::clone(provider), Arc::clone(clock));
    let mut client = client
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(judge) as _)
        .with_client_cert_resolver(shown as _);
    client.alpn_protocols = vec![ALPN.to_vec()];
    client.resumption = Resumption::disabled();
    client.enable_sni = false;
    Ok((server, client))
}
