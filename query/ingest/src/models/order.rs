//! The order models run in: each after those whose tables it reads.

use std::collections::BTreeSet;

use identity::TableName;

use super::Model;
use crate::lakefile::LakefileError;

/// The models, each after the ones it depends on.
/// - Errors: [`LakefileError::Model`] for a cycle, naming a model of it.
pub fn in_order(models: Vec<Model>) -> Result<Vec<Model>, LakefileError> {
    let mut waiting = models;
    let mut ordered: Vec<Model> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let open: BTreeSet<TableName> = waiting.iter().map(|m| m.table.clone()).collect();
        let (ready, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|m| m.upstream.is_disjoint(&open));
        if ready.is_empty() {
            let reason = "it depends on itself through other models".to_string();
            let (file, line) = cycle(&rest).unwrap_or_default();
            return Err(LakefileError::Model { file, line, reason });
        }
        ordered.extend(ready);
        waiting = rest;
    }
    Ok(ordered)
}

/// Where a model of a cycle names a table of it. Of models that all wait for one another, some only rest on the cycle; who
/// goes from each to one that it waits for comes upon the cycle itself.
fn cycle(waiting: &[Model]) -> Option<(String, usize)> {
    let next = |model: &Model| waiting.iter().find(|other| model.upstream.contains(&other.table));
    let (mut at, mut passed) = (waiting.first()?, BTreeSet::new());
    while passed.insert(&at.table) {
        at = next(at)?;
    }
    let named = next(at)?.table.to_string();
    Some((at.file.clone(), at.line_of(&named)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(table: &str, reads: &str) -> Model {
        let header = format!("/*---\ntable = \"{table}\"\nkey = []\nwindow = \"region\"\n---*/\n");
        Model::parse(&format!("{table}.sql"), &format!("{header}SELECT * FROM {reads}")).unwrap()
    }

    #[test]
    fn a_model_comes_after_what_it_reads() {
        let models = vec![model("x.c", "x.b"), model("x.b", "x.a"), model("x.a", "raw.r")];
        let order: Vec<String> = in_order(models).unwrap().iter().map(|m| m.table.to_string()).collect();
        assert_eq!(order, ["x.a", "x.b", "x.c"]);
    }

    #[test]
    fn a_cycle_is_an_error_at_one_of_its_models_and_not_at_what_rests_on_it() {
        let models = vec![model("x.c", "x.b"), model("x.b", "x.a"), model("x.a", "x.b")];
        let refused = in_order(models).unwrap_err().to_string();
        assert_eq!(refused, "model x.b.sql, line 6: it depends on itself through other models");
    }
}
