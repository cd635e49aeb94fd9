"""Images/s that the chips of a host consume, and the command line that measures against it."""

import pytest

from launcher.check import input_demand
from launcher.cli import main
from launcher.cli.verbs.data import with_need
from launcher.errors import RequestError
from launcher.hardware import slices


@pytest.mark.parametrize(
    ("name", "arch", "expected"),
    [
        ("v4-32", "resnet50", 13_184),  # 4 chips x 3,296, MLPerf
        ("h100-8", "resnet50", 55_272),  # 8 GPUs x 6,909
        ("v5e-16", "resnet50", 8_820),  # 4 chips x 819 GB/s / 286 MB x 0.77
        ("v5e-8-1", "resnet50", 17_640),  # the same chip, 8 in the host
        ("v4-32", "resnet152", 6_457),  # 584 MB per image instead of 286
        ("v4-32", "vit-l16", 2_196),  # 1,717 MB
        # arithmetic bounds it: 373 GFLOP / 312 TFLOP/s = 1,196 us, ResNet-50's 286 MB / 1,555 GB/s = 184 us
        ("a100-8", "vit-l16", 4_198),
        ("v4-32", "efficientnet-b0", 31_686),  # 119 MB
        ("v5e-16", "convnext-t", 9_412),  # 268 MB
        ("v4-32", "resnetv2-50", 20_492),  # 184 MB
        ("v4-32", "cifar-resnet110", 211_833),  # 17.8 MB, of 32 pixels
        ("v4-32", "mdeq-small", 5_480),  # 688 MB
        ("v5e-16", "efficientnet-b7", 3_709),  # 680 MB
        ("v4-32", "cifar-resnet1202", 14_558),  # 259 MB, of 32 pixels
    ],
)
def test_images_per_second_of_a_host(name, arch, expected):
    assert input_demand.images_per_second_per_host(slices.parse(name), arch) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("name", "arch", "message"),
    [
        ("cpu-2x1", "resnet50", "slice: must be TPUs or GPUs of the catalogue, got 'cpu-2x1'"),
        ("v4-32", "resnet50d", "arch: must be one of resnet18, resnet34, resnet50, resnet101, resnet152"),
        (
            "v4-32",
            "deq-tiny",
            "arch: must be a network whose .* was estimated, which it was not for deq-tiny",
        ),
        ("v5e-16", "vit-tiny", "arch: must be a network whose .* was estimated, which it was not for vit-ti"),
        ("v6e-8", "resnet-tiny", "arch: must be a network whose .* was estimated, which it was not for resn"),
    ],
)
def test_networks_and_hardware_without_a_figure_are_refused(name, arch, message):
    with pytest.raises(RequestError, match=message):
        input_demand.images_per_second_per_host(slices.parse(name), arch)


def test_slice_and_arch_become_a_number():
    arguments = with_need(["bench", "photos", "--slice", "v5e-16", "--arch=resnet50", "--seconds", "1"])
    assert arguments == [
        "bench",
        "photos",
        "--seconds",
        "1",
        "--need",
        "8820",
        "--for",
        "v5e-16 with resnet50",
    ]
    assert with_need(["bench", "photos"]) == ["bench", "photos"]
    with pytest.raises(RequestError, match="slice: must be used with --arch"):
        with_need(["bench", "photos", "--arch", "resnet50"])


def test_the_verbs_are_the_trainers(capfd):
    assert main(["data", "--help"]) == 0
    output = capfd.readouterr().out
    assert "usage: resnet-launch data" in output
    verbs = ("pack", "verify", "stats", "stage", "bench")
    assert [verb for verb in verbs if f"\n    {verb} " in output] == [
        "pack",
        "verify",
        "stats",
        "stage",
        "bench",
    ]
    assert main(["data", "pack", "/nothing-here", "/nowhere"]) == 1
    assert "error: data: /nothing-here must be a dataset, got nothing there" in capfd.readouterr().err
    assert main(["data", "pack", "a", "b", "--quality", "101"]) == 2
    assert "error: --quality: must be 1 to 100, got 101" in capfd.readouterr().err
