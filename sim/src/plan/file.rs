//! Plans in files: what replay, shrinking and tests of chaos are handed.
//! Knows nothing about how a plan is executed.

use std::path::Path;

use anyhow::Context as _;

use super::Plan;

impl Plan {
    /// Reads a plan, and checks that it can be run.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the plan {shown}"))?;
        let plan: Self =
            serde_json::from_str(&text).with_context(|| format!("{shown} is not a plan"))?;
        // First: what is out of bounds would overflow in the other checks.
        plan.check_bounds()?;
        plan.check()?;
        Ok(plan)
    }
}
