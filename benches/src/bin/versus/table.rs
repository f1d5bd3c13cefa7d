//! Tables, in Markdown, for a terminal and for a file alike.

use comfy_table::{CellAlignment, Table, presets};

use benches::works::SUBSCRIBERS;

use crate::{
    rows::{OURS, Row, find, works},
    targets::TARGETS,
};

/// Each figure, and how many times as fast, or as small, ours is.
pub(crate) fn figures(rows: &[Row]) -> String {
    let mut table = new(&["work", "peer", "figure", "ours is better by"]);
    for work in works(rows) {
        let ours = find(rows, work, OURS);
        for row in rows.iter().filter(|row| row.work == work) {
            let ratio = match ours {
                Some(ours) if row.peer != OURS && ours.value() > 0.0 => {
                    format!("{:.2} ×", row.figure.value() / ours.value())
                }
                _ => String::new(),
            };
            table.add_row([work, &row.peer, &row.figure.to_string(), &ratio]);
        }
    }
    right(&mut table, &[2, 3]);
    table.to_string()
}

/// What was aimed at, and what was reached.
pub(crate) fn targets(rows: &[Row]) -> String {
    let mut table = new(&["work", "target", "reached", ""]);
    for target in TARGETS {
        for verdict in target.verdicts(rows) {
            let met = if verdict.met { "met" } else { "missed" };
            table.add_row([target.work, &verdict.goal, &verdict.reached, met]);
        }
    }
    right(&mut table, &[2]);
    table.to_string()
}

/// What one subscriber costs, to see whether it grows with their number.
pub(crate) fn growth(rows: &[Row]) -> String {
    let mut table = new(&["subscribers", "queued, each", "direct, each", "the write alone"]);
    for subscribers in SUBSCRIBERS {
        let figure = |kind: &str, share: usize| {
            let figure = find(rows, &format!("broadcast/{subscribers}/{kind}"), OURS);
            figure.map_or_else(String::new, |figure| figure.shared_by(share).to_string())
        };
        table.add_row([
            subscribers.to_string(),
            figure("queued", subscribers),
            figure("direct", subscribers),
            figure("write", 1),
        ]);
    }
    right(&mut table, &[0, 1, 2, 3]);
    table.to_string()
}

fn new(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    table
}

fn right(table: &mut Table, columns: &[usize]) {
    for &column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}
