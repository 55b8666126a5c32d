//! A failure of chaos, as a person wants to see it: one sentence, the way back, a plan, a diagram.
//! Knows nothing about how it was found.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::caller::Caller;
use super::{say, suspicion};
use crate::check::Violation;
use crate::file::replace;
use crate::patience::one_within;
use crate::plan::Plan;
use crate::report::html::html;
use crate::report::record::record;
use crate::report::text::story;
use crate::run::Watch;
use crate::shrink::Shrink;
use crate::subject::Subject;
use crate::sweep::{caught, guarded};
use crate::token::Token;

/// How long a failing plan is made smaller at most.
const SHRINKING: Duration = Duration::from_secs(45);
/// How long it may take to execute once more what has ended before: then it is left behind.
const ONCE_MORE: Duration = Duration::from_secs(30);

/// A run that has violated something.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) plan: Plan,
    /// The seed that the plan was drawn from, if it was.
    pub(super) token: Option<Token>,
    pub(super) violation: Violation,
    /// Whether a second run was the same.
    pub(super) repeats: bool,
    /// Whether it came to an end: if not, nothing is executed again.
    pub(super) ended: bool,
}

impl Failed {
    /// Says and keeps at once what is known, since the rest takes a while; then makes the plan as
    /// small as can be, draws it, and returns all there is to say.
    pub(super) fn text(
        &self,
        subject: &Subject,
        caller: &Caller,
        dir: &Path,
        jobs: usize,
    ) -> String {
        let of = match self.token {
            Some(token) => format!("seed {token}"),
            None => "the plan".to_owned(),
        };
        let violated = format!("{of} violates {}\n", self.violation);
        let replay = match self.token {
            Some(token) => format!("replay:   {}\n", caller.again("CHIL_SIM_SEED", token)),
            None => String::new(),
        };
        let files = Files::of(dir, self.token);
        let kept = files.keep(&self.plan);
        let plan = match &kept {
            Ok(()) => files.named(caller, ""),
            Err(error) => format!("cannot write to {}: {error}\n", dir.display()),
        };
        say(format!("{violated}{replay}{plan}").trim_end());

        let mut text = violated;
        let (blamed, stuck) = self.blamed(subject);
        text.extend(blamed);
        text.push_str(&replay);
        if stuck || kept.is_err() {
            // What holds up one thread, a lock of the machine's say, may hold up all.
            text.push_str(&plan);
        } else if let Err(error) = self.draw(subject, caller, &files, jobs, &mut text) {
            let _ = writeln!(text, "cannot write to {}: {error}", dir.display());
        }
        text
    }

    /// Who may be to blame, if that can be said: a line; and whether finding out did not end.
    fn blamed(&self, subject: &Subject) -> (Option<String>, bool) {
        if !self.ended {
            let what = "the state machine, its model or the workload may be in a loop without an \
                        end: attach a debugger to the replay\n";
            return (Some(what.to_owned()), false);
        }
        let (of, suspected) = (self.clone(), subject.clone());
        let suspicion = one_within(ONCE_MORE, move || of.suspicion(&suspected));
        let Some(suspicion) = suspicion else {
            let seconds = ONCE_MORE.as_secs();
            let what = format!(
                "executing the same commands once more had not ended after {seconds} seconds\n"
            );
            return (Some(what), true);
        };
        if let Some(suspicion) = suspicion {
            return (Some(suspicion + "\n"), false);
        }
        let differs = "and a second run of it was another one: the state machine or the workload is \
                       not deterministic. Look for clocks, random numbers and the order of hash \
                       maps\n";
        ((!self.repeats).then(|| differs.to_owned()), false)
    }

    fn draw(
        &self,
        subject: &Subject,
        caller: &Caller,
        files: &Files,
        jobs: usize,
        text: &mut String,
    ) -> std::io::Result<()> {
        let (plan, shrunk) = self.shrunk(subject, &caller.name, jobs);
        files.keep(&plan)?;
        text.push_str(&files.named(caller, &shrunk));
        if !self.ended {
            return Ok(());
        }
        let drawn = subject.clone();
        let Some(recording) = one_within(ONCE_MORE, move || record(&drawn, &plan, 1).1) else {
            let seconds = ONCE_MORE.as_secs();
            let _ = writeln!(
                text,
                "no diagram: executing it once more had not ended after {seconds} seconds"
            );
            return Ok(());
        };
        fs::write(&files.html, html(&recording))?;
        let _ = writeln!(text, "diagram:  {}", files.html.display());
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
        let (began, shrink) = (Instant::now(), Shrink::new(subject, &self.plan).jobs(jobs));
        let shrunk = shrink.run(|_| began.elapsed() < SHRINKING);
        match shrunk {
            None => (self.plan.clone(), String::new()),
            Some(shrunk) => {
                let given_up = match shrunk.given_up {
                    0 => String::new(),
                    count => format!("; {count} smaller ones did not end and were given up"),
                };
                let counts = format!("  ({}; was {}{given_up})", shrunk.after, shrunk.before);
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
        let suspect = || {
            let found = suspicion::suspect(subject, &executed);
            if found.is_some() || self.repeats {
                // What was the same twice looks at no clock.
                return found;
            }
            suspicion::suspect_clock(subject, &executed)
        };
        // The machine may panic at just these commands: what is known by now must be told all the same.
        match caught(suspect) {
            Ok(suspicion) => suspicion,
            Err(panic) => Some(format!(
                "the state machine panics by itself when it executes the same commands without a \
                 cluster: {}",
                panic.what
            )),
        }
    }
}

/// What is left of a failure.
#[derive(Clone, Debug)]
struct Files {
    plan: PathBuf,
    html: PathBuf,
}

impl Files {
    fn of(dir: &Path, token: Option<Token>) -> Self {
        let stem = match token {
            Some(token) => format!("seed-{}", token.seed),
            None => "plan".to_owned(),
        };
        Self {
            plan: dir.join(format!("{stem}.json")),
            html: dir.join(format!("{stem}.html")),
        }
    }

    /// Keeps a plan instead of any before.
    fn keep(&self, plan: &Plan) -> std::io::Result<()> {
        if let Some(dir) = self.plan.parent() {
            fs::create_dir_all(dir)?;
        }
        replace(&self.plan, &serde_json::to_string_pretty(plan)?)
    }

    /// Where the plan is, of which there is this to say, and how it is run.
    fn named(&self, caller: &Caller, note: &str) -> String {
        let shown = self.plan.display();
        let again = caller.again("CHIL_SIM_PLAN", &shown);
        format!("plan:     {shown}{note}\n          {again}\n")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, OnceLock};

    use chil_core::kv::KeyValue;

    use super::*;
    use crate::signature::ASSERTION;

    #[test]
    fn the_plan_is_kept_before_anything_is_executed_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("seed-3.json");
        let seen = Arc::new(OnceLock::new());
        let (looked_for, first) = (file.clone(), Arc::clone(&seen));
        let subject = Subject::new(move || -> KeyValue {
            first.get_or_init(|| Plan::load(&looked_for).ok());
            panic!("not again")
        });
        let plan = crate::swarm::short(3);
        let failed = Failed {
            token: Some(Token::of(&plan)),
            plan: plan.clone(),
            violation: Violation {
                check: ASSERTION,
                node: None,
                what: "not again".to_owned(),
            },
            repeats: true,
            ended: true,
        };
        let text = failed.text(&subject, &Caller::current(), dir.path(), 1);
        assert_eq!(seen.get(), Some(&Some(plan.clone())), "{text}");
        assert!(text.contains("; was "), "{text}");
        assert_ne!(Plan::load(&file).unwrap(), plan, "it was made smaller");
    }

    #[test]
    fn what_did_not_end_is_told_without_being_begun_again() {
        let dir = tempfile::tempdir().unwrap();
        let plan = crate::swarm::short(3);
        let failed = Failed {
            token: Some(Token::of(&plan)),
            plan,
            violation: Violation {
                check: ASSERTION,
                node: None,
                what: "the run had not ended".to_owned(),
            },
            repeats: false,
            ended: false,
        };
        let subject = Subject::new(|| -> KeyValue { panic!("it is begun again") });
        let text = failed.text(&subject, &Caller::current(), dir.path(), 1);
        assert!(text.contains("a loop without an end"), "{text}");
        assert!(text.contains("replay:   CHIL_SIM_SEED=3:"), "{text}");
        assert!(text.contains("seed-3.json cargo test chaos::"), "{text}");
        assert!(!text.contains("diagram"), "{text}");
        let saved = Plan::load(&dir.path().join("seed-3.json")).unwrap();
        assert_eq!(saved, failed.plan);
    }
}
