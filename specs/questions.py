"""What is known of common tasks by the names that lm-eval gives them: questions of their test sets, and which of them run code."""

RUNS_CODE = ("humaneval", "mbpp")
"""How the names of tasks begin that run what the model writes; others say so themselves when they are read."""

QUESTIONS: dict[str, int] = {
    "gsm8k": 1319,
    "gsm8k_cot": 1319,
    "humaneval": 164,
    "ifeval": 541,
    "mbpp": 500,
}
