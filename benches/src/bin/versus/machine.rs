//! Where the figures come from.

use std::{process::Command, time::SystemTime};

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// The machine and its tools, as a Markdown list.
pub(crate) fn describe() -> anyhow::Result<String> {
    let what = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(what)?;
    let cpu = system.cpus().first().map_or("unknown", |cpu| cpu.brand().trim());
    let cores = system.cpus().len();
    let memory = system.total_memory() >> 30;
    let kernel = System::kernel_long_version()?;
    let rustc = rustc().unwrap_or_else(|| "unknown".into());
    let date = today();
    Ok(format!(
        "- Processor: {cpu}, {cores} cores\n- Memory: {memory} GiB\n- Kernel: {kernel}\n\
         - Compiler: {rustc}\n- Date: {date}"
    ))
}

/// The one that the toolchain file names, since it also built this.
fn rustc() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// As in `6 Nov 1994`, in UTC.
fn today() -> String {
    let now = httpdate::fmt_http_date(SystemTime::now());
    let date: Vec<_> = now.split(' ').skip(1).take(3).collect();
    date.join(" ").trim_start_matches('0').to_owned()
}
