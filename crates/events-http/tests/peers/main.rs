//! What is sent, judged by programs that others wrote: see `README.md` beside this file.

mod cloudevents;
#[path = "../it/receiver.rs"]
#[expect(dead_code, reason = "it is made for the other tests")]
mod receiver;
mod registry;
mod webhooks;

use std::{
    env,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use crate::receiver::Request;

/// Where the programs are.
fn peers() -> PathBuf {
    let peers = env::var_os("EVENTS_PEERS");
    PathBuf::from(peers.expect("EVENTS_PEERS is where tests/peers/install has put the programs"))
}

/// A request as the scripts read it.
fn as_json(request: &Request) -> Value {
    let headers: Map<_, _> = request
        .head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), json!(value)))
        .collect();
    json!({ "headers": headers, "body": BASE64_STANDARD.encode(&request.body) })
}

fn python(requests: &[Value]) -> Vec<Value> {
    run(Command::new(peers().join("venv/bin/python")), "read.py", requests)
}

fn node(requests: &[Value]) -> Vec<Value> {
    run(Command::new("node"), "read.mjs", requests)
}

/// What a script makes of each of the requests.
fn run(mut program: Command, script: &str, requests: &[Value]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
    let mut running = program
        .arg(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("tests/peers/install was run");
    let input = serde_json::to_vec(requests).unwrap();
    running.stdin.take().unwrap().write_all(&input).unwrap();
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", script.display());
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answers.len(), requests.len());
    answers
}
