"""Our JSON forms are protobuf's: the table that the unit tests use also holds for Python's json_format."""
import json
import os

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(TOP, os.environ.get("TULLE_BUILD", "build/dev"))


def rows():
    with open(os.path.join(TOP, "tests/unit/pb/json_forms.txt"), encoding="utf-8") as table:
        for number, line in enumerate(table, 1):
            if line.strip() and not line.startswith("#"):
                read, written, who, *wire = line.rstrip("\n").split(" | ")
                if who == "protobuf":
                    yield pytest.param(read, written, wire, id=f"line {number}")


@pytest.fixture(scope="module")
def every_type():
    found = descriptor_pb2.FileDescriptorSet()
    with open(os.path.join(BUILD, "host/protos.set"), "rb") as file:
        found.ParseFromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for file in found.file:
        pool.Add(file)
    return pool, message_factory.GetMessageClass(pool.FindMessageTypeByName("tulle.EveryType"))


@pytest.mark.parametrize("read, written, wire", list(rows()))
def test_python_agrees(every_type, read, written, wire):
    pool, make = every_type
    if written == "error":
        with pytest.raises(json_format.ParseError):
            json_format.Parse(read, make(), descriptor_pool=pool)
        return
    message = json_format.Parse(read, make(), descriptor_pool=pool)
    printed = json.loads(json_format.MessageToJson(message, descriptor_pool=pool))
    assert printed == json.loads(written)
    assert [message.SerializeToString(deterministic=True).hex() or "-"] == wire
