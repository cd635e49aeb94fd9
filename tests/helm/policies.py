"""What NetworkPolicies of one namespace allow, by the rules of the Kubernetes API: policies add up.

Only what the charts and the launcher render is understood (matchLabels, ipBlock, ports by number);
anything else is an error. Source: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]
Labels = dict[str, str]


def network_policies(objects: Iterable[Object]) -> list[Object]:
    """Return the specs of the NetworkPolicies among `objects`."""
    return [manifest["spec"] for manifest in objects if manifest["kind"] == "NetworkPolicy"]


def reaches(
    policies: list[Object],
    source: Labels,
    target: Labels,
    port: int,
    *,
    from_other_namespace: bool = False,
    other_namespace: bool = False,
) -> bool:
    """Return whether a pod may open a TCP connection to a port of another.

    Args:
      policies: specs of all NetworkPolicies of the namespace.
      source: labels of the pod that connects.
      target: labels of the pod that is connected to.
      port: TCP port of the target.
      from_other_namespace: the source is in another namespace, which has no policies.
      other_namespace: the target is in another namespace, which has no policies.
    """
    leaves = from_other_namespace or _allowed(policies, "Egress", source, target, port, other_namespace)
    return leaves and (
        other_namespace or _allowed(policies, "Ingress", target, source, port, from_other_namespace)
    )


def _allowed(
    policies: list[Object], direction: str, pod: Labels, peer: Labels, port: int, peer_is_elsewhere: bool
) -> bool:
    selecting = [
        policy
        for policy in policies
        if direction in policy["policyTypes"] and _selects(policy["podSelector"], pod)
    ]
    rules = [rule for policy in selecting for rule in policy.get(direction.lower()) or []]
    side = "to" if direction == "Egress" else "from"
    return not selecting or any(_matches(rule, side, peer, port, peer_is_elsewhere) for rule in rules)


def _matches(rule: Object, side: str, peer: Labels, port: int, peer_is_elsewhere: bool) -> bool:
    assert rule.keys() <= {side, "ports"}, rule
    ports = {entry["port"] for entry in rule.get("ports", []) if entry["protocol"] == "TCP"}
    if "ports" in rule and port not in ports:
        return False
    return side not in rule or any(_peer(entry, peer, peer_is_elsewhere) for entry in rule[side])


def _peer(entry: Object, peer: Labels, peer_is_elsewhere: bool) -> bool:
    """A podSelector alone means pods of the policy's own namespace; an address here is never a pod's."""
    if entry.keys() == {"ipBlock"}:
        return False
    assert entry.keys() == {"podSelector"}, entry
    return not peer_is_elsewhere and _selects(entry["podSelector"], peer)


def _selects(selector: Object, labels: Labels) -> bool:
    assert selector.keys() <= {"matchLabels"}, selector
    return selector.get("matchLabels", {}).items() <= labels.items()
