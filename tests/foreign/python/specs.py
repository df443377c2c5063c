"""The providers' published OpenAPI descriptions as judges of single requests and answers.

The judging is done by the openapi-core package. What it lets through and a stricter reader would not is added here:
parameters and members that the description does not name.
"""

import json
import re
from functools import cache
from urllib.parse import parse_qsl

import yaml
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from werkzeug.datastructures import Headers, ImmutableMultiDict

from daemon import ROOT

FOLDER = ROOT / "tests/fixtures/openapi"
TWILIO = "twilio_api_v2010.json"
CONVERSATIONS = "twilio_conversations_v1.json"
META = "meta_business-messaging-api_v23.0.yaml"

FORM = "application/x-www-form-urlencoded"
# Members that the service takes and the description leaves out, each with its documentation.
UNDESCRIBED = {
    # Cloud API, "Messages": "biz_opaque_callback_data", an arbitrary string of at most 512 characters.
    META: {"biz_opaque_callback_data"},
}


class Request:
    """A request in the form that openapi-core wants."""

    def __init__(self, host_url, method, path, query="", headers=None, body=None):
        self.host_url, self.path, self.method, self.body = host_url, path, method.lower(), body
        self.content_type = (headers or {}).get("Content-Type", "")
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(parse_qsl(query, keep_blank_values=True)), header=Headers(headers or {})
        )


class Response:
    """An answer in the form that openapi-core wants."""

    def __init__(self, status, headers, body):
        self.status_code, self.headers, self.data = status, dict(headers), body
        self.content_type = headers.get("Content-Type", "").split(";")[0]


def intended(node):
    """Reads `allOf` with `additionalProperties: false` in one of its branches as its authors meant it.

    To the letter every branch then refuses the members of the other branches, so that nothing can ever be valid, not
    even the description's own examples. Meant is: no member beyond those of all branches together.
    """
    if isinstance(node, list):
        return [intended(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = {key: intended(value) for key, value in node.items()}
    branches = node.get("allOf")
    if isinstance(branches, list):
        closed = [branch for branch in branches if branch.get("additionalProperties") is False]
        for branch in closed:
            del branch["additionalProperties"]
        if closed:
            node["unevaluatedProperties"] = False
    return node


@cache
def document(name):
    """A description as it was published."""
    with (FOLDER / name).open(encoding="utf-8") as file:
        return yaml.load(file, yaml.CSafeLoader) if name.endswith(".yaml") else json.load(file)


@cache
def judge(name, path):
    """The judge of one path of one description."""
    whole = document(name)
    spec = {**whole, "paths": {path: whole["paths"][path]}}
    if name == META:
        spec["components"] = {**whole["components"], "schemas": intended(whole["components"]["schemas"])}
    # Whether the description itself is flawless is its publisher's business.
    return OpenAPI.from_dict(spec, config=Config(spec_validator_cls=None))


def samples():
    """Meta's published webhooks, by name. (Its own schema for them refuses them all, so it can judge nobody's.)"""
    content = document(META)["paths"]["/whatsapp/webhooks"]["post"]["requestBody"]["content"]
    return {name: example["value"] for name, example in content["application/json"]["examples"].items()}


def complaint(error):
    """An exception with what lies under it, on one line."""
    said = []
    while error is not None:
        found = [f"{each.json_path}: {each.message}" for each in getattr(error, "schema_errors", ())]
        said.append("; ".join(found) if found else repr(error))
        error = error.__cause__
    return " <- ".join(said)[:2000]


def request_problem(name, path, request):
    """What is wrong with a request by a description, or None."""
    body = request.body
    if name in UNDESCRIBED and body:
        members = json.loads(body)
        extra = {key: members.pop(key) for key in list(members) if key in UNDESCRIBED[name]}
        if not all(isinstance(value, str) and len(value) <= 512 for value in extra.values()):
            return f"not strings of at most 512 characters: {extra}"
        request.body = json.dumps(members).encode()
    try:
        judge(name, path).validate_request(request)
    except Exception as error:  # whatever it raises is its verdict
        return complaint(error)
    finally:
        request.body = body
    if request.content_type == FORM:
        operation = document(name)["paths"][path][request.method]
        known = operation["requestBody"]["content"][FORM]["schema"]["properties"]
        unknown = [key for key, _ in parse_qsl((body or b"").decode(), keep_blank_values=True) if key not in known]
        if unknown:
            return f"parameters that the description does not name: {unknown}"
    return None


def properties(name, path, method, status):
    """The member names of an answer's schema: of the resource, or of the elements of a list with its key."""
    whole = document(name)
    content = whole["paths"][path][method]["responses"][str(status)]["content"]["application/json"]["schema"]

    def resolved(schema):
        return whole["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema

    members = resolved(content)["properties"]
    if "meta" not in members:
        return None, set(members), None
    (key,) = [each for each in members if each != "meta"]
    return key, set(resolved(members[key]["items"])["properties"]), set(members["meta"]["properties"])


def resource_schema(path, method, status):
    """The name of the schema of an answer's records, and the key under which a list has them."""
    whole = document(CONVERSATIONS)
    schema = whole["paths"][path][method]["responses"][str(status)]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        return schema["$ref"].rsplit("/", 1)[1], None
    (key,) = [each for each in schema["properties"] if each != "meta"]
    return schema["properties"][key]["items"]["$ref"].rsplit("/", 1)[1], key


def fields(path, method, status, answer):
    """The fields of an answer that have a value, each with the name of its schema."""
    name, key = resource_schema(path, method, status)
    records = [answer] if key is None else answer[key]
    return {f"{name}.{member}" for record in records for member, value in record.items() if value is not None}


# Members that the live service sends and the description does not name.
ALSO_SENT = {"chat_service_sid"}
# What Meta's ids look like. The description knows only SIDs where we say the provider's own id of a message.
META_ID = re.compile(r"^(wamid\.|m_)")


def with_sids(record):
    """A receipt as it would be, had the message gone out through Twilio."""
    if META_ID.match(record.get("channel_message_sid") or ""):
        return {**record, "channel_message_sid": "SM" + "0" * 32}
    return record


def judged(answer):
    """What of an answer is the description's business."""
    if "delivery_receipts" in answer:
        return {**answer, "delivery_receipts": [with_sids(each) for each in answer["delivery_receipts"]]}
    return with_sids(answer)


def answer_problem(name, path, request, response):
    """What is wrong with an answer by a description, or None. Members must be exactly the described ones."""
    raw = response.data
    if raw:
        response.data = json.dumps(judged(json.loads(raw))).encode()
    try:
        judge(name, path).validate_response(request, response)
    except Exception as error:
        return complaint(error)
    if response.status_code == 204:
        return f"a body where there is none: {response.data!r}" if response.data else None
    said = json.loads(response.data)
    key, wanted, meta = properties(name, path, request.method, response.status_code)
    records = [said] if key is None else said[key]
    for record in records:
        missing, extra = wanted - set(record), set(record) - wanted - ALSO_SENT
        if missing or extra:
            return f"members missing: {sorted(missing)}, unknown: {sorted(extra)}"
    if meta is not None and set(said["meta"]) != meta:
        return f"meta has {sorted(said['meta'])} and should have {sorted(meta)}"
    return None
