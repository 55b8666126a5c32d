//! A failure of chaos, as a person wants to see it: one sentence, the way back, a plan, a diagram.
//! Knows nothing about how it was found.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{say, suspicion};
use crate::check::Violation;
use crate::plan::Plan;
use crate::report::html::html;
use crate::report::record::record;
use crate::report::text::story;
use crate::run::Watch;
use crate::shrink::Shrink;
use crate::subject::Subject;
use crate::sweep::guarded;
use crate::token::Token;

/// How long a failing plan is made smaller at most.
const SHRINKING: Duration = Duration::from_secs(45);

/// A run that has violated something.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) plan: Plan,
    /// The seed that the plan was drawn from, if it was.
    pub(super) token: Option<Token>,
    pub(super) violation: Violation,
    /// Whether a second run was the same.
    pub(super) repeats: bool,
}

impl Failed {
    /// Makes the plan as small as can be, draws it, and says all there is to say.
    pub(super) fn text(&self, subject: &Subject, name: &str, dir: &Path, jobs: usize) -> String {
        let mut text = String::new();
        let of = match self.token {
            Some(token) => format!("seed {token}"),
            None => "the plan".to_owned(),
        };
        let _ = writeln!(text, "{of} violates {}", self.violation);
        if let Some(suspicion) = self.suspicion(subject) {
            let _ = writeln!(text, "{suspicion}");
        } else if !self.repeats {
            let _ = writeln!(
                text,
                "and a second run of it was another one: the state machine or the workload is not \
                 deterministic. Look for clocks, random numbers and the order of hash maps"
            );
        }
        if let Some(token) = self.token {
            let _ = writeln!(text, "replay:   CHIL_SIM_SEED={token} cargo test {name}");
        }
        if let Err(error) = self.write(subject, name, dir, jobs, &mut text) {
            let _ = writeln!(text, "cannot write to {}: {error}", dir.display());
        }
        text
    }

    fn write(
        &self,
        subject: &Subject,
        name: &str,
        dir: &Path,
        jobs: usize,
        text: &mut String,
    ) -> std::io::Result<()> {
        fs::create_dir_all(dir)?;
        let (plan, shrunk) = self.shrunk(subject, name, jobs);
        let stem = match self.token {
            Some(token) => format!("seed-{}", token.seed),
            None => "plan".to_owned(),
        };
        let (plan_file, html_file) = (
            dir.join(format!("{stem}.json")),
            dir.join(format!("{stem}.html")),
        );
        fs::write(&plan_file, serde_json::to_string_pretty(&plan)?)?;
        let (_, recording) = record(subject, &plan, 1);
        fs::write(&html_file, html(&recording))?;
        let shown = plan_file.display();
        let _ = writeln!(text, "plan:     {shown}{shrunk}");
        let _ = writeln!(text, "          CHIL_SIM_PLAN={shown} cargo test {name}");
        let _ = writeln!(text, "diagram:  {}", html_file.display());
        let _ = write!(text, "{}", story(&recording));
        Ok(())
    }

    /// A smaller plan that violates the same, and how much smaller it is.
    fn shrunk(&self, subject: &Subject, name: &str, jobs: usize) -> (Plan, String) {
        if !self.repeats {
            return (self.plan.clone(), String::new());
        }
        say(&format!(
            "{name}: {}: making it smaller",
            self.violation.check
        ));
        let began = Instant::now();
        let shrunk = Shrink::new(subject, &self.plan)
            .jobs(jobs)
            .run(|_| began.elapsed() < SHRINKING);
        match shrunk {
            None => (self.plan.clone(), String::new()),
            Some(shrunk) => {
                let counts = format!("  ({}; was {})", shrunk.after, shrunk.before);
                (shrunk.plan, counts)
            }
        }
    }

    fn suspicion(&self, subject: &Subject) -> Option<String> {
        let watch = Watch {
            script: true,
            ..Watch::default()
        };
        let executed = guarded(subject, &self.plan, watch).executed;
        suspicion::suspect(subject, &executed)
    }
}
