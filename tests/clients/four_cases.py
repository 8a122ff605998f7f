"""The four cases, walked with a client that a public generator made from `openapi/openapi.json`.

    four_cases.py URL KEY        the package `lakefront_client` stands in the working folder

Everything goes through the generated functions and models; what was answered is printed as one line of JSON.
"""

import json
import sys
import time
from datetime import date, timedelta
from io import BytesIO

sys.path.insert(0, ".")

from lakefront_client import AuthenticatedClient
from lakefront_client.api.analyses import put_analysis, run_analysis
from lakefront_client.api.datasets import upload_dataset
from lakefront_client.api.jobs import get_job
from lakefront_client.api.regions import region_market, region_summary, region_weather
from lakefront_client.api.sql import run_sql
from lakefront_client.api.tables import table_rows
from lakefront_client.models import (
    AnalysisBody,
    AnalysisKind,
    Grain,
    JobStatus,
    MarketGrain,
    MarketSeries,
    OneDataset,
    OneJob,
    Problem,
    RowsBody,
    Saved,
    SqlBody,
    SqlRows,
    SummaryBody,
    TableRowsFilters,
    UploadForm,
    UploadFormMode,
    WeatherSeries,
)
from lakefront_client.types import File

REGION = "us-ewr"
MONTHS = (
    "SELECT date_trunc('month', day) AS month, avg(air_temperature_mean) AS mean, count(*) AS days "
    "FROM weather.daily WHERE region_id = $1 GROUP BY 1"
)
OWN = b"region_id,day,own\nus-ewr,2013-03-10,7\nus-jfk,2013-03-10,8\n"
JOINED = (
    "SELECT z.region_id, z.own, a.visits, b.households, w.hours, m.price_close FROM my.zz z "
    "LEFT JOIN source_a.activity a ON a.region_id = z.region_id AND a.day = z.day "
    "LEFT JOIN source_b.profile b ON b.region_id = z.region_id AND b.valid_from <= z.day "
    "LEFT JOIN weather.daily w ON w.region_id = z.region_id AND w.day = z.day "
    "LEFT JOIN market.daily m ON m.region_id = z.region_id AND m.day = z.day "
    "WHERE z.day = $1 ORDER BY 1"
)


def told(answer, model):
    """The answer, which must be of this model."""
    assert isinstance(answer, model), f"{model.__name__} expected, not {answer}"
    return answer


def summary_of_a_region(client):
    answer = told(region_summary.sync(REGION, client=client, window="7d"), SummaryBody)
    summary = answer.data
    assert summary.region.timezone == "America/New_York"
    assert isinstance(summary.weather.latest.air_temperature_mean, float)
    assert summary.market.window.to - summary.market.window.from_ == timedelta(days=7)
    assert {"weather.daily", "market.daily"} <= {table.name for table in answer.meta.tables}
    latest = summary.market.latest
    return {"day": latest.day.isoformat(), "close": latest.price_close, "window": summary.market.window.price_mean}


def daily_series(client):
    march = {"client": client, "from_": "2013-03-01", "to": "2013-03-20", "grain": Grain.DAY}
    weather = told(region_weather.sync(REGION, **march), WeatherSeries)
    days = [row.day for row in weather.data]
    assert days == [date(2013, 3, 1) + timedelta(days=n) for n in range(19)], days
    assert weather.meta.grain == Grain.DAY and weather.meta.units.air_temperature == "degC"
    market = told(region_market.sync(REGION, **{**march, "grain": MarketGrain.DAY}), MarketSeries)
    hours = next(row.hours for row in weather.data if row.day == date(2013, 3, 10))
    return {"days": weather.meta.rows, "hours": hours, "closes": [row.price_close for row in market.data]}


def finished(client, job):
    """Polls a job until it has ended."""
    for _ in range(300):
        job = told(get_job.sync(job.data.id, client=client), OneJob)
        if job.data.status not in (JobStatus.QUEUED, JobStatus.RUNNING):
            return job.data
        time.sleep(0.2)
    raise AssertionError(f"job {job.data.id} did not end within a minute")


def stored_analysis(client):
    body = AnalysisBody(sql=MONTHS, kind=AnalysisKind.TABLE, params=[REGION])
    saved = told(put_analysis.sync("ewr_months", client=client, body=body), Saved)
    assert saved.data.kind == AnalysisKind.TABLE and saved.meta.run.startswith("/v1/jobs/")
    job = finished(client, told(run_analysis.sync("ewr_months", client=client), OneJob))
    assert job.status == JobStatus.SUCCEEDED, job
    assert job.result == "/v1/tables/my/ewr_months/rows"
    whole = TableRowsFilters.from_dict({"days": "gte.2"})
    rows = told(table_rows.sync("my", "ewr_months", client=client, order="month", filters=whole), RowsBody)
    assert [column.name for column in rows.meta.columns] == ["month", "mean", "days"]
    return [{"month": row["month"], "days": row["days"]} for row in rows.data]


def form():
    return UploadForm(name="zz", file=File(payload=BytesIO(OWN), file_name="zz.csv"), mode=UploadFormMode.CREATE)


def own_data_joined(client):
    dataset = told(upload_dataset.sync(client=client, body=form()), OneDataset).data
    assert (dataset.table, dataset.rows, dataset.rejects) == ("my.zz", 2, 0), dataset
    again = told(upload_dataset.sync(client=client, body=form()), Problem)
    assert (again.status, again.code) == (409, "name-taken"), again
    answer = told(run_sql.sync(client=client, body=SqlBody(sql=JOINED, params=["2013-03-10"])), SqlRows)
    assert not answer.meta.truncated
    return [row.to_dict() for row in answer.data]


def main(url, key):
    client = AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)
    cases = [summary_of_a_region, daily_series, stored_analysis, own_data_joined]
    print(json.dumps({case.__name__: case(client) for case in cases}))


main(*sys.argv[1:])
