//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Parser};

/// Relays events, one JSON object a line, to HTTP endpoints, and accounts for every one.
///
/// Without --to and --config it starts two receivers of its own on this machine, a steady one that
/// gets only pushes and a hostile one that gets everything in batches, and checks in the end that
/// each has every event it should.
///
/// Events are posted as a container registry posts its notifications: {"events":[…]}. An endpoint
/// that takes nothing for ten seconds (`give_up` in the configuration) is given up, and all that it
/// should have had counts as failed. The others go on meanwhile; they wait only if it leaves more
/// than --capacity events lying.
///
/// With --spool the events wait on the disk: what is not delivered when the relay ends, or is
/// killed, is kept there, and the next run with the same directory delivers it to the endpoint of
/// the same name. An endpoint is given up only once there is nothing more to read. An event that is
/// delivered just before the relay is killed may come again. One that is refused for good is not
/// tried again, but kept too: the example `spool` shows such events and puts them back.
///
/// Ctrl-C stops reading and gives the endpoints ten seconds for what they have. The exit status is
/// 0 if nothing was malformed, failed, kept or lost, 1 if something was, 2 if nothing was started.
#[derive(Debug, Parser)]
#[command(name = "relay", version, max_term_width = 100)]
#[command(group = ArgGroup::new("endpoints").args(["to", "config"]).multiple(true))]
pub struct Args {
    /// Where the events are: a file, or `-` for standard input; 124 built-in ones if left out
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,

    /// Relay to this URL, with the default settings; can be repeated
    #[arg(long, value_name = "URL")]
    pub to: Vec<String>,

    /// Relay to the endpoints in this TOML file; examples/relay/example.toml shows all there is
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Show no progress, and end with the account as one line of JSON
    #[arg(long)]
    pub json: bool,

    /// Let events wait in this directory, as many as the disk holds, in a file for each endpoint,
    /// called after it; for --to and --config alone
    // The built-in receivers could not tell an earlier run's events from mischief.
    #[arg(long, value_name = "DIR", requires = "endpoints")]
    pub spool: Option<PathBuf>,

    /// How many events may wait for each endpoint before reading waits too, without --spool
    #[arg(long, value_name = "EVENTS", default_value_t = 65_536)]
    pub capacity: usize,

    /// What the hostile receiver's mischief is drawn from; the same seed, the same mischief
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
}
