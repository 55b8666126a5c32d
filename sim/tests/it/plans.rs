//! Plans that were made for bugs which random seeds find rarely: right code must hold everything.
//! How a plan is drawn is not tested here; `cargo chaos mutants` says which bugs each plan finds.

use std::fs;
use std::path::Path;

use chil_sim::plan::Plan;
use chil_sim::run::Watch;
use chil_sim::subject::Subject;
use chil_sim::sweep::guarded;

#[test]
fn every_plan_that_was_made_for_a_hard_bug_holds_everything() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut plans = 0;
    for file in fs::read_dir(&dir).unwrap() {
        let path = file.unwrap().path();
        let plan: Plan = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        plan.check().unwrap();
        let outcome = guarded(&Subject::key_value(), &plan, Watch::default());
        assert_eq!(outcome.violation, None, "{}", path.display());
        let asked = plan
            .script
            .as_ref()
            .is_none_or(|it| !it.requests.is_empty());
        assert!(
            outcome.stats.ballots > 0 && (outcome.stats.slots > 0 || !asked),
            "{} decides nothing",
            path.display()
        );
        plans += 1;
    }
    assert!(plans > 0, "no plans in {}", dir.display());
}
