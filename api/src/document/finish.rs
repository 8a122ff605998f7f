//! Last touches to the whole document: what utoipa writes down twice, too widely or not at all.

use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{Array, ArrayItems, OneOf, Schema, SchemaType, Type};
use utoipa::openapi::{Components, ContentBuilder, OpenApi, Ref, RefOr, Required, Response};

use super::{examples, operations};

/// Other formats of an answer in rows, beside JSON.
const FORMATS: [&str; 4] = [
    "application/x-ndjson",
    "text/csv",
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
];

/// Finishes a document in which every route stands.
pub fn finish(document: &mut OpenApi) {
    if let Some(components) = &mut document.components {
        share(components);
        components.schemas.get_mut("UploadForm").into_iter().for_each(no_nulls_within);
    }
    for item in document.paths.paths.values_mut() {
        operations(item).into_iter().for_each(|(_, operation)| tidy(operation));
    }
    examples::add(document);
}

/// `One<T>` and `List<T>` bring a copy of the schema of `T` along; a client should know it as `T`.
fn share(components: &mut Components) {
    let plain = components.schemas.iter().filter(|(name, _)| !name.contains('_'));
    let named: Vec<_> =
        plain.map(|(name, schema)| (schema.clone(), RefOr::Ref(Ref::from_schema_name(name)))).collect();
    for schema in components.schemas.values_mut() {
        if let RefOr::T(Schema::Object(object)) = schema {
            object.properties.values_mut().for_each(|property| refer(property, &named));
        }
    }
}

fn refer(schema: &mut RefOr<Schema>, named: &[(RefOr<Schema>, RefOr<Schema>)]) {
    if let RefOr::T(Schema::Array(Array { items: ArrayItems::RefOrSchema(items), .. })) = schema {
        return refer(items, named);
    }
    if let Some((_, reference)) = named.iter().find(|(same, _)| same == schema) {
        *schema = reference.clone();
    }
}

fn tidy(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(Parameter { schema: Some(schema), .. }) = parameter {
            no_null(schema);
        }
    }
    operation.request_body.iter_mut().for_each(may_be_absent);
    let many = operation.parameters.iter().flatten().any(is_format);
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            describe(status, response);
            if many && status == "200" {
                add_formats(response);
            }
        }
    }
}

/// Headers, parameters and fields of forms are absent or text, but never null.
fn no_null(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            if let SchemaType::Array(types) = &object.schema_type
                && let [one] = types.iter().filter(|one| **one != Type::Null).collect::<Vec<_>>()[..]
            {
                object.schema_type = SchemaType::Type(one.clone());
            }
            object.enum_values.iter_mut().for_each(|words| words.retain(|word| !word.is_null()));
        }
        RefOr::T(Schema::OneOf(either)) => {
            if let Some(schema_) = not_null(either) {
                *schema = schema_;
            }
        }
        _ => {}
    }
}

fn no_nulls_within(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(object)) = schema {
        object.properties.values_mut().for_each(no_null);
    }
}

/// The other of two, where one is null.
fn not_null(either: &OneOf) -> Option<RefOr<Schema>> {
    let is_null = |schema: &&RefOr<Schema>| match schema {
        RefOr::T(Schema::Object(object)) => object.schema_type == SchemaType::Type(Type::Null),
        _ => false,
    };
    either.items.iter().find(|schema| !is_null(schema)).cloned()
}

/// A body of an optional type may be left out; it is not `null`.
fn may_be_absent(body: &mut RefOr<RequestBody>) {
    let RefOr::T(body) = body else { return };
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content
            && let Some(RefOr::T(Schema::OneOf(either))) = &content.schema
            && either.items.len() == 2
            && let Some(schema) = not_null(either)
        {
            content.schema = Some(schema);
            body.required = Some(Required::False);
        }
    }
}

fn is_format(parameter: &RefOr<Parameter>) -> bool {
    matches!(parameter, RefOr::T(parameter) if parameter.name == "format")
}

fn add_formats(response: &mut Response) {
    for format in FORMATS {
        response.content.insert(format.to_owned(), RefOr::T(ContentBuilder::new().build()));
    }
}

/// Every response has a description, as OpenAPI asks.
fn describe(status: &str, response: &mut Response) {
    if response.description.is_empty() {
        response.description = match status {
            "201" => "Made",
            "202" => "Still at work",
            _ => "The answer",
        }
        .to_owned();
    }
}
