//! The adc agent and command line.
//!
//! The way of a change: `config` (a file, or a runtime edit) → `model` (validated types) → `plan` (a
//! pure diff against what the maps hold) → `dataplane` (applies it, makes no choices). `health`
//! and `neighbours` feed the agent with facts; `api` and `cli` are how people reach it.

pub mod agent;
mod announce;
pub mod api;
pub mod bfd;
pub mod capture;
pub mod challenge;
pub mod cli;
pub mod config;
pub mod dataplane;
pub mod decap;
pub mod doctor;
pub mod explain;
pub mod ha;
pub mod health;
pub mod model;
pub mod neighbours;
pub mod plan;
pub mod ring;
pub mod telemetry;
