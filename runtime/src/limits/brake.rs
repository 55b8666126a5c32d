//! Whether a node comes too late to its own deadlines to take on more.
//! Knows nothing about what is refused meanwhile, nor how lateness is measured.

use chil_core::{Span, Time};

/// On above a bound, off below half of it; or by itself, when nobody measures any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brake {
    late_max: Span,
    /// Nothing is let in before this.
    on_until: Time,
}

impl Brake {
    /// `late_max` of zero never brakes.
    pub(super) const fn new(late_max: Span) -> Self {
        Self {
            late_max,
            on_until: Time::ZERO,
        }
    }

    /// A deadline was met so late.
    pub(super) fn measured(&mut self, now: Time, late: Span) {
        if self.late_max == Span::ZERO {
            return;
        }
        if late > self.late_max {
            // What has piled up takes about as long again.
            self.on_until = self.on_until.max(now + late);
        } else if late < self.late_max.divided(2) {
            self.on_until = Time::ZERO;
        }
    }

    /// How long nothing is let in, as far as one can tell.
    pub(super) const fn left(&self, now: Time) -> Span {
        self.on_until.since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_until_the_node_is_clearly_in_time_again() {
        let ms = |ms: u64| Time::from_nanos(ms * 1_000_000);
        let mut brake = Brake::new(Span::from_millis(10));
        brake.measured(ms(100), Span::from_millis(10));
        assert_eq!(brake.left(ms(100)), Span::ZERO, "still within bounds");
        brake.measured(ms(100), Span::from_millis(40));
        assert_eq!(brake.left(ms(110)), Span::from_millis(30));
        brake.measured(ms(115), Span::from_millis(7));
        assert_eq!(
            brake.left(ms(115)),
            Span::from_millis(25),
            "between the two bounds"
        );
        brake.measured(ms(120), Span::from_millis(4));
        assert_eq!(brake.left(ms(120)), Span::ZERO);
    }

    #[test]
    fn it_lets_go_by_itself_and_can_be_left_out() {
        let mut brake = Brake::new(Span::from_millis(10));
        brake.measured(Time::ZERO, Span::from_millis(20));
        assert_eq!(brake.left(Time::from_nanos(20_000_000)), Span::ZERO);
        let mut none = Brake::new(Span::ZERO);
        none.measured(Time::ZERO, Span::from_millis(1_000_000));
        assert_eq!(none.left(Time::ZERO), Span::ZERO);
    }
}
