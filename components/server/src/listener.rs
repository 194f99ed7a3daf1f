//! One listening socket: bound early, served later, drained at the end.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mainspring_core::{ComponentContext, LoadError};
use mainspring_engine::TaskProcessor;
use mainspring_metrics::{MetricsScope, Registration};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ListenerConfig;
use crate::events::{ListenerEvents, show_in_userver_view};
use crate::linger::Linger;
use crate::options::ListenerKind;
use crate::routes::RouteTable;
use crate::stream::{Activity, ClientStream};

/// Where reading a head ends with 431. hyper looks after each read, so up to as much again may have been read.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Most headers of a request; more are answered with 431.
const HEADERS_MAX: usize = 100;

/// Pause after a failed accept: the cause, mostly a lack of file descriptors, does not pass at once.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// A listener whose address is taken, so that nobody else can take it; it refuses connections until
/// [`Listener::serve`].
pub(crate) struct Listener {
    shared: Arc<Shared>,
    local_addr: SocketAddr,
    processor: TaskProcessor,
    config: ListenerConfig,
    socket: Mutex<Option<TcpSocket>>,
    _in_userver_view: Registration,
}

struct Shared {
    cx: ComponentContext,
    kind: ListenerKind,
    routes: Arc<RouteTable>,
    events: Arc<ListenerEvents>,
    permits: Arc<Semaphore>,
    read_max: Duration,
    write_max: Duration,
    draining: CancellationToken,
    closing: CancellationToken,
    connections: TaskTracker,
}

impl Listener {
    pub(crate) fn bind(
        cx: &ComponentContext,
        kind: ListenerKind,
        config: &ListenerConfig,
        routes: Arc<RouteTable>,
        metrics: &MetricsScope,
    ) -> Result<Self, LoadError> {
        let processor = cx.task_processor(&config.task_processor)?;
        let (socket, local_addr) = bind(config).map_err(|error| cannot_listen(cx, kind, config, &error))?;
        let events = Arc::new(ListenerEvents::new(metrics, kind));
        let in_userver_view = show_in_userver_view(cx, &events);
        let shared = Shared {
            cx: cx.clone(),
            kind,
            routes,
            events,
            permits: Arc::new(Semaphore::new(config.max_connections.get().min(Semaphore::MAX_PERMITS))),
            read_max: config.read_timeout.get(),
            write_max: config.write_timeout.get(),
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            local_addr,
            processor,
            config: config.clone(),
            socket: Mutex::new(Some(socket)),
            _in_userver_view: in_userver_view,
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    pub(crate) fn processor(&self) -> &TaskProcessor {
        &self.processor
    }

    pub(crate) fn routes(&self) -> &Arc<RouteTable> {
        &self.shared.routes
    }

    /// Opens the door. Without effect when it is open already.
    pub(crate) async fn serve(&self) -> Result<(), LoadError> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(socket) = socket else { return Ok(()) };
        let Shared { cx, kind, .. } = &*self.shared;
        let backlog = self.config.backlog.get();
        // The socket belongs to the runtime in which it is opened, so that is done on the right one.
        let listening = async move {
            // Inherited by the connections, whose remains must not keep a successor from starting.
            socket.set_reuseaddr(true)?;
            socket.listen(backlog)
        };
        let listener = cx.spawn_on(&self.processor, "listen", listening).await?;
        let listener = listener.map_err(|error| cannot_listen(cx, *kind, &self.config, &error))?;
        self.shared.events.listening(self.local_addr);
        let accepting = accept(Arc::clone(&self.shared), self.processor.clone(), listener);
        drop(cx.spawn_on(&self.processor, format!("accept/{}", kind.name()), accepting));
        Ok(())
    }

    /// Stops accepting and waits until every connection has finished what it was answering.
    ///
    /// # Cancel safety
    /// May be dropped at any time; the connections go on finishing.
    pub(crate) async fn drain(&self) {
        drop(self.socket.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Shared { draining, connections, events, .. } = &*self.shared;
        if !draining.is_cancelled() {
            events.draining();
            draining.cancel();
        }
        connections.close();
        connections.wait().await;
    }

    /// As [`Listener::drain`], but given up on it cuts off the connections that are left.
    ///
    /// # Cancel safety
    /// Dropping it is what cuts them off.
    pub(crate) async fn drain_or_cut_off(&self) {
        let cut_off = CutOff { shared: &self.shared, is_due: true };
        self.drain().await;
        cut_off.disarm();
    }

    /// Drains for no longer than `limit`, then cuts off the connections that are left: a client that stalls must not
    /// hold up a stop.
    ///
    /// # Cancel safety
    /// As for [`Listener::drain`].
    pub(crate) async fn close(&self, limit: Duration) {
        if tokio::time::timeout(limit, self.drain()).await.is_err() {
            drop(CutOff { shared: &self.shared, is_due: true });
            self.shared.connections.wait().await;
        }
    }
}

/// Cuts off whoever is still connected when it is dropped.
struct CutOff<'a> {
    shared: &'a Shared,
    is_due: bool,
}

impl CutOff<'_> {
    fn disarm(mut self) {
        self.is_due = false;
    }
}

impl Drop for CutOff<'_> {
    fn drop(&mut self) {
        if self.is_due && !self.shared.closing.is_cancelled() {
            self.shared.events.cutting_off();
            self.shared.closing.cancel();
        }
    }
}

/// Accepts until the listener drains. Holds a place in `connections` itself, so that draining waits until the
/// socket is closed.
async fn accept(shared: Arc<Shared>, processor: TaskProcessor, listener: TcpListener) {
    let _place = shared.connections.token();
    loop {
        let next = shared.draining.run_until_cancelled(async {
            let permit =
                Arc::clone(&shared.permits).acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, permit)
        });
        let Some((accepted, permit)) = next.await else { return };
        match accepted {
            Ok((stream, _peer)) => {
                let closing = shared.closing.clone();
                let serving =
                    closing.run_until_cancelled_owned(serve(Arc::clone(&shared), processor.clone(), stream));
                let serving = shared.connections.track_future(async move {
                    let _cut_off = serving.await.is_none();
                    drop(permit);
                });
                drop(shared.cx.spawn_on(&processor, "connection", serving));
            }
            Err(error) => {
                shared.events.accept_failed(&error);
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// Answers the requests of one connection until it closes or, when the listener drains, until the current one is
/// answered.
async fn serve(shared: Arc<Shared>, processor: TaskProcessor, stream: TcpStream) {
    let _open = shared.events.opened();
    // Answers are written whole; waiting for more would only delay them. A failure costs that delay alone.
    let _best_effort = stream.set_nodelay(true);
    let activity = Arc::<Activity>::default();
    let stream = ClientStream::new(stream, Arc::clone(&activity), shared.write_max, &shared.draining);
    let linger = Linger {
        cx: shared.cx.clone(),
        processor,
        stall_max: shared.read_max,
        draining: shared.draining.clone(),
    };
    let service = service_fn(|request| {
        let routes = Arc::clone(&shared.routes);
        let under_way = activity.begin();
        let request = linger.over(request);
        async move { routes.answer(request).await.map(|response| under_way.until_sent(response)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Also ends connections that are kept alive without a request.
        .header_read_timeout(shared.read_max)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shared.draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        shared.events.connection_failed(&error, activity.is_in_head());
    }
}

fn bind(config: &ListenerConfig) -> io::Result<(TcpSocket, SocketAddr)> {
    match bind_to(config.address, config.port) {
        Err(error) if config.address.is_ipv6() && config.address.is_unspecified() && lacks_ipv6(&error) => {
            bind_to(Ipv4Addr::UNSPECIFIED.into(), config.port)
        }
        outcome => outcome,
    }
}

/// Takes an address for this socket alone: another one that asks for it, even one that does not listen yet, is
/// refused here and not only when the service is up.
///
/// Connections of a service that has just stopped are in the way of that, and must not keep its successor from
/// starting: then the address is taken together with them, and with whoever takes it in the same way.
fn bind_to(address: IpAddr, port: u16) -> io::Result<(TcpSocket, SocketAddr)> {
    let bind = |reuse| {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(reuse)?;
        socket.bind(SocketAddr::new(address, port))?;
        let local_addr = socket.local_addr()?;
        Ok::<_, io::Error>((socket, local_addr))
    };
    match bind(false) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => bind(true),
        outcome => outcome,
    }
}

/// No such kind of address in the kernel, or none of it on this machine.
fn lacks_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn cannot_listen(
    cx: &ComponentContext,
    kind: ListenerKind,
    config: &ListenerConfig,
    error: &io::Error,
) -> LoadError {
    let (component, key) = (cx.name(), kind.key());
    let address = SocketAddr::new(config.address, config.port);
    let way_out = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; stop what uses the port, or change `{component}.{key}.port` (0 takes any free one)")
        }
        io::ErrorKind::PermissionDenied => format!("; change `{component}.{key}.port` to 1024 or above"),
        io::ErrorKind::AddrNotAvailable => {
            format!("; change `{component}.{key}.address` to one of this machine")
        }
        _ => String::new(),
    };
    LoadError::message(format!(
        "component `{component}` cannot listen on {address} (`{key}`): {error}{way_out}"
    ))
}
