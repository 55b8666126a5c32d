//! Requests to the Kubernetes API, each over a connection of its own, with the pod's credentials.
//! Knows nothing about what is asked, nor what an answer means.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::watch::Answer;
use super::wire::{self, Lines};
use crate::config::is_loopback;
use crate::discovery::{Lookup, SystemLookup};
use crate::net::transport::chain;

/// Where a pod finds its credentials.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Where a pod finds the API.
const API: &str = "https://kubernetes.default.svc";
/// How long a connection, and then an answer's beginning, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A stream that sends nothing for so long is dead: the API ends it sooner. Going on behind what
/// was said last is cheap, and a stream that died with a machine must not be believed for long.
const SILENCE: Duration = Duration::from_secs(75);
const STREAM_SECONDS: u64 = 60;
/// Largest page of a list, and largest body of a refusal.
const PAGE_BYTES_MAX: usize = 16 << 20;
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// Which service is watched, and where the API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesOptions {
    /// The API: `https://host:port`, or `http://..`, for example of `kubectl proxy` beside it.
    pub api: String,
    /// The namespace of the service; `None`: the pod's own.
    pub namespace: Option<String>,
    /// The service whose EndpointSlices say where the peers are.
    pub service: String,
    /// Which of its ports is the peers'; without one, its only port.
    pub port_name: Option<String>,
    /// The token that is shown to the API.
    pub token_file: PathBuf,
    /// Whose certificate the API's must be.
    pub ca_file: PathBuf,
    /// After so long without a sign of life a stream is opened anew.
    pub silence: Duration,
    /// How long looking up the API's host may take.
    pub timeout: Duration,
}

impl KubernetesOptions {
    /// For a pod, with what Kubernetes gives each one.
    #[must_use]
    pub fn in_cluster(service: impl Into<String>) -> Self {
        let account = Path::new(ACCOUNT);
        Self {
            api: API.to_owned(),
            namespace: None,
            service: service.into(),
            port_name: None,
            token_file: account.join("token"),
            ca_file: account.join("ca.crt"),
            silence: SILENCE,
            timeout: Duration::from_secs(2),
        }
    }

    /// Where the pod's own namespace is written.
    fn namespace_file(&self) -> PathBuf {
        self.token_file.with_file_name("namespace")
    }
}

/// What a request needs besides itself. Read for each one: files are replaced.
pub(super) struct Credentials {
    pub(super) namespace: String,
    token: Option<HeaderValue>,
}

/// The API of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) options: KubernetesOptions,
    lookup: SystemLookup,
}

/// What stands in for the text of a failure.
pub(super) type Words = String;

impl Api {
    pub(super) fn new(options: KubernetesOptions) -> Self {
        let lookup = SystemLookup::new(options.timeout);
        Self { options, lookup }
    }

    pub(super) async fn credentials(&self) -> Result<Credentials, Words> {
        let options = self.options.clone();
        let reading = tokio::task::spawn_blocking(move || options.credentials());
        let read = timeout(CONNECT_TIMEOUT, reading).await;
        let read = read.map_err(|_| "its credentials cannot be read in time".to_owned())?;
        read.map_err(|error| error.to_string())?
    }

    /// A page of the list of all slices.
    pub(super) async fn list(&self, with: &Credentials, from: Option<&str>) -> Answer {
        let from = from.map_or_else(String::new, |from| format!("&continue={}", escaped(from)));
        let query = format!("limit=500{from}");
        let listing = async {
            let mut reply = self.get(with, &query).await?;
            if reply.status != StatusCode::OK {
                return Ok(reply.refusal().await);
            }
            let body = reply.whole(PAGE_BYTES_MAX).await?;
            Ok(wire::page(&body, self.options.port_name.as_deref()))
        };
        let listed = timeout(ANSWER_TIMEOUT, listing).await;
        let listed = listed.unwrap_or_else(|_| Err("it does not answer".to_owned()));
        listed.unwrap_or_else(Answer::Broken)
    }

    /// Opens the stream of what changes from `version` on.
    pub(super) async fn watch(&self, with: &Credentials, version: &str) -> Result<Events, Answer> {
        let query = format!(
            "watch=true&allowWatchBookmarks=true&timeoutSeconds={STREAM_SECONDS}\
             &resourceVersion={}",
            escaped(version)
        );
        let opening = timeout(ANSWER_TIMEOUT, self.get(with, &query)).await;
        let opening = opening.unwrap_or_else(|_| Err("it does not answer".to_owned()));
        let reply = opening.map_err(Answer::Broken)?;
        if reply.status != StatusCode::OK {
            return Err(reply.refusal().await);
        }
        Ok(Events {
            reply,
            lines: Lines::default(),
            ready: Vec::new().into_iter(),
            silence: self.options.silence,
            port_name: self.options.port_name.clone(),
        })
    }

    async fn get(&self, with: &Credentials, query: &str) -> Result<Reply, Words> {
        let path = format!(
            "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices\
             ?labelSelector=kubernetes.io%2Fservice-name%3D{}&{query}",
            escaped(&with.namespace),
            escaped(&self.options.service)
        );
        let base: Uri = self
            .options
            .api
            .parse()
            .map_err(|e| format!("its address: {e}"))?;
        let authority = base.authority().ok_or("its address has no host")?;
        let mut request = Request::get(path)
            .header(HOST, authority.as_str())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("chil/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &with.token {
            if base.scheme_str() != Some("https") && !is_loopback(authority.host()) {
                return Err(
                    "it is asked by http:// beyond this machine, where others can read the token: \
                     use https://, or `kubectl proxy` on loopback"
                        .to_owned(),
                );
            }
            request = request.header(AUTHORIZATION, token.clone());
        }
        let request = request.body(Empty::new()).map_err(|e| e.to_string())?;
        let connecting = timeout(CONNECT_TIMEOUT, self.connect(&base)).await;
        let io = connecting.map_err(|_| format!("{authority} does not answer"))??;
        let shaken = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(io)).await;
        let (mut sender, connection) = shaken.map_err(|e| chain(&e))?;
        let connection = Cut(tokio::spawn(connection).abort_handle());
        let sent = sender.send_request(request).await;
        let (head, body) = sent.map_err(|e| chain(&e))?.into_parts();
        Ok(Reply {
            status: head.status,
            retry_after: retry_after(&head.headers),
            body,
            _connection: connection,
        })
    }

    async fn connect(&self, base: &Uri) -> Result<Box<dyn Io>, Words> {
        let secure = match base.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("its address must begin with https:// or http://".to_owned()),
        };
        let host = base.host().unwrap_or_default();
        let port = base.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = self.lookup.lookup(bare, port).await;
        let mut last = "it has no address".to_owned();
        for at in found.map_err(|error| error.to_string())? {
            match TcpStream::connect(at).await {
                Ok(stream) if secure => {
                    return super::tls::connect(stream, bare, &self.options.ca_file).await;
                }
                Ok(stream) => return Ok(Box::new(stream)),
                Err(error) => last = format!("{at}: {error}"),
            }
        }
        Err(last)
    }
}

impl KubernetesOptions {
    fn credentials(&self) -> Result<Credentials, Words> {
        let named = |file: &Path, error: io::Error| format!("{}: {error}", file.display());
        let namespace = match &self.namespace {
            Some(namespace) => namespace.clone(),
            None => {
                let file = self.namespace_file();
                let read = fs::read_to_string(&file).map_err(|error| {
                    format!(
                        "its namespace is unknown ({}): set discovery.kubernetes.namespace",
                        named(&file, error)
                    )
                })?;
                read.trim().to_owned()
            }
        };
        let token = match fs::read_to_string(&self.token_file) {
            Ok(token) => {
                let header = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
                // The error holds no part of the token, and must not.
                let no_token = |_| format!("{}: holds no token", self.token_file.display());
                let mut header = header.map_err(no_token)?;
                header.set_sensitive(true);
                Some(header)
            }
            // `kubectl proxy` needs none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(named(&self.token_file, error)),
        };
        Ok(Credentials { namespace, token })
    }
}

/// A connection, encrypted or not.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Ends a task with whoever needed it.
struct Cut(AbortHandle);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer whose body is still to come.
struct Reply {
    status: StatusCode,
    retry_after: Option<chil_core::Span>,
    body: Incoming,
    _connection: Cut,
}

impl Reply {
    /// The next bytes of the body; `None` at its end.
    async fn piece(&mut self) -> Result<Option<Bytes>, Words> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(chain(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    async fn whole(&mut self, bytes_max: usize) -> Result<Vec<u8>, Words> {
        let mut whole = Vec::new();
        while let Some(piece) = self.piece().await? {
            if whole.len() + piece.len() > bytes_max {
                return Err(format!("its answer is larger than {bytes_max} bytes"));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    async fn refusal(mut self) -> Answer {
        let body = timeout(CONNECT_TIMEOUT, self.whole(REFUSAL_BYTES_MAX)).await;
        // The status suffices.
        let body = body.unwrap_or_else(|_| Ok(Vec::new())).unwrap_or_default();
        wire::refusal(self.status.as_u16(), self.retry_after, &body)
    }
}

/// A stream of changes.
pub(super) struct Events {
    reply: Reply,
    lines: Lines,
    ready: std::vec::IntoIter<Vec<u8>>,
    silence: Duration,
    port_name: Option<String>,
}

impl Events {
    /// What is said next. [`Answer::Ended`], `Broken` and `Refused` are the last.
    pub(super) async fn next(&mut self) -> Answer {
        loop {
            if let Some(line) = self.ready.next() {
                return wire::event(&line, self.port_name.as_deref());
            }
            let piece = match timeout(self.silence, self.reply.piece()).await {
                Err(_) => {
                    return Answer::Broken(format!("its stream is silent for {:?}", self.silence));
                }
                Ok(Err(words)) => return Answer::Broken(words),
                Ok(Ok(None)) if self.lines.is_cut() => {
                    return Answer::Broken("its stream ended within a line".to_owned());
                }
                Ok(Ok(None)) => return Answer::Ended,
                Ok(Ok(Some(piece))) => piece,
            };
            match self.lines.push(&piece) {
                Some(lines) => self.ready = lines.into_iter(),
                None => return Answer::Broken("it sends a line without end".to_owned()),
            }
        }
    }
}

/// Seconds; a date would need a calendar, and the API sends none.
fn retry_after(headers: &HeaderMap) -> Option<chil_core::Span> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    seconds.ok().map(wire::seconds_span)
}

/// As part of a query: letters and digits as they are, the rest as `%XX`.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_goes_to_nobody_by_whom_others_could_read_it() {
        let api = Api::new(KubernetesOptions {
            api: "http://10.255.255.1:80".to_owned(),
            ..KubernetesOptions::in_cluster("chil")
        });
        let credentials = Credentials {
            namespace: "default".to_owned(),
            token: Some(HeaderValue::from_static("Bearer secret")),
        };
        let Answer::Broken(words) = api.list(&credentials, None).await else {
            panic!("it is asked");
        };
        assert!(words.contains("use https://"), "{words}");
        for (host, expected) in [
            ("localhost", true),
            ("[::1]", true),
            ("127.0.3.4", true),
            ("10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}
