//! What a benchmark found, as a table for people and as JSON lines for programs.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::measure::{Sample, median};

/// One measured case, beside the case that it is compared with.
#[derive(Debug, Serialize)]
pub struct Row {
    pub bench: &'static str,
    pub engine: &'static str,
    pub case: &'static str,
    pub clients: usize,
    pub per_second: f64,
    pub p50_us: u128,
    pub p99_us: u128,
    /// The case that `ratio` is against.
    pub baseline: Option<&'static str>,
    /// Median of the rounds' ratios, since the two sides of a round share whatever else the machine did then.
    pub ratio: Option<f64>,
    #[serde(skip)]
    pub baseline_per_second: Option<f64>,
}

/// The rounds of one case.
pub struct Rounds<'a> {
    pub case: &'static str,
    pub samples: &'a [Sample],
}

impl Rounds<'_> {
    fn per_second(&self) -> f64 {
        median(self.samples.iter().map(|sample| sample.per_second)).unwrap_or_default()
    }
}

impl Row {
    /// The medians of `measured`, beside those of `baseline`, whose rounds alternated with it.
    pub fn new(
        bench: &'static str,
        engine: &'static str,
        clients: usize,
        measured: &Rounds,
        baseline: Option<&Rounds>,
    ) -> Self {
        let ratios = |base: &Rounds| {
            median(measured.samples.iter().zip(base.samples).map(|(one, base)| one.per_second / base.per_second))
        };
        Self {
            bench,
            engine,
            case: measured.case,
            clients,
            per_second: measured.per_second(),
            p50_us: median(measured.samples.iter().map(|sample| sample.p50.as_micros())).unwrap_or_default(),
            p99_us: median(measured.samples.iter().map(|sample| sample.p99.as_micros())).unwrap_or_default(),
            baseline: baseline.map(|base| base.case),
            ratio: baseline.and_then(ratios),
            baseline_per_second: baseline.map(Rounds::per_second),
        }
    }
}

/// Prints the heading of the table that [`print`] continues row by row.
pub fn print_heading() {
    println!(
        "{:<9} {:<18} {:>7} {:>9} {:>9} {:>9}  {:>18} {:>9} {:>6}",
        "engine", "case", "callers", "per s", "p50 us", "p99 us", "against", "per s", "ratio"
    );
}

/// Prints a row.
pub fn print(row: &Row) {
    print!(
        "{:<9} {:<18} {:>7} {:>9.0} {:>9} {:>9}",
        row.engine, row.case, row.clients, row.per_second, row.p50_us, row.p99_us
    );
    if let (Some(baseline), Some(per_second), Some(ratio)) = (row.baseline, row.baseline_per_second, row.ratio) {
        print!("  {baseline:>18} {per_second:>9.0} {ratio:>6.2}");
    }
    println!();
}

/// Writes one JSON object a line.
pub fn write_json(file: &Path, rows: &[Row]) -> io::Result<()> {
    let mut out = io::BufWriter::new(std::fs::File::create(file)?);
    for row in rows {
        serde_json::to_writer(&mut out, row)?;
        writeln!(out)?;
    }
    out.flush()
}
