//! The start of a server that has many datasets, and its memory when nobody calls.

use std::time::Duration;

use reqwest::Method;
use reqwest::multipart::{Form, Part};

use crate::Failure;
use crate::lake::Lake;
use crate::process::Memory;
use crate::server::{Server, good};
use crate::sizes::Sizes;
use crate::table::{Figure, median, millis};

const CUSTOMERS: usize = 20;
const STARTS: usize = 3;

/// 6: on the lake with all its regions.
pub async fn with_datasets(lake: &Lake, sizes: &Sizes) -> Result<Vec<Figure>, Failure> {
    let server = lake.serve("").await?;
    upload(&server, sizes.datasets).await?;
    server.stop().await?;
    let (mut times, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let server = lake.serve("").await?;
        times.push(millis(server.ready_after));
        tokio::time::sleep(Duration::from_secs(5)).await;
        idle.push(Memory::now(server.pid()).all as f64);
        server.stop().await?;
    }
    let what = format!("start with {} datasets to ready", sizes.datasets);
    Ok(vec![
        Figure::times(&what, median(times), ("limit", 2_000.0), 1.0),
        Figure::bytes("idle memory of gateway and spare workers (Pss)", median(idle) as u64, 300_000_000),
    ])
}

async fn upload(server: &Server, datasets: usize) -> Result<(), Failure> {
    for customer in 0..CUSTOMERS {
        let key = server.customer(&format!("many_{customer}")).await?;
        for n in (customer..datasets).step_by(CUSTOMERS) {
            let file = Part::bytes(format!("day,sold\n2026-01-01,{n}\n").into_bytes()).file_name("sales.csv");
            let form = Form::new().text("name", format!("sales_{n}")).part("file", file);
            let request = server.http.request(Method::POST, server.url("/v1/datasets")).bearer_auth(&key);
            good(request.multipart(form).send().await?).await?;
        }
    }
    Ok(())
}
