//! From measurements to figures, and from figures to a table.

use mainspring_bench::Report;

/// The one in the middle; of an even number the mean of both.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Measurements of one client, one for each round.
#[derive(Debug, Default)]
pub(crate) struct Series(pub(crate) Vec<Report>);

impl Series {
    fn medians(&self, of: fn(&Report) -> f64) -> f64 {
        median(self.0.iter().map(of).collect())
    }

    /// Messages per second.
    pub(crate) fn rate(&self) -> f64 {
        self.medians(rate)
    }

    /// Microseconds of processor time per message.
    pub(crate) fn cpu(&self) -> f64 {
        self.medians(cpu)
    }

    /// Mebibytes resident at most.
    pub(crate) fn memory(&self) -> f64 {
        self.medians(memory)
    }

    /// The rate as a multiple of another client's: the median over the rounds, in each of which both were measured.
    pub(crate) fn rate_ratio(&self, other: &Self) -> f64 {
        self.ratios(other, rate)
    }

    /// The processor time likewise.
    pub(crate) fn cpu_ratio(&self, other: &Self) -> f64 {
        self.ratios(other, cpu)
    }

    fn ratios(&self, other: &Self, of: fn(&Report) -> f64) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(this, other)| of(this) / of(other)).collect())
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody measures 2^52 messages")]
fn rate(report: &Report) -> f64 {
    report.messages as f64 / report.seconds
}

#[expect(clippy::cast_precision_loss, reason = "nobody measures 2^52 messages")]
fn cpu(report: &Report) -> f64 {
    1e6 * (report.cpu_user + report.cpu_sys) / report.messages as f64
}

#[expect(clippy::cast_precision_loss, reason = "no machine has 2^52 KiB")]
fn memory(report: &Report) -> f64 {
    report.max_rss_kb as f64 / 1024.0
}

/// A table in Markdown.
#[derive(Debug)]
pub(crate) struct Table(String);

impl Table {
    /// The first column holds names, the others hold figures.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let rule: String = (0..columns.len()).map(|idx| if idx == 0 { "|---" } else { "|---:" }).collect();
        Self(format!("| {} |\n{rule}|\n", columns.join(" | ")))
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: &[String]) {
        self.0 += &format!("| {} |\n", cells.join(" | "));
    }

    /// As text.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
