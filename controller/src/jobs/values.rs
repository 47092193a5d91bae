//! Values for one script on one asset: where several chosen places lead to one task, all their
//! expectations must accept one of their `set`s, and that one is written.

use std::collections::BTreeMap;

use aright_shared::content::policy::Wanted;
use aright_shared::content::script::{Param, ParamFrom, Script};
use aright_shared::id::Key;
use aright_shared::posture::Value;
use aright_shared::task::Target;

use crate::content::{Content, fixes};
use crate::store::postures::Place;

/// What a task is made with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    pub params: BTreeMap<String, String>,
    pub targets: Vec<Target>,
}

/// Why there is no value that serves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoValue {
    #[error("{control}: {} cannot agree on a value", listed(.wishes))]
    Conflict { control: String, wishes: Vec<(Key, String)> },
    #[error("{control}: no chosen policy says what to set")]
    Nothing { control: String },
    #[error("{param}: {value:?} does not match the signed pattern {pattern:?}")]
    Pattern { param: String, value: String, pattern: String },
    #[error("{param}: the job must give it")]
    NotGiven { param: String },
    #[error("{param}: {control} expects more than one value can say")]
    Composed { param: String, control: String },
}

fn listed(wishes: &[(Key, String)]) -> String {
    let each: Vec<_> = wishes.iter().map(|(policy, value)| format!("{policy} ({value})")).collect();
    each.join(" and ")
}

/// `places` are the chosen ones that the script is for, of one asset.
///
/// # Errors
/// See [`NoValue`].
pub fn resolve(
    content: &Content,
    script: &Script,
    places: &[Place],
    given: &BTreeMap<String, String>,
) -> Result<Resolved, NoValue> {
    let wants: Vec<(&Place, &Wanted)> =
        places.iter().filter_map(|place| Some((place, content.want(&place.policy, &place.spot)?))).collect();
    let mut params = BTreeMap::new();
    for (name, param) in &script.params {
        let value = match &param.from {
            ParamFrom::Set => agreed(&wants, None)?.plain(),
            ParamFrom::SetOf { set } => agreed(&wants, Some(set))?.plain(),
            ParamFrom::Expect => expected(name, &wants)?,
            ParamFrom::Given => {
                given.get(name).cloned().ok_or_else(|| NoValue::NotGiven { param: name.clone() })?
            }
        };
        params.insert(name.clone(), matching(script, name, param, value)?);
    }
    let mut targets: Vec<Target> = Vec::new();
    for (place, want) in &wants {
        let target = Target { spot: place.spot.clone(), expect: want.expect.clone() };
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    Ok(Resolved { params, targets })
}

/// Whether a chosen place is to pass after the script: those it says it fixes, and for a custom script
/// that says nothing all of them.
pub fn targets(script: &Script, place: &Place) -> bool {
    script.fixes.is_empty() || fixes(script, &place.policy, &place.spot)
}

/// The first `set` that every expectation accepts.
fn agreed(wants: &[(&Place, &Wanted)], control: Option<&Key>) -> Result<Value, NoValue> {
    let concerned: Vec<_> = wants
        .iter()
        .filter(|(place, _)| control.is_none_or(|control| place.spot.control == *control))
        .collect();
    let name = || {
        control
            .or(concerned.first().map(|(place, _)| &place.spot.control))
            .map_or_else(String::new, Key::to_string)
    };
    let mut sets: Vec<&Value> = concerned.iter().filter_map(|(_, want)| want.set.as_ref()).collect();
    sets.dedup();
    if sets.is_empty() {
        return Err(NoValue::Nothing { control: name() });
    }
    let accepted = |set: &Value| concerned.iter().all(|(_, want)| want.expect.accepts(set));
    sets.iter().find(|set| accepted(set)).map(|set| (*set).clone()).ok_or_else(|| {
        let mut wishes: Vec<(Key, String)> = concerned
            .iter()
            .filter_map(|(place, want)| Some((place.policy.clone(), want.set.as_ref()?.plain())))
            .collect();
        wishes.sort();
        wishes.dedup();
        NoValue::Conflict { control: name(), wishes }
    })
}

/// The value of the one condition that all who want the control expect.
fn expected(param: &str, wants: &[(&Place, &Wanted)]) -> Result<String, NoValue> {
    let (place, first) = wants.first().ok_or_else(|| NoValue::Nothing { control: String::new() })?;
    let same = wants.iter().all(|(_, want)| want.expect == first.expect);
    match (first.expect.conditions().as_slice(), same) {
        ([one], true) if one.value.is_some() => Ok(one.value.as_ref().map(Value::plain).unwrap_or_default()),
        _ => Err(NoValue::Composed { param: param.into(), control: place.spot.control.to_string() }),
    }
}

/// The wall: what is not signed must match what is, whole.
fn matching(script: &Script, name: &str, param: &Param, value: String) -> Result<String, NoValue> {
    match param.accepts(script.interpreter, &value) {
        true => Ok(value),
        false => Err(NoValue::Pattern { param: name.into(), value, pattern: param.pattern.clone() }),
    }
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
