//! A guard against regressions that no noise can fool: the instructions that the hot paths take,
//! as valgrind counts them, against those on record.

mod paths;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use clap::Parser;

use paths::{EVENTS, PATHS};

/// How much more than on record a path may take, in parts of it and in instructions, whichever is
/// more: what another libc makes of an allocation.
const TOLERANCE: (f64, f64) = (0.03, 1.0);

/// Compares how many instructions an event takes on the hot paths with those on record.
///
/// Needs valgrind. Fails if a path takes 3 % more than recorded. The record is of x86-64 with Linux,
/// and is to be renewed when the compiler is.
#[derive(Debug, Parser)]
struct Options {
    /// Writes the record anew
    #[arg(long)]
    update: bool,
    /// Takes one path only, for valgrind to watch
    #[arg(long, value_name = "NAME", hide = true)]
    take: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(name) = &options.take {
        let path = PATHS.iter().find(|path| path.name == name).context("no such path")?;
        (path.take)();
        return Ok(());
    }
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        bail!("the record is of x86-64 with Linux");
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    let counted = count()?;
    if options.update {
        fs::write(&file, serde_json::to_string_pretty(&counted)? + "\n")?;
        println!("recorded in {}", file.display());
        return Ok(());
    }
    compare(&counted, &read(&file)?)
}

/// Instructions an event, by the name of the path.
type Counts = BTreeMap<String, f64>;

fn read(file: &PathBuf) -> anyhow::Result<Counts> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

fn count() -> anyhow::Result<Counts> {
    let counts = PATHS.iter().map(|path| Ok((path.name.to_owned(), instructions(path.name)?)));
    counts.collect()
}

/// Has valgrind watch this very program take a path.
fn instructions(name: &str) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--toggle-collect=*paths*measured*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe()?)
        .args(["--take", name])
        .stdin(Stdio::null())
        .output()
        .context("valgrind is needed, and cannot be run")?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = fs::read_to_string(&out)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: f64 = total.context("callgrind gives no total")?.trim().parse()?;
    if total == 0.0 {
        bail!("{name}: nothing was counted");
    }
    Ok((total / f64::from(EVENTS) * 10.0).round() / 10.0)
}

fn compare(counted: &Counts, recorded: &Counts) -> anyhow::Result<()> {
    let mut slower = Vec::new();
    for (name, &count) in counted {
        let record = *recorded.get(name).with_context(|| format!("{name} is not on record"))?;
        let change = count - record;
        let percent = change / record * 100.0;
        println!("{name:32} {count:8.1}, on record {record:8.1}, {percent:+5.1} %");
        let tolerance = (record * TOLERANCE.0).max(TOLERANCE.1);
        if change > tolerance {
            slower.push(name.as_str());
        } else if change < -tolerance {
            println!("    better than on record: renew it with --update");
        }
    }
    if !slower.is_empty() {
        bail!(
            "more instructions than on record: {}; if that has to be, renew it with --update",
            slower.join(", ")
        );
    }
    Ok(())
}
