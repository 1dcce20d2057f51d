//! Every effective value under gunicorn's name: what hooks find in `cfg`.

use monodon_settings::Values;
use serde_json::{Map, Value};

use crate::settings::SCHEMA;

pub fn effective(values: &Values) -> Map<String, Value> {
    let shown = values.shown().map(|(key, text)| (key.to_owned(), Value::String(text)));
    debug_assert!(SCHEMA.settings().count() > 0);
    shown.collect()
}
