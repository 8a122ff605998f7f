//! Examples of whole bodies, put together from those of their fields: a fact is written once, beside its field, and
//! `tests/it/examples.rs` holds every body against a running server.

use serde_json::{Map, Value};
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, OpenApi, RefOr};

use super::operations;

/// Gives each JSON body that has no example the one of its schema.
pub fn add(document: &mut OpenApi) {
    let components = document.components.as_ref().map(|components| &components.schemas);
    let Ok(schemas) = serde_json::to_value(components) else { return };
    for item in document.paths.paths.values_mut() {
        operations(item).into_iter().for_each(|(_, operation)| add_to(operation, &schemas));
    }
}

fn add_to(operation: &mut Operation, schemas: &Value) {
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        body.content.values_mut().for_each(|content| fill(content, &Composer { schemas, optional: true }));
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with('2')
            && let Some(content) = response.content.get_mut("application/json")
        {
            fill(content, &Composer { schemas, optional: false });
        }
    }
}

fn fill(content: &mut RefOr<Content>, composer: &Composer<'_>) {
    if let RefOr::T(content) = content
        && content.example.is_none()
        && content.examples.is_empty()
        && let Ok(schema) = serde_json::to_value(&content.schema)
    {
        content.example = composer.example(&schema);
    }
}

/// Makes the example of a schema.
struct Composer<'a> {
    schemas: &'a Value,
    /// Whether what may be absent is shown where it has an example: in requests, not in answers.
    optional: bool,
}

impl Composer<'_> {
    /// `None` where a value that must be there has no example.
    fn example(&self, schema: &Value) -> Option<Value> {
        if let Some(example) = schema.get("example") {
            return Some(example.clone());
        }
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            return self.example(self.schemas.get(name.rsplit('/').next()?)?);
        }
        if let Some(either) = schema.get("oneOf").and_then(Value::as_array) {
            return either.iter().rev().find_map(|one| self.example(one));
        }
        if let Some(items) = schema.get("items") {
            return Some(Value::Array(vec![self.example(items)?]));
        }
        match schema.get("type")? {
            Value::String(kind) if kind == "object" => self.object(schema).map(Value::Object),
            Value::Array(kinds) if kinds.iter().any(|kind| kind == "null") => Some(Value::Null),
            _ => None,
        }
    }

    fn object(&self, schema: &Value) -> Option<Map<String, Value>> {
        let required = schema.get("required").and_then(Value::as_array);
        let needed = |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
        let mut object = Map::new();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if needed(name) {
                object.insert(name.clone(), self.example(property)?);
            } else if let Some(example) = self.example(property).filter(|one| self.optional && !one.is_null())
            {
                object.insert(name.clone(), example);
            }
        }
        Some(object)
    }
}
