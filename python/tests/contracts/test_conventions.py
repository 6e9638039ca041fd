"""The conventions of proto/README.md, in every contract. An exception stands here with its reason, or is a fault."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

from .catalogue import RPCS
from .schema import Rpc, Schema, bindings, fields, rules

# Unary RPCs that are no reads and carry no request_id.
NO_REQUEST_ID = {
    "uait.ab_mcts.v1.AbMctsService/Tell": "each outcome is keyed by its ask",
    "uait.agent_coordination.v1.AgentService/Heartbeat": "the last one counts; a repeat says the same",
    "uait.intelligent_load_balancer.v1.BalancerService/Pick": "changes nothing but the turn; a repeat shall pick anew",
}

# Unary RPCs without an HTTP binding.
NO_HTTP: dict[str, str] = {}

# Request fields of a kind that needs a rule, but of which every value is right. `*` stands for any message.
NO_RULE = {
    "*.resume_after": "every sequence number; one that is too old answers OUT_OF_RANGE",
    "*.seed": "every number is a seed",
    ".uait.echo.v1.EchoRequest.payload": "bounded by the message limit alone, which is what it is there to show",
    ".uait.types.v1.Value.integer": "every whole number",
    ".uait.websocket_hub.v1.GetHistoryRequest.resume_after": "every offset",
    ".uait.intelligent_parameter.v1.StudySpec.IntRange.min": "every whole number; `max` is compared by the service",
    ".uait.intelligent_parameter.v1.StudySpec.IntRange.max": "every whole number; `min` is compared by the service",
}

# Messages that callers send back as they got them, or only inside answers that a request type shares.
ANSWERS_ONLY = {
    ".uait.types.v1.Usage": "counts that a service measured; sums, not decisions, are made of them",
    ".uait.types.v1.Failure": "told by one service of another; only its code and reason are read",
    ".uait.types.v1.Failure.FieldViolation": "part of Failure",
}

NUMBERS = {
    FieldDescriptorProto.TYPE_DOUBLE, FieldDescriptorProto.TYPE_FLOAT, FieldDescriptorProto.TYPE_INT32,
    FieldDescriptorProto.TYPE_INT64, FieldDescriptorProto.TYPE_UINT32, FieldDescriptorProto.TYPE_UINT64,
    FieldDescriptorProto.TYPE_FIXED32, FieldDescriptorProto.TYPE_FIXED64, FieldDescriptorProto.TYPE_SINT32,
    FieldDescriptorProto.TYPE_SINT64, FieldDescriptorProto.TYPE_SFIXED32, FieldDescriptorProto.TYPE_SFIXED64,
}  # fmt: skip
TEXTS = {FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_BYTES}


@pytest.fixture(scope="module")
def schema(descriptors: FileDescriptorSet) -> Schema:
    return Schema(descriptors)


def shape(rpc: Rpc) -> str:
    return f"{'>' * rpc.method.client_streaming}{rpc.method.name}{'<' * rpc.method.server_streaming}"


def test_services_offer_what_the_catalogue_names(schema: Schema) -> None:
    offered: dict[str, list[str]] = {}
    for rpc in schema.rpcs:
        offered.setdefault(rpc.service, []).append(shape(rpc))
    assert offered == RPCS


def test_services_are_those_of_the_mesh_file(schema: Schema, descriptors: FileDescriptorSet, root: Path) -> None:
    services = yaml.safe_load((root / "deploy/mesh.yaml").read_text())["services"]
    named = {grpc for service in services for grpc in service["grpc"]}
    defined = {f"{f.package}.{s.name}" for f in descriptors.file for s in f.service}
    assert named == defined
    for service in services:
        for grpc in service["grpc"]:
            if grpc.startswith("uait.") and service.get("folder", service["name"]) == service["name"]:
                assert grpc.split(".")[1] == service["name"].replace("-", "_"), f"{grpc} is served by {service['name']}"


def test_files_stand_in_the_folder_of_their_package(schema: Schema) -> None:
    for file in schema.files:
        assert Path(file.name).parent == Path(*file.package.split(".")), file.name
        assert len(file.service) <= 1, f"{file.name}: one service a file"


def test_lists_page_alike(schema: Schema) -> None:
    lists = [r for r in schema.rpcs if r.method.name.startswith("List")]
    assert len(lists) > 15
    paged = [r for r in schema.rpcs if {"page_size", "page_token"} & fields(r.request).keys()]
    for rpc in {r.name: r for r in lists + paged}.values():
        request, response = fields(rpc.request), fields(rpc.response)
        assert rpc.reads, f"{rpc.name}: a list is a read"
        assert {"page_size", "page_token"} <= request.keys(), rpc.name
        size, token = rules(request["page_size"]), rules(request["page_token"])
        assert request["page_size"].type == FieldDescriptorProto.TYPE_INT32, rpc.name
        assert size is not None, rpc.name
        assert size.int32.HasField("gte"), rpc.name
        assert (size.int32.gte, size.int32.lte) == (0, 1000), rpc.name
        assert token is not None, rpc.name
        assert token.string.max_len == 512, rpc.name
        assert response["next_page_token"].type == FieldDescriptorProto.TYPE_STRING, rpc.name
        assert any(f.label == f.LABEL_REPEATED for f in rpc.response.field), rpc.name


def test_watches_can_be_resumed(schema: Schema) -> None:
    watches = [r for r in schema.rpcs if r.method.name.startswith(("Watch", "Subscribe"))]
    assert len(watches) > 5
    resumable = [r for r in schema.rpcs if "resume_after" in fields(r.request) and not r.unary]
    for rpc in {r.name: r for r in watches + resumable}.values():
        assert rpc.method.server_streaming, rpc.name
        assert not rpc.method.client_streaming, rpc.name
        for message, name in ((rpc.request, "resume_after"), (rpc.response, "sequence")):
            assert fields(message)[name].type == FieldDescriptorProto.TYPE_UINT64, f"{rpc.name}: {name}"


def test_mutations_carry_a_request_id(schema: Schema) -> None:
    for rpc in schema.rpcs:
        if not rpc.unary or rpc.reads or rpc.name in NO_REQUEST_ID:
            continue
        field = fields(rpc.request).get("request_id")
        assert field is not None, f"{rpc.name} changes something and has no request_id"
        rule = rules(field)
        assert rule is not None, rpc.name
        assert rule.string.pattern == "^[A-Za-z0-9_-]{1,64}$", rpc.name
        assert rpc.method.options.idempotency_level == rpc.method.options.IDEMPOTENT, rpc.name


def test_reads_carry_no_request_id(schema: Schema) -> None:
    for rpc in schema.rpcs:
        assert not (rpc.reads and "request_id" in fields(rpc.request)), rpc.name


def test_names_that_promise_a_read_are_reads(schema: Schema) -> None:
    for rpc in schema.rpcs:
        if re.match(r"(Get|List|Search|Watch|Find|Stat|Query|Explain|Download|Subscribe)(?=[A-Z]|$)", rpc.method.name):
            # ab-mcts's Search runs one; it does not look for one.
            assert rpc.reads or rpc.name == "uait.ab_mcts.v1.AbMctsService/Search", rpc.name
        if re.match(r"(Create|Delete|Update|Set|Store|Record|Issue|Revoke|Cancel|Purge|Load|Unload)", rpc.method.name):
            assert not rpc.reads, rpc.name


def test_unary_rpcs_have_http(schema: Schema) -> None:
    for rpc in schema.rpcs:
        if rpc.unary:
            assert (rpc.http is None) == (rpc.name in NO_HTTP), rpc.name
        if rpc.method.client_streaming:
            assert rpc.http is None, f"{rpc.name}: a stream of requests cannot be transcoded"


def test_http_bindings_are_unique_and_well_formed(schema: Schema) -> None:
    verbs = {"get", "post", "put", "patch", "delete"}
    seen: Counter[tuple[str, str]] = Counter()
    for rpc in schema.rpcs:
        if rpc.http is None:
            continue
        for verb, path in bindings(rpc.http):
            assert verb in verbs, rpc.name
            assert re.fullmatch(r"/api/v1(/[a-zA-Z]+|/\{[a-z_]+(=\*\*)?\})+(:[a-zA-Z]+)?", path), f"{rpc.name}: {path}"
            for name in re.findall(r"\{([a-z_]+)", path):
                assert name in fields(rpc.request), f"{rpc.name}: {path} names no field {name}"
            assert (rpc.http.body == "*") == (verb in {"post", "put", "patch"}), f"{rpc.name}: body"
            if verb == "get":
                assert rpc.reads, f"{rpc.name}: a GET changes nothing"
            seen[(verb, re.sub(r"\{[^}]*\}", "*", path))] += 1
    assert [key for key, count in seen.items() if count > 1] == []


def test_tenant_comes_from_the_key_alone(schema: Schema) -> None:
    allowed = {".uait.event.v1.Event", ".uait.echo.v1.Seen"}
    for name, message in schema.messages.items():
        if name.startswith(".uait.") and name not in allowed:
            assert not {"tenant", "tenant_id"} & fields(message).keys(), name


def test_request_fields_have_rules(schema: Schema) -> None:
    missing = []
    for name, message in schema.request_messages.items():
        if message.options.map_entry or name in ANSWERS_ONLY:
            continue
        for field in message.field:
            limited = field.type in NUMBERS | TEXTS | {field.TYPE_ENUM} or field.label == field.LABEL_REPEATED
            excused = f"{name}.{field.name}" in NO_RULE or f"*.{field.name}" in NO_RULE
            if limited and rules(field) is None and not excused:
                missing.append(f"{name}.{field.name}")
    assert missing == []


def test_request_numbers_are_bounded_below(schema: Schema) -> None:
    """A rule of which one half got lost still looks like a rule."""
    open_ended = []
    for name, message in schema.request_messages.items():
        for field in message.field:
            rule = rules(field)
            if field.type not in NUMBERS or rule is None or field.label == field.LABEL_REPEATED:
                continue
            number = getattr(rule, rule.WhichOneof("type"))
            finite = number.DESCRIPTOR.fields_by_name.get("finite") is not None and number.finite
            if not (number.HasField("gte") or number.HasField("gt") or finite):
                open_ended.append(f"{name}.{field.name}")
    assert open_ended == []


def test_request_lists_and_maps_are_bounded(schema: Schema) -> None:
    unbounded = []
    for name, message in schema.request_messages.items():
        if message.options.map_entry or name in ANSWERS_ONLY:
            continue
        for field in message.field:
            if field.label != field.LABEL_REPEATED:
                continue
            rule = rules(field)
            entry = schema.messages.get(field.type_name)
            is_map = entry is not None and entry.options.map_entry
            bounded = rule is not None and (rule.map.max_pairs if is_map else rule.repeated.max_items)
            if not bounded:
                unbounded.append(f"{name}.{field.name}")
    assert unbounded == []


def test_request_texts_are_bounded(schema: Schema) -> None:
    unbounded = []
    for name, message in schema.request_messages.items():
        for field in message.field:
            rule = rules(field)
            if field.type != field.TYPE_STRING or field.label == field.LABEL_REPEATED or rule is None:
                continue
            text = rule.string
            by_pattern = bool(text.pattern) and not re.search(r"(?<!\\)[+*](?![^\[]*\])", text.pattern)
            if not (text.max_len or text.max_bytes or text.HasField("const") or text.ip or by_pattern):
                unbounded.append(f"{name}.{field.name}")
    assert unbounded == []


def test_exceptions_are_still_needed(schema: Schema) -> None:
    names = {r.name for r in schema.rpcs}
    assert NO_REQUEST_ID.keys() | NO_HTTP.keys() <= names
    known = {f"{n}.{f.name}" for n, m in schema.request_messages.items() for f in m.field}
    known |= {f"*.{f.name}" for m in schema.request_messages.values() for f in m.field}
    assert known >= NO_RULE.keys()
    assert schema.request_messages.keys() >= ANSWERS_ONLY.keys()


def test_amounts_of_money_are_micro_usd(schema: Schema) -> None:
    for name, message in schema.messages.items():
        if not name.startswith(".uait."):
            continue
        for field in message.field:
            if re.search(r"(^|_)(cost|price)(_|$)", field.name) and field.type in NUMBERS:
                assert "micro_usd" in field.name, f"{name}.{field.name}"


def test_enums_begin_with_unspecified_and_requests_refuse_unknown_values(schema: Schema) -> None:
    for name, message in schema.request_messages.items():
        if message.options.map_entry:
            continue
        for field in message.field:
            rule = rules(field)
            if field.type != field.TYPE_ENUM or rule is None:
                continue
            enum = rule.repeated.items.enum if field.label == field.LABEL_REPEATED else rule.enum
            assert enum.defined_only, f"{name}.{field.name}"


def test_payloads_of_events_have_their_area_and_range(descriptors: FileDescriptorSet) -> None:
    file = next(f for f in descriptors.file if f.name == "uait/event/v1/event.proto")
    index = next(i for i, m in enumerate(file.message_type) if m.name == "Event")
    comments = {tuple(c.path): c.leading_comments for c in file.source_code_info.location}
    areas: dict[int, set[str]] = {}
    for place, field in enumerate(file.message_type[index].field):
        if not field.HasField("oneof_index"):
            continue
        area = re.match(r" Area `([a-z]+)`: ", comments[(4, index, 2, place)])
        assert area is not None, field.name
        areas.setdefault(field.number // 16, set()).add(area[1])
    # Numbers 16 to 31 were given out before the ranges were.
    assert areas.pop(1) == {"echo", "mesh"}
    assert all(len(names) == 1 for names in areas.values()), areas
    assert len({next(iter(names)) for names in areas.values()}) == len(areas)
