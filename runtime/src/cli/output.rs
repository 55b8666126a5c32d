//! Results for people (aligned columns) and for programs (JSON).
//! Knows nothing about what the results mean.

use std::io::Write;
use std::time::Duration;

use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde::Serialize;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns.
    Table,
    /// One JSON document.
    Json,
}

impl Format {
    /// Prints `value` as JSON, or what `table` makes of it.
    pub(crate) fn print<T: Serialize>(
        self,
        value: &T,
        table: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = match self {
            Self::Json => serde_json::to_string_pretty(value)?,
            Self::Table => table(value),
        };
        line(&text)
    }
}

/// Writes one line to standard output at once, so that whoever reads a pipe sees it.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end())?;
    out.flush()?;
    Ok(())
}

/// Columns as wide as their widest cell. A row may be shorter than the header.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(i, title)| {
            let cells = rows.iter().filter_map(|row| row.get(i));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            widest.max(title.chars().count())
        })
        .collect();
    let mut text = String::new();
    let titles: Vec<String> = header.iter().map(|title| (*title).to_owned()).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Name and value on each line.
pub(crate) fn list(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect()
}

/// Bytes for people: text where they are text, else their length.
pub(crate) fn text_or_length(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() && c != '\t') => text.to_owned(),
        Ok(_) | Err(_) => format!("({} bytes that are not one line of text)", bytes.len()),
    }
}

/// Two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A span of time with three or four digits.
pub(crate) fn span(span: Duration) -> String {
    let micros = span.as_micros();
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.2} ms", span.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", span.as_secs_f64()),
    }
}

/// Bytes with at most three digits and a unit.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1_024.0;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1_024.0;
        unit += 1;
    }
    let digits = if size < 9.95 { 1 } else { 0 };
    format!("{size:.digits$} {}", UNITS[unit])
}

/// Longer latencies count as this one.
const LATENCY_MAX: Duration = Duration::from_secs(3600);

/// Latencies in microseconds, within 0.1 %.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX.as_micros() as u64, 3);
        Self(histogram.expect("the bounds and the precision are among those that exist"))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("both histograms have the same bounds");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that `quantile` (0 to 1) of the requests did not exceed.
    pub(crate) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }
}

/// How fast something went.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Speed {
    pub(crate) proposals: u64,
    pub(crate) seconds: f64,
    pub(crate) proposals_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Speed {
    pub(crate) fn new(latencies: &Latencies, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        Self {
            proposals: latencies.count(),
            seconds,
            proposals_per_second: latencies.count() as f64 / seconds.max(1e-9),
            p50_ms: latencies.quantile(0.5).as_secs_f64() * 1e3,
            p99_ms: latencies.quantile(0.99).as_secs_f64() * 1e3,
        }
    }

    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        vec![
            ("proposals".into(), self.proposals.to_string()),
            (
                "proposals/s".into(),
                format!("{:.0}", self.proposals_per_second),
            ),
            ("latency p50".into(), format!("{:.2} ms", self.p50_ms)),
            ("latency p99".into(), format!("{:.2} ms", self.p99_ms)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["a".to_owned(), "long cell".to_owned()],
            vec!["longer".to_owned()],
        ];
        assert_eq!(
            table(&["X", "Y"], &rows),
            "X       Y\na       long cell\nlonger\n"
        );
    }

    #[test]
    fn sizes_have_few_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (10 << 10, "10 KiB"),
            (64 << 20, "64 MiB"),
            (1_000 << 20, "1.0 GiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn spans_have_few_digits() {
        assert_eq!(span(Duration::from_micros(950)), "950 us");
        assert_eq!(span(Duration::from_micros(1_234)), "1.23 ms");
        assert_eq!(span(Duration::from_millis(2_350)), "2.35 s");
    }

    #[test]
    fn speed_counts_per_second() {
        let mut latencies = Latencies::new();
        for millis in (1..=99).chain([5_000]) {
            latencies.record(Duration::from_millis(millis));
        }
        let speed = Speed::new(&latencies, Duration::from_secs(4));
        assert_eq!(speed.proposals_per_second, 25.0);
        assert!((49.9..50.1).contains(&speed.p50_ms), "{}", speed.p50_ms);
        assert!((98.9..99.1).contains(&speed.p99_ms), "{}", speed.p99_ms);
        assert!(latencies.quantile(1.0) >= Duration::from_secs(5));
    }
}
