# python examples/small_gpt2.py .cache/demo/shakespeare/train-*.txt --to .cache/demo/small-gpt2
"""Writes a small GPT-2 with random weights, and a tokenizer of the words in some text files.

It knows nothing yet: it is for places without a model hub, and shows what training alone can do.
A folder that is there already is left as it is.
"""

import argparse
from pathlib import Path

END = "<|endoftext|>"
WORDS = 4096
POSITIONS = 256


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(description="Writes a small GPT-2 with random weights.")
    parser.add_argument("texts", nargs="+", metavar="FILE.txt", help="what its words come from")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR")
    options = parser.parse_args()
    folder: Path = options.to
    if not (folder / "config.json").exists():
        _write(folder, options.texts)
    print(f"the model is in {folder}")


def _write(folder: Path, texts: list[str]) -> None:
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train(texts, vocab_size=WORDS, special_tokens=[END], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer,
        bos_token=END,
        eos_token=END,
        model_max_length=POSITIONS,
    )
    tokenizer.save_pretrained(folder)
    end = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=POSITIONS,
        n_embd=128,
        n_layer=4,
        n_head=4,
        bos_token_id=end,
        eos_token_id=end,
    )
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(folder)


if __name__ == "__main__":
    main()
