//! The page on which a node shows what it has counted, to whoever asks for it by plain HTTP.
//! Knows nothing about what is counted, nor about the address that peers and clients use.
//!
//! It is read by anybody who reaches it, and says nothing that would have to be kept from them but
//! how busy the node is: labels are reasons, sides and lanes, and the node's own name. So it needs
//! no `insecure`, which allows that anybody *does* something. What strangers can cost is bounded:
//! in connections, in the size of what they send, in time.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::Metrics;
use crate::error::StartError;
use crate::net::listen::Listener;
use crate::shutdown::Stopped;

const PATH: &str = "/metrics";
/// What Prometheus asks for first, and takes what it gets for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
/// Connections at a time; who comes beyond that waits for one to end.
const CONNECTIONS_MAX: usize = 8;
/// From a connection's first byte to the last of its only answer.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// A request's line and headers; hyper takes no less than this.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// A page that nobody is served yet.
#[derive(Debug)]
pub(crate) struct Page {
    listener: TcpListener,
    local_addr: SocketAddr,
}

impl Page {
    /// Listens, if there is to be a page.
    pub(crate) async fn bind(address: Option<&str>) -> Result<Option<Self>, StartError> {
        let Some(address) = address else {
            return Ok(None);
        };
        let failed = |source| StartError::Metrics {
            address: address.to_owned(),
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        Ok(Some(Self {
            listener,
            local_addr,
        }))
    }

    /// Where it is.
    pub(crate) const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers until the node ends; while it drains, it still counts.
    pub(crate) async fn serve(self, metrics: Arc<Metrics>, mut stopped: Stopped) {
        tracing::info!(
            open = !self.local_addr.ip().is_loopback(),
            "shows metrics on http://{}{PATH}",
            self.local_addr
        );
        let mut answering = FuturesUnordered::new();
        let mut listener = Listener::new(self.listener, "for metrics");
        loop {
            tokio::select! {
                biased;
                // What is being answered is dropped with this, and its connections close.
                () = stopped.at_once() => return,
                Some(()) = answering.next() => {}
                accepted = listener.next(), if answering.len() < CONNECTIONS_MAX => {
                    answering.push(answer(accepted.0, &metrics));
                }
            }
        }
    }
}

/// One request, one answer: connections that are kept open would take the few places.
async fn answer(stream: TcpStream, metrics: &Metrics) {
    let service = service_fn(|request| ready(Ok::<_, Infallible>(response(&request, metrics))));
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(REQUEST_MAX, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a request for metrics failed"),
        Err(_) => tracing::debug!("a request for metrics took longer than {REQUEST_MAX:?}"),
    }
}

fn response<B>(request: &Request<B>, metrics: &Metrics) -> Response<String> {
    if request.uri().path() != PATH {
        let hint = format!("there is nothing here: the metrics are at {PATH}\n");
        return text(StatusCode::NOT_FOUND, PLAIN_TEXT, hint);
    }
    if request.method() != Method::GET {
        let hint = format!("the metrics can only be read: GET {PATH}\n");
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, PLAIN_TEXT, hint);
        let headers = refused.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
        return refused;
    }
    text(StatusCode::OK, OPEN_METRICS, metrics.text())
}

fn text(status: StatusCode, kind: &'static str, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::shutdown::{Stop, Stopper, signal};

    async fn started() -> (SocketAddr, Stopper, JoinHandle<()>) {
        let page = Page::bind(Some("127.0.0.1:0")).await.unwrap().unwrap();
        let (address, (stopper, stopped)) = (page.local_addr(), signal());
        let serving = tokio::spawn(page.serve(Arc::new(Metrics::new("n")), stopped));
        (address, stopper, serving)
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn it_says_what_is_counted_and_where_that_is() {
        let (address, _stopper, _) = started().await;
        let found = ask(address, "GET /metrics?x=1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(found.starts_with("HTTP/1.1 200 OK\r\n"), "{found}");
        for part in [
            "\r\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n",
            "\r\nconnection: close\r\n",
            "chil_requests_in_flight{node=\"n\"} 0\n",
        ] {
            assert!(found.contains(part), "{part:?} is not in\n{found}");
        }
        assert!(found.ends_with("# EOF\n"), "{found}");
        let elsewhere = ask(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
        assert!(
            elsewhere.contains("the metrics are at /metrics"),
            "{elsewhere}"
        );
        let posted = "POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
        let posted = ask(address, posted).await;
        assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");
        assert!(posted.contains("\r\nallow: GET\r\n"), "{posted}");
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_refused() {
        let (address, _stopper, _) = started().await;
        let head = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n", "y".repeat(9_000));
        let refused = ask(address, &head).await;
        assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
    }

    #[tokio::test]
    async fn silent_connections_hold_others_up_for_a_while_only() {
        let (address, _stopper, _) = started().await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let begun = tokio::time::Instant::now();
        let found = ask(address, "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(found.starts_with("HTTP/1.1 200 OK\r\n"), "{found}");
        let waited = begun.elapsed();
        assert!(waited > REQUEST_MAX / 2, "a ninth had a place: {waited:?}");
        assert!(waited < REQUEST_MAX * 2, "{waited:?}");
    }

    #[tokio::test]
    async fn it_ends_with_the_node_whoever_is_connected() {
        let (address, stopper, serving) = started().await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let found = ask(address, "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(found.ends_with("# EOF\n"), "{found}");
        stopper.tell(Stop::Now);
        serving.await.unwrap();
        assert_eq!(
            silent.read(&mut [0]).await.ok().filter(|read| *read > 0),
            None
        );
        TcpListener::bind(address).await.expect("the port is free");
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_said_to_be_the_settings() {
        let (address, _stopper, _) = started().await;
        let error = Page::bind(Some(&address.to_string())).await.unwrap_err();
        let error = error.to_string();
        let expected = format!("metrics.address: cannot listen on {address}: ");
        assert!(error.starts_with(&expected), "{error}");
    }
}
