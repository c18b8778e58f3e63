//! Requests to the kernel: dumps, route look-ups, and questions to neighbours.

use std::{collections::BTreeSet, future::Future, io, net::IpAddr, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use netlink_packet_route::{
    AddressFamily,
    neighbour::{NeighbourFlags, NeighbourState},
    route::{RouteAttribute, RouteMessage},
};
use rtnetlink::Handle;

use super::{
    HopKey, Link, Neighbour, NeighbourError, RouteAnswer, decode,
    table::{Ask, Question},
};

/// The kernel answers at once or, if its answer did not fit our queue, never.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Look-ups under way at once; their answers fit the default receive queue many times over.
const CONCURRENT: usize = 32;

/// A connection for requests.
#[derive(Clone)]
pub(super) struct Kernel {
    handle: Handle,
}

impl Kernel {
    /// Opens a socket in the calling thread's network namespace; must be called inside a tokio runtime.
    pub(super) fn connect() -> Result<Self, NeighbourError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|source| NeighbourError::Open {
                purpose: "ask for links, routes and neighbours",
                source,
            })?;
        // Ends by itself when the last handle is dropped.
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// All devices.
    pub(super) async fn links(&self) -> Result<Vec<Link>, NeighbourError> {
        let all = self.handle.link().get().execute().try_collect::<Vec<_>>();
        let all = answered("list network devices", all).await?;
        Ok(all.iter().filter_map(decode::link).collect())
    }

    /// The device of that name.
    pub(super) async fn link(&self, name: &str) -> Result<Link, NeighbourError> {
        let links = self.links().await?;
        links
            .into_iter()
            .find(|link| link.name == name)
            .ok_or_else(|| NeighbourError::NoInterface(name.into()))
    }

    /// All neighbours, IPv4 and IPv6.
    pub(super) async fn neighbours(&self) -> Result<Vec<(HopKey, Neighbour)>, NeighbourError> {
        let all = self
            .handle
            .neighbours()
            .get()
            .execute()
            .try_collect::<Vec<_>>();
        let all = answered("list neighbours", all).await?;
        Ok(all.iter().filter_map(decode::neighbour).collect())
    }

    /// The kernel's own choice of route to each address, policy rules included, as for a packet that this
    /// machine sends without a source address or mark.
    pub(super) async fn routes(&self, to: BTreeSet<IpAddr>) -> Vec<(IpAddr, RouteAnswer)> {
        stream::iter(to)
            .map(|ip| async move { (ip, self.route(ip).await) })
            .buffer_unordered(CONCURRENT)
            .collect()
            .await
    }

    async fn route(&self, to: IpAddr) -> RouteAnswer {
        let mut question = RouteMessage::default();
        (
            question.header.address_family,
            question.header.destination_prefix_length,
        ) = match to {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        question
            .attributes
            .push(RouteAttribute::Destination(to.into()));
        let answers = self.handle.route().get(question).execute();
        let mut answers = std::pin::pin!(answers);
        match tokio::time::timeout(ANSWER_WITHIN, answers.next()).await {
            Ok(Some(Ok(message))) => decode::route(to, &message),
            Ok(Some(Err(error))) => refusal(&error),
            Ok(None) => RouteAnswer::Failed("the kernel gave no answer".into()),
            Err(_) => RouteAnswer::Failed("the kernel did not answer in time".into()),
        }
    }

    /// Makes the kernel ask a neighbour; what comes of it is told by the multicast groups.
    pub(super) async fn ask(&self, question: Question) -> Result<(), NeighbourError> {
        match question.ask {
            Ask::Resolve => self.resolve(question.key).await,
            // Refused if the entry has gone or lost its MAC meanwhile: then it is to be resolved anew.
            Ask::Confirm => match self.confirm(question.key).await {
                Ok(()) => Ok(()),
                Err(_) => self.resolve(question.key).await,
            },
        }
    }

    /// `NTF_USE`: the kernel behaves as if it had a packet for the neighbour, and creates the entry if need
    /// be. (It would also strip NUD_PERMANENT off an entry, so this is never sent for a permanent one.)
    async fn resolve(&self, key: HopKey) -> Result<(), NeighbourError> {
        let request = self
            .handle
            .neighbours()
            .add(key.ifindex, key.address)
            .state(NeighbourState::None)
            .flags(NeighbourFlags::Use)
            .replace()
            .execute();
        answered(&format!("resolve neighbour {}", key.address), request).await
    }

    /// `NUD_PROBE` without a MAC: the kernel keeps the one it has and sends a unicast probe at once. `NTF_USE`
    /// would first wait five seconds (`delay_first_probe_time`) for traffic that we know it never sees.
    async fn confirm(&self, key: HopKey) -> Result<(), NeighbourError> {
        let request = self
            .handle
            .neighbours()
            .add(key.ifindex, key.address)
            .state(NeighbourState::Probe)
            .replace()
            .execute();
        answered(&format!("confirm neighbour {}", key.address), request).await
    }
}

/// Waits for the answer to a request, with a limit, and says what was asked if it fails.
pub(super) async fn answered<T>(
    request: &str,
    answer: impl Future<Output = Result<T, rtnetlink::Error>>,
) -> Result<T, NeighbourError> {
    let failed = |reason| NeighbourError::Request {
        request: request.into(),
        reason,
    };
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(reason(&error))),
        Err(_) => Err(failed("no answer".into())),
    }
}

/// The errno in a netlink error, if it is one.
pub(super) fn errno(error: &rtnetlink::Error) -> Option<i32> {
    if let rtnetlink::Error::NetlinkError(message) = error {
        message.code.map(|code| -code.get())
    } else {
        None
    }
}

fn reason(error: &rtnetlink::Error) -> String {
    match errno(error) {
        Some(libc::EPERM | libc::EACCES) => {
            "not permitted: run as root or with CAP_NET_ADMIN".into()
        }
        Some(code) => io::Error::from_raw_os_error(code).to_string(),
        None => error.to_string(),
    }
}

/// Routes that refuse packets answer a look-up with the error that a sender would get (fib_props in the kernel).
fn refusal(error: &rtnetlink::Error) -> RouteAnswer {
    match errno(error) {
        Some(libc::ENETUNREACH) => RouteAnswer::Unreachable,
        Some(libc::EHOSTUNREACH) => RouteAnswer::Refused("unreachable"),
        Some(libc::EACCES) => RouteAnswer::Refused("prohibit"),
        Some(libc::EINVAL) => RouteAnswer::Refused("blackhole"),
        _ => RouteAnswer::Failed(reason(error)),
    }
}
