//! Reasons for roles.

/// Why the role changed, or did not though somebody wanted it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The agent has just started.
    Started,
    /// It goes on as another program had it.
    Resumed,
    /// All paths to the peer are silent, and its lease is over.
    PeerSilent,
    /// The peer is there and can not, or may not, be active.
    PeerUnable,
    /// Nobody was active, and this node comes first by priority and id.
    Elected,
    /// The peer gave the group away.
    HandedOver,
    /// The peer took the group that was given away.
    Given,
    /// The peer took the group: it has a higher term, or comes first.
    Superseded,
    /// The peer is active and does not hear this node, so only this node can step back.
    Unheard,
    /// This node can not serve.
    Unfit,
    /// It can again.
    Fit,
    /// Neither the peer nor the witness was heard from for a lease.
    Isolated,
    /// The agent did not run for a lease: the data plane had stopped already.
    LeaseLapsed,
    /// The peer did not take the group that was given away; this node keeps it.
    NotTaken,
}
