//! Conditions that come and go: a `WHERE` put together with its values, numbered as they appear.

#[derive(Default)]
pub struct Where {
    conditions: Vec<String>,
    values: Vec<String>,
}

impl Where {
    pub fn that(&mut self, condition: &str) {
        self.conditions.push(condition.to_owned());
    }

    /// A condition with a `?` for each value.
    pub fn with(&mut self, condition: &str, values: impl IntoIterator<Item = impl ToString>) {
        let mut parts = condition.split('?');
        let mut text = parts.next().unwrap_or("").to_owned();
        for (value, part) in values.into_iter().zip(parts) {
            self.values.push(value.to_string());
            text.push_str(&format!("${}{part}", self.values.len()));
        }
        self.conditions.push(text);
    }

    pub fn equal(&mut self, column: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.with(&format!("{column} = ?"), [value]);
        }
    }

    /// Any of the values; no condition when there is none.
    pub fn any(&mut self, column: &str, values: impl IntoIterator<Item = impl ToString>) {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        if !values.is_empty() {
            let marks = vec!["?"; values.len()].join(", ");
            self.with(&format!("{column} IN ({marks})"), values);
        }
    }

    /// ` WHERE …`, or nothing, and the values.
    pub fn finish(self) -> (String, Vec<String>) {
        let text = match self.conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", self.conditions.join(" AND ")),
        };
        (text, self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_as_they_appear() {
        let mut wanted = Where::default();
        wanted.equal("a", Some("1"));
        wanted.equal("b", None::<String>);
        wanted.that("c IS NULL");
        wanted.any("d", ["2", "3"]);
        wanted.any("e", [""; 0]);
        let (text, values) = wanted.finish();
        assert_eq!(text, " WHERE a = $1 AND c IS NULL AND d IN ($2, $3)");
        assert_eq!(values, ["1", "2", "3"]);
        assert_eq!(Where::default().finish().0, "");
    }
}
