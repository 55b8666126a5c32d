//! What is known of each logical address: where it leads, what worked last, and for how long.
//! Knows nothing about where the knowledge comes from, nor who lives at an address.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use chil_core::{Span, Time};

use super::ResolveError;

/// How an attempt to connect went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// Whoever was meant answered.
    Connected,
    /// Nobody answered, or somebody else did.
    Failed,
}

/// Logical addresses and what they stand for.
///
/// An address that was found once stays until it was missing in `patience` answers running: a
/// failed answer says nothing, and an answer that leaves something out may be a partial one.
///
/// For each logical address: `good` is one of `spots`; `spots` is empty only before the first
/// successful answer; no socket address stands in `spots` twice.
#[derive(Clone, Debug)]
pub struct Directory {
    patience: u32,
    places: BTreeMap<String, Place>,
    /// Counts what happens, so that "later" can be told.
    events: u64,
}

#[derive(Clone, Debug)]
struct Place {
    /// In the order of the last answer; those that it left out come last.
    spots: Vec<Spot>,
    good: Option<SocketAddr>,
    /// When the last answer came that was one.
    learned: Option<Time>,
    /// When anybody last tried to find out.
    attempted: Option<Time>,
    attempts: u64,
    error: Option<ResolveError>,
    /// The event of the last change of `spots`.
    changed: u64,
    /// The event at which it was last asked for.
    asked: u64,
}

#[derive(Clone, Debug)]
struct Spot {
    at: SocketAddr,
    /// In how many answers running it was missing.
    missing: u32,
    /// The event at which it last failed, if it did not work since.
    failed: Option<u64>,
}

impl Directory {
    /// Most logical addresses; above it the one that was not asked for for longest is forgotten.
    pub const PLACES_MAX: usize = 256;
    /// Most socket addresses that are kept of one answer.
    pub const SPOTS_MAX: usize = 16;

    /// Knows nothing yet. What is missing in `patience` answers running is given up.
    #[must_use]
    pub fn new(patience: u32) -> Self {
        Self {
            patience: patience.max(1),
            places: BTreeMap::new(),
            events: 0,
        }
    }

    /// Somebody wants to know about `address`. Returns what was forgotten for it.
    pub fn ask(&mut self, address: &str) -> Option<String> {
        let event = self.next_event();
        if let Some(place) = self.places.get_mut(address) {
            place.asked = event;
            return None;
        }
        let forgotten = self.make_room();
        let place = Place {
            spots: Vec::new(),
            good: None,
            learned: None,
            attempted: None,
            attempts: 0,
            error: None,
            changed: event,
            asked: event,
        };
        self.places.insert(address.to_owned(), place);
        forgotten
    }

    /// An answer has come for `address`. Returns whether its candidates are others than before.
    /// What nobody asks for is not learned.
    pub fn learned(
        &mut self,
        now: Time,
        address: &str,
        answer: Result<Vec<SocketAddr>, ResolveError>,
    ) -> bool {
        let event = self.next_event();
        let patience = self.patience;
        let Some(place) = self.places.get_mut(address) else {
            return false;
        };
        place.attempted = Some(now);
        place.attempts += 1;
        let found = match answer {
            Ok(found) if !found.is_empty() => found,
            // Nowhere at all is more often a mistake than the truth, and leads nowhere.
            Ok(_) => return false,
            Err(error) => {
                place.error = Some(error);
                return false;
            }
        };
        place.error = None;
        place.learned = Some(now);
        let changed = place.take(&found, patience);
        if changed {
            place.changed = event;
        }
        changed
    }

    /// An attempt to connect to `at` for `address` has ended.
    pub fn tried(&mut self, address: &str, at: SocketAddr, outcome: Tried) {
        let event = self.next_event();
        let Some(place) = self.places.get_mut(address) else {
            return;
        };
        let Some(spot) = place.spots.iter_mut().find(|spot| spot.at == at) else {
            return;
        };
        match outcome {
            Tried::Connected => {
                spot.failed = None;
                place.good = Some(at);
            }
            Tried::Failed => {
                spot.failed = Some(event);
                if place.good == Some(at) {
                    place.good = None;
                }
            }
        }
    }

    /// Where to try, in order: what worked last, what has not failed, what failed longest ago.
    #[must_use]
    pub fn candidates(&self, address: &str) -> Vec<SocketAddr> {
        let Some(place) = self.places.get(address) else {
            return Vec::new();
        };
        let mut spots: Vec<&Spot> = place.spots.iter().collect();
        spots.sort_by_key(|spot| (place.good != Some(spot.at), spot.failed.unwrap_or(0)));
        spots.into_iter().map(|spot| spot.at).collect()
    }

    /// Whether `address` does not lead to `at` any more. What nobody knows about leads anywhere.
    #[must_use]
    pub fn left(&self, address: &str, at: SocketAddr) -> bool {
        let place = self.places.get(address);
        place.is_some_and(|place| {
            !place.spots.is_empty() && place.spots.iter().all(|spot| spot.at != at)
        })
    }

    /// A number that is another one whenever the candidates of `address` are.
    #[must_use]
    pub fn version(&self, address: &str) -> Option<u64> {
        self.places.get(address).map(|place| place.changed)
    }

    /// Whether nothing that is known of `address` works at the moment.
    #[must_use]
    pub fn is_lost(&self, address: &str) -> bool {
        let place = self.places.get(address);
        place.is_none_or(|place| place.spots.iter().all(|spot| spot.failed.is_some()))
    }

    /// How long nobody has tried to find out about `address`; `None` if nobody ever has.
    #[must_use]
    pub fn since_attempt(&self, now: Time, address: &str) -> Option<Span> {
        let place = self.places.get(address)?;
        place.attempted.map(|attempted| now.since(attempted))
    }

    /// How often somebody has tried to find out about `address`.
    #[must_use]
    pub fn attempts(&self, address: &str) -> Option<u64> {
        self.places.get(address).map(|place| place.attempts)
    }

    /// Why nothing new was learned of `address` the last time that somebody tried.
    #[must_use]
    pub fn error(&self, address: &str) -> Option<ResolveError> {
        self.places.get(address)?.error.clone()
    }

    /// Whether any address that was asked for leads to `ip`.
    #[must_use]
    pub fn leads_to(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let mut spots = self.places.values().flat_map(|place| &place.spots);
        spots.any(|spot| spot.at.ip().to_canonical() == ip)
    }

    /// What was asked for, in order.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// How many socket addresses are known in all.
    #[must_use]
    pub fn spots(&self) -> usize {
        self.places.values().map(|place| place.spots.len()).sum()
    }

    /// How old the oldest answer is that is relied on; `None` without any. Literals need none.
    #[must_use]
    pub fn age(&self, now: Time) -> Option<Span> {
        let asked = |(address, _): &(&String, &Place)| address.parse::<SocketAddr>().is_err();
        let places = self.places.iter().filter(asked);
        let learned = places.filter_map(|(_, place)| place.learned);
        learned.min().map(|learned| now.since(learned))
    }

    /// Asserts what holds at all times.
    ///
    /// # Panics
    /// If it does not.
    pub fn check(&self) {
        assert!(
            self.places.len() <= Self::PLACES_MAX,
            "{} places, at most {}",
            self.places.len(),
            Self::PLACES_MAX
        );
        for (address, place) in &self.places {
            let mut known: Vec<SocketAddr> = place.spots.iter().map(|spot| spot.at).collect();
            let spots = known.len();
            known.sort_unstable();
            known.dedup();
            assert_eq!(known.len(), spots, "{address}: a socket address twice");
            assert_eq!(
                spots == 0,
                place.learned.is_none(),
                "{address}: what was learned stays"
            );
            let patience = self.patience;
            assert!(place.spots.iter().all(|spot| spot.missing < patience));
            if let Some(good) = place.good {
                assert!(known.contains(&good), "{address}: {good} is forgotten");
            }
        }
    }

    const fn next_event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    /// Nobody wants to know about `address` any more.
    pub fn forget(&mut self, address: &str) {
        self.places.remove(address);
    }

    fn make_room(&mut self) -> Option<String> {
        if self.places.len() < Self::PLACES_MAX {
            return None;
        }
        let oldest = self.places.iter().min_by_key(|(_, place)| place.asked);
        let oldest = oldest.map(|(address, _)| address.clone())?;
        self.places.remove(&oldest);
        Some(oldest)
    }
}

impl Place {
    /// Takes an answer over; returns whether the set of addresses is another one.
    fn take(&mut self, found: &[SocketAddr], patience: u32) -> bool {
        let before: Vec<SocketAddr> = sorted(&self.spots);
        let mut old = std::mem::take(&mut self.spots);
        for at in found {
            if self.spots.len() == Directory::SPOTS_MAX {
                break;
            }
            if self.spots.iter().any(|spot| spot.at == *at) {
                continue;
            }
            let known = old.iter().position(|spot| spot.at == *at);
            let failed = known.and_then(|known| old.swap_remove(known).failed);
            self.spots.push(Spot {
                at: *at,
                missing: 0,
                failed,
            });
        }
        old.retain_mut(|spot| {
            spot.missing += 1;
            spot.missing < patience
        });
        // Removing above changed their order; which one it is matters only for being the same.
        old.sort_unstable_by_key(|spot| spot.at);
        self.spots.extend(old);
        if let Some(good) = self.good
            && self.spots.iter().all(|spot| spot.at != good)
        {
            self.good = None;
        }
        sorted(&self.spots) != before
    }
}

fn sorted(spots: &[Spot]) -> Vec<SocketAddr> {
    let mut at: Vec<SocketAddr> = spots.iter().map(|spot| spot.at).collect();
    at.sort_unstable();
    at
}
