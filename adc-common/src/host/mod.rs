//! Host twins of the datapath ports.
