//! Stands in front of all services: whoever calls has to be allowed to.
//! Knows nothing about what a method does.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tower::Layer;

use super::roles::{Needs, needs};
use crate::caller::Caller;
use crate::identity::{Kind, shown};
use crate::net::watch::Watch;

/// Puts a [`Guard`] in front of services.
#[derive(Clone, Debug)]
pub(crate) struct Guarded(pub(crate) Watch);

impl<S> Layer<S> for Guarded {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard {
            inner,
            watch: self.0.clone(),
        }
    }
}

/// Lets pass what is allowed.
#[derive(Clone, Debug)]
pub(crate) struct Guard<S> {
    inner: S,
    watch: Watch,
}

impl<S> Service<http::Request<Body>> for Guard<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let allowed = match request.extensions().get::<Caller>() {
            Some(caller) => {
                caller.asks();
                self.check(caller, request.uri().path())
            }
            None => Err(Status::internal(
                "nobody knows who asks: that is a mistake of the node",
            )),
        };
        match allowed {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(status) => Box::pin(async move { Ok(status.into_http()) }),
        }
    }
}

impl<S> Guard<S> {
    fn check(&self, caller: &Caller, path: &str) -> Result<(), Status> {
        let Some(who) = caller.identity() else {
            return Ok(());
        };
        let Some((method, needs)) = needs(path) else {
            return Err(Status::unimplemented("no service here has this method"));
        };
        // A name may hold anything, and this goes into logs and onto terminals.
        let name = shown(who.name());
        let text = match (needs, who.kind()) {
            (Needs::Node, Kind::Node) => return Ok(()),
            (Needs::Client(role), Kind::Client(own)) if own >= role => return Ok(()),
            (Needs::Node, Kind::Client(_)) => {
                format!("'{name}' is a client, and clients are never peers")
            }
            (Needs::Client(_), Kind::Node) => {
                format!(
                    "'{name}' is a node: {method} is for clients, which have certificates of their own"
                )
            }
            (Needs::Client(role), Kind::Client(own)) => format!(
                "'{name}' has the role {own}, and {method} needs {role}: `chil cert issue client \
                 {name} --role {role}` makes such a certificate"
            ),
        };
        self.watch.denied(caller.party(), (method, &text));
        Err(Status::permission_denied(text))
    }
}
