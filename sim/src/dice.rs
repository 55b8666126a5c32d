//! All randomness of a run: one ChaCha8 stream for each concern, all from the run's seed.
//! Knows nothing about what is drawn; drawing more for one concern never changes another's draws.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What a stream of random numbers is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Drawing the plan itself.
    Plan,
    /// Loss, duplication, and what comes late.
    Network,
    /// How long a message takes.
    Latency,
    /// What becomes of answers to clients with sessions.
    Answers,
    /// Latency of disks, and what a crash leaves of unsynced writes.
    Disk,
    /// When clients act, whom they ask, and how they read.
    Clients,
    /// What clients ask for.
    Workload,
    /// Identities and seeds handed to the nodes.
    Nodes,
    /// Drawing what the plan says of snapshots, sessions, leases and transfers.
    Features,
    /// What the automatons of clients with sessions draw.
    Callers,
    /// How long the work on snapshots and the execution of what is decided take.
    Work,
    /// Drawing the latencies of single links.
    Routes,
    /// Drawing limits of single members.
    Limits,
    /// Drawing links that flap, swizzles, and slow nodes.
    Troubles,
    /// Drawing who is left outside of the core when the faults are over.
    Core,
    /// Drawing runs under plain overload.
    Overload,
    /// Drawing how much nodes let in.
    Admission,
    /// Drawing how much waits on links.
    Delivery,
}

/// A source of random numbers for one concern.
#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of `concern` in the run with this seed.
    #[must_use]
    pub fn new(seed: u64, concern: Concern) -> Self {
        Self::of(seed, concern, 0)
    }

    /// The stream of `concern` for the node of this index, or whatever else has its own.
    #[must_use]
    pub fn of(seed: u64, concern: Concern, nth: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let concern = match concern {
            Concern::Plan => 1,
            Concern::Network => 2,
            Concern::Disk => 3,
            Concern::Workload => 4,
            Concern::Nodes => 5,
            Concern::Features => 6,
            Concern::Work => 7,
            Concern::Callers => 8,
            Concern::Clients => 9,
            Concern::Latency => 10,
            Concern::Answers => 11,
            Concern::Routes => 12,
            Concern::Limits => 13,
            Concern::Troubles => 14,
            Concern::Core => 15,
            Concern::Overload => 16,
            Concern::Admission => 17,
            Concern::Delivery => 18,
        };
        rng.set_stream(concern | (nth as u64) << 8);
        Self(rng)
    }

    /// Any 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 when that is 0. The bias of the multiplication is below 2^-32
    /// for the small bounds used here, and the same everywhere.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("a product of two words, halved, is a word")
    }

    /// A number in `low ..= high`.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A number in `low ..= high` whose magnitude is what is evenly spread: small ones are as
    /// frequent as large ones.
    pub fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let low = low.max(1);
        let doublings = u64::from((high / low).max(1).ilog2());
        let base = low << self.below(doublings + 1);
        self.range(base, (base * 2).min(high).max(base))
    }

    /// An index below `len`, which must not be 0.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    /// True `per_million` times in a million.
    pub fn chance(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.below(1_000_000) < u64::from(per_million)
    }

    /// Brings a list into any order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for place in (1..list.len()).rev() {
            list.swap(place, self.index(place + 1));
        }
    }

    /// True every second time.
    pub fn coin(&mut self) -> bool {
        self.0.next_u32() & 1 == 1
    }
}

/// Random numbers for one thing of many, such as a message: they depend on its name alone and not
/// on what was drawn before, so that leaving other things out of a run changes as little as can be.
///
/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lot(u64);

impl Lot {
    /// The numbers of what is called `name` in the run with this seed.
    pub(crate) fn new(seed: u64, concern: Concern, name: [u64; 4]) -> Self {
        let [a, b, c, d] = name;
        let words = [a, b, c, d, concern as u64];
        let mut bytes = [0_u8; 40];
        for (to, from) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        Self(xxh3_64_with_seed(&bytes, seed))
    }

    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `bound`; 0 when that is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.word()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("a product of two words, halved, is a word")
    }

    /// A number in `low ..= high`.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True `per_million` times in a million.
    pub(crate) fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }
}

/// What a workload draws a request from.
#[derive(Debug)]
pub struct Draw<'a> {
    dice: &'a mut Dice,
    client: usize,
    number: u64,
}

impl<'a> Draw<'a> {
    pub(crate) const fn new(dice: &'a mut Dice, client: usize, number: u64) -> Self {
        Self {
            dice,
            client,
            number,
        }
    }

    /// Which client asks, from 0.
    #[must_use]
    pub const fn client(&self) -> usize {
        self.client
    }

    /// The number of the request: no two of a run have the same.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Any 64 bits.
    pub fn word(&mut self) -> u64 {
        self.dice.word()
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.dice.below(bound)
    }

    /// A number in `low ..= high`.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        self.dice.range(low, high)
    }

    /// True every second time.
    pub fn coin(&mut self) -> bool {
        self.dice.coin()
    }

    /// True `percent` times in a hundred.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.dice.chance(percent.saturating_mul(10_000))
    }

    /// One of them; `None` if there are none.
    pub fn pick<'b, T>(&mut self, of: &'b [T]) -> Option<&'b T> {
        let at = self.below(of.len() as u64);
        of.get(usize::try_from(at).unwrap_or(usize::MAX))
    }

    pub(crate) fn chance_ppm(&mut self, per_million: u32) -> bool {
        self.dice.chance(per_million)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Concern {
        const ALL: [Self; 18] = [
            Self::Plan,
            Self::Network,
            Self::Latency,
            Self::Answers,
            Self::Disk,
            Self::Clients,
            Self::Workload,
            Self::Nodes,
            Self::Features,
            Self::Callers,
            Self::Work,
            Self::Routes,
            Self::Limits,
            Self::Troubles,
            Self::Core,
            Self::Overload,
            Self::Admission,
            Self::Delivery,
        ];
    }

    #[test]
    fn every_concern_is_in_the_list() {
        let last = Concern::Delivery as usize;
        assert_eq!(Concern::ALL.len(), last + 1, "a new one belongs there, too");
        assert!(
            Concern::ALL
                .iter()
                .enumerate()
                .all(|(at, c)| *c as usize == at)
        );
    }

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let draw = |concern| -> Vec<u64> {
            let mut dice = Dice::new(7, concern);
            (0..4).map(|_| dice.word()).collect()
        };
        assert_eq!(draw(Concern::Disk), draw(Concern::Disk));
        assert_ne!(draw(Concern::Disk), draw(Concern::Network));
    }

    #[test]
    fn one_more_draw_for_one_concern_changes_nothing_in_any_other() {
        let all = Concern::ALL.map(|concern| (concern, Dice::new(7, concern)));
        let rest = |dice: &mut Dice| [(); 64].map(|()| dice.word());
        let straight = all.clone().map(|(_, mut dice)| rest(&mut dice));
        for more in Concern::ALL {
            // All streams are drawn from in turns, and one of them once more in each.
            let mut drawn = all.clone().map(|(_, dice)| (dice, Vec::new()));
            for _ in 0..64 {
                for (concern, (dice, words)) in Concern::ALL.into_iter().zip(&mut drawn) {
                    if concern == more {
                        dice.word();
                    }
                    words.push(dice.word());
                }
            }
            for ((concern, (_, words)), straight) in Concern::ALL.iter().zip(drawn).zip(&straight) {
                let same = words == straight;
                assert_eq!(same, *concern != more, "{concern:?} after {more:?}");
            }
        }
        let mut firsts = straight.map(|words| words[0]).to_vec();
        firsts.extend((1..5).map(|nth| Dice::of(7, Concern::Disk, nth).word()));
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(
            firsts.len(),
            Concern::ALL.len() + 4,
            "no two are one stream"
        );
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut dice = Dice::new(1, Concern::Plan);
        let mut seen = [false; 3];
        for _ in 0..200 {
            let n = dice.range(5, 7);
            seen[usize::try_from(n).unwrap() - 5] = true;
            assert!((10..=5_000).contains(&dice.magnitude(10, 5_000)));
            assert!(!dice.chance(0));
            assert!(dice.chance(1_000_000));
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(dice.below(0), 0);
    }

    #[test]
    fn a_shuffled_list_holds_the_same_in_every_order() {
        let mut dice = Dice::new(1, Concern::Plan);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let mut list = [1, 2, 3];
            dice.shuffle(&mut list);
            seen.insert(list);
        }
        let sorted = |mut list: [i32; 3]| {
            list.sort_unstable();
            list
        };
        assert!(seen.iter().all(|list| sorted(*list) == [1, 2, 3]));
        assert_eq!(seen.len(), 6);
    }
}
