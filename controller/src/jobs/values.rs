//! Values for one script on one asset, from what the chosen places' policies want.

use std::collections::BTreeMap;

use aright_shared::content::script::Script;
use aright_shared::values::{self, NoValue, Resolved, Want};

use crate::content::{Content, fixes};
use crate::store::postures::Place;

/// `places` are the chosen ones that the script is for, of one asset.
///
/// # Errors
/// See [`NoValue`].
pub fn resolve<'a>(
    content: &'a Content,
    script: &Script,
    places: &'a [Place],
    given: &BTreeMap<String, String>,
) -> Result<Resolved, NoValue> {
    let want = |Place { policy, spot, .. }: &'a Place| {
        Some(Want { policy, spot, wanted: content.want(policy, spot)? })
    };
    values::resolve(script, &places.iter().filter_map(want).collect::<Vec<_>>(), given)
}

/// Whether a chosen place is to pass after the script: those it says it fixes, and for a custom script
/// that says nothing all of them.
pub fn targets(script: &Script, place: &Place) -> bool {
    script.fixes.is_empty() || fixes(script, &place.policy, &place.spot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aright_shared::id::AssetId;
    use aright_shared::library::Library;
    use aright_shared::posture::Spot;

    const CONTENT: &str = include_str!("../../tests/server/content.yaml");

    fn content() -> Content {
        Content::of(Library::parse(&[("content.yaml", CONTENT)]).expect("content")).expect("content")
    }

    fn script(params: &str) -> Script {
        let text = format!(
            "aright: 1\nkind: script\nkey: both\norigin: custom\ntitle: Both\nrisk: safe\ninterpreter: sh\n\
             params: {{{params}}}\ntouches: [/etc/both]\nbody: \"true\"\n"
        );
        Script::from_yaml(&text).expect("a script")
    }

    fn place(policy: &str, control: &str, instance: &str) -> Place {
        let key = |text: &str| text.parse().expect("a key");
        let asset = "018f0000-0000-7000-8000-000000000000".parse::<AssetId>().expect("an id");
        let spot = Spot { control: key(control), technology: key("debian-12"), instance: instance.into() };
        Place { asset, policy: key(policy), spot }
    }

    fn params(script: &Script, places: &[Place]) -> Result<Vec<(String, String)>, NoValue> {
        resolve(&content(), script, places, &BTreeMap::new())
            .map(|resolved| resolved.params.into_iter().collect())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn each_parameter_gets_the_value_of_its_own_control() {
        let script = script(
            "ARIGHT_DAYS: {from: {set: max-days}, pattern: '[0-9]+'}, \
             ARIGHT_BANNER: {from: {set: banner}, pattern: 'yes'}",
        );
        let places = [place("base", "banner", "one"), place("base", "max-days", "default")];
        let wanted = vec![pair("ARIGHT_BANNER", "yes"), pair("ARIGHT_DAYS", "365")];
        assert_eq!(params(&script, &places), Ok(wanted));
        let missing = params(&script, &places[..1]).expect_err("nobody says how many days");
        assert_eq!(missing, NoValue::Nothing { control: "max-days".into() });
    }

    #[test]
    fn of_several_wishes_the_one_that_serves_all_is_written() {
        let script = script("ARIGHT_SET: {from: set, pattern: '[0-9]+'}");
        let places = [place("base", "max-days", "default"), place("strict", "max-days", "default")];
        assert_eq!(params(&script, &places), Ok(vec![pair("ARIGHT_SET", "90")]));
        let contrary = [places[1].clone(), place("contrary", "max-days", "default")];
        let error = params(&script, &contrary).expect_err("cannot agree").to_string();
        assert_eq!(error, "max-days: contrary (200) and strict (90) cannot agree on a value");
    }

    #[test]
    fn an_expected_value_is_handed_over_only_where_it_is_one() {
        let script = script("ARIGHT_EXPECT: {from: expect, pattern: '[a-z]+'}");
        assert_eq!(
            params(&script, &[place("base", "banner", "one")]),
            Ok(vec![pair("ARIGHT_EXPECT", "yes")])
        );
        let two = [place("base", "max-days", "default"), place("strict", "max-days", "default")];
        assert!(matches!(params(&script, &two), Err(NoValue::Composed { .. })));
    }

    #[test]
    fn a_value_outside_the_signed_pattern_is_refused_whole() {
        let script = script("ARIGHT_SET: {from: set, pattern: '36'}");
        let error = params(&script, &[place("base", "max-days", "default")]).expect_err("365 is not 36");
        assert!(matches!(error, NoValue::Pattern { value, .. } if value == "365"));
    }

    #[test]
    fn targets_are_the_places_each_expectation_once() {
        let script = script("");
        let places = [
            place("base", "banner", "one"),
            place("strict", "banner", "one"),
            place("base", "banner", "two"),
            place("base", "max-days", "default"),
            place("strict", "max-days", "default"),
        ];
        let resolved = resolve(&content(), &script, &places, &BTreeMap::new()).expect("resolved");
        let spots: Vec<_> = resolved.targets.iter().map(|target| target.spot.instance.as_str()).collect();
        assert_eq!(spots, ["one", "two", "default", "default"]);
    }
}
