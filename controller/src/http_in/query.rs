//! Query strings: a list is its key repeated, an unknown key is an error.

use std::collections::BTreeMap;

use aright_shared::api::{LIMIT, MAX_LIMIT, Paging};
use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::error::Refused;

/// A whole query.
pub struct Query<T>(pub T);

/// A filter with the page that is wanted.
pub struct Paged<T> {
    pub filter: T,
    pub cursor: Option<String>,
    pub limit: u32,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        read(fields(parts)).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Paged<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        let mut fields = fields(parts);
        let paging = ["cursor", "limit"].iter().filter_map(|key| fields.remove_entry(*key)).collect();
        let paging: Paging = read(paging)?;
        let limit = paging.limit.unwrap_or(LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Refused::invalid("limit", limit, "no page has that many rows")
                .remedy(format!("1 to {MAX_LIMIT}")));
        }
        Ok(Self { filter: read(fields)?, cursor: paging.cursor, limit })
    }
}

/// The filter of a list that has none.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

type Fields = BTreeMap<String, Vec<String>>;

fn fields(parts: &Parts) -> Fields {
    let mut fields = Fields::new();
    for (key, value) in form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes()) {
        fields.entry(key.into_owned()).or_default().push(value.into_owned());
    }
    fields
}

fn read<T: DeserializeOwned>(fields: Fields) -> Result<T, Refused> {
    let shown: Vec<_> = fields.iter().map(|(key, values)| format!("{key}={}", values.join(","))).collect();
    let fields = fields.into_iter().map(|(key, values)| (key, Values(values)));
    T::deserialize(MapDeserializer::<_, Error>::new(fields)).map_err(|error| {
        let text = error.to_string();
        let field = text.split('`').nth(1).unwrap_or("query");
        Refused::invalid(field, shown.join("&"), "the query is not what this route takes")
            .detail(text.clone())
            .remedy("correct the field named")
    })
}

/// What one key was given.
struct Values(Vec<String>);

impl Values {
    fn one(self) -> Result<String, Error> {
        match <[String; 1]>::try_from(self.0) {
            Ok([one]) => Ok(one),
            Err(many) => Err(Error::custom(format!("given {} times, may be given once", many.len()))),
        }
    }
}

impl IntoDeserializer<'_, Error> for Values {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Values {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.one()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(SeqDeserializer::new(self.0.into_iter()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let word: serde::de::value::StringDeserializer<Error> = self.one()?.into_deserializer();
        word.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = self.one()?;
        visitor.visit_u64(text.parse().map_err(|_| Error::custom(format!("{text:?} is not a number")))?)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 f32 f64 char str string bytes byte_buf unit unit_struct
        tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aright_shared::api::{PostureFilter, Watch, query_pairs};
    use aright_shared::posture::Verdict;

    fn parts(query: &str) -> Parts {
        http::Request::get(format!("/x?{query}")).body(()).expect("a request").into_parts().0
    }

    fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Refused> {
        read(fields(&parts(query)))
    }

    #[test]
    fn what_a_client_writes_is_what_we_read() {
        let filter = PostureFilter {
            policy: vec!["a".parse().expect("a key"), "b".parse().expect("a key")],
            instance: vec!["x, y & z".into()],
            status: vec![Verdict::Fail],
            ..PostureFilter::default()
        };
        let query =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(query_pairs(&filter)).finish();
        assert_eq!(parse::<PostureFilter>(&query).expect("read"), filter);
        let watch = Watch { revision: Some(7), wait_s: Some(3) };
        assert_eq!(parse::<Watch>("revision=7&wait_s=3").expect("read"), watch);
    }

    #[test]
    fn unknown_keys_words_and_numbers_are_refused_by_name() {
        let refusal =
            |query: &str| parse::<PostureFilter>(query).map(drop).expect_err("refused").problem().clone();
        assert_eq!(refusal("polciy=a").field.as_deref(), Some("polciy"));
        assert!(refusal("status=failed").detail.expect("says why").contains("failed"));
        assert!(parse::<Watch>("wait_s=x").is_err());
        assert!(parse::<Watch>("wait_s=1&wait_s=2").is_err());
    }

    #[tokio::test]
    async fn a_page_is_bounded() {
        let paged = async |query| Paged::<PostureFilter>::from_request_parts(&mut parts(query), &()).await;
        let good = paged("limit=5&cursor=x&control=a").await.map_err(drop).expect("read");
        assert_eq!((good.limit, good.cursor.as_deref(), good.filter.control.len()), (5, Some("x"), 1));
        assert!(paged("limit=0").await.is_err());
        assert!(paged("limit=1001").await.is_err());
    }
}
