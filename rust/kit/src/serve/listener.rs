//! Connections: accepted, served over HTTP/2, and sent away gracefully.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::pings::Guarded;
use super::router::{Activity, Router};
use super::turned;
use crate::window;

/// Pings of ours that find out whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer has to close a connection that was ended here.
const LINGER: Duration = Duration::from_secs(1);
/// After a failed accept, such as for want of file descriptors, which only time can heal.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What every connection is served with.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) router: Arc<Router>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) max_streams: u32,
}

/// Accepts connections until `stopped`, then sends GOAWAY on each and waits until the calls on them have ended. Dropping
/// this ends them all.
pub(super) async fn serve(listener: TcpListener, connections: Connections, mut stopped: watch::Receiver<bool>) {
    let mut open = JoinSet::new();
    let for_each = stopped.clone();
    loop {
        tokio::select! {
            () = turned(&mut stopped) => break,
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    open.spawn(connections.clone().serve(stream, for_each.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

impl Connections {
    async fn serve(self, stream: TcpStream, stopped: watch::Receiver<bool>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let result = match self.tls.clone() {
            None => self.serve_http2(stream, stopped).await,
            Some(tls) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.serve_http2(stream, stopped).await,
                Ok(Err(error)) => Err(error),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            },
        };
        // Peers vanish all the time; what was under way on the connection has its own records.
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended");
        }
    }

    async fn serve_http2<IO>(self, mut io: IO, mut stopped: watch::Receiver<bool>) -> io::Result<()>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::default();
        let guarded = Guarded::new(&mut io, activity.clone());
        let router = self.router;
        let service = service_fn(move |request| router.call(request, &activity));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.max_streams)
            .initial_stream_window_size(window::STREAM)
            .initial_connection_window_size(window::CONNECTION)
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .auto_date_header(false);
        let ended = {
            let mut connection = pin!(builder.serve_connection(TokioIo::new(guarded), service));
            let ended = tokio::select! {
                ended = connection.as_mut() => Some(ended),
                () = turned(&mut stopped) => None,
            };
            if let Some(ended) = ended {
                ended
            } else {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if ended.is_ok() {
            linger(&mut io).await;
        }
        ended.map_err(io::Error::other)
    }
}

/// Waits for the peer's own end. Where bytes of the peer lie unread, such as acknowledgements, closing resets the connection,
/// and what was written last may never be sent.
async fn linger<IO: AsyncRead + AsyncWrite + Unpin>(io: &mut IO) {
    let ending = async {
        io.shutdown().await?;
        tokio::io::copy(io, &mut tokio::io::sink()).await
    };
    // A peer that stays is left, and one that has reset the connection is gone.
    if let Ok(Err(error)) = tokio::time::timeout(LINGER, ending).await {
        tracing::debug!(%error, "a connection ended");
    }
}
