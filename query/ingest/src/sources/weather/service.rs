//! The formats that weather services speak.

use url::Url;

use super::answer::Answer;
use super::archive::Grain;
use super::call::{self, Asked, Endpoint};
use super::mapped::Mapped;
use super::open_meteo;
use crate::lakefile::WeatherSpec;
use crate::sources::http::parse;
use crate::sources::{Place, SourceError};

/// How a service is asked and read.
pub enum Service {
    OpenMeteo { forecast: Url, archive: Url },
    Mapped(Mapped),
}

impl Service {
    /// The format of the lake's declaration.
    /// - Errors: [`SourceError::NotAllowed`] for an address that is no URL; [`SourceError::Refused`] without any.
    pub fn new(spec: &WeatherSpec) -> Result<Self, SourceError> {
        match (&spec.service, &spec.forecast_url, &spec.archive_url) {
            (Some(service), ..) => Mapped::new(service).map(Self::Mapped),
            (None, Some(forecast), Some(archive)) => {
                Ok(Self::OpenMeteo { forecast: parse(forecast)?, archive: parse(archive)? })
            }
            _ => Err(SourceError::refused("no service is declared")),
        }
    }

    /// Where it is asked.
    pub fn addresses(&self) -> Result<Vec<Url>, SourceError> {
        match self {
            Self::OpenMeteo { forecast, archive } => Ok(vec![forecast.clone(), archive.clone()]),
            Self::Mapped(mapped) => mapped.addresses(),
        }
    }

    /// The address of one call for these places, in their order, or of its page at `cursor`.
    /// - Errors: [`SourceError::Refused`] for what the service does not have.
    pub fn url(
        &self,
        endpoint: Endpoint,
        places: &[Place],
        asked: Asked,
        cursor: &str,
    ) -> Result<Url, SourceError> {
        match (self, endpoint) {
            (Self::OpenMeteo { forecast, .. }, Endpoint::Forecast) => Ok(call::url(forecast, places, asked)),
            (Self::OpenMeteo { archive, .. }, Endpoint::Archive) => Ok(call::url(archive, places, asked)),
            (Self::Mapped(mapped), _) => mapped.url(endpoint, places, asked, cursor),
        }
    }

    /// Whether a forecast of some days is one of whole UTC days, the present one the first.
    pub fn foresees_days(&self) -> bool {
        matches!(self, Self::OpenMeteo { .. })
    }

    /// The cursor of the page behind this one, which is the `page`th from 0; `None` behind the last.
    pub fn next(&self, answer: &[u8], page: u32) -> Result<Option<String>, SourceError> {
        match self {
            Self::OpenMeteo { .. } => Ok(None),
            Self::Mapped(mapped) => mapped.next(answer, page),
        }
    }

    /// What an answer says, place by place.
    /// - Errors: [`SourceError::Refused`] for one that cannot be read.
    pub fn read(&self, answer: &[u8], grain: Grain) -> Result<Vec<Answer>, SourceError> {
        match self {
            Self::OpenMeteo { .. } => open_meteo::read(answer),
            Self::Mapped(mapped) => mapped.read(answer, grain),
        }
    }

    /// Its own words in an answer that is an error.
    pub fn reason(&self, answer: &[u8]) -> Option<String> {
        match self {
            Self::OpenMeteo { .. } => open_meteo::reason(answer),
            Self::Mapped(_) => None,
        }
    }
}
