//! How much of an upstream one route may take for itself.

use super::Levels;
use monodon_settings::{Kind, Setting};

pub const SETTINGS: &[Setting] = &[Setting {
    key: "max_slots",
    kind: Kind::Text,
    words: "How many slots of its upstream the requests of one route hold at most: a number, a share such as `75%`, or `auto`: then \
            the edge learns which routes are slow (how long their requests hold a slot, against the fastest quarter of all) and keeps \
            one slot in four free of them all. What is over waits without standing in the way of other routes. Each route has its own \
            bound, and so has what no route takes. Empty or `off`: none.",
    ..Setting::NEW
}];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxSlots {
    #[default]
    Off,
    Number(u32),
    /// Percent.
    Share(u32),
    Auto,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slots {
    pub max: MaxSlots,
}

impl Slots {
    pub fn read(levels: &mut Levels<'_>) -> Self {
        let text = levels.of("max_slots").text("max_slots");
        let max = parse(text).unwrap_or_else(|| {
            let words = format!("expected a number of at least 1, a share from 1% to 100%, auto or off, got {text:?}");
            levels.wrong("max_slots", words);
            MaxSlots::Off
        });
        Self { max }
    }
}

fn parse(text: &str) -> Option<MaxSlots> {
    let number = |text: &str, most| text.parse::<u32>().ok().filter(|number| (1..=most).contains(number));
    Some(match text.trim() {
        "" | "off" => MaxSlots::Off,
        "auto" => MaxSlots::Auto,
        text => match text.strip_suffix('%') {
            Some(share) => MaxSlots::Share(number(share.trim_end(), 100)?),
            None => MaxSlots::Number(number(text, 1_000_000)?),
        },
    })
}
