//! Any visible table by name: filters, order, pages that belong to one version.

use harness::Stack::{self, Postgres, Sqlite};
use harness::{Customer, Upload};
use rstest::rstest;
use serde_json::{Value, json};

use crate::shared::customer;

async fn with_people(stack: Stack) -> Option<Customer> {
    let acme = customer(stack, "acme").await?;
    let csv = "id,name,age,born\n1,Ann,30,1994-05-01\n2,Bob,25,1999-01-31\n3,Cem,,1980-12-12\n4,Dee,41,1983-07-07\n5,\"O'Hara, (x)\",25,1999-02-01\n";
    acme.upload("people", csv).await.created();
    Some(acme)
}

fn ids(answer: &Value) -> Vec<i64> {
    answer["data"].as_array().unwrap().iter().filter_map(|row| row["id"].as_i64()).collect()
}

#[rstest]
#[case("age=gte.30", &[1, 4])]
#[case("age=lt.30", &[2, 5])]
#[case("age=eq.25&id=gt.2", &[5])]
#[case("age=is.null", &[3])]
#[case("age=not.is.null", &[1, 2, 4, 5])]
#[case("name=in.(Ann,Dee)", &[1, 4])]
#[case("name=not.in.(Ann,Dee)", &[2, 3, 5])]
#[case("name=like.*e*", &[3, 4])]
#[case("name=ilike.a*", &[1])]
#[case("name=neq.Ann", &[2, 3, 4, 5])]
#[case("born=gte.1999-01-31", &[2, 5])]
#[case("or=(age.eq.41,name.eq.Bob)", &[2, 4])]
#[case("and=(age.gte.25,or(id.eq.1,id.eq.5))", &[1, 5])]
#[case("name=eq.O'Hara, (x)", &[5])]
#[tokio::test]
async fn a_filter_keeps_the_rows_it_names(#[case] filter: &str, #[case] expected: &[i64]) {
    let Some(acme) = with_people(Sqlite).await else { return };
    let answer = acme.get(&format!("/v1/tables/my/people/rows?order=id&{filter}")).await.ok();
    assert_eq!(ids(&answer), expected, "{filter}");
}

#[rstest]
#[case("age=gte.old", "invalid-parameter")]
#[case("nothing=eq.1", "unknown-parameter")]
#[case("age=about.3", "invalid-parameter")]
#[case("order=nothing.desc", "invalid-parameter")]
#[case("select=id,nothing", "invalid-parameter")]
#[case("limit=0", "invalid-parameter")]
#[case("limit=abc", "invalid-parameter")]
#[case("cursor=forged", "invalid-cursor")]
#[tokio::test]
async fn a_filter_that_cannot_be_is_refused_with_its_name(#[case] query: &str, #[case] code: &str) {
    let Some(acme) = with_people(Sqlite).await else { return };
    let answer = acme.get(&format!("/v1/tables/my/people/rows?{query}")).await;
    let problem = answer.problem(400, code);
    assert!(!problem.detail.is_empty());
}

#[rstest]
#[case("/v1/tables/my/people/rows?born=1999-01-31", 400, "write `born=eq.1999-01-31`")]
#[case("/v1/tables/my/people/rows?order=id.dsc", 400, "write `id.asc` or `id.desc`")]
#[case("/v1/tables/my/peopel/rows", 404, "Did you mean my.people?")]
#[case("/v1/tables/wether/daily/rows", 404, "Did you mean weather.daily?")]
#[case("/v1/tables/my/peopel", 404, "Did you mean my.people?")]
#[case("/v1/tables/wether/daily", 404, "Did you mean weather.daily?")]
#[case("/v1/regions/it-lombarida", 404, "no region `it-lombarida`. Did you mean it-lombardia?")]
#[case("/v1/regions/it-lombarida/summary", 404, "Did you mean it-lombardia?")]
#[case("/v1/regions/it-lombarida/market?grain=year", 404, "Did you mean it-lombardia?")]
#[case("/v1/weather?regions=it-lazio,it-lombarida", 404, "Did you mean it-lombardia?")]
#[case("/v1/regions/it-lombardia/market?grain=week", 400, "`grain` is day, month or year")]
#[case("/v1/market?regions=it-lombardia&grain=hour", 400, "`grain` is day, month or year")]
#[case("/v1/weather?regions=it-lombardia&grain=week", 400, "`grain` is hour, day, month or year")]
#[tokio::test]
async fn a_slip_is_told_what_would_do(#[case] path: &str, #[case] status: u16, #[case] told: &str) {
    let Some(acme) = with_people(Sqlite).await else { return };
    let detail = acme.get(path).await.status(status).json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains(told), "{detail}");
}

#[tokio::test]
async fn select_and_order_shape_the_answer() {
    let Some(acme) = with_people(Sqlite).await else { return };
    let answer = acme
        .get("/v1/tables/my/people/rows?select=name,id&age=not.is.null&order=age.desc,id.asc&limit=2")
        .await
        .ok();
    assert_eq!(answer["data"][0]["name"], "Dee");
    assert_eq!(answer["data"][0].as_object().unwrap().len(), 2);
}

#[rstest]
#[tokio::test]
async fn pages_are_complete_disjoint_and_stay_at_their_version(#[values(Sqlite, Postgres)] stack: Stack) {
    let Some(acme) = customer(stack, "acme").await else { return };
    let rows: String = (0..250).map(|n| format!("{n},{}\n", n % 7)).collect();
    acme.upload("many", &format!("id,bucket\n{rows}")).await.created();
    let mut seen = Vec::new();
    let mut path = "/v1/tables/my/many/rows?order=bucket.desc&limit=60".to_owned();
    for page in 0.. {
        let answer = acme.get(&path).await.ok();
        seen.extend(ids(&answer));
        if page == 0 {
            let more = Upload::new("many", "id,bucket\n999,6\n").field("mode", "append");
            assert!(acme.upload_form(more).await.status.is_success());
        }
        let Some(next) = answer["meta"]["next"].as_str() else { break };
        path = format!("/v1/tables/my/many/rows?order=bucket.desc&limit=60&cursor={next}");
        assert!(page < 10);
    }
    assert_eq!(seen.len(), 250);
    seen.sort_unstable();
    assert_eq!(seen, (0..250).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_cursor_of_another_question_is_refused() {
    let Some(acme) = with_people(Sqlite).await else { return };
    let first = acme.get("/v1/tables/my/people/rows?order=id&limit=2").await.ok();
    let next = first["meta"]["next"].as_str().unwrap().to_owned();
    let other = format!("/v1/tables/my/people/rows?order=name&limit=2&cursor={next}");
    acme.get(&other).await.problem(400, "invalid-cursor");
}

#[tokio::test]
async fn the_catalog_describes_a_table() {
    let Some(acme) = with_people(Sqlite).await else { return };
    let table = acme.get("/v1/tables/my/people").await.data();
    assert_eq!(
        (&table["schema"], &table["table"], &table["kind"]),
        (&json!("my"), &json!("people"), &json!("dataset"))
    );
    assert_eq!(table["columns"].as_array().unwrap().len(), 4);
    let tables = acme.get("/v1/tables").await.data();
    let names: Vec<_> = tables
        .as_array()
        .unwrap()
        .iter()
        .map(|t| format!("{}.{}", t["schema"].as_str().unwrap(), t["table"].as_str().unwrap()))
        .collect();
    for name in
        ["my.people", "geo.regions", "weather.daily", "market.daily", "source_a.activity", "source_b.profile"]
    {
        assert!(names.iter().any(|n| n == name), "{name} is not in {names:?}");
    }
}

#[tokio::test]
async fn an_unchanged_table_is_answered_304() {
    let Some(acme) = with_people(Sqlite).await else { return };
    let path = "/v1/tables/my/people/rows?order=id";
    let first = acme.get(path).await.status(200);
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    let again = acme.get_if_changed(path, &tag).await.status(304);
    assert!(again.body.is_empty());
    assert!(
        acme.upload_form(
            Upload::new("people", "id,name,age,born\n6,Eve,1,2020-01-01\n").field("mode", "append")
        )
        .await
        .status
        .is_success()
    );
    let changed = acme.get_if_changed(path, &tag).await.status(200);
    assert_ne!(changed.header("etag"), tag);
}
