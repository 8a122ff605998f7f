//! The size of a statement, counted on its syntax tree before it is planned.
//!
//! Caps of `security.md` 2.7: 500 nested or chained expression nodes, 32 joins, 32 CTEs, 64 set
//! operations, 16 grouping sets; beside them what those leave open: how many tables remain after every
//! CTE and view is written out where it is used (a chain of CTEs that join themselves doubles each time).

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, GroupByWithModifier, Ident, ObjectName, Query, Select, SetExpr, TableFactor,
    TableWithJoins, Value, ValueWithSpan, Visitor,
};
use worker::Refusal;

use super::refuse::{not_read_only, too_complex};
use super::statement::writes;

const DEPTH: usize = 500;
const JOINS: usize = 32;
const CTES: usize = 32;
const SET_OPERATIONS: usize = 64;
const GROUPING_SETS: u64 = 16;
const WEIGHT: u64 = 512;
const PARAMS: usize = 1_000;

/// Functions whose answer may differ for an equal question.
const VOLATILE: [&str; 11] = [
    "now",
    "current_timestamp",
    "current_date",
    "current_time",
    "today",
    "localtime",
    "localtimestamp",
    "random",
    "uuid",
    "gen_random_uuid",
    "rand",
];

/// What the rest of the sandbox wants to know of a statement.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shape {
    pub params: usize,
    pub volatile: bool,
    pub weight: u64,
}

type Step = ControlFlow<Box<Refusal>>;

/// One query being walked: its CTEs by name, and the tables it stands for so far.
#[derive(Default)]
struct Level {
    ctes: HashMap<String, u64>,
    /// CTE bodies by address, until they have been walked.
    bodies: HashMap<usize, String>,
    weight: u64,
}

/// Counts while the tree is walked, and stops at the first cap.
pub(super) struct Walk<'a> {
    weight: &'a dyn Fn(&str) -> u64,
    levels: Vec<Level>,
    depth: usize,
    joins: usize,
    ctes: usize,
    set_operations: usize,
    shape: Shape,
}

impl<'a> Walk<'a> {
    pub(super) fn new(weight: &'a dyn Fn(&str) -> u64) -> Self {
        let levels = vec![Level::default()];
        Self { weight, levels, depth: 0, joins: 0, ctes: 0, set_operations: 0, shape: Shape::default() }
    }

    /// The finished shape. Errors: too many tables once everything is written out.
    pub(super) fn end(mut self) -> Result<Shape, Refusal> {
        self.shape.weight = self.levels.pop().unwrap_or_default().weight;
        match self.shape.weight > WEIGHT {
            true => Err(too_many(WEIGHT as usize, "tables, once its CTEs and views are written out")),
            false => Ok(self.shape),
        }
    }

    fn add_joins(&mut self, tables: &TableWithJoins) -> Step {
        self.joins += tables.joins.len();
        cap(self.joins, JOINS, "joins")
    }

    fn select(&mut self, select: &Select) -> Step {
        if select.into.is_some() {
            return ControlFlow::Break(Box::new(not_read_only()));
        }
        self.joins += select.from.len().saturating_sub(1);
        select.from.iter().try_for_each(|tables| self.add_joins(tables))?;
        match grouping_sets(&select.group_by) > GROUPING_SETS {
            true => ControlFlow::Break(Box::new(too_many(GROUPING_SETS as usize, "grouping sets"))),
            false => ControlFlow::Continue(()),
        }
    }

    /// Walks `a UNION b UNION c …`, which is a list written as a deep tree.
    fn body(&mut self, body: &SetExpr) -> Step {
        let mut left = vec![body];
        while let Some(part) = left.pop() {
            match part {
                SetExpr::SetOperation { left: one, right: other, .. } => {
                    self.set_operations += 1;
                    cap(self.set_operations, SET_OPERATIONS, "set operations")?;
                    left.extend([one.as_ref(), other.as_ref()]);
                }
                SetExpr::Select(select) => self.select(select)?,
                SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                    return ControlFlow::Break(Box::new(not_read_only()));
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    /// Opens a level for the query's own CTEs; the CTEs of the levels around it stay visible.
    fn open(&mut self, query: &Query) -> Step {
        let with = query.with.as_ref();
        if with.is_some_and(|with| with.recursive) {
            return ControlFlow::Break(Box::new(Refusal::new(
                "invalid-sql",
                "recursive queries are not offered",
            )));
        }
        let ctes = with.map_or(&[][..], |with| &with.cte_tables);
        self.ctes += ctes.len();
        let body =
            |cte: &datafusion::sql::sqlparser::ast::Cte| (address(&cte.query), folded(&cte.alias.name));
        self.levels.push(Level { bodies: ctes.iter().map(body).collect(), ..Level::default() });
        cap(self.ctes, CTES, "CTEs")
    }

    /// Closes it: a CTE's weight is kept under its name, any other query's goes to the query around it.
    fn close(&mut self, query: &Query) {
        let weight = self.levels.pop().unwrap_or_default().weight;
        let Some(around) = self.levels.last_mut() else { return };
        match around.bodies.remove(&address(query)) {
            // One without any table is still planned wherever it is named.
            Some(name) => drop(around.ctes.insert(name, weight.max(1))),
            None => around.weight = around.weight.saturating_add(weight),
        }
    }

    fn relation(&mut self, name: &ObjectName) {
        let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
        let cte = match parts.as_slice() {
            [one] => self.levels.iter().rev().find_map(|level| level.ctes.get(one)).copied(),
            _ => None,
        };
        let weight = cte.unwrap_or_else(|| (self.weight)(&parts.join(".")));
        if let Some(level) = self.levels.last_mut() {
            level.weight = level.weight.saturating_add(weight);
        }
    }
}

impl Visitor for Walk<'_> {
    type Break = Box<Refusal>;

    fn pre_visit_query(&mut self, query: &Query) -> Step {
        if writes(query) {
            return ControlFlow::Break(Box::new(not_read_only()));
        }
        self.open(query)?;
        self.body(&query.body)
    }

    fn post_visit_query(&mut self, query: &Query) -> Step {
        self.close(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> Step {
        self.relation(relation);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Step {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => self.add_joins(table_with_joins),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Step {
        self.depth += 1;
        if let Expr::Function(function) = expr {
            // Without its quotes: `"random"()` is `random()`.
            let name = function
                .name
                .0
                .last()
                .and_then(|part| part.as_ident())
                .map(|ident| ident.value.to_ascii_lowercase());
            self.shape.volatile |= name.is_none_or(|name| VOLATILE.contains(&name.as_str()));
        }
        cap(self.depth, DEPTH, "expressions nested or chained")
    }

    fn post_visit_expr(&mut self, _: &Expr) -> Step {
        self.depth = self.depth.saturating_sub(1);
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> Step {
        let Value::Placeholder(name) = &value.value else { return ControlFlow::Continue(()) };
        match name
            .strip_prefix('$')
            .and_then(|n| n.parse::<usize>().ok())
            .filter(|n| (1..=PARAMS).contains(n))
        {
            Some(number) => self.shape.params = self.shape.params.max(number),
            None => {
                return ControlFlow::Break(Box::new(Refusal::new(
                    "invalid-sql",
                    "parameters are written $1, $2, …",
                )));
            }
        }
        ControlFlow::Continue(())
    }
}

/// How many groupings a GROUP BY stands for: CUBE of n is 2^n of them.
fn grouping_sets(group_by: &GroupByExpr) -> u64 {
    let (exprs, modifiers) = match group_by {
        GroupByExpr::All(modifiers) => (&[][..], modifiers),
        GroupByExpr::Expressions(exprs, modifiers) => (exprs.as_slice(), modifiers),
    };
    let modified = modifiers.iter().map(|modifier| match modifier {
        GroupByWithModifier::Cube => two_to(exprs.len()),
        GroupByWithModifier::Rollup => exprs.len() as u64 + 1,
        GroupByWithModifier::GroupingSets(expr) => sets(expr),
        GroupByWithModifier::Totals => 2,
    });
    exprs.iter().map(sets).chain(modified).fold(1, u64::saturating_mul)
}

fn sets(expr: &Expr) -> u64 {
    match expr {
        Expr::Cube(columns) => two_to(columns.len()),
        Expr::Rollup(columns) => columns.len() as u64 + 1,
        Expr::GroupingSets(sets) => sets.len() as u64,
        _ => 1,
    }
}

fn two_to(n: usize) -> u64 {
    u32::try_from(n).ok().and_then(|n| 1_u64.checked_shl(n)).unwrap_or(u64::MAX)
}

fn cap(count: usize, most: usize, what: &str) -> Step {
    match count > most {
        true => ControlFlow::Break(Box::new(too_many(most, what))),
        false => ControlFlow::Continue(()),
    }
}

fn too_many(most: usize, what: &str) -> Refusal {
    too_complex(format!("it has more than {most} {what}"))
}

fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

/// A name as the planner compares it.
fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}
