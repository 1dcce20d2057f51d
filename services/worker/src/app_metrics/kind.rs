//! What a file holds, by its name: `counter_3.db`, `gauge_livesum_3.db` (prometheus_client's `values.py` makes them).

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Counter,
    Summary,
    Histogram,
    /// `live`: a process that has died counts no more.
    Gauge {
        mode: Mode,
        live: bool,
    },
}

/// prometheus_client's `multiprocess_mode`: how one gauge comes of those of many processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Each by itself, with a label `pid`.
    All,
    Min,
    Max,
    Sum,
    MostRecent,
}

const MODES: [(Mode, &str, &str); 5] = [
    (Mode::All, "all", "liveall"),
    (Mode::Min, "min", "livemin"),
    (Mode::Max, "max", "livemax"),
    (Mode::Sum, "sum", "livesum"),
    (Mode::MostRecent, "mostrecent", "livemostrecent"),
];

impl Kind {
    /// Every kind there is.
    pub fn each() -> impl Iterator<Item = Kind> {
        let gauges = MODES.into_iter().flat_map(|(mode, ..)| [false, true].map(|live| Kind::Gauge { mode, live }));
        [Kind::Counter, Kind::Summary, Kind::Histogram].into_iter().chain(gauges)
    }

    /// The file that a process of this name writes.
    pub fn file(self, process: &str) -> String {
        match self {
            Kind::Counter => format!("counter_{process}.db"),
            Kind::Summary => format!("summary_{process}.db"),
            Kind::Histogram => format!("histogram_{process}.db"),
            Kind::Gauge { mode, live } => {
                let name = MODES.iter().find(|(one, ..)| *one == mode);
                let name = name.map_or("all", |(_, name, while_alive)| if live { while_alive } else { name });
                format!("gauge_{name}_{process}.db")
            }
        }
    }

    /// Kind and process, of a file's name.
    pub fn of(file: &str) -> Option<(Kind, &str)> {
        let (kind, process) = file.strip_suffix(".db")?.split_once('_')?;
        let kind = match kind {
            "counter" => Kind::Counter,
            "summary" => Kind::Summary,
            "histogram" => Kind::Histogram,
            "gauge" => {
                let (name, process) = process.split_once('_')?;
                let (mode, _, while_alive) = MODES.iter().find(|(_, mode, live)| *mode == name || *live == name)?;
                return Some((Kind::Gauge { mode: *mode, live: *while_alive == name }, process));
            }
            _ => return None,
        };
        Some((kind, process))
    }

    /// As the text format names it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Summary => "summary",
            Kind::Histogram => "histogram",
            Kind::Gauge { .. } => "gauge",
        }
    }

    /// One value of those of two processes. `mostrecent` goes by the time: a gauge that was never set has none (0).
    pub fn join(self, into: &mut (f64, f64), from: (f64, f64)) {
        match self {
            Kind::Gauge { mode: Mode::Min, .. } if from.0 < into.0 => *into = from,
            Kind::Gauge { mode: Mode::Max, .. } if from.0 > into.0 => *into = from,
            Kind::Gauge { mode: Mode::MostRecent, .. } if from.1 > into.1 => *into = from,
            Kind::Gauge { mode: Mode::Min | Mode::Max | Mode::MostRecent, .. } => {}
            Kind::Gauge { mode: Mode::All, .. } => *into = from,
            Kind::Gauge { mode: Mode::Sum, .. } | Kind::Counter | Kind::Summary | Kind::Histogram => into.0 += from.0,
        }
    }

    /// Whether each process's value stands by itself.
    pub fn apart(self) -> bool {
        matches!(self, Kind::Gauge { mode: Mode::All, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_prometheus_clients() {
        let kinds: Vec<Kind> = Kind::each().collect();
        assert_eq!(kinds.len(), 13);
        for kind in kinds {
            assert_eq!(Kind::of(&kind.file("w3")), Some((kind, "w3")));
        }
        let gauge = Kind::Gauge { mode: Mode::MostRecent, live: true };
        assert_eq!(gauge.file("7"), "gauge_livemostrecent_7.db");
        for other in ["counter.db", "counter_1.db.new", "gauge_7.db", "gauge_most_7.db", "info_7.db", "lock", ".db"] {
            assert_eq!(Kind::of(other), None, "{other}");
        }
    }
}
