//! The row of figures: requests, latency, errors, workers, each with its last minutes where it has some.

use std::fmt::Write;

use super::format::{bar, latency, percent, rate, spark};
use crate::run::State;
use crate::run::history::{Gauges, Point};

/// Points that a line has room for at least: one of few points does not pretend to be long.
const WIDTH: usize = 24;

struct Tile {
    name: &'static str,
    value: String,
    beside: String,
    picture: String,
    class: &'static str,
}

pub fn render(state: &State) -> String {
    let history = &state.history;
    let last = history.points.back().copied();
    let line = |value: fn(&Point) -> Option<f64>| {
        let values: Vec<f64> = history.points.iter().filter_map(value).collect();
        spark(&values, WIDTH.max(values.len()))
    };
    let unknown = || "–".to_owned();
    let gauges = &history.gauges;
    let mut tiles = vec![
        Tile {
            name: "Requests",
            value: last.map_or_else(unknown, |point| rate(point.rate)),
            beside: "per second".into(),
            picture: line(|point| Some(point.rate)),
            class: "",
        },
        Tile {
            name: "Latency",
            value: last.and_then(|point| point.p95).map_or_else(unknown, latency),
            beside: match last.and_then(|point| point.p50) {
                Some(p50) => format!("95th percentile · median {}", latency(p50)),
                None => "95th percentile".into(),
            },
            picture: line(|point| point.p95),
            class: "",
        },
        Tile {
            name: "Errors",
            value: last.and_then(|point| point.errors).map_or_else(unknown, percent),
            beside: "answers of 500 and above".into(),
            picture: line(|point| point.errors),
            class: if last.and_then(|point| point.errors).is_some_and(|errors| errors > 0.01) { "bad" } else { "" },
        },
    ];
    tiles.push(workers(gauges));
    let mut out = String::from("<h2 class=\"unseen\">Figures</h2><div class=\"tiles\">");
    for tile in tiles {
        let _ = write!(
            out,
            "<div class=\"tile {}\"><h3>{}</h3><p class=\"value\">{}</p><p class=\"beside\">{}</p>{}</div>",
            tile.class, tile.name, tile.value, tile.beside, tile.picture
        );
    }
    out.push_str("</div>");
    out
}

fn workers(gauges: &Gauges) -> Tile {
    let of = |state: &str| gauges.processes.get(state).copied().unwrap_or(0.0);
    let alive: f64 = gauges.processes.values().sum();
    let busy = gauges.slots_busy.unwrap_or_else(|| of("busy"));
    let slots = gauges.slots.filter(|slots| *slots > 0.0).unwrap_or(alive);
    if gauges.processes.is_empty() && gauges.slots.is_none() {
        return Tile {
            name: "Workers", value: "–".into(), beside: "no figures".into(), picture: bar(0.0), class: ""
        };
    }
    let hung = of("hung");
    let queue = gauges.queue.unwrap_or(0.0);
    let mut beside = format!("slots busy · {alive:.0} {}", if alive == 1.0 { "process" } else { "processes" });
    if queue > 0.0 {
        beside = format!("{beside} · {queue:.0} waiting");
    }
    if hung > 0.0 {
        beside = format!("{beside} · {hung:.0} hung");
    }
    Tile {
        name: "Workers",
        value: format!("{busy:.0}<small> / {slots:.0}</small>"),
        beside,
        picture: bar(if slots > 0.0 { busy / slots } else { 0.0 }),
        class: if hung > 0.0 { "bad" } else { "" },
    }
}
