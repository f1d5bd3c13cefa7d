//! `--spool`: what one run does not deliver, the next one does.

use std::{fs, path::Path};

use events_durable::{Spool, Which};
use tempfile::TempPath;

use crate::{
    events, file, ids,
    program::{Ended, Relay, relay},
    server::Server,
    unreachable,
};

/// A configuration with one endpoint, which has the same name wherever it is.
fn hook(url: &str, settings: &str) -> TempPath {
    file(&format!("[[endpoints]]\nname = 'a/hook: 1'\nurl = '{url}'\n{settings}\n"))
}

/// A configuration with one endpoint that is in trouble, and then one that is not.
fn two(bad: &Server, settings: &str, good: &Server) -> TempPath {
    file(&format!(
        "[[endpoints]]\nname = 'bad'\nurl = '{}'\n{settings}\n\
         [[endpoints]]\nname = 'good'\nurl = '{}'\n",
        bad.url, good.url
    ))
}

/// Runs it with an input that stays open.
fn start(config: &Path, dir: &Path) -> Relay {
    start_with(Path::new("-"), config, dir)
}

fn start_with(input: &Path, config: &Path, dir: &Path) -> Relay {
    let [input, config, dir] = [input, config, dir].map(|path| path.to_str().unwrap());
    let capacity = ["--capacity", "5"];
    let args = ["--input", input, "--config", config, "--spool", dir, "--json"];
    Relay::start(&[&args[..], &capacity].concat())
}

/// Runs it with this input, to its end.
fn run(input: &str, config: &Path, dir: &Path) -> Ended {
    let mut relay = start(config, dir);
    relay.feed(input);
    relay.end_of_input()
}

/// accepted, delivered, failed, dropped, kept
fn counts(ended: &Ended, endpoint: usize) -> [u64; 5] {
    let account = ended.account();
    assert_eq!(account["lost"], 0, "{account}");
    ["accepted", "delivered", "failed", "dropped", "kept"]
        .map(|key| account["endpoints"][endpoint][key].as_u64().unwrap())
}

#[test]
fn what_an_endpoint_that_is_down_should_have_had_is_delivered_once_it_is_up() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("made");
    let down = hook(&unreachable(), "give_up = '50ms'\nbackoff = '10ms'");
    let events = events(100);
    let (first, later) = events.split_at(events.find(r#"{"id":"60""#).unwrap());
    let ended = run(first, &down, &spool);
    assert_eq!(ended.code, Some(1));
    assert_eq!(counts(&ended, 0), [60, 0, 0, 0, 60]);
    assert!(ended.stderr.contains("a/hook: 1: 60 stay in"), "{}", ended.stderr);
    assert!(ended.stderr.contains("because"), "says why: {}", ended.stderr);
    assert!(spool.join("a%2Fhook%3A%201.spool").is_file());
    let ended = run(later, &down, &spool);
    assert_eq!(ended.code, Some(1));
    assert_eq!(counts(&ended, 0), [100, 0, 0, 0, 100]);

    let server = Server::answering("202 Accepted");
    let up = hook(&server.url, "");
    let ended = run("", &up, &spool);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(counts(&ended, 0), [100, 100, 0, 0, 0]);
    assert_eq!(ended.account()["read"], 0);
    assert_eq!(server.ids(), ids(100));
    assert_eq!(server.requests()[0].body, r#"{"events":[{"id":"0","action":"push"}]}"#);

    let ended = run("", &up, &spool);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(counts(&ended, 0), [0; 5]);
}

/// Every step waits for the one before, so that it is known what the killed run has on the disk.
#[test]
fn what_a_relay_that_was_killed_has_accepted_is_delivered_by_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let bad = Server::stuck_after(20);
    let good = Server::answering("202 Accepted");
    let config = two(&bad, "timeout = '1h'", &good);
    let mut relay = start(&config, dir.path());
    let events = events(100);
    let (now, later) = events.split_at(events.find(r#"{"id":"50""#).unwrap());
    relay.feed(now);
    // Twenty are delivered, and one is in the air.
    bad.wait_for(21);
    // These take the news of that to the disk. The good one is the second to be written to, so
    // when it has an event, the bad one's queue has it too.
    relay.feed(later);
    good.wait_for(100);
    relay.kill();

    bad.recover();
    let ended = run("", &config, dir.path());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut expected = ids(100);
    expected.insert(20, "20".to_owned());
    assert_eq!(bad.ids(), expected, "the one in the air comes twice");
    assert_eq!(counts(&ended, 0), [80, 80, 0, 0, 0]);

    let arrived = good.ids();
    assert_eq!(arrived[..100], ids(100));
    let seam = ids(100)[100 - (arrived.len() - 100)..].to_vec();
    assert_eq!(arrived[100..], seam, "repeats only the last ones");
}

/// It comes in the middle of writing an event, of which there are more than can be read until then.
#[test]
fn ctrl_c_keeps_what_a_stuck_receiver_has_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let bad = Server::stuck_after(3);
    let good = Server::answering("202 Accepted");
    let config = two(&bad, "timeout = '1h'", &good);
    let input = file(&events(100_000));
    let relay = start_with(&input, &config, dir.path());
    bad.wait_for(4);
    relay.interrupt();
    let ended = relay.end();
    assert_eq!(ended.code, Some(1));
    let read = ended.account()["read"].as_u64().unwrap();
    assert_eq!(counts(&ended, 0), [read, 3, 0, 0, read - 3]);
    assert_eq!(counts(&ended, 1), [read, read, 0, 0, 0]);
    assert!(ended.stderr.contains(&format!("bad: {} stay in", read - 3)), "{}", ended.stderr);

    bad.recover();
    let ended = run("", &config, dir.path());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut expected = ids(read.try_into().unwrap());
    assert_eq!(good.ids(), expected);
    expected.insert(3, "3".to_owned());
    assert_eq!(bad.ids(), expected);
}

#[test]
fn an_endpoint_is_not_given_up_while_there_may_be_more_to_read() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering("503 Service Unavailable");
    // Were it to be given up, a second attempt would be too late.
    let settings = "timeout = '1h'\nthreshold = 1\nbackoff = '10ms'\ngive_up = '1ms'";
    let config = hook(&server.url, settings);
    let mut relay = start(&config, dir.path());
    relay.feed(&events(1));
    server.wait_for(2);
    let refused = server.recover();
    server.wait_for(refused + 1);
    let ended = relay.end_of_input();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(counts(&ended, 0), [1, 1, 0, 0, 0]);
}

#[test]
fn an_endpoint_that_is_left_alone_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let bad = Server::answering("503 Service Unavailable");
    let good = Server::answering("202 Accepted");
    let config = two(&bad, "threshold = 2\nbackoff = '24h'\ngive_up = '1ms'", &good);
    let mut relay = start(&config, dir.path());
    relay.feed(&events(1));
    bad.wait_for(2);
    // Meanwhile it has had time to begin its day of rest.
    relay.feed(&events(100));
    good.wait_for(101);
    let ended = relay.end_of_input();
    assert_eq!(ended.code, Some(1));
    assert_eq!(counts(&ended, 0), [101, 0, 0, 0, 101]);
    assert_eq!(counts(&ended, 1), [101, 101, 0, 0, 0]);
}

#[test]
fn what_is_refused_for_good_is_a_dead_letter_and_not_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering("400 Bad Request");
    let config = hook(&server.url, "");
    let ended = run(&events(2), &config, dir.path());
    assert_eq!(ended.code, Some(1));
    assert_eq!(counts(&ended, 0), [2, 0, 2, 0, 0]);

    let ended = run("", &config, dir.path());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(counts(&ended, 0), [0; 5]);
    assert_eq!(server.ids(), ids(2));

    server.recover();
    let file = dir.path().join("a%2Fhook%3A%201.spool");
    assert_eq!(Spool::replay(file, None, &Which::All).unwrap(), 2);
    let ended = run("", &config, dir.path());
    assert_eq!(counts(&ended, 0), [2, 2, 0, 0, 0]);
    assert_eq!(server.ids(), [ids(2), ids(2)].concat());
}

#[test]
fn a_table_shows_what_is_kept_and_what_waits_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let down = hook(&unreachable(), "give_up = '1ms'");
    run(&events(2), &down, dir.path());
    let other = Server::stuck();
    let input = file(&events(1));
    let (input, spool) = (input.to_str().unwrap(), dir.path().to_str().unwrap());
    let config = file(&format!(
        "[[endpoints]]\nname = 'other'\nurl = '{}'\ntimeout = '1ms'\ngive_up = '1ms'\n",
        other.url
    ));
    let config = config.to_str().unwrap();
    let ended = relay(&["--input", input, "--config", config, "--spool", spool]);
    assert_eq!(ended.code, Some(1));
    let lines: Vec<Vec<_>> =
        ended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0].last(), Some(&"kept"));
    let attempts = lines[1][3];
    assert_eq!(lines[1], ["other", "1", "0", attempts, "0", "0", "1"]);
    assert_eq!(lines[2], ["1", "read,", "0", "malformed,", "0", "lost"]);
    let others: Vec<_> = ended.stderr.lines().filter(|line| line.contains("not here")).collect();
    assert_eq!(others.len(), 1, "{}", ended.stderr);
    assert!(others[0].starts_with("2 more wait in "), "{}", ended.stderr);
    assert!(others[0].contains("a%2Fhook%3A%201.spool"), "{}", ended.stderr);
}

#[test]
fn a_second_relay_is_refused_while_the_first_one_runs() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::answering("202 Accepted");
    let config = hook(&server.url, "");
    let mut first = start(&config, dir.path());
    first.feed(&events(1));
    server.wait_for(1);
    let second = run("", &config, dir.path());
    assert_eq!(second.code, Some(2));
    assert!(second.stderr.contains("in use"), "{}", second.stderr);
    assert!(second.stderr.contains("a%2Fhook%3A%201.spool"), "{}", second.stderr);
    let first = first.end_of_input();
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!(counts(&first, 0), [1, 1, 0, 0, 0]);
}

#[test]
fn a_file_that_is_no_spool_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a%2Fhook%3A%201.spool");
    let content = "not a database, but long enough to be taken for one".repeat(20);
    fs::write(&path, &content).unwrap();
    let ended = run("", &hook(&unreachable(), ""), dir.path());
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains(path.to_str().unwrap()), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), content);
}
