//! Which assets a job has: those of the chosen postures less the removed ones, those added singly and by
//! tag, less those excluded by tag, less the exclusion list, which beats everything.

use std::collections::{BTreeSet, HashMap};

use aright_shared::api::NewJob;
use aright_shared::content::policy::Tags;
use aright_shared::id::AssetId;

use crate::app::App;
use crate::store::{Conn, StoreError, assets};

pub struct Members<'a> {
    job: &'a NewJob,
    excluded: BTreeSet<&'a AssetId>,
    removed: BTreeSet<&'a AssetId>,
    included: BTreeSet<&'a AssetId>,
    tags: HashMap<AssetId, BTreeSet<String>>,
    /// With a chosen posture.
    chosen: BTreeSet<AssetId>,
}

impl<'a> Members<'a> {
    /// By the tags of now.
    ///
    /// # Errors
    /// The store failed.
    pub fn new(conn: &Conn, job: &'a NewJob, chosen: BTreeSet<AssetId>) -> Result<Self, StoreError> {
        let by_tag = job.include_tags.is_some() || job.exclude_tags.is_some();
        let tags = if by_tag { assets::all_tags(conn)? } else { HashMap::new() };
        Ok(Self::of(job, tags, chosen))
    }

    fn of(job: &'a NewJob, tags: HashMap<AssetId, BTreeSet<String>>, chosen: BTreeSet<AssetId>) -> Self {
        let [excluded, removed, included] =
            [&job.exclude_assets, &job.remove_assets, &job.include_assets].map(|list| list.iter().collect());
        Self { job, excluded, removed, included, tags, chosen }
    }

    /// All of them, in order of id. Revoked hosts that only a tag names are history, and left out.
    pub fn all(&self, app: &App) -> Vec<AssetId> {
        let is_there = |asset: &&AssetId| {
            self.chosen.contains(*asset)
                || app.presence.agent(asset).is_some_and(|live| !live.state().revoked)
        };
        let named: BTreeSet<&AssetId> =
            self.chosen.iter().chain(&self.job.include_assets).chain(self.tags.keys()).collect();
        named.into_iter().filter(is_there).filter(|asset| self.why_not(asset).is_none()).cloned().collect()
    }

    /// Whether its chosen postures count.
    pub fn keeps_postures(&self, asset: &AssetId) -> bool {
        !self.removed.contains(asset) && self.why_not(asset).is_none()
    }

    /// Why an asset is not one of the job's; `None` where it is.
    pub fn why_not(&self, asset: &AssetId) -> Option<String> {
        let job = self.job;
        if self.excluded.contains(asset) {
            return Some("it is on the exclusion list".to_owned());
        }
        let none = BTreeSet::new();
        let tags = self.tags.get(asset).unwrap_or(&none);
        if let Some(excluded) = job.exclude_tags.as_ref().filter(|wanted| wanted.hold(tags)) {
            return Some(format!("its tags exclude it ({})", listed(excluded)));
        }
        let removed = self.removed.contains(asset);
        if (self.chosen.contains(asset) && !removed)
            || self.included.contains(asset)
            || job.include_tags.as_ref().is_some_and(|wanted| wanted.hold(tags))
        {
            return None;
        }
        Some(match (removed, &job.include_tags) {
            (true, _) => "it was removed from the job".to_owned(),
            (false, None) => "none of its postures was chosen".to_owned(),
            (false, Some(wanted)) => {
                format!(
                    "none of its postures was chosen, and its tags do not include it ({})",
                    listed(wanted)
                )
            }
        })
    }
}

fn listed(tags: &Tags) -> String {
    match tags {
        Tags::Any(any) => format!("any of {}", any.join(", ")),
        Tags::All(all) => format!("all of {}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether an asset with these tags and lists is in.
    fn is_in(job: &NewJob, asset: &AssetId, tags: &[&str], chosen: bool) -> bool {
        let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        let chosen = chosen.then(|| asset.clone()).into_iter().collect();
        Members::of(job, HashMap::from([(asset.clone(), tags)]), chosen).why_not(asset).is_none()
    }

    #[test]
    fn the_exclusion_list_beats_excluded_tags_beat_whatever_names_an_asset() {
        let asset = AssetId::new();
        let web = || Some(Tags::Any(vec!["web".into()]));
        let named = NewJob { include_assets: vec![asset.clone()], include_tags: web(), ..NewJob::default() };
        assert!(is_in(&named, &asset, &["web"], true));
        let by_tag = NewJob { exclude_tags: web(), ..named.clone() };
        assert!(!is_in(&by_tag, &asset, &["web"], true));
        assert!(is_in(&by_tag, &asset, &["db"], false), "another tag");
        let by_list = NewJob { exclude_assets: vec![asset.clone()], ..named };
        assert!(!is_in(&by_list, &asset, &[], true));
    }

    #[test]
    fn a_removed_asset_comes_back_singly_or_by_tag() {
        let asset = AssetId::new();
        let removed = NewJob { remove_assets: vec![asset.clone()], ..NewJob::default() };
        assert!(!is_in(&removed, &asset, &[], true));
        let singly = NewJob { include_assets: vec![asset.clone()], ..removed.clone() };
        assert!(is_in(&singly, &asset, &[], true));
        let by_tag = NewJob { include_tags: Some(Tags::All(vec!["a".into(), "b".into()])), ..removed };
        assert!(is_in(&by_tag, &asset, &["a", "b"], true));
        assert!(!is_in(&by_tag, &asset, &["a"], true), "all of them");
    }
}
