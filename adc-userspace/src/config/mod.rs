//! The configuration: a TOML file, and the runtime edits on top of it.
//!
//! `load` and `parse` make a [`Config`](crate::model::Config) of a file or find everything that is
//! wrong with it. [`edit`] keeps what people changed at run time, [`render`] writes a configuration
//! back as TOML, [`differences`] compares two. Reference: `docs/configuration.md`.

mod bounds;
mod difference;
pub mod edit;
mod error;
mod file;
mod read;
mod render;
mod render_announce;
mod render_bfd;
mod render_ha;
mod rules;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod samples_bfd;
#[cfg(test)]
mod samples_ha;
mod words;

pub use self::{
    difference::{Difference, differences},
    error::{ConfigError, ConfigErrors, Fault},
    file::{load, parse, parse_here},
    render::render,
};
