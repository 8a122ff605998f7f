//! The functions a customer's statement may call: a list of names, nothing by default.
//!
//! Left out on purpose: what tells of files or of this build (`input_file_name`, `file_row_index`,
//! `version`, `arrow_metadata`), every table function, and whatever is not named here. What makes size out
//! of numbers or out of repetition is wrapped: the memory pool does not see inside a scalar function, and
//! with constant arguments it runs while planning.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

mod append;
mod capped;
mod digests;
mod gathered;
mod inner;
mod sizes;

pub(super) use capped::TOO_LARGE;
use sizes::Growth;

/// Scalar functions whose output is not longer than their input, or of a fixed size.
const PLAIN: &[&str] = &[
    // choice
    "nullif",
    "nvl",
    "nvl2",
    "coalesce",
    "greatest",
    "least",
    "arrow_typeof",
    "get_field",
    "arrow_cast",
    "arrow_try_cast",
    // numbers
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "cot",
    "degrees",
    "exp",
    "factorial",
    "floor",
    "gcd",
    "isnan",
    "iszero",
    "lcm",
    "ln",
    "log",
    "log2",
    "log10",
    "nanvl",
    "pi",
    "power",
    "radians",
    "random",
    "signum",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "round",
    "trunc",
    // times
    "current_date",
    "current_time",
    "now",
    "date_bin",
    "date_part",
    "date_trunc",
    "from_unixtime",
    "make_date",
    "make_time",
    "to_date",
    "to_local_time",
    "to_time",
    "to_unixtime",
    "to_timestamp",
    "to_timestamp_seconds",
    "to_timestamp_millis",
    "to_timestamp_micros",
    "to_timestamp_nanos",
    // text
    "ascii",
    "bit_length",
    "btrim",
    "chr",
    "ends_with",
    "lower",
    "ltrim",
    "octet_length",
    "rtrim",
    "split_part",
    "starts_with",
    "to_hex",
    "upper",
    "uuid",
    "contains",
    "character_length",
    "find_in_set",
    "initcap",
    "left",
    "reverse",
    "right",
    "strpos",
    "substr",
    "substr_index",
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "regexp_match",
    "digest",
    "md5",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    // lists
    "array_dims",
    "cardinality",
    "array_ndims",
    "array_except",
    "array_element",
    "array_pop_back",
    "array_pop_front",
    "array_slice",
    "array_any_value",
    "array_has",
    "array_has_all",
    "array_has_any",
    "empty",
    "array_length",
    "array_max",
    "array_min",
    "array_sort",
    "array_reverse",
    "array_distinct",
    "array_intersect",
    "array_position",
    "array_positions",
    "array_remove",
    "array_remove_all",
    "array_remove_n",
    "array_sum",
    "array_avg",
    "array_product",
    "array_compact",
    "map_extract",
    "map_keys",
    "map_values",
    "map_entries",
    "flatten",
];

/// Scalar functions that can make much out of little, and how much.
const GROWING: &[(&str, Growth)] = &[
    ("repeat", Growth::Times),
    ("lpad", Growth::Padded),
    ("rpad", Growth::Padded),
    ("replace", Growth::Replaced),
    ("regexp_replace", Growth::Matched),
    ("translate", Growth::Widened),
    ("overlay", Growth::Widened),
    ("concat", Growth::Sum),
    ("concat_ws", Growth::Separated),
    ("to_char", Growth::Widened),
    ("encode", Growth::Widened),
    ("decode", Growth::Widened),
    ("levenshtein", Growth::Product),
    ("array_to_string", Growth::Separated),
    ("string_to_array", Growth::Split),
    ("range", Growth::Counted),
    ("generate_series", Growth::Counted),
    ("array_repeat", Growth::Times),
    ("array_resize", Growth::Times),
    ("make_array", Growth::Sum),
    ("array_append", Growth::Sum),
    ("array_prepend", Growth::Sum),
    ("array_concat", Growth::Sum),
    ("array_union", Growth::Sum),
    ("array_replace", Growth::Filled),
    ("array_replace_n", Growth::Filled),
    ("array_replace_all", Growth::Filled),
    ("arrays_zip", Growth::Sum),
    ("struct", Growth::Sum),
    ("named_struct", Growth::Sum),
    ("map", Growth::Sum),
];

const AGGREGATES: &[&str] = &[
    "any_value",
    "array_agg",
    "first_value",
    "last_value",
    "covar_samp",
    "covar_pop",
    "corr",
    "sum",
    "max",
    "min",
    "median",
    "count",
    "regr_slope",
    "regr_intercept",
    "regr_count",
    "regr_r2",
    "regr_avgx",
    "regr_avgy",
    "regr_sxx",
    "regr_syy",
    "regr_sxy",
    "var",
    "var_pop",
    "stddev",
    "stddev_pop",
    "approx_median",
    "approx_distinct",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "percentile_cont",
    "string_agg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "avg",
    "grouping",
    "nth_value",
];

/// Aggregates that keep every value they see.
const GATHERING: &[&str] = &["string_agg", "array_agg"];

/// Aggregates that take as much room as their last argument says, and its place.
const DIGESTS: &[(&str, usize)] = &[("approx_percentile_cont", 2), ("approx_percentile_cont_with_weight", 3)];

const WINDOWS: &[&str] = &[
    "cume_dist",
    "row_number",
    "lead",
    "lag",
    "rank",
    "dense_rank",
    "percent_rank",
    "ntile",
    "first_value",
    "last_value",
    "nth_value",
];

/// The allowed functions, ready to be put into a session.
#[derive(Clone)]
pub(super) struct Functions {
    planners: Vec<Arc<dyn ExprPlanner>>,
    scalars: Vec<Arc<ScalarUDF>>,
    aggregates: Vec<Arc<AggregateUDF>>,
    windows: Vec<Arc<WindowUDF>>,
}

impl Functions {
    pub(super) fn allowed() -> Self {
        let scalars = scalars();
        let append = append::AppendPlanner::among(&scalars).map(|own| Arc::new(own) as Arc<dyn ExprPlanner>);
        // Ours comes first: the next one would plan `||` of lists with functions that are not capped.
        let planners = append.into_iter().chain(SessionStateDefaults::default_expr_planners()).collect();
        Self { planners, scalars, aggregates: aggregates(), windows: windows() }
    }

    pub(super) fn put_into(&self, builder: SessionStateBuilder) -> SessionStateBuilder {
        builder
            .with_expr_planners(self.planners.clone())
            .with_scalar_functions(self.scalars.clone())
            .with_aggregate_functions(self.aggregates.clone())
            .with_window_functions(self.windows.clone())
    }
}

fn scalars() -> Vec<Arc<ScalarUDF>> {
    let plain: HashSet<&str> = PLAIN.iter().copied().collect();
    let known = SessionStateDefaults::default_scalar_functions().into_iter();
    let allowed = known.filter_map(|function| {
        let growth = GROWING.iter().find(|(name, _)| *name == function.name());
        match growth {
            Some((_, growth)) => Some(capped::capped(function, *growth)),
            None => plain.contains(function.name()).then_some(function),
        }
    });
    allowed.chain(crate::functions::all()).collect()
}

fn aggregates() -> Vec<Arc<AggregateUDF>> {
    let known = SessionStateDefaults::default_aggregate_functions().into_iter();
    let allowed = known.filter(|function| AGGREGATES.contains(&function.name()));
    allowed.map(limited).collect()
}

fn limited(function: Arc<AggregateUDF>) -> Arc<AggregateUDF> {
    if GATHERING.contains(&function.name()) {
        return gathered::capped(function);
    }
    match DIGESTS.iter().find(|(name, _)| *name == function.name()) {
        Some((_, place)) => digests::capped(function, *place),
        None => function,
    }
}

fn windows() -> Vec<Arc<WindowUDF>> {
    let known = SessionStateDefaults::default_window_functions().into_iter();
    known.filter(|function| WINDOWS.contains(&function.name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(names: &[&str], found: &[String]) -> Vec<String> {
        names
            .iter()
            .filter(|name| !found.contains(&(**name).to_owned()))
            .map(|name| (*name).to_owned())
            .collect()
    }

    #[test]
    fn every_listed_function_exists() {
        let functions = Functions::allowed();
        let scalars: Vec<String> = functions.scalars.iter().map(|f| f.name().to_owned()).collect();
        let growing: Vec<&str> = GROWING.iter().map(|(name, _)| *name).collect();
        assert_eq!(missing(PLAIN, &scalars), Vec::<String>::new());
        assert_eq!(missing(&growing, &scalars), Vec::<String>::new());
        let aggregates: Vec<String> = functions.aggregates.iter().map(|f| f.name().to_owned()).collect();
        assert_eq!(missing(AGGREGATES, &aggregates), Vec::<String>::new());
        let windows: Vec<String> = functions.windows.iter().map(|f| f.name().to_owned()).collect();
        assert_eq!(missing(WINDOWS, &windows), Vec::<String>::new());
    }

    #[test]
    fn what_tells_of_files_or_of_the_build_is_not_there() {
        let functions = Functions::allowed();
        for name in ["input_file_name", "file_row_index", "version", "arrow_metadata", "with_metadata"] {
            assert!(
                functions.scalars.iter().all(|f| f.name() != name && !f.aliases().contains(&name.to_owned())),
                "{name}"
            );
        }
    }
}
