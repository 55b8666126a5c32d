//! V3 Answered: operations that clients begin after the faults come to an end, and with their answer
//! if all was well by then.
//! Knows nothing about what the answer must be.
//!
//! PROTOCOL.md, "Liveness".

use chil_core::Refusal;

/// Of the operations that began after the healing, each with its description, those that are not
/// `done`.
pub(crate) fn check(operations: impl Iterator<Item = (bool, String)>) -> Result<(), String> {
    let (mut all, mut open) = (0_u64, Vec::new());
    for (done, description) in operations {
        all += 1;
        if !done {
            open.push(description);
        }
    }
    match open.first() {
        None => Ok(()),
        Some(example) => Err(format!(
            "{} of {all} operations that began after the healing got no answer, such as {example}",
            open.len()
        )),
    }
}

/// A node refuses an operation. What clients of a run ask for fits into every limit, so only
/// reasons that pass are allowed: a leader elsewhere, a full window.
pub(crate) fn check_refusal(reason: Refusal) -> Result<(), String> {
    match reason {
        Refusal::NotLeader { .. } | Refusal::Overloaded => Ok(()),
        Refusal::TooLarge { len, max } => {
            Err(format!("refuses {len} bytes although {max} are allowed"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_found() {
        let all = |done: &[bool]| {
            let each: Vec<_> = done.iter().map(|d| (*d, format!("a {d} one"))).collect();
            check(each.into_iter())
        };
        assert_eq!(all(&[true, true]), Ok(()));
        assert_eq!(all(&[]), Ok(()));
        let one = all(&[true, false, true]);
        assert!(one.is_err_and(|what| what.contains("1 of 3") && what.contains("a false one")));
    }

    #[test]
    fn a_refusal_for_ever_is_found() {
        assert_eq!(check_refusal(Refusal::Overloaded), Ok(()));
        assert_eq!(check_refusal(Refusal::NotLeader { hint: None }), Ok(()));
        assert!(check_refusal(Refusal::TooLarge { len: 2, max: 3 }).is_err());
    }
}
