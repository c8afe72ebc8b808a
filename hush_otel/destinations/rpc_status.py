"""google.rpc.Status, as gRPC receivers put it into ``grpc-status-details-bin``: how long they ask to wait.

Declared here, as far as it is needed, in place of a dependency for three messages. Sources:
google/rpc/status.proto, google/rpc/error_details.proto (RetryInfo), google/protobuf/{any,duration}.proto.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

RETRY_INFO: Final = "google.rpc.RetryInfo"

_PACKAGE: Final = "hush_otel.rpc"
_TYPES: Final = {
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}
_MESSAGES: Final = {
    # message: {field: (number, type)}; a message's name as the type, in brackets when repeated
    "Status": {"code": (1, "int32"), "message": (2, "string"), "details": (3, "[Detail]")},
    "Detail": {"type_url": (1, "string"), "value": (2, "bytes")},
    "RetryInfo": {"retry_delay": (1, "Duration")},
    "Duration": {"seconds": (1, "int64"), "nanos": (2, "int32")},
}


def _declared() -> dict[str, Any]:
    file = FileDescriptorProto(name="hush_otel/rpc_status.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            repeated = kind.startswith("[")
            added = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if kind in _TYPES:
                added.type = _TYPES[kind]
            else:
                added.type = FieldDescriptorProto.TYPE_MESSAGE
                added.type_name = f".{_PACKAGE}.{kind.strip('[]')}"
    pool = DescriptorPool()  # of our own: the name of a file is taken once in the common one
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES}


_CLASSES: Final = _declared()


def retry_delay_s(details: bytes) -> float | None:
    """The wish of a RetryInfo in a serialised Status, in seconds; None when there is none."""
    try:
        for detail in _CLASSES["Status"].FromString(details).details:
            if detail.type_url.rpartition("/")[2] == RETRY_INFO:
                delay: Any = _CLASSES["RetryInfo"].FromString(detail.value).retry_delay
                return max(float(delay.seconds) + float(delay.nanos) / 1e9, 0.0)
    except DecodeError:
        return None
    return None
