"""A sentence on each part of the check, for both of its pages."""

from unfreeze.jobs.data_check.near import SIMILARITY
from unfreeze.jobs.data_check.tokenizer_fit import MANY_PIECES
from unfreeze.jobs.data_check.typicality import FEW_TOKENS, ODD_SHARE

NOTES = {
    "splits": "Rows that fit, as training would have them. A share of train names train's rows.",
    "lengths": "Tokens of each row before anything is cut off, special ones included.",
    "lose_nothing": "Longer rows become several examples; nothing is cut off.",
    "labels": "Rows with each label.",
    "exact": "The same text but for case and white space; of all rows.",
    "near": (
        f"Texts that have {100 * SIMILARITY:.0f} % of their pieces or more in common, and are not "
        "the same. Found by MinHash, and each pair is compared piece by piece."
    ),
    "scripts": "Shares of the letters.",
    "faults": "Characters that nobody meant to write, of the rows that are looked at.",
    "tokenizer": (
        "Words are runs of letters and digits. Plain English stands for what the tokenizer may be "
        "expected to be good at; far more tokens per word mean that it was made for other texts "
        "(Rust et al., 2021)."
    ),
    "hard_words": (
        f"The most frequent words that become {MANY_PIECES} tokens or more, or are not known."
    ),
    "fit": (
        "How surprising the tokens of a row are to a bigram model of the other training rows, in "
        "bits per token. Rows that fit least are often of another kind: another language, tables, "
        f"left-over markup. Rows of fewer than {FEW_TOKENS} tokens are left out. A row is odd if "
        f"it has more bits than {100 - 100 * ODD_SHARE:.0f} % of the training rows."
    ),
}
