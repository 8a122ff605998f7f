//! What the columns of a statement are called.
//!
//! One without a name is called as it is written, `sum(amount)`: the engine's own name of it speaks of its plan. Columns of the same
//! name, which the engine refuses in a select, are told apart while planning; answers call the second `x_2`.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr as LogicalExpr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, SelectItem, SetExpr, Statement, VisitMut, VisitorMut,
};

use crate::encode::unique_names;

/// Of a name made of an expression's text.
const NAME_CHARS: usize = 60;

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

/// Gives every column that has no name the text it was written as.
pub(super) fn named(mut statement: Statement) -> Statement {
    let _: ControlFlow<()> = statement.visit(&mut Naming);
    statement
}

struct Naming;

impl VisitorMut for Naming {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let mut left = vec![query.body.as_mut()];
        while let Some(part) = left.pop() {
            match part {
                SetExpr::SetOperation { left: one, right: other, .. } => {
                    left.extend([one.as_mut(), other.as_mut()]);
                }
                SetExpr::Select(select) => select.projection.iter_mut().for_each(name_item),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

fn name_item(item: &mut SelectItem) {
    let SelectItem::UnnamedExpr(expr) = item else { return };
    let mut inner = &*expr;
    while let Expr::Nested(nested) = inner {
        inner = nested;
    }
    if !matches!(inner, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
        let alias = Ident::with_quote('"', written(inner));
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
    }
}

/// An expression as it is written: on one line, in lower case, cut to a length.
fn written(expr: &Expr) -> String {
    let text = expr.to_string().to_lowercase().replace(char::is_control, " ");
    let text: String = text.chars().take(NAME_CHARS).collect();
    text.trim_end().to_owned()
}

/// `plan` with `names` for its columns.
pub(super) fn renamed(plan: LogicalPlan, names: &[String]) -> Result<LogicalPlanBuilder, DataFusionError> {
    let columns: Vec<Column> = plan.schema().iter().map(Column::from).collect();
    let renamed = columns.into_iter().zip(names);
    let renamed = renamed.map(|(column, name)| LogicalExpr::Column(column).alias(name.as_str()));
    LogicalPlanBuilder::from(plan).project(renamed.collect::<Vec<_>>())
}

/// `plan` under the names that an answer shows, each once: what a statement over it can name.
pub(super) fn as_shown(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let fields = plan.schema().fields();
    let names = unique_names(fields.iter().map(|field| shown(field.name())));
    match fields.iter().zip(&names).all(|(field, name)| field.name() == name) {
        true => Ok(plan),
        false => renamed(plan, &names)?.build(),
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
