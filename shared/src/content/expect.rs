//! Expected values: conditions on what a probe yields, and lists of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::content::pattern::Pattern;
use crate::outcome::words;
use crate::posture::{Reading, Value, Verdict, judge};

/// A condition, or several: `{all: […]}`, `{any: […]}`, `{none: […]}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    All(Vec<Expect>),
    Any(Vec<Expect>),
    None(Vec<Expect>),
    Is(Condition),
}

/// One condition on a value, or on one `field` of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    pub operator: Operator,
    /// What it is compared with; two for `between`, a list for `in` and set operators, none for `present` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What an absent value means; `fail` unless said.
    #[serde(default, skip_serializing_if = "AbsentRule::is_default")]
    pub absent: AbsentRule,
    /// What `each`, `some` or `none` of the elements must satisfy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Box<Expect>>,
    /// What a fix writes; left out for `eq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Value>,
}

words! {
    Operator {
        Lt = "lt", Le = "le", Gt = "gt", Ge = "ge",
        Eq = "eq", Ne = "ne", In = "in", Between = "between",
        Re = "re", EqNocase = "eq_nocase",
        /// No permission bit set beyond.
        AtMost = "at_most",
        Each = "each", Some = "some", None = "none",
        Empty = "empty", NotEmpty = "not_empty",
        /// All of Y.
        Contains = "contains",
        /// None of Y.
        DoesNotContain = "does_not_contain",
        /// Any of Y.
        Intersects = "intersects",
        /// The same set.
        Equals = "equals",
        /// X within Y.
        IsContainedIn = "is_contained_in",
        Present = "present", Absent = "absent",
    }
}

words! {
    /// What absence is taken for.
    AbsentAs { Pass = "pass", Fail = "fail", Error = "error", }
}

/// One word for both kinds, or a word for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsentRule {
    pub file: AbsentAs,
    pub value: AbsentAs,
}

impl Default for AbsentRule {
    fn default() -> Self {
        Self { file: AbsentAs::Fail, value: AbsentAs::Fail }
    }
}

impl AbsentRule {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum AbsentText {
    Both(AbsentAs),
    Each(BTreeMap<String, AbsentAs>),
}

impl Serialize for AbsentRule {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.file == self.value {
            return self.file.serialize(to);
        }
        BTreeMap::from([("file", self.file), ("value", self.value)]).serialize(to)
    }
}

impl<'de> Deserialize<'de> for AbsentRule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match AbsentText::deserialize(from)? {
            AbsentText::Both(word) => Ok(Self { file: word, value: word }),
            AbsentText::Each(words) => {
                let mut rule = Self::default();
                for (kind, word) in words {
                    match kind.as_str() {
                        "file" => rule.file = word,
                        "value" => rule.value = word,
                        other => {
                            return Err(de::Error::custom(format!(
                                "absent: {other:?} is neither \"file\" nor \"value\""
                            )));
                        }
                    }
                }
                Ok(rule)
            }
        }
    }
}

/// The text form: either one of the lists, or the fields of one condition.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    all: Option<Vec<Expect>>,
    any: Option<Vec<Expect>>,
    none: Option<Vec<Expect>>,
    field: Option<String>,
    operator: Option<Operator>,
    value: Option<Value>,
    absent: Option<AbsentRule>,
    of: Option<Box<Expect>>,
    set: Option<Value>,
}

impl<'de> Deserialize<'de> for Expect {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(from)?;
        let alone = raw.operator.is_none() && raw.value.is_none() && raw.field.is_none() && raw.of.is_none();
        let expect = match (raw.all, raw.any, raw.none, raw.operator) {
            (Some(list), None, None, None) if alone => Self::All(list),
            (None, Some(list), None, None) if alone => Self::Any(list),
            (None, None, Some(list), None) if alone => Self::None(list),
            (None, None, None, Some(operator)) => Self::Is(Condition {
                field: raw.field,
                operator,
                value: raw.value,
                absent: raw.absent.unwrap_or_default(),
                of: raw.of,
                set: raw.set,
            }),
            _ => return Err(de::Error::custom("expect: either `operator`, or one of `all`, `any`, `none`")),
        };
        expect.check().map_err(de::Error::custom)?;
        Ok(expect)
    }
}

impl Serialize for Expect {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All(list) => BTreeMap::from([("all", list)]).serialize(to),
            Self::Any(list) => BTreeMap::from([("any", list)]).serialize(to),
            Self::None(list) => BTreeMap::from([("none", list)]).serialize(to),
            Self::Is(condition) => condition.serialize(to),
        }
    }
}

/// Most conditions in one `expect`, and how deep they may be nested.
const MAX_CONDITIONS: usize = 100;
const MAX_DEPTH: usize = 8;

impl Expect {
    /// All conditions, in the order written.
    pub fn conditions(&self) -> Vec<&Condition> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a Condition>) {
        match self {
            Self::All(list) | Self::Any(list) | Self::None(list) => {
                list.iter().for_each(|one| one.collect(found))
            }
            Self::Is(condition) => found.push(condition),
        }
    }

    /// The value that a fix writes: `set` where it stands, else the value of the only `eq`.
    pub fn set(&self) -> Option<&Value> {
        let conditions = self.conditions();
        let told = conditions.iter().find_map(|condition| condition.set.as_ref());
        let equal =
            conditions.iter().find(|condition| condition.operator == Operator::Eq && conditions.len() == 1);
        told.or_else(|| equal.and_then(|condition| condition.value.as_ref()))
    }

    /// Whether a fix that writes `set` would pass here.
    pub fn accepts(&self, set: &Value) -> bool {
        let conditions = self.conditions();
        let fields: std::collections::BTreeSet<_> =
            conditions.iter().filter_map(|one| one.field.clone()).collect();
        if fields.is_empty() {
            return judge(&Reading::Value(set.clone()), self) == Verdict::Pass;
        }
        // Of a record, `set` is meant for the fields at whose conditions it stands, and for those compared alike.
        let mut record: BTreeMap<String, Reading> =
            fields.iter().map(|field| (field.clone(), Reading::Pending)).collect();
        for condition in conditions {
            let meant = condition.set.is_some() || condition.value.as_ref() == Some(set);
            if let (true, Some(field)) = (meant, &condition.field) {
                record.insert(field.clone(), Reading::Value(set.clone()));
            }
        }
        judge(&Reading::Value(Value::Record(record)), self) == Verdict::Pass
    }

    fn check(&self) -> Result<(), String> {
        if self.depth() > MAX_DEPTH || self.conditions().len() > MAX_CONDITIONS {
            return Err(format!(
                "expect: more than {MAX_CONDITIONS} conditions, or nested deeper than {MAX_DEPTH}"
            ));
        }
        if let Self::All(list) | Self::Any(list) | Self::None(list) = self
            && list.is_empty()
        {
            return Err("expect: an empty list decides nothing; name at least one condition".into());
        }
        for condition in self.conditions() {
            condition.check()?;
        }
        for set in self.conditions().iter().filter_map(|condition| condition.set.as_ref()) {
            if !self.accepts(set) {
                return Err(format!("set: {set} does not satisfy expect; next: write a value that does"));
            }
        }
        Ok(())
    }

    fn depth(&self) -> usize {
        match self {
            Self::All(list) | Self::Any(list) | Self::None(list) => {
                1 + list.iter().map(Self::depth).max().unwrap_or(0)
            }
            Self::Is(condition) => 1 + condition.of.as_ref().map_or(0, |of| of.depth()),
        }
    }
}

impl std::fmt::Display for Expect {
    /// As people read it: `between 1, 365`, `all (owner eq root, mode at_most 0600)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |f: &mut std::fmt::Formatter<'_>, word: &str, list: &[Self]| {
            let texts: Vec<_> = list.iter().map(ToString::to_string).collect();
            write!(f, "{word} ({})", texts.join(", "))
        };
        match self {
            Self::All(all) => list(f, "all", all),
            Self::Any(any) => list(f, "any", any),
            Self::None(none) => list(f, "none", none),
            Self::Is(condition) => condition.fmt(f),
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "{field} ")?;
        }
        write!(f, "{}", self.operator)?;
        if let Some(value) = &self.value {
            write!(f, " {value}")?;
        }
        if let Some(of) = &self.of {
            write!(f, " {of}")?;
        }
        Ok(())
    }
}

impl Condition {
    fn check(&self) -> Result<(), String> {
        use Operator::{
            Absent, AtMost, Between, Contains, DoesNotContain, Each, Empty, Eq, EqNocase, Equals, Ge, Gt, In,
            Intersects, IsContainedIn, Le, Lt, Ne, None, NotEmpty, Present, Re, Some,
        };
        let operator = self.operator;
        let needs =
            |what: &str| Err(format!("operator {operator}: `value` must be {what}, not {}", self.shown()));
        let value = self.value.as_ref();
        match operator {
            Present | Absent | Empty | NotEmpty if value.is_some() => needs("left out")?,
            Each | Some | None if value.is_some() || self.of.is_none() => {
                return Err(format!(
                    "operator {operator}: needs `of` with an inner condition, and no `value`"
                ));
            }
            Lt | Le | Gt | Ge if !matches!(value, Option::Some(Value::Int(_))) => needs("an integer")?,
            Between if !matches!(value.and_then(Value::ints).as_deref(), Option::Some([low, high]) if low <= high) =>
            {
                needs("two integers, the lower first")?;
            }
            AtMost if value.and_then(Value::mode).is_none() => needs("permission bits such as \"0644\"")?,
            In | Contains | DoesNotContain | Intersects | Equals | IsContainedIn
                if value.and_then(Value::list).is_none() =>
            {
                needs("a list")?;
            }
            Eq | Ne if value.is_none() => needs("given")?,
            EqNocase if value.and_then(Value::text).is_none() => needs("a string")?,
            Re => match value.and_then(Value::text) {
                Option::Some(pattern) => drop(Pattern::search(pattern)?),
                Option::None => needs("a regular expression")?,
            },
            _ => {}
        }
        match &self.of {
            Option::Some(of) if matches!(operator, Each | Some | None) => of.check(),
            Option::Some(_) => Err(format!("operator {operator}: takes no `of`")),
            Option::None => Ok(()),
        }
    }

    fn shown(&self) -> String {
        self.value.as_ref().map_or_else(|| "absent".to_owned(), ToString::to_string)
    }
}
