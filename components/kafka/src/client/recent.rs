//! An average over about the last minute, as userver's view shows it.

use std::time::Duration;

use tokio::time::Instant;

const STEP: Duration = Duration::from_secs(5);
const STEPS: usize = 12;

/// Sums and counts of the last steps of time, in a ring.
#[derive(Debug, Default)]
pub(crate) struct RecentAverage {
    steps: [(f64, u32); STEPS],
    current: Option<(Instant, usize)>,
}

impl RecentAverage {
    /// Adds `count` values that sum up to `sum`.
    pub(crate) fn add(&mut self, now: Instant, sum: f64, count: u32) {
        let step_idx = self.advance(now);
        self.steps[step_idx].0 += sum;
        self.steps[step_idx].1 += count;
    }

    /// The average, or 0 without values.
    pub(crate) fn get(&mut self, now: Instant) -> f64 {
        self.advance(now);
        let (sum, count) =
            self.steps.iter().fold((0.0, 0), |(sum, count), step| (sum + step.0, count + step.1));
        if count == 0 { 0.0 } else { sum / f64::from(count) }
    }

    /// Empties the steps that time has passed by, and returns the one of `now`.
    fn advance(&mut self, now: Instant) -> usize {
        let (mut began, mut step_idx) = self.current.unwrap_or((now, 0));
        for _ in 0..STEPS {
            if now.duration_since(began) < STEP {
                break;
            }
            began += STEP;
            step_idx = (step_idx + 1) % STEPS;
            self.steps[step_idx] = (0.0, 0);
        }
        if STEP <= now.duration_since(began) {
            began = now;
        }
        self.current = Some((began, step_idx));
        step_idx
    }
}

#[cfg(test)]
mod tests;
