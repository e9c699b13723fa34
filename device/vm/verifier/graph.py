"""Strongly connected components, without recursion and in linear time."""

from __future__ import annotations

from collections.abc import Sequence


def components(successors: Sequence[Sequence[int]]) -> list[list[int]]:
    """The strongly connected components of a graph, successors before predecessors.

    Node i has the edges `successors[i]`. Tarjan's algorithm with a stack of our own: programs have up to
    65536 slots in a row, far more than Python's recursion limit.
    """
    index = [0] * len(successors)  # 0: not seen
    low = [0] * len(successors)
    found: list[list[int]] = []
    open_nodes: list[int] = []
    closed = len(successors) + 1
    count = 0
    for root in range(len(successors)):
        if index[root]:
            continue
        work = [(root, iter(successors[root]))]
        count += 1
        index[root] = low[root] = count
        open_nodes.append(root)
        while work:
            node, edges = work[-1]
            for target in edges:
                if not index[target]:
                    count += 1
                    index[target] = low[target] = count
                    open_nodes.append(target)
                    work.append((target, iter(successors[target])))
                    break
                if index[target] < low[node]:
                    low[node] = index[target]
            else:
                work.pop()
                if work and low[node] < low[work[-1][0]]:
                    low[work[-1][0]] = low[node]
                if low[node] == index[node]:
                    found.append(_close(open_nodes, node, index, closed))
    return found


def _close(open_nodes: list[int], node: int, index: list[int], closed: int) -> list[int]:
    """Take the component of `node` off the stack; its nodes count for nobody's `low` any more."""
    members = []
    while True:
        member = open_nodes.pop()
        index[member] = closed
        members.append(member)
        if member == node:
            return members


def is_cyclic(members: Sequence[int], successors: Sequence[Sequence[int]]) -> bool:
    """Whether a component has a cycle: several nodes, or an edge of its only node to itself."""
    return len(members) > 1 or members[0] in successors[members[0]]
