//! Counters whose layout changed: what was counted is carried over, just before flows are switched.
//!
//! Their values are rows of 64-bit numbers to which releases append, or from whose end they drop.

use std::{io, path::Path};

use aya::{maps::MapData, util::nr_cpus};

use super::{super::error::DataplaneError, element};

/// A per-CPU array of counters.
struct CounterMap {
    data: MapData,
    name: &'static str,
    entries: u32,
    /// Bytes of a value on one CPU, as the kernel copies it: in steps of eight (`bpf_percpu_array_copy`).
    size: usize,
    cpus: usize,
}

/// Copies the fields that both layouts have. Nobody may count `here` yet.
pub(super) fn carry(there: &Path, here: &Path, name: &'static str) -> Result<(), DataplaneError> {
    let there = CounterMap::open(there, name)?;
    let here = CounterMap::open(here, name)?;
    for index in 0..there.entries.min(here.entries) {
        let counted = there.read(index)?;
        here.write(index, carried(&counted, there.size, here.size))?;
    }
    Ok(())
}

/// The values of all CPUs in the other layout; a field that is new is 0.
fn carried(values: &[u8], from: usize, to: usize) -> Vec<u8> {
    let own = |cpu: &[u8]| {
        let mut own = vec![0; to];
        for (own, counted) in own.iter_mut().zip(cpu) {
            *own = *counted;
        }
        own
    };
    values.chunks_exact(from).flat_map(own).collect()
}

impl CounterMap {
    fn open(path: &Path, name: &'static str) -> Result<Self, DataplaneError> {
        let fail = |error| DataplaneError::map("opening", name, error);
        let data = MapData::from_pin(path).map_err(fail)?;
        let info = data.info().map_err(fail)?;
        let cpus = nr_cpus().map_err(|(_, error)| DataplaneError::map("opening", name, error))?;
        if info.key_size() as usize != size_of::<u32>() || info.value_size() == 0 {
            let cause = io::Error::from(io::ErrorKind::InvalidData);
            return Err(DataplaneError::map("opening", name, cause));
        }
        Ok(Self {
            name,
            entries: info.max_entries(),
            size: (info.value_size() as usize).next_multiple_of(8),
            cpus,
            data,
        })
    }

    fn read(&self, index: u32) -> Result<Vec<u8>, DataplaneError> {
        let mut values = vec![0; self.size * self.cpus];
        // SAFETY: there is room for the values of all CPUs.
        unsafe {
            element::operate(
                &self.data,
                element::LOOKUP,
                &raw const index,
                values.as_mut_ptr(),
            )
        }
        .map_err(|error| DataplaneError::map("reading", self.name, error))?;
        Ok(values)
    }

    fn write(&self, index: u32, mut values: Vec<u8>) -> Result<(), DataplaneError> {
        // A guard for the call below.
        values.resize(self.size * self.cpus, 0);
        // SAFETY: there are values of all CPUs.
        unsafe {
            element::operate(
                &self.data,
                element::UPDATE,
                &raw const index,
                values.as_mut_ptr(),
            )
        }
        .map_err(|error| DataplaneError::map("writing", self.name, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_both_layouts_have_keep_their_counts_on_every_cpu() {
        let words = |words: &[u64]| -> Vec<u8> { bytemuck::cast_slice(words).to_vec() };
        let counted = words(&[1, 2, 10, 20]);
        assert_eq!(carried(&counted, 16, 24), words(&[1, 2, 0, 10, 20, 0]));
        assert_eq!(carried(&counted, 16, 8), words(&[1, 10]));
    }
}
