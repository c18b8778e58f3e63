//! Which layouts are pinned beside ours, and what follows from that. Pure, but for the look into the directory.

use std::{fs, path::Path};

use adc_common::abi::ABI_VERSION;

use super::super::{error::DataplaneError, pins::HANDOVER};

/// A directory of pins, `v<version>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layer {
    version: u32,
    /// A program of it is attached somewhere.
    serves: bool,
    /// Flows were being moved into it.
    receives: bool,
}

/// A layout that this release can neither adopt nor take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Strange(u32);

/// Whether the layout before ours serves beside our directory; an error if one does that this release does not know.
pub(in super::super) fn earlier_serves(root: &Path) -> Result<bool, DataplaneError> {
    judge(ABI_VERSION, &layers(root)).map_err(|Strange(found)| DataplaneError::StrangeLayout {
        directory: root.join(format!("v{found}")),
        found,
        own: ABI_VERSION,
    })
}

fn judge(own: u32, layers: &[Layer]) -> Result<bool, Strange> {
    let mut before = false;
    for layer in layers.iter().filter(|layer| layer.version != own) {
        if layer.version.checked_add(1) == Some(own) {
            // Without links it may be what is left of one whose flows were moved: then there is still something to tidy up.
            let moving = layers
                .iter()
                .any(|layer| layer.version == own && layer.receives);
            before = layer.serves || moving;
        } else if layer.serves {
            return Err(Strange(layer.version));
        }
    }
    Ok(before)
}

/// What is there. A directory that can not be read is not there.
fn layers(root: &Path) -> Vec<Layer> {
    let names = |path: &Path| -> Vec<String> {
        let entries = fs::read_dir(path).into_iter().flatten();
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect()
    };
    let layer = |name: &String| {
        let version = name.strip_prefix('v')?.parse().ok()?;
        let pins = names(&root.join(name));
        Some(Layer {
            version,
            serves: pins.iter().any(|pin| pin.starts_with("link-")),
            receives: pins.iter().any(|pin| pin == HANDOVER),
        })
    };
    names(root).iter().filter_map(layer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn layer(version: u32, serves: bool) -> Layer {
        Layer {
            version,
            serves,
            receives: false,
        }
    }

    #[test]
    fn only_the_layout_before_ours_is_taken_over() {
        assert_eq!(judge(3, &[]), Ok(false));
        assert_eq!(judge(3, &[layer(3, true)]), Ok(false));
        assert_eq!(judge(3, &[layer(2, true)]), Ok(true));
        assert_eq!(judge(3, &[layer(3, true), layer(2, true)]), Ok(true));
        assert_eq!(judge(3, &[layer(1, true)]), Err(Strange(1)), "too old");
        assert_eq!(judge(3, &[layer(4, true)]), Err(Strange(4)), "a downgrade");
    }

    #[test]
    fn a_directory_that_serves_nobody_is_in_nobodys_way() {
        let left = [layer(1, false), layer(2, false), layer(4, false)];
        assert_eq!(judge(3, &left), Ok(false));
    }

    #[test]
    fn what_is_left_of_a_layout_whose_flows_were_moved_is_still_to_be_removed() {
        let own = Layer {
            receives: true,
            ..layer(3, true)
        };
        assert_eq!(judge(3, &[own, layer(2, false)]), Ok(true));
        assert_eq!(judge(3, &[own]), Ok(false));
    }

    #[test]
    fn directories_are_told_by_their_names_and_links() {
        let root = tempfile::tempdir().unwrap();
        for path in ["v2", "v5", "vault", "other"] {
            fs::create_dir(root.path().join(path)).unwrap();
        }
        fs::write(root.path().join("v2/link-eth0"), "").unwrap();
        fs::write(root.path().join("v5/FLOWS4"), "").unwrap();
        let mut found = layers(root.path());
        found.sort_by_key(|layer| layer.version);
        assert_eq!(found, [layer(2, true), layer(5, false)]);
    }
}
