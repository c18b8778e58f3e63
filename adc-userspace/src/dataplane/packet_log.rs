//! What the program itself logs, if it was built to: `cargo xtask build-ebpf --log`.

use aya::Ebpf;
use aya_log::{EbpfLogger, Error};
use tokio::io::{Interest, unix::AsyncFd};

/// Passes the program's log records on to the agent's log (target `adc_xdp`, level debug) until the agent
/// ends. Does nothing for a program without records, which is what everybody but a developer runs.
pub(super) fn follow(ebpf: &mut Ebpf) {
    let logger = match EbpfLogger::init(ebpf) {
        Ok(logger) => logger,
        Err(Error::MapNotFound) => return,
        Err(error) => {
            tracing::warn!("the program's log records can not be read: {error}");
            return;
        }
    };
    let mut logger = match AsyncFd::with_interest(logger, Interest::READABLE) {
        Ok(logger) => logger,
        Err(error) => {
            tracing::warn!("the program's log records can not be waited for: {error}");
            return;
        }
    };
    tracing::warn!("this XDP program logs every packet: it is for developers, and slow");
    tokio::spawn(async move {
        while let Ok(mut ready) = logger.readable_mut().await {
            ready.get_inner_mut().flush();
            ready.clear_ready();
        }
    });
}
