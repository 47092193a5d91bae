//! Which hosts: those of the failed controls, less and more by lists and tags; the exclusion list beats all.

use std::collections::BTreeSet;

use aright_shared::api::{Asset, NewJob, Reach};
use aright_shared::content::policy::Tags;
use aright_shared::id::AssetId;
use aright_shared::time::SECOND;

use super::choice::ahead;
use super::{Rule, failing, job};
use crate::scripts::{approved, job_of};
use crate::world::{Agent, CONTENT, World};

fn any(tags: &[&str]) -> Option<Tags> {
    Some(Tags::Any(tags.iter().map(|&tag| tag.to_owned()).collect()))
}

fn all(tags: &[&str]) -> Option<Tags> {
    Some(Tags::All(tags.iter().map(|&tag| tag.to_owned()).collect()))
}

/// Host names of those that the job reaches.
fn hosts(reach: &Reach) -> BTreeSet<&str> {
    reach.hosts.iter().filter(|host| host.why_not.is_none()).map(|host| host.hostname.as_str()).collect()
}

struct Fleet {
    rule: Rule,
    web1: Agent,
    web2: Agent,
    db1: Agent,
}

impl Fleet {
    /// `web1` (web) and `web2` (web, lab) with failures, `db1` (db, eu) and `db2` (db) without.
    async fn start(name: &'static str) -> Self {
        let rule = Rule::start(name, CONTENT).await;
        approved(&rule.world).await;
        let web1 = failing(&rule, "web1", &["web"]).await;
        let web2 = failing(&rule, "web2", &["web", "lab"]).await;
        let db1 = rule.world.enroll_tagged("db1", &["db", "eu"]).await;
        rule.world.enroll_tagged("db2", &["db"]).await;
        Self { rule, web1, web2, db1 }
    }

    async fn reaches(&self, edge: &str, job: NewJob, wanted: &[&str]) {
        let custom_scripts = job_of(&self.web1.asset).custom_scripts;
        let job = NewJob { custom_scripts, ..job };
        let ahead_of_saving = self.rule.reach(&job).await;
        let saved = self.rule.saved(edge, &job).await;
        let reach = ahead(&self.rule, &saved).await;
        assert_eq!(hosts(&reach), wanted.iter().copied().collect(), "{edge}");
        assert_eq!(hosts(&ahead_of_saving), hosts(&reach), "looking ahead says the same");
        assert_eq!(saved.assets as usize, wanted.len());
        let every = reach.hosts.iter().all(|host| host.why_not.is_some() || !host.scripts.is_empty());
        assert!(every && reach.hosts.len() == 4, "every other host with its reason");
    }
}

#[tokio::test]
async fn lists_and_tags_add_and_take_away() {
    let fleet = Fleet::start("hosts by lists and tags").await;
    let [web1, web2, db1] = [&fleet.web1, &fleet.web2, &fleet.db1].map(|agent| agent.asset.clone());
    let list = |assets: &[&AssetId]| assets.iter().map(|&asset| asset.clone()).collect::<Vec<_>>();
    fleet.reaches("of the failed controls", job(), &["web1", "web2"]).await;
    let added = NewJob { include_assets: list(&[&db1]), ..job() };
    fleet.reaches("added singly", added.clone(), &["web1", "web2", "db1"]).await;
    let removed = NewJob { remove_assets: list(&[&web1]), ..job() };
    fleet.reaches("removed", removed.clone(), &["web2"]).await;
    let again = NewJob { include_tags: any(&["web"]), ..removed };
    fleet.reaches("removed, and back by tag", again, &["web1", "web2"]).await;
    let by_tag = NewJob { include_tags: any(&["eu", "lab"]), ..job() };
    fleet.reaches("tags, any", by_tag, &["web1", "web2", "db1"]).await;
    let by_all = NewJob { include_tags: all(&["db", "eu"]), ..job() };
    fleet.reaches("tags, all", by_all, &["web1", "web2", "db1"]).await;
    let by_none = NewJob { include_tags: all(&["db", "lab"]), ..job() };
    fleet.reaches("tags, all, nobody has them", by_none, &["web1", "web2"]).await;
    let not_lab = NewJob { exclude_tags: any(&["lab", "eu"]), ..added.clone() };
    fleet.reaches("excluded tags, any", not_lab, &["web1"]).await;
    let not_both = NewJob { exclude_tags: all(&["web", "lab"]), ..added.clone() };
    fleet.reaches("excluded tags, all", not_both, &["web1", "db1"]).await;
    let one_of_two = NewJob { exclude_tags: all(&["lab", "eu"]), ..added.clone() };
    fleet.reaches("excluded tags, all, nobody has both", one_of_two, &["web1", "web2", "db1"]).await;
    let excluded =
        NewJob { exclude_assets: list(&[&web2, &db1]), include_tags: any(&["lab", "db"]), ..added };
    fleet.reaches("the exclusion list beats all", excluded, &["web1", "db2"]).await;
    let nobody = NewJob { exclude_assets: list(&[&web1, &web2]), ..job() };
    fleet.rule.refused("all excluded", &nobody).await;
    let typo = NewJob { exclude_assets: vec![AssetId::new()], ..job() };
    fleet.rule.refused("an unknown host excluded", &typo).await;
    fleet.rule.refused("no tag named", &NewJob { exclude_tags: all(&[]), ..job() }).await;
    fleet.rule.end();
}

#[tokio::test]
async fn tags_are_resolved_at_each_run() {
    let rule = Rule::of("tags at each run", World::start().await);
    approved(&rule.world).await;
    let mut given = rule.world.enroll_tagged("given", &[]).await;
    let mut taken = rule.world.enroll_tagged("taken", &["web"]).await;
    let tagged = NewJob {
        filter: None,
        include_assets: Vec::new(),
        include_tags: any(&["web"]),
        hold_s: Some(900),
        ..job_of(&given.asset)
    };
    let saved = rule.saved("one host has it when saved", &tagged).await;
    assert_eq!(saved.assets, 1);
    let tag = |asset: &AssetId| format!("/api/v1/assets/{asset}/tags/web");
    rule.world.operator.put::<_, Asset>(&tag(&given.asset), &()).await.expect("tagged");
    rule.world.operator.delete::<Asset>(&tag(&taken.asset)).await.expect("untagged");
    rule.world.pass(901 * SECOND);
    let run = crate::dispatch::wait(&rule.world, &saved, |run| run.tasks > 0).await;
    assert_eq!(run.assets.all, 1);
    let (_, order) = given.task().await;
    assert_eq!(order.asset, given.asset);
    assert!(taken.check_in(0).await.expect("orders").tasks.is_empty());
    rule.edge("a tag given between save and run counts, one taken does not");
    rule.end();
}
