//! Any format and any request: no panic, one line a request, and JSON that can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monodon_worker::access::{Clock, Format, Record, json};

thread_local! {
    static CLOCK: Clock = Clock::default();
}

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(7, |byte| *byte == 0xff);
    let mut part = || parts.next().unwrap_or_default();
    let (format, method, target, client, field, response, number) =
        (part(), part(), part(), part(), part(), part(), part());
    let figure = number.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(251).wrapping_add(u64::from(*byte)));
    let value = |name: &[u8]| (name.len() % 2 == 0).then_some(field);
    let record = |environ| Record {
        client,
        method,
        target,
        protocol: "HTTP/1.1",
        id: field,
        status: figure as u16,
        received: figure,
        sent: figure,
        micros: figure,
        pid: figure as u32,
        entry: figure as usize,
        field: &value,
        response,
        length: figure.checked_sub(1 << 20),
        environ,
    };
    let mut line = Vec::new();
    CLOCK.with(|clock| json::write(&mut line, &record(&[]), clock));
    assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
    serde_json::from_slice::<serde_json::Value>(&line).expect("JSON");
    let Ok(text) = std::str::from_utf8(format) else { return };
    let Ok(format) = Format::parse(text) else { return };
    let environ: Vec<Option<String>> =
        format.wants().environ.iter().map(|key| Some(format!("{key}{}", String::from_utf8_lossy(field)))).collect();
    line.clear();
    CLOCK.with(|clock| format.write(&mut line, &record(&environ), clock));
    // What a client sends makes no second line, and moves no cursor.
    if !text.contains(|c: char| c.is_control()) {
        assert_eq!(line.pop(), Some(b'\n'));
        assert!(!line.iter().any(u8::is_ascii_control), "{:?}", line.escape_ascii().to_string());
    }
});
