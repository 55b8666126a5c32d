//! Discovery against real parts: the system's resolver, name servers, an API over HTTP.

mod name_server;
mod names;

#[cfg(feature = "kubernetes")]
mod api_server;
#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(feature = "kubernetes")]
mod manifest;
#[cfg(feature = "kubernetes")]
mod nodes;
#[cfg(feature = "dns-srv")]
mod srv;
