//! Whether the loaded program answers, and where it is attached.

use adc_common::{
    abi::{Addr16, Reason},
    datapath::question,
};
use aya::programs::{ProgramError, TestRun as _, TestRunOptions};

use super::{error::DataplaneError, loader::Dataplane};

/// `XDP_PASS` (include/uapi/linux/bpf.h): what becomes of a question.
const PASS: u32 = 2;

impl Dataplane {
    /// Ids of the programs of ours that may be on an interface: the normal one, and one that captures.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn program_ids(&mut self) -> Result<Vec<u32>, DataplaneError> {
        let (program, ..) = self.program()?;
        let mut ids = vec![program.info().map_err(|error| failed(&error))?.id()];
        if let Some(capture) = &mut self.capture {
            ids.push(capture.program_id()?);
        }
        Ok(ids)
    }

    /// Runs the program on a question about each of these VIPs of HA groups. Nothing leaves, no flow is touched; the packets
    /// are counted as [`Reason::SelfTest`].
    ///
    /// # Errors
    /// The program does not run, or does not know a VIP, or what it counts does not arrive.
    pub fn ask(&mut self, vips: &[Addr16]) -> Result<(), DataplaneError> {
        let before = self.counters.reason(Reason::SelfTest)?.packets;
        let (program, ..) = self.program()?;
        let mut asked = 0_u64;
        for vip in vips {
            let frame = question(*vip);
            let options = TestRunOptions {
                data_in: Some(&frame),
                ..TestRunOptions::default()
            };
            let run = program.test_run(options).map_err(|error| failed(&error))?;
            if run.return_value != PASS {
                let reason = format!("it answers with action {}, not {PASS}", run.return_value);
                return Err(DataplaneError::SelfTest { reason });
            }
            asked += 1;
        }
        let after = self.counters.reason(Reason::SelfTest)?.packets;
        let known = after.wrapping_sub(before);
        if known == asked {
            return Ok(());
        }
        let reason = format!("it knows {known} of the {asked} VIPs of HA groups that it should");
        Err(DataplaneError::SelfTest { reason })
    }
}

pub(super) fn failed(error: &ProgramError) -> DataplaneError {
    DataplaneError::SelfTest {
        reason: crate::api::proto::sentence(error),
    }
}
