"""tf.train.Example records, parsed with protobuf alone: the image and label of each.

The message is defined in tensorflow/core/example/{example,feature}.proto.
"""

import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from trainer.data.encoded import BadImage

# Names of the features that hold the encoded image and the label, and the label of the first class: the usual
# ImageNet layout counts classes from 1, and its 0 is "background".
IMAGES = ("image/encoded", "image")
LABELS = {"image/class/label": 1, "label": 0, "class": 0}


def parse(record: bytes) -> tuple[bytes, int]:
    """The encoded image and its label, counted from 0; raises BadImage for any other record."""
    example = _message()()
    try:
        example.ParseFromString(record)
    except message.DecodeError as error:
        raise BadImage(f"the record is not a tf.train.Example: {error}") from None
    features = example.features.feature
    image = next((features[name].bytes_list.value for name in IMAGES if name in features), ())
    label = next((name for name in LABELS if name in features), None)
    values = features[label].int64_list.value if label else ()
    if len(image) != 1 or label is None or len(values) != 1:
        names = ", ".join(sorted(features)[:8])
        expected = f"one of {', '.join(IMAGES)} and one of {', '.join(LABELS)}"
        raise BadImage(f"the record must hold {expected}, got {names}")
    return image[0], values[0] - LABELS[label]


@functools.cache
def _message() -> Any:
    """The message class, from a descriptor built here: no generated code, no TensorFlow."""
    file = descriptor_pb2.FileDescriptorProto(
        name="resnet_launch/example.proto", package="resnet_launch", syntax="proto3"
    )
    repeated, optional = 3, 1  # FieldDescriptorProto.LABEL_REPEATED, LABEL_OPTIONAL
    for name, kind in (("BytesList", 12), ("FloatList", 2), ("Int64List", 3)):
        _field(file.message_type.add(name=name), "value", 1, kind, repeated)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("BytesList", "FloatList", "Int64List"), 1):
        field = _field(feature, name.replace("List", "_list").lower(), number, 11, optional, name)
        field.oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    _field(entry, "key", 1, 9, optional)
    _field(entry, "value", 2, 11, optional, "Feature")
    _field(features, "feature", 1, 11, repeated, "Features.FeatureEntry")
    _field(file.message_type.add(name="Example"), "features", 1, 11, optional, "Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("resnet_launch.Example"))


def _field(parent: Any, name: str, number: int, kind: int, label: int, type_name: str = "") -> Any:
    """Add a field to a message; kind and label are numbers of FieldDescriptorProto."""
    field = parent.field.add(name=name, number=number, type=kind, label=label)
    if type_name:
        field.type_name = f".resnet_launch.{type_name}"
    return field
