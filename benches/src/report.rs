//! What the run prints and writes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::arm::name;
use crate::measure::Times;
use crate::stats::{Line, Ratio, lines};

/// One database over one link.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) database: &'static str,
    pub(crate) link: &'static str,
    pub(crate) lines: Vec<Line>,
    pub(crate) times: Vec<Times>,
}

impl Set {
    pub(crate) fn new(database: &'static str, link: &'static str, times: Vec<Times>) -> Self {
        Self {
            database,
            link,
            lines: lines(&times),
            times,
        }
    }

    fn line(&self, arm: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.arm == arm)
    }
}

/// Markdown, so that it can be pasted.
pub(crate) fn table(set: &Set) -> String {
    let mut out = format!(
        "\n{}, {}\n\n| | ms | × bare | × hand-written | first of a block: ms | × bare | × hand-written |\n|---|--:|--:|--:|--:|--:|--:|\n",
        set.database, set.link
    );
    for line in &set.lines {
        let alone = |ratio: Option<&Ratio>| {
            ratio
                .and_then(|ratio| ratio.alone)
                .map_or_else(String::new, |ratio| format!("{ratio:.2}"))
        };
        let _ = writeln!(
            out,
            "| {} | {:.2} | {} | {} | {} | {} | {} |",
            line.arm,
            line.in_a_row.median / 1e3,
            in_a_row(Some(&line.to_bare)),
            in_a_row(line.to_rival.as_ref()),
            line.alone
                .map_or_else(String::new, |alone| format!("{:.2}", alone.median / 1e3)),
            alone(Some(&line.to_bare)),
            alone(line.to_rival.as_ref()),
        );
    }
    out
}

fn in_a_row(ratio: Option<&Ratio>) -> String {
    ratio.map_or_else(String::new, |ratio| {
        let (least, greatest) = ratio.spread;
        format!("{:.2} ({least:.2}–{greatest:.2})", ratio.in_a_row)
    })
}

/// What the toolkit sets out to reach on PostgreSQL, and what this run measured.
pub(crate) fn aims(sets: &[Set]) -> String {
    let aims = [
        ("no delay", name::OURS, name::BARE, 1.2),
        ("no delay", name::OURS, name::HAND, 0.8),
        ("0.1 ms each way", name::OURS, name::HAND, 0.75),
        ("1 ms each way", name::OURS, name::HAND, 0.65),
        ("no delay", name::OURS_SKIP, name::BARE, 1.12),
        ("no delay", name::OURS_DUPLICATE, name::HAND_DUPLICATE, 0.5),
        (
            "1 ms each way",
            name::OURS_DUPLICATE,
            name::HAND_DUPLICATE,
            0.5,
        ),
    ];
    let mut out = String::new();
    for (link, arm, rival, aim) in aims {
        let set = sets
            .iter()
            .find(|set| set.database == "PostgreSQL" && set.link == link);
        let Some(line) = set.and_then(|set| set.line(arm)) else {
            continue;
        };
        let ratio = [Some(&line.to_bare), line.to_rival.as_ref()]
            .into_iter()
            .flatten()
            .find(|ratio| ratio.rival == rival);
        if let Some(ratio) = ratio {
            let verdict = if ratio.in_a_row <= aim {
                "met"
            } else {
                "missed"
            };
            let _ = writeln!(
                out,
                "{verdict}: {arm} / {rival}, {link}: {:.2}, aim {aim}",
                ratio.in_a_row
            );
        }
    }
    out
}

/// `ratios.csv` and `samples.csv`.
pub(crate) fn write_csv(folder: &Path, sets: &[Set]) -> Result<()> {
    let mut ratios = String::from(
        "database,link,arm,kind,samples,p10_us,median_us,p90_us,ratio_to_bare,rival,ratio_to_rival\n",
    );
    let mut samples = String::from("database,link,arm,kind,round,us\n");
    for set in sets {
        let at = format!("{},{}", set.database, set.link);
        for line in &set.lines {
            let kinds = [
                ("in a row", Some(line.in_a_row)),
                ("first of a block", line.alone),
            ];
            for (kind, summary) in kinds {
                let Some(summary) = summary else { continue };
                let pick = |ratio: &Ratio| match kind {
                    "in a row" => Some(ratio.in_a_row),
                    _ => ratio.alone,
                };
                let number = |ratio: Option<f64>| {
                    ratio.map_or_else(String::new, |ratio| format!("{ratio:.4}"))
                };
                let _ = writeln!(
                    ratios,
                    "{at},{},{kind},{},{:.1},{:.1},{:.1},{},{},{}",
                    quoted(line.arm),
                    summary.samples,
                    summary.p10,
                    summary.median,
                    summary.p90,
                    number(pick(&line.to_bare)),
                    quoted(line.to_rival.map_or("", |ratio| ratio.rival)),
                    number(line.to_rival.as_ref().and_then(pick)),
                );
            }
        }
        for times in &set.times {
            let kinds = [
                ("in a row", &times.in_a_row),
                ("first of a block", &times.alone),
            ];
            for (kind, all) in kinds {
                for sample in all {
                    let _ = writeln!(
                        samples,
                        "{at},{},{kind},{},{:.1}",
                        quoted(times.arm),
                        sample.round,
                        sample.micros
                    );
                }
            }
        }
    }
    write(&folder.join("ratios.csv"), &ratios)?;
    write(&folder.join("samples.csv"), &samples)
}

fn quoted(field: &str) -> String {
    format!("\"{field}\"")
}

/// Writes a file and says where it is.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}
