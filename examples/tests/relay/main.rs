//! The relay as a program: what it delivers, what it says, and how it ends.

#![expect(unreachable_pub, reason = "in a program, `pub` says what a module shows to the others")]

mod program;
mod server;
mod spool;

use std::{collections::BTreeSet, fmt::Write, net::TcpListener};

use program::{Relay, relay};
use serde_json::{Value, json};
use server::Server;

const BUILT_IN: &str = include_str!("../../data/registry-events.ndjson");

/// Events that are small and numbered.
fn events(count: usize) -> String {
    (0..count).fold(String::new(), |mut lines, number| {
        writeln!(lines, r#"{{"id":"{number}","action":"push"}}"#).unwrap();
        lines
    })
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// A URL where nobody listens.
fn unreachable() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/events", listener.local_addr().unwrap())
}

/// A file that is gone with the value.
fn file(content: &str) -> tempfile::TempPath {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
    file.into_temp_path()
}

#[test]
fn its_own_receivers_get_every_event() {
    let ended = relay(&["--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let account = ended.account();
    let attempts = account["endpoints"][1]["attempts"].clone();
    // 124 events make 16 batches, so what lies above are retries.
    assert!(attempts.as_u64().unwrap() > 16, "the hostile one was not hostile");
    let expected = json!({
        "read": 124,
        "malformed": 0,
        "endpoints": [
            {
                "name": "steady", "accepted": 41, "delivered": 41, "failed": 0, "dropped": 0,
                "attempts": 41
            },
            {
                "name": "hostile", "accepted": 124, "delivered": 124, "failed": 0, "dropped": 0,
                "attempts": attempts
            },
        ],
        "lost": 0,
    });
    assert_eq!(account, expected);
}

#[test]
fn a_table_accounts_for_every_endpoint() {
    let server = Server::answering("202 Accepted");
    let ended = relay(&["--to", &server.url]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<Vec<_>> =
        ended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let host = server.url.strip_prefix("http://").unwrap().strip_suffix("/events").unwrap();
    assert_eq!(
        lines[0],
        ["endpoint", "accepted", "delivered", "attempts", "failed", "dropped", "pending"]
    );
    assert_eq!(lines[1], [host, "124", "124", "124", "0", "0", "0"]);
    assert_eq!(lines[2], ["124", "read,", "0", "malformed,", "0", "lost"]);
}

#[test]
fn events_arrive_in_order_and_as_they_were() {
    let server = Server::answering("204 No Content");
    let ended = relay(&["--to", &server.url, "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let sent: Vec<_> = BUILT_IN.lines().map(|event| format!(r#"{{"events":[{event}]}}"#)).collect();
    let received: Vec<_> = server.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(received, sent);
    let media_type = "content-type: application/vnd.docker.distribution.events.v1+json\r\n";
    assert!(server.requests().iter().all(|request| request.head.contains(media_type)));
}

#[test]
fn a_pipe_is_read_as_it_comes() {
    let server = Server::answering("200 OK");
    let mut relay = Relay::start(&["--input", "-", "--to", &server.url, "--json"]);
    relay.feed(r#"{"id":"first"}"#);
    relay.feed("\n");
    // Delivered while the pipe is still open.
    server.wait_for(1);
    relay.feed(r#"{"id":"second, without a line end"}"#);
    let ended = relay.end_of_input();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(server.ids(), ["first", "second, without a line end"]);
    assert_eq!(ended.account()["read"], 2);
}

#[test]
fn malformed_lines_are_named_and_the_rest_goes_on() {
    let too_long = "secret".repeat(1 << 18);
    let input = [
        r#"{"id":"first"}"#,
        r#"{"id":"secret"#,
        "",
        r#"["secret"]"#,
        " \t",
        r#"{"id":"second"} secret"#,
        &too_long,
        "\u{0}secret",
        r#"{"id":"last","action":["odd"],"target":"odd"}"#,
    ];
    let server = Server::answering("202 Accepted");
    let input = file(&input.join("\r\n"));
    let ended = relay(&["--input", input.to_str().unwrap(), "--to", &server.url, "--json"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(server.ids(), ["first", "last"]);
    assert_eq!(ended.account()["read"], 2);
    assert_eq!(ended.account()["malformed"], 5);
    let named: Vec<_> =
        ended.stderr.lines().filter_map(|line| line.strip_prefix("line ")).collect();
    let numbers: Vec<_> = named.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(numbers, ["2", "4", "6", "7", "8"]);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
}

#[test]
fn what_is_refused_counts_as_failed_and_does_not_stop_the_next() {
    let server = Server::answering("400 Bad Request");
    let input = file(&events(3));
    let ended = relay(&["--input", input.to_str().unwrap(), "--to", &server.url, "--json"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(server.ids(), ids(3), "each is tried, and none twice");
    assert_eq!(ended.account()["endpoints"][0]["failed"], 3);
    assert_eq!(ended.account()["lost"], 0);
}

#[test]
fn an_unreachable_endpoint_is_given_up_and_its_events_count_as_failed() {
    let server = Server::answering("202 Accepted");
    let config = file(&format!(
        "[[endpoints]]\nname = 'dead'\nurl = '{}'\ngive_up = '50ms'\nbackoff = '10ms'\n\
         [[endpoints]]\nname = 'good'\nurl = '{}'\n",
        unreachable(),
        server.url
    ));
    let mut relay = Relay::start(&[
        "--input",
        "-",
        "--config",
        config.to_str().unwrap(),
        "--json",
        "--capacity",
        "10",
    ]);
    // Ten times as many as may wait.
    relay.feed(&events(100));
    let ended = relay.end_of_input();
    assert_eq!(ended.code, Some(1));
    assert_eq!(server.ids(), ids(100));
    let account = ended.account();
    let dead = &account["endpoints"][0];
    assert_eq!((&dead["accepted"], &dead["failed"]), (&json!(100), &json!(100)));
    assert_eq!((&dead["delivered"], &dead["dropped"]), (&json!(0), &json!(0)));
    assert!(dead["attempts"].as_u64().unwrap() < 100, "tries each event, instead of giving up");
    assert_eq!(account["endpoints"][1]["delivered"], 100);
    assert_eq!(account["lost"], 0);
    assert!(ended.stderr.contains("dead: 100 failed"), "says who failed: {}", ended.stderr);
}

/// Nothing but an interrupt ends this, so nothing but the endpoints' independence gets the good
/// one its events.
#[test]
fn ctrl_c_ends_a_relay_whose_receiver_is_stuck_and_the_other_had_everything() {
    let stuck = Server::stuck();
    let good = Server::answering("202 Accepted");
    let config = file(&format!(
        "[[endpoints]]\nname = 'stuck'\nurl = '{}'\ntimeout = '1h'\ngive_up = '1h'\n\
         [[endpoints]]\nname = 'good'\nurl = '{}'\n",
        stuck.url, good.url
    ));
    let mut relay = Relay::start(&["--input", "-", "--config", config.to_str().unwrap(), "--json"]);
    relay.feed(&events(100));
    good.wait_for(100);
    stuck.wait_for(1);
    relay.interrupt();
    let ended = relay.end();
    assert_eq!(ended.code, Some(1));
    let account = ended.account();
    let counts = |endpoint: &Value| {
        ["accepted", "delivered", "dropped", "failed"].map(|key| endpoint[key].as_u64().unwrap())
    };
    assert_eq!(counts(&account["endpoints"][0]), [100, 0, 100, 0]);
    assert_eq!(counts(&account["endpoints"][1]), [100, 100, 0, 0]);
    assert_eq!(account["read"], 100);
    assert_eq!(account["lost"], 0);
    assert!(ended.stderr.contains("stuck: 100"), "says what was left: {}", ended.stderr);
}

#[test]
fn ctrl_c_with_nothing_left_is_a_clean_end() {
    let server = Server::answering("202 Accepted");
    let mut relay = Relay::start(&["--input", "-", "--to", &server.url, "--json"]);
    relay.feed(&events(1));
    server.wait_for(1);
    relay.interrupt();
    let ended = relay.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.account()["endpoints"][0]["delivered"], 1);
}

#[test]
fn ctrl_c_wakes_a_reader_that_waits_for_room() {
    let stuck = Server::stuck();
    let config =
        file(&format!("[[endpoints]]\nurl = '{}'\ntimeout = '1h'\ngive_up = '1h'\n", stuck.url));
    let mut relay = Relay::start(&[
        "--input",
        "-",
        "--config",
        config.to_str().unwrap(),
        "--json",
        "--capacity",
        "2",
    ]);
    relay.feed(&events(5));
    stuck.wait_for(1);
    relay.interrupt();
    let ended = relay.end();
    let account = ended.account();
    assert_eq!(ended.code, Some(1));
    assert_eq!(account["lost"], 0);
    let endpoint = &account["endpoints"][0];
    let undelivered = endpoint["dropped"].as_u64().unwrap() + endpoint["failed"].as_u64().unwrap();
    assert_eq!(
        account["read"].as_u64().unwrap(),
        undelivered,
        "each that was read is accounted for"
    );
}

#[test]
fn the_configuration_chooses_what_goes_where_and_how() {
    let all = Server::answering("202 Accepted");
    let manifests = Server::answering("202 Accepted");
    let example = include_str!("../../relay/example.toml")
        .replace("http://127.0.0.1:9001/events", &manifests.url)
        .replace("http://127.0.0.1:9002/events", &all.url)
        .replace("disabled = true", "batch = 50");
    let config = file(&example);
    let ended = relay(&["--config", config.to_str().unwrap(), "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    let wanted: Vec<_> = BUILT_IN
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["action"] == "push")
        .filter(|event| event["target"]["mediaType"] != "application/octet-stream")
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(!wanted.is_empty());
    assert_eq!(manifests.ids(), wanted);
    let head = &manifests.requests()[0].head;
    for header in ["authorization: bearer secret", "x-tag: one", "x-tag: two"] {
        assert!(head.contains(header), "{header} in {head}");
    }

    assert_eq!(all.ids().len(), 124);
    assert_eq!(all.ids().iter().collect::<BTreeSet<_>>().len(), 124);
    assert!(all.requests().len() < 124, "batches");
    assert!(all.requests().iter().all(|request| request.ids().len() <= 50));
}

#[test]
fn the_example_configuration_leaves_out_what_is_disabled() {
    let server = Server::answering("202 Accepted");
    let example = include_str!("../../relay/example.toml")
        .replace("http://127.0.0.1:9001/events", &server.url);
    let config = file(&example);
    let ended = relay(&["--config", config.to_str().unwrap(), "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.account()["endpoints"].as_array().unwrap().len(), 1);
}

#[test]
fn settings_that_make_no_sense_are_named_and_nothing_is_started() {
    let url = "url = 'http://127.0.0.1:1/'";
    let cases = [
        ("[[endpoint]]", "unknown field `endpoint`"),
        ("", "missing field `endpoints`"),
        ("endpoints = []", "no endpoint"),
        ("[[endpoints]]\nname = 'x'", "endpoint 1 has no `url`"),
        ("[[endpoints]]\nURL\nsecret = 'secret'", "line 3: unknown field `secret`"),
        ("[[endpoints]]\nURL\n[endpoints.ignore]\nverbs = []", "line 4: unknown field `verbs`"),
        ("[[endpoints]]\nURL\ntimeout = '1 parsec'", "line 3"),
        ("[[endpoints]]\nURL\ntimeout = -1", "line 3"),
        ("[[endpoints]]\nURL\ntimeout = '0s'", "timeout"),
        ("[[endpoints]]\nURL\nthreshold = 0", "threshold"),
        ("[[endpoints]]\nURL\nthreshold = -1", "line 3"),
        ("[[endpoints]]\nURL\nbatch = 0", "batch"),
        ("[[endpoints]]\nURL\nheaders = 'Authorization: secret'", "`headers` must be a table"),
        ("[[endpoints]]\nURL\nheaders.Authorization = 7", "`Authorization` must be a string"),
        ("[[endpoints]]\nURL\nheaders.Authorization = \"secret\\r\\nx: y\"", "header"),
        ("[[endpoints]]\nname = 'twin'\nURL\n[[endpoints]]\nname = 'twin'\nURL", "`twin`"),
        ("[[endpoints]]\nurl = 'ftp://127.0.0.1/'", "127.0.0.1"),
        ("[[endpoints]]\nurl = 'http://'", "endpoint"),
        ("[[endpoints]]\nurl = 'http://me:secret@127.0.0.1/?secret'", "127.0.0.1"),
        ("[[endpoints]\nsecret", "line 1"),
    ];
    for (config, problem) in cases {
        let config = file(&config.replace("URL", url));
        let ended = relay(&["--config", config.to_str().unwrap()]);
        let shown = format!("{problem}: {}", ended.stderr);
        assert_eq!(ended.code, Some(2), "{shown}");
        assert!(ended.stderr.contains(problem), "{shown}");
        assert!(!ended.stderr.replace("field `secret`", "").contains("secret"), "{shown}");
        assert_eq!(ended.stdout, "", "{shown}");
    }
}

#[test]
fn arguments_that_make_no_sense_are_named_and_nothing_is_started() {
    let cases: [(&[&str], &str); 8] = [
        (&["--input", "/no/such/file"], "/no/such/file"),
        (&["--config", "/no/such/file"], "/no/such/file"),
        (&["--capacity", "0"], "capacity"),
        (&["--spool", "/no/such/dir"], "<--to <URL>|--config <FILE>>"),
        (&["--spool", "/dev/null/dir", "--to", "http://127.0.0.1:1/"], "/dev/null/dir"),
        (&["--to", "not a url"], "endpoint"),
        (&["--to", "http://me:secret@127.0.0.1/"], "127.0.0.1"),
        (&["--speed", "11"], "--speed"),
    ];
    for (args, problem) in cases {
        let ended = relay(args);
        let shown = format!("{args:?}: {}", ended.stderr);
        assert_eq!(ended.code, Some(2), "{shown}");
        assert!(ended.stderr.contains(problem), "{shown}");
        assert!(!ended.stderr.contains("secret"), "{shown}");
    }
}

#[test]
fn an_input_that_cannot_be_read_is_an_error_after_what_was_read() {
    let server = Server::answering("202 Accepted");
    let ended = relay(&["--input", env!("CARGO_MANIFEST_DIR"), "--to", &server.url, "--json"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("cannot read"), "{}", ended.stderr);
    assert_eq!(ended.account()["read"], 0);
}

#[test]
fn the_same_url_twice_is_two_endpoints() {
    let server = Server::answering("202 Accepted");
    let input = file(&events(1));
    let ended = relay(&[
        "--input",
        input.to_str().unwrap(),
        "--to",
        &server.url,
        "--to",
        &server.url,
        "--json",
    ]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let account = ended.account();
    let names: BTreeSet<_> = account["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|endpoint| endpoint["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 2);
    assert_eq!(server.ids(), ["0", "0"]);
}
