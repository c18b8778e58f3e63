//! `adc explain`.

use super::{Done, agent::Agent, block_on};
use crate::{
    api::proto::{ApiError, ErrorCode, ExplainPacket, ExplainRequest, PacketTuple},
    cli::{output, packet_args::ExplainArgs, recording},
};

/// Asks the agent where a packet would go.
pub(super) fn run(agent: &Agent, args: ExplainArgs) -> Done {
    let packet = match &args.pcap {
        Some(file) => ExplainPacket::Frame(recording::frame(file, args.packet)?),
        None => ExplainPacket::Tuple(tuple(&args)?),
    };
    let request = ExplainRequest {
        packet,
        interface: args.interface,
    };
    agent.show(
        &block_on(agent.client.explain(&request))?,
        output::explanation,
    )
}

fn tuple(args: &ExplainArgs) -> Result<PacketTuple, ApiError> {
    let (Some(protocol), Some(source), Some(destination)) =
        (args.protocol, args.source, args.destination)
    else {
        return Err(ApiError::new(
            ErrorCode::InvalidRequest,
            "say which packet: `adc explain tcp SOURCE:PORT DESTINATION:PORT`, or --pcap FILE",
        ));
    };
    Ok(PacketTuple {
        protocol: protocol.into(),
        source,
        destination,
        flags: args.flags,
        source_mac: args.src_mac.clone(),
        vlans: args.vlans.clone(),
        ttl: args.ttl,
    })
}
