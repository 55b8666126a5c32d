//! Clients that ask at a pace, whatever they are told: a crowd with a greedy one among it, and
//! those that keep to their share. Each kind has a thread of its own, as it would have machines.
//! Knows nothing about what the pace should be.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chil::client::ClientTls;
use chil_proto::v1::ProposeStreamRequest;
use futures_util::future::try_join_all;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, interval_at, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::super::output::Latencies;
use super::asking::{Asker, Counts, Phase, Told, told};

/// What clients are told to do.
#[derive(Clone, Copy, Debug)]
struct Order {
    phase: Phase,
    /// Requests a second, of each.
    each: f64,
    greedy: f64,
}

/// Work on a thread of its own, until `stop` is dropped.
#[derive(Debug)]
struct Apart<T> {
    stop: oneshot::Sender<()>,
    done: oneshot::Receiver<anyhow::Result<T>>,
}

impl<T: Send + 'static> Apart<T> {
    fn start<F>(
        work: impl FnOnce(oneshot::Receiver<()>) -> F + Send + 'static,
    ) -> anyhow::Result<Self>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        let ((stop, stopped), (tell, done)) = (oneshot::channel(), oneshot::channel());
        let thread = std::thread::Builder::new().name("flood".to_owned());
        thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let outcome = match runtime {
                Ok(runtime) => runtime.block_on(work(stopped)),
                Err(error) => Err(error.into()),
            };
            // Whoever started it may have given up.
            drop(tell.send(outcome));
        })?;
        Ok(Self { stop, done })
    }

    /// The same, once its clients are connected.
    async fn once(self, connected: oneshot::Receiver<()>) -> anyhow::Result<Self> {
        if connected.await.is_err() {
            self.finish().await?;
            anyhow::bail!("the clients did not connect");
        }
        Ok(self)
    }

    async fn finish(self) -> anyhow::Result<T> {
        drop(self.stop);
        self.done.await.context("the thread has ended")?
    }
}

/// Those that flood.
#[derive(Debug)]
pub(super) struct Crowd {
    clients: usize,
    orders: watch::Sender<Order>,
    apart: Apart<(Counts, Counts)>,
}

impl Crowd {
    /// Returns when all are connected.
    pub(super) async fn start(
        address: &str,
        crowd: Vec<ClientTls>,
        greedy: ClientTls,
        value: &[u8],
    ) -> anyhow::Result<Self> {
        let (clients, value) = (crowd.len(), value.to_vec());
        let (orders, ordered) = watch::channel(SILENCE);
        let (ready, connected) = oneshot::channel();
        let address = address.to_owned();
        let apart = Apart::start(move |stopped| async move {
            let counts = (Counts::default(), Counts::default());
            let askers = connect("flood", &address, &crowd, &value).await?;
            let greedy = Asker::new(&address, &greedy, "greedy", &value)?;
            // Whoever gave up drops its end of `stopped` as well.
            let _gone = ready.send(());
            let mut tasks = JoinSet::new();
            for (number, asker) in askers.into_iter().enumerate() {
                let (ordered, counts) = (ordered.clone(), counts.0.clone());
                tasks.spawn(one_of_many(asker, (number, clients), ordered, counts));
            }
            tasks.spawn(insist(greedy, ordered, counts.1.clone()));
            // Dropped or told: both mean the end, and so do the tasks.
            drop(stopped.await);
            Ok(counts)
        })?;
        let apart = apart.once(connected).await?;
        Ok(Self {
            clients,
            orders,
            apart,
        })
    }

    /// Asks so often in a second from now on, half of it the greedy one.
    pub(super) fn ask(&self, phase: Phase, per_second: f64) {
        let half = per_second / 2.0;
        self.orders.send_replace(Order {
            phase,
            each: half / self.clients as f64,
            greedy: half,
        });
    }

    pub(super) async fn finish(self) -> anyhow::Result<(Counts, Counts)> {
        self.apart.finish().await
    }
}

/// Those that keep to their share.
#[derive(Debug)]
pub(super) struct Polite {
    each: f64,
    orders: watch::Sender<Order>,
    apart: Apart<([Latencies; Phase::COUNT], Counts)>,
}

impl Polite {
    /// Returns when all are connected; each asks so often in a second.
    pub(super) async fn start(
        address: &str,
        clients: Vec<ClientTls>,
        each: f64,
        value: &[u8],
    ) -> anyhow::Result<Self> {
        let (address, value) = (address.to_owned(), value.to_vec());
        let (orders, ordered) = watch::channel(SILENCE);
        let (ready, connected) = oneshot::channel();
        let apart = Apart::start(move |stopped| async move {
            let askers = connect("polite", &address, &clients, &value).await?;
            // Whoever gave up drops its end of `stopped` as well.
            let _gone = ready.send(());
            let counts = Counts::default();
            let (took, mut times) = mpsc::unbounded_channel();
            let mut tasks = JoinSet::new();
            for (number, asker) in askers.into_iter().enumerate() {
                let (ordered, counts, took) = (ordered.clone(), counts.clone(), took.clone());
                let number = (number, clients.len());
                tasks.spawn(one_that_is_timed(asker, number, ordered, counts, took));
            }
            drop(stopped.await);
            tasks.shutdown().await;
            drop(took);
            let mut latencies = [(); Phase::COUNT].map(|()| Latencies::new());
            while let Some((phase, took)) = times.recv().await {
                let phase: Phase = phase;
                latencies[phase.index()].record(took);
            }
            Ok((latencies, counts))
        })?;
        let apart = apart.once(connected).await?;
        Ok(Self {
            each,
            orders,
            apart,
        })
    }

    pub(super) fn ask(&self, phase: Phase) {
        self.orders.send_replace(Order {
            phase,
            each: self.each,
            greedy: 0.0,
        });
    }

    pub(super) async fn finish(self) -> anyhow::Result<([Latencies; Phase::COUNT], Counts)> {
        self.apart.finish().await
    }
}

/// Everybody's connection, proven by an answer.
async fn connect(
    kind: &str,
    address: &str,
    clients: &[ClientTls],
    value: &[u8],
) -> anyhow::Result<Vec<Asker>> {
    let connecting = clients.iter().enumerate().map(|(number, tls)| async move {
        let mut asker = Asker::new(address, tls, &format!("{kind}-{number}"), value)?;
        // Handshakes are let in at a rate, too.
        while asker.ask().await == Told::Failed {
            sleep(CONNECT_PAUSE).await;
        }
        anyhow::Ok(asker)
    });
    let connected = timeout(CONNECT_MAX, try_join_all(connecting)).await;
    connected.context("the clients could not connect in time")?
}

/// Which of how many it is.
type Number = (usize, usize);

/// Calls `ask` at the pace that is ordered, until nobody orders any more.
async fn at_pace(
    (number, all): Number,
    mut ordered: watch::Receiver<Order>,
    mut ask: impl FnMut(Phase),
) {
    loop {
        let order = *ordered.borrow_and_update();
        let mut pace = pace(order.each, number, all);
        loop {
            tokio::select! {
                biased;
                changed = ordered.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                _ = pace.tick() => ask(order.phase),
            }
        }
    }
}

/// Asks at its pace, whether or not what it asked for before has an answer.
async fn one_of_many(
    asker: Asker,
    number: Number,
    ordered: watch::Receiver<Order>,
    counts: Counts,
) {
    let room = Arc::new(Semaphore::new(UNANSWERED_MAX));
    let ask = |phase| {
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            return counts.count(phase, Told::HeldBack);
        };
        let (mut asker, counts) = (asker.clone(), counts.clone());
        tokio::spawn(async move {
            counts.count(phase, asker.ask().await);
            drop(place);
        });
    };
    at_pace(number, ordered, ask).await;
}

/// The same, with what it took, and without a bound.
async fn one_that_is_timed(
    asker: Asker,
    number: Number,
    ordered: watch::Receiver<Order>,
    counts: Counts,
    times: mpsc::UnboundedSender<(Phase, Duration)>,
) {
    let ask = |phase| {
        let (mut asker, counts, times) = (asker.clone(), counts.clone(), times.clone());
        tokio::spawn(async move {
            let asked = Instant::now();
            let told = asker.ask().await;
            counts.count(phase, told);
            if told == Told::Admitted {
                // It is over when nobody wants to know any more.
                let _over = times.send((phase, asked.elapsed()));
            }
        });
    };
    at_pace(number, ordered, ask).await;
}

/// Asks at its pace in one stream, which takes as much ahead as the node allows.
async fn insist(mut asker: Asker, mut ordered: watch::Receiver<Order>, counts: Counts) {
    loop {
        let (requests, sent) = mpsc::channel(UNANSWERED_MAX);
        let Ok(answers) = asker.client.propose_stream(ReceiverStream::new(sent)).await else {
            sleep(CONNECT_PAUSE).await;
            continue;
        };
        let (mut answers, told_to) = (answers.into_inner(), counts.clone());
        let reading = tokio::spawn(async move {
            while let Ok(Some(answer)) = answers.message().await {
                let outcome = answer.result.as_ref().map_or(Told::Failed, told);
                told_to.count(Phase::of(answer.id), outcome);
            }
        });
        while !requests.is_closed() {
            let order = *ordered.borrow_and_update();
            let mut pace = pace(order.greedy, 0, 1);
            loop {
                tokio::select! {
                    biased;
                    changed = ordered.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    _ = pace.tick() => {}
                }
                let request = ProposeStreamRequest {
                    id: order.phase.index() as u64,
                    request: Some(asker.request.clone()),
                };
                match requests.try_send(request) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Full(_)) => {
                        counts.count(order.phase, Told::HeldBack);
                    }
                    Err(mpsc::error::TrySendError::Closed(_)) => break,
                }
            }
        }
        reading.abort();
    }
}

/// So often in a second; of all, each begins a little after the one before.
fn pace(per_second: f64, number: usize, all: usize) -> Interval {
    if per_second <= 0.0 {
        return interval_at(Instant::now() + FAR_AWAY, FAR_AWAY);
    }
    let every = Duration::from_secs_f64(1.0 / per_second);
    let begin = every.mul_f64(number as f64 / all as f64);
    interval_at(Instant::now() + begin, every)
}

const SILENCE: Order = Order {
    phase: Phase::WarmUp,
    each: 0.0,
    greedy: 0.0,
};
const FAR_AWAY: Duration = Duration::from_secs(24 * 3_600);
/// What a node takes of one connection at a time.
const UNANSWERED_MAX: usize = 128;
const CONNECT_PAUSE: Duration = Duration::from_millis(200);
const CONNECT_MAX: Duration = Duration::from_secs(60);
