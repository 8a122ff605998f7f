//! The verbs and their arguments. Secrets are never arguments: they come from files or the environment.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, Utc};
use clap::{Args, Parser, Subcommand};

use crate::config::Listen;

/// The front of a data lake: region aggregates over REST, and customers' own data joined with them.
#[derive(Parser)]
#[command(name = "lakefront", version)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Makes a sample lake with simulated sources, serves it, and prints what to try
    Demo(DemoArgs),
    /// Serves the lake of a configuration
    Serve(ServeArgs),
    /// Brings the catalog database to this program's schema
    Migrate(ConfigArgs),
    /// Judges a configuration without starting anything
    Check(ConfigArgs),
    /// Runs customers' tasks; started by the gateway
    #[command(hide = true)]
    Worker,
    /// Lands what a source has now, or computes a model anew
    Run(RunArgs),
    /// Fills past days of a source from its archive
    Backfill(BackfillArgs),
    /// Computes every model of the lake anew from its inputs, or everything after the raw area
    Rebuild(RebuildArgs),
    /// Tells what the lake holds, what is late, why, and what to do; ends with 2 when something is
    Status(ConfigArgs),
    /// Customers
    #[command(subcommand)]
    Customer(CustomerVerb),
    /// API keys
    #[command(subcommand)]
    Key(KeyVerb),
    /// Prints the OpenAPI document
    Openapi,
}

#[derive(Args)]
pub struct DemoArgs {
    /// Folder of everything the demo makes
    #[arg(long, value_name = "DIR", default_value = ".lakefront")]
    pub data: PathBuf,
    /// Address to listen on, such as localhost:8080 [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<Listen>,
    /// Regions of the lake
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub regions: u32,
    /// Years of daily weather and market
    #[arg(long, value_name = "Y", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub years: u32,
    /// Further settings, also as LAKEFRONT__SECTION__KEY; the demo's own folders go before
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Args)]
pub struct ServeArgs {
    /// Address to listen on; goes before server.listen
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<Listen>,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Args)]
pub struct ConfigArgs {
    /// TOML file; every key also as LAKEFRONT__SECTION__KEY
    #[arg(long, value_name = "FILE", env = "LAKEFRONT_CONFIG")]
    pub config: Option<PathBuf>,
}

#[derive(Args)]
pub struct RunArgs {
    /// A source (a, b, c, d, history), a model's table (weather.daily) or `maintenance`
    pub name: String,
    /// As if it were that day (UTC)
    #[arg(long, value_name = "DATE")]
    pub r#for: Option<NaiveDate>,
    /// The same key is the same run: `schedule:NAME:PLANNED` is that of a schedule
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Args)]
pub struct BackfillArgs {
    /// A source with an archive (c)
    pub source: String,
    /// First day
    #[arg(long, value_name = "DATE")]
    pub from: NaiveDate,
    /// Last day
    #[arg(long, value_name = "DATE")]
    pub to: NaiveDate,
    /// Asks for all of these days, also for those that are there
    #[arg(long)]
    pub again: bool,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Args)]
pub struct RebuildArgs {
    /// `raw`: empties every table and fills it again from the bytes that came; no server may have the lake
    #[arg(long, value_name = "AREA", value_parser = ["raw"])]
    pub from: Option<String>,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Subcommand)]
pub enum CustomerVerb {
    /// Lists customers
    List {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Adds a customer with a workspace and a first key
    Add {
        /// Name for people, such as "Initech Ltd."
        name: String,
        /// Schema name of the workspace; the name, if it can be one
        #[arg(long, value_name = "SLUG")]
        workspace: Option<String>,
        /// Scopes of the first key, of read, write and admin, with commas between
        #[arg(long, default_value = "read,write")]
        scopes: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Lets a suspended customer in again; a running server follows within 5 s
    Reinstate {
        /// Slug of its workspace, as `customer list` tells it
        name: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
}

#[derive(Subcommand)]
pub enum KeyVerb {
    /// Lists the keys of a workspace, without their secrets
    List {
        /// Slug of the workspace, as `customer list` tells it
        #[arg(long, value_name = "SLUG")]
        workspace: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Makes a key of a workspace and shows it once
    Create {
        /// Slug of the workspace, as `customer list` tells it
        #[arg(long, value_name = "SLUG")]
        workspace: String,
        /// Of read, write and admin, with commas between
        #[arg(long, default_value = "read")]
        scopes: String,
        /// A note for people
        #[arg(long, value_name = "TEXT", default_value = "")]
        label: String,
        /// RFC 3339, such as 2027-01-31T00:00:00Z; never, if absent
        #[arg(long, value_name = "INSTANT")]
        expires_at: Option<DateTime<Utc>>,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Revokes a key of a workspace
    Revoke {
        /// Id of the key, as `key list` tells it
        id: String,
        /// Slug of the workspace, as `customer list` tells it
        #[arg(long, value_name = "SLUG")]
        workspace: String,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Writes a new signing key (Ed25519, PKCS 8) to a file
    Signing {
        /// File to make, readable by its owner only; one that is there is left alone
        file: PathBuf,
    },
}
