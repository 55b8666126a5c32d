//! A service with a state machine of its own, put through chaos in ordinary tests.
//!
//! Payments carry a key that the payer chooses, so that a payment that is asked for twice, by an
//! impatient customer or a proxy that retries, happens once. The machine remembers the keys. Two
//! versions of it stand side by side: `Bank` is right; `ForgetfulBank` leaves the keys out of its
//! snapshots, a bug that no test on one node shows, and few on three.
//!
//! ```text
//! cargo test -p chil-sim --example payments           # both are judged as they deserve
//! cargo run -p chil-sim --example payments            # shows how the bug is reported
//! CHIL_SIM_SEEDS=5m cargo test -p chil-sim --example payments the_bank
//! ```

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Result, Write};

use bytes::Bytes;
use chil_core::{FrozenState, Slot, StateMachine};
use chil_sim::{Chaos, Draw, Model, Request};

/// Balances, and the answers to payments by their key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Accounts {
    balances: BTreeMap<String, i64>,
    answers: BTreeMap<String, String>,
}

impl Accounts {
    /// `pay KEY ACCOUNT AMOUNT`; the reply is the balance after the payment.
    fn pay(&mut self, command: &Bytes) -> Bytes {
        let text = String::from_utf8_lossy(command);
        let ["pay", key, account, amount] = text.split(' ').collect::<Vec<_>>()[..] else {
            return Bytes::from_static(b"not understood");
        };
        let Ok(amount) = amount.parse::<i64>() else {
            return Bytes::from_static(b"not an amount");
        };
        if let Some(answer) = self.answers.get(key) {
            return Bytes::from(answer.clone());
        }
        let balance = self.balances.entry(account.to_owned()).or_default();
        *balance = balance.saturating_add(amount);
        let answer = format!("{account} has {balance}");
        self.answers.insert(key.to_owned(), answer.clone());
        Bytes::from(answer)
    }

    /// A query is an account's name.
    fn balance(&self, query: &Bytes) -> Bytes {
        let account = String::from_utf8_lossy(query);
        let balance = self.balances.get(&*account).copied().unwrap_or_default();
        Bytes::from(balance.to_string())
    }

    fn digest(&self) -> u128 {
        // Fixed keys: the same digest on every node.
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish().into()
    }

    fn write(&self, out: &mut dyn Write) -> Result<()> {
        for (account, balance) in &self.balances {
            writeln!(out, "balance {account} {balance}")?;
        }
        for (key, answer) in &self.answers {
            writeln!(out, "answer {key} {answer}")?;
        }
        Ok(())
    }

    fn read(from: &mut dyn Read) -> Result<Self> {
        let mut text = String::new();
        from.read_to_string(&mut text)?;
        let mut read = Self::default();
        for line in text.lines() {
            match line.splitn(3, ' ').collect::<Vec<_>>()[..] {
                ["balance", account, balance] => {
                    let balance = balance.parse().map_err(std::io::Error::other)?;
                    read.balances.insert(account.to_owned(), balance);
                }
                ["answer", key, answer] => {
                    read.answers.insert(key.to_owned(), answer.to_owned());
                }
                _ => return Err(std::io::Error::other(format!("'{line}' is no state"))),
            }
        }
        Ok(read)
    }
}

/// As simple as it gets: no snapshots, no restarts.
impl Model for Accounts {
    fn apply(&mut self, command: &Bytes) -> Bytes {
        self.pay(command)
    }

    fn query(&self, query: &Bytes) -> Bytes {
        self.balance(query)
    }
}

/// The state machine as it should be.
#[derive(Default)]
struct Bank(Accounts);

struct Frozen(Accounts);

impl FrozenState for Frozen {
    fn write_to(&self, out: &mut dyn Write) -> Result<()> {
        self.0.write(out)
    }
}

impl StateMachine for Bank {
    fn apply(&mut self, _slot: Slot, command: &Bytes) -> Bytes {
        self.0.pay(command)
    }

    fn query(&self, query: &Bytes) -> Bytes {
        self.0.balance(query)
    }

    fn digest(&self) -> u128 {
        self.0.digest()
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        Box::new(Frozen(self.0.clone()))
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<()> {
        self.0 = Accounts::read(from)?;
        Ok(())
    }
}

/// The same, by somebody who thought that the keys are a cache.
#[derive(Default)]
struct ForgetfulBank(Accounts);

impl ForgetfulBank {
    fn what_counts(&self) -> Accounts {
        Accounts {
            balances: self.0.balances.clone(),
            answers: BTreeMap::new(),
        }
    }
}

impl StateMachine for ForgetfulBank {
    fn apply(&mut self, _slot: Slot, command: &Bytes) -> Bytes {
        self.0.pay(command)
    }

    fn query(&self, query: &Bytes) -> Bytes {
        self.0.balance(query)
    }

    fn digest(&self) -> u128 {
        self.what_counts().digest()
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        Box::new(Frozen(self.what_counts()))
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<()> {
        self.0 = Accounts::read(from)?;
        Ok(())
    }
}

/// Some payments, now and then one that was asked for before, and some looks at balances.
fn requests(draw: &mut Draw<'_>) -> Request {
    let account = ["anna", "ben", "carl"][draw.below(3) as usize];
    if draw.chance(20) {
        return Request::Query(Bytes::from(account));
    }
    let number = draw.number();
    let key = if draw.chance(30) {
        number.saturating_sub(draw.range(1, 20))
    } else {
        number
    };
    // The key decides what is paid: whoever asks again asks for the same.
    let (account, amount) = (["anna", "ben", "carl"][(key % 3) as usize], 1 + key % 9);
    Request::Command(Bytes::from(format!("pay k{key} {account} {amount}")))
}

fn sound() -> Chaos {
    Chaos::new(Bank::default)
        .workload(requests)
        .model(Accounts::default())
}

fn forgetful() -> Chaos {
    Chaos::new(ForgetfulBank::default)
        .workload(requests)
        .model(Accounts::default())
}

fn main() {
    sound().run();
    forgetful().run();
}

#[cfg(test)]
mod tests {
    use super::*;
    use chil_sim::plan::Plan;

    #[test]
    fn the_bank_survives_chaos() {
        sound().run();
    }

    #[test]
    fn the_forgetful_bank_is_found_and_its_story_is_short() {
        let dir = std::env::temp_dir().join(format!("chil-payments-{}", std::process::id()));
        let told = forgetful()
            .seeds(2_000)
            .artifacts(&dir)
            .check()
            .unwrap_err();
        assert!(told.contains("CHIL_SIM_SEED="), "{told}");
        let mut files = std::fs::read_dir(&dir)
            .unwrap()
            .map(|file| file.unwrap().path());
        let json = files
            .find(|path| path.extension().is_some_and(|e| e == "json"))
            .unwrap();
        let plan: Plan = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
        let script = plan.script.unwrap();
        let size = plan.faults.len()
            + script.requests.len()
            + script.accidents.len()
            + script.answers.len();
        assert!(size <= 10, "{size} faults and requests:\n{told}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
