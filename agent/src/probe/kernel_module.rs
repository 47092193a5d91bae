//! Being written: until then nothing is known.

use aright_shared::content::probe::KernelModule;
use aright_shared::posture::ErrorCode;

use super::{Look, Seen};

pub(super) fn see(_look: &Look<'_>, _with: &KernelModule) -> Seen {
    Seen::error(ErrorCode::NotSupported, "this probe is being written")
}
