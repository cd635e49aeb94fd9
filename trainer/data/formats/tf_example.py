"""tf.train.Example, read with the protobuf package alone: the image and the label of a record.

The message is that of tensorflow/core/example/{example,feature}.proto.
"""

import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from trainer.data.encoded import BadImage

# Names under which datasets keep the encoded image and the label, and what is taken off the label: the usual
# ImageNet layout counts its classes from 1, and 0 is "background".
IMAGES = ("image/encoded", "image")
LABELS = {"image/class/label": 1, "label": 0}


def parse(record: bytes) -> tuple[bytes, int]:
    """The encoded image and its label, from 0 on; raises BadImage."""
    example = _message()()
    try:
        example.ParseFromString(record)
    except message.DecodeError as error:
        raise BadImage(f"the record is no tf.train.Example: {error}") from None
    features = example.features.feature
    image = next((features[name].bytes_list.value for name in IMAGES if name in features), ())
    label = next((name for name in LABELS if name in features), None)
    values = features[label].int64_list.value if label else ()
    if len(image) != 1 or label is None or len(values) != 1:
        found = ", ".join(sorted(features)[:8])
        wanted = f"one of {', '.join(IMAGES)} and one of {', '.join(LABELS)}"
        raise BadImage(f"the record must hold {wanted}, got {found}")
    return image[0], values[0] - LABELS[label]


@functools.cache
def _message() -> Any:
    """The class of the message, from a description built here: no generated code, no TensorFlow."""
    file = descriptor_pb2.FileDescriptorProto(
        name="resnet_launch/example.proto", package="resnet_launch", syntax="proto3"
    )
    many, one = 3, 1  # FieldDescriptorProto.LABEL_REPEATED, LABEL_OPTIONAL
    for name, kind in (("BytesList", 12), ("FloatList", 2), ("Int64List", 3)):
        _field(file.message_type.add(name=name), "value", 1, kind, many)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("BytesList", "FloatList", "Int64List"), 1):
        field = _field(feature, name.replace("List", "_list").lower(), number, 11, one, name)
        field.oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    _field(entry, "key", 1, 9, one)
    _field(entry, "value", 2, 11, one, "Feature")
    _field(features, "feature", 1, 11, many, "Features.FeatureEntry")
    _field(file.message_type.add(name="Example"), "features", 1, 11, one, "Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("resnet_launch.Example"))


def _field(where: Any, name: str, number: int, kind: int, label: int, type_name: str = "") -> Any:
    field = where.field.add(name=name, number=number, type=kind, label=label)
    if type_name:
        field.type_name = f".resnet_launch.{type_name}"
    return field
