//! Bounds what is being received of clients' requests, all together and for each client.
//! Knows nothing about what they say: it sees where a message begins and ends.
//!
//! A message counts from its first byte until it is whole; from then on admission counts it. So a
//! client that begins many messages and ends none of them takes up as much as is left for all, and
//! no more.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;

use super::guard::no_room;
use crate::caller::Caller;
use crate::metrics::Metrics;

/// Bytes of a message's flag and length (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// What is being received by one node.
#[derive(Clone, Debug)]
pub(crate) struct Receiving(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    held: Mutex<Held>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Held {
    most: u64,
    all: u64,
    by_client: BTreeMap<Arc<str>, u64>,
}

impl Receiving {
    /// Nothing yet, and at most so many bytes at a time.
    pub(crate) fn new(most: u64, metrics: Arc<Metrics>) -> Self {
        let held = Mutex::new(Held {
            most,
            all: 0,
            by_client: BTreeMap::new(),
        });
        Self(Arc::new(Shared { held, metrics }))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Every change leaves it whole, so a panic elsewhere does not spoil it.
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Takes room for more of a client, unless that has as much as is left for all.
    fn take(&mut self, client: &Arc<str>, bytes: u64) -> bool {
        let own = self.by_client.get(client).copied().unwrap_or(0);
        if own + bytes > self.most.saturating_sub(self.all) {
            return false;
        }
        self.all += bytes;
        *self.by_client.entry(Arc::clone(client)).or_default() += bytes;
        true
    }

    fn give_back(&mut self, client: &Arc<str>, bytes: u64) {
        self.all -= bytes;
        let own = self.by_client.get_mut(client);
        let left = own.map_or(0, |own| {
            *own -= bytes;
            *own
        });
        if left == 0 {
            self.by_client.remove(client);
        }
    }
}

/// A service whose requests' bodies are counted.
#[derive(Clone, Debug)]
pub(crate) struct Metered<S> {
    pub(crate) service: S,
    pub(crate) receiving: Receiving,
}

impl<S: NamedService> NamedService for Metered<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Metered<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let client = request.extensions().get::<Caller>().map(Caller::key);
        let receiving = self.receiving.clone();
        let request = request.map(|body| {
            Body::new(MeteredBody {
                body,
                client: client.unwrap_or_default().into(),
                receiving,
                message: Message::default(),
                held: 0,
            })
        });
        self.service.call(request)
    }
}

/// How much of a message is there.
#[derive(Clone, Copy, Debug, Default)]
struct Message {
    prefix: [u8; PREFIX],
    /// How much of that is there.
    prefix_len: usize,
    /// How much of what it announces is missing.
    missing: u64,
    /// How much of it is there.
    got: u64,
}

impl Message {
    /// More of the stream of messages. Returns how much there is of one that is not whole.
    fn more(&mut self, mut data: impl Buf) -> u64 {
        while data.has_remaining() {
            if self.prefix_len < PREFIX {
                let some = data.remaining().min(PREFIX - self.prefix_len);
                let end = self.prefix_len + some;
                data.copy_to_slice(&mut self.prefix[self.prefix_len..end]);
                self.prefix_len = end;
                self.got += some as u64;
                let [_, a, b, c, d] = self.prefix;
                self.missing = u32::from_be_bytes([a, b, c, d]).into();
            } else {
                let len = usize::try_from(self.missing).unwrap_or(usize::MAX);
                let some = data.remaining().min(len);
                data.advance(some);
                self.missing -= some as u64;
                self.got += some as u64;
            }
            if self.prefix_len == PREFIX && self.missing == 0 {
                *self = Self::default();
            }
        }
        self.got
    }
}

/// A request's body, counted while it comes.
struct MeteredBody {
    body: Body,
    client: Arc<str>,
    receiving: Receiving,
    message: Message,
    /// What it has taken of what all may have.
    held: u64,
}

impl http_body::Body for MeteredBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        let frame = frame?;
        if let Some(data) = frame.data_ref() {
            let part = self.message.more(data.clone());
            if !self.hold(part) {
                self.receiving.0.metrics.admission.refused("receiving");
                return Poll::Ready(Some(Err(no_room())));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl MeteredBody {
    /// Has so much, and not what it had before.
    fn hold(&mut self, bytes: u64) -> bool {
        let mut held = self.receiving.lock();
        if bytes <= self.held {
            held.give_back(&self.client, self.held - bytes);
        } else if !held.take(&self.client, bytes - self.held) {
            return false;
        }
        drop(held);
        self.held = bytes;
        true
    }
}

impl Drop for MeteredBody {
    fn drop(&mut self) {
        let _ = self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(len: u32, there: usize) -> Bytes {
        let mut bytes = vec![0];
        bytes.extend(len.to_be_bytes());
        bytes.extend(vec![7; there]);
        bytes.into()
    }

    #[test]
    fn only_what_is_not_whole_counts_however_it_is_cut() {
        for cut in 1..12 {
            let mut state = Message::default();
            let mut stream = message(4, 4).to_vec();
            stream.extend(message(0, 0));
            stream.extend(message(100, 3));
            let counts: Vec<u64> = stream.chunks(cut).map(|part| state.more(part)).collect();
            assert_eq!(counts.last(), Some(&8), "{counts:?}");
            assert!(counts.iter().all(|count| *count < 9), "{counts:?}");
        }
        let mut state = Message::default();
        assert_eq!(state.more(message(u32::MAX, 1).as_ref()), 6);
    }

    #[test]
    fn a_client_gets_no_more_than_is_left_for_all_and_gives_all_of_it_back() {
        let receiving = Receiving::new(100, Arc::new(Metrics::new("n")));
        let body = |client: &str| MeteredBody {
            body: Body::empty(),
            client: client.into(),
            receiving: receiving.clone(),
            message: Message::default(),
            held: 0,
        };
        let (mut one, mut same, mut other) = (body("a"), body("a"), body("b"));
        assert!(one.hold(50) && !same.hold(1) && !one.hold(51));
        assert!(other.hold(25) && !other.hold(26));
        assert!(one.hold(10) && same.hold(20) && !same.hold(60));
        drop((one, same, other));
        let held = receiving.lock();
        assert_eq!((held.all, held.by_client.len()), (0, 0));
    }
}
