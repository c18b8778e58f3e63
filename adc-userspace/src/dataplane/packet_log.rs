//! What the program itself logs, if it was built to: `cargo xtask build-ebpf --log`.

use std::time::Duration;

use aya::Ebpf;
use aya_log::{EbpfLogger, Error};

/// How often records are fetched; the program has room for 128 KiB of them.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Passes the program's log records on to the agent's log (target `adc_xdp`, level debug) until the agent
/// ends. Does nothing for a program without records, which is what everybody but a developer runs.
pub(super) fn follow(ebpf: &mut Ebpf) {
    let mut logger = match EbpfLogger::init(ebpf) {
        Ok(logger) => logger,
        Err(Error::MapNotFound) => return,
        Err(error) => {
            tracing::warn!("the program's log records can not be read: {error}");
            return;
        }
    };
    tracing::warn!("this XDP program logs every packet: it is for developers, and slow");
    tokio::spawn(async move {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            logger.flush();
        }
    });
}
