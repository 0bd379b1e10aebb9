"""Serves Seattle's weather with datasette, syncs it with Tidemark, compares every number with SQL.

Started by demo-real.sh, which says what is needed. Only the standard library is used here.
"""

import contextlib
import csv
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REAL = HERE.parent.parent / ".tools" / "real"
TIDEMARK = os.environ["TIDEMARK_BINARY"]
PATIENCE = 120  # seconds until a start, a command or an update counts as missing
SHOWN = 3  # numbers shown of each answer, unless --all asks for all

STARTS = {
    "year": "substr(date, 1, 4) || '-01-01'",
    "month": "substr(date, 1, 4) || '-' || substr(date, 6, 2) || '-01'",
    "day": "replace(substr(date, 1, 10), '/', '-')",
}
# All measurements have one decimal, so SQL adds whole tenths and divides once: its own sums of
# doubles drift in the last digits.
RAIN = "sum(cast(round(precipitation * 10) as integer)) / 10.0"
MEAN = "sum(cast(round(temp * 10) as integer)) / (count(*) * 10.0)"

# What is asked: metric, granularity, dimension, and the same in SQL: table and value.
QUESTIONS = [
    ("rain", "month", "weather", "weather", RAIN),
    ("rain", "year", None, "weather", RAIN),
    ("hottest", "month", None, "weather", "max(temp_max)"),
    ("hottest", "year", None, "weather", "max(temp_max)"),
    ("coldest", "month", None, "weather", "min(temp_min)"),
    ("coldest", "year", None, "weather", "min(temp_min)"),
    ("days", "month", "weather", "weather", "count(*)"),
    ("days", "year", "weather", "weather", "count(*)"),
    ("mean_temperature", "day", None, "temps", MEAN),
    ("mean_temperature", "month", None, "temps", MEAN),
]


def load(path):
    """Copies both CSV files into a SQLite database, dates as they are written."""
    data = REAL / "vega_datasets" / "_data"
    sql = sqlite3.connect(path)
    sql.execute("create table weather (date text primary key, precipitation real,"
                " temp_max real, temp_min real, wind real, weather text)")
    sql.execute("create table temps (date text primary key, temp real)")
    for table, file in (("weather", "seattle-weather.csv"), ("temps", "seattle-temps.csv")):
        with open(data / file, newline="", encoding="utf-8") as lines:
            header, *rows = csv.reader(lines)
        marks = ", ".join("?" * len(header))
        sql.executemany(f"insert into {table} ({', '.join(header)}) values ({marks})", rows)
        print(f"{file}: {len(rows)} rows")
    sql.commit()
    return sql


class Child:
    """A process of ours whose output is read line by line; ended by its handle."""

    def __init__(self, name, command, environment):
        self.name, self.lines, self.more = name, [], threading.Condition()
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, text=True,
                                        errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            with self.more:
                self.lines = self.lines[-2000:] + [line.rstrip()]
                self.more.notify_all()
        with self.more:
            self.more.notify_all()

    def find(self, pattern):
        """Waits for a line that fits and returns its first group."""
        def look():
            return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)
        with self.more:
            self.more.wait_for(lambda: look() or self.process.poll() is not None, PATIENCE)
            found = look()
        if not found:
            sys.exit("\n".join([f"{self.name} did not start:"] + self.lines[-20:]))
        return found.group(1)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Hearing:
    """A plain NATS client: the protocol is text, so a socket will do."""

    def __init__(self, url, subject):
        host, port = url.removeprefix("nats://").rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.reader = self.socket.makefile("rb")
        self.reader.readline()  # INFO {…}
        self.socket.sendall(b'CONNECT {"verbose":false}\r\n' + f"SUB {subject} 1\r\nPING\r\n".encode())
        while self.reader.readline() != b"PONG\r\n":
            pass
        self.updates, self.more = {}, threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with contextlib.suppress(OSError, ValueError):
            self.socket.settimeout(None)
            while line := self.reader.readline():
                if line.startswith(b"PING"):
                    self.socket.sendall(b"PONG\r\n")
                elif line.startswith(b"MSG "):  # MSG subject sid size
                    update = json.loads(self.reader.read(int(line.split()[-1]) + 2))
                    with self.more:
                        self.updates.setdefault(update["metric"], update)
                        self.more.notify_all()

    def first(self, metric):
        """Waits for the first update of a metric."""
        with self.more:
            if not self.more.wait_for(lambda: metric in self.updates, PATIENCE):
                sys.exit(f"no update of {metric} was heard")
            return self.updates[metric]

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def numbers_of(answer, dimension):
    """What an answer holds, by start and member: values with the records behind them, and totals."""
    for series in answer["series"]:
        member = series["dimensions"].get(dimension)
        for point in series["points"]:
            if point["partial"]:
                sys.exit(f"{answer['metric']} of {point['start']} is marked partial")
            yield (point["start"][:10], member), (point["value"], point["count"])
        yield ("total", member), (series["total"], None)


def numbers_in(sql, granularity, dimension, table, value):
    """The same from SQL."""
    member = dimension or "null"
    start = STARTS[granularity]
    for start, member_of, number, count in sql.execute(
            f"select {start}, {member}, {value}, count(*) from {table} group by 1, 2"):
        yield (start, member_of), (number, count)
    for member_of, number in sql.execute(f"select {member}, {value} from {table} group by 1"):
        yield ("total", member_of), (number, None)


def compare(ours, truth, show_all):
    """Prints the numbers of both sides and returns how many there are and how many differ."""
    pairs = list(ours)
    ours, truth = dict(pairs), dict(truth)
    if len(pairs) != len(ours):
        sys.exit("one point came twice in an answer")
    places = sorted(ours.keys() | truth.keys(), key=lambda place: (place[0], place[1] or ""))
    differ = [place for place in places if place not in ours or ours[place] != truth.get(place)]
    shown = set(places if show_all else places[:SHOWN] + places[-1:] + differ[:20])
    nothing = ("nothing", None)
    for place in filter(shown.__contains__, places):
        (value, count), (number, rows) = ours.get(place, nothing), truth.get(place, nothing)
        verdict = "DIFFERS" if place in differ else "equal"
        if verdict == "DIFFERS" and count != rows:
            verdict += f" (of {count} records, of {rows} rows)"
        print(f"  {place[0]:10}  {place[1] or '':8} {value!s:>20} {number!s:>20}  {verdict}")
    if not show_all:
        print(f"  … {len(places)} numbers in all, {len(places) - len(differ)} equal")
    return len(places), len(differ)


def main(stack):
    show_all = "--all" in sys.argv[1:]
    own = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMARK_")}
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidemark-real-")))
    if not (REAL / "datasette").is_dir():
        sys.exit("datasette is not here yet: run `sh deploy/setup.sh real`")
    if not os.access(TIDEMARK, os.X_OK):
        sys.exit("tidemark is not built yet: run `cargo build -p tidemark`, or set TIDEMARK_BINARY")

    sql = load(folder / "real.db")
    stack.callback(sql.close)
    serve = [sys.executable, "-m", "datasette", "serve", str(folder / "real.db"), "--host", "127.0.0.1", "--port", "0"]
    datasette = Child("datasette", serve, {**own, "PYTHONPATH": str(REAL)})
    stack.callback(datasette.close)
    address = datasette.find(r"Uvicorn running on http://(\S+)")
    print(f"datasette: http://{address}")

    data = folder / "data"
    start = [TIDEMARK, "standalone", "--data", str(data), "--listen", "127.0.0.1:0", "--allow-host", address]
    own = {**own, "XDG_STATE_HOME": str(folder / "state")}
    own["TIDEMARK_NATS_SERVER"] = os.environ["TIDEMARK_NATS_SERVER"]
    house = Child("tidemark", start, own)
    stack.callback(house.close)
    nats, url = house.find(r"^nats: (\S+)"), house.find(r"^ready: (\S+)")
    print(f"tidemark: {url}, updates on {nats}\n")
    hearing = Hearing(nats, "tidemark.v1.default.update.>")
    stack.callback(hearing.close)

    client = {**own, "TIDEMARK_URL": url, "TIDEMARK_TOKEN": (data / "token").read_text().strip()}

    def tidemark(*arguments, text=None):
        done = subprocess.run([TIDEMARK, *arguments, "-o", "json"], env=client, input=text or "",
                              text=True, capture_output=True, timeout=PATIENCE)
        if done.returncode != 0:
            sys.exit(f"tidemark {' '.join(arguments)} failed: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    tidemark("apply", "-", text=(HERE / "real.yaml").read_text(encoding="utf-8").replace("127.0.0.1:8001", address))
    for metric, table in {question[0]: question[3] for question in QUESTIONS}.items():
        began = time.monotonic()
        run = tidemark("sync", metric, "--wait")
        print(f"sync {metric}: {run['state']}, {run['pages']} pages, {run['rows']} rows,"
              f" {run['rejected']} rejected, ended by {run['ended']}, {time.monotonic() - began:.1f} s")
        (rows,) = sql.execute(f"select count(*) from {table}").fetchone()
        if (run["state"], run["rows"], run["rejected"], run["partial"]) != ("final", rows, 0, False):
            sys.exit(f"sync {metric} was expected to bring {rows} rows: {run}")
    datasets = {item["dataset"] for metric in ("rain", "hottest", "coldest", "days")
                for item in tidemark("runs", metric)["items"]}
    if len(datasets) != 1:
        sys.exit(f"four metrics of one dataset were fetched as {datasets}")

    numbers = differences = 0
    for metric, granularity, dimension, table, value in QUESTIONS:
        group = ["--group-by", dimension] if dimension else []
        answer = tidemark("query", metric, "--range", "all_time", "--granularity", granularity, *group)
        parts = " and ".join(filter(None, (granularity, dimension)))
        print(f"\n{answer['title']}: {answer['aggregation']} per {parts}")
        print(f"  {'':19} {'tidemark':>20} {'sql':>20}")
        compared, differ = compare(
            numbers_of(answer, dimension), numbers_in(sql, granularity, dimension, table, value), show_all)
        numbers, differences = numbers + compared, differences + differ

    update = hearing.first("rain")
    change = update["changes"][0]
    day, kind = change["start"][:10], change["dimensions"]["weather"]
    truth = sql.execute("select precipitation from weather where date = ? and weather = ?",
                        (day.replace("-", "/"), kind)).fetchone()
    is_equal = truth is not None and truth[0] == change["value"]
    numbers, differences = numbers + 1, differences + (not is_equal)
    print(f"\nheard on tidemark.v1.default.update.rain: version {update['version']}, {day} {kind}"
          f" {change['value']} {update.get('unit') or change.get('unit') or ''}  {'equal' if is_equal else 'DIFFERS'}")

    print(f"\n{numbers} numbers compared, {numbers - differences} equal, {differences} different")
    return 1 if differences else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    with contextlib.ExitStack() as everything:
        code = main(everything)
    sys.exit(code)
