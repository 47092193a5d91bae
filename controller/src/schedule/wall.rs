//! Clocks on the wall, and the instants at which they show a time.

use aright_shared::api::Zone;
use aright_shared::time::{HOUR, Millis};
use jiff::civil::DateTime;
use jiff::tz::{self, TimeZone};

use super::Occurrence;

/// A zone's distance from UTC is at most so much: Kiritimati's, and that of ships beside the date line.
const EARLIEST: i64 = 14 * HOUR;
const LATEST: i64 = 12 * HOUR;

/// The instant at which a clock on the wall in `zone` (an IANA name; UTC where there is none such) shows `local`.
/// A time that the clock skips is read with the offset before the gap, one that it shows twice is the
/// first (RFC 5545, 3.3.5).
pub fn instant(local: DateTime, zone: &str) -> Millis {
    let zone = tz::db().get(zone).unwrap_or(TimeZone::UTC);
    // Beyond the years 1 to 9999 there is no instant that could be told.
    shown(local, &zone).unwrap_or(Millis(if local.year() < 0 { i64::MIN } else { i64::MAX }))
}

fn shown(local: DateTime, zone: &TimeZone) -> Option<Millis> {
    let at = zone.to_ambiguous_timestamp(local).compatible().ok()?;
    Some(Millis(at.as_millisecond()))
}

pub(super) enum Wall {
    In(TimeZone),
    /// In each zone on earth.
    Everywhere,
}

impl Wall {
    pub fn of(zone: &Zone) -> Self {
        match zone {
            Zone::Named(name) => Self::In(tz::db().get(name).unwrap_or(TimeZone::UTC)),
            Zone::Asset => Self::Everywhere,
        }
    }

    pub fn occurrence(&self, local: DateTime) -> Option<Occurrence> {
        let (at, latest) = match self {
            Self::In(zone) => {
                let at = shown(local, zone)?;
                (at, at)
            }
            Self::Everywhere => {
                let utc = shown(local, &TimeZone::UTC)?;
                (utc.plus(-EARLIEST), utc.plus(LATEST))
            }
        };
        Some(Occurrence { local, at, latest })
    }
}

pub(super) fn is_known(zone: &str) -> bool {
    tz::db().get(zone).is_ok()
}

/// The zone whose name, or whose city, is nearest, if any is near.
pub(super) fn like(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let nearness = |zone: &str| {
        let zone = zone.to_ascii_lowercase();
        let city = zone.rsplit('/').next().unwrap_or_default();
        strsim::jaro_winkler(&zone, &name).max(strsim::jaro_winkler(city, &name))
    };
    tz::db()
        .available()
        .map(|zone| (nearness(zone.as_str()), zone.to_string()))
        .filter(|(nearness, _)| *nearness > 0.85)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, zone)| zone)
}

#[cfg(test)]
mod tests {
    #[test]
    fn zones_are_built_in_for_machines_that_have_none() {
        let zones = jiff::tz::TimeZoneDatabase::bundled();
        assert!(zones.get("Australia/Lord_Howe").is_ok());
    }
}
