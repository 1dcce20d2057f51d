//! Any bytes as the beginning of a connection: no panic, whole or in pieces the same answer, and what is understood can be
//! written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monodon_proxy_protocol::{Connection, Read, Versions, line, read};

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    let versions = [Versions::V1, Versions::V2, Versions::Both][usize::from(first % 3)];
    let step = usize::from(first / 3).max(1);
    let whole = read(bytes, versions);
    let mut begun = false;
    let mut end = 0;
    loop {
        let part = read(&bytes[..end], versions);
        match part {
            Ok(Read::Unsure) => assert!(!begun),
            Ok(Read::Partial) => begun = true,
            _ => {
                assert_eq!(part, whole);
                break;
            }
        }
        if end == bytes.len() {
            break;
        }
        end = (end + step).min(bytes.len());
    }
    if let Ok(Read::Complete(header)) = whole {
        assert!(header.length <= bytes.len());
        if let Connection::Tcp { source, destination } = header.connection {
            assert_eq!(source.is_ipv4(), destination.is_ipv4());
            let again = read(line(header.connection).as_bytes(), Versions::V1);
            assert!(matches!(again, Ok(Read::Complete(same)) if same.connection == header.connection));
        }
    }
});
