//! HTTP/2 on hyper.

use crate::connection::ConnInfo;
use crate::service::Thread;
use std::rc::Rc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves one connection to its end.
pub async fn serve<I>(io: I, thread: Rc<Thread>, conn: Rc<ConnInfo>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    drop((io, thread, conn));
}
