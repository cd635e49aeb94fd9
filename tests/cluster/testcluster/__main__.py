"""`python -m testcluster up | down | status | packages | image`: the test cluster from the command line."""

import argparse
import os
import sys
import time

from testcluster import cgroups, image, kind, places, requirements
from testcluster.build import TOOLS, build
from testcluster.cluster import Cluster
from testcluster.errors import ClusterError
from testcluster.sandbox import held

NAME = "dev"


def up(args: argparse.Namespace) -> None:
    """Start this checkout's cluster unless it runs, and print how to use it."""
    if args.cluster == "kind":
        print(f"  export KUBECONFIG={kind.up()}\n  kubectl get nodes,jobsets\nend it with: make cluster-down")
        return
    if reason := requirements.missing():
        raise ClusterError(reason)
    started = time.monotonic()
    running = held(places.cluster_folder(NAME))
    cluster = Cluster.attach(NAME) if running else Cluster.start(NAME, owned=False)
    if not args.control_plane:
        try:
            archives = [image.build(target).archive for target in args.image]
            node = cluster.add_node(*archives)
            for archive in archives:  # a node that was running gets images that changed since
                node.load(archive)
        except BaseException:
            if not running:
                cluster.end()
            raise
    print(f"ready in {time.monotonic() - started:.1f} s")
    describe(cluster)


def describe(cluster: Cluster) -> None:
    """Print how to use a running cluster."""
    print(f"  export KUBECONFIG={cluster.kubeconfig}")
    print("  kubectl get nodes,jobsets,workloads")
    print(f"bucket  {cluster.bucket.url}, for processes on this machine:")
    for name, value in cluster.bucket.environment().items():
        print(f"  export {name}={value}")
    if cluster.node:
        print(f"node    {cluster.node.name}, images {', '.join(cluster.node.images())}")
    print(f"control groups of version {cgroups.version()}")
    print(f"logs    {cluster.logs}\nend it with: make cluster-down")


def down(_: argparse.Namespace) -> None:
    """End this checkout's cluster and remove what killed ones left."""
    Cluster.end_named(NAME)
    kind.down()


def status(_: argparse.Namespace) -> None:
    """List the components, one line each."""
    cluster = Cluster.attach(NAME)
    for name, report in cluster.sandbox.status().items():
        state = "running" if report["exit"] is None else f"ended with {report['exit']}"
        print(f"{name:<26} {state:<16} starts={report['starts']} {report['log']}")
    describe(cluster)


def packages(_: argparse.Namespace) -> None:
    """Install the Debian packages that a node and the images need."""
    requirements.install()


def tools(_: argparse.Namespace) -> None:
    """Build every Go tool that is not in the cache."""
    for name in TOOLS:
        print(f"{name:<12} {build(name)}")


def build_images(args: argparse.Namespace) -> None:
    """Build the images and print their sizes."""
    for target in args.target:
        built = image.build(target)
        print(f"{built.name}  {built.bytes / 1e6:,.0f} MB  {built.archive}")


def parser() -> argparse.ArgumentParser:
    """The verbs and their flags."""
    result = argparse.ArgumentParser(prog="python -m testcluster", description=__doc__)
    verbs = result.add_subparsers(required=True, metavar="VERB")
    for name, function in (("down", down), ("status", status), ("packages", packages), ("tools", tools)):
        verbs.add_parser(name, help=function.__doc__).set_defaults(function=function)
    starting = verbs.add_parser("up", help=up.__doc__)
    starting.add_argument("--cluster", choices=("own", "kind"), default="own", help="default: own")
    starting.add_argument(
        "--control-plane", action="store_true", help="start without a node: faster, but no pod can run"
    )
    starting.add_argument("--image", nargs="*", default=["cpu"], choices=image.TARGETS, help="default: cpu")
    starting.set_defaults(function=up)
    building = verbs.add_parser("image", help=build_images.__doc__)
    building.add_argument(
        "target", nargs="*", default=["cpu"], help=f"{', '.join(image.TARGETS)}; default: cpu"
    )
    building.set_defaults(function=build_images)
    return result


def main() -> int:
    """Run one verb; return 1 with the reason on stderr when it fails."""
    args = parser().parse_args()
    try:
        args.function(args)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
