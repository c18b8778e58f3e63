//! The program as a place where the walk runs.

use adc_common::abi::InterfaceId;

use super::Program;
use crate::walk::{Arrival, Contents, Counters, Flows, Walk};

impl Walk for Program {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn pour(&mut self, contents: &Contents) {
        self.maps.flows.clear();
        self.maps.rewind();
        self.reload(contents);
    }

    fn reload(&mut self, contents: &Contents) {
        self.maps.write(contents);
    }

    fn arrive(&mut self, frame: &[u8], interface: InterfaceId) -> Option<Arrival> {
        self.run(frame, interface)
    }

    fn counters(&mut self) -> Counters {
        self.maps.counters()
    }

    fn flows(&mut self) -> Flows {
        self.maps.flows.read()
    }

    fn age(&mut self, seconds: u32) {
        self.maps.flows.age(seconds);
    }

    fn evict(&mut self, answers: bool) {
        self.maps.flows.evict(answers);
    }

    fn fill(&mut self, spare: usize) {
        self.maps.flows.fill(spare);
    }
}
