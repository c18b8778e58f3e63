//! `adc explain`: the packet walk on the host, over the live tables, and its outcome in people's words.

mod arrival;
mod outcome;

use self::arrival::{Arrival, ready};
use super::state::Agent;
use crate::{
    api::proto::{ApiError, ErrorCode, ExplainPacket, ExplainRequest, Explanation, sentence},
    dataplane,
    explain::{self, Known},
};

impl Agent {
    /// Where a packet would go, and why. Changes nothing.
    pub(super) fn explain(&self, request: &ExplainRequest) -> Result<Explanation, ApiError> {
        let live = self.dataplane.live();
        let arrival = match &request.packet {
            ExplainPacket::Tuple(tuple) => {
                let protocol = tuple.protocol.number();
                let flow = explain::known(&live, protocol, tuple.source, tuple.destination);
                let flow: Option<Known> = flow.map_err(|error| unreadable(&error))?;
                self.described(tuple, request.interface.as_deref(), flow)?
            }
            ExplainPacket::Frame(frame) => self.recorded(frame, request.interface.as_deref())?,
        };
        let Arrival { frame, .. } = &arrival;
        let now = dataplane::now();
        let walked = explain::walk(&live, frame.clone(), arrival.ifindex, now);
        let walked = walked.map_err(|error| unreadable(&error))?;
        Ok(self.outcome(arrival, &walked, now))
    }

    /// The interface to come in by: the one asked for, or the first.
    fn entrance(&self, asked: Option<&str>) -> Result<(&str, u32), ApiError> {
        let attached = || -> Vec<&str> { self.interfaces.keys().map(String::as_str).collect() };
        let name = match asked {
            Some(name) => name,
            None => (self.config.dataplane.interfaces.first()).map_or("", String::as_str),
        };
        let found = self.interfaces.get_key_value(name).ok_or_else(|| {
            let names = attached().join(", ");
            refused(format!(
                "adc is not attached to an interface `{name}`: choose one of {names}, or add it to dataplane.interfaces"
            ))
        })?;
        let (name, interface) = found;
        let facts = interface.facts.as_ref().ok_or_else(|| {
            refused(format!(
                "interface {name} does not exist at the moment: packets can not come in by it"
            ))
        })?;
        Ok((name, facts.ifindex))
    }
}

fn refused(what: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, what)
}

fn unreadable(error: &dataplane::DataplaneError) -> ApiError {
    ApiError::new(ErrorCode::Internal, sentence(error))
}

/// What a recorded frame was, if the recording cut it.
fn padded(bytes: &str, length: usize) -> Result<(Vec<u8>, usize), ApiError> {
    let mut frame = ready(bytes)?;
    let recorded = frame.len();
    if length > recorded {
        frame.resize(length, 0);
    }
    Ok((frame, recorded))
}
