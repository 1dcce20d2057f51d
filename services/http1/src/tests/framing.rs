use super::{parse, refused, with};
use crate::{Framing, Reject};

#[test]
fn content_length_is_digits_once() {
    for value in [
        "+5",
        "-1",
        "-0",
        "0x5",
        "0x10",
        "5_0",
        "5, 5",
        "5,5",
        "5 5",
        "5;",
        "5.0",
        "",
        " ",
        "\t",
        "1e3",
        "\u{ff15}",
        "\u{664}",
        "\"5\"",
        "5\u{b}",
        "18446744073709551616",
        "100000000000000000000",
        "99999999999999999999999999999999999999",
    ] {
        assert_eq!(
            with(&format!("Content-Length: {value}\r\n")).map(|h| h.framing).map_err(Reject::status),
            Err(400),
            "{value:?}"
        );
    }
    assert_eq!(with("Content-Length: 5\r\nContent-Length: 5\r\n").unwrap_err(), Reject::ContentLengthTwice);
    assert_eq!(with("Content-Length: 5\r\ncontent-length: 6\r\n").unwrap_err(), Reject::ContentLengthTwice);
    assert_eq!(with("Content-Length: 0\r\n").unwrap().framing, Framing::Length(0));
    assert_eq!(with("Content-Length:   18446744073709551615 \r\n").unwrap().framing, Framing::Length(u64::MAX));
}

#[test]
fn transfer_encoding_is_chunked_once() {
    for value in ["chunked", "Chunked", "CHUNKED", " \tchunked\t "] {
        assert_eq!(with(&format!("Transfer-Encoding:{value}\r\n")).unwrap().framing, Framing::Chunked, "{value:?}");
    }
    for (value, status) in [
        ("chunked, identity", 400),
        ("gzip, chunked", 400),
        ("chunked, gzip", 400),
        ("chunked, chunked", 400),
        (",chunked", 400),
        ("chunked,", 400),
        (",", 400),
        ("", 400),
        (" \t", 400),
        ("\"chunked\"", 400),
        ("'chunked'", 501),
        ("chunked;q=1", 400),
        ("chunked\u{b}", 400),
        ("\u{b}chunked", 400),
        ("chunked\u{c}", 400),
        ("chu nked", 400),
        ("chunked\0", 400),
        ("xchunked", 501),
        ("identity", 501),
        ("gzip", 501),
    ] {
        let result = with(&format!("Transfer-Encoding: {value}\r\n"));
        assert_eq!(result.map(|h| h.framing).map_err(Reject::status), Err(status), "{value:?}");
    }
    assert_eq!(
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n").unwrap_err(),
        Reject::TransferEncodingTwice
    );
    assert_eq!(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n").unwrap_err().status(), 400);
    refused(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
}

#[test]
fn both_lengths_are_refused() {
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    ] {
        assert_eq!(with(lines).unwrap_err(), Reject::LengthAndEncoding);
    }
}

#[test]
fn disguised_names_are_no_framing() {
    // Such names are refused or are other fields; none of them may ever count as framing.
    for line in
        ["Transfer-Encoding : chunked", "Content-Length : 5", " Transfer-Encoding: chunked", "Content\u{a0}Length: 5"]
    {
        assert_eq!(with(&format!("{line}\r\n")).map(|h| h.framing).map_err(Reject::status), Err(400), "{line:?}");
    }
    for line in ["Content_Length: 5", "Transfer_Encoding: chunked", "X-Content-Length: 5", "Content-Lengt: 5"] {
        assert_eq!(with(&format!("{line}\r\n")).unwrap().framing, Framing::None, "{line:?}");
    }
}

#[test]
fn expectations() {
    assert!(with("Expect: 100-continue\r\nContent-Length: 1\r\n").unwrap().expect_continue);
    assert!(with("Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n").unwrap().expect_continue);
    assert!(!with("Expect: 100-continue\r\n").unwrap().expect_continue, "no body, nothing to wait for");
    assert!(!with("Expect: 100-continue\r\nContent-Length: 0\r\n").unwrap().expect_continue);
    assert!(!parse(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").unwrap().expect_continue);
    for value in ["", "200-ok", "100-continue, 100-continue", "y 100-continue", "100-continue;x", "100 continue"] {
        assert_eq!(with(&format!("Expect: {value}\r\n")).unwrap_err().status(), 417, "{value:?}");
    }
    assert_eq!(with("Expect: 100-continue\r\nExpect: 100-continue\r\n").unwrap_err().status(), 417);
}

#[test]
fn upgrades() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n";
    assert_eq!(parse(bytes).unwrap().upgrade.unwrap().of(bytes), b"websocket");
    assert!(with("Upgrade: websocket\r\n").unwrap().upgrade.is_none(), "Connection does not name it");
    assert!(with("Connection: upgrade\r\n").unwrap().upgrade.is_none());
    assert!(parse(b"GET / HTTP/1.0\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n").unwrap().upgrade.is_none());
    for framing in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
        let lines = format!("Upgrade: websocket\r\nConnection: upgrade\r\n{framing}\r\n");
        assert_eq!(with(&lines).unwrap_err(), Reject::UpgradeWithBody);
    }
    assert!(with("Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n").is_ok());
    assert_eq!(with("Upgrade: a\r\nUpgrade: b\r\n").unwrap_err(), Reject::UpgradeTwice);
}
