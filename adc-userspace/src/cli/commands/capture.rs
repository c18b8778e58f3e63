//! `adc capture`.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use tokio::signal::unix::{SignalKind, signal};

use super::{Done, Outcome, agent::Agent, block_on, succeeded};
use crate::{
    api::proto::{ApiError, CaptureFilter, CaptureRequest, ErrorCode},
    cli::{Exit, args::Format, packet_args::CaptureArgs, pcapng_blocks::Blocks},
};

/// Runs a capture until it ends, or until Ctrl-C. The file is written here, with the rights of whoever asked.
pub(super) fn run(agent: &Agent, args: &CaptureArgs) -> Done {
    let request = request(args)?;
    let to_stdout = args.write == Path::new("-");
    let mut blocks = Blocks::default();
    // Made at the first piece: a request that is refused overwrites nothing.
    let mut file: Option<Box<dyn Write>> = None;
    let path = args.write.clone();
    let call = agent.client.capture(&request, interrupted(), |piece| {
        let out = match &mut file {
            Some(out) => out,
            None => file.insert(open(&path)?),
        };
        let whole = blocks.take(piece);
        let written = out.write_all(&whole).and_then(|()| out.flush());
        written.map_err(|error| failed(&path, &error))
    });
    block_on(call)?;
    let told = serde_json::json!({
        "file": path,
        "frames": blocks.frames(),
        "lost": blocks.lost(),
        "ended": blocks.ended(),
    });
    let text = match agent.format {
        Format::Json => format!("{told}\n"),
        Format::Table => summary(&path, &blocks),
    };
    if to_stdout {
        // Standard output is the file.
        io::stderr().write_all(text.as_bytes()).ok();
        return Ok(Outcome {
            text: String::new(),
            exit: Exit::Ok,
        });
    }
    Ok(succeeded(text))
}

fn request(args: &CaptureArgs) -> Result<CaptureRequest, ApiError> {
    let invalid = |what: String| ApiError::new(ErrorCode::InvalidRequest, what);
    let filter: CaptureFilter = args.filter.join(" ").parse().map_err(invalid)?;
    // A second at least, or nothing would be captured.
    let seconds = args.duration.as_secs().max(1);
    if seconds > CaptureRequest::MAX_SECONDS {
        return Err(invalid(format!(
            "--duration {seconds}s: at most {} s; run it again for more",
            CaptureRequest::MAX_SECONDS
        )));
    }
    Ok(CaptureRequest {
        filter,
        count: args.count,
        seconds,
        max_bytes: args.max_size << 20,
        snaplen: args.snaplen,
        after: args.after,
    })
}

fn open(path: &Path) -> Result<Box<dyn Write>, ApiError> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout()));
    }
    let file = File::create(path).map_err(|error| failed(path, &error))?;
    Ok(Box::new(file))
}

fn failed(path: &Path, error: &io::Error) -> ApiError {
    let path = path.display();
    ApiError::new(
        ErrorCode::Internal,
        format!("writing {path}: {error}; the capture ended there"),
    )
}

/// SIGINT or SIGTERM. What was captured by then is whole.
async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn summary(path: &Path, blocks: &Blocks) -> String {
    let counted = format!("{} frames in {}", blocks.frames(), path.display());
    let Some(why) = blocks.ended() else {
        return format!("{counted}; interrupted\n");
    };
    let lost = match blocks.lost() {
        0 => String::new(),
        lost => format!(
            "{lost} more were not recorded: they came faster than they could be read (the packets themselves went their way); narrow the filter (host, port, proto) or lower --snaplen\n"
        ),
    };
    format!("{counted}; {why}\n{lost}")
}
