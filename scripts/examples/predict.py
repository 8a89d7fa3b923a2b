#!/usr/bin/env python3
"""An example engine: reads a stream of numbers, predicts each next value by
exponential smoothing, and publishes the predictions as a stream of their own,
whose manifest names the source as its target.

    predict.py STREAM                 history first, then live, until it is ended
    predict.py STREAM --once          what is there now; then says how good it was
    predict.py STREAM --once --table  and the last rows as a table (needs pandas)

Record k of the predictions is what records 0 to k of the source say about
record k + 1. So the two streams are all the state there is: the last
prediction is what the smoothing remembers, and the number of predictions says
where to go on. The engine, or the node, may be killed at any moment; and a
prediction is published only if it gets its own index (`expect_size`), so that
none is published twice, not even by two engines at once.

Needs Python 3.9 and nothing else, except pandas for --table.
"""

import argparse
import datetime
import http.client
import json
import math
import os
import pathlib
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

# Predictions of the history that are published together.
BATCH = 500
# A live stream says something every 15 s, if only that it lives.
SILENCE_S = 60
PAUSES_S = (0.1, 0.3, 1.0, 3.0)
# Refusals that a later attempt may not meet: a conflict, or too much to do.
PASSING = (409, 429, 500, 503, 507)
# What a lost connection looks like.
BROKEN = (OSError, http.client.HTTPException)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class Lost(Exception):
    """The node does not answer; it may come back."""


class Refused(Exception):
    """The node has answered with an error."""

    def __init__(self, status, detail):
        super().__init__(detail)
        self.status = status


class Node:
    """A node, over its HTTP API."""

    def __init__(self, arguments):
        self.api = arguments.api
        self.data_dir = pathlib.Path(arguments.data_dir)
        # A proxy is for the world outside.
        self.http = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def request(self, method, path, body=None, timeout=SILENCE_S):
        url = self.address() + path
        # Reading needs it, too, where the node is told so.
        headers = {"Authorization": f"Bearer {self.token()}"}
        if body is not None:
            headers["Content-Type"] = "application/x-ndjson"
        request = urllib.request.Request(url, body, headers, method=method)
        try:
            return self.http.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            raise Refused(error.code, detail_of(error)) from None
        except BROKEN as error:
            raise Lost(f"no answer from {url}: {error}") from None

    def json(self, method, path, body=None):
        with self.request(method, path, body) as answer:
            try:
                return json.loads(answer.read())
            except (*BROKEN, ValueError) as error:
                raise Lost(f"the answer was cut off: {error}") from None

    def lines(self, path):
        """The lines of an answer, as they come."""
        with self.request("GET", path) as answer:
            try:
                for line in answer:
                    yield line.decode().rstrip("\r\n")
            except BROKEN as error:
                raise Lost(f"the connection is lost: {error}") from None

    def address(self):
        """Where the API listens: a node that was started again may be elsewhere."""
        if self.api:
            return self.api.rstrip("/")
        try:
            return "http://" + (self.data_dir / "api.addr").read_text().strip()
        except OSError:
            raise Lost(f"no node runs on {self.data_dir}") from None

    def token(self):
        from_environment = os.environ.get("HEADWATER_API_TOKEN")
        return from_environment or (self.data_dir / "token").read_text().strip()


def detail_of(error):
    try:
        return json.loads(error.read())["detail"]
    except (*BROKEN, ValueError, KeyError):
        return str(error)


class Smoothing:
    """Exponential smoothing: the next value is expected where the level is."""

    def __init__(self, alpha, level=None):
        self.alpha = alpha
        self.level = level

    def predict_next(self, value):
        if value is None:
            # Nothing is learnt from what is no number.
            self.level = self.level or 0.0
        elif self.level is None:
            self.level = value
        else:
            self.level = self.alpha * value + (1 - self.alpha) * self.level
        return self.level


def number(token):
    """A value; None for what a publisher signed although it is no number."""
    try:
        value = float(token)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def micros(text):
    """Microseconds since 1970; the node writes them where RFC 3339 cannot."""
    if isinstance(text, int):
        return text
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment - EPOCH) // datetime.timedelta(microseconds=1)


def observations(node, stream, **query):
    query = urllib.parse.urlencode({"format": "ndjson", **query})
    for line in node.lines(f"/v1/streams/{stream}/observations?{query}"):
        yield json.loads(line)


def live(node, stream, first):
    """Every observation from an index on, as it comes (Server-Sent Events)."""
    event = {}
    for line in node.lines(f"/v1/streams/{stream}/live?from={first}"):
        field, _, text = line.partition(":")
        if line:
            event[field] = text.removeprefix(" ")
            continue
        if event.get("event") == "error":
            raise Refused(410, json.loads(event["data"])["detail"])
        if "data" in event:
            yield json.loads(event["data"])
        event = {}
    raise Lost("the node has ended the stream")


def prediction_stream(node, source, arguments):
    """The stream of predictions: the one that is there, or a new one."""
    made_by = f"predict.py: exponential smoothing, alpha={arguments.alpha!r}"
    mine = [
        (stream["created"], stream["id"])
        for stream in node.json("GET", "/v1/streams")
        if stream["role"] == "publisher"
        and stream["target"] == source["id"]
        and stream["source"] == made_by
    ]
    if mine:
        return min(mine)[1]
    new = {
        "name": arguments.name or f"{source['name']}-predicted",
        "description": "record k predicts record k + 1 of the target",
        "source": made_by,
        "target": source["id"],
        "unit": source["unit"],
        "cadence_us": source["cadence_us"] or 0,
    }
    try:
        # Another engine may do so at the same moment: then it is one stream.
        node.json("POST", "/v1/streams?if_not_exists=true", json.dumps(new).encode())
    except Refused as refused:
        if refused.status == 409:
            sys.exit(f"error: {refused}; or call the predictions otherwise with --name")
        raise
    return prediction_stream(node, source, arguments)


class Engine:
    """Predicts one stream."""

    def __init__(self, node, source, target, alpha, progress):
        self.node = node
        self.progress = progress
        self.source = source
        self.target = target
        self.cadence_us = source["cadence_us"] or 0
        # What the streams themselves remember.
        self.size = node.json("GET", f"/v1/streams/{target}")["size"]
        level = None
        if self.size > 0:
            bounds = {"from": self.size - 1, "to": self.size}
            level = float(next(observations(node, target, **bounds))["value"])
        self.smoothing = Smoothing(alpha, level)

    def predict(self, rows):
        """Publishes what these observations say about the next ones."""
        lines = []
        for row in rows:
            if row["index"] != self.size + len(lines):
                raise Lost(f"observation {self.size + len(lines)} was left out")
            prediction = {
                # The time for which it is made, as far as that is known.
                "time": micros(row["time"]) + self.cadence_us,
                "time_unit": "us",
                "value": self.smoothing.predict_next(number(row["value"])),
            }
            lines.append(json.dumps(prediction))
        path = f"/v1/streams/{self.target}/observations?expect_size={self.size}"
        try:
            self.node.json("POST", path, "\n".join(lines).encode())
        except Refused as refused:
            # Most likely somebody has published these already: what the
            # streams say is what counts.
            raise Lost(refused) if refused.status in PASSING else refused
        self.size += len(lines)
        self.progress()

    def history(self):
        while True:
            rows = list(observations(self.node, self.source["id"], limit=BATCH, **{"from": self.size}))
            if not rows:
                return
            self.predict(rows)

    def live(self):
        for row in live(self.node, self.source["id"], self.size):
            self.predict([row])


def run(node, arguments, progress):
    """Predicts what there is and, unless that is all, what comes."""
    source = node.json("GET", "/v1/streams/" + urllib.parse.quote(arguments.stream, safe=""))
    if source["value_type"] != "number":
        sys.exit(f"stream {arguments.stream} has no numbers to predict")
    target = prediction_stream(node, source, arguments)
    engine = Engine(node, source, target, arguments.alpha, progress)
    say(f"predictions of {source['name']} in stream {target}: {engine.size} are there")
    try:
        engine.history()
    except Refused as refused:
        # Records that have not come yet; live waits for them.
        if refused.status != 409:
            raise
        if arguments.once:
            sys.exit(f"error: {refused}")
        say(refused)
    if not arguments.once:
        engine.live()
    return source, target


def go_on(node, arguments):
    """As `run`; begins anew from what the streams say whenever that fails."""
    attempt = 0

    def progress():
        nonlocal attempt
        attempt = 0

    while True:
        try:
            return run(node, arguments, progress)
        except Refused as refused:
            if refused.status not in PASSING:
                sys.exit(f"error: {refused}")
            problem = refused
        except Lost as lost:
            problem = lost
        pause = PAUSES_S[min(attempt, len(PAUSES_S) - 1)]
        attempt += 1
        say(f"{problem}; again in {pause} s")
        time.sleep(pause)


def report(node, source, target):
    """How far the predictions, and the value before, were off on average."""
    off = naive = count = 0
    before = None
    predictions = observations(node, target)
    for row in observations(node, source["id"], limit=node.json("GET", f"/v1/streams/{target}")["size"]):
        value = number(row["value"]) or 0.0
        if before is not None:
            count += 1
            off += abs(value - before[0])
            naive += abs(value - before[1])
        before = float(next(predictions)["value"]), value
    if count:
        unit = f" {source['unit']}".rstrip()
        print(f"{count:,} predictions are off by {off / count:.3f}{unit} on average; "
              f"the value before by {naive / count:.3f}")
    else:
        print("no prediction has met its observation yet")


def table(node, source, target):
    try:
        import pandas
    except ImportError:
        sys.exit("error: --table needs pandas: pip install pandas")

    def read(stream):
        url = f"{node.address()}/v1/streams/{stream}/observations?format=csv"
        return pandas.read_csv(url, index_col="index")

    observed = read(source["id"])
    # Record k predicts record k + 1.
    observed["predicted"] = read(target)["value"].shift(1)
    observed["error"] = observed["predicted"] - observed["value"]
    print(observed.tail(10).to_string())


def say(what):
    print(what, file=sys.stderr, flush=True)


def main():
    usual = pathlib.Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "headwater"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stream", help="the stream to predict: id, part of it, or name")
    parser.add_argument("--name", help="the name of the predictions [default: STREAM-predicted]")
    parser.add_argument("--alpha", type=float, default=0.5,
                        help="the weight of the newest value, above 0 and at most 1 [default: 0.5]")
    parser.add_argument("--once", action="store_true", help="end when everything is predicted that is there")
    parser.add_argument("--table", action="store_true", help="print the last rows (with --once)")
    parser.add_argument("--data-dir", default=os.environ.get("HEADWATER_DATA_DIR") or usual,
                        help="the data folder of the node [default: the user's own]")
    parser.add_argument("--api", help="the node's API, with its token in HEADWATER_API_TOKEN")
    arguments = parser.parse_args()
    if not 0 < arguments.alpha <= 1:
        parser.error("--alpha must be above 0 and at most 1")
    node = Node(arguments)
    source, target = go_on(node, arguments)
    report(node, source, target)
    if arguments.table:
        table(node, source, target)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
