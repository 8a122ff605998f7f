"""Holds the document against a running server: each operation is called with the examples the document gives.

    examples.py DOCUMENT URL CUSTOMER_KEY OPERATOR_KEY

A call must be accepted, its answer must be one that the document describes, with no key more and none less, and must
say what the example of the answer says. Prints one line of JSON: how many operations and calls, and every fault.
"""

import json
import math
import re
import sys
import time

import httpx
from jsonschema import Draft202012Validator

ORDER = {"post": 0, "put": 0, "get": 1, "patch": 2, "delete": 3}
ANALYSIS = "/v1/analyses/{name}"
# What another run, another customer or another moment would give another value.
CHANGING = {
    "access_token", "at", "bytes", "created_at", "ended_at", "expires_in", "id", "issued_at", "key", "last_used_at",
    "meta", "percent", "result", "run", "updated_at", "valid_at", "version",
}


class Document:
    """The document, read strictly: an object has the properties it lists and no others."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.whole = json.load(file)
        for schema in self.whole["components"]["schemas"].values():
            closed(schema)

    def operations(self):
        """Method, path and operation, in an order in which nothing is gone before it is asked for."""
        found = [
            (method, path, operation)
            for path, item in self.whole["paths"].items()
            for method, operation in item.items()
        ]
        return sorted(found, key=lambda one: (ORDER[one[0]], one[1]))

    def faults(self, schema, value):
        """Where a value is not what the schema says."""
        validator = Draft202012Validator(
            {**schema, "components": self.whole["components"]},
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        )
        return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]


def closed(schema):
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for name, inner in schema.items():
            if name not in ("example", "examples"):
                closed(inner)
    elif isinstance(schema, list):
        for inner in schema:
            closed(inner)


class Caller:
    """Calls operations with examples, as the customer or, where the scope says so, as the operator."""

    def __init__(self, document, url, customer, operator):
        self.document = document
        self.url = url
        self.keys = {"customer": customer, "operator": operator}
        self.made = {}
        self.calls = 0

    def call(self, method, path, parameters=None, body=None, headers=None):
        """One request; `parameters` are those of the operation that are sent, with their values."""
        operation = self.document.whole["paths"][path][method]
        url, query, headers = path, {}, dict(headers or {})
        for parameter in parameters if parameters is not None else always(operation):
            name, value = parameter["name"], self.value(path, parameter)
            if parameter["in"] == "path":
                url = url.replace("{%s}" % name, str(value))
            elif parameter["in"] == "header":
                headers[name] = str(value)
            else:
                query.update(value if isinstance(value, dict) else {name: value})
        ways = [scopes for need in operation.get("security", []) for scopes in need.values()]
        admin = bool(ways) and all("admin" in scopes for scopes in ways)
        headers["Authorization"] = f"Bearer {self.keys['operator' if admin else 'customer']}"
        self.calls += 1
        body = body if body is not None else request(operation)
        return httpx.request(method, self.url + url, params=query, headers=headers, timeout=60, **body)

    def value(self, path, parameter):
        """The example of a parameter, or, of what the server names itself, the name it gave."""
        if parameter["in"] == "path" and parameter["name"] in ("id", "key"):
            return self.named(path[: path.index("{%s}" % parameter["name"])].rstrip("/"))
        return parameter["example"]

    def named(self, collection):
        """The id of a thing that was made in the collection; of a job, that of a statement."""
        if collection not in self.made:
            if collection == "/v1/jobs":
                # Another limit, or the answer would be in the cache and no job be needed.
                body = request(self.document.whole["paths"]["/v1/sql"]["post"])["json"] | {"limit": 99}
                answer = self.call("post", "/v1/sql", body={"json": body}, headers={"Prefer": "respond-async"})
            else:
                answer = self.call("post", collection)
            assert answer.status_code in (201, 202), f"{collection}: {answer.text}"
            self.remember(collection, answer)
        return self.made[collection]

    def remember(self, collection, answer):
        if answer.status_code in (201, 202):
            self.made.setdefault(collection, answer.json()["data"].get("id"))

    def prepare(self, method, path):
        """What a path names must be there, and all work on it done."""
        for start, make in (("/v1/datasets/{name}", "post /v1/datasets"), (ANALYSIS, f"put {ANALYSIS}")):
            if path.startswith(start) and make != f"{method} {path}":
                answer = self.call(*make.split())
                assert answer.status_code in (200, 201, 409), answer.text
        if path.startswith("/v1/jobs"):
            self.named("/v1/jobs")
        for name in re.findall(r"{(?:id|key)}", path):
            self.named(path[: path.index(name)].rstrip("/"))
        self.settle()

    def settle(self):
        for _ in range(300):
            jobs = self.call("get", "/v1/jobs").json()["data"]
            if not any(job["status"] in ("queued", "running") for job in jobs):
                return
            time.sleep(0.1)
        raise AssertionError(f"still at work after half a minute: {jobs}")


def always(operation):
    return [parameter for parameter in operation.get("parameters", []) if parameter["required"]]


def optional(operation):
    """What may be left out and has an example."""
    return [one for one in operation.get("parameters", []) if not one["required"] and "example" in one]


def request(operation):
    """The body of an operation's example, as `httpx` takes it."""
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        if kind == "multipart/form-data":
            fields = dict(content["example"])
            file = {"file": ("example.csv", fields.pop("file"))}
            return {"data": fields, "files": file}
        return {"json": content["example"]}
    return {}


def variants(method, operation):
    """Sets of parameters to call with: of what only reads, each optional one is tried alone; else all at once."""
    needed, more = always(operation), optional(operation)
    if method == "put":
        return [needed + more] * 2
    if method != "get":
        return [needed + more]
    return [needed] + [needed + [one] for one in more]


def differences(example, answer, place="$"):
    """Where an answer does not say what its example says. A list may hold more than its example."""
    if isinstance(example, dict) and isinstance(answer, dict):
        for name, value in example.items():
            if name not in answer:
                yield f"{place}.{name} is missing"
            elif name not in CHANGING:
                yield from differences(value, answer[name], f"{place}.{name}")
    elif isinstance(example, list) and isinstance(answer, list):
        for number, item in enumerate(example):
            if not any(not list(differences(item, other)) for other in answer):
                yield f"{place}[{number}] is not among {json.dumps(answer)[:300]}"
    elif not same(example, answer):
        yield f"{place} is {answer!r}, not {example!r}"


def same(example, answer):
    if isinstance(example, float) and isinstance(answer, (int, float)):
        return math.isclose(example, answer, rel_tol=1e-9)
    return example == answer


def judge(document, operation, answer, first):
    """The faults of one answer."""
    response = operation["responses"].get(str(answer.status_code))
    if response is None or answer.status_code >= 400:
        return [f"answered {answer.status_code}: {answer.text[:300]}"]
    contents = response.get("content", {})
    kind = answer.headers.get("content-type", "").split(";")[0]
    if not contents or not answer.content:
        return [] if bool(contents) == bool(answer.content) else [f"has the body {answer.text[:100]!r}"]
    if kind not in contents:
        return [f"is {kind}, not one of {list(contents)}"]
    content = contents[kind]
    if kind != "application/json":
        wanted = content.get("example", "") if first else ""
        return [] if wanted in answer.text else [f"does not hold {wanted!r}"]
    faults = document.faults(content["schema"], answer.json())
    return faults + (list(differences(content["example"], answer.json())) if first else [])


def examples(document, operation):
    """The faults of the examples themselves."""
    contents = [operation.get("requestBody", {})] + list(operation["responses"].values())
    for kind, content in ((kind, content) for one in contents for kind, content in one.get("content", {}).items()):
        if "example" in content:
            yield from (f"example of {kind}: {fault}" for fault in document.faults(content["schema"], content["example"]))
        elif "schema" in content:
            yield f"{kind} has no example"


def main(path, url, customer, operator):
    document = Document(path)
    caller = Caller(document, url, customer, operator)
    faults, operations = [], document.operations()
    for method, path, operation in operations:
        found = list(examples(document, operation))
        for number, parameters in enumerate(variants(method, operation)):
            caller.prepare(method, path)
            answer = caller.call(method, path, parameters)
            if method == "post":
                caller.remember(path, answer)
            with_what = ", ".join(one["name"] for one in parameters[len(always(operation)) :])
            found += [f"{with_what}: {one}" for one in judge(document, operation, answer, number == 0 or method == "put")]
        faults += [f"{operation['operationId']}: {fault}" for fault in found]
    print(json.dumps({"operations": len(operations), "calls": caller.calls, "faults": faults}))


main(*sys.argv[1:])
