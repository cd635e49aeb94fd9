"""Programs of CPU hosts: one host compiles, all run the same program."""

import json
from pathlib import Path

import host_programs
import joined_hosts

# Which of the two hosts compiled the program.
COMPILED = {
    "first start": [1, 0],
    "restart": [0, 0],
    "a folder for each host": [1, 1],
    "the second host lost it": [0, 1],
    "a folder that nobody can write": [1, 1],
    "two processors": [1, 1],
}


def test_a_program_is_compiled_once_for_all_hosts_of_a_kind(tmp_path: Path) -> None:
    with joined_hosts.running(2, 1, Path(host_programs.__file__), tmp_path) as hosts:
        ends = joined_hosts.finished(hosts)
    assert [end[0] for end in ends] == [0, 0], ends
    first, second = (json.loads(end[1].splitlines()[-1]) for end in ends)
    assert {case: [first[case][1], second[case][1]] for case in first} == COMPILED
    results = {case: first[case][0] for case in first}
    assert {case: second[case][0] for case in second} == results
    assert list(results.values()) == [2, 2, 3, 3, 4, 5]
    assert len(list((tmp_path / "shared").iterdir())) == 3
    assert "compiled program not saved to /dev/null/programs" in ends[0][2]
