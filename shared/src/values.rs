//! Values for one script on one asset: where several chosen places lead to one task, all their
//! expectations must accept one of their `set`s, and that one is written.

use std::collections::BTreeMap;

use crate::content::policy::Wanted;
use crate::content::script::{Param, ParamFrom, Script};
use crate::id::Key;
use crate::posture::{Spot, Value, Verdict};
use crate::task::Target;

/// What somebody wants of a place.
#[derive(Clone, Copy, Debug)]
pub struct Want<'a> {
    /// Who: named where two cannot agree.
    pub policy: &'a Key,
    pub spot: &'a Spot,
    pub wanted: &'a Wanted,
}

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
    #[error("no chosen posture of its control{} says what to set", of(.control))]
    Nothing { control: String },
    #[error("{param}: {value:?} does not match the signed pattern {pattern:?}")]
    Pattern { param: String, value: String, pattern: String },
    #[error("{param}: the job must give it")]
    NotGiven { param: String },
    #[error("{param}: {control} expects more than one value can say")]
    Composed { param: String, control: String },
}

/// ` NAME`, where it has one.
fn of(control: &str) -> String {
    if control.is_empty() { String::new() } else { format!(" {control}") }
}

fn listed(wishes: &[(Key, String)]) -> String {
    let each: Vec<_> = wishes.iter().map(|(policy, value)| format!("{policy} ({value})")).collect();
    each.join(" and ")
}

/// Those that fail; where none does all of them.
pub fn failing_or_all<T>(places: Vec<(T, Verdict)>) -> Vec<T> {
    let any = places.iter().any(|(_, verdict)| *verdict == Verdict::Fail);
    places
        .into_iter()
        .filter(|(_, verdict)| !any || *verdict == Verdict::Fail)
        .map(|(place, _)| place)
        .collect()
}

/// `NAME=VALUE`, as command lines take it.
///
/// # Errors
/// There is no `=`.
pub fn named(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// `wants` are of the chosen places that the script is for, of one asset; `given` are the values of whoever
/// makes the task.
///
/// # Errors
/// See [`NoValue`].
pub fn resolve(
    script: &Script,
    wants: &[Want<'_>],
    given: &BTreeMap<String, String>,
) -> Result<Resolved, NoValue> {
    let mut params = BTreeMap::new();
    for (name, param) in &script.params {
        let value = match &param.from {
            ParamFrom::Set => agreed(wants, None)?.plain(),
            ParamFrom::SetOf { set } => agreed(wants, Some(set))?.plain(),
            ParamFrom::Expect => expected(name, wants)?,
            ParamFrom::Given => {
                given.get(name).cloned().ok_or_else(|| NoValue::NotGiven { param: name.clone() })?
            }
        };
        params.insert(name.clone(), matching(script, name, param, value)?);
    }
    let mut targets: Vec<Target> = Vec::new();
    for want in wants {
        let target = Target { spot: want.spot.clone(), expect: want.wanted.expect.clone() };
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    Ok(Resolved { params, targets })
}

/// The first `set` that every expectation accepts.
fn agreed(wants: &[Want<'_>], control: Option<&Key>) -> Result<Value, NoValue> {
    let concerned: Vec<_> =
        wants.iter().filter(|want| control.is_none_or(|control| want.spot.control == *control)).collect();
    let name = || {
        control.or(concerned.first().map(|want| &want.spot.control)).map_or_else(String::new, Key::to_string)
    };
    let mut sets: Vec<&Value> = concerned.iter().filter_map(|want| want.wanted.set.as_ref()).collect();
    sets.dedup();
    if sets.is_empty() {
        return Err(NoValue::Nothing { control: name() });
    }
    let accepted = |set: &Value| concerned.iter().all(|want| want.wanted.expect.accepts(set));
    sets.iter().find(|set| accepted(set)).map(|set| (*set).clone()).ok_or_else(|| {
        let mut wishes: Vec<(Key, String)> = concerned
            .iter()
            .filter_map(|want| Some((want.policy.clone(), want.wanted.set.as_ref()?.plain())))
            .collect();
        wishes.sort();
        wishes.dedup();
        NoValue::Conflict { control: name(), wishes }
    })
}

/// The value of the one condition that all who want the control expect.
fn expected(param: &str, wants: &[Want<'_>]) -> Result<String, NoValue> {
    let first = wants.first().ok_or_else(|| NoValue::Nothing { control: String::new() })?;
    let expect = &first.wanted.expect;
    let same = wants.iter().all(|want| want.wanted.expect == *expect);
    match (expect.conditions().as_slice(), same) {
        ([one], true) if one.value.is_some() => Ok(one.value.as_ref().map(Value::plain).unwrap_or_default()),
        _ => Err(NoValue::Composed { param: param.into(), control: first.spot.control.to_string() }),
    }
}

/// The wall: what is not signed must match what is, whole.
fn matching(script: &Script, name: &str, param: &Param, value: String) -> Result<String, NoValue> {
    match param.accepts(&script.interpreter, &value) {
        true => Ok(value),
        false => Err(NoValue::Pattern { param: name.into(), value, pattern: param.pattern.clone() }),
    }
}
