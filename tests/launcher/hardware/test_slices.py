"""Slice names against the vendors' tables; every expected value is written out."""

import pytest

from launcher.errors import RequestError
from launcher.hardware import catalogue, slices

# name: topology, chips, hosts, devices, machine type, accelerator label
TPU = """
v4-8        2x2x1       4     1     4  ct4p-hightpu-4t    tpu-v4-podslice
v4-16       2x2x2       8     2     8  ct4p-hightpu-4t    tpu-v4-podslice
v4-32       2x2x4      16     4    16  ct4p-hightpu-4t    tpu-v4-podslice
v4-64       2x4x4      32     8    32  ct4p-hightpu-4t    tpu-v4-podslice
v4-128      4x4x4      64    16    64  ct4p-hightpu-4t    tpu-v4-podslice
v4-256      4x4x8     128    32   128  ct4p-hightpu-4t    tpu-v4-podslice
v4-384      4x4x12    192    48   192  ct4p-hightpu-4t    tpu-v4-podslice
v4-512      4x8x8     256    64   256  ct4p-hightpu-4t    tpu-v4-podslice
v4-1024     8x8x8     512   128   512  ct4p-hightpu-4t    tpu-v4-podslice
v4-1536     8x8x12    768   192   768  ct4p-hightpu-4t    tpu-v4-podslice
v4-2048     8x8x16   1024   256  1024  ct4p-hightpu-4t    tpu-v4-podslice
v4-4096     8x16x16  2048   512  2048  ct4p-hightpu-4t    tpu-v4-podslice
v4-6144     12x16x16 3072   768  3072  ct4p-hightpu-4t    tpu-v4-podslice
v5e-1       1x1         1     1     1  ct5lp-hightpu-1t   tpu-v5-lite-podslice
v5e-4       2x2         4     1     4  ct5lp-hightpu-4t   tpu-v5-lite-podslice
v5e-8       2x4         8     2     8  ct5lp-hightpu-4t   tpu-v5-lite-podslice
v5e-8-1     2x4         8     1     8  ct5lp-hightpu-8t   tpu-v5-lite-podslice
v5e-16      4x4        16     4    16  ct5lp-hightpu-4t   tpu-v5-lite-podslice
v5e-32      4x8        32     8    32  ct5lp-hightpu-4t   tpu-v5-lite-podslice
v5e-64      8x8        64    16    64  ct5lp-hightpu-4t   tpu-v5-lite-podslice
v5e-128     8x16      128    32   128  ct5lp-hightpu-4t   tpu-v5-lite-podslice
v5e-256     16x16     256    64   256  ct5lp-hightpu-4t   tpu-v5-lite-podslice
v5p-8       2x2x1       4     1     4  ct5p-hightpu-4t    tpu-v5p-slice
v5p-16      2x2x2       8     2     8  ct5p-hightpu-4t    tpu-v5p-slice
v5p-32      2x2x4      16     4    16  ct5p-hightpu-4t    tpu-v5p-slice
v5p-64      2x4x4      32     8    32  ct5p-hightpu-4t    tpu-v5p-slice
v5p-128     4x4x4      64    16    64  ct5p-hightpu-4t    tpu-v5p-slice
v5p-256     4x4x8     128    32   128  ct5p-hightpu-4t    tpu-v5p-slice
v5p-384     4x4x12    192    48   192  ct5p-hightpu-4t    tpu-v5p-slice
v5p-512     4x8x8     256    64   256  ct5p-hightpu-4t    tpu-v5p-slice
v5p-640     4x4x20    320    80   320  ct5p-hightpu-4t    tpu-v5p-slice
v5p-768     4x8x12    384    96   384  ct5p-hightpu-4t    tpu-v5p-slice
v5p-896     4x4x28    448   112   448  ct5p-hightpu-4t    tpu-v5p-slice
v5p-1024    8x8x8     512   128   512  ct5p-hightpu-4t    tpu-v5p-slice
v5p-1152    4x12x12   576   144   576  ct5p-hightpu-4t    tpu-v5p-slice
v5p-1280    4x8x20    640   160   640  ct5p-hightpu-4t    tpu-v5p-slice
v5p-1408    4x4x44    704   176   704  ct5p-hightpu-4t    tpu-v5p-slice
v5p-1536    8x8x12    768   192   768  ct5p-hightpu-4t    tpu-v5p-slice
v5p-1664    4x4x52    832   208   832  ct5p-hightpu-4t    tpu-v5p-slice
v5p-1792    4x8x28    896   224   896  ct5p-hightpu-4t    tpu-v5p-slice
v5p-1920    4x12x20   960   240   960  ct5p-hightpu-4t    tpu-v5p-slice
v5p-2048    8x8x16   1024   256  1024  ct5p-hightpu-4t    tpu-v5p-slice
v5p-2304    8x12x12  1152   288  1152  ct5p-hightpu-4t    tpu-v5p-slice
v5p-2560    8x8x20   1280   320  1280  ct5p-hightpu-4t    tpu-v5p-slice
v5p-3072    8x12x16  1536   384  1536  ct5p-hightpu-4t    tpu-v5p-slice
v5p-3456    12x12x12 1728   432  1728  ct5p-hightpu-4t    tpu-v5p-slice
v5p-4096    8x16x16  2048   512  2048  ct5p-hightpu-4t    tpu-v5p-slice
v5p-4608    12x12x16 2304   576  2304  ct5p-hightpu-4t    tpu-v5p-slice
v5p-5120    8x16x20  2560   640  2560  ct5p-hightpu-4t    tpu-v5p-slice
v5p-6144    12x16x16 3072   768  3072  ct5p-hightpu-4t    tpu-v5p-slice
v5p-8192    16x16x16 4096  1024  4096  ct5p-hightpu-4t    tpu-v5p-slice
v5p-9216    12x16x24 4608  1152  4608  ct5p-hightpu-4t    tpu-v5p-slice
v5p-10240   16x16x20 5120  1280  5120  ct5p-hightpu-4t    tpu-v5p-slice
v5p-12288   16x16x24 6144  1536  6144  ct5p-hightpu-4t    tpu-v5p-slice
v6e-1       1x1         1     1     1  ct6e-standard-1t   tpu-v6e-slice
v6e-4       2x2         4     1     4  ct6e-standard-4t   tpu-v6e-slice
v6e-8       2x4         8     2     8  ct6e-standard-4t   tpu-v6e-slice
v6e-8-1     2x4         8     1     8  ct6e-standard-8t   tpu-v6e-slice
v6e-16      4x4        16     4    16  ct6e-standard-4t   tpu-v6e-slice
v6e-32      4x8        32     8    32  ct6e-standard-4t   tpu-v6e-slice
v6e-64      8x8        64    16    64  ct6e-standard-4t   tpu-v6e-slice
v6e-128     8x16      128    32   128  ct6e-standard-4t   tpu-v6e-slice
v6e-256     16x16     256    64   256  ct6e-standard-4t   tpu-v6e-slice
tpu7x-2     1x1x1       1     1     2  tpu7x-standard-1t  tpu7x
tpu7x-8     2x2x1       4     1     8  tpu7x-standard-4t  tpu7x
tpu7x-16    2x2x2       8     2    16  tpu7x-standard-4t  tpu7x
tpu7x-32    2x2x4      16     4    32  tpu7x-standard-4t  tpu7x
tpu7x-64    2x4x4      32     8    64  tpu7x-standard-4t  tpu7x
tpu7x-128   4x4x4      64    16   128  tpu7x-standard-4t  tpu7x
tpu7x-256   4x4x8     128    32   256  tpu7x-standard-4t  tpu7x
tpu7x-384   4x4x12    192    48   384  tpu7x-standard-4t  tpu7x
tpu7x-512   4x8x8     256    64   512  tpu7x-standard-4t  tpu7x
tpu7x-1024  8x8x8     512   128  1024  tpu7x-standard-4t  tpu7x
tpu7x-1536  8x8x12    768   192  1536  tpu7x-standard-4t  tpu7x
tpu7x-2048  8x8x16   1024   256  2048  tpu7x-standard-4t  tpu7x
tpu7x-3072  8x12x16  1536   384  3072  tpu7x-standard-4t  tpu7x
tpu7x-4096  8x16x16  2048   512  4096  tpu7x-standard-4t  tpu7x
tpu7x-6144  12x16x16 3072   768  6144  tpu7x-standard-4t  tpu7x
tpu7x-8192  16x16x16 4096  1024  8192  tpu7x-standard-4t  tpu7x
tpu7x-9216  12x16x24 4608  1152  9216  tpu7x-standard-4t  tpu7x
tpu7x-12288 16x16x24 6144  1536 12288  tpu7x-standard-4t  tpu7x
tpu7x-18432 16x24x24 9216  2304 18432  tpu7x-standard-4t  tpu7x
tpu7-2      1x1x1       1     1     2  tpu7-standard-1t   tpu7
tpu7-16     2x2x2       8     2    16  tpu7-standard-4t   tpu7
tpu7-256    4x4x8     128    32   256  tpu7-standard-4t   tpu7
tpu7-512    4x8x8     256    64   512  tpu7-standard-4t   tpu7
"""

# name: GPUs, hosts, GPUs per host, machine type, accelerator label, fabric, architecture
GPU = """
l4-1           1   1  1  g2-standard-12   nvidia-l4              -        amd64
l4-2           2   1  2  g2-standard-24   nvidia-l4              -        amd64
l4-4           4   1  4  g2-standard-48   nvidia-l4              -        amd64
l4-8           8   1  8  g2-standard-96   nvidia-l4              -        amd64
a100-1         1   1  1  a2-highgpu-1g    nvidia-tesla-a100      -        amd64
a100-16       16   2  8  a2-highgpu-8g    nvidia-tesla-a100      -        amd64
a100-16-1     16   1 16  a2-megagpu-16g   nvidia-tesla-a100      -        amd64
a100-80gb-8    8   1  8  a2-ultragpu-8g   nvidia-a100-80gb       -        amd64
h100-4         4   1  4  a3-highgpu-4g    nvidia-h100-80gb       -        amd64
h100-8         8   1  8  a3-highgpu-8g    nvidia-h100-80gb       tcpx     amd64
h100-32       32   4  8  a3-highgpu-8g    nvidia-h100-80gb       tcpx     amd64
h100-mega-64  64   8  8  a3-megagpu-8g    nvidia-h100-mega-80gb  tcpxo    amd64
h200-16       16   2  8  a3-ultragpu-8g   nvidia-h200-141gb      rdma-gib amd64
b200-16       16   2  8  a4-highgpu-8g    nvidia-b200            rdma-gib amd64
gb200-4        4   1  4  a4x-highgpu-4g   nvidia-gb200           rdma-gib arm64
gb200-72      72  18  4  a4x-highgpu-4g   nvidia-gb200           rdma-gib arm64
gb300-8        8   2  4  a4x-maxgpu-4g-metal nvidia-gb300        dranet   arm64
rtx-pro6000-1  1   1  1  g4-standard-48   nvidia-rtx-pro-6000    -        amd64
rtx-pro6000-2  2   1  2  g4-standard-96   nvidia-rtx-pro-6000    -        amd64
rtx-pro6000-4  4   1  4  g4-standard-192  nvidia-rtx-pro-6000    -        amd64
rtx-pro6000-16 16  2  8  g4-standard-384  nvidia-rtx-pro-6000    -        amd64
h100-nolssd-4  4   1  4  a3-highgpu-4g-nolssd nvidia-h100-80gb   -        amd64
b200-nolssd-16 16  2  8  a4-highgpu-8g-nolssd nvidia-b200        rdma-gib amd64
gb200-nolssd-8 8   2  4  a4x-highgpu-4g-nolssd nvidia-gb200      rdma-gib arm64
"""

SPELLINGS = {
    "v5litepod-16": "v5e-16",
    "tpu-v5litepod-16": "v5e-16",
    "trillium-8": "v6e-8",
    "ironwood-64": "tpu7x-64",
    "7x-64": "tpu7x-64",
    "tpu-v4-32": "v4-32",
    "V4-32": "v4-32",
    "v4:2x2x4": "v4-32",
    "tpu7x-4x4x8": "tpu7x-256",
    "v4:4x4x16": "v4:4x4x16",  # 256 chips like v4-512, whose default is 4x8x8
    "v5p-7808": "v5p-7808",
    "h100-80gb-8": "h100-8",
    "h200-141gb-16": "h200-16",
    "a100-40gb-8": "a100-8",
    "g4-8": "rtx-pro6000-8",
    "gb200-4-nolssd": "gb200-nolssd-4",
    "b200-8-nolssd": "b200-nolssd-8",
    "h100-16-nolssd": "h100-nolssd-16",
}

WRONG = {
    "v4-24": ("must be v4-16 (8 chips) or v4-32 (16 chips), got 'v4-24'", "counts TensorCores, 2 per chip"),
    "v4-4": ("must be v4-8 (4 chips), got 'v4-4'", "v4-4 would be 2 chips"),
    "v5e-24": ("must be v5e-16 (16 chips) or v5e-32 (32 chips), got 'v5e-24'", "counts chips"),
    "v5e-512": ("must be v5e-256 (256 chips), got 'v5e-512'", "--num-slices joins several"),
    "v4-12288": ("must be v4-6144 (3072 chips), got 'v4-12288'", "3072 chips"),
    "v5p-13824": ("must be v5p-12288 (6144 chips), got 'v5p-13824'", "6144 chips"),
    "v5p-8576": ("must be v5p-8448 (4224 chips) or v5p-8704 (4352 chips), got 'v5p-8576'", "TensorCores"),
    "v4:2x3x4": ("must have a topology of v4", "at most 3072 chips"),
    "v4:8x4x4": ("must have a topology of v4", "resnet-launch slices v4"),
    "v5e:4x2": ("must have a topology of v5e", "at most 256 chips"),
    "v5e-16-1": ("must be v5e-8-1, got 'v5e-16-1'", "one VM"),
    "v4-32-1": ("must not end in a second number", "v4 has no such VM"),
    "vv4-32": ("must be a slice such as", "did you mean v4-32?"),
    "trillum-16": ("must be a slice such as", "did you mean trillium-16?"),
    "h100-12": ("must be h100-N, N 1, 2, 4 or a multiple of 8, got 'h100-12'", "counts GPUs"),
    "gb200-144": ("must be gb200-N, N a multiple of 4 up to 72", "--slice gb200-72 --num-slices N"),
    "cpu-0x4": ("must be cpu-<hosts>x<devices per host>, got 'cpu-0x4'", "cpu-2x4"),
    "": ("must be a slice such as", "resnet-launch slices lists them"),
}


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


@pytest.mark.parametrize("row", table(TPU), ids=lambda row: row[0])
def test_tpu(row):
    s = slices.parse(row[0])
    values = [s.name, s.topology, s.chips, s.hosts, s.devices, s.machine, s.accelerator]
    assert [str(value) for value in values] == row
    assert s.hosts * s.chips_per_host == s.chips
    assert s.hosts * s.devices_per_host == s.devices
    assert s.resource == "google.com/tpu"


@pytest.mark.parametrize("row", table(GPU), ids=lambda row: row[0])
def test_gpu(row):
    s = slices.parse(row[0])
    values = [s.name, s.chips, s.hosts, s.chips_per_host, s.machine, s.accelerator, s.fabric or "-", s.arch]
    assert [str(value) for value in values] == row
    assert s.devices == s.chips
    assert s.resource == "nvidia.com/gpu"


def test_cpu():
    s = slices.parse("cpu-2x4")
    assert (s.hosts, s.devices_per_host, s.devices, s.resource) == (2, 4, 8, None)
    assert (s.node_selector, s.tolerations) == ({}, [])


@pytest.mark.parametrize(("spelling", "name"), SPELLINGS.items())
def test_spellings(spelling, name):
    assert slices.parse(spelling).name == name


@pytest.mark.parametrize(("name", "texts"), WRONG.items())
def test_wrong_names(name, texts):
    with pytest.raises(RequestError) as caught:
        slices.parse(name)
    [(message, hint)] = caught.value.messages()
    assert texts[0] in message
    assert texts[1] in hint
    assert message.startswith("slice: ")


def test_default_topologies_of_v5p():
    """Cube counts 1 to 96 except the primes above 64, whose shape would be longer than 256."""
    names = {s.name for s in catalogue.slices("v5p")}
    assert len(names) == 94  # 4 small shapes and 96 - 6 cube counts
    assert names.isdisjoint(f"v5p-{128 * cubes}" for cubes in (67, 71, 73, 79, 83, 89))


def test_selectors():
    assert slices.parse("v4-32").node_selector == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v4-podslice",
        "cloud.google.com/gke-tpu-topology": "2x2x4",
    }
    for name, count in (("v6e-8-1", "8"), ("v6e-8", "4"), ("v5e-8-1", "8"), ("v5e-8", "4")):
        selector = slices.parse(name).node_selector
        assert selector["cloud.google.com/gke-accelerator-count"] == count
        assert "node.kubernetes.io/instance-type" not in selector  # refused by Autopilot
    assert slices.parse("h100-8").node_selector == {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}


def test_tolerations():
    assert slices.parse("v4-32").tolerations == [
        {"key": "google.com/tpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert {
        "key": "kubernetes.io/arch",
        "operator": "Equal",
        "value": "arm64",
        "effect": "NoSchedule",
    } in slices.parse("gb200-72").tolerations


def test_placement_policy_is_for_several_hosts_of_tpu7x_and_tpu7():
    needed = [s.name for s in catalogue.slices() if s.placement_policy]
    assert needed[:2] == ["tpu7x-16", "tpu7x-32"]
    assert {name.rpartition("-")[0] for name in needed if ":" not in name} == {"tpu7x", "tpu7"}


def test_every_catalogue_name_parses_to_itself():
    listed = catalogue.slices()
    assert len(listed) > 300
    assert all(slices.parse(s.name) == s for s in listed)


def test_machines_without_local_ssd_are_selected_by_their_type():
    assert slices.parse("gb200-nolssd-8").node_selector == {
        "cloud.google.com/gke-accelerator": "nvidia-gb200",
        "node.kubernetes.io/instance-type": "a4x-highgpu-4g-nolssd",
    }
    assert slices.parse("gb200-8").node_selector == {"cloud.google.com/gke-accelerator": "nvidia-gb200"}
