//! What the environment asks a test of chaos to run.
//! Knows nothing about how it is run.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::plan::Plan;
use crate::sweep::JOBS_MAX;
use crate::token::Token;

/// What to run, and with how many threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) what: What,
    pub(super) jobs: usize,
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// These seeds, or as many of them as there is time for.
    Seeds {
        from: u64,
        to: u64,
        span: Option<Duration>,
    },
    /// One seed.
    Seed(Token),
    /// A plan.
    Plan(Box<Plan>),
}

impl Settings {
    /// What the test asks for, unless the environment asks for something else.
    pub(super) fn from_env(seeds: Option<u64>, span: Duration) -> Result<Self, String> {
        Self::from_vars(seeds, span, |name| std::env::var_os(name))
    }

    fn from_vars(
        seeds: Option<u64>,
        span: Duration,
        found: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, String> {
        let var = |name: &str| {
            let text = found(name).map(OsString::into_string).transpose();
            text.map_err(|value| format!("{name} is no text: {}", value.display()))
        };
        let jobs = match var("CHIL_SIM_JOBS")? {
            None => std::thread::available_parallelism().map_or(1, usize::from),
            Some(text) => match text.parse() {
                Ok(jobs) if (1..=JOBS_MAX).contains(&jobs) => jobs,
                _ => {
                    return Err(format!(
                        "CHIL_SIM_JOBS is '{text}', not a number of threads from 1 to {JOBS_MAX}"
                    ));
                }
            },
        };
        let what = if let Some(path) = found("CHIL_SIM_PLAN") {
            let plan = Plan::load(Path::new(&path));
            let shown = path.display();
            let plan = plan.map_err(|error| format!("CHIL_SIM_PLAN={shown}: {error:#}"))?;
            What::Plan(Box::new(plan))
        } else if let Some(text) = var("CHIL_SIM_SEED")? {
            let token = text.parse();
            What::Seed(token.map_err(|error| format!("CHIL_SIM_SEED: {error}"))?)
        } else if let Some(text) = var("CHIL_SIM_SEEDS")? {
            wanted(&text).ok_or_else(|| {
                format!(
                    "CHIL_SIM_SEEDS is '{text}': write how many (10000), which (500..1500), or for \
                     how long (30s, 5m, 2h)"
                )
            })?
        } else if seeds == Some(0) {
            return Err("Chaos::seeds(0) would run nothing, and so find nothing".to_owned());
        } else {
            What::Seeds {
                from: 0,
                to: seeds.unwrap_or(u64::MAX),
                span: seeds.is_none().then_some(span),
            }
        };
        Ok(Self { what, jobs })
    }
}

/// Numbers of seeds, a range of them, or a span of time.
fn wanted(text: &str) -> Option<What> {
    let number = |text: &str| text.trim().replace('_', "").parse::<u64>().ok();
    if let Some((from, to)) = text.split_once("..") {
        let (from, to) = (number(from)?, number(to)?);
        return (from < to).then_some(What::Seeds {
            from,
            to,
            span: None,
        });
    }
    for (unit, seconds) in [("s", 1), ("m", 60), ("h", 3_600)] {
        if let Some(count) = text.strip_suffix(unit) {
            let span = Duration::from_secs(number(count)?.checked_mul(seconds)?);
            return Some(What::Seeds {
                from: 0,
                to: u64::MAX,
                span: Some(span),
            });
        }
    }
    let to = number(text).filter(|to| *to > 0)?;
    Some(What::Seeds {
        from: 0,
        to,
        span: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(seeds: Option<u64>, vars: &[(&str, &str)]) -> Result<What, String> {
        let span = Duration::from_secs(10);
        let found = |name: &str| {
            let var = vars.iter().find(|(known, _)| *known == name);
            var.map(|(_, value)| OsString::from(*value))
        };
        Settings::from_vars(seeds, span, found).map(|settings| settings.what)
    }

    #[test]
    fn the_environment_outweighs_the_test() {
        let seeds = |from, to, span: Option<u64>| What::Seeds {
            from,
            to,
            span: span.map(Duration::from_secs),
        };
        assert_eq!(with(Some(5), &[]), Ok(seeds(0, 5, None)));
        assert_eq!(with(None, &[]), Ok(seeds(0, u64::MAX, Some(10))));
        let var = |value| with(Some(5), &[("CHIL_SIM_SEEDS", value)]);
        assert_eq!(var("1_000"), Ok(seeds(0, 1_000, None)));
        assert_eq!(var("7..9"), Ok(seeds(7, 9, None)));
        assert_eq!(var("5m"), Ok(seeds(0, u64::MAX, Some(300))));
        let both = [("CHIL_SIM_SEEDS", "3"), ("CHIL_SIM_SEED", "42")];
        let token = Token {
            seed: 42,
            fingerprint: None,
        };
        assert_eq!(with(None, &both), Ok(What::Seed(token)));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (name, value) in [
            ("CHIL_SIM_SEEDS", "many"),
            ("CHIL_SIM_SEEDS", "9..7"),
            ("CHIL_SIM_SEEDS", "0"),
            ("CHIL_SIM_SEED", "x"),
            ("CHIL_SIM_JOBS", "0"),
            ("CHIL_SIM_JOBS", "1000000"),
            ("CHIL_SIM_PLAN", "no/such/file"),
        ] {
            let error = with(None, &[(name, value)]).unwrap_err();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
        assert!(with(Some(0), &[]).unwrap_err().contains("run nothing"));
    }
}
