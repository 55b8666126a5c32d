//! Machines with large requests: whatever limits a plan draws, the sound ones of them survive.
//! What is violated by others is `chaos.rs`'s.

use std::io::{Read, Result, Write};

use bytes::Bytes;
use chil_core::{FrozenState, Slot, StateMachine};
use chil_sim::subject::Subject;
use chil_sim::{Chaos, Draw, Request, swarm};

/// Some large values by their keys.
#[derive(Clone, Debug, Default)]
struct Shelf([Bytes; KEYS]);

const KEYS: usize = 16;
const LARGE: u64 = 60 << 10;

impl StateMachine for Shelf {
    fn apply(&mut self, _slot: Slot, command: &Bytes) -> Bytes {
        self.0[usize::from(command[0]) % KEYS] = command.clone();
        command.slice(..9)
    }

    fn query(&self, query: &Bytes) -> Bytes {
        let value = &self.0[usize::from(query[0]) % KEYS];
        value.slice(..value.len().min(9))
    }

    fn digest(&self) -> u128 {
        let heads = self.0.iter().flat_map(|value| value.iter().take(9));
        let head = heads.fold(7_u128, |sum, byte| {
            sum.wrapping_mul(257).wrapping_add(u128::from(*byte))
        });
        head ^ self.0.iter().map(|value| value.len() as u128).sum::<u128>()
    }

    fn freeze(&self) -> Box<dyn FrozenState> {
        Box::new(Frozen(self.clone()))
    }

    fn restore(&mut self, from: &mut dyn Read) -> Result<()> {
        for value in &mut self.0 {
            let mut len = [0; 8];
            from.read_exact(&mut len)?;
            let mut bytes = Vec::new();
            from.take(u64::from_le_bytes(len)).read_to_end(&mut bytes)?;
            *value = bytes.into();
        }
        Ok(())
    }
}

struct Frozen(Shelf);

impl FrozenState for Frozen {
    fn write_to(&self, out: &mut dyn Write) -> Result<()> {
        for value in &self.0.0 {
            out.write_all(&(value.len() as u64).to_le_bytes())?;
            out.write_all(value)?;
        }
        Ok(())
    }
}

/// Every value is another one, and nearly as large as can be.
fn requests(draw: &mut Draw<'_>) -> Request {
    let key = u8::try_from(draw.below(KEYS as u64)).unwrap();
    if draw.chance(20) {
        return Request::Query(Bytes::from(vec![key]));
    }
    let len = draw.range(LARGE - 1_000, LARGE);
    let mut value = vec![key];
    value.extend(draw.number().to_le_bytes());
    value.resize(usize::try_from(len).unwrap(), b'.');
    Request::Command(value.into())
}

#[test]
fn a_sound_machine_with_large_requests_survives() {
    let chaos = Chaos::new(Shelf::default).workload(requests);
    let dir = tempfile::tempdir().unwrap();
    let told = chaos.seeds(160).artifacts(dir.path()).check();
    let stats = told.unwrap_or_else(|told| panic!("{told}"));
    assert!(stats.turned_away > 0, "{} turned away", stats.turned_away);
    assert!(
        stats.snapshots_installed > 10,
        "{}",
        stats.snapshots_installed
    );
}

#[test]
fn a_plan_can_be_run_whatever_size_it_is_made_fit_for() {
    for bytes in [1, 100, LARGE, 1 << 20, 8_000_000, u64::MAX] {
        let subject = Subject::new(Shelf::default).with_request_bytes_max(bytes);
        for seed in 0..200 {
            for short in [true, false] {
                let mut plan = swarm::drawn(seed, short);
                subject.fit(&mut plan);
                plan.check()
                    .unwrap_or_else(|error| panic!("{seed}, {bytes}: {error}"));
                let mut again = plan.clone();
                subject.fit(&mut again);
                assert_eq!(again, plan, "what fits already is left as it is");
            }
        }
    }
}

#[test]
fn a_request_that_no_node_takes_is_refused_before_anything_is_run() {
    let chaos = Chaos::new(Shelf::default).workload(requests);
    let told = chaos.request_bytes_max(u64::MAX).check().unwrap_err();
    assert!(
        told.contains("more than a node can be told to take: 8388480"),
        "{told}"
    );
}
