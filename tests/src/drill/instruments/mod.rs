//! What measures: each knows nothing of nodes and faults.

mod bulk;
mod connections;
mod filter;
mod overlap;
pub mod packet_socket;
mod questioner;
mod recorder;
mod stream;
mod tap;

pub use bulk::{Bulk, PORT as BULK_PORT};
pub use connections::Connections;
pub use overlap::longest_overlap;
pub use packet_socket::Stamp;
pub use questioner::Questioner;
pub use recorder::Recorder;
pub use stream::{Stream, StreamReport};
pub use tap::{Sign, Tap};
