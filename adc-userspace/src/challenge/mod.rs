//! Challenges: segments that make the end of a TCP connection say where it stands.
//!
//! A segment outside of the receiver's window is answered with an ACK that carries the receiver's true numbers (RFC
//! 9293 §3.10.7.4); an end that has no such connection answers with a RST (§3.10.7.1). The agent, which knows no
//! sequence numbers, asks both ends of flows whose backend is down and whose pool resets them: the packet walk answers
//! their ACKs with RSTs that they must believe. And it asks the backend of a flow in which a RST was seen: if the RST
//! was forged, the answer takes the flow back to life before it is forgotten.
//!
//! [`Book`] decides whom to ask and is pure, [`challenge`] makes the frames, [`Sender`] sends at a bounded rate.

mod book;
mod segment;
mod sender;

pub use book::{Book, Finished, Question, Round};
pub use segment::challenge;
pub use sender::{Frame, Sender};
