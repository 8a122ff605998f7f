//! Columns of the same name: the engine refuses them in a select, answers call the second `x_2`.

use std::collections::HashSet;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{Expr, Ident, SelectItem, SetExpr, Statement};

/// Between a name and the number that tells it apart while planning; no name of a customer has it.
const MARK: char = '\u{1}';

/// Whether planning failed because two columns have one name.
pub(super) fn is_duplicate(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::Plan(text) => text.contains("unique expression names"),
        DataFusionError::SchemaError(error, _) => matches!(
            error.as_ref(),
            SchemaError::DuplicateQualifiedField { .. }
                | SchemaError::DuplicateUnqualifiedField { .. }
                | SchemaError::AmbiguousReference { .. }
        ),
        _ => false,
    }
}

/// Gives every repeated column of the outermost select a name of its own, to be taken off by [`shown`].
pub(super) fn tell_apart(mut statement: Statement) -> Statement {
    if let Statement::Query(query) = &mut statement {
        let mut body = query.body.as_mut();
        // The names of `a UNION b` are those of a.
        while let SetExpr::SetOperation { left, .. } = body {
            body = left.as_mut();
        }
        if let SetExpr::Select(select) = body {
            rename(&mut select.projection);
        }
    }
    statement
}

fn rename(items: &mut [SelectItem]) {
    let star =
        items.iter().any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut seen = HashSet::new();
    for (at, item) in items.iter_mut().enumerate() {
        let (expr, name) = match item {
            SelectItem::UnnamedExpr(expr) => (expr.clone(), name(expr)),
            SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), alias.value.clone()),
            _ => continue,
        };
        // Beside a star every named column may be a repeated one.
        if !seen.insert(name.to_lowercase()) || star {
            let alias = Ident::with_quote('"', format!("{name}{MARK}{at}"));
            *item = SelectItem::ExprWithAlias { expr, alias };
        }
    }
}

fn name(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => name.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map(|name| name.value.clone()).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// The name a column is answered under, before repeated ones are numbered.
pub(super) fn shown(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}
