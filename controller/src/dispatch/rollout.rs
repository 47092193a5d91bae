//! How fast a run goes on, and when it stops: pure, over the counts of its assets.

use aright_shared::api::Share;

use crate::store::runs::Standing;

/// How many more assets may begin now.
pub fn room(standing: &Standing) -> u32 {
    let Standing { rollout, assets, well } = standing;
    let at_work = assets.begun.saturating_sub(assets.ended);
    let at_once = rollout.at_once.map_or(u32::MAX, |share| share.of(assets.all));
    let limit = match canaries(standing) {
        Some(canaries) => (canaries - well).min(at_once),
        None => at_once,
    };
    limit.saturating_sub(at_work)
}

/// Why nothing more of it may begin, if so.
pub fn halted(standing: &Standing) -> Option<String> {
    let Standing { rollout, assets, .. } = standing;
    if assets.failed > 0 && canaries(standing).is_some() {
        return Some(format!("halted: a canary failed before {} had ended well", canary(rollout.canary?)));
    }
    let limit = rollout.halt_after?.of(assets.all);
    (assets.failed >= limit).then(|| {
        format!("halted: {} of {} hosts failed, and the limit is {limit}", assets.failed, assets.all)
    })
}

/// How many canaries there are, while not all of them have ended well. One that refused, or ended otherwise
/// without having tried, proves nothing: another host takes its place.
fn canaries(standing: &Standing) -> Option<u32> {
    let canaries = standing.rollout.canary?.of(standing.assets.all);
    (standing.well < canaries).then_some(canaries)
}

fn canary(share: Share) -> String {
    match share {
        Share::Number(1) => "the one".to_owned(),
        Share::Number(number) => format!("all {number}"),
        Share::Percent(percent) => format!("the {percent}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aright_shared::api::{Rollout, RunAssets};

    fn rollout(canary: &str, at_once: &str, halt_after: &str) -> Rollout {
        let share = |text: &str| (!text.is_empty()).then(|| text.parse().expect("a share"));
        Rollout { canary: share(canary), at_once: share(at_once), halt_after: share(halt_after) }
    }

    fn standing(rollout: Rollout, [all, begun, ended, failed, well]: [u32; 5]) -> Standing {
        Standing { rollout, assets: RunAssets { all, begun, ended, failed }, well }
    }

    #[test]
    fn all_at_once_unless_told_otherwise() {
        assert!(room(&standing(rollout("", "", ""), [500, 400, 0, 0, 0])) > 100);
        assert_eq!(halted(&standing(rollout("", "", ""), [500, 500, 500, 500, 0])), None);
    }

    #[test]
    fn so_many_at_a_time_as_a_number_or_a_percentage() {
        assert_eq!(room(&standing(rollout("", "10", ""), [500, 7, 2, 0, 2])), 5);
        assert_eq!(room(&standing(rollout("", "10%", ""), [45, 0, 0, 0, 0])), 5, "rounded up");
        assert_eq!(room(&standing(rollout("", "1%", ""), [3, 1, 0, 0, 0])), 0, "at least one");
    }

    #[test]
    fn the_canaries_go_first_and_one_that_fails_halts_all() {
        let canary = rollout("2", "10", "");
        assert_eq!(room(&standing(canary, [500, 0, 0, 0, 0])), 2);
        assert_eq!(room(&standing(canary, [500, 1, 1, 0, 0])), 2, "it refused: another one");
        assert_eq!(room(&standing(canary, [500, 2, 1, 0, 1])), 0);
        assert_eq!(room(&standing(canary, [500, 2, 2, 0, 2])), 10);
        assert!(halted(&standing(canary, [500, 2, 1, 1, 0])).is_some());
        assert_eq!(halted(&standing(canary, [500, 30, 20, 9, 11])), None, "after the canaries");
    }

    #[test]
    fn it_halts_with_the_last_failure_allowed() {
        let three = rollout("", "", "3");
        assert_eq!(halted(&standing(three, [500, 9, 9, 2, 7])), None);
        assert!(halted(&standing(three, [500, 9, 9, 3, 6])).expect("halts").contains("3 of 500"));
        let tenth = rollout("", "", "10%");
        assert_eq!(halted(&standing(tenth, [50, 9, 9, 4, 5])), None);
        assert!(halted(&standing(tenth, [50, 9, 9, 5, 4])).is_some());
    }
}
