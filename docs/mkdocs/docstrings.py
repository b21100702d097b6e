"""What the docstrings of jaxloss leave out, for the parser: blank lines, fences, links.

In the source they are compact: no blank line between sections, `Source: text` on one
line, examples that follow without a heading.
"""

import pathlib
import re
import sys

import griffe

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from public import ROOT, names  # noqa: E402

_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Source):", re.MULTILINE)
_SOURCE = re.compile(r"^Source: (.*(?:\n +.*)*)", re.MULTILINE)
_DISPLAY = re.compile(r"^(\$\$.+?\$\$)", re.MULTILINE | re.DOTALL)
_EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
_NAME = re.compile(r"(?<!\[)`(\w+)`")


class Docstrings(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **kwargs) -> None:
        del kwargs
        if obj.docstring is not None:
            obj.docstring.value = _readable(obj.docstring.value, obj)


def _readable(text: str, obj: griffe.Object) -> str:
    public = names() - {obj.name} - {parameter for parameter in _parameters(obj)}
    text = _NAME.sub(
        lambda m: f"[`{m[1]}`][jaxloss.{m[1]}]" if m[1] in public else m[0], text
    )
    text = _DISPLAY.sub(r"\n\1\n", text)
    text = _SOURCE.sub(lambda m: "Source:\n    " + m[1], text)
    text = _SECTION.sub(r"\n\1:", text)
    text = _EXAMPLE.sub(r"```pycon\n\g<0>\n```", text)
    figure = ROOT / "docs" / "gallery" / f"{obj.name}.svg"
    if obj.is_function and figure.exists() and obj.parent.name != "curves":
        text += f"\n\n![What {obj.name} does](../gallery/{figure.name})"
    return re.sub(r"\n{3,}", "\n\n", text)


def _parameters(obj: griffe.Object) -> list[str]:
    return [p.name for p in obj.parameters] if isinstance(obj, griffe.Function) else []
