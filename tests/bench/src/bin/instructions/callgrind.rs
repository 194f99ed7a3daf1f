//! What callgrind has written: how many instructions were executed in which function.

/// Our crates; those of the benchmark are not.
const OURS: &str = "mainspring_";
const NOT_OURS: &str = "mainspring_bench";

/// Only the thread that serves a producer's events comes by here.
const SERVES_REPORTS: &str = "mainspring_kafka_ffi::producer::Producer::poll_events";

/// Instructions of our own functions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// On threads that serve delivery reports.
    pub(crate) reports: u64,
    /// On all others.
    pub(crate) others: u64,
}

impl Counts {
    /// Adds one thread's file, which was written without compression.
    pub(crate) fn add(&mut self, text: &str) {
        let (mut ours, mut serves_reports) = (0, false);
        let (mut is_ours, mut is_call) = (false, false);
        for line in text.lines() {
            if let Some(function) = line.strip_prefix("fn=") {
                is_ours = is_one_of_ours(function);
                serves_reports |= function.starts_with(SERVES_REPORTS);
            } else if line.starts_with("calls=") {
                // The next line is what the called function cost.
                is_call = true;
            } else if line.starts_with(|c: char| c.is_ascii_digit()) {
                let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok());
                if is_ours && !is_call {
                    ours += cost.unwrap_or_default();
                }
                is_call = false;
            }
        }
        *if serves_reports { &mut self.reports } else { &mut self.others } += ours;
    }
}

/// Whether a function, or the type whose method or destructor it is, is one of ours.
fn is_one_of_ours(function: &str) -> bool {
    let name = function.strip_prefix("core::ptr::drop_in_place").unwrap_or(function);
    let name = name.trim_start_matches(['<', '&']);
    name.starts_with(OURS) && !name.starts_with(NOT_OURS)
}

#[cfg(test)]
mod tests;
