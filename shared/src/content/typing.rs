//! Operators against data types: what can be compared with what (found when content is loaded, not on a host).

use super::control::DataType;
use super::expect::{Condition, Expect, Operator};
use super::probe::Shape;
use crate::posture::Value;

/// `None` where shape or type are open: then only what is known is held against the condition.
///
/// # Errors
/// The condition that does not fit what the probe yields, and what would.
pub(super) fn check(
    expect: &Expect,
    shape: Option<Shape>,
    data_type: Option<DataType>,
) -> Result<(), String> {
    let fits = match (shape, data_type) {
        (Some(Shape::Single), Some(of)) => !of.is_list() && of != DataType::Record,
        (Some(Shape::List), Some(of)) => of.is_list(),
        _ => true,
    };
    if let (false, Some(of)) = (fits, data_type) {
        let yields = if shape == Some(Shape::List) { "a list" } else { "a single value" };
        return Err(format!("data_type {of}: the probe yields {yields}"));
    }
    expect.conditions().into_iter().try_for_each(|condition| one(condition, shape, data_type))
}

fn one(condition: &Condition, shape: Option<Shape>, data_type: Option<DataType>) -> Result<(), String> {
    let of = match (shape, &condition.field) {
        (Some(Shape::Record(fields)), Some(name)) => {
            let known = fields.iter().find(|(known, _)| known == name);
            let names = || fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            Some(known.ok_or_else(|| format!("field {name:?}: the probe yields {}", names()))?.1)
        }
        (Some(Shape::Record(_)), None) if existence(condition.operator) => return Ok(()),
        (Some(Shape::Record(_)), None) => return Err("field: name one, the probe yields a record".into()),
        (_, Some(name)) => return Err(format!("field {name:?}: the probe yields no record, leave it out")),
        (_, None) => data_type,
    };
    let Some(of) = of else { return Ok(()) };
    operator(condition, of)?;
    match &condition.set {
        Some(set) if !is_of(set, of) && !element(of).is_some_and(|of| is_of(set, of)) => {
            Err(format!("set {set}: not of data type {of}{}", hint(of)))
        }
        _ => Ok(()),
    }
}

fn existence(operator: Operator) -> bool {
    matches!(operator, Operator::Present | Operator::Absent)
}

fn operator(condition: &Condition, of: DataType) -> Result<(), String> {
    use DataType as T;
    use Operator as O;
    let operator = condition.operator;
    let admitted = match operator {
        O::Present | O::Absent => true,
        O::Lt | O::Le | O::Gt | O::Ge | O::Between => of == T::Integer,
        O::Eq => matches!(of, T::Integer | T::Boolean | T::String | T::Mode),
        O::Ne | O::In => matches!(of, T::Integer | T::String),
        O::Re | O::EqNocase => of == T::String,
        O::AtMost => of == T::Mode,
        O::Each | O::Some | O::None | O::Empty | O::NotEmpty => of.is_list(),
        O::Contains | O::DoesNotContain | O::Intersects | O::Equals | O::IsContainedIn => {
            matches!(of, T::StringList | T::IntegerList)
        }
    };
    if !admitted {
        return Err(format!("operator {operator}: not for data type {of}"));
    }
    // What is compared is of the type; of lists, and with `in`, each one is.
    let single = element(of).unwrap_or(of);
    let operands = match (&condition.value, operator) {
        (
            Some(Value::List(list)),
            O::In | O::Contains | O::DoesNotContain | O::Intersects | O::Equals | O::IsContainedIn,
        ) => list.as_slice(),
        (Some(value), O::Eq | O::Ne) => std::slice::from_ref(value),
        _ => &[],
    };
    if let Some(odd) = operands.iter().find(|operand| !is_of(operand, single)) {
        return Err(format!("value {odd}: not of data type {single}{}", hint(single)));
    }
    match &condition.of {
        // Lists hold texts: a number may be expected of each.
        Some(of) => of.conditions().into_iter().try_for_each(|inner| inside(inner, single)),
        None => Ok(()),
    }
}

fn inside(inner: &Condition, single: DataType) -> Result<(), String> {
    if inner.field.is_some() || inner.set.is_some() {
        return Err("of: field and set stand outside of it".into());
    }
    operator(inner, single).or_else(|error| operator(inner, DataType::Integer).map_err(|_| error))
}

fn element(of: DataType) -> Option<DataType> {
    match of {
        DataType::IntegerList => Some(DataType::Integer),
        DataType::StringList | DataType::LineList => Some(DataType::String),
        DataType::Boolean | DataType::Integer | DataType::String | DataType::Mode | DataType::Record => None,
    }
}

fn is_of(value: &Value, of: DataType) -> bool {
    use DataType as T;
    match (value, of) {
        (Value::Bool(_), T::Boolean) | (Value::Int(_), T::Integer) | (Value::Text(_), T::String) => true,
        (Value::Text(text), T::Mode) => text.len() == 4 && value.mode().is_some(),
        // What is written into lines may be a number.
        (Value::List(list), of) => element(of)
            .is_some_and(|of| list.iter().all(|one| is_of(one, of) || matches!(one, Value::Int(_)))),
        _ => false,
    }
}

fn hint(of: DataType) -> &'static str {
    match of {
        DataType::Mode => "; next: four octal digits in quotes, as \"0640\"",
        DataType::String => "; next: put it in quotes",
        _ => "",
    }
}
