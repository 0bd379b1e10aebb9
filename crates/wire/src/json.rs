//! A free JSON object inside a message: `google.protobuf.Struct` in the contract.

use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType};
use prost::{DecodeError, Message};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as ProtoValue};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Number, Value};

/// A JSON document carried inside a message as it was written: integers stay integers, keys keep their order.
///
/// On the wire of NATS it is plain JSON. Binary protobuf, which Tidemark does not send, is supported as far as
/// `google.protobuf.Struct` goes: an object, with every number a double.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(pub Value);

impl Json {
    /// Returns the document as what `T` says it is.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.0)
    }

    /// Returns `document` as JSON.
    pub fn of<T: Serialize>(document: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_value(document).map(Self)
    }

    /// Returns the value inside.
    pub fn into_value(self) -> Value {
        self.0
    }

    fn to_struct(&self) -> Struct {
        match &self.0 {
            Value::Object(fields) => struct_of(fields),
            _ => Struct::default(),
        }
    }
}

/// An empty object, which is what an absent `Struct` means.
impl Default for Json {
    fn default() -> Self {
        Self(Value::Object(Map::new()))
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        json.0
    }
}

impl std::ops::Deref for Json {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl Message for Json {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        self.to_struct().encode_raw(buffer);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        let mut merged = self.to_struct();
        merged.merge_field(tag, wire_type, buffer, context)?;
        self.0 = Value::Object(object_of(merged));
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.to_struct().encoded_len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

fn struct_of(fields: &Map<String, Value>) -> Struct {
    Struct {
        fields: fields
            .iter()
            .map(|(name, value)| (name.clone(), proto_of(value)))
            .collect(),
    }
}

fn proto_of(value: &Value) -> ProtoValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(*truth),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue {
            values: items.iter().map(proto_of).collect(),
        }),
        Value::Object(fields) => Kind::StructValue(struct_of(fields)),
    };
    ProtoValue { kind: Some(kind) }
}

fn object_of(document: Struct) -> Map<String, Value> {
    document
        .fields
        .into_iter()
        .map(|(name, value)| (name, value_of(value)))
        .collect()
}

fn value_of(value: ProtoValue) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(truth)) => Value::Bool(truth),
        Some(Kind::NumberValue(number)) => number_of(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(value_of).collect(),
        Some(Kind::StructValue(document)) => Value::Object(object_of(document)),
    }
}

/// Returns `number` as an integer where it is one that a double holds exactly.
fn number_of(number: f64) -> Value {
    match whole(number) {
        Some(integer) => Value::Number(integer.into()),
        None => Number::from_f64(number).map_or(Value::Null, Value::Number),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "only whole numbers up to 2^53 get there"
)]
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

/// Reads `null` as the field's default, as proto3 JSON says.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Writes `128` and not `128.0`, as people expect of a count.
#[expect(clippy::ref_option, reason = "serde hands a reference")]
pub(crate) fn plain_number<S: Serializer>(
    number: &Option<f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match number {
        None => serializer.serialize_none(),
        Some(number) => match whole(*number) {
            Some(integer) => serializer.serialize_i64(integer),
            None => serializer.serialize_f64(*number),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn integers_stay_integers_in_json() {
        let text = r#"{"id":9007199254740993,"big":18446744073709551615,"ratio":0.1}"#;
        let document: Json = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&document).unwrap(), text);
    }

    #[test]
    fn a_document_survives_binary_protobuf() {
        let document =
            Json(json!({ "a": 1, "b": [null, true, "x", 2.5], "c": { "d": {} }, "e": -7 }));
        let back = Json::decode(document.encode_to_vec().as_slice()).unwrap();
        assert_eq!(back.0["a"], json!(1));
        assert_eq!(back.0["b"], json!([null, true, "x", 2.5]));
        assert_eq!(back.0["c"], json!({ "d": {} }));
        assert_eq!(back.0["e"], json!(-7));
    }
}
