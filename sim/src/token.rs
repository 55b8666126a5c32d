//! How people name a run: a seed, with a fingerprint of the plan that was drawn from it.
//! Knows nothing about how a plan is drawn or executed.

use std::fmt;
use std::str::FromStr;

use serde::Serialize as _;
use xxhash_rust::xxh3::xxh3_64;

use crate::plan::Plan;
use crate::swarm;

/// A seed, and what it meant when it was noted: `468` or `468:1a2b3c4d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The seed.
    pub seed: u64,
    /// The fingerprint of the plan that was drawn from it, if that was noted.
    pub fingerprint: Option<u32>,
}

impl Token {
    /// The token of a plan as it was drawn from a seed: before it was made fit for a subject.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        Self {
            seed: plan.seed,
            fingerprint: Some(fingerprint(plan)),
        }
    }

    /// The plan that this build draws from the seed, cut short or not, and a warning when it is
    /// another one than the token was made for.
    #[must_use]
    pub fn plan(&self, short: bool) -> (Plan, Option<String>) {
        let plan = swarm::drawn(self.seed, short);
        let now = fingerprint(&plan);
        let changed = self.fingerprint.is_some_and(|then| then != now);
        let warning = changed.then(|| {
            format!(
                "this build draws another plan from seed {} than the one of {self} (now {now:08x}): \
                 the run is another one. Use the build that found it, or the plan that it saved",
                self.seed
            )
        });
        (plan, warning)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fingerprint {
            Some(fingerprint) => write!(f, "{}:{fingerprint:08x}", self.seed),
            None => write!(f, "{}", self.seed),
        }
    }
}

/// What is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError(String);

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is neither a seed, such as 468, nor a seed with the fingerprint of its plan, such \
             as 468:1a2b3c4d",
            self.0
        )
    }
}

impl std::error::Error for TokenError {}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let error = || TokenError(text.to_owned());
        let (seed, fingerprint) = match text.split_once(':') {
            Some((seed, hex)) => {
                let fingerprint = u32::from_str_radix(hex, 16).map_err(|_| error())?;
                (seed, Some(fingerprint))
            }
            None => (text, None),
        };
        let seed = seed.replace('_', "").parse().map_err(|_| error())?;
        Ok(Self { seed, fingerprint })
    }
}

/// A number that differs, most likely, when two plans differ. It is the same on every machine.
#[must_use]
pub fn fingerprint(plan: &Plan) -> u32 {
    let mut text = Vec::new();
    let mut json = serde_json::Serializer::new(&mut text);
    plan.serialize(&mut json)
        .expect("numbers, strings and lists are always JSON");
    u32::try_from(xxh3_64(&text) >> 32).expect("half of a word")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_being_written_down() {
        for token in [
            Token::of(&swarm::plan(468)),
            Token::of(&swarm::plan(u64::MAX)),
        ] {
            assert_eq!(token.to_string().parse::<Token>(), Ok(token));
        }
        let bare = Token {
            seed: 1_000,
            fingerprint: None,
        };
        assert_eq!("1_000".parse::<Token>(), Ok(bare));
        for wrong in ["", "x", "5:", ":5", "5:xyz", "5:123456789", "-1"] {
            assert!(wrong.parse::<Token>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_meaning_of_a_seed_is_noticed() {
        let token = Token::of(&swarm::plan(7));
        assert_eq!(token.plan(false), (swarm::plan(7), None));
        let short = Token::of(&swarm::short(7));
        assert_eq!(short.plan(true), (swarm::short(7), None));
        assert!(short.plan(false).1.is_some());
        let bare = Token {
            fingerprint: None,
            ..token
        };
        assert_eq!(bare.plan(false).1, None);
        let other = Token {
            fingerprint: token.fingerprint.map(|it| it ^ 1),
            ..token
        };
        let warning = other.plan(false).1.unwrap();
        assert!(warning.contains(&other.to_string()), "{warning}");
        assert_ne!(fingerprint(&swarm::plan(1)), fingerprint(&swarm::plan(2)));
    }
}
