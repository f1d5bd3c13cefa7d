//! Connections that are too old, or not of this runtime.

use std::time::Duration;

use events_core::AsyncSink;
use events_http::{Client, HttpSink};
use tokio::runtime::Builder;

use crate::{
    receiver::{Receiver, answer},
    worlds,
};

#[test]
fn a_connection_is_used_as_long_as_it_is_young() {
    for (age, connections) in
        [(Duration::from_hours(1), [0, 0, 0]), (Duration::from_nanos(1), [0, 1, 2])]
    {
        let receiver = Receiver::always(answer(200, "", b""));
        let client = Client::builder().max_connection_age(age).build().unwrap();
        let sink = HttpSink::builder(receiver.url()).client(&client).build().unwrap();
        let used = [(); 3].map(|()| {
            worlds::on_a_thread(&sink, "event").unwrap();
            receiver.next().connection
        });
        assert_eq!(used, connections, "{age:?}");
    }
    let error = Client::builder().max_connection_age(Duration::ZERO).build().unwrap_err();
    assert!(error.to_string().starts_with("max_connection_age must be more than zero"));
}

#[test]
fn a_sink_goes_from_one_runtime_to_the_next() {
    let receiver = Receiver::always(answer(200, "", b""));
    let sink = HttpSink::builder(receiver.url()).timeout(Duration::from_hours(1)).build().unwrap();
    for connection in 0..3 {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(AsyncSink::write(&sink, "event")).unwrap();
        assert_eq!(receiver.next().connection, connection);
    }
}
