//! Wires: what a link's bytes go over, and how each is opened, and opened again.

use super::serial;
use rustix::io::Errno;
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_nodelay,
    set_tcp_user_timeout, socket_acceptconn,
};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, connect, socket_with,
};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// How long a TCP peer may be silent until it is asked, and how long it may not acknowledge.
const TCP_SILENCE: Duration = Duration::from_secs(5);
const TCP_PROBES: u32 = 3;

/// What a link's bytes go over.
///
/// ```
/// use slipring_driver::link::Wire;
/// use std::net::TcpListener;
/// use std::os::unix::net::UnixStream;
///
/// let board = Wire::serial("/dev/serial/by-id/usb-ACME_Board_0042-if00", 3_000_000);
/// let simulator = Wire::unix("/run/simulator.sock");
/// let remote = Wire::tcp("192.0.2.7:4000".parse()?);
/// let qemu = Wire::accept(TcpListener::bind("127.0.0.1:0")?);
/// let (ours, theirs) = UnixStream::pair()?;
/// let pair = Wire::stream(ours);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Wire(Kind);

#[derive(Debug)]
enum Kind {
    Serial { path: PathBuf, baud: u32, rts_cts: bool },
    Unix(PathBuf),
    Tcp(SocketAddr),
    Accept(OwnedFd),
    Stream(Option<OwnedFd>),
}

/// The fastest serial wire, in baud.
pub const MAX_BAUD: u32 = 4_000_000;

impl Wire {
    /// A serial device: raw bytes, 8N1, for this process alone (TIOCEXCL, and a lock that others may ask
    /// for), 1 to [`MAX_BAUD`] baud.
    /// It may be plugged in and out at any time; a path under `/dev/serial/by-id` stays the same.
    /// (FTDI adapters keep bytes for 16 ms, unless `latency_timer` in
    /// `/sys/bus/usb-serial/devices/ttyUSB0` says 1.)
    pub fn serial(path: impl Into<PathBuf>, baud: u32) -> Self {
        Self(Kind::Serial { path: path.into(), baud, rts_cts: false })
    }

    /// Turns a serial device's hardware flow control on, which else is off. Of no effect on other
    /// wires.
    #[must_use]
    pub fn rts_cts(mut self) -> Self {
        if let Kind::Serial { rts_cts, .. } = &mut self.0 {
            *rts_cts = true;
        }
        self
    }

    /// A Unix socket that somebody listens on.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self(Kind::Unix(path.into()))
    }

    /// A TCP socket that somebody listens on. A peer whose machine answers nothing counts as gone
    /// after about ten seconds.
    pub fn tcp(address: SocketAddr) -> Self {
        Self(Kind::Tcp(address))
    }

    /// Whoever connects to a listening socket (a `UnixListener`, a `TcpListener`), one after the
    /// other: the next is taken when the one before has gone.
    pub fn accept(listener: impl Into<OwnedFd>) -> Self {
        Self(Kind::Accept(listener.into()))
    }

    /// Bytes both ways over what is open already: one end of a socket pair, a terminal that was set
    /// up otherwise. Once it has ended, the link is over. Whether it blocks is changed, for
    /// everyone who has it.
    pub fn stream(stream: impl Into<OwnedFd>) -> Self {
        Self(Kind::Stream(Some(stream.into())))
    }

    /// Whether it can be opened again.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.0, Kind::Stream(None))
    }

    /// The socket to wait at for the next one, if it is such.
    pub(super) fn listener(&self) -> Option<RawFd> {
        match &self.0 {
            Kind::Accept(listener) => Some(listener.as_raw_fd()),
            _ => None,
        }
    }

    /// Looks for what no waiting will mend.
    pub(super) fn check(&self) -> Result<(), WireError> {
        match &self.0 {
            Kind::Serial { baud, .. } if !(1..=MAX_BAUD).contains(baud) => {
                Err(WireError::BaudRange { baud: *baud })
            }
            Kind::Unix(path) => SocketAddrUnix::new(path.as_path()).map(drop).map_err(at("bind")),
            Kind::Serial { path, .. } if path.as_os_str().as_bytes().contains(&0) => {
                Err(at("open")(Errno::INVAL))
            }
            // A listener never blocks: whoever was at it may have gone.
            Kind::Accept(socket) if is_listening(socket) => {
                set_blocking(socket, false).map_err(at("fcntl"))
            }
            Kind::Accept(_) => Err(WireError::Kind { expected: "a socket that listens" }),
            Kind::Stream(Some(stream)) if is_listening(stream) => Err(WireError::Kind {
                expected: "a stream (Wire::accept takes sockets that listen)",
            }),
            _ => Ok(()),
        }
    }

    /// Opens it, as far as that goes without waiting; a listening one takes who waits there.
    pub(super) fn open(&mut self, blocking: bool) -> Result<Opened, WireError> {
        let opened = match &mut self.0 {
            Kind::Serial { path, baud, rts_cts } => {
                Opened { fd: serial::open(path, *baud, *rts_cts)?, is_there: true }
            }
            Kind::Unix(path) => {
                let address = SocketAddrUnix::new(path.as_path()).map_err(at("connect"))?;
                connect_to(AddressFamily::UNIX, &address)?
            }
            Kind::Tcp(address) => {
                let family = match address {
                    SocketAddr::V4(_) => AddressFamily::INET,
                    SocketAddr::V6(_) => AddressFamily::INET6,
                };
                let opened = connect_to(family, address)?;
                tune_tcp(&opened.fd);
                opened
            }
            Kind::Accept(listener) => {
                let fd = accept_with(&*listener, SocketFlags::CLOEXEC).map_err(at("accept"))?;
                tune_tcp(&fd);
                Opened { fd, is_there: true }
            }
            Kind::Stream(stream) => {
                let fd = stream.take().ok_or(WireError::Ended)?;
                Opened { fd, is_there: true }
            }
        };
        set_blocking(&opened.fd, blocking).map_err(at("fcntl"))?;
        Ok(opened)
    }

    /// Lets go of it.
    pub(super) fn close(&self, fd: OwnedFd) {
        if let Kind::Serial { .. } = self.0 {
            serial::release(&fd);
        }
    }
}

/// An open wire.
pub(super) struct Opened {
    pub(super) fd: OwnedFd,
    /// Whether somebody has answered; else the first transfer tells.
    pub(super) is_there: bool,
}

fn connect_to(
    family: AddressFamily,
    address: &impl rustix::net::addr::SocketAddrArg,
) -> Result<Opened, WireError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = socket_with(family, SocketType::STREAM, flags, None).map_err(at("socket"))?;
    match connect(&fd, address) {
        Ok(()) => Ok(Opened { fd, is_there: true }),
        Err(Errno::INPROGRESS) => Ok(Opened { fd, is_there: false }),
        Err(error) => Err(at("connect")(error)),
    }
}

fn is_listening(fd: &OwnedFd) -> bool {
    // What is no socket does not.
    socket_acceptconn(fd).unwrap_or(false)
}

/// Small frames at once, and an end to peers that have gone without a word. Of no effect on Unix
/// sockets.
fn tune_tcp(fd: &OwnedFd) {
    let unacknowledged_ms = TCP_SILENCE.as_millis() as u32;
    let _ = set_tcp_nodelay(fd, true);
    let _ = set_socket_keepalive(fd, true);
    let _ = set_tcp_keepidle(fd, TCP_SILENCE);
    let _ = set_tcp_keepintvl(fd, TCP_SILENCE);
    let _ = set_tcp_keepcnt(fd, TCP_PROBES);
    let _ = set_tcp_user_timeout(fd, unacknowledged_ms);
}

/// Whether transfers wait, for everyone who has this file.
pub(super) fn set_blocking(fd: &OwnedFd, blocking: bool) -> rustix::io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    let mut wanted = flags;
    wanted.set(rustix::fs::OFlags::NONBLOCK, !blocking);
    if wanted == flags { Ok(()) } else { rustix::fs::fcntl_setfl(fd, wanted) }
}

/// Why a wire is not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages name the fields")]
pub enum WireError {
    /// The system says so.
    #[error("{call}: {}", std::io::Error::from_raw_os_error(*errno))]
    System { call: &'static str, errno: i32 },
    /// Slower than a wire can be, or faster than the link is made for.
    #[error("{baud} baud; a serial wire has 1 to {MAX_BAUD}")]
    BaudRange { baud: u32 },
    /// Another kind of file than this wire is made of.
    #[error("{expected} is needed")]
    Kind { expected: &'static str },
    /// The device runs at another speed than the one that was asked for: more than 2 % off.
    #[error("the device runs at {actual} baud where {wanted} were asked for; choose a rate it has")]
    Baud { wanted: u32, actual: u32 },
    /// The other end has closed it.
    #[error("the other end has closed it")]
    Ended,
}

/// The error of a call.
pub(super) fn at(call: &'static str) -> impl Fn(Errno) -> WireError {
    move |errno| WireError::System { call, errno: errno.raw_os_error() }
}
