//! The PROXY header at the beginning of a connection: who the client is, told by a proxy that only passes bytes on. It is
//! looked for once, and what it said goes along when the connection is handed to a sibling.

use std::{borrow::Cow, sync::Arc};

use monodon_proxy_protocol::{Connection, Read, Versions, line, read};

use super::{request::Request, shared::Shared};

/// What is known of a connection's client beyond its socket.
#[derive(Clone, Copy)]
pub enum Introduction {
    /// Nothing yet: a header may come.
    Awaited,
    /// There is none, or it has been read.
    Made(Option<Connection>),
}

/// Why a connection is refused: status, and the reason for the log.
pub type Refusal = (u16, &'static str);

impl Introduction {
    /// Of a connection that was accepted just now.
    pub fn of_new(shared: &Shared) -> Self {
        if shared.introductions.is_some() { Self::Awaited } else { Self::Made(None) }
    }

    /// For a sibling.
    pub fn to_bytes(self) -> Cow<'static, [u8]> {
        match self {
            Self::Awaited => Cow::Borrowed(b"awaited"),
            Self::Made(None) => Cow::Borrowed(b"none"),
            Self::Made(Some(connection)) => Cow::Owned(line(connection).into_bytes()),
        }
    }

    pub fn from_bytes(bytes: &[u8]) -> Self {
        match read(bytes, Versions::V1) {
            _ if bytes == b"awaited" => Self::Awaited,
            Ok(Read::Complete(header)) => Self::Made(Some(header.connection)),
            _ => Self::Made(None),
        }
    }
}

/// Looks for the header in what has arrived. True when it is known what the connection is, and whatever was a header is no
/// longer among the bytes.
pub fn find(shared: &Shared, request: &mut Request, introduction: &mut Introduction) -> Result<bool, Refusal> {
    let Some((versions, allowed)) = &shared.introductions else { return Ok(true) };
    let found = read(&request.bytes, *versions);
    if !matches!(found, Ok(Read::Absent | Read::Unsure)) {
        // Whoever comes through a unix socket has been let in by the file system.
        let stranger = request.peer.remote.filter(|remote| !allowed.peer(remote.ip()));
        if stranger.is_some() {
            return Err((403, "PROXY header from a peer that is not in proxy_allow_ips"));
        }
    }
    match found.map_err(|malformed| (400, malformed.reason()))? {
        Read::Unsure | Read::Partial => return Ok(false),
        Read::Absent => *introduction = Introduction::Made(None),
        Read::Complete(header) => {
            request.bytes.drain(..header.length);
            *introduction = Introduction::Made(Some(header.connection));
            request.peer = Arc::new(request.peer.introduced(header.connection, &shared.trust));
        }
    }
    Ok(true)
}
