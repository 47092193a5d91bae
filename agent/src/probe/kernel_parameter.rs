//! Being written: until then nothing is known.

use aright_shared::content::probe::KernelParameter;
use aright_shared::posture::ErrorCode;

use super::{Look, Seen};

pub(super) fn see(_look: &Look<'_>, _with: &KernelParameter) -> Seen {
    Seen::error(ErrorCode::NotSupported, "this probe is being written")
}

/// The value that files give a kernel parameter.
pub fn persisted_value(_look: &Look<'_>, _name: &str) -> Option<String> {
    None
}
