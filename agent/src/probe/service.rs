//! Being written: until then nothing is known.

use aright_shared::content::probe::Service;
use aright_shared::posture::ErrorCode;

use super::{Look, Seen};

pub(super) fn see(_look: &Look<'_>, _with: &Service) -> Seen {
    Seen::error(ErrorCode::NotSupported, "this probe is being written")
}

/// What the service manager says of its units.
#[derive(Debug)]
pub(crate) struct Units;

impl Units {
    pub(crate) fn ask(_look: &Look<'_>) -> Self {
        Self
    }
}
