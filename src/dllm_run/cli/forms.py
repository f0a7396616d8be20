"""What the arguments of a verb may be, for its help. Imports nothing, since every verb's parser is built on every call."""

DIFF = """\
OLD and NEW are each one of

  spec.yaml, recipe:NAME     a spec; -s acts on it
  REV:PATH                   a spec as git has it (HEAD~1:spec.yaml, main:experiments/a.yaml); its lock
                             and its data come from that revision too, data that git does not keep
                             from the disk
  FOLDER                     what `dllm-run compile -o FOLDER` wrote, read without compiling
  RUN                        a run: its id, the beginning of it, its name, NAME/ID, or its folder
  any of these, then /POINT  one point of a sweep, by name or id: spec.yaml/steps=64, RUN/5d0e77aa

exit codes: 4 a field that changes results differs (with --strict: or one of numerics), else 0
"""

SAMPLE = """\
SPEC is a spec, recipe:NAME, a run (id, the beginning of it, name, NAME/ID) or its folder; default: the last run.
Of its stages the last that samples is taken, with its sampler and prompts; else one is made for its last model.

  dllm-run sample tiny                                  the stage's own prompts, as the run sampled them
  dllm-run sample tiny --prompt "Once upon" -n 3 --temperature 1
  dllm-run sample llada.yaml --sampler "{type: llada, steps: 64, block_size: 32}" --prompt "2 + 2 ="
  cat prompts.txt | dllm-run sample tiny --prompt - > texts.txt
  dllm-run sample tiny --replay --color confidence      play what was kept; no model is loaded
"""

CHAT = """\
SPEC is a spec, recipe:NAME, a run (id, the beginning of it, name, NAME/ID) or its folder; default: the last run.

  /reset   forget the conversation          Ctrl-C   end the answer that is being written
  /undo    forget the last question         Ctrl-D   end
  /help    these lines                      /quit    end

In a pipe every line is a question, and its answer is printed plainly.
"""
