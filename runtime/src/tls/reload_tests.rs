//! Tests of what a node does about files that change, and about connections that are open then.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::mpsc;

use super::*;
use crate::metrics::Metrics;
use crate::shutdown::{Stop, signal};
use crate::tls::live::{Entry, Shown};
use crate::tls::trust::{Owner, WallClock};
use crate::tls::{Tls, leaf};

/// An authority and what it issues.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new(name: &str) -> Self {
        Self::lasting(name, 100_000)
    }

    /// One that holds for so many seconds from now.
    fn lasting(name: &str, seconds: i64) -> Self {
        let mut params = CertificateParams::default();
        let end = since_1970().as_secs().saturating_add_signed(seconds);
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(end);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    /// A certificate of the node `n` that holds for so long.
    fn issue(&self, lasts: Duration) -> (CertificateDer<'static>, String, String) {
        let mut params = CertificateParams::default();
        let uri = Ia5String::try_from("chil://local/node/n").unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970() + lasts;
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        (cert.der().clone(), cert.pem(), key.serialize_pem())
    }

    fn write(&self, dir: &Path) {
        let (_, cert, key) = self.issue(Duration::from_secs(10_000));
        for (name, text) in [("crt", &cert), ("key", &key), ("ca", &self.1)] {
            std::fs::write(dir.join(name), text).unwrap();
        }
    }
}

fn since_1970() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap()
}

fn in_seconds(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(since_1970() + Duration::from_secs(seconds))
}

/// A clock that is so many seconds ahead.
#[derive(Debug, Default)]
struct Ahead(AtomicU64);

impl TimeProvider for Ahead {
    fn current_time(&self) -> Option<UnixTime> {
        Some(in_seconds(self.0.load(Ordering::Relaxed)))
    }
}

fn reloader(dir: &Path) -> (Reloader, Arc<Metrics>) {
    reloader_by(dir, Arc::new(WallClock))
}

fn reloader_by(dir: &Path, clock: Arc<dyn TimeProvider>) -> (Reloader, Arc<Metrics>) {
    let tls = Tls::files(dir.join("crt"), dir.join("key"), dir.join("ca"));
    let owner = Owner::Node("n".to_owned());
    let proof = Proof {
        trusted: Arc::new(Trusted::load(tls, owner, clock).unwrap()),
        live: Live::default(),
        looks: false,
    };
    let metrics = Arc::new(Metrics::new("n"));
    let (watch, (_, asked), (_, stopped)) = (Watch::new("n", &metrics), mpsc::channel(1), signal());
    (Reloader::new("n", &proof, watch, asked, stopped), metrics)
}

#[tokio::test]
async fn what_is_missing_for_a_moment_is_no_reason_for_an_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    authority.write(dir.path());
    let (mut reloader, metrics) = reloader(dir.path());
    let is_bad = || metrics.text().contains("chil_tls_reload_bad{node=\"n\"} 1");

    std::fs::remove_file(dir.path().join("crt")).unwrap();
    assert_eq!(reloader.look(false).await.unwrap(), Reloaded::Unchanged);
    assert!(!is_bad(), "it may be back soon");
    authority.write(dir.path());
    assert_eq!(reloader.look(false).await.unwrap(), Reloaded::Changed);

    std::fs::remove_file(dir.path().join("key")).unwrap();
    assert_eq!(reloader.look(false).await.unwrap(), Reloaded::Unchanged);
    let error = reloader.look(false).await.unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
    assert!(is_bad());
    authority.write(dir.path());
    assert_eq!(reloader.look(false).await.unwrap(), Reloaded::Changed);
    assert!(!is_bad());

    std::fs::remove_file(dir.path().join("ca")).unwrap();
    assert!(reloader.look(true).await.is_err(), "somebody has asked");
}

#[tokio::test]
async fn who_is_open_is_judged_again_when_time_is_over_or_trust_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    authority.write(dir.path());
    let (reloader, _) = reloader(dir.path());
    let live = &reloader.live;
    let open = |lasts: u64| {
        let (der, _, _) = authority.issue(Duration::from_secs(lasts));
        live.open(Entry {
            who: Arc::new(leaf::identity(&der).unwrap()),
            from: SocketAddr::from(([10, 0, 0, 1], u16::try_from(lasts).unwrap())),
            shown: Shown::ByCaller,
            chain: vec![der],
            generation: 1,
        })
    };
    let ((_short, told), (_long, still)) = (open(100), open(1_000));
    let cut = async |trust: &Trust, at| {
        let cut = live.review(trust, at).await;
        let ports = cut.iter().map(|cut| (cut.from.port(), cut.reason.code()));
        ports.collect::<Vec<_>>()
    };
    let trust = reloader.trusted.now();
    assert_eq!(cut(&trust, in_seconds(0)).await, []);
    assert_eq!(cut(&trust, in_seconds(200)).await, [(100, "expired")]);
    assert_eq!(told.now(), Stop::Now);
    assert_eq!(cut(&trust, in_seconds(200)).await, [], "it is told once");

    // Whoever is judged by another trust is judged anew, though all certificates hold.
    Authority::new("another").write(dir.path());
    let contents = reloader.trusted.changed().await.unwrap().unwrap();
    let other = reloader.trusted.replace(contents).unwrap();
    assert_eq!(still.now(), Stop::Run);
    let expected = [(1_000, "unknown-authority")];
    assert_eq!(cut(&other, in_seconds(0)).await, expected);
    assert_eq!(still.now(), Stop::Now);
}

#[tokio::test]
async fn one_that_cannot_be_read_is_always_judged() {
    let dir = tempfile::tempdir().unwrap();
    Authority::new("ours").write(dir.path());
    let (reloader, _) = reloader(dir.path());
    let identity = crate::identity::Identity::parse("chil://local/node/n").unwrap();
    let (_guard, told) = reloader.live.open(Entry {
        who: Arc::new(identity),
        from: SocketAddr::from(([10, 0, 0, 1], 1)),
        shown: Shown::ByCalled,
        chain: vec![CertificateDer::from(vec![0x30, 0])],
        generation: 1,
    });
    let trust = reloader.trusted.now();
    assert_eq!(reloader.live.review(&trust, in_seconds(0)).await.len(), 1);
    assert_eq!(told.now(), Stop::Now);
}

#[tokio::test]
async fn an_authority_is_believed_until_it_expires() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, leaving) = (Authority::new("ours"), Authority::lasting("leaving", 100));
    ours.write(dir.path());
    let both = format!("{}{}", ours.1, leaving.1);
    std::fs::write(dir.path().join("ca"), both).unwrap();
    let (reloader, _) = reloader(dir.path());
    let trust = reloader.trusted.now();
    let left = trust.authority_expires - in_seconds(0).as_secs();
    assert!((90..=100).contains(&left), "{left}");
    let (der, _, _) = leaving.issue(Duration::from_secs(10_000));
    let judged =
        |trust: &Trust| trust.judge(Shown::ByCaller, std::slice::from_ref(&der), in_seconds(0));
    assert!(judged(&trust).is_ok());
    // It stays as long as it holds, and goes when it is told to go.
    reloader.trusted.leave_out_expired().unwrap();
    assert_eq!(reloader.trusted.now().generation, 1);

    let expired = Authority::lasting("leaving", -100);
    let both = format!("{}{}", ours.1, expired.1);
    std::fs::write(dir.path().join("ca"), both).unwrap();
    let contents = reloader.trusted.changed().await.unwrap().unwrap();
    let trust = reloader.trusted.replace(contents).unwrap();
    assert_eq!(judged(&trust).unwrap_err().code(), "unknown-authority");
    std::fs::write(dir.path().join("ca"), expired.1).unwrap();
    let contents = reloader.trusted.changed().await.unwrap().unwrap();
    let error = reloader.trusted.replace(contents).unwrap_err().to_string();
    assert!(error.contains("authorities has expired on"), "{error}");
}

#[tokio::test]
async fn each_authority_is_warned_of_before_it_expires() {
    const DAY: u64 = 86_400;
    let dir = tempfile::tempdir().unwrap();
    let ours = Authority::lasting("ours", 50 * DAY as i64);
    let leaving = Authority::lasting("leaving", 100);
    ours.write(dir.path());
    std::fs::write(dir.path().join("ca"), format!("{}{}", ours.1, leaving.1)).unwrap();
    let clock = Arc::new(Ahead::default());
    let (_, cert, key) = ours.issue(Duration::from_secs(49 * DAY));
    std::fs::write(dir.path().join("crt"), cert).unwrap();
    std::fs::write(dir.path().join("key"), key).unwrap();
    let (mut reloader, _) = reloader_by(dir.path(), Arc::clone(&clock) as _);
    let mut said = Vec::new();
    for ahead in [0, 200, 10 * DAY, 25 * DAY, 45 * DAY] {
        clock.0.store(ahead, Ordering::Relaxed);
        reloader.review().await;
        said.push((reloader.trusted.now().generation, reloader.warned[1]));
    }
    let expected = [(1, 3), (2, 0), (2, 0), (2, 1), (2, 2)];
    assert_eq!(said, expected, "of each: 30 days, 7 days, a day before");
}
