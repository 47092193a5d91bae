//! What ends soon and takes somebody's hand: told in the log each day, and by `GET health`.

use std::fmt;

use aright_shared::time::{DAY, Millis};

use crate::app::App;

/// How long before an end it is told of, and from when on loudly.
const NOTICE: i64 = 90 * DAY;
const URGENT: i64 = 30 * DAY;

pub struct End {
    what: &'static str,
    at: Millis,
    left: i64,
    next: &'static str,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.left.div_euclid(DAY) {
            ..0 => write!(f, "{} ended on {}; next: {}", self.what, self.at, self.next),
            days => write!(f, "{} ends on {}, in {days} days; next: {}", self.what, self.at, self.next),
        }
    }
}

pub fn near(app: &App) -> Vec<End> {
    let (authority, now) = (app.authority(), app.now());
    let all = [
        (
            "the authority's intermediate certificate",
            Some(authority.expires()),
            "aright-controller authority renew --root-key authority-root.key",
        ),
        (
            "the authority's root certificate",
            authority.root_expires().ok(),
            "a controller with a new authority, at which every host enrols anew",
        ),
        (
            "the trust document",
            Some(app.trust().document.expires),
            "let the holder of the root key sign a higher version, then aright trust import",
        ),
    ];
    let ends = all.into_iter().filter_map(|(what, at, next)| {
        let (at, left) = (at?, at?.since(now));
        Some(End { what, at, left, next })
    });
    ends.filter(|end| end.left <= NOTICE).collect()
}

pub fn tell(app: &App) {
    for end in near(app) {
        if end.left > URGENT {
            tracing::warn!("{end}");
        } else {
            tracing::error!("{end}");
        }
    }
}
