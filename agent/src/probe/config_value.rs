//! Being written: until then nothing is known.

use aright_shared::content::probe::ConfigValue;
use aright_shared::posture::ErrorCode;

use super::{Look, Seen};

pub(super) fn see(_look: &Look<'_>, _with: &ConfigValue) -> Seen {
    Seen::error(ErrorCode::NotSupported, "this probe is being written")
}
