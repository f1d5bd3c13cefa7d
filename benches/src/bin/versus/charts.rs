//! What an event costs as the subscribers grow in number, both axes logarithmic.

use std::{error::Error, fs, path::Path};

use benches::works::SUBSCRIBERS;
use plotters::{
    coord::combinators::IntoLogRange,
    prelude::{
        ChartBuilder, Circle, Color, IntoDrawingArea, LineSeries, PathElement, RGBColor,
        SVGBackend, SeriesLabelPosition, WHITE,
    },
};

use crate::rows::{Figure, OURS, Row, SEED, find};

/// The charts: the end of the works' names, and a title.
pub(crate) const CHARTS: [(&str, &str); 3] = [
    ("queued", "A broadcast to subscribers that each have their own pace"),
    ("direct", "A broadcast to sinks on the writer's thread"),
    ("sparse", "A broadcast with one event in flight"),
];

const SIZE: (u32, u32) = (900, 560);
const FONT: &str = "sans-serif";
/// Okabe and Ito's colours, which most eyes tell apart; the strongest are for ours.
const COLOURS: [RGBColor; 9] = [
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x80, 0x80, 0x80),
    RGBColor(0x5e, 0x3c, 0x99),
    RGBColor(0x8c, 0x56, 0x4b),
];
const BLACK: RGBColor = RGBColor(0, 0, 0);

/// One peer's line.
struct WaitQueue<'a> {
    peer: &'a str,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

/// Draws all charts into `folder`.
pub(crate) fn draw(rows: &[Row], folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    for (kind, title) in CHARTS {
        let lines = lines(rows, kind);
        if !lines.is_empty() {
            chart(&lines, title, &folder.join(format!("{kind}.svg")))?;
        }
    }
    Ok(())
}

/// Each peer has one colour in all charts.
fn lines<'a>(rows: &'a [Row], kind: &str) -> Vec<WaitQueue<'a>> {
    let mut peers: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.work.starts_with("broadcast/")) {
        if !peers.contains(&row.peer.as_str()) && row.peer != SEED {
            peers.push(&row.peer);
        }
    }
    let colours = COLOURS.iter().copied().cycle();
    let peers = peers.into_iter().zip(colours).chain([(SEED, BLACK)]);
    let lines = peers.map(|(peer, colour)| {
        let point = |subscribers: usize| {
            let figure = find(rows, &format!("broadcast/{subscribers}/{kind}"), peer)?;
            Some((subscribers as f64, figure.value()))
        };
        WaitQueue { peer, colour, points: SUBSCRIBERS.into_iter().filter_map(point).collect() }
    });
    lines.filter(|line| !line.points.is_empty()).collect()
}

fn chart(lines: &[WaitQueue<'_>], title: &str, path: &Path) -> Result<(), Box<dyn Error>> {
    let costs = || lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let least = costs().fold(f64::INFINITY, f64::min);
    let most = costs().fold(0.0, f64::max);
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, (FONT, 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d((0.8..12_500.0).log_scale(), (least / 2.0..most * 2.0).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("subscribers")
        .y_desc("time for each event")
        .label_style((FONT, 14))
        .x_label_formatter(&|count| format!("{count:.0}"))
        .y_label_formatter(&|ns| time(*ns))
        .light_line_style(WHITE)
        .draw()?;
    for line in lines {
        let ours = line.peer == OURS;
        let style = line.colour.stroke_width(if ours { 4 } else { 2 });
        let dots = line.points.iter().map(|&at| Circle::new(at, 4, line.colour.filled()));
        chart.draw_series(dots)?;
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), style))?
            .label(line.peer)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .legend_area_size(32)
        .margin(12)
        .background_style(WHITE.mix(0.85))
        .label_font((FONT, 14))
        .draw()?;
    area.present()?;
    Ok(())
}

/// A round number of nanoseconds, in the largest unit that leaves it whole.
fn time(ns: f64) -> String {
    match ns {
        ns if ns >= 1e9 => format!("{:.0} s", ns / 1e9),
        ns if ns >= 1e6 => format!("{:.0} ms", ns / 1e6),
        ns if ns >= 1e3 => format!("{:.0} µs", ns / 1e3),
        ns => Figure::Time(ns).to_string(),
    }
}
