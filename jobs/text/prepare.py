"""Make what the text job needs: sentences as lists of token ids, and a trained transformer that tells what they want.

    python jobs/text/prepare.py [--out DIR] [--force]

Sentences come from a seeded grammar (sentences.py), no text twice; the one half trains the model, the other half is the
test data. A token is a word, its id the line (from 0) of data/vocabulary.txt; words that the train half holds once or
never share an id. Lists are as long as their sentence: padding is up to whoever runs the model. Nothing is made again
while the outputs are as they were left.

    model.onnx                       input_ids, attention_mask int64[N, L] -> logits float32[N, 8], weights inside
    data/test/part-00.parquet ...    id int64, ids list<int64>, label string, text string, channel string; 8 files
    data/train/part-00.parquet ...   the same columns, for the sentences that the model has seen
    data/vocabulary.txt              one word a line, [pad] and [unknown] first
    data/prepared.json               what made the files, and their sha256; written last
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

# The script is run by its path, so that the folder of all jobs is not importable by itself.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jobs.network import Course, accuracy, export_onnx, export_program, learn
from jobs.parts import write_parts
from jobs.stamp import Stamp, makers, replacing
from jobs.text.sentences import INTENTS, Sentence, sentences

if TYPE_CHECKING:
    import torch

SEED = 0
ROWS = 2_000
PARTS = 8
ROW_GROUP_ROWS = 80
PAD, UNKNOWN = 0, 1
SPECIAL = ("[pad]", "[unknown]")
MAX_LENGTH = 64
WIDTH = 32
COURSE = Course(epochs=8, max_rate=1e-2)
SOURCES = ("text/prepare.py", "text/sentences.py", "network.py", "parts.py", "stamp.py")
MADE_WITH = ("numpy", "onnx", "onnxscript", "pyarrow", "torch")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the model and the data of the text job.")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="folder to write to")
    parser.add_argument("--force", action="store_true", help="make everything again")
    arguments = parser.parse_args()
    out: Path = arguments.out
    stamp = stamp_of(out)
    if not arguments.force and stamp.is_current():
        print(f"text: all files in {out} are as they were made, nothing to do (--force makes them again)")
        return 0
    stamp.remove()
    made = sentences(2 * ROWS, SEED)
    words = vocabulary(made[:ROWS])
    train, test = to_table(made[:ROWS], words, 0), to_table(made[ROWS:], words, ROWS)
    network = learn(lambda: new_network(len(words)), tensors_of(train), labels_of(train), COURSE)
    files = [export_model(network, out / "model.onnx"), write_lines(words, out / "data" / "vocabulary.txt")]
    for table, half in ((train, "train"), (test, "test")):
        files += write_parts(table, out / "data" / half, PARTS, ROW_GROUP_ROWS, repeating=["label", "channel"])
    stamp.write(files)
    print(
        f"text: wrote model.onnx, {len(words)} words and {PARTS} Parquet files each of {ROWS:,} train and {ROWS:,} test"
        f" rows to {out}; accuracy on the test rows {accuracy(network, tensors_of(test), labels_of(test)):.4f}"
    )
    return 0


def stamp_of(out: Path) -> Stamp:
    jobs = Path(__file__).resolve().parents[1]
    return Stamp(out, makers([jobs / source for source in SOURCES], MADE_WITH, extra="jobs"))


def vocabulary(known: Iterable[Sentence]) -> list[str]:
    """The special tokens, then all words that stand in these sentences twice or more, the most frequent first."""
    counts = Counter(word for sentence in known for word in sentence.text.split())
    return [*SPECIAL, *sorted((word for word in counts if counts[word] > 1), key=lambda word: (-counts[word], word))]


def write_lines(lines: Iterable[str], path: Path) -> Path:
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def to_table(rows: Sequence[Sentence], words: Sequence[str], first_id: int) -> pa.Table:
    ids = {word: number for number, word in enumerate(words)}
    return pa.table(
        {
            "id": np.arange(first_id, first_id + len(rows)),
            "ids": pa.array(
                [[ids.get(word, UNKNOWN) for word in row.text.split()] for row in rows], pa.list_(pa.int64())
            ),
            "label": [row.intent for row in rows],
            "text": [row.text for row in rows],
            "channel": [row.channel for row in rows],
        }
    )


def tensors_of(table: pa.Table) -> list[torch.Tensor]:
    """input_ids and attention_mask, int64[N, longest]."""
    import torch

    rows = [torch.tensor(ids) for ids in table["ids"].to_pylist()]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    lengths = torch.tensor([len(row) for row in rows])
    return [padded, (torch.arange(padded.shape[1]) < lengths[:, None]).long()]


def labels_of(table: pa.Table) -> torch.Tensor:
    import torch

    return torch.tensor([INTENTS.index(label) for label in table["label"].to_pylist()])


def new_network(words: int) -> torch.nn.Module:
    """A transformer of two layers: input_ids, attention_mask int64[N, L], L to MAX_LENGTH, to logits float32[N, 8]."""
    import torch
    from torch import Tensor, nn

    # Its fast path is one operator that no exporter knows.
    torch.backends.mha.set_fastpath_enabled(False)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(words, WIDTH)
            self.places = nn.Embedding(MAX_LENGTH, WIDTH)
            layer = nn.TransformerEncoderLayer(WIDTH, nhead=2, dim_feedforward=64, dropout=0.0, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
            self.head = nn.Linear(WIDTH, len(INTENTS))

        # The names of the arguments become the names of the inputs.
        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            places = torch.arange(input_ids.shape[1], device=input_ids.device)
            embedded = self.words(input_ids) + self.places(places)
            encoded = self.encoder(embedded, src_key_padding_mask=attention_mask == 0)
            # The mean of the tokens that are there: what is padded on has no part in it.
            there = attention_mask.unsqueeze(2).to(encoded.dtype)
            return self.head((encoded * there).sum(dim=1) / there.sum(dim=1))

    return Network()


def export_model(network: torch.nn.Module, path: Path) -> Path:
    """Writes the network; it takes any number of rows of any length to MAX_LENGTH."""
    import torch

    dims = {0: torch.export.Dim("rows", min=1), 1: torch.export.Dim("length", min=1, max=MAX_LENGTH)}
    # Two tensors: given one tensor twice, torch.export takes both arguments to be the same for ever.
    example = [torch.ones(2, 5, dtype=torch.int64) for _ in range(2)]
    program = export_program(network, example, [dims, dims])
    return export_onnx(program, path, "logits", [{0: "rows", 1: "length"}] * 2)


if __name__ == "__main__":
    sys.exit(main())
