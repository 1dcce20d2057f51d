//! HTTP/1 on the strict codec (decision 8). Placeholder by the agreed signature; its owner (`http1`) replaces it.

use crate::connection::ConnInfo;
use crate::service::Thread;
use std::rc::Rc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves one connection to its end. Limits and timeouts: `thread.view().snapshot.config`; draining:
/// `thread.drain`; a request that cannot be read: `service::refuse`.
pub async fn serve<I>(io: I, thread: Rc<Thread>, conn: Rc<ConnInfo>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    drop((io, thread, conn));
}
