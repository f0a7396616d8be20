"""DeepSpeed's hostfile: a line a host, and a sentence for each host that it cannot hold."""

import pytest

from dllm_run.launchers.hostfile import Host, hostfile
from dllm_run.specs.errors import EnvironmentProblem


def test_a_host_is_a_line_in_the_order_given() -> None:
    assert hostfile([Host("node2", 4), Host("node1.cluster", 8)]) == "node2 slots=4\nnode1.cluster slots=8\n"


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        pytest.param([], "there are none", id="none"),
        pytest.param([Host("a", 2), Host("b", 2), Host("a", 1)], "a stands there 2 times", id="twice"),
        pytest.param([Host("a", 2), Host("b", 0)], "b has 0 slots", id="no-slots"),
        pytest.param([Host("a", -1)], "a has -1 slots", id="negative"),
        pytest.param([Host("a slots=9", 2)], "'a slots=9' is no host name", id="blank"),
        pytest.param([Host("a\nb", 2)], "is no host name", id="line-end"),
        pytest.param([Host("", 2)], "'' is no host name", id="empty"),
        pytest.param([Host("-a", 2)], "'-a' is no host name", id="an-option"),
        pytest.param([Host("#a", 2)], "'#a' is no host name", id="a-comment"),
    ],
)
def test_what_a_hostfile_cannot_hold_is_refused_with_the_reason(hosts: list[Host], said: str) -> None:
    with pytest.raises(EnvironmentProblem) as raised:
        hostfile(hosts)
    assert said in str(raised.value)


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(EnvironmentProblem) as raised:
        hostfile([Host("a", 0), Host("a", 1), Host("b c", 1)])
    assert all(said in str(raised.value) for said in ("a stands there 2 times", "'b c' is no host name", "a has 0 slots"))
