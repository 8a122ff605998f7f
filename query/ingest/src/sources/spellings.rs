//! What sources call a region otherwise than by its id, made one by data: a mapping and the gazetteer's own names.
//!
//! ```text
//! mappings/geo.aliases.csv ─▶ geo.aliases ─┐
//! regions.csv: ids and names ──────────────┴▶ Atlas, new with each version ─▶ the region of an event, or of a file's row
//! ```
//! The raw area keeps what came: regions are found when rows are made of it, by the mapping of that moment. So a changed
//! mapping holds for what comes from now on, and `rebuild --from raw` applies it to what has landed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use catalog::Catalog;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::col;
use datafusion::prelude::SessionContext;
use identity::{NameError, RegionId, TableName, normalize_name};
use lake::Lake;
use parking_lot::Mutex;

use super::regions::served;
use super::{SourceError, digest};
use crate::lakefile::{KnownPlace, Lakefile};

/// Longer texts are no names.
const LONGEST_BYTES: usize = 512;

/// The version of the mapping that was read, and what it gave.
type Known = (Option<i64>, Arc<Atlas>);

/// The mapping that the lake's definition names, read again only when it has a new version. Cheap to clone.
#[derive(Clone)]
pub struct Spellings {
    lakefile: Arc<Lakefile>,
    lake: Lake,
    catalog: Catalog,
    known: Arc<Mutex<Option<Known>>>,
}

impl Spellings {
    /// The spellings of this lake.
    pub fn new(lakefile: Arc<Lakefile>, lake: Lake, catalog: Catalog) -> Self {
        Self { lakefile, lake, catalog, known: Arc::default() }
    }

    /// What regions are called now.
    /// - Errors: [`SourceError::Raw`] when the mapping cannot be read.
    pub async fn now(&self) -> Result<Arc<Atlas>, SourceError> {
        let Some(table) = &self.lakefile.spellings else { return Ok(Arc::default()) };
        let version = self.catalog.moment().table(table).and_then(|t| t.version);
        if let Some((at, atlas)) = &*self.known.lock()
            && *at == version
        {
            return Ok(Arc::clone(atlas));
        }
        let (aliases, version) = self.aliases(table).await?;
        let atlas = Arc::new(Atlas::new(table, self.lakefile.gazetteer.places(), &aliases));
        *self.known.lock() = Some((version, Arc::clone(&atlas)));
        Ok(atlas)
    }

    /// What they were called when it was last read, where it cannot be read now: enough to judge what is only kept for later.
    /// - Errors: as [`Spellings::now`], where it never was.
    pub async fn latest(&self) -> Result<Arc<Atlas>, SourceError> {
        match self.now().await {
            Ok(atlas) => Ok(atlas),
            Err(error) => self.known.lock().as_ref().map(|(_, atlas)| Arc::clone(atlas)).ok_or(error),
        }
    }

    async fn aliases(&self, table: &TableName) -> Result<(Vec<Alias>, Option<i64>), SourceError> {
        let found = served(&self.lake, &self.catalog, table).await?;
        let Some((provider, version)) = found else { return Ok((Vec::new(), None)) };
        Ok((read(provider).await.map_err(lake::Error::from)?, Some(version)))
    }
}

/// A name and the place it names.
type Alias = (String, RegionId);

async fn read(table: Arc<dyn TableProvider>) -> Result<Vec<Alias>, DataFusionError> {
    let rows = SessionContext::new().read_table(table)?.select(vec![col("alias"), col("place")])?;
    let mut aliases = Vec::new();
    for batch in rows.collect().await? {
        let names = cast(batch.column(0), &DataType::Utf8)?;
        let places = cast(batch.column(1), &DataType::Utf8)?;
        let pairs = names.as_string::<i32>().iter().zip(places.as_string::<i32>());
        let pairs = pairs.filter_map(|(name, place)| Some((name?.to_owned(), RegionId::parse(place?).ok()?)));
        aliases.extend(pairs);
    }
    Ok(aliases)
}

/// Which region a text names, at one version of the mapping. The default one knows ids alone.
#[derive(Debug, Default)]
pub struct Atlas {
    /// Where further names can be added; `None` where only ids are taken.
    table: Option<TableName>,
    names: Names,
}

type Names = HashMap<Plain<'static>, Called>;

/// Who is called so.
#[derive(Debug)]
enum Called {
    One(RegionId),
    /// A name of several places names none of them.
    Several,
}

impl Atlas {
    fn new(table: &TableName, places: &[KnownPlace], aliases: &[Alias]) -> Self {
        // What is an id is never a name of another place, and an alias decides whom of several places a name means.
        let mut names = named(places.iter().map(|place| (place.name.as_str(), &place.region_id)));
        names.extend(named(aliases.iter().map(|(name, place)| (name.as_str(), place))));
        names.extend(named(places.iter().map(|place| (place.region_id.as_str(), &place.region_id))));
        Self { table: Some(table.clone()), names }
    }

    /// The region that a text names: a place's id, alias or name, whatever its case, accents, spaces and punctuation; else
    /// the id that it is.
    /// - Errors: why it names none, in words for whoever sent it.
    /// - Cost: an id takes one look, and nothing is made of it but itself.
    pub fn find(&self, text: &str) -> Result<RegionId, String> {
        if let Some(Called::One(place)) = self.called(text) {
            return Ok(place.clone());
        }
        let error = match RegionId::parse(text) {
            Ok(id) => return Ok(id),
            Err(error) => error,
        };
        let name = if text.len() > LONGEST_BYTES { String::new() } else { normalize_name(text) };
        match (self.called(&name), &self.table) {
            (Some(Called::One(place)), _) => Ok(place.clone()),
            (Some(Called::Several), Some(table)) => Err(format!(
                "`{}` is the name of several places; a line of `{table}` can say which is meant",
                error.given
            )),
            (_, Some(table)) => Err(format!(
                "`{}` names no region: it is no id, no name of the gazetteer and no alias of `{table}`",
                error.given
            )),
            (_, None) => Err(error.to_string()),
        }
    }

    /// The region of a text that was taken before, by a mapping that may have known more: it must not be lost, and must
    /// hold nobody up. What is no longer known is a region of its own, pending like any that an event names first. Its id is
    /// made of the text (`Milan Area`: `milan-area`), or of its digest where the text gives none.
    /// - Errors: an id of a digest that is none, which cannot be.
    pub fn settle(&self, text: &str) -> Result<RegionId, NameError> {
        self.find(text).or_else(|_| own(text))
    }

    /// Who is called so; `name` is an id, or normalized.
    fn called<'a>(&'a self, name: &'a str) -> Option<&'a Called> {
        let names: &HashMap<Plain<'a>, Called> = &self.names;
        names.get(&Plain(Cow::Borrowed(name)))
    }
}

fn named<'a>(pairs: impl Iterator<Item = (&'a str, &'a RegionId)>) -> Names {
    let mut names = Names::new();
    for (name, place) in pairs {
        let name = normalize_name(name);
        if name.is_empty() {
            continue;
        }
        let called = names.entry(Plain(Cow::Owned(name))).or_insert_with(|| Called::One(place.clone()));
        if !matches!(&*called, Called::One(known) if known == place) {
            *called = Called::Several;
        }
    }
    names
}

fn own(text: &str) -> Result<RegionId, NameError> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '-' | '_')).map(normalize_name);
    let id = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    RegionId::parse(&id).or_else(|_| {
        let digest = digest(normalize_name(text).as_bytes());
        RegionId::parse(&format!("unknown-{}", digest.get(..12).unwrap_or_default()))
    })
}

/// A name that is compared without its `-`: an id is one as it stands, so to look for it makes no text.
#[derive(Debug)]
struct Plain<'a>(Cow<'a, str>);

impl Plain<'_> {
    fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().filter(|byte| *byte != b'-')
    }
}

impl PartialEq for Plain<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes().eq(other.bytes())
    }
}

impl Eq for Plain<'_> {}

impl Hash for Plain<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes().for_each(|byte| state.write_u8(byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Atlas {
        /// The built-in gazetteer's places under these further names.
        pub(in crate::sources) fn with(aliases: &[(&str, &str)]) -> Self {
            let lakefile = Lakefile::builtin().unwrap();
            let alias = |(name, place): &(&str, &str)| ((*name).to_owned(), RegionId::parse(place).unwrap());
            let aliases: Vec<Alias> = aliases.iter().map(alias).collect();
            Self::new(&"geo.aliases".parse().unwrap(), lakefile.gazetteer.places(), &aliases)
        }
    }

    fn found(atlas: &Atlas, text: &str) -> String {
        atlas.find(text).unwrap().to_string()
    }

    #[test]
    fn a_place_is_found_by_its_id_its_name_and_its_aliases_however_they_are_spelled() {
        let atlas = Atlas::with(&[("Sampa", "br-sao-paulo"), ("Mole Region", "it-molise")]);
        for spelled in
            ["br-sao-paulo", "BR_Sao_Paulo", "São Paulo", "SaoPaulo", "SÃO-PAULO", "sampa", "s-ampa"]
        {
            assert_eq!(found(&atlas, spelled), "br-sao-paulo", "{spelled}");
        }
        // An id that nobody has is a new region, and an alias may name one that the gazetteer does not have.
        assert_eq!([found(&atlas, "us-bos"), found(&atlas, "MoleRegion")], ["us-bos", "it-molise"]);
    }

    #[test]
    fn what_names_nobody_is_refused_with_the_place_where_it_could_be_named() {
        let atlas = Atlas::with(&[]);
        for text in ["Nowhere Land", "../x", "", " ", "日本", "É\n"] {
            let told = atlas.find(text).unwrap_err();
            assert!(told.contains("names no region") && told.contains("`geo.aliases`"), "{told}");
            assert!(!told.contains('\n'), "{told}");
        }
        let long = atlas.find(&"São Paulo ".repeat(100)).unwrap_err();
        assert!(long.contains("names no region") && long.len() < 300, "{long}");
    }

    #[test]
    fn a_name_of_several_places_is_none_until_an_alias_says_whose_it_is() {
        let several = Atlas::with(&[("Twin", "it-lazio"), ("TWIN", "it-veneto")]);
        assert!(several.find("T win").unwrap_err().contains("several places"));
        assert_eq!(found(&several, "twin"), "twin", "as an id it can be a region of its own");
        let decided = Atlas::with(&[("Bayern", "de-hamburg"), ("de_bayern", "de-berlin")]);
        assert_eq!([found(&decided, "BAYERN"), found(&decided, "de-bayern")], ["de-hamburg", "de-bayern"]);
    }

    #[test]
    fn without_a_mapping_ids_alone_are_taken() {
        let atlas = Atlas::default();
        assert_eq!(found(&atlas, "br-sao-paulo"), "br-sao-paulo");
        assert!(atlas.find("São Paulo").unwrap_err().contains("a region id has"));
    }

    #[test]
    fn what_was_taken_and_is_no_longer_known_is_a_region_of_its_own() {
        let settled = |text: &str| Atlas::with(&[]).settle(text).unwrap().to_string();
        assert_eq!(settled("São Paulo"), "br-sao-paulo");
        assert_eq!([settled("Milan  Area"), settled("Ünder_Score")], ["milan-area", "under-score"]);
        let (tokyo, kyoto) = (settled("東京 都"), settled("京都"));
        assert!(tokyo.starts_with("unknown-") && tokyo != kyoto, "{tokyo} {kyoto}");
        assert_eq!(tokyo, settled("東京都"));
        assert!(settled(&"long ".repeat(90)).starts_with("unknown-"));
    }
}
