//! `adc decap`: the decapsulator for backends, in the foreground.

use anyhow::{Context as _, Result};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::{
    cli::{DecapCount, DecapOptions},
    dataplane::Decapsulator,
    neighbours::{NextHopEvent, Resolver},
};

/// Decapsulates until SIGINT or SIGTERM, then detaches.
///
/// # Errors
/// Nothing could be attached, or the counters could not be read at the end; either way nothing stays attached.
pub fn run(options: &DecapOptions) -> Result<Vec<DecapCount>> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting a runtime to wait for signals")?
        .block_on(until_stopped(options))
}

async fn until_stopped(options: &DecapOptions) -> Result<Vec<DecapCount>> {
    // Before anything is attached: a signal that comes early is not lost.
    let mut interrupted = signal(SignalKind::interrupt()).context("catching SIGINT")?;
    let mut terminated = signal(SignalKind::terminate()).context("catching SIGTERM")?;
    let (resolver, mut changes) = Resolver::start(vec![options.interface.clone()]).await?;
    let interfaces = resolver.snapshot().interfaces;
    let mut decapsulator = Decapsulator::start(
        &options.interface,
        interfaces.get(&options.interface),
        options.mode,
        &options.vips,
        options.port,
    )?;
    let taken = if options.vips.is_empty() {
        "any address".to_owned()
    } else {
        let vips: Vec<_> = options.vips.iter().map(ToString::to_string).collect();
        vips.join(", ")
    };
    eprintln!(
        "adc: decapsulating IP in IP and GUE (UDP port {}) for {taken} on {}; SIGINT or SIGTERM stops it",
        options.port, options.interface
    );
    loop {
        tokio::select! {
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
            Some(change) = changes.recv() => match change {
                NextHopEvent::Interface { facts, .. } => decapsulator.follow(facts.as_ref())?,
                NextHopEvent::Hops(_) => {}
            },
        }
    }
    let counts = decapsulator.counts()?;
    Ok(counts
        .into_iter()
        .map(|(outcome, packets)| DecapCount {
            outcome: outcome.name(),
            packets,
            meaning: outcome.meaning(),
        })
        .collect())
}
