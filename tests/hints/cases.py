"""Situations of one command each in which a program prints a hint, and how a person follows it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Arguments = list[str]


def add(arguments: Arguments, hint: str) -> Arguments:
    """Append the flags that a hint begins with."""
    return [*arguments, *flags_of(hint)]


def swap(arguments: Arguments, hint: str) -> Arguments:
    """Put the flags of a hint in the place of those with the same names."""
    new = flags_of(hint)
    kept = list(arguments)
    for flag in [word for word in new if word.startswith("--")]:
        while flag in kept:
            index = kept.index(flag)
            del kept[index : index + 2]
    return [*kept, *new]


def paste(arguments: Arguments, hint: str) -> Arguments:
    """Type the command that a hint begins with, in the place of the wrong one."""
    command = hint[hint.index("resnet-") :]
    words = shlex.split(command.split(" lists ")[0].split(" shows ")[0].split(", ")[0])
    return words[1:]


def flags_of(hint: str) -> Arguments:
    """Return the flags of a hint with their values, up to the word that is prose."""
    words = shlex.split(hint[hint.index("--") :].split(" or ")[0].split(", ")[0].split(" (")[0])
    result: Arguments = []
    for word in words:
        if not word.startswith("--") and (not result or not result[-1].startswith("--")):
            break
        result.append(word.strip(";,"))
    return result


def replaced(old: str, new: str) -> Callable[[Arguments, str], Arguments]:
    """Do what a hint explains without flags: write `new` in the place of the argument `old`."""
    return lambda arguments, _: [new if word == old else word for word in arguments]


def with_flags(*flags: str) -> Callable[[Arguments, str], Arguments]:
    """Do what a hint explains: the flags that it names, with a value of the person's own."""
    return lambda arguments, _: swap(arguments, shlex.join(flags))


@dataclass(frozen=True)
class Case:
    """A command that is refused, the hint that follows and the way to follow it.

    Attributes:
      file: file of the packages that gives the hint.
      hint: its text there, `{}` for what is filled in.
      line: arguments of the program; `{}` is the test's folder.
      follow: returns the arguments to type next, from those before and from the printed hint.
      before: prepares the folder.
    """

    file: str
    hint: str
    line: str
    follow: Callable[[Arguments, str], Arguments]
    before: Callable[[Path], object] | None = None

    def __str__(self) -> str:
        return f"{self.file}-{self.hint[:40]}"

    def printed(self, err: list[str]) -> str:
        """Return the one hint among lines of stderr that this case is about; fail where there is none."""
        hints = [line.removeprefix("hint: ") for line in err if line.startswith("hint: ")]
        template = ".*".join(map(re.escape, self.hint.split("{}")))
        matching = [hint for hint in hints if re.fullmatch(template, hint)]
        assert len(matching) == 1, f"{self.hint!r} is not once among {hints}"
        return matching[0]


PROGRAM = "render --slice v4-8 --command true --name mine"
RENDER = "render --arch resnet18 --slice"


def settings_file(text: str, mode: int = 0o644) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "resnet-launch.yaml").write_text(text)
        (folder / "resnet-launch.yaml").chmod(mode)

    return write


REQUEST = "launcher/request/"
BLOCK = "cloud.google.com/gce-topology-block"
OFFLINE = [
    Case(
        f"{REQUEST}rules.py",
        "as in --slice v4-32; resnet-launch slices lists them",
        "render --arch resnet18",
        add,
    ),
    Case(
        f"{REQUEST}rules.py",
        'as in --arch resnet50, or --command "python train.py" --name my-run',
        "render --slice v4-8",
        add,
    ),
    Case(
        f"{REQUEST}rules.py",
        '--command "python train.py" --name my-run',
        "render --slice v4-8 --command true",
        swap,
    ),
    Case(
        f"{REQUEST}rules.py",
        "leave out one",
        f"{PROGRAM} --arch resnet50",
        lambda arguments, _: arguments[:-2],
    ),
    Case(
        f"{REQUEST}rules.py",
        "the command's own arguments stand in --command",
        f"{PROGRAM} --seed 1",
        lambda arguments, _: [*arguments[:-2], "--command", "true --seed 1"],
    ),
    Case(f"{REQUEST}exit_codes.py", "--exit-codes preempted=42,fatal=44", f"{PROGRAM} --exit-codes 42", swap),
    Case(
        f"{REQUEST}notify.py",
        "kubectl create secret generic notify --from-file=url=FILE, then --notify notify/url",
        f"{RENDER} v4-8 --notify https://hooks.example/x",
        with_flags("--notify", "notify/url"),
    ),
    Case(f"{REQUEST}program.py", '--command "python train.py --lr 0.1"', f"{PROGRAM} --command '", swap),
    Case(
        "launcher/cli/verbs/sweep.py",
        "--name lr",
        "sweep --local --plan --slice cpu-1x1 --arch resnet18 --grid train.seed=0,1",
        add,
    ),
    Case(
        f"{REQUEST}grid.py",
        "--grid optim.lr=0.1,0.2 --grid train.seed=0..2",
        "sweep --local --plan --name s --slice cpu-1x1 --arch resnet18",
        add,
    ),
    Case(
        "launcher/cli/verbs/local.py",
        "--workdir .",
        "local --slice cpu-1x1 --command true --name mine --workdir none",
        swap,
    ),
    Case(f"{REQUEST}program.py", "--workdir /app", f"{PROGRAM} --workdir app", swap),
    Case(
        "launcher/cli/verbs/check.py",
        "check reads the cluster, the quota, the image and the bucket",
        "check --slice cpu-1x1 --command true --name mine --estimate",
        lambda arguments, _: arguments[:-1],
    ),
    Case(
        f"{REQUEST}rules.py",
        "its longest pod name must stay within 63; choose one with --name",
        f"{RENDER} v4-8 --name {'a' * 60}",
        with_flags("--name", "short"),
    ),
    Case(f"{REQUEST}rules.py", "--batch {}", f"{RENDER} cpu-2x4 --batch 13", swap),
    Case(f"{REQUEST}rules.py", "--batch {}", f"{RENDER} cpu-2x4 --batch 3", swap),
    Case(
        f"{REQUEST}rules.py",
        "--recipe {}; recipes for {}: {}",
        "render --slice cpu-2x4 --arch vit-s16 --recipe convnext-t",
        with_flags("--recipe", "deit3-s"),
    ),
    Case(
        f"{REQUEST}rules.py",
        "the settings of {}: {}",
        "render --slice cpu-2x4 --arch vit-s16 --set model.depth=1001",
        with_flags("--set", "model.stochastic_depth=0.1"),
    ),
    Case(
        f"{REQUEST}rules.py",
        "--set model.depth={}",
        "render --slice cpu-2x4 --arch cifar-resnet20 --set model.depth=23",
        with_flags("--set", "model.depth=26"),
    ),
    Case(
        f"{REQUEST}rules.py",
        "--set mesh.model={}; what divides all of them: {}",
        "render --slice cpu-2x4 --arch vit-s16 --set mesh.model=4",
        with_flags("--set", "mesh.model=2"),
    ),
    Case(
        f"{REQUEST}rules.py",
        "--set train.shard=all divides the state of every network",
        f"{RENDER} cpu-2x4 --set mesh.model=2",
        with_flags("--set", "mesh.model=1", "--set", "train.shard=all"),
    ),
    Case(
        f"{REQUEST}rules.py",
        "only slices with several hosts join over the data center network; choose a larger slice",
        f"{RENDER} v5e-4 --num-slices 2",
        replaced("v5e-4", "v5e-16"),
    ),
    Case(
        f"{REQUEST}rules.py",
        "the root of a pod is read-only: --bucket BUCKET, or --mount pvc/NAME:/runs --run-dir /runs/NAME",
        f"{RENDER} v4-8 --run-dir /x",
        with_flags("--mount", "pvc/mine:/runs", "--run-dir", "/runs/mine"),
    ),
    Case(
        f"{REQUEST}rules.py",
        "the root of a pod is read-only: --bucket BUCKET, or --mount pvc/NAME:/runs --run-dir /runs/NAME",
        f"{RENDER} v4-8 --run-dir /x",
        lambda arguments, hint: [*arguments[:-2], "--bucket", "bucket"],
    ),
    Case(
        f"{REQUEST}rules.py",
        "--{}-limit {}, or leave it out",
        f"{RENDER} cpu-2x1 --cpu 2 --cpu-limit 1500m",
        swap,
    ),
    Case(
        f"{REQUEST}rules.py",
        "--node-selector KEY=VALUE",
        f"{RENDER} cpu-2x1 --platform generic --compute-class cheap",
        lambda arguments, hint: [*arguments[:-2], "--node-selector", "pool=cheap"],
    ),
    Case(
        f"{REQUEST}node_choice.py",
        "as in topology.kubernetes.io/zone=us-a|us-b",
        f"{RENDER} cpu-2x1 --node-affinity zone",
        lambda arguments, hint: [*arguments[:-1], hint.removeprefix("as in ")],
    ),
    Case(
        f"{REQUEST}reservations.py",
        "[projects/PROJECT/reservations/]NAME[/reservationBlocks/BLOCK[/reservationSubBlocks/SUBBLOCK]]",
        f"{RENDER} v5e-16 --reservation projects/p/r",
        lambda arguments, hint: [*arguments[:-1], "projects/p/reservations/r/reservationBlocks/b"],
    ),
    Case(
        f"{REQUEST}rules.py",
        "--slice custom, or leave out --custom-slice",
        f"{RENDER} v4-8 --custom-slice accelerator=t,topology=4x4,chips-per-host=4",
        swap,
    ),
    Case(
        "launcher/hardware/suggestions.py",
        "--custom-slice accelerator=LABEL,topology=4x4,chips-per-host=4",
        f"{RENDER} custom",
        add,
    ),
    Case(
        f"{REQUEST}custom_slices.py",
        "--custom-slice accelerator=tpu-v9-slice,topology=4x4,chips-per-host=4",
        f"{RENDER} custom --custom-slice topology=4x4",
        swap,
    ),
    Case(
        f"{REQUEST}custom_slices.py",
        "hosts={}, or leave it out",
        f"{RENDER} custom --custom-slice accelerator=t,topology=4x4,chips-per-host=4,hosts=8",
        lambda arguments, hint: [a.replace("hosts=8", hint.split(",")[0]) for a in arguments],
    ),
    Case(
        f"{REQUEST}custom_slices.py",
        "as in chips-per-host={}; {} divide it",
        f"{RENDER} custom --custom-slice accelerator=t,topology=4x4,chips-per-host=3",
        lambda arguments, hint: [a.replace("chips-per-host=3", hint[6:22]) for a in arguments],
    ),
    Case(
        f"{REQUEST}custom_slices.py",
        "hosts=N says how many hosts the slice has",
        f"{RENDER} b400 --custom-slice accelerator=t,topology=4x4,chips-per-host=4,resource=amd.com/gpu",
        lambda arguments, hint: [a.replace("topology=4x4", "hosts=4") for a in arguments],
    ),
    Case(f"{REQUEST}rules.py", "--flex 24h", f"{RENDER} v5e-16 --flex 30d", swap),
    Case(
        f"{REQUEST}rules.py", "--queue NAME", f"{RENDER} v4-8 --priority high", with_flags("--queue", "team")
    ),
    Case(
        f"{REQUEST}rules.py",
        "{} {}",
        f"{RENDER} v4-8 --label kueue.x-k8s.io/queue-name=team",
        lambda arguments, hint: [*arguments[:-2], *flags_of(hint)],
    ),
    Case(
        f"{REQUEST}rules.py",
        "--name and --namespace set its name",
        f"{RENDER} v4-8 --patch {{}}/patch.yaml",
        lambda arguments, hint: [*arguments[:-2], "--name", "other", "--namespace", "space"],
        lambda folder: (folder / "patch.yaml").write_text("metadata: {name: other}\n"),
    ),
    Case(
        f"{REQUEST}rules.py",
        "kubectl get nodes -L cloud.google.com/placement-policy-name shows the policies of node pools",
        f"{RENDER} tpu7x-64",
        with_flags("--placement-policy", "policy-of-the-pool"),
    ),
    Case(
        f"{REQUEST}fabric_choice.py",
        "--fabric ib",
        f"{RENDER} h100-16 --platform generic --fabric-resource rdma/ib=1",
        lambda arguments, hint: [*arguments, *flags_of(hint)],
    ),
    Case(
        f"{REQUEST}fabric_choice.py",
        "--fabric auto",
        f"{RENDER} h100-16 --fabric dranet",
        lambda arguments, hint: swap(arguments, hint),
    ),
    Case(
        f"{REQUEST}fabric_choice.py",
        "--platform generic --fabric {}",
        f"{RENDER} h100-16 --fabric efa",
        lambda arguments, hint: swap(arguments, hint),
    ),
    Case(
        f"{REQUEST}fabric_choice.py",
        "GKE hands out these cards: --platform gke",
        f"{RENDER} h200-16 --platform generic --fabric dranet",
        lambda arguments, hint: swap(arguments, hint[hint.index("--") :]),
    ),
    Case(
        f"{REQUEST}fabric_choice.py",
        "--fabric-resource {}=N, as under Allocatable of kubectl describe node",
        f"{RENDER} h100-16 --platform generic --fabric roce",
        with_flags("--fabric-resource", "nvidia.com/rdma=8"),
    ),
    Case(
        f"{REQUEST}kubernetes_names.py",
        "mount it by its CSI driver, as in --mount pvc/CLAIM:/store, and name a path below",
        f"{RENDER} v4-8 --run-dir s3://b-1/x",
        with_flags("--mount", "pvc/claim:/store", "--run-dir", "/store/x"),
    ),
    Case(
        f"{REQUEST}queue_topology.py",
        "--topology-required {}",
        f"{RENDER} v5e-16 --num-slices 2 --queue team --topology-preferred {BLOCK}",
        lambda arguments, hint: [*arguments[:-2], *flags_of(hint)],
    ),
    Case(
        f"{REQUEST}queue_topology.py",
        "--num-slices 1, or leave out --topology-required: older ones look for one place for all slices",
        f"{RENDER} v5e-16 --num-slices 2 --queue team --topology-required {BLOCK} --kueue-version 0.12",
        swap,
    ),
    Case(
        f"{REQUEST}queue_topology.py",
        "leave out --{}",
        f"{RENDER} v5e-16 --queue team --kueue-version 0.8 --topology-preferred {BLOCK}",
        lambda arguments, hint: arguments[:-2],
    ),
    Case(
        f"{REQUEST}mounts.py",
        "as in --mount pvc/imagenet:/data:ro",
        f"{RENDER} v4-8 --mount imagenet",
        swap,
    ),
    Case(
        f"{REQUEST}kubernetes_names.py",
        "--image {}",
        f"{RENDER} v4-8 --image https://Registry.io/Team/image:Tag",
        swap,
    ),
    Case(f"{REQUEST}trainer_settings.py", "resnet-launch config --train", f"{RENDER} v4-8 --set x=1", paste),
    Case(
        f"{REQUEST}discovery.py",
        "chmod go-w {}",
        f"{RENDER} v4-8",
        lambda arguments, hint: (Path(hint.split()[-1]).chmod(0o644), arguments)[1],
        settings_file("bucket: my-bucket\n", 0o666),
    ),
    Case(
        f"{REQUEST}field_values.py",
        'quote it: {}"{}"',
        f"{RENDER} v4-8",
        lambda arguments, hint: (
            Path("resnet-launch.yaml").write_text(f"label: {{{hint.removeprefix('quote it: ')}}}\n"),
            arguments,
        )[1],
        settings_file("label: {on: yes}\n"),
    ),
    Case("launcher/hardware/suggestions.py", "resnet-launch slices lists them", f"{RENDER} zzz", paste),
    Case(
        "launcher/hardware/suggestions.py",
        "{}-{}?",
        f"{RENDER} v4x-32",
        lambda arguments, hint: swap(arguments, f"--slice {hint.removeprefix('did you mean ').rstrip('?')}"),
    ),
    Case(
        "launcher/hardware/suggestions.py",
        "one slice is one NVLink domain: --slice {}-{} --num-slices N",
        f"{RENDER} gb200-144",
        lambda arguments, hint: swap(arguments, f"{shlex.join(flags_of(hint)[:2])} --num-slices 2"),
    ),
    Case(
        "launcher/hardware/suggestions.py",
        "at most {} chips on GKE; resnet-launch slices {} lists the slices",
        f"{RENDER} v5e:3x5",
        paste,
    ),
    Case(
        "launcher/hardware/suggestions.py",
        "the largest {} slice on GKE has {} chips; --num-slices joins several slices",
        f"{RENDER} v5e-512",
        with_flags("--slice", "v5e-256", "--num-slices", "2"),
    ),
    Case(
        "launcher/cli/verbs/render.py",
        "resnet-launch render DIR --format kustomize --slice v4-32 --arch resnet152",
        "render {}/base --slice v4-32 --arch resnet50",
        paste,
    ),
    Case(
        "launcher/cli/verbs/check.py",
        "--batch auto --plot batch.svg",
        "check --slice v5e-4 --arch resnet18 --estimate --no-cluster --plot batch.png",
        swap,
    ),
    Case(
        "launcher/cli/verbs/check.py",
        "--batch auto alone prints its table",
        "check --slice cpu-1x1 --arch resnet18 --estimate --no-cluster --batch auto --plot batch.svg",
        lambda arguments, hint: arguments[:-2],
    ),
    Case(
        "launcher/check/networks.py",
        "resnet-launch config --train lists the networks",
        "check --slice v5e-16 --estimate --no-cluster --compare-archs zzz",
        paste,
    ),
    Case(
        "launcher/check/prices.py",
        "--price 3.22, or --price v5e=1.2,v6e=2.7",
        "check --slice v5e-16 --arch resnet18 --estimate --no-cluster --price cheap",
        swap,
    ),
    Case(
        "launcher/check/prices.py",
        "resnet-launch slices lists the generations",
        "check --slice v5e-16 --arch resnet18 --estimate --no-cluster --price zzz=1",
        paste,
    ),
    Case(
        "launcher/cli/verbs/logs.py",
        "--host 0",
        "logs run --host zero",
        lambda arguments, hint: ["logs", "run", *flags_of(hint), "--help"],
    ),
    Case(
        "launcher/cli/verbs/local.py",
        "--slice cpu-{}x{} has as many hosts and devices",
        "local --slice v4-16 --arch resnet18",
        lambda arguments, hint: ["render", *swap(arguments, hint)[1:]],
    ),
    Case(
        "launcher/cli/target.py",
        "resnet-launch delete {} --yes",
        "delete one two --yes three",
        lambda arguments, hint: [*paste(arguments, hint), "--help"],
    ),
]
