//! Seeded chaos for an embedder's own state machine, in an ordinary test: what to run, and for how long.
//! Knows nothing about how a run goes, nor how a failure is written down.
//!
//! This is the edge of the simulation: here are a clock, threads and the environment.

mod caller;
mod failure;
mod settings;
mod suspicion;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chil_core::StateMachine;

use crate::campaign::Shard;
use crate::dice::Draw;
use crate::plan::Plan;
use crate::stats::Stats;
use crate::subject::{Model, Request, Subject, Workload};
use crate::sweep::{Sweep, Told, sweep, twice};
use crate::token::Token;
use caller::Caller;
use failure::Failed;
use settings::{Settings, What};

/// How long a test takes that does not say how many seeds it wants.
const SPAN: Duration = Duration::from_secs(10);

/// A state machine that is put through seeded chaos: partitions, crashes, lost and late messages,
/// slow disks, pauses and skewed clocks, snapshots and changes of leaders, all of it in simulated
/// time.
///
/// ```no_run
/// # use std::io::{Read, Result, Write};
/// # use bytes::Bytes;
/// # use chil_core::{FrozenState, Slot, StateMachine};
/// # #[derive(Clone, Default)] struct Counter(u64);
/// # impl StateMachine for Counter {
/// #     fn apply(&mut self, _: Slot, _: &Bytes) -> Bytes { Bytes::new() }
/// #     fn query(&self, _: &Bytes) -> Bytes { Bytes::new() }
/// #     fn digest(&self) -> u128 { 0 }
/// #     fn freeze(&self) -> Box<dyn FrozenState> { Box::new(self.clone()) }
/// #     fn restore(&mut self, _: &mut dyn Read) -> Result<()> { Ok(()) }
/// # }
/// # impl FrozenState for Counter { fn write_to(&self, _: &mut dyn Write) -> Result<()> { Ok(()) } }
/// use chil_sim::{Chaos, Draw, Request};
///
/// fn requests(draw: &mut Draw<'_>) -> Request {
///     if draw.chance(30) {
///         Request::Query(Bytes::new())
///     } else {
///         Request::Command(Bytes::from(format!("add {}", draw.below(10))))
///     }
/// }
///
/// // In a #[test]:
/// Chaos::new(Counter::default).workload(requests).run();
/// ```
///
/// In the environment, `CHIL_SIM_SEED` runs one seed again, `CHIL_SIM_SEEDS` runs more of them
/// ("10000", "500..1500") or for longer ("5m"), `CHIL_SIM_PLAN` runs a plan from a file, and
/// `CHIL_SIM_JOBS` says how many threads to use.
#[derive(Debug)]
#[must_use = "nothing happens before `run`"]
pub struct Chaos {
    subject: Subject,
    has_workload: bool,
    seeds: Option<u64>,
    span: Duration,
    artifacts: Option<PathBuf>,
}

impl Chaos {
    /// Chaos for the state machines that `machine` makes: one for each node, and for each of its
    /// lives.
    pub fn new<S: StateMachine>(machine: impl Fn() -> S + Send + Sync + 'static) -> Self {
        Self {
            subject: Subject::new(machine),
            has_workload: false,
            seeds: None,
            span: SPAN,
            artifacts: None,
        }
    }

    /// How clients think of requests. Draw everything that is random from `draw`: a run is a
    /// function of its seed.
    pub fn workload(
        self,
        request: impl Fn(&mut Draw<'_>) -> Request + Clone + Send + Sync + 'static,
    ) -> Self {
        self.workload_with(move || {
            let request = request.clone();
            move |draw: &mut Draw<'_>| request(draw)
        })
    }

    /// The same with a state of its own, made anew for each run.
    pub fn workload_with<W: Workload + 'static>(
        mut self,
        make: impl Fn() -> W + Send + Sync + 'static,
    ) -> Self {
        self.subject = self.subject.with_workload(make);
        self.has_workload = true;
        self
    }

    /// What the state machine should do, as simple as possible: all replies and answers are
    /// compared with the model's. Without one they are compared with another instance of the
    /// state machine, which never crashes and never restores a snapshot.
    pub fn model(mut self, model: impl Model) -> Self {
        self.subject = self.subject.with_model(model);
        self
    }

    /// How requests and replies are shown in timelines and diagrams, instead of as text or
    /// hexadecimal digits.
    pub fn describe(
        mut self,
        request: impl Fn(&Request) -> String + Send + Sync + 'static,
        reply: impl Fn(&Request, &bytes::Bytes) -> String + Send + Sync + 'static,
    ) -> Self {
        self.subject = self.subject.with_descriptions(request, reply);
        self
    }

    /// The largest request in bytes [default: 64 KiB]. A workload that asks for more fails the test.
    pub fn request_bytes_max(mut self, bytes: u64) -> Self {
        self.subject = self.subject.with_request_bytes_max(bytes);
        self
    }

    /// How many seeds to run [default: as many as fit into ten seconds].
    pub const fn seeds(mut self, seeds: u64) -> Self {
        self.seeds = Some(seeds);
        self
    }

    /// How long to run, unless the number of seeds is given.
    pub const fn for_about(mut self, span: Duration) -> Self {
        self.span = span;
        self
    }

    /// Where the plan and the diagram of a failure go [default: `chil-sim` in the directory that
    /// cargo builds into].
    pub fn artifacts(mut self, dir: impl Into<PathBuf>) -> Self {
        self.artifacts = Some(dir.into());
        self
    }

    /// Runs the seeds.
    ///
    /// # Panics
    /// If anything is violated, with what it was, how to see it again, and where the shrunken plan
    /// and its diagram are. Also if there is no workload, or the environment asks for something
    /// that cannot be run.
    #[track_caller]
    pub fn run(self) {
        if let Err(text) = self.check() {
            #[expect(clippy::panic, reason = "this is how a test says that it has failed")]
            {
                panic!("{text}");
            }
        }
    }

    /// The same as [`run`](Self::run) for whoever wants to look at the failure: its text.
    ///
    /// # Errors
    /// Whatever `run` would panic with.
    pub fn check(self) -> Result<Stats, String> {
        if !self.has_workload {
            return Err(
                "Chaos has no workload: say how clients think of requests with `.workload(..)`"
                    .to_owned(),
            );
        }
        self.subject.check()?;
        let caller = Caller::current();
        let name = &caller.name;
        let settings = Settings::from_env(self.seeds, self.span)?;
        let failed = match &settings.what {
            What::Seeds { from, to, span } => {
                let ran = self.sweep(name, (*from, *to), *span, settings.jobs);
                match ran {
                    Ok(stats) => return Ok(stats),
                    Err(failed) => failed,
                }
            }
            What::Seed(token) => {
                let (plan, warning) = self.plan(token);
                if let Some(warning) = warning {
                    say(&format!("{name}: {warning}"));
                }
                match self.one(name, plan, Some(*token)) {
                    Ok(stats) => return Ok(stats),
                    Err(failed) => failed,
                }
            }
            What::Plan(plan) => {
                let mut plan = (**plan).clone();
                self.subject.fit(&mut plan);
                plan.check().map_err(|error| format!("{name}: {error}"))?;
                match self.one(name, plan, None) {
                    Ok(stats) => return Ok(stats),
                    Err(failed) => failed,
                }
            }
        };
        let dir = self.artifacts.unwrap_or_else(|| caller.artifacts());
        Err(failed.text(&self.subject, &caller, &dir, settings.jobs))
    }

    /// What a seed means in a test: the same faults as in a campaign, but only those of the first
    /// rounds.
    fn plan(&self, token: &Token) -> (Plan, Option<String>) {
        let (mut plan, warning) = token.plan(true);
        self.subject.fit(&mut plan);
        (plan, warning)
    }

    fn one(&self, name: &str, plan: Plan, token: Option<Token>) -> Result<Stats, Box<Failed>> {
        let ran = twice(&self.subject, &plan);
        let Some(failure) = ran.failures.into_iter().next() else {
            say(&format!(
                "{name}: {} events, nothing violated{}",
                ran.stats.events,
                unknown(&ran.stats)
            ));
            return Ok(ran.stats);
        };
        Err(Box::new(Failed {
            plan,
            token,
            violation: failure.violation,
            repeats: failure.repeats,
            ended: failure.ended,
        }))
    }

    /// Runs seeds until there are no more, or the time is over, or one fails.
    fn sweep(
        &self,
        name: &str,
        (from, to): (u64, u64),
        span: Option<Duration>,
        jobs: usize,
    ) -> Result<Stats, Box<Failed>> {
        let began = Instant::now();
        let what = Sweep {
            twice_every: TWICE_EVERY,
            ..Sweep::short(Shard::whole(from, to), jobs)
        };
        let (mut ran, mut failed) = (Stats::default(), None);
        let mut told = began;
        sweep(&self.subject, what, |word| {
            match word {
                Told::Ran(seed) => {
                    ran.add(&seed.stats);
                    if failed.is_none() {
                        failed = seed.failures.into_iter().next();
                    }
                }
                Told::Ahead(failure) => {
                    say(&format!(
                        "{name}: seed {} violates {}: seeds before it are still under way",
                        failure.token, failure.violation
                    ));
                    return false;
                }
                Told::Waits { slow } => slow.iter().for_each(|seed| {
                    say(&format!(
                        "{name}: seed {seed} is still under way: if it never ends, it will be \
                         given up"
                    ));
                }),
            }
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                say(&progress(name, &ran, began.elapsed(), to - from, span));
            }
            // A test that has run nothing has tested nothing, however little time it has.
            let in_time = ran.seeds == 0 || span.is_none_or(|span| began.elapsed() < span);
            failed.is_none() && in_time
        });
        let Some(failure) = failed else {
            let seconds = began.elapsed().as_secs_f64();
            say(&format!(
                "{name}: {} seeds, {} events in {seconds:.1} s, nothing violated{}",
                ran.seeds,
                ran.events,
                unknown(&ran)
            ));
            return Ok(ran);
        };
        Err(Box::new(Failed {
            plan: self.plan(&failure.token).0,
            token: Some(failure.token),
            violation: failure.violation,
            repeats: failure.repeats,
            ended: failure.ended,
        }))
    }
}

/// Seeds that this divides are run twice, although they violate nothing.
const TWICE_EVERY: u64 = 16;
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(2);

fn progress(name: &str, ran: &Stats, took: Duration, seeds: u64, span: Option<Duration>) -> String {
    let seconds = took.as_secs_f64();
    let of = match span {
        Some(span) => format!("{seconds:.0} of {:.0} s", span.as_secs_f64()),
        None => format!("{} of {seeds} seeds", ran.seeds),
    };
    let rate = ran.seeds as f64 / seconds.max(0.001);
    format!(
        "{name}: {of}, {} seeds so far, {rate:.0} a second",
        ran.seeds
    )
}

/// What of it nobody knows, if anything.
fn unknown(ran: &Stats) -> String {
    let (unknown, all) = (ran.histories_unknown, ran.histories_unknown + ran.histories);
    if unknown == 0 {
        return String::new();
    }
    format!(
        "; whether {unknown} of {all} histories have an order is unknown, the search was too long"
    )
}

/// Says something although a test's output is captured: progress is of use only while it is made.
fn say(line: &str) {
    // Whoever has closed it does not want to know.
    let _ = writeln!(std::io::stderr().lock(), "chil-sim: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_said() {
        let mut ran = Stats {
            histories: 7,
            ..Stats::default()
        };
        assert_eq!(unknown(&ran), "");
        ran.histories_unknown = 3;
        assert!(unknown(&ran).contains("3 of 10 histories"));
    }

    #[test]
    fn at_least_one_seed_is_run_however_little_time_there_is() {
        let request =
            |draw: &mut Draw<'_>| Request::Query(draw.word().to_le_bytes().to_vec().into());
        let chaos = Chaos::new(chil_core::kv::KeyValue::default).workload(request);
        let ran = chaos.for_about(Duration::ZERO).check().unwrap();
        assert!(ran.seeds > 0);
    }
}
