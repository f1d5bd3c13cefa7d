//! Where events come from: lines of JSON.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::notification::Notification;

const BUILT_IN: &[u8] = include_bytes!("../data/registry-events.ndjson");
/// A longer line is malformed, so that a file without line ends cannot fill the memory.
const LONGEST_LINE: usize = 1 << 20;

/// Events, one a line. Lines without anything on them are passed over.
pub struct Source {
    reader: Box<dyn BufRead + Send>,
    line: u64,
}

/// A line that is no event, and what is wrong with it; nothing of what it says.
pub struct Malformed {
    pub line: u64,
    pub problem: String,
}

impl Source {
    /// The built-in events, those of standard input for `-`, or those in a file.
    pub fn open(path: Option<&PathBuf>) -> anyhow::Result<Self> {
        let reader: Box<dyn BufRead + Send> = match path {
            None => Box::new(BUILT_IN),
            Some(path) if path == Path::new("-") => Box::new(BufReader::new(io::stdin())),
            Some(path) => {
                let file = File::open(path)
                    .with_context(|| format!("cannot open the input {}", path.display()))?;
                Box::new(BufReader::new(file))
            }
        };
        Ok(Self { reader, line: 0 })
    }

    /// The next line that is not blank; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<Result<Notification, Malformed>>> {
        let mut json = Vec::new();
        loop {
            json.clear();
            let limit = LONGEST_LINE as u64 + 1;
            if self.reader.by_ref().take(limit).read_until(b'\n', &mut json)? == 0 {
                return Ok(None);
            }
            self.line += 1;
            let parsed = if json.len() > LONGEST_LINE && !json.ends_with(b"\n") {
                self.reader.skip_until(b'\n')?;
                Err(format!("is longer than {LONGEST_LINE} bytes"))
            } else if json.iter().all(u8::is_ascii_whitespace) {
                continue;
            } else {
                Notification::parse(&json)
            };
            return Ok(Some(parsed.map_err(|problem| Malformed { line: self.line, problem })));
        }
    }
}
