//! Any `X-Forwarded-For`: no panic, one field or many the same client, and never one beyond a hop that is not trusted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monodon_worker::process::Trust;

const TRUSTED: [&str; 6] = ["10.0.0.0/8", "192.168.0.0/16", "fc00::/7", "127.0.0.1", "*", ""];

fuzz_target!(|data: &[u8]| {
    let Some((&choice, rest)) = data.split_first() else { return };
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    let (words, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let words = String::from_utf8_lossy(words);
    let fixed = TRUSTED[usize::from(choice) % TRUSTED.len()];
    let Ok(trust) = Trust::parse(&[fixed, &words]) else { return };
    let values: Vec<&[u8]> = value.split(|byte| *byte == b';').collect();
    let joined = values.join(&b", "[..]);
    let client = trust.client(values.iter().copied());
    assert_eq!(client, trust.client(std::iter::once(joined.as_slice())));
    let mut hops = joined.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    if let Some(client) = client {
        assert_eq!(client, client.to_canonical());
        // Everything right of it is trusted, so asked about the rest alone the answer is the same.
        let text = client.to_string();
        let found = hops.position(|hop| trust.client(std::iter::once(hop)) == Some(client));
        assert!(found.is_some(), "{text} is none of the hops");
        assert!(trust.client(std::iter::once(text.as_bytes())) == Some(client));
    }
});
