//! Whom a node that calls others believes: those who answer have to be who they should be.
//! Knows nothing about who calls it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use rcgen::ExtendedKeyUsagePurpose;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::fmt::MakeWriter;

use chil::{KeyValue, Node, Tls};

use super::counts;
use super::pki::{Authority, Shown, Wish};
use super::stranger::acceptor;
use crate::cluster::PATIENCE;

/// Log lines of this thread, on which a test and all its nodes run.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    /// All lines from now on, until the second result is dropped.
    pub(super) fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        // Where there is but one subscriber, tracing believes the thread that comes to a line first
        // whether anybody wants it: another test's, on which nobody does.
        static OTHER: OnceLock<Dispatch> = OnceLock::new();
        OTHER.get_or_init(|| Dispatch::new(NoSubscriber::new()));
        let lines = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
            .with_writer(lines.clone())
            .with_ansi(false)
            .finish();
        let listening = tracing::subscriber::set_default(subscriber);
        (lines, listening)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Waits until a line says that, with all else that has been said.
    pub(super) async fn say(&self, what: &str) -> String {
        let waiting = async {
            while !self.text().contains(what) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "nothing says '{what}':\n{}", self.text());
        self.text()
    }
}

#[test]
fn lines_are_heard_though_another_thread_comes_to_them_first() {
    let line = || tracing::info!("a line of two threads");
    let (lines, _listening) = Lines::listen();
    std::thread::scope(|scope| scope.spawn(line).join()).unwrap();
    line();
    assert_eq!(lines.text().matches("a line of two threads").count(), 1);
}

/// Who answers where the node calls.
enum Answers {
    With(Box<Shown>),
    InPlaintext,
    Never,
}

/// Answers until the test ends.
fn answer(listener: TcpListener, answers: Answers) {
    let acceptor: Option<TlsAcceptor> = match &answers {
        Answers::With(shown) => Some(acceptor(shown)),
        Answers::InPlaintext | Answers::Never => None,
    };
    let silent = matches!(answers, Answers::Never);
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if silent {
                held.push(stream);
                continue;
            }
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 1_024];
                match acceptor {
                    // Whether the node goes on is what the test is about.
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(mut stream) => {
                            while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
                        }
                        Err(error) => drop(error),
                    },
                    None => {
                        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await);
                        while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
                    }
                }
            });
        }
    });
}

/// A node that calls its one peer.
async fn caller(tls: Tls, peer: String, data: &Path) -> Node<KeyValue> {
    let caller = Node::builder("caller")
        .bind("127.0.0.1:0")
        .tls(tls)
        .peers([peer])
        .data_dir(data)
        .state_machine(KeyValue::default());
    caller.start().await.unwrap()
}

#[tokio::test]
async fn who_answers_has_to_be_the_node_that_was_called() {
    let (lines, _listening) = Lines::listen();
    let (ca, other) = (Authority::new("ours"), Authority::new("other"));
    let node = |name: &str| Wish::of(&[&format!("chil://local/node/{name}")]);
    let with = |shown: Shown| Answers::With(Box::new(shown));
    let rows = [
        (
            with(ca.node("third")),
            "'third' answers where 'peer' was called",
            "other-name",
        ),
        (
            with(ca.issue(&Wish::of(&["chil://local/write/peer"]))),
            "is a client, and clients are never peers",
            "client-as-peer",
        ),
        (
            with(other.node("peer")),
            "no authority in this side's ca_file",
            "unknown-authority",
        ),
        (
            with(ca.issue(&node("peer").only(ExtendedKeyUsagePurpose::ClientAuth))),
            "is for another use",
            "purpose",
        ),
        (
            with(ca.issue(&node("peer").within(-500, -100))),
            "its certificate has expired",
            "expired",
        ),
        (
            with(ca.issue(&Wish::of(&["chil://elsewhere/node/peer"]))),
            "it is of the domain 'elsewhere'",
            "other-domain",
        ),
        (Answers::InPlaintext, "it speaks no TLS", "plaintext"),
        (
            Answers::Never,
            "it does not finish its handshake within",
            "handshake-timeout",
        ),
    ];
    let mut seen = BTreeSet::new();
    for (answers, text, code) in rows {
        assert!(seen.insert(text));
        let dir = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = format!("peer={}", listener.local_addr().unwrap());
        answer(listener, answers);
        let tls = ca.node("caller").tls(&dir.path().join("tls"), &[&ca]);
        let caller = caller(tls, peer, &dir.path().join("data")).await;
        let said = lines.say(text).await;
        let warns = |line: &str| line.contains("WARN") && line.contains("does not reach a peer");
        let warned = said.lines().any(|line| warns(line) && line.contains(text));
        assert!(warned, "{text}: nobody is told:\n{said}");
        counts(&caller, "dials_refused", code, 1).await;
        drop(caller);
    }
}

#[tokio::test]
async fn a_node_that_is_refused_learns_why() {
    let (lines, _listening) = Lines::listen();
    let (ca, other) = (Authority::new("ours"), Authority::new("other"));
    let dir = tempfile::tempdir().unwrap();
    let called = super::alone(dir.path(), &ca).await;
    // It believes the other one, and is not believed.
    let tls = other
        .node("caller")
        .tls(&dir.path().join("caller"), &[&other, &ca]);
    let peer = format!("alone={}", super::address(&called));
    let _caller = caller(tls, peer, &dir.path().join("data-of-caller")).await;
    lines
        .say("the other side refuses this side's certificate")
        .await;
    let said = lines.say("unknown-authority").await;
    let audit = said.lines().find(|line| line.contains("chil::audit"));
    let audit = audit.expect("a line of the audit says it");
    assert!(audit.contains("refused: no authority"), "{audit}");
    assert!(audit.contains("node=alone"), "{audit}");
}
