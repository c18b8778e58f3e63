//! The control socket: HTTP/1.1 with JSON bodies on a Unix socket.
//!
//! Built to survive its clients: connections, header time, body time and body size are bounded, a
//! caller is known by its kernel credentials before anything it sent is looked at, and whatever it
//! sends, the worst that happens is an error answer.

mod access;
mod announce;
mod audit;
mod bfd;
pub(crate) mod connections;
mod extract;
mod ha;
mod packets;
mod routes;
mod socket;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::UnixStream;

use self::socket::ControlSocket;
pub use self::{
    access::{Access, Caller},
    connections::Limits,
    socket::SocketError,
};
use super::Control;

/// Group whose members may control the agent, besides root.
pub const GROUP: &str = "adc";

/// A control socket that is bound, but not served yet.
#[derive(Debug)]
pub struct Server {
    socket: ControlSocket,
    access: Access,
    limits: Limits,
}

impl Server {
    /// Binds the socket at `path` for root and group [`GROUP`].
    ///
    /// Needs a Tokio runtime. Binding is what makes an agent *the* agent of this node's run directory,
    /// so do it before touching the maps.
    ///
    /// # Errors
    /// Another agent answers there, something else is in the way, or the kernel refuses.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let access = Access::of_node();
        Ok(Self {
            socket: ControlSocket::bind(path, access.group())?,
            access,
            limits: Limits::CONTROL,
        })
    }

    /// With another policy and other bounds than the defaults.
    #[must_use]
    pub fn with(self, access: Access, limits: Limits) -> Self {
        Self {
            access,
            limits,
            ..self
        }
    }

    /// Where it listens.
    pub fn path(&self) -> PathBuf {
        self.socket.path().to_owned()
    }

    /// Serves until `shutdown` is done, then finishes the requests in hand and removes the socket file.
    pub async fn serve<C: Control>(
        self,
        control: Arc<C>,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let (listener, file) = self.socket.into_parts();
        let access = self.access;
        let router = routes::router(control);
        let admit = move |stream: &UnixStream| access.admit(stream);
        connections::serve(listener, self.limits, router, admit, shutdown).await;
        drop(file);
    }
}
