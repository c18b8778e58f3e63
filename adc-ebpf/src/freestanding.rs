//! What every object needs that is no use to any of its programs.

/// Nothing here panics: the verifier would refuse the loop.
#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// GPL, because several helpers, and test runs of programs with them, are GPL-only; the source is dual-licensed, see the
/// manifest.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
