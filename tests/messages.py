"""Every place where ortbatch raises an error with a message for people, read from its source; and what messages are.

A template is the text of such a place, with `{}` for what is filled in. A message that only hands on another (`{}`,
`{}: {}`) has no words of its own and is not listed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = {
    "OrtbatchError", "JobError", "ModelError", "DataError", "PreflightError", "RunFolderError", "ReportError",
    "ShardError", "StorageError", "ClusterError", "UsageError", "BadParameter",
}  # fmt: skip
STEPS = (
    "add|ask|call|cast|compare|copy|cut|drop|end|export|free|give|install|judge|keep|leave|list|log|look|lower|make|merge|"
    "move|name|open|put|quantise|read|remove|rename|restore|run|save|say|see|set|sort|start|take|train|try|unset|use|wait|wrap|"
    "write"
)
STEP = re.compile(rf"(^|[.;:,!?(`]\s+|\band |\bor |\d\)\s)({STEPS})\b", re.IGNORECASE | re.MULTILINE)
ALTERNATIVES = re.compile(
    r"expected|allowed|did you mean|; it has |columns: |there are |the data have|which has |of the classes|"
    r"is not one of|such as `|`ortbatch |lies between|pip install",
    re.IGNORECASE,
)
PLACE = re.compile(
    r"`[^`]+`|'[^']+'|--\w|[\w-]+\.(yaml|onnx|parquet|json|py|pt2?)|\w/\w|(data|model|predictions)\.\w|gates[.[]\d|"
    r"^\w+: |baseline \w|^confidence",
    re.IGNORECASE,
)
RAW = re.compile(r"\b\w*(Error|Exception)\(|<class |object at 0x|Traceback|\[Errno ")


@dataclass(frozen=True)
class Site:
    """Where a message is made: `data/plan.py:126`, its error, and its template."""

    place: str
    kind: str
    template: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """What such a message looks like, on one line."""
        return re.compile(".*?".join(map(re.escape, " ".join(self.template.split()).split("{}"))))

    @property
    def is_a_defect(self) -> bool:
        """Is it about ortbatch itself, so that its reader can do nothing but report it?"""
        return "a defect of ortbatch" in self.template

    def __str__(self) -> str:
        return f"{self.place} {self.template[:60]}"


@cache
def sites() -> tuple[Site, ...]:
    """All of them, in the order of files and lines."""
    return tuple(site for path in sorted((ROOT / "ortbatch").rglob("*.py")) for site in _sites_of(path))


def _sites_of(path: Path) -> Iterator[Site]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and _name(node.func) in KINDS and node.args:
            template = _template(node.args[0])
            if re.search(r"\w", template.replace("{}", "")):
                yield Site(f"{path.relative_to(ROOT / 'ortbatch')}:{node.lineno}", _name(node.func), template)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _template(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _template(node.left) + _template(node.right)
    return "{}"


def says_what_to_do(text: str) -> bool:
    """Does it say a next step, or what would have been right?"""
    return bool(STEP.search(text) or ALTERNATIVES.search(text))


@cache
def _tested() -> str:
    """All tests but those of messages, as one line, without what stands in braces."""
    texts = []
    for path in (ROOT / "tests").rglob("*.py"):
        if path.name not in ("messages.py", "message_cases.py", "test_message_catalogue.py"):
            text = re.sub(r'"\s*\n\s*[fr]*"', "", re.sub(r"\\(.)", r"\1", path.read_text()))
            texts.append(" ".join(re.sub(r"[{][^{}]*[}]", "{}", text).split()))
    return " ".join(texts)


def is_quoted(template: str) -> bool:
    """Do three words of it in a row stand in a test?"""
    return any(words in _tested() for words in _threes(template))


def _threes(template: str) -> Iterator[str]:
    for part in template.split("{}"):
        words = part.split()
        for place in range(len(words) - 2):
            three = " ".join(words[place : place + 3])
            if len(three) >= 10:
                yield three
