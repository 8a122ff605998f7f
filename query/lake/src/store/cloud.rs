//! Clients of S3, GCS and Azure with our own patience.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use crate::Error;

type Options = BTreeMap<String, String>;

/// The client for a bucket, not yet narrowed to the lake's prefix.
/// Errors: [`Error::Misconfigured`] for an unknown scheme or option.
pub(crate) fn client(url: &Url, options: &Options) -> Result<Arc<dyn ObjectStore>, Error> {
    let root = bucket(url)?;
    match url.scheme() {
        "s3" | "s3a" => {
            let new = AmazonS3Builder::from_env().with_url(root).with_client_options(limits());
            let new = new.with_conditional_put(S3ConditionalPut::ETagMatch).with_retry(retries());
            built(each::<AmazonS3ConfigKey, _>(options, new, AmazonS3Builder::with_config)?.build())
        }
        "gs" => {
            let new = GoogleCloudStorageBuilder::from_env().with_url(root).with_client_options(limits());
            let new = new.with_retry(retries());
            built(each::<GoogleConfigKey, _>(options, new, GoogleCloudStorageBuilder::with_config)?.build())
        }
        "az" | "azure" | "abfs" | "abfss" => {
            let new = MicrosoftAzureBuilder::from_env().with_url(root).with_client_options(limits());
            let new = new.with_retry(retries());
            built(each::<AzureConfigKey, _>(options, new, MicrosoftAzureBuilder::with_config)?.build())
        }
        other => Err(Error::Misconfigured(format!("lake url: no store for `{other}`"))),
    }
}

fn bucket(url: &Url) -> Result<String, Error> {
    if url.host_str().unwrap_or_default().is_empty() {
        return Err(Error::Misconfigured("lake url: no bucket".to_owned()));
    }
    let mut root = url.clone();
    root.set_path("");
    Ok(root.to_string())
}

fn each<K: FromStr, B>(options: &Options, mut builder: B, with: fn(B, K, String) -> B) -> Result<B, Error> {
    for (name, value) in options {
        let key = name.parse().map_err(|_| Error::Misconfigured(format!("lake option `{name}`")))?;
        builder = with(builder, key, value.clone());
    }
    Ok(builder)
}

fn built<S: ObjectStore>(store: object_store::Result<S>) -> Result<Arc<dyn ObjectStore>, Error> {
    match store {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) => Err(Error::Misconfigured(error.to_string())),
    }
}

/// No try begins after five seconds: a request's deadline must be able to contain them all. So many of them that a store
/// which refuses every third call is hardly noticed.
fn retries() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(1),
        base: 2.0,
    };
    RetryConfig { backoff, max_retries: 6, retry_timeout: Duration::from_secs(5) }
}

/// One call with its body; what is long is read and written in parts. The lake's options may say otherwise.
fn limits() -> ClientOptions {
    ClientOptions::new().with_connect_timeout(Duration::from_secs(3)).with_timeout(Duration::from_secs(3))
}
