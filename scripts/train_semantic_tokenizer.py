"""`bark-jax train-semantic-tokenizer`, from a checkout."""

from checkout import command

if __name__ == "__main__":
    command("train-semantic-tokenizer")
