"""`sample` and `chat` end to end, with a model that is trained once: what comes out of a pipe, of a terminal, and of a broken child."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dllm_run.cli.child import Child
from dllm_run.cli.kept_spec import find_spec
from dllm_run.cli.sampled import Wish, sampled
from dllm_run.specs.errors import StageFailed
from dllm_run.specs.store import Runs

pytestmark = pytest.mark.slow
TEMPLATE = "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }};{% endfor %}{% if add_generation_prompt %}a:{% endif %}"
SPEC = f"""\
version: 1
name: talk
data:
  pairs: {{sources: [./pairs.jsonl], holdout: 1 rows, max_length: 64, columns: {{messages: messages}}, chat_template: "{TEMPLATE}"}}
  texts: {{sources: [./texts.txt], max_length: 32}}
stages:
  plain:
    kind: pretrain
    model: {{scratch: {{family: llama, layers: 1, width: 16, heads: 2}}, tokenizer: bytes}}
    data: ${{data.texts}}
    objective: mdlm
    batch: 4
    optimizer: {{learning_rate: 1e-3}}
    duration: 1 steps
  train:
    kind: sft
    model: {{scratch: {{family: llama, layers: 1, width: 32, heads: 2}}, tokenizer: bytes}}
    data: ${{data.pairs}}
    objective: mdlm
    batch: 8
    optimizer: {{learning_rate: 3e-3}}
    duration: 20 steps
  look:
    kind: sample
    model: ${{stages.train}}
    prompts: ["a", "bc"]
    max_new_tokens: 12
    sampler: {{type: llada, temperature: 1.0}}
compute: {{threads: 1, device: cpu}}
"""
Call = Callable[..., subprocess.CompletedProcess[str]]


def environment(**more: str) -> dict[str, str]:
    return {**{key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")}, **more}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "dllm_run.cli.main", *words]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "spec.yaml").write_text(SPEC)
    (folder / "texts.txt").write_text("a text\nanother\na third one\n")
    pairs = [
        {"messages": [{"role": "user", "content": f"say {word}"}, {"role": "assistant", "content": word}]}
        for word in ("one", "two", "six", "ten", "red", "sun", "sky", "dog", "cat", "cow")
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    done = subprocess.run(command("spec.yaml", "-q"), cwd=folder, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def call(trained: Path) -> Call:
    def called(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(command(*words), cwd=trained, env=environment(), input=said, text=True, capture_output=True, check=False)

    return called


def kept(trained: Path) -> list[dict[str, Any]]:
    (path,) = trained.glob("runs/store/*/samples/samples.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- sample


def test_what_a_stage_asks_for_comes_out_as_the_stage_wrote_it(trained: Path, call: Call) -> None:
    for named in ("spec.yaml", "talk"):
        found = json.loads(call("sample", named, "--json").stdout)
        rows = [{key: value for key, value in row.items() if key not in ("title", "note")} for row in found["samples"]]
        assert (found["schema"], found["model"], found["stage"]) == ("dllm-run/sample/1", "train", "look")
        assert rows == kept(trained)


def test_a_pipe_gets_texts_and_nothing_else(trained: Path, call: Call) -> None:
    found = call("sample", "talk")
    assert found.stdout == "\n".join(row["text"] + "\n" for row in kept(trained))
    assert found.stderr == ""


def test_prompts_come_from_the_command_line_and_from_standard_input(call: Call) -> None:
    words = ("sample", "talk", "--temperature", "0", "--max-new-tokens", "4", "--json")
    found = json.loads(call(*words, "--prompt", "x{{ y }} ${z}", "-", said="first\nsecond\n").stdout)
    assert [row["masked"] for row in found["samples"]] == ["x{{ y }} ${z}____", "first____", "second____"]


def test_several_samples_of_a_prompt_differ_and_so_do_seeds(call: Call) -> None:
    words = ("sample", "spec.yaml", "--prompt", "say", "-n", "3", "--temperature", "2", "--json")
    first, other = (json.loads(call(*words, *more).stdout)["samples"] for more in ((), ("--seed", "5")))
    texts = [row["text"] for row in first]
    assert len(set(texts)) == 3 and all(text.startswith("say") for text in texts)
    assert set(texts).isdisjoint(row["text"] for row in other)


def test_a_model_without_a_stage_that_samples_is_given_one(call: Call) -> None:
    found = json.loads(call("sample", "talk", "--stage", "plain", "--prompt", "x", "--max-new-tokens", "3", "--json").stdout)
    assert (found["model"], found["stage"], found["samples"][0]["masked"]) == ("plain", "sample", "x___")


def test_a_spec_of_a_model_alone_is_sampled_from(trained: Path, call: Call) -> None:
    look = json.loads(call("sample", "talk", "--json").stdout)
    (path,) = (path for path in trained.glob("runs/store/*/model") if json.loads((path / "config.json").read_text())["hidden_size"] == 32)
    (trained / "model.yaml").write_text(f"version: 1\nname: model\nmodel: ./{path.relative_to(trained)}\ncompute: {{threads: 1}}\n")
    words = ("--prompt", "a", "bc", "--max-new-tokens", "12", "--temperature", "1", "--json")
    found = json.loads(call("sample", "model.yaml", *words).stdout)
    assert [row["tokens"] for row in found["samples"]] == [row["tokens"] for row in look["samples"]]
    refused = call("chat", "model.yaml")
    assert refused.returncode == 2 and "has a chat template" in refused.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(
            ["sample", "talk", "--sampler", "{type: bd3lm, block_size: 4}"], 3, "error[E420]", id="a sampler that the model cannot take"
        ),
        pytest.param(["sample", "talk", "--sampler", "lada"], 3, "did you mean 'llada'?", id="a typo"),
        pytest.param(["sample", "talk", "--max-new-tokens", "9999"], 3, "at most", id="more tokens than positions"),
        pytest.param(["sample", "talk", "--temperature", "0", "--seed", "1"], 3, "draws no random numbers", id="a seed for nothing"),
        pytest.param(["sample", "talk", "--temperature", "0", "-n", "2"], 2, "--temperature 1 draws", id="two samples that are one"),
        pytest.param(["sample", "talk", "--prompt", "x" * 5000], 1, "prompt 1 has 5000 tokens", id="a prompt that does not fit"),
        pytest.param(["sample", "talk", "--stage", "lok"], 5, "did you mean look?", id="no such stage"),
        pytest.param(["sample", "nothing"], 5, "there is no spec, compiled tree or run nothing", id="no such run"),
        pytest.param(["sample", "spec.yaml", "-s", "stages.train.duration=21 steps"], 5, "train has no result", id="not trained yet"),
        pytest.param(["chat", "talk", "--stage", "plain"], 2, "`dllm-run sample talk --prompt TEXT`", id="a model that does not chat"),
        pytest.param(
            ["chat", "talk", "--sampler", "{type: bd3lm, block_size: 4}"], 3, "error[E420]", id="a chat with a sampler that does not fit"
        ),
    ],
)
def test_what_does_not_go_together_is_told_without_a_traceback(call: Call, words: list[str], code: int, said: str) -> None:
    found = call(*words)
    assert (found.returncode, found.stdout) == (code, "")
    assert said in found.stderr and "Traceback" not in found.stderr


# --- on a terminal


class Terminal:
    """A command whose output, and input if asked, are a terminal of 80 columns."""

    def __init__(self, folder: Path, *words: str, typed: bool = False, **more: str) -> None:
        self.main, end = pty.openpty()
        stdin = end if typed else subprocess.PIPE
        env = environment(TERM="xterm-256color", COLUMNS="80", LINES="24", **more)
        self.process = subprocess.Popen(command(*words), cwd=folder, env=env, stdin=stdin, stdout=end, stderr=end, start_new_session=True)
        os.close(end)
        self.seen = ""

    def until(self, text: str, seconds: float = 120) -> str:
        """Read until the text comes, or the end."""
        deadline = time.monotonic() + seconds
        while text not in self.seen and time.monotonic() < deadline:
            if select.select([self.main], [], [], 0.1)[0]:
                try:
                    data = os.read(self.main, 4096)
                except OSError:  # a terminal nobody holds any more
                    break
                if not data:
                    break
                self.seen += data.decode(errors="replace")
        return self.seen

    def end(self) -> str:
        """Everything that came, when the process is over."""
        self.until("\0")
        self.process.wait(timeout=60)
        os.close(self.main)
        return self.seen


def test_without_colour_no_escape_code_reaches_a_terminal_and_no_line_is_wider_than_it(trained: Path) -> None:
    seen = Terminal(trained, "sample", "talk", "--max-new-tokens", "100", NO_COLOR="1").end()
    assert "\x1b" not in seen
    lines = seen.replace("\r\n", "\n").split("\n")
    assert max(map(len, lines)) <= 80 and any("when it was filled" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "legend"),
    [pytest.param([], "filled early", id="sampled"), pytest.param(["--replay", "--color", "confidence"], "certain", id="replayed")],
)
def test_a_terminal_in_colours_shows_canvases_that_fill_in(trained: Path, words: list[str], legend: str) -> None:
    seen = Terminal(trained, "sample", "talk", *words).end()
    assert "░" in seen and "\x1b[38;" in seen and legend in seen


# --- nothing heavy in the process of the command


@pytest.mark.parametrize("words", [["sample", "talk"], ["sample", "talk", "--replay"], ["chat", "talk"]], ids=" ".join)
def test_the_process_of_the_command_imports_nothing_that_computes(trained: Path, words: list[str]) -> None:
    heavy = ("torch", "transformers", "numpy", "dllm_run.runtime")
    code = f"""
import sys
from dllm_run.cli.main import main
code = main({words!r})
print("code", code, "heavy", [name for name in {heavy!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=trained, text=True, capture_output=True, check=False, input="say one\n")
    assert done.stdout.splitlines()[-1:] == ["code 0 heavy []"], done.stdout + done.stderr


# --- chat


def test_the_second_question_is_read_with_the_first_until_that_is_forgotten(call: Call) -> None:
    first, second = "x" * 3000, "y" * 2000
    found = call("chat", "talk", "--temperature", "0", "--json", said=f"{first}\n{second}\n/reset\n{second}\n")
    messages = json.loads(found.stdout)["messages"]
    # Only without the first is there room for the second.
    assert [message["content"] for message in messages[::2]] == [second]
    answered = json.loads(call("chat", "talk", "--temperature", "0", "--json", said=f"{first}\n").stdout)["messages"][1]["content"]
    whole = f"u:{first};a:{answered};u:{second};a:"
    assert f"a conversation of {len(whole.encode())} tokens with an answer of 12 does not fit the model's 4096" in found.stderr


def test_a_conversation_in_json_is_one_document(call: Call) -> None:
    words = ("chat", "talk", "--temperature", "0", "--system", "Hm.", "--json")
    found = json.loads(call(*words, said="say one\n\n//x\n/quit\nnever read\n").stdout)
    assert found["schema"] == "dllm-run/chat/1"
    assert [item["role"] for item in found["messages"]] == ["system", "user", "assistant", "user", "assistant"]
    assert [item["content"] for item in found["messages"]][::3] == ["Hm.", "/x"]


def test_ctrl_c_ends_the_answer_and_not_the_chat(trained: Path) -> None:
    terminal = Terminal(trained, "chat", "talk", "--max-new-tokens", "4000", typed=True)
    terminal.until("> ")
    os.write(terminal.main, b"say one\n")
    terminal.until("░")
    assert "░" in terminal.seen
    terminal.process.send_signal(signal.SIGINT)
    terminal.until("(cancelled)")
    assert "(cancelled)" in terminal.seen
    # At the prompt it only says how to end.
    terminal.seen = terminal.seen.rpartition("(cancelled)")[2]
    terminal.until("> ")
    for _ in range(60):  # readline sees a signal late that comes between its prompt and its first look at the keys
        terminal.process.send_signal(signal.SIGINT)
        if "ends the conversation" in terminal.until("ends the conversation", 2):
            break
    os.write(terminal.main, b"/undo\n")
    assert "nothing to forget" in terminal.until("nothing to forget")
    terminal.seen = terminal.seen.rpartition("nothing to forget")[2]
    terminal.until("> ")
    for _ in range(30):  # a key that comes while the terminal changes its mode is lost
        os.write(terminal.main, b"\x04")
        terminal.until("\0", 1)
        if terminal.process.poll() is not None:
            break
    terminal.end()
    assert terminal.process.returncode == 0


# --- the process of the model


@pytest.fixture(scope="module")
def child(trained: Path) -> Iterator[Child]:
    runs = Runs(trained / "runs")
    found = sampled(find_spec("talk", (), runs), Wish(own_prompts=True), runs, Console(stderr=True))
    with Child(found, runs) as started:
        started.ready(lambda event: None)
        yield started


def test_what_is_cancelled_ends_and_what_is_asked_next_is_answered(child: Child) -> None:
    number = child.ask("texts", {"texts": ["x"]})
    child.cancel(number)
    assert list(child.told(number))[-1]["event"] == "cancelled"
    events = list(child.told(child.ask("texts", {"texts": ["x"]})))
    assert [event["event"] for event in events][-2:] == ["filled", "finished"]
    told = [event["event"] for event in events]
    assert told[0] == "canvas" and told.count("reveal") == 12 and "canvas_done" in told


def test_what_is_refused_leaves_the_model_there(child: Child) -> None:
    number = child.ask("answer", {"messages": [{"role": "user", "content": "x" * 5000}]})
    (event,) = child.told(number)
    assert event["event"] == "refused" and "does not fit the model's 4096" in event["message"]
    assert list(child.told(child.ask("own", {})))[-1]["event"] == "finished"


def test_a_model_that_dies_is_told_with_the_last_line_of_its_log(child: Child) -> None:
    number = child.ask("nonsense", {})
    with pytest.raises(StageFailed, match=r"ended with code 1: KeyError: 'nonsense'\n  log: .*log.txt"):
        list(child.told(number))


def test_what_is_asked_of_a_model_that_is_gone_is_told(child: Child) -> None:
    with pytest.raises(StageFailed, match="ended with code 1"):
        list(child.told(child.ask("own", {})))
