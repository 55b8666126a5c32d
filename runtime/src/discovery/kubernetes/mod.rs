//! Discovery by Kubernetes: where the pods of a service are, from a watch of its EndpointSlices.
//! Knows nothing about members: a pod's name is the first label of a peer's host, and no more.

mod api;
mod slice;
mod tls;
mod watch;
#[cfg(test)]
mod watch_tests;
mod wire;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use self::api::Api;
pub use self::api::KubernetesOptions;
use self::slice::Endpoint;
use self::watch::{Answer, Ask, Watch};
use super::names::host_and_port;
use super::places::Places;
use super::{Resolve, ResolveError, Tried, first_label};
use crate::clock::{SystemClock, random_u64};
use crate::metrics::DiscoveryMetrics;
use crate::ports::Clock;

/// Keeps a watch on a service, and answers from what it says. Clones share it; dropping the last
/// one ends it.
#[derive(Clone, Debug)]
pub struct KubernetesResolver {
    shared: Arc<Shared>,
    _task: Arc<Task>,
}

#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
struct Shared {
    places: Arc<Places<SystemClock>>,
    service: String,
    /// Where that is looked for; `None`: where this pod is.
    namespace: Option<String>,
    known: Mutex<Known>,
}

/// What the watch has found out.
#[derive(Debug, Default)]
struct Known {
    /// By the pods' names; `None` before the first list.
    endpoints: Option<BTreeMap<String, Vec<Endpoint>>>,
    /// Why there is none.
    trouble: Option<String>,
}

impl KubernetesResolver {
    /// Begins to watch. On a tokio runtime only.
    #[must_use]
    pub fn new(options: KubernetesOptions) -> Self {
        let shared = Arc::new(Shared {
            // What is gone from the slices of a service is gone.
            places: Arc::new(Places::new(SystemClock, 1)),
            service: options.service.clone(),
            namespace: options.namespace.clone(),
            known: Mutex::default(),
        });
        let watcher = Watcher {
            api: Api::new(options),
            watch: Watch::new(random_u64()),
            shared: Arc::clone(&shared),
            told: None,
        };
        let task = Task(tokio::spawn(watcher.run()).abort_handle());
        Self {
            shared,
            _task: Arc::new(task),
        }
    }

    /// Counts there what is found out.
    pub(crate) fn count(&self, metrics: &DiscoveryMetrics) {
        self.shared.places.count(metrics);
    }
}

impl Resolve for KubernetesResolver {
    async fn resolve(&self, address: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let shared = &self.shared;
        shared.places.lock().ask(address);
        shared.publish(address)?;
        shared
            .places
            .until(|directory| {
                let known = directory.candidates(address);
                if !known.is_empty() {
                    return Some(Ok(known));
                }
                directory.error(address).map(Err)
            })
            .await
    }

    fn tried(&self, address: &str, at: SocketAddr, outcome: Tried) {
        self.shared.places.tried(address, at, outcome);
    }

    fn forget(&self, address: &str) {
        self.shared.places.lock().forget(address);
    }

    async fn moved(&self, address: &str, from: Option<SocketAddr>) {
        self.shared.places.moved(address, from).await;
    }

    fn leads_to(&self, ip: IpAddr) -> bool {
        self.shared.places.leads_to(ip)
    }
}

impl Shared {
    /// Tells the directory what the watch knows of `address`, if it knows anything yet.
    fn publish(&self, address: &str) -> Result<(), ResolveError> {
        if let Ok(literal) = address.parse() {
            self.places.learned(address, Ok(vec![literal]));
            return Ok(());
        }
        let (host, port) = host_and_port(address)?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = match (&known.endpoints, &known.trouble) {
            (Some(endpoints), _) => {
                let found = endpoints.get(&first_label(host));
                let found = found.ok_or_else(|| self.nowhere(host, endpoints.is_empty()));
                found.map(|found| found.iter().map(|one| one.at(port)).collect())
            }
            (None, Some(trouble)) => Err(ResolveError::Failed {
                host: host.to_owned(),
                reason: format!("the Kubernetes API: {trouble}"),
            }),
            (None, None) => return Ok(()),
        };
        drop(known);
        self.places.learned(address, answer);
        Ok(())
    }

    fn nowhere(&self, host: &str, nobody: bool) -> ResolveError {
        let (service, pod) = (&self.service, first_label(host));
        let hint = if nobody {
            // The API does not say whether there is such a service.
            let namespace = self.namespace.as_deref().unwrap_or("of this pod");
            format!(
                "the service '{service}' has no pods at all in the namespace {namespace}: are both \
                 called so, and has the service publishNotReadyAddresses: true?"
            )
        } else {
            format!(
                "no pod of the service '{service}' is called '{pod}': is it running, and has the \
                 service publishNotReadyAddresses: true?"
            )
        };
        ResolveError::Nowhere {
            host: host.to_owned(),
            hint,
        }
    }
}

/// The task that keeps the watch.
struct Watcher {
    api: Api,
    watch: Watch,
    shared: Arc<Shared>,
    /// The trouble that people were told of last.
    told: Option<String>,
}

impl Watcher {
    async fn run(mut self) {
        loop {
            let (when, ask) = self.watch.next();
            SystemClock.sleep_until(when).await;
            let credentials = match self.api.credentials().await {
                Ok(credentials) => credentials,
                Err(words) => {
                    self.take(Answer::Broken(words));
                    continue;
                }
            };
            match ask {
                Ask::List { from } => {
                    let answer = self.api.list(&credentials, from.as_deref()).await;
                    self.take(answer);
                }
                Ask::Watch { version } => match self.api.watch(&credentials, &version).await {
                    Ok(mut events) => {
                        self.take(Answer::Opened);
                        while self.take(events.next().await) {}
                    }
                    Err(answer) => {
                        self.take(answer);
                    }
                },
            }
        }
    }

    /// Takes an answer in and passes on what is new. Returns whether more may follow on the stream.
    fn take(&mut self, answer: Answer) -> bool {
        let trouble = self.trouble(&answer);
        let goes_on = match &answer {
            Answer::Opened | Answer::Changed(_) | Answer::Deleted(_) | Answer::Bookmark(_) => true,
            Answer::Page { .. } | Answer::Ended | Answer::Refused { .. } | Answer::Broken(_) => {
                false
            }
        };
        // Whatever says that nothing else has happened makes all that is known as young.
        let fresh = goes_on && answer != Answer::Opened || matches!(answer, Answer::Page { .. });
        let changed = self.watch.handle(SystemClock.now(), answer);
        if let Some(trouble) = trouble {
            self.shared.places.refreshed(false);
            self.tell(trouble);
        } else if fresh {
            self.shared.places.refreshed(true);
            self.told = None;
            self.pass_on(changed);
        }
        goes_on
    }

    /// What went wrong, for people, and what they can do about it.
    fn trouble(&self, answer: &Answer) -> Option<String> {
        let (status, text) = match answer {
            Answer::Broken(words) => return Some(words.escape_debug().to_string()),
            Answer::Refused { status, text, .. } => (*status, text.escape_debug().to_string()),
            _ => return None,
        };
        Some(match status {
            // Usual: the list that follows says everything.
            410 => return None,
            401 => format!(
                "it does not accept the token in {} (401): {text}",
                self.api.options.token_file.display()
            ),
            403 => format!(
                "this pod's service account may not do that (403): bind a Role to it with \
                 apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]; \
                 it says: {text}"
            ),
            _ => format!("it answers {status}: {text}"),
        })
    }

    /// Once in a row, however often it happens.
    fn tell(&mut self, trouble: String) {
        if self.told.as_ref() != Some(&trouble) {
            let service = &self.shared.service;
            tracing::warn!(
                service,
                "Kubernetes discovery keeps what it knows: {trouble}"
            );
            self.told = Some(trouble.clone());
        }
        self.known().trouble = Some(trouble);
        self.publish();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let known = self.shared.known.lock();
        known.unwrap_or_else(PoisonError::into_inner)
    }

    fn pass_on(&self, changed: bool) {
        if changed {
            let endpoints = self.watch.endpoints();
            let pods = endpoints.len();
            tracing::debug!(service = self.shared.service, pods, "has news");
            self.known().endpoints = Some(endpoints);
        }
        self.publish();
    }

    fn publish(&self) {
        let shared = &self.shared;
        let addresses: Vec<String> = {
            let directory = shared.places.lock();
            directory.addresses().map(str::to_owned).collect()
        };
        for address in addresses {
            // Who asked for what is no address was told so.
            let _ = shared.publish(&address);
        }
    }
}
