//! Bounds what is being received of requests, all together and for each who asks.
//! Knows nothing about what they say: it sees where a message begins and ends.
//!
//! A message counts from its first byte until it is whole; from then on admission counts it. So a
//! client that begins many messages and ends none of them takes up as much as is left for all, and
//! no more. What is read for an answer is held with it until the last of it has left HTTP/2.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;

use super::guard::no_room;
use super::room::{Held, Room};
use crate::caller::Caller;
use crate::net::flow::{PIECE, StreamFlow};

/// Bytes of a message's flag and length (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// Bytes of answers that are not worth counting: a stream takes up more.
const UNCOUNTED: usize = 1 << 10;

/// A service whose requests' bodies are counted.
#[derive(Clone, Debug)]
pub(crate) struct Metered<S> {
    pub(crate) service: S,
    pub(crate) receiving: Room,
    /// For answers that are not taken.
    pub(crate) answers: Room,
}

impl<S: NamedService> NamedService for Metered<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Metered<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<S::Response, Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let caller = request.extensions().get::<Caller>();
        let flow = caller.map_or_else(Arc::default, |caller| Arc::clone(&caller.flow));
        let held = self.receiving.held_by(caller);
        let operates = caller.is_some_and(Caller::is_operator);
        let answers = (!operates).then(|| self.answers.held_by(caller));
        let request = request.map(|body| {
            Body::new(MeteredBody {
                body,
                message: Message::default(),
                held,
            })
        });
        let answering = self.service.call(request);
        Box::pin(async move {
            let (mut head, body) = answering.await?.into_parts();
            let body = AnswerBody {
                body,
                flow: StreamFlow::new(flow),
                rest: Bytes::new(),
                is_large: false,
                ahead: answers,
                held: head.extensions.remove::<Arc<Held>>(),
            };
            Ok(http::Response::from_parts(head, Body::new(body)))
        })
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
    message: Message,
    /// What it has taken of what all may have.
    held: Held,
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
            if !self.held.hold(part) {
                return Poll::Ready(Some(Err(no_room("receiving"))));
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

/// An answer's body, cut into pieces that are handed on as the connection takes them.
struct AnswerBody {
    body: Body,
    flow: StreamFlow,
    /// What is left of a part of it.
    rest: Bytes,
    /// Whether that is larger than a piece. Then pieces are copies: one that waits at HTTP/2 would
    /// keep all of it.
    is_large: bool,
    /// What that takes up, where nothing else counts it. Operators get theirs when clients have
    /// taken all room.
    ahead: Option<Held>,
    /// What all of it takes up until the last of it is gone.
    held: Option<Arc<Held>>,
}

impl AnswerBody {
    /// The next part, of one answer or of many that were there together.
    fn takes(&mut self, data: Bytes) -> Result<(), Status> {
        let counts = self.held.is_none() && data.len() > UNCOUNTED;
        let bytes = data.len() as u64;
        if counts && self.ahead.as_mut().is_some_and(|it| !it.hold(bytes)) {
            return Err(no_room("answers"));
        }
        (self.is_large, self.rest) = (data.len() > PIECE, data);
        Ok(())
    }

    /// The last of it. As an error of the body, HTTP/2 would reset the stream and tell nobody why.
    fn ends_with(&mut self, status: &Status) -> Result<Frame<Bytes>, Status> {
        self.body = Body::empty();
        let mut trailers = http::HeaderMap::new();
        status.add_header(&mut trailers)?;
        Ok(Frame::trailers(trailers))
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.rest.is_empty() {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                return Poll::Ready(None);
            };
            match frame?.into_data() {
                Ok(data) => {
                    if let Err(refused) = self.takes(data) {
                        return Poll::Ready(Some(Ok(self.ends_with(&refused)?)));
                    }
                }
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        ready!(self.flow.poll_room(cx));
        let len = self.rest.len().min(PIECE);
        let mut piece = self.rest.split_to(len);
        if self.is_large {
            piece = Bytes::copy_from_slice(&piece);
        }
        piece = self.flow.hands(piece, self.held.clone());
        if self.rest.is_empty() {
            self.ahead.as_mut().map(|ahead| ahead.hold(0));
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

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

    /// All at once.
    struct Whole(Option<Bytes>);

    impl http_body::Body for Whole {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_none()
        }
    }

    #[test]
    fn an_answer_is_handed_on_in_pieces_and_no_further_than_it_is_taken() {
        use http_body::Body as _;

        let room = Room::new("answers", 50 << 20, Arc::new(Metrics::new("n")));
        let text = Bytes::from(vec![7; 24 << 20]);
        let whole = Body::new(Whole(Some(text.clone())));
        let mut body = AnswerBody {
            body: whole,
            flow: StreamFlow::new(Arc::default()),
            rest: Bytes::new(),
            is_large: false,
            ahead: Some(room.held_by(None)),
            held: None,
        };
        // Until the last of it is handed on, others have that much less.
        let fits = |bytes| room.held_by(None).hold(bytes);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (mut got, mut ahead) = (Vec::new(), Vec::new());
        let mut stops = 0;
        while got.len() < text.len() {
            match Pin::new(&mut body).poll_frame(&mut cx) {
                Poll::Ready(frame) => {
                    let piece = frame.unwrap().unwrap().into_data().unwrap();
                    assert!(piece.len() <= PIECE);
                    got.extend(&piece);
                    ahead.push(piece);
                }
                Poll::Pending => {
                    stops += 1;
                    assert!(fits(2 << 20) && !fits((2 << 20) + 1));
                    ahead.drain(..(1 << 20) / PIECE);
                }
            }
        }
        assert!(got == text && body.is_end_stream());
        assert!((4..9).contains(&stops), "{stops}");
        assert!(fits(50 << 20), "all of it is gone");
    }

    #[test]
    fn an_answer_that_there_is_no_room_for_ends_with_the_reason_but_not_an_operators() {
        use http_body::Body as _;

        let room = Room::new("answers", 4_000, Arc::new(Metrics::new("n")));
        let answer = |ahead| AnswerBody {
            body: Body::new(Whole(Some(Bytes::from(vec![7; 4_001])))),
            flow: StreamFlow::new(Arc::default()),
            rest: Bytes::new(),
            is_large: false,
            ahead,
            held: None,
        };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut next = |body: &mut AnswerBody| match Pin::new(body).poll_frame(&mut cx) {
            Poll::Ready(frame) => frame.map(Result::unwrap),
            Poll::Pending => panic!("nobody is ahead"),
        };
        let mut refused = answer(Some(room.held_by(None)));
        let last = next(&mut refused).unwrap().into_trailers().unwrap();
        let status = Status::from_header_map(&last).unwrap();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
        assert!(status.message().contains("(answers)"), "{status}");
        assert!(next(&mut refused).is_none());
        let mut told = answer(None);
        assert_eq!(next(&mut told).unwrap().into_data().unwrap().len(), 4_001);
    }
}
