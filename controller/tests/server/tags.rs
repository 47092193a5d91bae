//! Tags given to and taken from assets, and what that does to their postures.

use aright_shared::api::{Asset, NewEnrollKey, Page, Tag};
use aright_shared::client::{ClientError, segment};
use aright_shared::id::AssetId;
use aright_shared::posture::{Reading, Value, Verdict};

use crate::posture::{row, verdicts};
use crate::world::{World, names_all, problem};

fn path(asset: &AssetId, tag: &str) -> String {
    format!("/api/v1/assets/{asset}/tags/{}", segment(tag))
}

pub async fn tag(world: &World, asset: &AssetId, tag: &str) -> Result<Asset, ClientError> {
    world.operator.put(&path(asset, tag), &()).await
}

async fn untag(world: &World, asset: &AssetId, tag: &str) -> Result<Asset, ClientError> {
    world.operator.delete(&path(asset, tag)).await
}

async fn tags(world: &World, query: &str) -> Page<Tag> {
    world.operator.get(&format!("/api/v1/tags{query}")).await.expect("listed")
}

#[tokio::test]
async fn a_tag_brings_the_postures_of_its_policies_and_takes_them_along() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    agent.see("max-days", "default", Reading::Value(Value::Int(180)));
    agent.report_all().await;
    let base = row("base", "max-days/default", Verdict::Pass);
    assert_eq!(verdicts(&world).await, std::slice::from_ref(&base));
    let asset = tag(&world, &agent.asset, "strict").await.expect("tagged");
    assert_eq!((asset.tags.as_slice(), asset.postures.fail), (&["strict".to_owned()][..], 1));
    let strict = row("strict", "max-days/default", Verdict::Fail);
    assert_eq!(verdicts(&world).await, [base.clone(), strict.clone()]);
    assert_eq!(tag(&world, &agent.asset, "strict").await.expect("the same again"), asset);
    assert_eq!(verdicts(&world).await, [base.clone(), strict]);
    let asset = untag(&world, &agent.asset, "strict").await.expect("taken");
    assert!(asset.tags.is_empty() && asset.postures.fail == 0);
    assert_eq!(untag(&world, &agent.asset, "strict").await.expect("the same again"), asset);
    assert_eq!(verdicts(&world).await, [base]);
}

#[tokio::test]
async fn any_word_can_be_a_tag_and_all_in_use_are_listed_page_by_page() {
    let world = World::start().await;
    let (one, two) = (world.enroll_tagged("one", &["web"]).await, world.enroll("two").await);
    for word in ["web", "a/b c", "100% größer?", "…"] {
        let asset = tag(&world, &two.asset, word).await.expect("tagged");
        assert!(asset.tags.contains(&word.to_owned()), "{:?}", asset.tags);
    }
    let named = |page: &Page<Tag>| -> Vec<(String, u32)> {
        page.items.iter().map(|tag| (tag.name.clone(), tag.assets)).collect()
    };
    let first = tags(&world, "?limit=2").await;
    assert_eq!(named(&first), [("100% größer?".into(), 1), ("a/b c".into(), 1)]);
    let rest = tags(&world, &format!("?limit=2&cursor={}", segment(&first.next.expect("more")))).await;
    assert_eq!((named(&rest), rest.next), (vec![("web".into(), 2), ("…".into(), 1)], None));
    untag(&world, &two.asset, "a/b c").await.expect("taken");
    let revoke = format!("/api/v1/assets/{}/revoke", one.asset);
    world.operator.post::<_, Asset>(&revoke, &()).await.expect("revoked");
    let left: Vec<_> = named(&tags(&world, "").await);
    assert_eq!(left, [("100% größer?".into(), 1), ("web".into(), 1), ("…".into(), 1)]);
}

#[tokio::test]
async fn what_is_no_tag_and_who_is_no_asset_is_refused_and_leaves_nothing() {
    let world = World::start().await;
    let agent = world.enroll("web01").await;
    let long = "x".repeat(101);
    for word in [" web", "web ", "a\nb", &long] {
        let refused = problem(tag(&world, &agent.asset, word).await);
        assert_eq!(refused.field.as_deref(), Some("tag"));
        names_all(&refused);
        let key = NewEnrollKey { tags: vec![word.to_owned()], ..NewEnrollKey::default() };
        let refused = world.operator.post::<_, serde_json::Value>("/api/v1/enroll-keys", &key).await;
        names_all(&problem(refused));
    }
    for put in [true, false] {
        let stranger = AssetId::new();
        let refused =
            if put { tag(&world, &stranger, "web").await } else { untag(&world, &stranger, "web").await };
        let refused = problem(refused);
        assert_eq!((refused.status, refused.field.as_deref()), (404, Some("asset")));
        names_all(&refused);
    }
    for n in 0..100 {
        tag(&world, &agent.asset, &format!("tag-{n}")).await.expect("up to a hundred");
    }
    let full = problem(tag(&world, &agent.asset, "one-more").await);
    assert_eq!((full.field.as_deref(), full.value.as_deref()), (Some("tags"), Some("101")));
    names_all(&full);
    assert_eq!(tags(&world, "").await.items.len(), 100);
}
