//! The shared log alone, on one thread: what a write and a read cost where nobody waits.

use std::{hint::black_box, sync::Arc};

use benches::{Event, bench};
use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use events_core::engine::feed::Feed;
use tokio::sync::{broadcast, mpsc};

/// How many events are written before they are read.
const RUN: usize = 1_000;

fn main() {
    let mut criterion = bench::criterion();
    one_reader(&mut criterion);
    many_readers(&mut criterion);
    criterion.final_summary();
}

fn one_reader(criterion: &mut Criterion) {
    let mut group = group(criterion, "feed/1");
    ours(&mut group, 1);
    let event = Event::sample();
    group.bench_function("crossbeam", |b| {
        let (tx, rx) = crossbeam_channel::unbounded();
        b.iter(|| {
            (0..RUN).for_each(|_| tx.send(event.clone()).expect("is open"));
            rx.try_iter().for_each(read);
        });
    });
    group.bench_function("flume", |b| {
        let (tx, rx) = flume::unbounded();
        b.iter(|| {
            (0..RUN).for_each(|_| tx.send(event.clone()).expect("is open"));
            rx.try_iter().for_each(read);
        });
    });
    group.bench_function("tokio mpsc", |b| {
        let (tx, mut rx) = mpsc::unbounded_channel();
        b.iter(|| {
            (0..RUN).for_each(|_| tx.send(event.clone()).expect("is open"));
            while let Ok(event) = rx.try_recv() {
                read(event);
            }
        });
    });
    group.finish();
}

fn many_readers(criterion: &mut Criterion) {
    const READERS: usize = 10;
    let mut group = group(criterion, "feed/10");
    ours(&mut group, READERS);
    let event = Event::sample();
    group.bench_function("tokio broadcast", |b| {
        let tx = broadcast::Sender::new(RUN);
        let mut all: Vec<_> = (0..READERS).map(|_| tx.subscribe()).collect();
        b.iter(|| {
            for _ in 0..RUN {
                tx.send(event.clone()).expect("is open");
            }
            for rx in &mut all {
                while let Ok(event) = rx.try_recv() {
                    read(event);
                }
            }
        });
    });
    group.bench_function("async-broadcast", |b| {
        let (tx, rx) = async_broadcast::broadcast(RUN);
        let mut all: Vec<_> = (1..READERS).map(|_| rx.clone()).collect();
        all.push(rx);
        b.iter(|| {
            for _ in 0..RUN {
                tx.try_broadcast(event.clone()).expect("has room");
            }
            for rx in &mut all {
                while let Ok(event) = rx.try_recv() {
                    read(event);
                }
            }
        });
    });
    group.finish();
}

fn ours(group: &mut BenchmarkGroup<'_, WallTime>, readers: usize) {
    let event = Event::sample();
    group.bench_function("events", |b| {
        let feed = Arc::new(Feed::new());
        let mut all: Vec<_> = (0..readers).map(|_| feed.reader(None)).collect();
        b.iter(|| {
            (0..RUN).for_each(|_| feed.push(event.clone()).expect("is open"));
            for reader in &mut all {
                while let Some(chunk) = reader.try_chunk() {
                    chunk.from(reader.at()).iter().for_each(read);
                    reader.advance_to(chunk.end());
                }
            }
        });
    });
}

/// One event has been read, by value or by reference.
fn read<E>(event: E) {
    black_box(event);
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(RUN as u64));
    group
}
