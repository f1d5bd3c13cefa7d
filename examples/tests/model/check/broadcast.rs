//! What a broadcaster promises all of its sinks together.

use std::{collections::BTreeMap, sync::Arc};

use events_broadcast::Lag;
use events_core::ErrorKind;

use super::{
    Set,
    account::{perhaps_in, surely_in},
    offered, out_of_order,
};
use crate::{
    event::Event,
    found::{Found, Kind, Member},
    journal::{Answer, Call, Journal},
    puller::Pulled,
};

pub(super) fn problems(found: &Found) -> Vec<String> {
    let mut problems = Vec::new();
    for member in &found.members {
        problems.extend(of_member(member).into_iter().map(|why| format!("{}: {why}", member.name)));
    }
    for pulled in &found.pulled {
        problems.extend(of_pulled(pulled).into_iter().map(|why| format!("{}: {why}", pulled.name)));
    }
    let mut entries: Vec<&Arc<Journal>> = Vec::new();
    let readers = found.accounts.iter().map(|account| &account.entry);
    let all = found.members.iter().map(|member| &member.entry).chain(readers);
    for entry in all.chain(found.pulled.iter().map(|pulled| &pulled.entry)) {
        if !entries.iter().any(|known| Arc::ptr_eq(known, entry)) {
            entries.push(entry);
        }
    }
    for entry in entries {
        let members = found.members.iter().filter(|member| Arc::ptr_eq(&member.entry, entry));
        let members = members.map(|member| events(&member.exit)).collect();
        let accounts = found.accounts.iter().filter(|account| {
            Arc::ptr_eq(&account.entry, entry) && matches!(account.kind, Kind::Subscriber { .. })
        });
        let mut readers: Vec<_> = accounts.map(|account| events(&account.exit)).collect();
        let pulled = found.pulled.iter().filter(|pulled| Arc::ptr_eq(&pulled.entry, entry));
        readers.extend(pulled.map(|pulled| pulled.received.lock().events.clone()));
        problems.extend(one_order("members", members));
        problems.extend(one_order("readers", readers));
    }
    problems
}

fn events(journal: &Journal) -> Vec<Event> {
    journal.calls().iter().flat_map(|call| call.events.clone()).collect()
}

/// Every sink of a kind sees the same order.
fn one_order(whose: &str, mut orders: Vec<Vec<Event>>) -> Option<String> {
    orders.sort_by_key(Vec::len);
    let reference: BTreeMap<_, _> = orders.pop()?.into_iter().zip(0..).collect();
    for order in orders {
        let places: Vec<_> =
            order.iter().filter_map(|event| Some((*reference.get(event)?, *event))).collect();
        if let Some([_, second]) = places.array_windows().find(|[a, b]| a.0 >= b.0) {
            return Some(format!("{whose} differ in their order at {:?}", second.1));
        }
    }
    None
}

/// A direct sink is called once for every event that was written while it was there.
fn of_member(member: &Member) -> Vec<String> {
    let mut problems = Vec::new();
    let calls = member.exit.calls();
    let offered = offered(&calls, &mut problems);
    // One that is closed leaves.
    let closed = calls
        .iter()
        .find(|call| matches!(&call.answer, Some(Err(error)) if error.kind() == ErrorKind::Closed));
    let until = closed.map_or(u64::MAX, |call| call.ended);
    for call in member.entry.calls() {
        let (event, answer) = (call.events[0], call.answer.as_ref());
        let is_offered = offered.contains_key(&event);
        let surely = surely_in(&member.window, &call) && call.ended < until;
        if matches!(answer, Some(Ok(()))) && surely && !is_offered {
            problems.push(format!("{event:?} was written, and not offered"));
        }
        if is_offered && !perhaps_in(&member.window, &call) {
            problems.push(format!("{event:?} was offered to one that was not there"));
        }
    }
    let came = calls.iter().map(|call| call.events[0]);
    let order = out_of_order(&member.entry.calls(), came, |_| ());
    problems.extend(order.map(|order| format!("out of order: {order}")));
    problems
}

/// Whoever pulls gets every event once, or is told how many it missed.
fn of_pulled(pulled: &Pulled) -> Vec<String> {
    let mut problems = Vec::new();
    let received = pulled.received.lock().clone();
    let events: Set = received.events.iter().copied().collect();
    if events.len() < received.events.len() {
        problems.push("an event was received twice".to_owned());
    }
    let (mut must, mut may) = (0, 0);
    for call in pulled.entry.calls() {
        for (event, answer) in call.answers() {
            let has = events.contains(&event);
            match answer {
                Answer::Taken if has && !perhaps_in(&pulled.window, &call) => {
                    problems.push(format!("{event:?} was received by one that was not there"));
                }
                Answer::Taken if surely(pulled, &call) => must += u64::from(!has),
                _ => may += u64::from(!has),
            }
        }
    }
    let has_all = received.missed >= must && received.missed <= must + may;
    if !received.cut_off && !has_all {
        problems.push(format!(
            "was told of {} missed events, but {must} to {} are missing",
            received.missed,
            must + may
        ));
    }
    if pulled.lag == Lag::Unbounded && received.missed > 0 {
        problems.push("an unbounded subscription missed events".to_owned());
    }
    let written = pulled.entry.calls();
    let order = out_of_order(&written, received.events.iter().copied(), |_| ());
    problems.extend(order.map(|order| format!("out of order: {order}")));
    problems
}

fn surely(pulled: &Pulled, call: &Call) -> bool {
    surely_in(&pulled.window, call)
}
