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
