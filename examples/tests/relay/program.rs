//! Runs the relay and reads what it says.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

/// A relay that has not ended by now never will.
const PATIENCE: Duration = Duration::from_mins(2);

pub struct Relay {
    child: Child,
}

/// How it ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Relay {
    /// Runs it with what can be written to its standard input, which stays open.
    pub fn start(args: &[&str]) -> Self {
        let child = Command::new(program())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child }
    }

    /// Writes to its standard input.
    pub fn feed(&mut self, lines: &str) {
        self.child.stdin.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
    }

    /// Does what Ctrl-C in a terminal would do.
    pub fn interrupt(&self) {
        let kill = format!("kill -INT {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Ends it at once, without a chance to do anything about it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end, with its standard input left open.
    pub fn end(mut self) -> Ended {
        let stdin = self.child.stdin.take();
        let id = self.child.id();
        let (ended, end) = mpsc::channel();
        thread::spawn(move || ended.send(self.child.wait_with_output().unwrap()));
        let Ok(output) = end.recv_timeout(PATIENCE) else {
            drop(Command::new("sh").args(["-c", &format!("kill -KILL {id}")]).status());
            panic!("the relay does not end");
        };
        drop(stdin);
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Closes its standard input and waits for its end.
    pub fn end_of_input(mut self) -> Ended {
        self.child.stdin = None;
        self.end()
    }
}

/// Runs it to its end, without input.
pub fn relay(args: &[&str]) -> Ended {
    Relay::start(args).end_of_input()
}

impl Ended {
    /// The account: the last line of standard output, from `--json`.
    pub fn account(&self) -> Value {
        serde_json::from_str(self.stdout.lines().last().unwrap()).unwrap()
    }
}

/// The example. `cargo test` builds it before it runs tests, but not if told which tests to run.
fn program() -> PathBuf {
    let tests = env::current_exe().unwrap();
    let profile = tests.ancestors().nth(2).unwrap();
    let program = profile.join("examples").join(format!("relay{}", env::consts::EXE_SUFFIX));
    let age = |path: &Path| path.metadata().and_then(|file| file.modified());
    let sources = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/relay")).unwrap();
    let newest = sources.map(|source| age(&source.unwrap().path()).unwrap()).max().unwrap();
    let built = age(&program).is_ok_and(|built| built >= newest);
    assert!(built, "build the relay first: cargo build -p examples --example relay");
    program
}
