"""How many questions the test sets of common generation tasks have, by the name that lm-eval gives them."""

QUESTIONS: dict[str, int] = {
    "gsm8k": 1319,
    "gsm8k_cot": 1319,
    "humaneval": 164,
    "ifeval": 541,
    "mbpp": 500,
}
